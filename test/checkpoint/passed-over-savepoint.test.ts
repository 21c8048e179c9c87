/** A savepoint that its job went back behind (P59), and a stream whose markers stand beyond what it holds. */
import { beforeAll, expect, test } from "vitest";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { defineJob, type Job, jetstreamSink, type, valueState } from "../../src/index.ts";
import type { NatsWorld } from "../support/servers/nats-world.ts";
import { readAll } from "../support/servers/streams.ts";
import { patientHeartbeat } from "../support/suite/timings.ts";
import { allRead, readUpTo, Tide } from "../support/tide.ts";
import { until } from "../support/until.ts";
import { openSavepointWorld } from "./savepoint-world.ts";

const WORDS = 10;
const RECORDS = 400;

interface Output {
  readonly word: string;
  readonly count: number;
}

let world: NatsWorld;
let directory: string;
const logs = [new MemoryLog<string>(), new MemoryLog<string>()];
const tides = logs.map((log) => new Tide(log));
beforeAll(async () => {
  const opened = await openSavepointWorld("passed-over");
  ({ world, savepoints: directory } = opened);
  for (let i = 0; i < RECORDS; i++) logs[i % 2]!.append(`w${i % WORDS}`);
  return opened.close;
});

function counting(name: string): Job {
  const options = {
    parallelism: 2,
    checkpointing: { interval: "1 h", inlineThreshold: 0, retention: "retain-on-cancellation" },
    restart: { strategy: "exponential-delay", initialBackoff: "50 ms" },
    heartbeat: patientHeartbeat,
  } as const;
  return defineJob(name, options, (builder) => {
    builder
      .source("log", memorySource(tides))
      .keyBy((word) => word)
      .process("count", {
        state: { count: valueState(0) },
        output: type<Output>(),
        onRecord(word, { state, emit }) {
          state.count.set(state.count.get() + 1);
          emit({ word, count: state.count.get() });
        },
      })
      .sink(
        "out",
        jetstreamSink({
          ...{ stream: "OUT", subject: ({ word }) => `OUT.${word}`, subjects: ["OUT.>"], provision: true },
        }),
      );
  });
}

/** How often the stream holds each count of each word. */
async function times(): Promise<number[]> {
  const messages = await readAll(world.cluster.nats, "OUT");
  const seen = new Map<string, number>();
  for (const { subject, text } of messages) {
    if (!subject.startsWith("OUT.")) continue;
    const { word, count } = JSON.parse(text) as Output;
    seen.set(`${word} ${count}`, (seen.get(`${word} ${count}`) ?? 0) + 1);
  }
  return Array.from(
    { length: RECORDS },
    (_, i) => seen.get(`w${i % WORDS} ${Math.floor(i / WORDS) + 1}`) ?? 0,
  );
}

test("is refused, also to a job that was restored from it before, and --write-again commits all that it holds under the new job's markers", async () => {
  const job = counting("original");
  await world.submit(job);
  const worker = await world.startWorker(job);
  await world.runs(job.name);
  await readUpTo(50, tides);
  await world.snapshot(job.name, "checkpoint");
  await readUpTo(150, tides);
  const location = String((await world.snapshot(job.name, "savepoint", { directory })).location);
  // It waits for its workers while the job goes back behind what it was restored from.
  const late = counting("late");
  await world.restore(late, location);
  const { generation } = await world.record(job.name);
  for (const tide of tides) tide.turn(100);
  await world.cutOff(worker);
  await world.startWorker(job);
  await world.comesTo(
    job.name,
    "it runs again",
    (now) => now.generation > generation && now.phase === "running.processing",
  );
  await allRead(tides);
  await world.snapshot(job.name, "checkpoint");
  await world.startWorker(late);
  await world.ends(late.name, "failed");
  const [moved, refusedLate] = (await world.record(late.name)).failures.map(({ reason }) => reason);
  expect(moved).toMatch(/was taken over by generation 2 of job original.*generation 1 was its newest/);
  expect(refusedLate).toMatch(
    /cannot be committed any more: job original went back behind it, to checkpoint 1/,
  );
  expect(refusedLate).toMatch(/Restore the job anew, with --fresh\. .*--write-again/);
  await world.client().cancel(job.name);
  await world.ends(job.name, "canceled");

  const fork = counting("fork");
  const refused = /job original went back behind it.*Go on with --from checkpoint:original;.*--write-again/s;
  await expect(world.restore(fork, location)).rejects.toThrow(refused);
  await world.restore(fork, location, "no-claim", "write-again");
  await world.startWorker(fork);
  await world.runs(fork.name);
  await readUpTo(RECORDS / 2, tides);
  await until("nothing is missing in the stream", async () => {
    await world.snapshot(fork.name, "checkpoint");
    return Math.min(...(await times())) >= 1 || undefined;
  });
  const all = await times();
  // What the job wrote from 50 up to 100 of each log is there a second time.
  expect(all.filter((count) => count === 2)).toHaveLength(100);
  expect(Math.max(...all)).toBe(2);
});
