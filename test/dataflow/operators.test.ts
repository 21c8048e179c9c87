/**
 * A kind of operator that no file of the engine knows, with two ports and two outputs: it is a row, and nothing else is
 * touched for it to be planned, fingerprinted, run, snapshotted, restored and closed.
 */
import { afterEach, describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import { defineOperator, type OperatorKind } from "../../src/dataflow/operators/contract.ts";
import { defineJob, JobBuilder } from "../../src/job/builder.ts";
import { graphFingerprint, planDifferences } from "../../src/job/fingerprint.ts";
import { buildGraph } from "../../src/job/graph.ts";
import { describePlan, planOf } from "../../src/job/plan.ts";
import { type Stream, streamOf } from "../../src/job/stream.ts";
import { type ValueState, valueState } from "../../src/state/descriptor.ts";
import type { Count } from "../support/graphs/word-count.ts";
import { MemoryWorld } from "../support/memory-world.ts";

interface Seen {
  opened: number;
  closed: number;
}

/**
 * Counts words of both ports together, and those of the second one apart. Ends with the count of each word that is left
 * open.
 */
const tally: OperatorKind<Seen> = {
  name: "tally",
  describe: () => ({
    states: { both: valueState(0), right: valueState(0) },
    ports: ["left", "right"],
    tags: ["right"],
    emitsAtEnd: true,
  }),
  open(seen, { keyedState }, outputs) {
    seen.opened++;
    const state = keyedState();
    const both = state.handles.both as ValueState<number>;
    const right = state.handles.right as ValueState<number>;
    const toRight = outputs.tagged("right");
    const count = (word: unknown, timestamp: number): void => {
      state.setCurrentKey(word as string);
      both.set(both.get() + 1);
      outputs.main({ word, count: both.get() }, timestamp);
    };
    const countRight = (word: unknown, timestamp: number): void => {
      count(word, timestamp);
      right.set(right.get() + 1);
      toRight({ word, count: right.get() }, timestamp);
    };
    return {
      state,
      inputs: [count, countRight],
      finish() {
        const keys = state.keys();
        return {
          step() {
            const next = keys.next();
            if (next.done === true) return false;
            state.setCurrentKey(next.value);
            toRight({ word: `end of ${next.value}`, count: both.get() }, 0);
            return true;
          },
        };
      },
      close: () => void seen.closed++,
    };
  },
};

const tallied = (
  builder: JobBuilder,
  left: Stream<string>,
  right: Stream<string>,
  seen: Seen = { opened: 0, closed: 0 },
) => {
  const draft = JobBuilder.draftOf(builder);
  const byWord = (words: Stream<string>) => words.keyBy((word) => word);
  draft.apply(defineOperator(tally, "tally", seen), [byWord(left), byWord(right)]);
  return { main: streamOf<Count>(draft, "tally"), right: streamOf<Count>(draft, "tally", "right") };
};

const targets = () => ({ main: new MemorySinkTarget<Count>(), right: new MemorySinkTarget<Count>() });

describe("one more kind", () => {
  const planFor = (swapped: boolean) => {
    const job = defineJob("words", { parallelism: 2 }, (builder) => {
      const { main, right } = targets();
      const sources = ["a", "b"].map((id) => builder.source<string>(id, memorySource([], { until: "end" })));
      const [left, other] = swapped ? sources.reverse() : sources;
      const outputs = tallied(builder, left!, other!);
      outputs.main.sink("out", memorySink(main));
      outputs.right.map("again", (count) => count).sink("rest", memorySink(right));
    });
    return planOf(buildGraph(job, resolveJobConfig(job.options).config));
  };

  test("is planned: its states, what comes in at which port, what leaves by which output", () => {
    const plan = planFor(false);
    const operators = new Map(
      plan.vertices.flatMap((vertex) => vertex.operators).map((one) => [one.id, one]),
    );
    expect(operators.get("tally")).toEqual({
      id: "tally",
      kind: "tally",
      inputs: [
        { from: "a", port: "left" },
        { from: "b", port: "right" },
      ],
      states: ["both", "right"],
    });
    expect(operators.get("out")?.inputs).toEqual([{ from: "tally" }]);
    expect(operators.get("again")?.inputs).toEqual([{ from: "tally", output: "right" }]);
    expect(plan.vertices.map(({ id, operators }) => [id, operators.map((one) => one.id)])).toEqual([
      ["a", ["a"]],
      ["b", ["b"]],
      ["tally", ["tally", "out", "again", "rest"]],
    ]);
    expect(describePlan(plan)).toMatch(/tally \(state both, right\) +<- a \(left\), b \(right\)/);
    expect(describePlan(plan)).toMatch(/again +map +<- tally\.right/);
  });

  test("tells its ports apart in the fingerprint", () => {
    expect(graphFingerprint(planFor(true))).not.toBe(graphFingerprint(planFor(false)));
    expect(planDifferences(planFor(false), planFor(true))).toEqual([
      'operator "tally": input was a (left), b (right), is a (right), b (left)',
    ]);
  });
});

describe("on the whole engine", () => {
  let world: MemoryWorld;

  afterEach(() => world.close());

  const perWord = (words: readonly string[]) => {
    const counts: Record<string, number> = {};
    for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
    return counts;
  };
  const last = (counts: readonly Count[]) =>
    Object.fromEntries(counts.map(({ word, count }) => [word, count]));

  test("both ports and both outputs are exact, with a worker lost on the way, and all that was opened is closed", async () => {
    const { main, right } = targets();
    const seen = { opened: 0, closed: 0 };
    const build = (builder: JobBuilder, world: MemoryWorld) => {
      const [left, other] = world.logs.map((log, i) =>
        builder.source(`log-${i}`, world.paced(memorySource([log], { until: "end" })), { parallelism: 1 }),
      );
      const outputs = tallied(builder, left!, other!, seen);
      outputs.main.sink("out", memorySink(main));
      outputs.right.rebalance().sink("rest", memorySink(right));
    };
    world = new MemoryWorld({ build, recordsPerCheckpoint: 2000 });
    const words = [0, 1].map((log) =>
      Array.from({ length: 10_000 }, (_, i) => `w${((i + log) * 7919) % 300}`),
    );
    for (const [log, some] of words.entries()) for (const word of some) world.logs[log]!.append(word);
    world.startCoordinator();
    const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(2);
    await world.replace(first);
    const report = await world.finished();
    expect(report.restarts).toBeGreaterThan(0);
    const all = perWord(words.flat());
    expect(last(main.committed)).toEqual(all);
    expect(main.committed).toHaveLength(20_000);
    const ofRight = right.committed.filter(({ word }) => !word.startsWith("end of "));
    expect(perWord(ofRight.map(({ word }) => word))).toEqual(perWord(words[1]!));
    const ends = right.committed.filter(({ word }) => word.startsWith("end of "));
    expect(ends).toHaveLength(Object.keys(all).length);
    expect(Object.fromEntries(ends.map(({ word, count }) => [word.slice("end of ".length), count]))).toEqual(
      all,
    );
    await world.close();
    // Two subtasks, before and after the loss.
    expect(seen.opened).toBeGreaterThanOrEqual(4);
    expect(seen.closed).toBe(seen.opened);
  });

  test.each([false, true])(
    "a broadcast gives each record to every subtask once, with a worker lost on the way (unaligned: %s)",
    async (unaligned) => {
      const target = new MemorySinkTarget<Count>();
      const build = (builder: JobBuilder, world: MemoryWorld) =>
        builder
          .source("log", world.paced(memorySource(world.logs, { until: "end" })))
          .broadcast()
          .map("one", (word): Count => ({ word, count: 1 }))
          .sink("out", memorySink(target));
      world = new MemoryWorld({ build, recordsPerCheckpoint: 2000, checkpointing: { unaligned } });
      const first = await world.begins(10_000);
      await world.checkpoints(2);
      await world.replace(first);
      await world.finished();
      const written = world.logs.flatMap((log) => Array.from({ length: log.length }, (_, i) => log.at(i)!));
      const expected = perWord([...written, ...written]);
      expect(perWord(target.committed.map(({ word }) => word))).toEqual(expected);
    },
  );
});
