/**
 * Savepoints that are taken while transactions of several parts wait for their commit, half done or undecided: every
 * record is in the output stream once for a reader that follows one job, whichever job commits first, also when a job
 * fails meanwhile.
 */
import { existsSync } from "node:fs";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import type { RestoreRequest, SnapshotRequest } from "../../src/control/messages.ts";
import { defineJob, type Job, jetstreamSink, type, valueState } from "../../src/index.ts";
import { type NatsWorld, PartGate } from "../support/servers/nats-world.ts";
import { readAll } from "../support/servers/streams.ts";
import { patientHeartbeat } from "../support/suite/timings.ts";
import { until } from "../support/until.ts";
import { openSavepointWorld } from "./savepoint-world.ts";

const WORDS = 10;
const PART = 20;
/** Transactions are too large to travel in the manifest. */
const PADDING = "x".repeat(200);

interface Output {
  readonly by: string;
  readonly word: string;
  readonly count: number;
}

let world: NatsWorld;
let savepoints: string;
beforeAll(async () => {
  const opened = await openSavepointWorld("pending");
  ({ world, savepoints } = opened);
  return opened.close;
});

let tests = 0;
let logs: MemoryLog<string>[];
let original: Job;
let stream: string;
let gate: PartGate;
let worker: Awaited<ReturnType<NatsWorld["startWorker"]>>;

/** A running job, none of whose checkpoints it takes by itself. */
beforeEach(async () => {
  logs = [new MemoryLog(), new MemoryLog()];
  stream = `OUT${++tests}`;
  original = counting(`original${tests}`);
  gate = new PartGate();
  fill(600);
  await world.submit(original);
  worker = await world.startWorker(original, gate);
  await world.runs(original.name);
});

/** All jobs of a test write to the same stream. */
function counting(name: string): Job {
  const options = {
    parallelism: 2,
    checkpointing: { interval: "1 h", inlineThreshold: 0 },
    restart: { strategy: "exponential-delay", initialBackoff: "50 ms" },
    heartbeat: patientHeartbeat,
  } as const;
  return defineJob(name, options, (builder) => {
    builder
      .source("log", memorySource(logs))
      .keyBy((word) => word)
      .process("count", {
        state: { count: valueState(0) },
        output: type<Output & { readonly padding: string }>(),
        onRecord(word, { state, emit }) {
          state.count.set(state.count.get() + 1);
          emit({ by: name, word, count: state.count.get(), padding: PADDING });
        },
      })
      .sink(
        "out",
        jetstreamSink({
          stream,
          subject: ({ word }) => `${stream}.${word}`,
          subjects: [`${stream}.>`],
          provision: true,
          partMessagesMax: PART,
        }),
      );
  });
}

function fill(records: number): void {
  for (let i = 0; i < records; i++) {
    const index = logs[0]!.length + logs[1]!.length;
    logs[index % 2]!.append(`w${index % WORDS}`);
  }
}

const total = () => logs[0]!.length + logs[1]!.length;

async function output(): Promise<Output[]> {
  const messages = await readAll(world.cluster.nats, stream);
  return messages
    .filter(({ subject }) => subject.startsWith(`${stream}.`))
    .map(({ text }) => JSON.parse(text) as Output);
}

/** What differs from the counts of every word from 1 up to all that there is in the logs, each once, in order. */
function wrong(seen: readonly Output[]): string[] {
  const found: string[] = [];
  const counts = new Map<string, number>();
  for (const { by, word, count } of seen) {
    const before = counts.get(word) ?? 0;
    if (count !== before + 1) found.push(`${word} ${count} by ${by} after ${before}`);
    counts.set(word, count);
  }
  for (let i = 0; i < WORDS; i++)
    if (counts.get(`w${i}`) !== total() / WORDS) found.push(`w${i} ends at ${counts.get(`w${i}`)}`);
  return found;
}

/** What a consumer sees that follows one job: of the other one only what was written before `fork` had begun. */
function viewOf(fork: string, seen: readonly Output[]): Output[] {
  const first = new Map<string, number>();
  for (const { by, word, count } of seen) if (by === fork && !first.has(word)) first.set(word, count);
  return [
    ...seen.filter(({ by, word, count }) => by !== fork && count < (first.get(word) ?? Infinity)),
    ...seen.filter(({ by }) => by === fork),
  ];
}

async function allCommitted(job: Job, problems: (seen: readonly Output[]) => string[]): Promise<void> {
  let last: string[] = [];
  await until(
    `the output of ${job.name} is exact`,
    async () => {
      await world.snapshot(job.name, "checkpoint");
      last = problems(await output());
      return last.length === 0 ? true : undefined;
    },
    { describe: () => last.slice(0, 5).join("; ") },
  );
}

/**
 * Transactions of three kinds wait: one that is decided and half committed, one that only a savepoint has cut, and,
 * when this is followed by another savepoint, that one's.
 */
async function leavePending(): Promise<void> {
  gate.allowed = 3;
  await world.snapshot(original.name, "checkpoint");
  await until("some parts are committed, others refused", () => (gate.refused > 0 ? true : undefined));
  const committed = (await output()).length;
  expect(committed).toBeGreaterThan(0);
  expect(committed).toBeLessThan(total());
  fill(200);
  await world.snapshot(original.name, "savepoint", { directory: savepoints });
  fill(200);
}

function savepoint(followedBy: SnapshotRequest["followedBy"]) {
  return world.snapshot(original.name, "savepoint", { directory: savepoints, followedBy });
}

/** Its savepoint is decided; it cannot end while the gate is closed. */
async function stopping(): Promise<{ readonly location: string; readonly stopped: Promise<unknown> }> {
  const { savepoints: before } = await world.record(original.name);
  const stopped = savepoint("stop");
  stopped.catch(() => {});
  const { location } = await until(
    "the stop is decided",
    async () => (await world.record(original.name)).savepoints[before.length],
  );
  expect((await world.record(original.name)).status).toBe("settling");
  return { location, stopped };
}

async function restored(job: Job, location: string, mode?: RestoreRequest["mode"]): Promise<void> {
  await world.restore(job, location, mode);
  await world.startWorker(job);
  await world.runs(job.name);
}

describe.each(["no-claim", "claim"] as const)("restored with %s", (mode) => {
  const isThere = mode === "no-claim";

  test("after a stop whose job has committed everything itself", async () => {
    await leavePending();
    const { location, stopped } = await stopping();
    gate.allowed = Number.POSITIVE_INFINITY;
    await stopped;
    expect((await world.record(original.name)).status).toBe("stopped");
    const fork = counting(`fork${tests}`);
    await restored(fork, location, mode);
    fill(200);
    await allCommitted(fork, wrong);
    await until("the savepoint", () => (existsSync(location) === isThere ? true : undefined));
  });

  test("while the stopped job cannot commit: the fork does, and the job finds it done", async () => {
    await leavePending();
    const { location, stopped } = await stopping();
    const fork = counting(`fork${tests}`);
    await restored(fork, location, mode);
    fill(200);
    await allCommitted(fork, wrong);
    // Its gate stays closed: it ends because it finds everything done.
    await stopped;
    expect(wrong(await output())).toEqual([]);
  });

  test("while the stopped job has lost its worker: one that comes later finds everything done", async () => {
    await leavePending();
    const { location, stopped } = await stopping();
    await world.cutOff(worker);
    const fork = counting(`fork${tests}`);
    await restored(fork, location, mode);
    fill(200);
    await allCommitted(fork, wrong);
    await world.startWorker(original);
    await stopped;
    expect(wrong(await output())).toEqual([]);
  });

  test("while the job goes on: both write what follows, and what was pending once", async () => {
    await leavePending();
    const { location } = await savepoint("go-on");
    const fork = counting(`fork${tests}`);
    await restored(fork, String(location), mode);
    fill(200);
    await allCommitted(fork, (seen) => wrong(viewOf(fork.name, seen)));
    gate.allowed = Number.POSITIVE_INFINITY;
    await allCommitted(original, (seen) => wrong(seen.filter(({ by }) => by === original.name)));
    const seen = await output();
    expect(wrong(viewOf(fork.name, seen))).toEqual([]);
    expect(existsSync(String(location))).toBe(isThere);
  });
});

test("under its own name, after a stop", async () => {
  await leavePending();
  const { location, stopped } = await stopping();
  gate.allowed = Number.POSITIVE_INFINITY;
  await stopped;
  await world.restore(original, location);
  await world.startWorker(original);
  fill(200);
  await allCommitted(original, wrong);
});

test("a job that falls back behind a savepoint that a fork has committed ends by name, and writes nothing twice", async () => {
  await leavePending();
  const { location } = await savepoint("go-on");
  const fork = counting(`fork${tests}`);
  await restored(fork, String(location));
  fill(200);
  await allCommitted(fork, (seen) => wrong(viewOf(fork.name, seen)));
  // It has decided nothing since: its records behind the last checkpoint would be read again.
  await world.cutOff(worker);
  await world.startWorker(original);
  const { failures } = await world.ends(original.name, "failed");
  const { reason } = failures.at(-1)!;
  expect(reason).toMatch(
    /beyond the restored checkpoint.*would write the output.*a second time.*savepoint \d+ of this one/,
  );
  expect(reason).toContain(`"tidemark restore FILE --from ${String(location)} --fresh"`);
  expect(wrong(viewOf(fork.name, await output()))).toEqual([]);

  // As the message says.
  await world.restore(original, String(location), "no-claim", "fresh");
  await world.startWorker(original);
  await allCommitted(original, (seen) => wrong(seen.filter(({ by }) => by === original.name)));
});
