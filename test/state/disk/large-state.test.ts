/** State, timers and windows that are ten times as large as what the memory of their process holds. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { compiled } from "../../support/servers/compiled.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";

const HEAP_MB = 32;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-large-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

const run = (program: string, ...given: readonly string[]) =>
  spawnSync(
    process.execPath,
    [`--max-old-space-size=${HEAP_MB}`, compiled(`test/state/disk/jobs/${program}.ts`), ...given],
    { encoding: "utf8", timeout: WAIT_BOUND_MS },
  );
const large = (kind: string, megabytes: number, ...speed: readonly string[]) =>
  run("large-state", kind, directory, `${megabytes}`, ...speed);

test("ten times more state than the heap may have is kept, changed and cut on disk", () => {
  const { status, stdout, stderr } = large("disk", HEAP_MB * 10);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const rows = (HEAP_MB * 10 * 1e6) / 4000;
  const found = JSON.parse(stdout);
  expect(found).toMatchObject({ rows, given: rows, wrong: 0 });
  expect(found.bytes).toBeGreaterThan(HEAP_MB * 10 * 1e6);
});

test("ten times more of it than the heap may have changes before a cut is read, and the cut has it all", () => {
  const { status, stdout, stderr } = large("disk", HEAP_MB * 10, "slow");
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const rows = (HEAP_MB * 10 * 1e6) / 4000;
  expect(JSON.parse(stdout)).toMatchObject({ rows, given: rows, wrong: 0 });
});

test("in the heap, twice as much as it may have ends the process", () => {
  const { status, stdout } = large("heap", HEAP_MB * 2);
  expect(status).not.toBe(0);
  expect(stdout).toBe("");
});

describe.each(["timers", "sessions", "maps"])("%s", (what) => {
  /** The keys of so many are more than fits into the heap. */
  const MEGABYTES = 8;
  const due = (kind: string, megabytes: number) => run("large-order", kind, what, directory, `${megabytes}`);

  test("are ten times as many as fit into the heap, and fire in order, or list their entries", () => {
    const { status, stdout, stderr } = due("disk", MEGABYTES * 10);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const { count, fired, wrong } = JSON.parse(stdout);
    expect(count).toBeGreaterThan(100_000);
    expect({ fired, wrong }).toEqual({ fired: count, wrong: 0 });
  });

  test("a tenth of them ends a process that has them in the heap", () => {
    const { status, stdout } = due("heap", MEGABYTES);
    expect(status).not.toBe(0);
    expect(stdout).toBe("");
  });
});
