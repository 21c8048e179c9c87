/**
 * A loop over two worker processes, one of which is killed again and again while records go round: each number comes
 * out once, with as many steps as it needs. What is on its way back by NATS is nowhere but in the checkpoint.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JobRecord, Manifest } from "../../machines/protocol.ts";
import { openCluster } from "../../src/cli/assembly.ts";
import { decodeValue } from "../../src/formats/codec.ts";
import { type Steps, stepsOf } from "../support/graphs/collatz.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { publishAll, readAll } from "../support/servers/streams.ts";

const NUMBERS = Array.from({ length: 8000 }, (_, i) => i + 2);
const KILLS = 3;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
const jobFile = bundled("test/recovery/jobs/collatz.ts");

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-iterations-"));
  server = await startTestServer();
  cluster = await TestCluster.open({ url: server.url, directory, job: "collatz", jobFile });
  const manager = await cluster.nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  await publishAll(
    cluster.nats,
    NUMBERS.map((n) => ({ subject: `in.${n % 2}`, text: String(n) })),
  );
});

afterEach(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const decidedIn = (generation: number) => (record: JobRecord) =>
  (record.checkpoints.at(-1)?.generation ?? 0) >= generation;

/** Records that the latest checkpoint holds of channels, by edge. */
async function inFlight({ checkpoints }: JobRecord): Promise<Map<string, number>> {
  const { storage } = await openCluster(cluster.nats);
  const manifest = decodeValue(await storage.get(checkpoints.at(-1)!.manifest)) as Manifest;
  const found = new Map<string, number>();
  for (const { edge, records } of manifest.subtasks.flatMap(({ channels }) => channels))
    found.set(edge, (found.get(edge) ?? 0) + records);
  return found;
}

/** Answers how many records on their way back it was restored with, each time. */
async function runWithKills(...flags: string[]): Promise<number[]> {
  cluster.start("coordinator", "coordinator");
  let worker = cluster.start("worker", "worker-1");
  cluster.start("worker", "worker-2");
  await cluster.submit(...flags);
  const restored: number[] = [];
  for (let kill = 1; kill <= KILLS; kill++) {
    await cluster.awaitRecord("a checkpoint is decided", decidedIn(kill));
    await worker.kill();
    worker = cluster.start("worker", `replacement-${kill}`);
    const isNext = ({ generation }: JobRecord) => generation > kill;
    const found = await inFlight(await cluster.awaitRecord("the job goes on", isNext));
    expect([...found.keys()].filter((edge) => edge !== "more-loop")).toEqual([]);
    restored.push(found.get("more-loop") ?? 0);
  }
  await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  return restored;
}

async function output(): Promise<Steps[]> {
  const messages = await readAll(cluster.nats, "OUT");
  return messages
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as Steps)
    .sort((a, b) => a.start - b.start);
}

const expected = (): Steps[] => NUMBERS.map((start) => ({ start, steps: stepsOf(start) }));

test("exact: a worker is killed three times, and nothing is lost or comes twice", async () => {
  const restored = await runWithKills("--config", "checkpointing.iterations=exact");
  expect(Math.max(...restored)).toBeGreaterThan(0);
  expect(await output()).toEqual(expected());
});

test("force: only records on their way back are missing, and nothing comes twice", async () => {
  const restored = await runWithKills("--config", "checkpointing.iterations=force");
  expect(restored).toEqual(restored.map(() => 0));
  const steps = await output();
  const present = new Set(steps.map(({ start }) => start));
  expect(steps).toEqual(expected().filter(({ start }) => present.has(start)));
  expect(present.size).toBeGreaterThan(0);
});

test("by default it is refused before it begins, with what to do", async () => {
  const args = [bundled("src/cli/main.ts"), "submit", jobFile, "--server", server.url];
  const refused = await promisify(execFile)(process.execPath, args).catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 2 });
  const { stderr } = refused as { readonly stderr: string };
  expect(stderr).toContain("checkpointing.iterations");
  expect(stderr).toMatch(/"exact".*"force"/s);
  expect(await cluster.record()).toBeUndefined();
});
