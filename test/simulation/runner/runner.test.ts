/** Many seeds in several processes, and what is left of one that fails. */
import { describe, expect, test } from "vitest";
import type { Decision, Edit } from "../decisions.ts";
import { type Outcome, simulate } from "../simulate.ts";
import type { StoryLine } from "../story.ts";
import { replayOf, simulateAll } from "./runner.ts";
import { shrink } from "./shrink.ts";
import { fullStory, shortStory } from "./story.ts";

describe("the runner", () => {
  test.each([1, 76, 151, 226])("finds nothing wrong on 75 seeds from %i, in two processes", async (first) => {
    const { failures, seeds } = await simulateAll({ first, seeds: 75, processes: 2 });
    expect(failures.map(({ seed, findings }) => `${findings.join("; ")} (${replayOf(seed)})`)).toEqual([]);
    expect(seeds).toBe(75);
  });

  test("reports the same from one process, whose code is warm, and from two", async () => {
    const one = await simulateAll({ first: 7, seeds: 6, processes: 1 });
    expect(await simulateAll({ first: 7, seeds: 6, processes: 2 })).toEqual(one);
    expect(await simulateAll({ first: 8, seeds: 6, processes: 2 })).not.toEqual(one);
  });

  test("runs only seeds that draw what is asked for, and says when none does", async () => {
    const { seeds, covered } = await simulateAll({
      first: 1,
      seeds: 2,
      draws: "operator session",
      processes: 1,
    });
    expect([seeds, covered["operator session"]]).toEqual([2, 2]);
    const vain = simulateAll({ first: 1, seeds: 1, draws: "operator sesion", processes: 1 });
    await expect(vain).rejects.toThrow('no job of 2000 seeds draws "operator sesion"');
  });
});

describe("a replay", () => {
  test("goes the same way with all faults, and leaves out what it is told to", async () => {
    const whole = await simulate(1);
    expect(whole.taken.length).toBeGreaterThan(2);
    expect(await simulate(1, { only: whole.taken })).toEqual(whole);
    const some = whole.taken.filter((_, i) => i % 2 === 0);
    const { taken, faults } = await simulate(1, { only: some });
    expect(some.map(({ number }) => number)).toEqual(
      expect.arrayContaining(taken.map(({ number }) => number)),
    );
    expect(faults).toBeLessThanOrEqual(some.length);
  });
});

describe("the shrinker", () => {
  const decisions = Array.from(
    { length: 60 },
    (_, number): Decision => ({ number, name: `fault ${number}`, atMs: number, nth: 0, amount: 0 }),
  );
  const outcomeOf = (findings: readonly string[], taken: readonly Decision[]): Outcome => ({
    seed: 1,
    findings,
    taken,
    traceHash: "",
    steps: 0,
    virtualMs: 0,
    faults: taken.length,
    crashes: 0,
    checkpoints: 0,
    recoveries: 0,
    statesCompared: 0,
    covered: [],
    story: [],
    operators: [],
    workers: 1,
  });
  const failsWith = (needed: readonly number[], records: number) => {
    const runs = { made: 0 };
    const run = async (_: number, { only = decisions, recordsMax = 1000 }: Edit): Promise<Outcome> => {
      runs.made++;
      const there = new Set(only.map(({ number }) => number));
      const fails = needed.every((number) => there.has(number)) && recordsMax >= records;
      return outcomeOf(fails ? ["wrong"] : [], only);
    };
    return { run, runs };
  };

  test.each([
    { needed: [3, 17, 40], records: 5 },
    { needed: [59], records: 1 },
    { needed: [], records: 12 },
  ])("leaves exactly what the failure needs: $needed and $records records", async ({ needed, records }) => {
    const { run } = failsWith(needed, records);
    const { edit, isSmallest } = await shrink(outcomeOf(["wrong"], decisions), run);
    expect(edit.only.map(({ number }) => number)).toEqual(needed);
    expect(edit.recordsMax).toBe(records);
    expect(isSmallest).toBe(true);
  });

  test("leaves the operators and the workers that the failure needs", async () => {
    const run = async (_: number, { without = [], workersMax = 4 }: Edit): Promise<Outcome> => ({
      ...outcomeOf(without.includes("o1") || workersMax < 2 ? [] : ["wrong"], []),
      operators: ["o0", "o1", "o2"].filter((id) => !without.includes(id)),
      workers: workersMax,
    });
    const { edit, outcome } = await shrink(await run(1, {}), run);
    expect(edit).toMatchObject({ without: ["o0", "o2"], workersMax: 2 });
    expect(outcome).toMatchObject({ operators: ["o1"], workers: 2 });
  });

  test("says so when its tries have run out", async () => {
    const { run, runs } = failsWith([3, 17, 40], 5);
    const { isSmallest, outcome } = await shrink(outcomeOf(["wrong"], decisions), run, 15);
    expect(runs.made).toBe(15);
    expect(isSmallest).toBe(false);
    expect(outcome.findings).toEqual(["wrong"]);
  });
});

test("a story says once what several machines do alike, and of their states only what has moved", () => {
  const step = {
    atMs: 1500,
    process: "worker1",
    role: "subtask",
    event: "input.ended",
    effects: ["run.finish"],
  };
  const states = { from: "running.input.processing+snapshot.idle", to: "running.input.ended+snapshot.idle" };
  const story = [
    { atMs: 0, text: "* worker2 crashes" },
    { ...step, ...states, id: "count/0" },
    { ...step, ...states, id: "count/1" },
  ];
  expect(shortStory(story)).toEqual([
    "0.000 * worker2 crashes",
    "1.500 worker1 subtask count/0 count/1: input.ended, -> running.input.ended [run.finish]",
  ]);
  expect(fullStory(story)).toHaveLength(3);
});

test("a story tells of a checkpoint that nothing disturbed in one line, and the last one whole", () => {
  const checkpoint = (id: number, atMs: number, between: readonly StoryLine[] = []): StoryLine[] => {
    const step = { atMs, process: "coordinator1", role: "checkpoint", id: `checkpoint/${id}`, effects: [] };
    const taken = { ...step, process: "worker1", role: "subtask", id: "count/0", event: "snapshot.stored" };
    return [
      { ...step, event: "actor.started", from: "", to: "preparing" },
      { ...taken, from: "snapshot.snapshotting", to: "snapshot.idle" },
      ...between,
      { ...step, event: "subtask.committed", from: "committing", to: "completed" },
    ];
  };
  const crash = { atMs: 2500, text: "* worker2 crashes" };
  const story = [...checkpoint(1, 1000), ...checkpoint(2, 2000, [crash]), ...checkpoint(3, 3000)];
  expect(shortStory(story)).toEqual([
    "1.000 (checkpoint/1 is taken and committed)",
    "2.000 coordinator1 checkpoint checkpoint/2: actor.started, -> preparing",
    "2.000 worker1 subtask count/0: snapshot.stored, -> snapshot.idle",
    "2.500 * worker2 crashes",
    "2.000 coordinator1 checkpoint checkpoint/2: subtask.committed, -> completed",
    "3.000 coordinator1 checkpoint checkpoint/3: actor.started, -> preparing",
    "3.000 worker1 subtask count/0: snapshot.stored, -> snapshot.idle",
    "3.000 coordinator1 checkpoint checkpoint/3: subtask.committed, -> completed",
  ]);
});
