/** State that is ten times as large as the memory of its process. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { compiled } from "../../support/servers/compiled.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";

const HEAP_MB = 32;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-large-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const large = (kind: string, megabytes: number) =>
  spawnSync(
    process.execPath,
    [
      `--max-old-space-size=${HEAP_MB}`,
      compiled("test/state/disk/jobs/large-state.ts"),
      kind,
      directory,
      `${megabytes}`,
    ],
    { encoding: "utf8", timeout: WAIT_BOUND_MS },
  );

test("ten times more state than the heap may have is kept, changed and cut on disk", () => {
  const { status, stdout, stderr } = large("disk", HEAP_MB * 10);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const rows = (HEAP_MB * 10 * 1e6) / 4000;
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({ rows, given: rows, wrong: 0 });
  expect(found.bytes).toBeGreaterThan(HEAP_MB * 10 * 1e6);
});

test("in the heap, twice as much as it may have ends the process", () => {
  const { status, stdout } = large("heap", HEAP_MB * 2);
  expect(status).not.toBe(0);
  expect(stdout).toBe("");
});
