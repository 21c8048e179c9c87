/** Records whose timestamp lies too far in the future, in a whole job. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../src/connectors/memory-source.ts";
import { ascendingTimestamps, tumblingWindows } from "../../../../src/index.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

interface Reading {
  readonly at: number;
}

let world: MemoryWorld;

afterEach(() => world.close());

test("a split that was idle and gets such a record is idle again afterwards, and holds nothing back", async () => {
  const logs = { quiet: new MemoryLog<Reading>(), busy: new MemoryLog<Reading>() };
  const results = new MemorySinkTarget<number>();
  world = new MemoryWorld({
    parallelism: 1,
    bounded: false,
    build(builder) {
      const readings = Object.entries(logs).map(([name, log]) =>
        builder.source(name, memorySource([log]), {
          timestamp: ({ at }) => at,
          watermarks: ascendingTimestamps(),
          watermarkInterval: 10,
          idleAfter: 40,
          maxTimestampAhead: { by: "1 h", beyond: "clamp" },
        }),
      );
      readings[0]!
        .union(readings[1]!)
        .keyBy(() => "all")
        .window(tumblingWindows({ size: 100 }))
        .aggregate(
          "count",
          {
            createAccumulator: () => 0,
            add: (count: number) => count + 1,
            getResult: (count: number) => count,
          },
          (_, { window }) => window.end,
        )
        .sink("out", memorySink(results));
    },
  });
  await world.begins(0);
  const windowEnds = (end: number) =>
    until(`the window up to ${end}`, () => results.committed.includes(end), {
      describe: () => results.committed.join(),
    });
  logs.quiet.append({ at: 1000 });
  logs.busy.append({ at: 20 }, { at: 150 });
  // It ends only when both are idle: event time then comes to the watermark of the quiet one.
  await windowEnds(200);
  logs.quiet.append({ at: Date.now() + 7_200_000 });
  await until("the word about it", () =>
    world.events.some(({ event }) => event === "source.timestamp.ahead"),
  );
  logs.busy.append({ at: 1050 }, { at: 1250 });
  await windowEnds(1100);
  expect(world.crashes).toEqual([]);
});

test("a record that is too far ahead goes to the side output, and makes no other one late", async () => {
  const log = new MemoryLog<Reading>();
  const ahead = Date.now() + 7_200_000;
  log.append({ at: 10 }, { at: ahead }, { at: 20 }, { at: 130 });
  const [counts, aside] = [new MemorySinkTarget<string>(), new MemorySinkTarget<Reading>()];
  world = new MemoryWorld({
    parallelism: 1,
    build(builder) {
      const readings = builder.source("readings", memorySource([log], { until: "end" }), {
        timestamp: ({ at }) => at,
        watermarks: ascendingTimestamps(),
        watermarkInterval: 0,
        maxTimestampAhead: { by: "1 h", beyond: "sideOutput" },
      });
      readings.sideOutput("ahead").sink("aside", memorySink(aside));
      readings
        .keyBy(() => "all")
        .window(tumblingWindows({ size: 100 }))
        .process("count", (items, { window }) => `${window.start}: ${items.length}`)
        .sink("out", memorySink(counts));
    },
  });
  await world.begins(0);
  await world.finished();
  expect(counts.committed).toEqual(["0: 2", "100: 1"]);
  expect(aside.committed).toEqual([{ at: ahead }]);
});
