/**
 * Restores from savepoints that their job went back behind (P59): refused where output could be missing, exact where
 * not.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../../src/connectors/memory-source.ts";
import type { RestoreRequest } from "../../../../src/control/messages.ts";
import type { Sink } from "../../../../src/dataflow/sink.ts";
import { fileSink } from "../../../../src/index.ts";
import { type Count, wordCount } from "../../../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../../support/memory-world.ts";
import { patientSignal } from "../../../support/suite/patience.ts";
import { allRead, readUpTo, Tide } from "../../../support/tide.ts";
import { until } from "../../../support/until.ts";

const RECORDS = 2000;

let world: MemoryWorld;
let tides: Tide<string>[];
let asked = 0;
afterEach(() => world.close());

async function started(options: WorldOptions = {}, sink?: Sink<Count>): Promise<void> {
  world = new MemoryWorld({
    ...{ interval: "1 h", bounded: false },
    build: (builder, { logs, target }) => {
      tides = logs.map((log) => new Tide(log));
      wordCount(builder, memorySource(tides), sink ?? memorySink(target));
    },
    ...options,
  });
  await world.begins(RECORDS);
  await world.runs();
}

const ask = (kind: "savepoint" | "checkpoint") =>
  world.client().snapshot(
    snapshotRequest({
      ...{ request: `r${++asked}`, kind },
      directory: kind === "savepoint" ? "/savepoints" : null,
    }),
    patientSignal(),
  );

async function losesWorker(level: number): Promise<void> {
  const { generation } = await world.record();
  for (const tide of tides) tide.turn(level);
  await world.replace(world.firstWorker);
  await world.comesTo(
    "it runs again",
    (now) => now.generation > generation && now.phase === "running.processing",
  );
}

/** A savepoint at 600 of each log, of a job that runs from 200 up to 400 again. */
async function passedOver(): Promise<string> {
  await readUpTo(200, tides);
  await ask("checkpoint");
  await readUpTo(600, tides);
  const { location } = await ask("savepoint");
  await losesWorker(400);
  await allRead(tides);
  return String(location);
}

async function canceled(): Promise<void> {
  await world.client().cancel("words");
  await world.ends("canceled");
}

const restore = (location: string, more: Partial<RestoreRequest> = {}) =>
  world.submit({ ...{ location, mode: "no-claim", drop: [], writeAgain: false }, ...more } as RestoreRequest);

async function refusal(location: string): Promise<string> {
  return restore(location).then(
    () => "it was restored",
    (error: Error) => error.message,
  );
}

async function restored(location: string, more: Partial<RestoreRequest> = {}): Promise<void> {
  await restore(location, more);
  await world.runs();
  await readUpTo(RECORDS / 2, tides);
  await ask("checkpoint");
}

/** How often each count of each word is in the output, of those that belong there. */
function times(output: readonly Count[] = world.target.committed): number[] {
  const seen = new Map<string, number>();
  for (const { word, count } of output) seen.set(`${word} ${count}`, (seen.get(`${word} ${count}`) ?? 0) + 1);
  const counts = new Map<string, number>();
  return world.logs.flatMap((log) =>
    Array.from({ length: log.length }, (_, index) => {
      const word = log.at(index)!;
      counts.set(word, (counts.get(word) ?? 0) + 1);
      return seen.get(`${word} ${counts.get(word)}`) ?? 0;
    }),
  );
}

describe("a savepoint that its job went back behind, and wrote output since", () => {
  test("is refused with what happened and what goes on; --write-again loses nothing", async () => {
    await started();
    const location = await passedOver();
    await ask("checkpoint");
    await canceled();
    const said = await refusal(location);
    expect(said).toMatch(
      /job words went back behind it, to checkpoint 1, and wrote its output anew from there/,
    );
    expect(said).toMatch(/uncommitted for sink counts, and what it did not write would be in no output/);
    expect(said).toMatch(/No newer state .*--write-again: then nothing is missing.*twice; or --drop counts/);
    await restored(location, { writeAgain: true });
    expect(Math.min(...times())).toBe(1);
    expect(Math.max(...times())).toBe(2);
    expect(world.crashes).toEqual([]);
  });

  test("names a newer savepoint and the retained checkpoint, which go on exactly", async () => {
    await started({ checkpointing: { retention: "retain-on-cancellation", intervalMs: null } });
    const location = await passedOver();
    await ask("checkpoint");
    const newer = String((await ask("savepoint")).location);
    await canceled();
    expect(await refusal(location)).toMatch(`Go on with --from checkpoint:words or --from ${newer};`);
    await restored(newer);
    world.expectExact();
  });

  test("is restored without what it holds for a sink that is dropped by name", async () => {
    await started();
    const location = await passedOver();
    await ask("checkpoint");
    await canceled();
    await restored(location, { drop: ["counts"] });
    expect(Math.max(...times())).toBe(1);
    expect(Math.min(...times())).toBe(0);
  });

  test("is known when the job was disposed of, and in its next life", async () => {
    await started();
    const location = await passedOver();
    await ask("checkpoint");
    await canceled();
    await world.client().dispose("words", "job", "d1");
    expect(await refusal(location)).toMatch("job words went back behind it");
    await world.submit();
    await world.runs();
    await canceled();
    expect(await refusal(location)).toMatch("job words went back behind it");
  });

  test("names files that the sink keeps for it: --write-again loses nothing of them", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tidemark-passed-over-"));
    try {
      await started({}, fileSink<Count>({ directory }));
      const location = await passedOver();
      await ask("checkpoint");
      await canceled();
      expect(await refusal(location)).toMatch("job words went back behind it");
      await restored(location, { writeAgain: true });
      await until("nothing is missing", () => Math.min(...times(written(directory))) >= 1 || undefined);
      expect(Math.max(...times(written(directory)))).toBe(2);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

/** What the finished files of a sink hold. */
function written(directory: string): Count[] {
  const files = readdirSync(directory, { withFileTypes: true }).filter((entry) => entry.isFile());
  const lines = files.flatMap(({ name }) => readFileSync(join(directory, name), "utf8").trim().split("\n"));
  return lines.map((line) => JSON.parse(line) as Count);
}

describe("a savepoint is restored exactly", () => {
  test("when its job went back behind it, and ended before it wrote anything", async () => {
    await started();
    const location = await passedOver();
    await canceled();
    await restored(location);
    world.expectExact();
  });

  test("by a file sink, too", async () => {
    const directory = mkdtempSync(join(tmpdir(), "tidemark-passed-over-"));
    try {
      await started({}, fileSink<Count>({ directory }));
      const location = await passedOver();
      await canceled();
      await restored(location);
      await until("all of it is there", () => written(directory).length >= RECORDS || undefined);
      expect(new Set(times(written(directory)))).toEqual(new Set([1]));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test("when a checkpoint behind it was complete before its job failed; its output after that is written again", async () => {
    await started();
    await readUpTo(200, tides);
    const { location } = await ask("savepoint");
    await ask("checkpoint");
    await losesWorker(400);
    await allRead(tides);
    await ask("checkpoint");
    await canceled();
    await restored(String(location));
    expect(Math.min(...times())).toBe(1);
  });
});

test("a job that went back behind a savepoint, and runs, has to be ended first", async () => {
  await started();
  const location = await passedOver();
  const said = await world.rehearse("fork", { location, mode: "no-claim", drop: [], writeAgain: false }).then(
    () => "it would be restored",
    (error: Error) => error.message,
  );
  expect(said).toMatch(
    /went back behind it, to checkpoint 1, is running, and will write .* anew. End the job first \("tidemark cancel words"\)/,
  );
});
