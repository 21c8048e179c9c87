/** A machine that has changed: which stored actors it takes, by version, and what the user is told before a start. */

import { describe, expect, test } from "vitest";
import { createMachine, emit } from "xstate";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { graphFingerprint, machineDifferences, planDifferences } from "../../../src/job/fingerprint.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { planOf } from "../../../src/job/plan.ts";
import { planRestore } from "../../../src/job/restore/restore-plan.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { ping, pingJob } from "./pings.ts";

const door = (states: object) => createMachine({ id: "door", initial: "closed", states } as never);
const closed = { on: { OPEN: "open" } };
const open = { after: { 100: "closed" }, on: { SHOW: { actions: emit({ type: "is open" }) } } };
const first = door({ closed, open });

const planFor = (machine: typeof first, definition: object = {}) => {
  const job = pingJob(machine, definition);
  return planOf(buildGraph(job, resolveJobConfig(job.options).config));
};

const manifest = {
  subtasks: [
    {
      subtask: "actors/0",
      finished: false,
      states: [
        {
          kind: "keyed",
          operator: "actors",
          state: "actors of the machine",
          pieces: [{ keyGroups: { first: 0, last: 127 }, content: new Uint8Array(1) }],
        },
      ],
      transactions: [],
      channels: [],
    },
  ],
} as never;

const resumeProblems = (machine: typeof first, definition: object = {}) => {
  const [before, after] = [planFor(first), planFor(machine, definition)];
  expect(graphFingerprint(after)).toBe(graphFingerprint(before));
  expect(planDifferences(before, after)).toEqual([]);
  return machineDifferences(before, after);
};

describe("what is said before anything starts", () => {
  test("new states are taken as they come", () => {
    expect(resumeProblems(first)).toEqual([]);
    expect(resumeProblems(door({ closed, open, locked: {} }))).toEqual([]);
    expect(resumeProblems(door({ closed: { ...closed, entry: "shut" }, open }))).toEqual([]);
  });

  test("a state that is gone, or waits for another time, or has parts now, needs a new version and a migrate", () => {
    const other = (states: object, ...gone: readonly string[]) => {
      const [problem, ...more] = resumeProblems(door(states));
      expect(more).toEqual([]);
      for (const state of gone) expect(problem).toContain(state);
      expect(problem).toMatch(
        /^operator "actors": has no state .* any more.*another version than "1".*migrate: \{ "1"/,
      );
    };
    other({ closed: {} }, "door.open (after 100)");
    other({ closed, open: { after: { 200: "closed" } } }, "door.open (after 100)");
    other({ closed, open: {} }, "door.open (after 100)");
    other({ closed: { ...closed, initial: "a", states: { a: {} } }, open }, "door.closed");
    const renamed = createMachine({ id: "gate", initial: "closed", states: { closed, open } } as never);
    expect(resumeProblems(renamed)).toHaveLength(1);
  });

  test("another version takes over the actors of those that it has a migrate for", () => {
    const second = door({ closed: {} });
    const migrate = { 1: () => ({ value: "closed", context: {} }) };
    expect(resumeProblems(second, { version: "2", migrate })).toEqual([]);
    expect(resumeProblems(second, { version: "2" })).toEqual([
      'operator "actors": has version "2" of its machine, and actors may be stored by version "1": give the operator ' +
        'migrate: { "1": ({ value, context }) => ... }',
    ]);
    const third = planFor(second, { version: "3", migrate: { 2: migrate[1] } });
    expect(machineDifferences(planFor(second, { version: "2", migrate }), third)).toEqual([
      expect.stringContaining('actors may be stored by version "1"'),
    ]);
    const problems = (definition: object) =>
      planRestore({ plan: planFor(first), splits: {}, manifest }, planFor(second, definition), []).problems;
    expect(problems({})).toEqual([
      expect.stringContaining("operator actors has no state door.open (after 100)"),
    ]);
    expect(problems({ version: "2", migrate })).toEqual([]);
  });
});

describe("what becomes of stored actors", () => {
  const stored = async () => {
    const harness = await createTestHarness(pingJob(first));
    await harness.push("events", ping("OPEN", 0));
    await harness.push("events", ping("OPEN", 0, { key: "other" }));
    const snapshot = harness.snapshot();
    await harness.close();
    return snapshot;
  };

  test("they are migrated with their next event: delays that the machine still has go on, new ones begin", async () => {
    const machine = door({
      closed: {},
      wide: { on: { SHOW: { actions: emit({ type: "is wide" }) } }, after: { 50: "closed" } },
    });
    const migrate = {
      1: ({ value, context }: { value: string; context: object }) => ({
        value: value === "open" ? "wide" : value,
        context: { ...context, migrated: true },
      }),
    };
    const emits = (event: object, { key, context }: { key: string; context: object }) => ({
      ...event,
      key,
      context,
    });
    const job = pingJob(machine, { version: "2", migrate, emit: emits });
    const harness = await createTestHarness(job, { restore: await stored() });
    await harness.push("events", ping("SHOW", 10));
    const shown = { type: "is wide", key: "k", context: { migrated: true } };
    expect(harness.output("out")).toEqual([shown]);
    await harness.watermark("events", 59);
    await harness.push("events", ping("SHOW", 59));
    expect(harness.output("out")).toEqual([shown]);
    await harness.watermark("events", 60);
    await harness.push("events", ping("SHOW", 61));
    expect(harness.output("out")).toEqual([]);
    await harness.close();
  });

  test("a harness refuses those of a machine that has changed, as a restore does", async () => {
    const restore = await stored();
    await expect(createTestHarness(pingJob(door({ closed: {} })), { restore })).rejects.toThrow(
      /restore: operator actors has no state .*open.* any more, and stored actors may be in it/,
    );
  });

  test("one whose state or version is unknown fails the job by name when it is needed", async () => {
    const restore = await stored();
    const failing = async (machine: typeof first, definition: object) => {
      const job = pingJob(machine, definition);
      const begun = await createTestHarness(job);
      // As if the plan did not tell what has changed.
      const { plan } = begun.snapshot();
      await begun.close();
      const harness = await createTestHarness(job, { restore: { ...restore, plan } });
      const push = harness.push("events", ping("SHOW", 10));
      await expect(push).rejects.toThrow(
        /operator "actors" failed: an actor (is in state open, which|was stored by version "1")/,
      );
      await harness.close();
    };
    await failing(door({ closed: {} }), {});
    await failing(door({ closed: {} }), { version: "2" });
    await failing(door({ closed: {} }), { version: "2", migrate: { 1: (actor: object) => actor } });
  });
});
