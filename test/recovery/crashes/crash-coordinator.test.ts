/** A coordinator that is killed at any step of a checkpoint, or robbed of an answer there: the output stays exact. */
import { describe, expect, test } from "vitest";
import { expectSurvival, generationsOf, named, type Row, useBench } from "./survival.ts";

const bench = useBench();

const atCoordinator: readonly Row[] = [
  ["before", "store generation"],
  ["after", "store generation"],
  ["lost", "store generation"],
  ["never", "store generation"],
  ["after", "store reservation"],
  ["lost", "send generation.deploy"],
  ["after", "send generation.started"],
  ["lost", "send generation.started"],
  ["never", "send generation.started"],
  ["after", "send checkpoint.triggered"],
  ["lost", "send checkpoint.triggered"],
  ["before", "put manifest"],
  ["after", "put manifest"],
  ["lost", "put manifest"],
  ["before", "store decision"],
  ["after", "store decision"],
  ["lost", "store decision"],
  ["never", "store decision"],
  ["before", "send checkpoint.completed"],
  ["after", "send checkpoint.completed"],
  ["lost", "send checkpoint.completed"],
  ["never", "send checkpoint.completed"],
  ["before", "store settling"],
  ["after", "store settling"],
  ["lost", "store settling"],
  ["before", "store terminal"],
  ["after", "store terminal"],
  ["lost", "store terminal"],
  ["lost", "store lease"],
  ["after", "store lease"],
];

test.for(named(atCoordinator))("at one step of a checkpoint: %s", async ([, row]) =>
  expectSurvival(bench(), { victim: "coordinator" }, [row], generationsOf([row])),
);

describe("a second crash while the first is being mended", () => {
  test.for(
    named([
      ["after", "store claim"],
      ["lost", "store claim"],
      ["never", "store claim"],
      ["before", "get manifest", { fromCheckpoint: 1 }],
      ["after", "store generation"],
      ["before", "send generation.started"],
    ]),
  )("coordinator, killed after a decision: %s", async ([, row]) => {
    const first: Row = ["after", "store decision"];
    await expectSurvival(bench(), { victim: "coordinator" }, [first, row], generationsOf([first, row]));
  });
});

describe("at the final checkpoint, while the job settles", () => {
  const final = { fromCheckpoint: 1 };
  test.for(
    named([
      ["before", "store decision", final],
      ["after", "store decision", final],
      ["before", "send checkpoint.completed", final],
      ["after", "send checkpoint.completed", final],
      ["before", "store settling"],
      ["after", "store settling"],
      ["before", "store terminal"],
    ]),
  )("coordinator: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "coordinator", finalOnly: true }, [row], 3),
  );
});

describe("a zombie that wakes up after its successor has gone on", () => {
  test.for(
    named([
      ["asleep", "put manifest"],
      ["asleep", "store decision"],
      ["asleep", "send checkpoint.triggered"],
      ["asleep", "send checkpoint.completed"],
      ["asleep", "delete manifest"],
      ["asleep", "store lease"],
      ["asleep", "store settling"],
    ]),
  )("coordinator: %s", async ([, row]) => expectSurvival(bench(), { victim: "coordinator" }, [row], 3));

  test.for(
    named([
      ["asleep", "put manifest"],
      ["asleep", "store decision"],
      ["asleep", "send checkpoint.completed"],
    ]),
  )("coordinator, early: %s", async ([, row]) =>
    expectSurvival(bench(), { victim: "coordinator", wakesEarly: true }, [row], 3),
  );
});

describe("placement", () => {
  test("a worker that dies before its deployment is durable is noticed", async () => {
    const outcome = await bench().runPlacedOnTheDead();
    expect(outcome.problems).toEqual([]);
    expect(outcome.generations, `generations; failures: ${outcome.failures}`).toBeLessThanOrEqual(2);
  });
});
