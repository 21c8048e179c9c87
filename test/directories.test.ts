/** Directories that can be made, that are there already, and that no file system makes. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FileStorage } from "../src/checkpoint/file-storage.ts";
import { makeDirectories, makeDirectoriesNow } from "../src/directories.ts";
import { logToFile } from "../src/observe/log-output.ts";

/** The file system of processes, where there is one, answers ENOENT for every new directory. */
const REFUSING = "/proc/tidemark/none";
const hasRefusing = existsSync("/proc/self");

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tidemark-directories-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe.each([
  ["at once", async (path: string) => makeDirectoriesNow(path)],
  ["by promise", async (path: string) => void (await makeDirectories(path))],
])("%s", (_, make) => {
  test("all that are missing are made, as often as it is asked for", async () => {
    const path = join(root, "a", "b", "c");
    await make(path);
    await make(path);
    expect(existsSync(path)).toBe(true);
  });

  test("a file in the way is an error", async () => {
    writeFileSync(join(root, "file"), "");
    await expect(make(join(root, "file"))).rejects.toThrow("EEXIST");
    await expect(make(join(root, "file", "a"))).rejects.toThrow("ENOTDIR");
  });

  test.runIf(hasRefusing)(
    "a file system that makes none is an error, and not a wait without end",
    async () => {
      await expect(make(REFUSING)).rejects.toThrow("ENOENT");
    },
  );
});

test("the topmost directory that was made is told", async () => {
  expect(await makeDirectories(join(root, "a", "b"))).toBe(join(root, "a"));
  expect(await makeDirectories(join(root, "a", "b"))).toBeUndefined();
});

test.runIf(hasRefusing)("logs and checkpoints are refused there by name", () => {
  expect(() => logToFile(`${REFUSING}/job.log`)).toThrow(`--log-file ${REFUSING}/job.log cannot be written`);
  expect(() => new FileStorage(REFUSING)).toThrow(`${REFUSING} cannot be a directory`);
});
