/** A stream that is held back until the rules are there: `broadcast({ waitFor })`. */
import { afterEach, describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import {
  ascendingTimestamps,
  type BroadcastOptions,
  broadcastState,
  defineJob,
  type JobBuilder,
  type Stream,
  valueState,
} from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

/** Tells how many rules each value has met. */
function applied(values: Stream<number>, rules: Stream<number>, options?: BroadcastOptions): Stream<string> {
  return values
    .keyBy((value) => value % 20)
    .connect(rules.broadcast(options))
    .process("applied", {
      state: { values: valueState(0) },
      broadcast: { rules: broadcastState<number, boolean>() },
      onRecord(value, { broadcast, state }) {
        state.values.set(state.values.get() + 1);
        return `${value}: ${broadcast.rules.size}`;
      },
      onBroadcast(rule, { broadcast }) {
        broadcast.rules.set(rule, true);
      },
    });
}

const idle = { watermarks: ascendingTimestamps(), idleAfter: "1 s" } as const;
const jobOf = (
  waitFor: BroadcastOptions["waitFor"],
  options: object = {},
  times: { readonly rules?: object } = { rules: idle },
) =>
  defineJob("job", options, (builder) => {
    const rules = builder.source("rules", testSource<number>({ bounded: false }), {
      parallelism: 1,
      ...times.rules,
    });
    applied(builder.source("values", testSource<number>()), rules, { waitFor }).sink("out", testSink());
  });

describe("in the harness", () => {
  test("first: what came before the first rule meets it, also where a snapshot lies between", async () => {
    const job = jobOf("first");
    const before = await createTestHarness(job);
    await before.push("values", 1);
    await before.push("values", 2);
    expect(before.output("out")).toEqual([]);
    const after = await createTestHarness(job, { restore: await before.snapshot() });
    await after.push("values", 3);
    expect(after.output("out")).toEqual([]);
    await after.push("rules", 7);
    await after.push("values", 4);
    expect(after.output("out")).toEqual(["1: 1", "2: 1", "3: 1", "4: 1"]);
    const third = await createTestHarness(job, { restore: await after.snapshot() });
    await third.push("values", 5);
    expect(third.output("out")).toEqual(["5: 1"]);
  });
});

test("caughtUp: what came meets all rules that came before their source was idle", async () => {
  const harness = await createTestHarness(jobOf("caughtUp"));
  await harness.push("values", 1);
  await harness.push("rules", 7, 1);
  await harness.push("rules", 8, 2);
  expect(harness.output("out")).toEqual([]);
  expect(harness.pending()).toEqual([
    'operator "applied": 2 in state "rules"',
    'operator "applied": 1 in front of it, until what it waits for is there',
  ]);
  await harness.idle("rules");
  await harness.push("rules", 9, 3);
  await harness.push("values", 2);
  expect(harness.output("out")).toEqual(["1: 2", "2: 3"]);
});

describe("what cannot work is refused", () => {
  const refused = (build: () => unknown): string => {
    try {
      build();
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      return (error as ConfigurationError).message;
    }
    throw new Error("nothing was refused");
  };
  const building = (build: (builder: JobBuilder) => Stream<unknown>) =>
    refused(() => defineJob("job", {}, (builder) => build(builder).sink("out", testSink())));

  test("another word", () => {
    expect(refused(() => jobOf("always" as never))).toBe(
      'broadcast after "rules": waitFor must be "first" or "caughtUp", got "always"',
    );
  });

  test("rules and records of one source", () => {
    const message = building((builder) => {
      const all = builder.source("all", testSource<number>(), { parallelism: 1 });
      const rules = all.filter("rules", (one) => one > 5);
      return applied(all, rules, { waitFor: "first" });
    });
    expect(message).toContain(
      'operator "applied": broadcast() has waitFor, and what it waits for comes from "all"',
    );
  });

  test.each(["first", "caughtUp"] as const)(
    "%s: rules aligned with the records that are held back",
    (waitFor) => {
      const build = (group: string) => (builder: JobBuilder) => {
        const aligned = (of: string) => ({ ...idle, alignment: { group: of, maxDrift: "1 min" } });
        const rules = builder.source("rules", testSource<number>(), { parallelism: 1, ...aligned(group) });
        const values = builder.source("values", testSource<number>(), aligned("g")).map("number", Number);
        return applied(
          values,
          rules.filter("some", (one) => one > 5),
          { waitFor },
        );
      };
      expect(building(build("g"))).toContain(
        'operator "applied": broadcast() has waitFor, and source "rules", which it waits for, is in the alignment group "g" ' +
          'of source "values", whose records operator "applied" holds back',
      );
      expect(
        defineJob("job", {}, (builder) => build("other")(builder).sink("out", testSink())),
      ).toBeDefined();
    },
  );

  test("an operator inside a loop", () => {
    const message = building((builder) => {
      const rules = builder.source("rules", testSource<number>(), { parallelism: 1 });
      return builder.source("values", testSource<number>()).iterate("loop", (loop) => {
        const stream = applied(loop, rules, { waitFor: "first" }).map("number", Number);
        return { feedback: stream.filter("back", (one) => one > 1), output: stream };
      });
    });
    expect(message).toContain("it lies inside a loop");
  });

  test("caughtUp with a source that never tells that it has read all", () => {
    expect(refused(() => jobOf("caughtUp", {}, {}))).toContain(
      'source "rules" never tells that it has read all there is: give it watermarks and idleAfter',
    );
    expect(jobOf("caughtUp")).toBeDefined();
  });

  test.each([
    [{ mode: "at-least-once" }, "checkpointing.mode"],
    [{ maxConcurrent: 2 }, "checkpointing.maxConcurrent"],
  ])("checkpoints whose barriers cannot overtake: %j", (checkpointing, key) => {
    const options = { checkpointing: { interval: "1 s", ...checkpointing } };
    const job = jobOf("first", options);
    const { config } = resolveJobConfig(job.options);
    expect(refused(() => buildGraph(job, config))).toContain(`${key}: is`);
  });

  test("a stream that no operator holds back", () => {
    const message = building((builder) =>
      builder
        .source("rules", testSource<number>())
        .broadcast({ waitFor: "first" })
        .map("same", (one) => one),
    );
    expect(message).toContain('operator "same": reads a stream behind broadcast({ waitFor })');
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;

  afterEach(() => world.close());

  const VALUES = 20_000;

  async function runs(
    waitFor: "first" | "caughtUp",
    rulesAtFirst: number,
    checkpoint?: object,
  ): Promise<void> {
    const target = new MemorySinkTarget<string>();
    const rules = new MemoryLog<number>();
    const values = new MemoryLog<number>();
    for (let i = 0; i < rulesAtFirst; i++) rules.append(i);
    for (let i = 0; i < VALUES; i++) values.append(i);
    world = new MemoryWorld({
      bounded: false,
      ...(checkpoint && { checkpointing: checkpoint }),
      build(builder) {
        const ruled = builder.source("rules", memorySource([rules]), {
          parallelism: 1,
          timestamp: (rule) => rule,
          watermarks: ascendingTimestamps(),
          idleAfter: "300 ms",
        });
        // A vertex between source and operator: the barrier has to overtake what waits there, too.
        const dealt = builder
          .source("values", memorySource([values]))
          .rebalance()
          .map("dealt", (one) => one);
        applied(dealt, ruled, { waitFor }).sink("out", memorySink(target));
      },
    });
    const first = await world.begins(0);
    if (waitFor === "first") {
      const waits = await world.comesTo("the operator waits", ({ subtasks }) =>
        subtasks.some(({ operators }) => operators.some(({ figures }) => figures.subtasksWaiting === 1)),
      );
      expect(waits.status).toBe("running");
    }
    await world.checkpoints(2);
    if (waitFor === "first") expect(target.committed).toEqual([]);
    await world.replace(first);
    await world.checkpoints(2);
    if (waitFor === "first") {
      expect(target.committed).toEqual([]);
      rules.append(1);
    }
    await world.comesTo("all values", () => target.committed.length >= VALUES);
    const expected = Array.from(
      { length: VALUES },
      (_, i) => `${i}: ${waitFor === "first" ? 1 : rulesAtFirst}`,
    );
    expect([...target.committed].sort()).toEqual(expected.sort());
  }

  test("first: checkpoints complete while it waits, and a lost worker loses nothing of what is held", () =>
    runs("first", 0));

  test("first: the same with unaligned checkpoints", () => runs("first", 0, { unaligned: true }));

  test("caughtUp: each value meets all the rules that there were at the beginning", () =>
    runs("caughtUp", 5000));
});
