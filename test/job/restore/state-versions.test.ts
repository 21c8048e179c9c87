/** P101: what is stored in a form that a job does not understand is refused, with what helps. */
import { describe, expect, test } from "vitest";
import type { GraphPlan, KeyedStateHandle, OperatorPlan } from "../../../machines/protocol.ts";
import { planRestore } from "../../../src/job/restore/restore-plan.ts";
import { versionDifferences } from "../../../src/job/restore/state-versions.ts";
import { manifestOf, subtaskSnapshot } from "../../support/job-record.ts";

const UNKEYED = { list: "list", union: "union", map: "broadcast" } as const;

const plan = (stateVersions?: OperatorPlan["stateVersions"]): GraphPlan => ({
  vertices: [
    {
      id: "count",
      parallelism: 1,
      operators: [
        {
          ...{ id: "count", kind: "process", inputs: [], states: ["held", "other"], operatorStates: UNKEYED },
          ...(stateVersions && { stateVersions }),
        },
      ],
    },
  ],
  edges: [],
  maxParallelism: 128,
});

const problemsOf = (stored: Partial<KeyedStateHandle>, to: GraphPlan): readonly string[] => {
  const piece = {
    content: new Uint8Array(8),
    segments: [{ keyGroups: { first: 0, last: 1 }, offset: 0, bytes: 8 }],
  };
  const handle = {
    ...{ kind: "keyed" as const, operator: "count", state: "held", keyGroups: { first: 0, last: 127 } },
    pieces: [piece],
    ...stored,
  };
  const manifest = manifestOf(1, { subtasks: [subtaskSnapshot({ subtask: "count/0", states: [handle] })] });
  return planRestore({ plan: plan(), splits: {}, manifest }, to, []).problems;
};

const unkeyedProblems = (state: keyof typeof UNKEYED, version: string | undefined, to: GraphPlan) => {
  const handle = {
    ...{ kind: "operator" as const, operator: "count", state, distribution: UNKEYED[state] },
    ...{ subtaskIndex: 0, entries: [new Uint8Array(1)], ...(version && { version }) },
  };
  const manifest = manifestOf(1, { subtasks: [subtaskSnapshot({ subtask: "count/0", states: [handle] })] });
  return planRestore({ plan: plan(), splits: {}, manifest }, to, []).problems;
};

const two = plan({ held: { version: "2", migrates: [] } });
const migrating = plan({ held: { version: "2", migrates: ["1"] } });

describe("values of another version", () => {
  const words =
    'state "held" of operator count is stored in version "1" and has version "2" now: give it migrate: { "1": (value) => ... }';

  test("are refused with both versions", () => {
    expect(problemsOf({}, two)).toEqual([expect.stringContaining(words)]);
    expect(problemsOf({ version: "2" }, plan())).toEqual([
      expect.stringContaining('is stored in version "2" and has version "1" now'),
    ]);
  });

  test("are taken where they are the present one, or migrated, or nothing is stored", () => {
    expect(problemsOf({}, migrating)).toEqual([]);
    expect(problemsOf({ version: "2" }, two)).toEqual([]);
    expect(problemsOf({ pieces: [] }, two)).toEqual([]);
  });

  test("that may lie there are asked for when a job goes on with its own", () => {
    expect(versionDifferences(plan(), two)).toEqual([words]);
    expect(versionDifferences(plan(), migrating)).toEqual([]);
    // Its checkpoints may be those from before the migration.
    const three = plan({ held: { version: "3", migrates: ["2"] } });
    expect(versionDifferences(migrating, three)).toEqual([expect.stringContaining('stored in version "1"')]);
    expect(versionDifferences(two, three)).toEqual([]);
  });
});

test.each(["list", "union", "map"] as const)("and so are values of state without key: %s", (state) => {
  const second = plan({ [state]: { version: "2", migrates: [] } });
  const taking = plan({ [state]: { version: "2", migrates: ["1"] } });
  const words = `state "${state}" of operator count is stored in version "1" and has version "2" now: give it migrate: { "1": (value) => ... }`;
  expect(unkeyedProblems(state, undefined, second)).toEqual([expect.stringContaining(words)]);
  expect(unkeyedProblems(state, "2", plan())).toEqual([
    expect.stringContaining('is stored in version "2" and has version "1" now'),
  ]);
  expect(unkeyedProblems(state, undefined, taking)).toEqual([]);
  expect(unkeyedProblems(state, "2", second)).toEqual([]);
  expect(versionDifferences(plan(), second)).toEqual([words]);
  expect(versionDifferences(plan(), taking)).toEqual([]);
});

test("what another serializer has written is refused", () => {
  expect(problemsOf({ serializer: "tidemark.plain 2" }, plan())).toEqual([
    'state "held" of operator count was written by "tidemark.plain 2", and this version of Tidemark reads "tidemark.plain 1": restore it with the version that wrote it',
  ]);
  expect(problemsOf({ serializer: "tidemark.plain 1" }, plan())).toEqual([]);
});
