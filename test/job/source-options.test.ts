import { describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { boundedOutOfOrderness, ConfigurationError, defineJob, type SourceOptions } from "../../src/index.ts";

const target = new MemorySinkTarget<number>();

function jobWith(options: unknown) {
  return defineJob("job", {}, (job) => {
    const numbers = memorySource([new MemoryLog<number>()]);
    job.source("in", numbers, options as SourceOptions<number>).sink("out", memorySink(target));
  });
}

describe("the event time of a source", () => {
  test.each([
    [{ timestamp: "placedAt" }, 'timestamp must be a function, got "placedAt"'],
    [{ watermarks: "5 s" }, 'watermarks must be a strategy such as boundedOutOfOrderness("5 s"), got "5 s"'],
    [{ watermarks: null }, "watermarks must be a strategy"],
    [{ idleAfter: "1 s" }, "idleAfter is given and watermarks are not"],
    [
      { maxTimestampAhead: { by: "1 h", beyond: "clamp" } },
      "maxTimestampAhead is given and watermarks are not",
    ],
    [{ watermark: boundedOutOfOrderness(0) }, 'no option "watermark"; did you mean "watermarks"?'],
    [{ watermarks: boundedOutOfOrderness(0), idleAfter: 0 }, "idleAfter must be longer than 0 ms"],
    [{ watermarks: boundedOutOfOrderness(0), idleAfter: "soon" }, "idleAfter"],
    [{ watermarks: boundedOutOfOrderness(0), watermarkInterval: -1 }, "watermarkInterval"],
    [
      { watermarks: boundedOutOfOrderness(0), maxTimestampAhead: { by: "1 h", beyond: "drop" } },
      'beyond must be "clamp" or "sideOutput", got "drop"',
    ],
    [{ watermarks: boundedOutOfOrderness(0), maxTimestampAhead: "1 h" }, "maxTimestampAhead"],
    [{ alignment: { maxDrift: "1 m" } }, "alignment is given and watermarks are not"],
    [
      { watermarks: boundedOutOfOrderness(0), alignment: "1 m" },
      'alignment must be "off" or an object such as { maxDrift: "1 min" }, got "1 m"',
    ],
    [{ watermarks: boundedOutOfOrderness(0), alignment: null }, 'alignment must be "off" or an object'],
    [
      { watermarks: boundedOutOfOrderness(0), alignment: { maxDrift: 1, whileBehind: 0 } },
      "whileBehind must be",
    ],
    [
      { watermarks: boundedOutOfOrderness(0), alignment: { maxDrift: 1, whileBehind: "1 s" } },
      "at least 1, got",
    ],
    [{ watermarks: boundedOutOfOrderness(0), alignment: {} }, "alignment: maxDrift"],
    [{ watermarks: boundedOutOfOrderness(0), alignment: { maxDrift: 1, group: 5 } }, "group must be a text"],
    [{ watermarks: boundedOutOfOrderness(0), alignment: { maxDrift: 1, interval: 0 } }, "at least 1 ms"],
    [{ watermarks: boundedOutOfOrderness(0), alignment: { maxDrift: 1, drift: 2 } }, 'no member "drift"'],
  ])("%o is refused: %s", (options, message) => {
    expect(() => jobWith(options)).toThrow(ConfigurationError);
    expect(() => jobWith(options)).toThrow('operator "in"');
    expect(() => jobWith(options)).toThrow(message);
  });

  test.each([["-5 s"], [Number.NaN], ["five"]])("records cannot be out of order by %o", (by) => {
    expect(() => boundedOutOfOrderness(by)).toThrow("boundedOutOfOrderness");
  });

  test("sources of one group agree on how far they may be apart", () => {
    const build = () =>
      defineJob("job", {}, (job) => {
        for (const [id, maxDrift] of [["a", 10] as const, ["b", 20] as const])
          job
            .source(id, memorySource([new MemoryLog<number>()]), {
              watermarks: boundedOutOfOrderness(0),
              alignment: { group: "g", maxDrift },
            })
            .sink(`${id}-out`, memorySink(target));
      });
    expect(build).toThrow('operator "b": alignment: source "a" is in group "g", too');
  });

  test("sources of one group agree on whether they wait only while they are behind", () => {
    const build = () =>
      defineJob("job", {}, (job) => {
        for (const [id, whileBehind] of [["a", 10] as const, ["b", undefined] as const])
          job
            .source(id, memorySource([new MemoryLog<number>()]), {
              watermarks: boundedOutOfOrderness(0),
              alignment: { group: "g", maxDrift: 5, whileBehind },
            })
            .sink(`${id}-out`, memorySink(target));
      });
    expect(build).toThrow(
      'operator "b": alignment: source "a" is in group "g", too, with another whileBehind',
    );
  });

  test("a source without a limit for timestamps has no output for those beyond it", () => {
    const build = () =>
      defineJob("job", {}, (job) => {
        const numbers = job.source("in", memorySource([new MemoryLog<number>()]), {
          watermarks: boundedOutOfOrderness(0),
        });
        numbers.sink("out", memorySink(target));
        numbers.sideOutput("ahead").sink("late", memorySink(target));
      });
    expect(build).toThrow('operator "in": has no side outputs');
  });
});
