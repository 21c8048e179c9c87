/** A worker that is killed at any step of a checkpoint, or robbed of an answer there: the output stays exact. */
import { describe, test } from "vitest";
import { expectSurvival, generationsOf, named, type Row, useBench } from "./survival.ts";

const bench = useBench();

const atWorker: readonly Row[] = [
  ["before", "effect cut.transactions"],
  ["before", "effect stage.transaction"],
  ["after", "barrier"],
  ["before", "put state"],
  ["after", "put state"],
  ["lost", "put state"],
  ["never", "put state"],
  ["before", "put transaction", { nth: 2 }],
  ["after", "put transaction", { nth: 2 }],
  ["lost", "put transaction", { nth: 2 }],
  ["never", "put transaction", { nth: 2 }],
  ["late", "put transaction", { nth: 2 }],
  ["before", "send subtask.acknowledged"],
  ["after", "send subtask.acknowledged"],
  ["lost", "send subtask.acknowledged"],
  ["never", "send subtask.acknowledged"],
  ["before", "effect commit.transaction"],
  ["before", "batch part"],
  ["after", "batch part"],
  ["lost", "batch part"],
  ["never", "batch part"],
  ["before", "batch part", { nth: 2 }],
  ["after", "batch part", { nth: 2 }],
  ["before", "send subtask.committed"],
  ["after", "send subtask.committed"],
  ["lost", "send subtask.committed"],
  ["before", "send subtask.committed", { companion: { when: "late", point: "put transaction" } }],
  ["before", "batch takeover"],
  ["after", "batch takeover"],
  ["lost", "batch takeover"],
  ["lost", "send subtask.restored"],
  ["before", "send subtask.ended"],
  ["lost", "send subtask.ended"],
];

test.for(named(atWorker))("at one step of a checkpoint: %s", async ([, row]) =>
  expectSurvival(bench(), { victim: "worker" }, [row], generationsOf([row])),
);

describe("a second crash while the first is being mended", () => {
  const firstAt: Row = ["before", "batch part"];
  test.for(
    named([
      ["before", "get manifest", { fromCheckpoint: 1 }],
      ["late", "get manifest", { fromCheckpoint: 1 }],
      ["lost", "get manifest", { fromCheckpoint: 1 }],
      ["before", "get state", { fromCheckpoint: 1 }],
      ["late", "get state", { fromCheckpoint: 1 }],
      ["before", "batch takeover", { fromGeneration: 2 }],
      ["after", "batch takeover", { fromGeneration: 2 }],
      ["before", "send subtask.restored"],
      ["before", "batch part", { fromCheckpoint: 1, fromGeneration: 2 }],
    ]),
  )("worker: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "worker", alone: true }, [firstAt, row], generationsOf([firstAt, row])),
  );

  test.for(
    named([
      ["before", "get transaction"],
      ["late", "get transaction"],
      ["lost", "get transaction"],
      ["never", "get transaction"],
    ]),
  )("the only worker: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "worker", alone: true }, [firstAt, row], generationsOf([firstAt, row])),
  );
});

describe("at the final checkpoint, while the job settles", () => {
  const final = { fromCheckpoint: 1 };
  test.for(
    named([
      ["before", "batch part", final],
      ["after", "batch part", final],
      ["before", "batch part", { ...final, nth: 3 }],
      ["before", "send subtask.committed", final],
      ["lost", "send subtask.committed", final],
      ["asleep", "batch part", final],
    ]),
  )("worker: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "worker", finalOnly: true }, [row], 3),
  );
});

describe("a zombie that wakes up after its successor has gone on", () => {
  test.for(
    named([
      ["asleep", "batch part"],
      ["asleep", "batch part", { nth: 2 }],
      ["asleep", "put state"],
      ["asleep", "put transaction", { nth: 2 }],
      ["asleep", "send subtask.acknowledged"],
      ["asleep", "send subtask.committed"],
    ]),
  )("worker: %s", async ([, row]) => expectSurvival(bench(), { victim: "worker" }, [row], 3));

  test.for(
    named([
      ["asleep", "batch part"],
      ["asleep", "send subtask.acknowledged"],
    ]),
  )("worker, early: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "worker", wakesEarly: true }, [row], 3),
  );
});
