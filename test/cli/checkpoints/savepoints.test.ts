/** Savepoints with real processes: taken, stopped with, restored from, in every way a person may go wrong. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Cluster, createClient } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { type CountingJob, countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until, type Workspace } from "../workspace.ts";

const COUNT = 40_000;

const shared = new SharedServer("savepoints");
const { here, asks, json } = shared;
let workspace: Workspace;
let prefix: string;
let cluster: Cluster;
let savepoints: string;
let parts: Command[] = [];

beforeEach(async () => {
  ({ workspace, cluster, prefix } = shared);
  savepoints = workspace.path("savepoints");
  write({ count: COUNT });
  parts = [workspace.start(here("coordinator"))];
});
afterEach(async () => {
  for (const part of parts) part.kill("SIGKILL");
});

/** A job that ends when the test lets it. */
const write = (job: Partial<CountingJob> & { count: number }, file = "job.mjs") =>
  workspace.write(
    file,
    countingJob({
      options: 'restart: { initialBackoff: "100ms" }',
      ratePerSecond: 2_000,
      held: true,
      ...job,
    }),
  );
const startWorkers = (file = "job.mjs") => {
  for (let i = 0; i < 2; i++) parts.push(workspace.start(here("worker", file, "--slots", "1")));
};
const report = (job = "counting") => createClient(cluster).status(job);
const comesTo = async (met: (now: JobReport) => boolean, what: string, job?: string) => {
  let last: JobReport | undefined;
  await until(
    async () => {
      last = await report(job);
      return last !== undefined && met(last);
    },
    () => `${what}; at last ${JSON.stringify(last)}`,
  );
};
const runs = (job?: string) =>
  comesTo((now) => now.phase === "running.processing" && now.checkpoints.completed > 1, "running", job);
const ends = (status: string, job?: string) => {
  if (status === "finished") workspace.release();
  return comesTo((now) => now.status === status, status, job);
};
const lines = () => workspace.lines("out");

async function started(file = "job.mjs"): Promise<void> {
  expect(await asks("submit", file)).toMatchObject({ code: 0 });
  startWorkers(file);
  await runs();
}

/** Workers end by themselves with their job. */
async function restored(...more: string[]): Promise<void> {
  const answer = await asks("restore", "job.mjs", ...more);
  expect(answer).toMatchObject({ code: 0, stderr: "" });
  startWorkers();
}

describe("stop with a savepoint, and go on from it", () => {
  test("the output of both together is exact: in a directory", async () => {
    await started();
    const stopped = await json("stop", "counting", "--to", savepoints);
    expect(stopped).toMatchObject({ job: "counting", stopped: true, drained: false });
    const location = String(stopped.location);
    expect(location).toMatch(/^\/.*\/savepoints\/counting-savepoint-\d+-[0-9a-f]{8}$/);
    expect((await report())?.status).toBe("stopped");
    const again = await asks("submit", "job.mjs");
    expect(again.code).toBe(4);
    expect(again.stderr).toMatch(`was stopped with savepoint ${location}; go on with "tidemark restore`);

    const before = lines().length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(COUNT);
    await restored("--from", location);
    await ends("finished");
    expect(wrongCounts(lines(), COUNT)).toEqual([]);
    // It is its user's: still there, and good for another fork.
    const { code, stdout } = await asks("restore", "job.mjs", "--from", location, "--dry-run");
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^ *count +matched +count/m),
    });
  });

  test("in an object store, claimed: deleted once a checkpoint of the new job is complete", async () => {
    await started();
    const { location } = await json("stop", "counting", "--to", `nats:${prefix}-kept`);
    expect(location).toMatch(new RegExp(`^nats:${prefix}-kept/counting-savepoint-`));
    await restored("--from", String(location), "--claim");
    await ends("finished");
    expect(wrongCounts(lines(), COUNT)).toEqual([]);
    const gone = await asks("restore", "job.mjs", "--from", String(location), "--fresh");
    expect(gone.code).toBe(4);
    expect(gone.stderr).toMatch("there is no savepoint at");
  });

  test("--drain: everything that was read is in the output, and no job goes on from it", async () => {
    await started();
    const { location, drained } = await json("stop", "counting", "--drain", "--to", savepoints);
    expect(drained).toBe(true);
    const output = lines();
    expect(wrongCounts(output, output.length)).not.toEqual([expect.stringContaining("twice")]);
    const answer = await asks("restore", "job.mjs", "--from", String(location));
    expect(answer.code).toBe(4);
    expect(answer.stderr).toMatch("the job was drained");
  });

  test("cancel with a savepoint; what it holds uncommitted is committed by the job that goes on", async () => {
    await started();
    const { location, canceled } = await json("cancel", "counting", "--with-savepoint", "--to", savepoints);
    expect(canceled).toBe(true);
    await ends("canceled");
    await restored("--from", String(location));
    await ends("finished");
    expect(wrongCounts(lines(), COUNT)).toEqual([]);
  });
});

test("a savepoint beside checkpoints; two at once; the job goes on; dispose", async () => {
  await started();
  const both = await Promise.all([
    json("savepoint", "counting", "--to", savepoints),
    json("savepoint", "counting", "--to", savepoints),
  ]);
  const ids = both.map(({ checkpointId }) => checkpointId);
  expect(new Set(ids).size).toBe(2);
  await ends("finished");
  expect(wrongCounts(lines(), COUNT)).toEqual([]);
  expect(readdirSync(savepoints)).toHaveLength(2);
  for (const { location } of both) expect(await asks("dispose", String(location))).toMatchObject({ code: 0 });
  expect(readdirSync(savepoints)).toEqual([]);
  expect(await asks("dispose", String(both[0]!.location))).toMatchObject({ code: 3 });
});

test("a fork under another name begins where the savepoint was taken", async () => {
  write({ count: COUNT, name: "fork", directory: "out-fork" }, "fork.mjs");
  await started();
  const { location } = await json("savepoint", "counting", "--to", savepoints);
  expect(await asks("restore", "fork.mjs", "--from", String(location))).toMatchObject({ code: 0 });
  startWorkers("fork.mjs");
  await Promise.all([ends("finished"), ends("finished", "fork")]);
  expect(wrongCounts(lines(), COUNT)).toEqual([]);
  const forked = workspace.lines("out-fork");
  const numbers = new Set(forked.map((line) => line.split(" ")[2]));
  expect(numbers.size).toBe(forked.length);
  // Its counts go on from those of the savepoint: the last of each key is that of a whole run.
  const highest = new Map<string, number>();
  for (const line of forked) {
    const [key = "", nth = "0"] = line.split(" ");
    highest.set(key, Math.max(highest.get(key) ?? 0, Number(nth)));
  }
  expect([...highest.values()]).toEqual(Array(10).fill(COUNT / 10));
});

test("a retained checkpoint of a canceled job can be restored", async () => {
  write({ count: COUNT, checkpointing: 'retention: "retain-on-cancellation"' });
  await started();
  expect(await asks("cancel", "counting")).toMatchObject({ code: 0 });
  await ends("canceled");
  const again = await asks("submit", "job.mjs");
  expect(again.stderr).toMatch(/"tidemark restore .*job\.mjs --from checkpoint:counting"/);
  const unknown = await asks("restore", "job.mjs", "--from", "checkpoint:counting/999999");
  expect(unknown).toMatchObject({ code: 4 });
  expect(unknown.stderr).toMatch(/job counting \(canceled\) keeps these checkpoints: \d+/);
  await restored("--from", "checkpoint:counting");
  await ends("finished");
  expect(wrongCounts(lines(), COUNT)).toEqual([]);
});

describe("the leading coordinator is killed while a client waits, and another one stands by", () => {
  /** Kills as soon as the feed tells of this effect, or the leader of a client that waits for its savepoint. */
  async function killAt(moment: string, leader: Command): Promise<void> {
    if (moment === "request")
      await comesTo(({ unansweredRequests }) => unansweredRequests > 0, "a client waits");
    else
      await new Promise<void>((resolve) => {
        let isAskedFor = false;
        const subscription = cluster.nats.connection.subscribe(cluster.subjects.events("counting"), {
          callback: (_, message) => {
            const { effects } = message.json<FeedEvent>();
            // The stop has this effect, too: periodic checkpoints have none.
            isAskedFor ||= effects.includes("store.savepoint");
            if (!isAskedFor || !effects.includes(moment)) return;
            subscription.unsubscribe();
            resolve();
          },
        });
      });
    leader.kill("SIGKILL");
  }

  /** Two coordinators, and a job that is far from its end. Answers the one that leads. */
  async function startedWithStandby(): Promise<Command> {
    const [leader] = parts;
    await leader!.says("leading");
    parts.push(workspace.start(here("coordinator")));
    await started();
    return leader!;
  }

  async function goesOn(location: string): Promise<void> {
    await restored("--from", location);
    await ends("finished");
    expect(wrongCounts(lines(), COUNT)).toEqual([]);
  }

  test.each(["request", "store.savepointEntry"])(
    "savepoint, at %s: the next leader takes it, and the job goes on",
    async (moment) => {
      const leader = await startedWithStandby();
      const killed = killAt(moment, leader);
      const { location } = await json("savepoint", "counting", "--to", savepoints);
      await killed;
      write({ count: COUNT, name: "fork" }, "fork.mjs");
      const rehearsed = await asks("restore", "fork.mjs", "--from", String(location), "--dry-run");
      // If the entry was stored before the leader was killed, the next one has gone back behind it (P59).
      if (moment === "request" || rehearsed.code === 0)
        expect(rehearsed).toMatchObject({ code: 0, stderr: "" });
      else
        expect(rehearsed).toMatchObject({
          code: 4,
          stderr: expect.stringMatching(/went back behind it, to checkpoint \d+, .*--write-again/),
        });
      await runs();
      const stopped = await json("stop", "counting", "--to", savepoints);
      await goesOn(String(stopped.location));
    },
  );

  test.each(["store.savepoint", "store.decision", "store.terminal"])(
    "stop, at %s: the job is stopped with it, or goes on and says so, and a second try works",
    async (moment) => {
      const leader = await startedWithStandby();
      const killed = killAt(moment, leader);
      let answer = await asks("stop", "counting", "--to", savepoints, "--json");
      await killed;
      if (answer.code !== 0) {
        expect(answer).toMatchObject({ code: 4, stdout: "" });
        expect(answer.stderr).toMatch(/job counting (does not run at present .*try again|did not succeed)/);
        await runs();
        answer = await asks("stop", "counting", "--to", savepoints, "--json");
      }
      expect(answer).toMatchObject({ code: 0, stderr: "" });
      expect((await report())?.status).toBe("stopped");
      await goesOn(String((JSON.parse(answer.stdout) as { location: string }).location));
    },
  );
});

describe("what cannot work is refused in words, and changes nothing", () => {
  test("of a running job", async () => {
    await started();
    const refused = async (args: string[], code: number, words: string | RegExp) => {
      const answer = await asks(...args);
      expect(answer.stderr).toMatch(words);
      expect(answer).toMatchObject({ code, stdout: "" });
    };
    await refused(["savepoint", "counting"], 4, "give a directory or nats:<bucket> with --to");
    await refused(["savepoint", "counting", "--to", "savepoints"], 2, workspace.path("savepoints"));
    await refused(["savepoint", "counting", "--to", "nats:a b"], 4, "cannot be the name of a bucket");
    await refused(["savepoint", "nobody", "--to", savepoints], 4, "there is no job nobody");
    await refused(["cancel", "counting", "--to", savepoints], 2, "it needs --with-savepoint");
    workspace.write("file", "");
    await refused(["stop", "counting", "--to", workspace.path("file")], 4, "there is a file of this name");
    await comesTo((now) => now.phase === "running.processing", "running again");
    await refused(["restore", "job.mjs", "--from", "/nowhere/at-all"], 4, "job counting is running already");
    expect(await asks("cancel", "counting")).toMatchObject({ code: 0 });
    await ends("canceled");
  });

  test("of locations and graphs", async () => {
    await started();
    const { location } = await json("stop", "counting", "--to", savepoints);
    const refused = async (from: string, words: string | RegExp, ...more: string[]) => {
      for (const dry of [[], ["--dry-run"]]) {
        const answer = await asks("restore", "job.mjs", "--from", from, ...more, ...dry);
        expect(answer.stderr).toMatch(words);
        expect(answer.code).toBe(4);
      }
    };
    const at = String(location);
    await refused("nats:kept", "is no savepoint");
    await refused(join(savepoints, "other"), "there is no savepoint at");
    await refused(at, "--drop nobody: there is no state of an operator nobody", "--drop", "nobody");
    await refused("checkpoint:nobody", "there is no job nobody");

    write({ count: COUNT, operator: "tally" });
    await refused(at, /operator count has state \(count\) and is not in the job.*--drop count/s);
    const shown = await asks("restore", "job.mjs", "--from", at, "--drop", "count", "--dry-run");
    expect(shown).toMatchObject({ code: 0, stderr: "" });
    expect(shown.stdout).toMatch(/^ *count +dropped +count/m);
    expect(shown.stdout).toMatch(/^ *tally +new/m);
    expect(shown.stdout).toMatch(/^ *numbers +matched/m);

    write({ count: COUNT, options: "maxParallelism: 64" });
    await refused(at, "maxParallelism is 64, the state has 128 key groups: leave it out, or set it to 128");

    write({ count: COUNT });
    const [metadata = ""] = readdirSync(at).filter((name) => name.startsWith("metadata."));
    writeFileSync(join(at, metadata), "torn");
    await refused(at, "is corrupt");
    rmSync(join(at, metadata));
    await refused(at, "there is no savepoint at");
    expect((await report())?.status).toBe("stopped");
  });
});
