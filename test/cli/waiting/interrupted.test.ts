/**
 * Commands that wait for a savepoint, as real processes: their leader is killed while the savepoints wait for their
 * turn, and their user presses Ctrl-C.
 */
import { readdirSync, rmSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import { wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, type Ended, until, type Workspace } from "../workspace.ts";
import { HANG_FILE, hangingJob } from "./hanging-job.ts";

/** More than are taken at a time (G6). */
const CLIENTS = 10;

const shared = new SharedServer("interrupted");
const { here, asks } = shared;
let workspace: Workspace;
let leader: Command;
let snapshotRequests: number;

beforeEach(async () => {
  ({ workspace } = shared);
  const { nats, subjects } = shared.cluster;
  snapshotRequests = 0;
  nats.connection.subscribe(subjects.control("counting"), {
    callback: (_, message) => {
      if (Buffer.from(message.data).includes("job.snapshot")) snapshotRequests++;
    },
  });
  leader = workspace.start(here("coordinator"));
  workspace.write("job.mjs", hangingJob("prepared"));
  await leader.says("leading");
});
afterEach(() => leader.kill("SIGKILL"));

const comesTo = async (met: (now: JobReport) => boolean, what: string) => {
  let last: JobReport | undefined;
  await until(
    async () => {
      last = await createClient(shared.cluster).status("counting");
      return last !== undefined && met(last);
    },
    () => `${what}; at last ${JSON.stringify(last)}`,
  );
};

async function started(): Promise<void> {
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "job.mjs", "--slots", "1"));
  await goesOn();
}
async function goesOn(): Promise<void> {
  let completed: number | undefined;
  await comesTo(({ phase, checkpoints }) => {
    completed ??= checkpoints.completed;
    return phase === "running.processing" && checkpoints.completed > completed + 1;
  }, "the job completes checkpoints");
}

const command = (verb: "savepoint" | "stop") =>
  workspace.start(here(verb, "counting", "--to", workspace.path("savepoints")));
const found = async () => (await readRecord(await shared.cluster.openRecords(), "counting"))!.record;
const locationsKept = () =>
  readdirSync(workspace.path("savepoints")).map((it) => workspace.path(`savepoints/${it}`));
/** A request is repeated once it has been answered; or, on a busy machine, once no answer has come in time. */
const ASKED_AGAIN = 3;
const asksAgain = async (since: number) => {
  await until(
    () => snapshotRequests >= since + ASKED_AGAIN,
    () => `it asks again; ${snapshotRequests - since} requests`,
  );
};
const isExact = () => {
  const lines = workspace.lines();
  expect(wrongCounts(lines, lines.length)).toEqual([]);
};

test("the leader is killed while savepoints wait for their turn: each client has one true answer, and nothing is left over", async () => {
  const standby = workspace.start(here("coordinator"));
  await started();
  workspace.write(HANG_FILE, "");
  const clients = Array.from({ length: CLIENTS }, () => command("savepoint"));
  await comesTo(
    ({ unansweredRequests, checkpoints }) => unansweredRequests === CLIENTS && checkpoints.queued > 0,
    "some are under way, and others wait",
  );
  leader.kill("SIGKILL");
  await standby.says("leading");
  rmSync(workspace.path(HANG_FILE));
  const answers = await Promise.all(clients.map(({ ended }) => ended));

  const locations = answers.map(({ code, stdout, stderr }) => {
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return /^savepoint (\S+)\n$/.exec(stdout)?.[1];
  });
  expect(new Set(locations).size).toBe(CLIENTS);
  expect(locationsKept().sort()).toEqual(locations.sort());
  await goesOn();
  expect((await found()).begunSavepoints).toEqual([]);
  expect(await asks("restore", "job.mjs", "--from", String(locations[0]), "--dry-run")).toMatchObject({
    stderr: expect.stringContaining("job counting is running already"),
  });
  expect(await command("stop").ended).toMatchObject({ code: 0, stderr: "" });
  isExact();
  expect(await asks("dispose", String(locations[0]), "--dry-run")).toMatchObject({ code: 0, stderr: "" });
  expect((await asks("checkpoints", "gc", "counting", "--dry-run")).stdout).toMatch(/^0 objects/);
});

test("Ctrl-C ends the command at once, says what goes on, and the command that it names shows the outcome", async () => {
  await started();
  leader.kill("SIGSTOP");
  const absent = command("savepoint");
  await until(
    () => snapshotRequests > 0,
    () => "it asks",
  );
  expect(await interrupted(absent)).toMatchObject({ code: 130, stdout: "" });
  expect(absent.stderr).toBe(
    'tidemark: interrupted: no coordinator has answered yet, so the savepoint of job counting may be taken or not: "tidemark ' +
      'describe counting" names its location once it is complete, and "tidemark checkpoints show counting" tells of one that is under ' +
      "way or was given up\n",
  );
  leader.kill("SIGCONT");
  await goesOn();
  // The leader may have found its request, which none has taken back.
  const before = savepointsIn((await asks("describe", "counting")).stdout).length;

  workspace.write(HANG_FILE, "");
  for (const times of [1, 2]) {
    const since = snapshotRequests;
    const waits = command("savepoint");
    await asksAgain(since);
    for (let pressed = 1; pressed < times; pressed++) waits.kill("SIGINT");
    expect(await interrupted(waits)).toMatchObject({ code: 130, stdout: "" });
    expect(waits.stderr).toMatch(
      /^tidemark: interrupted: the savepoint of job counting is taken without this command, unless another coordinator takes the lead first: "tidemark describe counting" names its location.*\n$/,
    );
  }
  expect((await asks("checkpoints", "show", "counting")).stdout).toMatch(
    /checkpoint \d+ \(savepoint\) is under way for \d+ ms: 0 of 1 subtasks/,
  );
  rmSync(workspace.path(HANG_FILE));
  await described(before + 2);
  await goesOn();

  workspace.write(HANG_FILE, "");
  const stopping = command("stop");
  await comesTo(({ phase }) => phase === "running.stopping", "it stops");
  await asksAgain(snapshotRequests);
  // The user presses it twice: what goes on is said once, and the command does not end later for that.
  stopping.kill("SIGINT");
  expect(await interrupted(stopping)).toMatchObject({ code: 130, stdout: "" });
  expect(stopping.stderr).toMatch(
    /^tidemark: interrupted: the savepoint of job counting is taken, and the job stops with it, without this command[^\n]*\n$/,
  );
  rmSync(workspace.path(HANG_FILE));
  expect(await described(before + 3)).toMatch(/^status +stopped$/m);
  isExact();
});

function interrupted(waits: Command): Promise<Ended> {
  waits.kill("SIGINT");
  return waits.ended;
}

const savepointsIn = (description: string) =>
  [...description.matchAll(/^savepoint \d+ .* (\/\S+)$/gm)].map(([, location]) => location);

/** Until it lists so many savepoints, which are those that are there. */
async function described(savepoints: number): Promise<string> {
  let stdout = "";
  let locations: (string | undefined)[] = [];
  await until(
    async () => {
      ({ stdout } = await asks("describe", "counting"));
      locations = savepointsIn(stdout);
      return locations.length === savepoints && !/settling/.test(stdout);
    },
    () => stdout,
  );
  expect(locationsKept().sort()).toEqual(locations.sort());
  return stdout;
}
