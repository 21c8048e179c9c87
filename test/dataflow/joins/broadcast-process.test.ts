/** The broadcast pattern: state that is the same in every subtask, who may change it, and the same after restores. */
import { afterEach, describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { ConfigurationError, OperatorError } from "../../../src/errors.ts";
import { decodeValue } from "../../../src/formats/codec.ts";
import { broadcastState, defineJob, type JobBuilder, valueState } from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { readManifest } from "../../../src/runtime/manifest.ts";
import { OperatorState } from "../../../src/state/operator-state.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { MemoryWorld, snapshotRequest } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";
import { run } from "./cuts.ts";

interface Rule {
  readonly name: string;
  readonly limit: number;
}

/** Counts the values of each key that are above the limit of a rule. */
function applied(
  builder: JobBuilder,
  options: { readonly senders?: number; readonly misuse?: boolean } = {},
) {
  const rules = builder.source("rules", testSource<Rule>(), { parallelism: options.senders ?? 1 });
  return builder
    .source("values", testSource<number>())
    .keyBy((value) => value % 2)
    .connect(rules.broadcast())
    .process("applied", {
      state: { hits: valueState(0) },
      broadcast: { rules: broadcastState<string, Rule>() },
      onRecord(value, { broadcast, state, emit, key }) {
        if (options.misuse)
          (broadcast.rules as unknown as Map<string, Rule>).set("x", { name: "x", limit: 1 });
        for (const [name, { limit }] of broadcast.rules) {
          if (value <= limit) continue;
          state.hits.set(state.hits.get() + 1);
          emit(`${name} ${key}: ${value} #${state.hits.get()}`);
        }
      },
      onBroadcast(rule, { broadcast }) {
        if (rule.name === "boom") throw new TypeError("boom");
        if (rule.limit < 0) broadcast.rules.delete(rule.name);
        else broadcast.rules.set(rule.name, rule);
      },
    });
}

function definitionOf(misuse = false) {
  const job = defineJob("job", {}, (builder) => applied(builder, { misuse }).sink("out", testSink()));
  return job.operators.find(({ definition }) => definition.id === "applied")!.definition;
}

const value = (port: number, given: unknown) => ({ port, value: given, time: 0 });

test("broadcast records change what all keys read, and have no key themselves", () => {
  const { out } = run(definitionOf(), [
    value(0, 5),
    value(1, { name: "big", limit: 9 }),
    value(1, { name: "any", limit: 0 }),
    value(0, 5),
    value(0, 12),
    value(1, { name: "any", limit: -1 }),
    value(0, 13),
  ]);
  expect(out.out!.map(([text]) => text)).toEqual([
    "any 1: 5 #1",
    "big 0: 12 #1",
    "any 0: 12 #2",
    "big 1: 13 #2",
  ]);
});

test("a cut holds the entries in their order, and a copy that is restored reads the same", () => {
  const descriptors = { rules: broadcastState<string, Rule>() };
  const before = new OperatorState("applied", descriptors, false);
  const map = before.broadcast.rules!;
  map.isWritable = true;
  for (const name of ["b", "a", "c"]) map.set(name, { name, limit: 1 });
  map.delete("a");
  const [cut] = before.cut();
  map.set("b", { name: "b", limit: 2 });
  const after = new OperatorState("applied", descriptors, true);
  after.restore(cut!);
  expect(cut!.distribution).toBe("broadcast");
  expect([...after.broadcast.rules!]).toEqual([
    ["b", { name: "b", limit: 1 }],
    ["c", { name: "c", limit: 1 }],
  ]);
});

test("only onBroadcast may change the state, and a rule that throws names the operator", () => {
  const messageOf = (act: () => void) => {
    const failure = failureOf(act);
    expect(failure).toBeInstanceOf(OperatorError);
    return (failure as OperatorError).message;
  };
  expect(messageOf(() => run(definitionOf(true), [value(0, 5)]))).toContain(
    'operator "applied" failed: set was called on broadcast state "rules" outside of onBroadcast',
  );
  expect(messageOf(() => run(definitionOf(), [value(1, { name: "boom", limit: 1 })]))).toBe(
    'operator "applied" failed: boom (at broadcast record {"name":"boom","limit":1})',
  );
  const wrong = { name: "f", limit: 1, check: () => true };
  expect(messageOf(() => run(definitionOf(), [value(1, wrong)]))).toContain('broadcast state "rules"');
});

test("several senders are refused: their records would come in different orders", () => {
  const graphOf = (senders: number) => {
    const job = defineJob("job", {}, (builder) => applied(builder, { senders }).sink("out", testSink()));
    return buildGraph(job, resolveJobConfig({ parallelism: 2 }).config);
  };
  expect(graphOf(1).edges.find(({ from }) => from === "rules")).toMatchObject({
    to: "applied",
    port: 1,
    partitioner: { kind: "broadcast" },
  });
  expect(() => graphOf(2)).toThrow(ConfigurationError);
  expect(() => graphOf(2)).toThrow('operator "applied": "rules" broadcasts to it from 2 subtasks');
});

test("a stream that is not broadcast is refused", () => {
  const build = (builder: JobBuilder) => {
    const rules = builder.source("rules", testSource<Rule>());
    builder
      .source("values", testSource<number>())
      .keyBy((one) => one)
      .connect(rules);
  };
  expect(() => defineJob("job", {}, build)).toThrow(
    'connect after "values": takes a stream of the same job behind keyBy or broadcast(), got an object',
  );
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  let asked = 0;

  afterEach(() => world.close());

  test("every subtask ends with the same state, with a worker lost on the way", async () => {
    const target = new MemorySinkTarget<{
      readonly key: number;
      readonly rules: string;
      readonly values: number;
    }>();
    const rules = new MemoryLog<number>();
    const values = new MemoryLog<number>();
    for (let i = 0; i < 3000; i++) {
      rules.append(i);
      values.append(i);
    }
    world = new MemoryWorld({
      recordsPerCheckpoint: 500,
      build(builder, created) {
        const numbers = builder.source("rules", created.paced(memorySource([rules], { until: "end" })), {
          parallelism: 1,
        });
        builder
          .source("values", created.paced(memorySource([values], { until: "end" })))
          .keyBy((number) => number % 20)
          .connect(numbers.broadcast())
          .process("applied", {
            state: { values: valueState(0) },
            broadcast: { sums: broadcastState<number, string>() },
            onRecord(_, { state }) {
              state.values.set(state.values.get() + 1);
            },
            // Each update depends on all before it: lost, repeated or swapped ones would show.
            onBroadcast(number, { broadcast: { sums } }) {
              const slot = number % 3;
              const before = Number(sums.get(slot) ?? 0);
              sums.set(slot, String((before * 31 + number) % 1_000_003));
            },
            onEnd: ({ key, state, broadcast }) => ({
              key,
              rules: [...broadcast.sums].map(([slot, sum]) => `${slot}=${sum}`).join(" "),
              values: state.values.get(),
            }),
          })
          .sink("out", memorySink(target));
      },
    });
    const first = await world.begins(0);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    const sums = [0, 0, 0];
    for (let i = 0; i < 3000; i++) sums[i % 3] = (sums[i % 3]! * 31 + i) % 1_000_003;
    const expected = sums.map((sum, slot) => `${slot}=${sum}`).join(" ");
    expect([...target.committed].sort((a, b) => a.key - b.key)).toEqual(
      Array.from({ length: 20 }, (_, key) => ({ key, rules: expected, values: 150 })),
    );
  });

  /** A job of four subtasks whose broadcast state is what `kept` makes of each rule. */
  function keeping(kept: (rule: number, subtask: number) => number) {
    const log = new MemoryLog<number>();
    const target = new MemorySinkTarget<string>();
    world = new MemoryWorld({
      parallelism: 4,
      bounded: false,
      build(builder) {
        const rules = builder.source("rules", memorySource([log]), { parallelism: 1 });
        builder
          .source("values", memorySource(world.logs))
          .keyBy((word) => word)
          .connect(rules.broadcast())
          .process("applied", {
            state: {},
            broadcast: { rules: broadcastState<number, number>() },
            open: ({ subtaskIndex }) => subtaskIndex,
            onRecord() {},
            onBroadcast(rule, { broadcast, resource, emit }) {
              broadcast.rules.set(rule, kept(rule, resource));
              emit(`${resource}: ${[...broadcast.rules.values()].join(" ")}`);
            },
          })
          .sink("out", memorySink(target));
      },
    });
    const begins = async () => {
      const [first] = await Promise.all([world.begins(0), world.startWorker(), world.startWorker()]);
      await world.runs();
      return first;
    };
    const copies = async () => {
      const { manifest } = (await world.record()).checkpoints.at(-1)!;
      return (await readManifest(world.storage, manifest)).subtasks.flatMap(({ states }) =>
        states.flatMap((state) =>
          state.kind === "operator" && state.distribution === "broadcast"
            ? [
                {
                  values: state.entries.map((entry) => (decodeValue(entry) as [number, number])[1]),
                  ...state,
                },
              ]
            : [],
        ),
      );
    };
    /** Each of the subtasks has applied the rule, and a checkpoint that was asked for afterwards holds that. */
    const apply = async (rule: number) => {
      log.append(rule);
      const before = target.committed.length;
      await until(`rule ${rule} is applied`, async () => {
        await world
          .client()
          .snapshot(snapshotRequest({ request: `after-${rule}-${++asked}`, kind: "checkpoint" }));
        return target.committed.length === before + 4 || undefined;
      });
      return target.committed.slice(before).sort();
    };
    return { begins, apply, copies };
  }
  test("a checkpoint holds one copy for all subtasks, and each has it after a failure", async () => {
    const { begins, apply, copies } = keeping((rule) => rule * 10);
    const first = await begins();
    await apply(1);
    await apply(2);
    expect(await copies()).toMatchObject([{ subtaskIndex: 0, equalIn: [1, 2, 3], values: [10, 20] }]);
    await world.replace(first);
    expect(await apply(3)).toEqual([0, 1, 2, 3].map((subtask) => `${subtask}: 10 20 30`));
    expect(await copies()).toMatchObject([{ equalIn: [1, 2, 3], values: [10, 20, 30] }]);
    expect((await world.runs()).troubles).toEqual([]);
  });

  test("copies that are not equal are told by name and kept, each for its own subtasks", async () => {
    const { begins, apply, copies } = keeping((rule, subtask) => (rule === 1 ? subtask % 2 : rule));
    const first = await begins();
    await apply(1);
    expect(await copies()).toMatchObject([
      { subtaskIndex: 0, equalIn: [2], values: [0] },
      { subtaskIndex: 1, equalIn: [3], values: [1] },
    ]);
    const { troubles } = await world.comesTo("it is told", (report) => report.troubles.length > 0);
    expect(troubles).toMatchObject([
      {
        what: "keeping broadcast state the same in all subtasks",
        reason: expect.stringMatching(
          /^broadcast state "rules" of operator applied is not the same .* one thing in 0, 2, another in 1, 3;/,
        ),
        where: ["leader"],
      },
    ]);
    await world.replace(first);
    expect(await apply(2)).toEqual(["0: 0 2", "1: 1 2", "2: 0 2", "3: 1 2"]);
  });
});
