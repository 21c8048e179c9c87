/**
 * Hundreds of clients ask a real leader for savepoints at once: each hears what became of its own, and the job goes on.
 */

import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient, newId } from "../../../src/cli/assembly.ts";
import { systemClock } from "../../../src/clock.ts";
import { ControlClient } from "../../../src/control/client.ts";
import { ControlLink } from "../../../src/control/link.ts";
import type { JobReport, SnapshotRequest } from "../../../src/control/messages.ts";
import { RequestRefusedError } from "../../../src/errors.ts";
import { patientSignal, WAIT_BOUND_MS } from "../../support/suite/patience.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until, type Workspace } from "../workspace.ts";

const COUNT = 40_000;
const CLIENTS = 300;
/** The savepoints that are taken at a time (G6), and a checkpoint of the interval. */
const PENDING_MAX = 9;

const shared = new SharedServer("volley");
const { here, asks } = shared;
let workspace: Workspace;
let parts: Command[] = [];

beforeEach(async () => {
  ({ workspace } = shared);
  workspace.write(
    "job.mjs",
    countingJob({
      count: COUNT,
      ratePerSecond: 2_000,
      held: true,
      options: 'restart: { initialBackoff: "100ms" }',
    }),
  );
  parts = [workspace.start(here("coordinator"))];
});
afterEach(async () => {
  for (const part of parts) part.kill("SIGKILL");
});

const report = () => createClient(shared.cluster).status("counting");
const comesTo = async (met: (now: JobReport) => boolean, what: string) => {
  let last: JobReport | undefined;
  await until(
    async () => {
      last = await report();
      return last !== undefined && met(last);
    },
    () => `${what}; at last ${JSON.stringify(last)}`,
  );
};

let clients = 0;
/** A client of its own, as another process would be. */
const client = () =>
  new ControlClient({
    link: new ControlLink({ bus: shared.cluster.bus, id: `client-${++clients}`, clock: systemClock }),
    subjects: shared.cluster.subjects,
    newId,
    leaderTimeoutMs: WAIT_BOUND_MS,
  });

const outcome = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => "completed",
    (error: unknown) =>
      error instanceof RequestRefusedError ? error.message : `unexpected: ${String(error)}`,
  );

const ask = (followedBy: SnapshotRequest["followedBy"]) =>
  client().snapshot(
    {
      job: "counting",
      request: randomUUID(),
      kind: "savepoint",
      directory: workspace.path("savepoints"),
      followedBy,
    },
    patientSignal(),
  );

test("each of hundreds of savepoints asked for at once is complete, and the output is exact", async () => {
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  for (let i = 0; i < 2; i++) parts.push(workspace.start(here("worker", "job.mjs", "--slots", "1")));
  await comesTo((now) => now.phase === "running.processing" && now.checkpoints.completed > 1, "running");
  const answers = Array.from({ length: CLIENTS }, () => outcome(ask("go-on")));
  let heard = 0;
  for (const answer of answers) void answer.then(() => heard++);
  const pending: number[] = [];
  await comesTo(({ checkpoints }) => {
    pending.push(checkpoints.pending.length + checkpoints.pendingMore);
    return heard === CLIENTS;
  }, "every client has its answer");
  expect(new Set(await Promise.all(answers))).toEqual(new Set(["completed"]));
  expect(Math.max(...pending)).toBeLessThanOrEqual(PENDING_MAX);
  workspace.release();
  await comesTo((now) => now.status === "finished", "finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});
