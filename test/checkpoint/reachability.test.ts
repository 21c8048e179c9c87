import { describe, expect, it } from "vitest";
import type { JobStatus } from "../../machines/protocol.ts";
import { objectsOf, unreachable } from "../../src/checkpoint/reachability.ts";
import { generationIn, objectNames } from "../../src/checkpoint/storage.ts";
import { completedCheckpoint, keyedHandle, manifestOf, subtaskSnapshot } from "../support/job-record.ts";

const at = { job: "word-count", incarnation: "i1" };
const object = (name: string) => ({ name, bytes: 1, digest: "sha256:00" });
const state = (generation: number, part = 0) =>
  objectNames.state({ ...at, generation, checkpointId: 7, subtask: "count/0", part });

describe("what a checkpoint needs", () => {
  it("is its manifest, its state, and what its transactions have staged, each with its purpose", () => {
    const staged = objectNames.transaction({ ...at, generation: 2, sink: "out", writer: 1, part: 0 });
    const manifest = manifestOf(7, {
      subtasks: [
        subtaskSnapshot({
          states: [keyedHandle("count", [object(state(2))])],
          transactions: [
            {
              incarnation: "i1",
              sink: "out",
              writer: 1,
              checkpointId: 6,
              staged: [object(staged)],
              detail: null,
            },
          ],
        }),
        subtaskSnapshot({ subtask: "count/1" }),
      ],
    });
    const checkpoint = completedCheckpoint(7, 2);
    expect(objectsOf(checkpoint, manifest).map(({ handle, purpose }) => [handle.name, purpose])).toEqual([
      [checkpoint.manifest.name, "manifest"],
      [state(2), "state of count in count/0"],
      [staged, "transaction out@6 of writer 1"],
    ]);
  });
});

describe("what nothing reaches (P21)", () => {
  const standings = (
    status: JobStatus,
    names: readonly string[],
    reached: readonly string[] = [],
    generations: readonly number[] = [3],
  ) =>
    unreachable(
      { generation: 3, generations, status, checkpoints: [completedCheckpoint(7, 2)] },
      new Set(reached),
      names.map(object),
    ).map(({ name, generation, standing }) => [name, generation, standing]);

  it("is collectable in generations that are over, young in the record's own and in newer ones", () => {
    expect(standings("running", [state(1), state(2), state(3), state(4)], [state(2)])).toEqual([
      [state(1), 1, "collectable"],
      [state(3), 3, "young"],
      [state(4), 4, "young"],
    ]);
  });

  it("is young in the generation of a region that goes on while a newer one was raised for another", () => {
    expect(standings("running", [state(1), state(2), state(3)], [], [1, 3])).toEqual([
      [state(1), 1, "young"],
      [state(2), 2, "collectable"],
      [state(3), 3, "young"],
    ]);
    expect(standings("finished", [state(1), state(3)], [], [1, 3])).toEqual([
      [state(1), 1, "collectable"],
      [state(3), 3, "collectable"],
    ]);
  });

  it("is foreign under a name that is not one of ours", () => {
    const foreign = ["word-count/README", "word-count/i1/x/checkpoint-1/a"];
    expect(standings("running", foreign)).toEqual(foreign.map((name) => [name, null, "foreign"]));
  });

  it.each([
    ["finished", "collectable"],
    ["canceled", "collectable"],
    ["stopped", "collectable"],
    ["suspended", "young"],
    ["failed", "young"],
    ["settling", "young"],
  ] as const)("of the last generation of a %s job is %s (P18)", (status, standing) => {
    expect(standings(status, [state(3)])).toEqual([[state(3), 3, standing]]);
  });
});

it("names give back the generation that they were built with", () => {
  const generation = 12;
  for (const name of [
    objectNames.manifest({ ...at, generation, checkpointId: 1 }),
    objectNames.message({ ...at, generation, id: "m" }),
    objectNames.transaction({ ...at, generation, sink: "s", writer: 0, part: 3 }),
    state(generation),
  ])
    expect(generationIn(name)).toBe(generation);
});
