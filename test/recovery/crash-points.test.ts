/** Killed at every step of a checkpoint, or robbed of an answer there, a job writes what an undisturbed one writes. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { connectNats } from "../../src/nats/connect.ts";
import type { NatsEnvironment } from "../../src/nats/environment.ts";
import { compile } from "../support/compiled.ts";
import { startTestServer, type TestServer } from "../support/nats.ts";
import { CrashBench, type CrashCase } from "./crash-case.ts";
import type { FaultSpec, When } from "./fault-points.ts";

let server: TestServer;
let nats: NatsEnvironment;
let bench: CrashBench;
let directory: string;

beforeAll(async () => {
  compile();
  server = await startTestServer();
  nats = await connectNats({ servers: server.url, name: "test" });
  directory = mkdtempSync(join(tmpdir(), "tidemark-recovery-"));
  bench = await CrashBench.open(server.url, nats, directory);
});

afterAll(async () => {
  await bench?.close();
  await nats?.connection.close();
  await server?.stop();
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
});

type Row = readonly [when: When, point: string, more?: Omit<FaultSpec, "when" | "point">];

const specOf = ([when, point, more]: Row): FaultSpec => ({ when, point, ...more });

/** Every killed process costs one generation; an answer that is lost or late costs none. */
async function survive(
  victim: "coordinator" | "worker",
  rows: readonly Row[],
  generations: number,
  more: Pick<CrashCase, "alone" | "finalOnly"> = {},
): Promise<void> {
  const isStaged = rows.some((row) => JSON.stringify(row).includes("transaction"));
  const transactions = isStaged ? "staged" : "inline";
  const outcome = await bench.run({ victim, faults: rows.map(specOf), transactions, ...more });
  expect(outcome.problems).toEqual([]);
  expect(outcome.hits, "crash points that were reached").toBe(rows.length);
  expect(outcome.generations, `generations; failures: ${outcome.failures}`).toBeLessThanOrEqual(generations);
}

const CASE_BOUND_MS = 60_000;
const generationsOf = (rows: readonly Row[]): number =>
  1 + rows.filter(([when]) => when === "before" || when === "after").length;

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

const atCoordinator: readonly Row[] = [
  ["before", "store generation"],
  ["after", "store generation"],
  ["lost", "store generation"],
  ["never", "store generation"],
  ["after", "store reservation"],
  ["lost", "send generation.deploy"],
  ["after", "send generation.start"],
  ["lost", "send generation.start"],
  ["never", "send generation.start"],
  ["after", "send checkpoint.trigger"],
  ["lost", "send checkpoint.trigger"],
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
  ["lost", "store lease", { nth: 2 }],
  ["after", "store lease", { nth: 2 }],
];

const nthOf = ([, , more]: Row): string =>
  (more?.nth === undefined ? "" : `, number ${more.nth}`) +
  (more?.companion === undefined ? "" : `, while ${more.companion.when} "${more.companion.point}"`);
const named = (rows: readonly Row[]) =>
  rows.map((row) => [`${row[0]} "${row[1]}"${nthOf(row)}`, row] as const);

describe("worker", () => {
  test.for(named(atWorker))("%s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("worker", [row], generationsOf([row])),
  );
});

describe("coordinator", () => {
  test.for(named(atCoordinator))("%s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("coordinator", [row], generationsOf([row])),
  );
});

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
  )("worker: %s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("worker", [firstAt, row], generationsOf([firstAt, row])),
  );

  test.for(
    named([
      ["before", "get transaction"],
      ["late", "get transaction"],
      ["lost", "get transaction"],
      ["never", "get transaction"],
    ]),
  )("the only worker: %s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("worker", [firstAt, row], generationsOf([firstAt, row]), { alone: true }),
  );

  test.for(
    named([
      ["after", "store claim"],
      ["lost", "store claim"],
      ["never", "store claim"],
      ["before", "get manifest", { fromCheckpoint: 1 }],
      ["after", "store generation"],
      ["before", "send generation.start"],
    ]),
  )("coordinator, killed after a decision: %s", { timeout: CASE_BOUND_MS }, async ([, row]) => {
    const first: Row = ["after", "store decision"];
    await survive("coordinator", [first, row], generationsOf([first, row]));
  });
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
  )("worker: %s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("worker", [row], 3, { finalOnly: true }),
  );

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
  )("coordinator: %s", { timeout: CASE_BOUND_MS }, async ([, row]) =>
    survive("coordinator", [row], 3, { finalOnly: true }),
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
  )("worker: %s", { timeout: CASE_BOUND_MS }, async ([, row]) => survive("worker", [row], 3));

  test.for(
    named([
      ["asleep", "put manifest"],
      ["asleep", "store decision"],
      ["asleep", "send checkpoint.trigger"],
      ["asleep", "send checkpoint.completed"],
      ["asleep", "delete manifest"],
      ["asleep", "store lease", { nth: 2 }],
      ["asleep", "store settling"],
    ]),
  )("coordinator: %s", { timeout: CASE_BOUND_MS }, async ([, row]) => survive("coordinator", [row], 3));
});

describe("placement", () => {
  test("a worker that dies before its deployment is durable is noticed", {
    timeout: CASE_BOUND_MS,
  }, async () => {
    const outcome = await bench.runPlacedOnTheDead();
    expect(outcome.problems).toEqual([]);
    expect(outcome.generations, `generations; failures: ${outcome.failures}`).toBeLessThanOrEqual(2);
  });
});
