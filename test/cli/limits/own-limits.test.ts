/** Limits of the process itself that are too small: named at the start, with their value and what is needed. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startNatsServer } from "../../../src/nats/server/server.ts";
import { provideNatsServer } from "../../../src/nats/server/server-binary.ts";
import { mainFile } from "../workspace.ts";

const COMMAND = `exec "${process.execPath}" "${mainFile}" --version`;

const LIMITS = [
  ["open files", `ulimit -n 64; ${COMMAND}`, "at most 64 files open, and at least 128 are needed"],
  [
    "the heap",
    `NODE_OPTIONS=--max-old-space-size=12 ${COMMAND}`,
    /the heap of this process may have at most \d+ MiB, and at least 64 are needed; .*--max-old-space-size/,
  ],
] as const;

test.each(LIMITS)("%s", (_, line, words) => {
  const { status, stderr } = spawnSync("/bin/sh", ["-c", line], { encoding: "utf8" });
  expect(stderr).toMatch(words);
  expect(stderr.trim().split("\n")).toHaveLength(1);
  expect(status).toBe(3);
});

test("what is enough is not mentioned", () => {
  const line = `ulimit -n 128; NODE_OPTIONS=--max-old-space-size=50 ${COMMAND}`;
  expect(execFileSync("/bin/sh", ["-c", line], { encoding: "utf8" })).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("the store of a provided server is its user's alone", async () => {
  const dir = mkdtempSync(join(tmpdir(), "tidemark-store-"));
  const storeDir = join(dir, "nats");
  const { path: binary } = await provideNatsServer();
  const server = await startNatsServer({ binary, storeDir });
  try {
    expect(statSync(storeDir).mode & 0o777).toBe(0o700);
  } finally {
    await server.stop();
    rmSync(dir, { recursive: true });
  }
});
