/**
 * Savepoints of a job that waits for its restart: taken when it runs again, refused in words when it does not in time.
 */
import { existsSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import type { SnapshotRequest } from "../../src/control/messages.ts";
import { defineJob, type Job } from "../../src/index.ts";
import type { NatsWorld } from "../support/servers/nats-world.ts";
import { openSavepointWorld } from "./savepoint-world.ts";

let world: NatsWorld;
let savepoints: string;
let tests = 0;
beforeAll(async () => {
  const opened = await openSavepointWorld("restarting");
  ({ world, savepoints } = opened);
  return opened.close;
});

const takes = (job: Job, followedBy: SnapshotRequest["followedBy"], request: string) => {
  return world.snapshot(job.name, "savepoint", { request, directory: savepoints, followedBy });
};

/** Its first life has ended; the second begins after `delay`. */
async function backingOff(delay: string, readyTimeout: string): Promise<Job> {
  const log = new MemoryLog<number>();
  let poison = true;
  const job = defineJob(
    `job${++tests}`,
    {
      parallelism: 1,
      checkpointing: { interval: "1 h", readyTimeout },
      restart: { strategy: "fixed-delay", attempts: 10, delay },
    },
    (builder) => {
      builder
        .source("log", memorySource([log]))
        .map("poisoned", (value) => {
          if (!poison) return value;
          poison = false;
          throw new Error("poisoned");
        })
        .sink("out", memorySink(new MemorySinkTarget<number>()));
    },
  );
  await world.submit(job);
  await world.startWorker(job);
  await world.runs(job.name);
  log.append(1);
  await world.comesTo(job.name, "backing off", ({ phase }) => phase.includes("backingOff"));
  return job;
}

test("a savepoint waits until the job runs again", async () => {
  const job = await backingOff("500 ms", "1 h");
  const { location } = await takes(job, "go-on", "a");
  expect(existsSync(String(location))).toBe(true);
  expect((await world.record(job.name)).generation).toBe(2);
});

describe("that does not run in time", () => {
  test.each(["go-on", "cancel"] as const)(
    "a savepoint (%s) is refused, and nothing follows it",
    async (followedBy) => {
      const job = await backingOff("1 h", "300 ms");
      await expect(takes(job, followedBy, "a")).rejects.toThrow(
        `the savepoint of job ${job.name} did not succeed: the job was not running in time`,
      );
      // The same one, asked again: it is not taken a second time.
      await expect(takes(job, followedBy, "a")).rejects.toThrow("was not running in time");
      const { status, unansweredRequests } = (await world.client().status(job.name))!;
      expect({ status, unansweredRequests }).toEqual({ status: "running", unansweredRequests: 0 });
      await world.client().cancel(job.name);
      await world.ends(job.name, "canceled");
    },
  );
});

test.each(["stop", "drain"] as const)("a %s is refused without waiting for anything", async (followedBy) => {
  const job = await backingOff("1 h", "1 d");
  await expect(takes(job, followedBy, "a")).rejects.toThrow(
    new RegExp(`job ${job.name} does not run at present .*tidemark cancel ${job.name}`),
  );
  const report = (await world.client().status(job.name))!;
  expect(report).toMatchObject({ status: "running", unansweredRequests: 0, generation: 1 });
  await world.client().cancel(job.name);
  await world.ends(job.name, "canceled");
});

test("a client that waits for a savepoint hears that the job was canceled", async () => {
  const job = await backingOff("1 h", "1 d");
  const waiting = takes(job, "go-on", "a");
  waiting.catch(() => {});
  await world.comesTo(job.name, "asked", ({ unansweredRequests }) => unansweredRequests === 1);
  await world.client().cancel(job.name);
  await expect(waiting).rejects.toThrow("the job is canceled");
});
