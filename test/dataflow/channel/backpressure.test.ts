import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";

/** Compiled by the build that precedes the tests. */
const main = new URL("../../../dist/src/cli/main.js", import.meta.url).pathname;
const job = new URL("../../../dist/test/dataflow/jobs/backpressure.js", import.meta.url).pathname;

interface Note {
  readonly processId: number;
  readonly windows: number;
  readonly bytes: number;
}

let server: TestServer;
let directory: string;
let run: ChildProcess;

beforeEach(async () => {
  server = await startTestServer();
  directory = mkdtempSync(join(tmpdir(), "tidemark-backpressure-"));
});

afterEach(async () => {
  run.kill("SIGKILL");
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

test("a slow sink slows the source: memory does not grow with the input (P25, P27)", async () => {
  const file = join(directory, "notes");
  run = spawn(process.execPath, [main, "run", job, "--server", server.url, "--fresh", "--workers", "2"], {
    stdio: "ignore",
    env: { ...process.env, BACKPRESSURE_NOTES: file },
  });
  const notes = await untilNoted(file, 4);
  const processes = new Set(notes.map((note) => note.processId));
  expect(processes.size).toBe(2);
  for (const processId of processes) {
    const bytesAt = (windows: number) =>
      notes.find((note) => note.processId === processId && note.windows === windows)?.bytes ?? Number.NaN;
    expect(bytesAt(3) / bytesAt(1)).toBeLessThanOrEqual(1.3);
  }
});

async function untilNoted(file: string, count: number): Promise<Note[]> {
  const lines = () => (existsSync(file) ? readFileSync(file, "utf8").split("\n").filter(Boolean) : []);
  await until(`${count} notes`, () => lines().length >= count, { describe: () => lines().join(" ") });
  return lines().map((line) => JSON.parse(line) as Note);
}
