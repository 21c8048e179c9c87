/** Aggregations in two stages: results are those of one stage, a hot key makes fewer records. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import type { RecordsFrame } from "../../src/dataflow/channel/frame.ts";
import { createLocalChannel } from "../../src/dataflow/channel/local-channel.ts";
import type { Combine, Joins } from "../../src/dataflow/operators/keyed/combine.ts";
import { tumbling } from "../../src/dataflow/operators/windows/aligned/assigner.ts";
import { createEdgeOutput } from "../../src/dataflow/output.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { ConfigurationError } from "../../src/errors.ts";
import {
  type AggregateFunction,
  ascendingTimestamps,
  defineJob,
  type JobBuilder,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
} from "../../src/index.ts";
import { takeAll } from "../contracts/suites/channel.contract.ts";
import { testSink, testSource } from "../job/connectors.ts";
import { barrierFrame } from "../support/frames.ts";
import { failureOf } from "../support/graphs/chains.ts";
import { MemoryWorld } from "../support/memory-world.ts";

interface Sale {
  readonly shop: string | number;
  readonly amount: number;
}

const sale = (shop: string | number, amount = 1): Sale => ({ shop, amount });
const summed = (sum: unknown, one: unknown): Sale => ({
  shop: (sum as Sale).shop,
  amount: (sum as Sale).amount + (one as Sale).amount,
});

const summing: Joins = { kind: "records", reduce: summed };

/** An edge behind a keyBy. */
function edgeWith(combine: Combine, recordsPerFrame = 10, receivers = 2) {
  const room = { framesMax: 100, recordsMax: Number.MAX_SAFE_INTEGER, recordsPerFrame };
  const channels = Array.from({ length: receivers }, () => createLocalChannel(room));
  const output = createEdgeOutput({
    partitioner: { kind: "hash", key: (value) => (value as Sale).shop, combine },
    channels: channels.map((channel) => channel.output),
    subtaskIndex: 0,
    maxParallelism: 1 << 7,
    receiver: "sum",
  });
  const byChannel = () => {
    output.flush();
    return channels.map(({ input }) => takeAll(input));
  };
  return { output, byChannel, frames: () => byChannel().flat() };
}

const records = (frames: readonly unknown[]) =>
  (frames as readonly RecordsFrame[]).map(({ values, timestamps, marks }) => ({ values, timestamps, marks }));

describe("records that wait for their frame", () => {
  test("become one where they have one key, with the latest timestamp", () => {
    const { output, frames } = edgeWith({ joins: summing });
    for (const [amount, at] of [
      [1, NO_TIMESTAMP],
      [2, 30],
      [4, 20],
    ] as const)
      output.collect(sale("a", amount), at);
    expect(records(frames())).toEqual([{ values: [sale("a", 7)], timestamps: [30], marks: undefined }]);
    output.collect(sale("a", 8), 10);
    expect(records(frames())).toEqual([{ values: [sale("a", 8)], timestamps: [10], marks: undefined }]);
  });

  test("also in front of a single subtask, which several may send to", () => {
    const { output, frames } = edgeWith({ joins: summing }, 10, 1);
    for (const shop of ["a", "b", "a"]) output.collect(sale(shop), NO_TIMESTAMP);
    expect(records(frames()).map(({ values }) => values)).toEqual([[sale("a", 2), sale("b")]]);
  });

  test("a frame is full when it holds so many keys", () => {
    const { output, frames } = edgeWith({ joins: summing }, 1);
    for (let i = 0; i < 3; i++) output.collect(sale("a"), NO_TIMESTAMP);
    expect(records(frames()).map(({ values }) => values)).toEqual([[sale("a")], [sale("a")], [sale("a")]]);
  });

  test("not over a mark of event time, and not over a barrier", () => {
    const { output, byChannel } = edgeWith({ joins: summing });
    output.collect(sale("a"), 1);
    output.mark(5, false);
    output.collect(sale("a"), 6);
    output.collect(sale("a"), 7);
    output.broadcast(barrierFrame(1));
    output.collect(sale("a"), 8);
    const ofKey = byChannel().find((frames) => frames[0]?.kind === "records" && frames[0].values.length > 0)!;
    expect(ofKey.map((frame) => (frame.kind === "records" ? frame.values : frame.kind))).toEqual([
      [sale("a", 1), sale("a", 2)],
      "barrier",
      [sale("a", 1)],
    ]);
  });

  test("not over the end of a pane", () => {
    const { output, frames } = edgeWith({ joins: summing, panes: tumbling(10, 0) });
    for (const at of [1, 9, 10, 19, 5, NO_TIMESTAMP]) output.collect(sale("a"), at);
    expect(records(frames())).toEqual([
      {
        values: [sale("a", 2), sale("a", 2), sale("a"), sale("a")],
        timestamps: [9, 19, 5, NO_TIMESTAMP],
        marks: undefined,
      },
    ]);
  });

  test('keys are those of a Map: 1 and "1" are two, NaN is one', () => {
    const { output, frames } = edgeWith({ joins: summing });
    for (const shop of [1, "1", 1, Number.NaN, Number.NaN]) output.collect(sale(shop), NO_TIMESTAMP);
    const amounts = records(frames()).flatMap(({ values }) => values as readonly Sale[]);
    expect(new Map(amounts.map(({ shop, amount }) => [shop, amount]))).toEqual(
      new Map<unknown, number>([
        [1, 2],
        ["1", 1],
        [Number.NaN, 2],
      ]),
    );
  });

  test.each<[string, Extract<Joins, { readonly kind: "records" }>["reduce"], string]>([
    ["another key", () => sale("b"), "reduce answered a record whose key is another one: with combine"],
    [
      "no key",
      () => ({ amount: 1 }),
      "reduce answered a record whose key is undefined, not a text of 1 character: with combine",
    ],
    ["a promise", async () => sale("a"), "reduce answered a promise, and a value is needed"],
    [
      "an error",
      () => {
        throw new Error("of the user");
      },
      'operator "sum" failed: of the user',
    ],
  ])("%s is refused by the name of the operator", (_, reduce, message) => {
    const { output } = edgeWith({ joins: { kind: "records", reduce } });
    output.collect(sale("a"), NO_TIMESTAMP);
    expect(String(failureOf(() => output.collect(sale("a"), NO_TIMESTAMP)))).toContain(message);
  });
});

describe("records that become an accumulator, which travels with its key", () => {
  const amountOf = (value: unknown) => (value as Sale).amount;
  const list: Joins = {
    kind: "accumulators",
    aggregation: {
      first: (value) => [amountOf(value)],
      add: (amounts, value) => [...(amounts as number[]), amountOf(value)],
    },
  };

  test("in their order, one alone, too, and with the latest timestamp", () => {
    const { output, frames } = edgeWith({ joins: list }, 10, 1);
    for (const [shop, amount, at] of [
      ["a", 1, 10],
      ["b", 2, 20],
      ["a", 3, 40],
      ["a", 4, 30],
    ] as const)
      output.collect(sale(shop, amount), at);
    expect(records(frames())).toEqual([
      {
        values: [
          ["a", [1, 3, 4]],
          ["b", [2]],
        ],
        timestamps: [40, 20],
        marks: undefined,
      },
    ]);
  });

  test("not over a barrier, a mark of event time or the end of a pane, and what has left is left alone", () => {
    const { output, frames } = edgeWith({ joins: list, panes: tumbling(10, 0) }, 10, 1);
    output.collect(sale("a", 1), 1);
    output.collect(sale("a", 2), 11);
    output.mark(5, false);
    output.collect(sale("a", 3), 12);
    output.broadcast(barrierFrame(1));
    output.collect(sale("a", 4), 13);
    const values = (frames() as readonly RecordsFrame[]).map((frame) => frame.values ?? frame.kind);
    expect(values).toEqual([
      [
        ["a", [1]],
        ["a", [2]],
        ["a", [3]],
      ],
      "barrier",
      [["a", [4]]],
    ]);
  });

  test.each<[string, Joins & { readonly kind: "accumulators" }, string]>([
    [
      "nothing, for the first record",
      { kind: "accumulators", aggregation: { first: () => undefined, add: () => 1 } },
      'operator "sum" failed: add answered undefined, and an accumulator is needed',
    ],
    [
      "a promise, for the second one",
      { kind: "accumulators", aggregation: { first: () => 1, add: async () => 1 } },
      'operator "sum" failed: add answered a promise, and an accumulator is needed',
    ],
    [
      "an error",
      {
        kind: "accumulators",
        aggregation: {
          first: () => {
            throw new Error("of the user");
          },
          add: () => 1,
        },
      },
      'operator "sum" failed: of the user',
    ],
  ])("%s is refused by the name of the operator", (_, joins, message) => {
    const { output } = edgeWith({ joins });
    const twice = () => {
      for (let i = 0; i < 2; i++) output.collect(sale("a"), NO_TIMESTAMP);
    };
    expect(String(failureOf(twice))).toContain(message);
  });
});

describe("what cannot be combined is refused when the job is defined", () => {
  const sales = (job: JobBuilder) =>
    job
      .source<Sale>("sales", testSource(), { timestamp: () => 1, watermarks: ascendingTimestamps() })
      .keyBy(({ shop }) => shop);
  const combine = { combine: true };
  test.each<[string, (job: JobBuilder) => void, string]>([
    [
      "no boolean",
      (job) =>
        sales(job)
          .reduce("sum", summed, { combine: 1 as never })
          .sink("out", testSink()),
      'operator "sum": combine must be true or false, is 1',
    ],
    [
      "a function with open",
      (job) =>
        sales(job)
          .reduce("sum", { open: () => 1, reduce: summed }, combine as never)
          .sink("out", testSink()),
      'operator "sum": combine runs reduce in front of keyBy, too, where open has not run',
    ],
    [
      "sessions",
      (job) =>
        sales(job)
          .window(sessionWindows({ gap: "1s" }))
          .reduce("sum", summed, undefined, combine)
          .sink("out", testSink()),
      'operator "sum": combine is for tumbling, sliding, cumulating and calendar windows',
    ],
    [
      "a late output",
      (job) =>
        sales(job)
          .window(tumblingWindows({ size: "1s" }), { lateOutput: "late" })
          .reduce("sum", summed, undefined, combine)
          .sink("out", testSink()),
      'operator "sum": combine joins records, and lateOutput gives single ones',
    ],
    [
      "an aggregate without merge",
      (job) =>
        sales(job)
          .window(tumblingWindows({ size: "1s" }))
          .aggregate(
            "sum",
            { createAccumulator: () => 0, add: (n: number) => n, getResult: (n: number) => n },
            undefined,
            combine,
          )
          .sink("out", testSink()),
      'operator "sum": combine sends accumulators, which merge joins: give the aggregate a merge',
    ],
  ])("%s", (_, build, message) => {
    const define = () => defineJob("job", {}, build);
    expect(define).toThrow(ConfigurationError);
    expect(define).toThrow(message);
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  afterEach(() => world.close());

  test.each([false, true])(
    "a hot key comes to the same, with a worker lost on the way (unaligned: %s)",
    async (unaligned) => {
      const sales = Array.from({ length: 12_000 }, (_, i) => ({
        shop: i % 10 === 0 ? i % 70 : "hot",
        amount: 1,
        at: i * 5,
      }));
      const logs = [0, 1].map((half) => {
        const log = new MemoryLog<(typeof sales)[number]>();
        log.append(...sales.filter((_, i) => i % 2 === half));
        return log;
      });
      type Sold = (typeof sales)[number];
      const both = (sum: Sold, one: Sold): Sold => ({ ...sum, amount: sum.amount + one.amount });
      const windows = {
        tumbling: tumblingWindows({ size: "10 s" }),
        sliding: slidingWindows({ size: "10 s", slide: "2 s" }),
      };
      const mean: AggregateFunction<Sold, { readonly sum: number; readonly count: number }, string> = {
        createAccumulator: () => ({ sum: 0, count: 0 }),
        add: ({ sum, count }, { at }) => ({ sum: sum + at, count: count + 1 }),
        merge: (one, other) => ({ sum: one.sum + other.sum, count: one.count + other.count }),
        getResult: ({ sum, count }) => `${sum} / ${count}`,
      };
      const targets = new Map<string, MemorySinkTarget<string>>();
      const into = (name: string) => {
        const target = targets.get(name) ?? new MemorySinkTarget<string>();
        targets.set(name, target);
        return memorySink(target);
      };
      world = new MemoryWorld({
        recordsPerCheckpoint: 1500,
        checkpointing: { unaligned },
        build: (builder, world) => {
          const keyed = builder
            .source("sales", world.paced(memorySource(logs, { until: "end" })), {
              timestamp: ({ at }) => at,
              watermarks: ascendingTimestamps(),
            })
            .keyBy(({ shop }) => shop);
          for (const combine of [false, true]) {
            const suffix = combine ? "-combined" : "";
            keyed
              .reduce(`running${suffix}`, both, { combine })
              .map(`shown${suffix}`, ({ shop, amount }) => `${shop} ${amount}`)
              .sink(`running-out${suffix}`, into(`running${suffix}`));
            for (const [name, window] of Object.entries(windows))
              keyed
                .window(window)
                .reduce(
                  `${name}${suffix}`,
                  both,
                  ({ amount }, { key, window: { end } }) => `${key} ${end} ${amount}`,
                  { combine },
                )
                .sink(`${name}-out${suffix}`, into(`${name}${suffix}`));
            for (const [name, window] of Object.entries(windows))
              keyed
                .window(window, { allowedLateness: name === "sliding" ? "1 s" : 0 })
                .aggregate(
                  `mean-${name}${suffix}`,
                  mean,
                  (average, { key, window: { end } }) => `${key} ${end} ${average}`,
                  { combine },
                )
                .sink(`mean-${name}-out${suffix}`, into(`mean-${name}${suffix}`));
          }
        },
      });
      world.startCoordinator();
      const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
      await world.submit();
      await world.checkpoints(2);
      await world.replace(first);
      await world.finished();
      const written = (name: string) => [...targets.get(name)!.committed].sort();
      for (const name of Object.keys(windows))
        for (const kind of [name, `mean-${name}`]) {
          expect(written(kind).length).toBeGreaterThan(0);
          expect(written(`${kind}-combined`)).toEqual(written(kind));
        }
      expect(written("running")).toHaveLength(sales.length);
      const combined = written("running-combined");
      expect(combined.length).toBeLessThan(sales.length / 2);
      // Each update is one of those that come without it, and the last one of each key is the same.
      const updates = new Set(written("running"));
      expect(combined.filter((update) => !updates.has(update))).toEqual([]);
      for (const [shop, count] of countsOf(sales.map(({ shop }) => `${shop}`)))
        expect(combined).toContain(`${shop} ${count}`);
    },
  );
});

function countsOf(words: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}
