/** What checkpoints that are given up have put is deleted while the job goes on (P48). */
import { afterEach, expect, test } from "vitest";
import { objectsOf } from "../../../../src/checkpoint/reachability.ts";
import { memorySink } from "../../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../../src/connectors/memory-source.ts";
import { StorageRefusedError } from "../../../../src/errors.ts";
import type { JobBuilder } from "../../../../src/job/builder.ts";
import { readManifest } from "../../../../src/runtime/manifest.ts";
import { wordCountWithBallast } from "../../../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../../support/memory-world.ts";
import { patientSignal } from "../../../support/suite/patience.ts";
import { until } from "../../../support/until.ts";

/** 50 MB of state. */
const BALLAST = "x".repeat(100_000);
const KEYS = 500;

function countWithBallast(builder: JobBuilder, { logs, target }: MemoryWorld): void {
  wordCountWithBallast(builder, memorySource(logs), memorySink(target), BALLAST);
}

let world: MemoryWorld;
let asked = 0;
afterEach(() => world.close());

async function started(options: WorldOptions): Promise<void> {
  // Each stores the whole state, so that there is something to be given up.
  const always = { timeoutMs: 2000, tolerableFailures: null, incremental: false };
  const checkpointing = { ...always, ...options.checkpointing };
  world = new MemoryWorld({ interval: "1 h", bounded: false, ...options, checkpointing });
  await world.begins(2000);
  await world.runs();
}

const takesCheckpoint = () =>
  world.client().snapshot(snapshotRequest({ request: `g${++asked}`, kind: "checkpoint" }), patientSignal());

/** The first one: on a machine that is busy it may take several. */
const completes = () => until("a checkpoint completes", () => takesCheckpoint(), { everyMs: 10 });

async function stored(): Promise<{ readonly names: string[]; readonly bytes: number }> {
  const names: string[] = [];
  let bytes = 0;
  for await (const object of world.storage.list("")) {
    names.push(object.name);
    bytes += object.bytes;
  }
  return { names: names.sort(), bytes };
}

async function onlyTheRetained(): Promise<void> {
  const { checkpoints } = await world.record();
  const manifests = await Promise.all(
    checkpoints.map(async (one) => objectsOf(one, await readManifest(world.storage, one.manifest))),
  );
  const retained = manifests.flat().map(({ handle }) => handle.name);
  let found: string[] = [];
  await until(
    "only what is retained is there",
    async () => {
      found = (await stored()).names;
      return JSON.stringify(found) === JSON.stringify([...new Set(retained)].sort()) || undefined;
    },
    { everyMs: 10, describe: () => JSON.stringify({ found, retained }) },
  );
  expect(world.crashes).toEqual([]);
}

test("checkpoints that expire, one after the other: never more than three times the state", async () => {
  await started({ build: countWithBallast });
  await completes();
  const state = (await stored()).bytes;
  expect(state).toBeGreaterThan(KEYS * BALLAST.length);
  // The first object of each subtask is stored, the second one never is.
  world.beforePut = (name) => (name.endsWith(".1") ? new Promise(() => {}) : Promise.resolve());
  let most = 0;
  let expired = 0;
  for (let i = 0; i < 4; i++)
    takesCheckpoint().catch(() => {
      expired++;
    });
  await until(
    "they expire",
    async () => {
      most = Math.max(most, (await stored()).bytes);
      return expired === 4 || undefined;
    },
    { everyMs: 20 },
  );
  expect(most).toBeGreaterThan(state);
  expect(most).toBeLessThanOrEqual(3 * state);
  await onlyTheRetained();
  world.beforePut = async () => {};
  await world.allCommitted();
  await onlyTheRetained();
});

test("what a late acknowledgement names goes, and what a subtask that declines had put already", async () => {
  let losing = false;
  await started({ drop: (subject) => losing && subject.endsWith(".coordinator") });
  const { checkpointId } = await completes();
  losing = true;
  await expect(takesCheckpoint()).rejects.toThrow(/did not succeed/);
  expect((await stored()).names.some((name) => name.includes(`/checkpoint-${checkpointId + 1}/`))).toBe(true);
  losing = false;
  await onlyTheRetained();
  world.beforePut = async (name) => {
    if (name.includes("count-1")) throw new StorageRefusedError("the disk is full");
  };
  await expect(takesCheckpoint()).rejects.toThrow(/full/);
  world.beforePut = async () => {};
  await onlyTheRetained();
  await world.allCommitted();
  await onlyTheRetained();
});
