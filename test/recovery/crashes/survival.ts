/** What the tables of crash points share: rows, and how a row is judged. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect } from "vitest";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { CrashBench, type CrashCase } from "./crash-case.ts";
import type { FaultSpec, When } from "./fault-points.ts";

export type Row = readonly [when: When, point: string, more?: Omit<FaultSpec, "when" | "point">];

const specOf = ([when, point, more]: Row): FaultSpec => ({ when, point, ...more });

/** Every killed process costs one generation; an answer that is lost or late costs none. */
export const generationsOf = (rows: readonly Row[]): number =>
  1 + rows.filter(([when]) => when === "before" || when === "after").length;

export function named(rows: readonly Row[]): (readonly [string, Row])[] {
  return rows.map((row) => [`${row[0]} "${row[1]}"${detailsOf(row)}`, row]);
}

function detailsOf([, , more]: Row): string {
  const number = more?.nth === undefined ? "" : `, number ${more.nth}`;
  const companion = more?.companion;
  return companion === undefined ? number : `${number}, while ${companion.when} "${companion.point}"`;
}

/** A bench for the tests of one file. `bench()` is there while they run. */
export function useBench(): () => CrashBench {
  let server: TestServer | undefined;
  let nats: NatsEnvironment | undefined;
  let bench: CrashBench | undefined;
  let directory: string | undefined;

  beforeAll(async () => {
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

  return () => bench!;
}

export async function expectSurvival(
  bench: CrashBench,
  crashCase: Omit<CrashCase, "faults">,
  rows: readonly Row[],
  generations: number,
): Promise<void> {
  const isStaged = rows.some((row) => JSON.stringify(row).includes("transaction"));
  const transactions = isStaged ? "staged" : "inline";
  const outcome = await bench.run({ transactions, ...crashCase, faults: rows.map(specOf) });
  expect(outcome.problems).toEqual([]);
  expect(outcome.hits, "crash points that were reached").toBe(rows.length);
  expect(outcome.generations, `generations; failures: ${outcome.failures}`).toBeLessThanOrEqual(generations);
}
