/**
 * The crash points over jobs that keep more than counts: windows, timers, requests under way, joins, rules, actors.
 * Each point comes once, and the jobs take turns. So do barriers that wait for records and barriers that overtake them.
 */
import { describe, test } from "vitest";
import { actors } from "../../chaos/workloads/actors.ts";
import { joins } from "../../chaos/workloads/joins.ts";
import { requests } from "../../chaos/workloads/requests.ts";
import { rules } from "../../chaos/workloads/rules.ts";
import { timers } from "../../chaos/workloads/timers.ts";
import { windows } from "../../chaos/workloads/windows.ts";
import { expectSurvival, generationsOf, named, type Row, useBench } from "./survival.ts";

const bench = useBench();

/** One turn of each of those that have many operators goes with one of all others: they take most of the time. */
const ROUNDS = [joins, rules, actors].map((large) => [windows, timers, requests, large]);
const JOBS = ROUNDS.flat();

interface Case {
  readonly workload: string;
  readonly unaligned: boolean;
  readonly row: Row;
}

/** The points, each with the job and the barriers whose turn it is. */
function inTurn(rows: readonly Row[]): (readonly [string, Case])[] {
  return named(rows).map(([name, row], index) => {
    const { name: workload } = JOBS[index % JOBS.length]!;
    const round = Math.floor(index / ROUNDS[0]!.length);
    const unaligned = (index + round) % 2 === 1;
    return [`${workload}${unaligned ? ", unaligned" : ""}, ${name}`, { workload, unaligned, row }];
  });
}

test.for(
  inTurn([
    ["before", "effect cut.transactions"],
    ["before", "effect stage.transaction"],
    ["after", "barrier"],
    ["before", "put state"],
    ["after", "put state"],
    ["lost", "put state"],
    ["before", "put transaction", { nth: 2 }],
    ["after", "put transaction", { nth: 2 }],
    ["before", "send subtask.acknowledged"],
    ["after", "send subtask.acknowledged"],
    ["lost", "send subtask.acknowledged"],
    ["before", "batch part"],
    ["after", "batch part"],
    ["lost", "batch part"],
    ["before", "send subtask.committed"],
    ["after", "send subtask.committed"],
    ["before", "batch takeover"],
    ["lost", "send subtask.restored"],
    ["before", "send subtask.ended"],
  ]),
)("a worker, %s", async ([, { workload, unaligned, row }]) =>
  expectSurvival(bench(), { victim: "worker", workload, unaligned }, [row], generationsOf([row])),
);

test.for(
  inTurn([
    ["after", "store generation"],
    ["after", "store reservation"],
    ["after", "send generation.started"],
    ["after", "send checkpoint.triggered"],
    ["before", "put manifest"],
    ["after", "put manifest"],
    ["before", "store decision"],
    ["after", "store decision"],
    ["lost", "store decision"],
    ["before", "send checkpoint.completed"],
    ["after", "send checkpoint.completed"],
    ["before", "store settling"],
    ["after", "store settling"],
    ["before", "store terminal"],
  ]),
)("a coordinator, %s", async ([, { workload, unaligned, row }]) =>
  expectSurvival(bench(), { victim: "coordinator", workload, unaligned }, [row], generationsOf([row])),
);

describe("a second crash while the first is being mended", () => {
  const first: Row = ["before", "batch part"];
  test.for(
    inTurn([
      ["before", "get manifest", { fromCheckpoint: 1 }],
      ["before", "get state", { fromCheckpoint: 1 }],
      ["before", "send subtask.restored"],
      ["before", "batch part", { fromCheckpoint: 1, fromGeneration: 2 }],
    ]),
  )("a worker, %s", async ([, { workload, unaligned, row }]) =>
    expectSurvival(
      bench(),
      { victim: "worker", alone: true, workload, unaligned },
      [first, row],
      generationsOf([first, row]),
    ),
  );
});

describe("a zombie that wakes up after its successor has gone on", () => {
  test.for(
    inTurn([
      ["asleep", "put state"],
      ["asleep", "batch part"],
      ["asleep", "send subtask.acknowledged"],
    ]),
  )("a worker, %s", async ([, { workload, unaligned, row }]) =>
    expectSurvival(bench(), { victim: "worker", workload, unaligned }, [row], 3),
  );
});
