/**
 * A checkpoint directory that stops to answer, at any of its calls: what waits for it gets an error by its name, and it
 * is used again once it answers. And what lies there under the name of a note, and is none.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import * as nodeFiles from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BoundedCalls } from "../../../src/checkpoint/bounded-calls.ts";
import { FileStorage } from "../../../src/checkpoint/file-storage.ts";
import { boundedFiles, type Files } from "../../../src/checkpoint/files.ts";
import { StorageStalledError } from "../../../src/errors.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { until } from "../../support/until.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-hanging-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Files of which one call, the `nth` from now on, does not answer until it is let go. */
class HangingFiles {
  readonly names: string[] = [];
  #hangs = Number.POSITIVE_INFINITY;
  #letGo: () => void = () => {};

  readonly files = new Proxy(nodeFiles as unknown as Files, {
    get: (target, name: keyof Files) => this.#counted(String(name), target[name].bind(target) as never),
  });

  get isReached(): boolean {
    return this.names.length >= this.#hangs;
  }

  hangAt(nth: number): void {
    this.#hangs = this.names.length + nth;
  }

  letGo(): void {
    this.#hangs = Number.POSITIVE_INFINITY;
    this.#letGo();
  }

  #counted(name: string, call: (...given: unknown[]) => Promise<unknown>) {
    return async (...given: unknown[]) => {
      this.names.push(name);
      if (this.names.length === this.#hangs)
        await new Promise<void>((go) => {
          this.#letGo = go;
        });
      const answer = await call(...given);
      if (name !== "open") return answer;
      return new Proxy(answer as nodeFiles.FileHandle, {
        get: (target, member: "read") =>
          typeof target[member] === "function"
            ? this.#counted(member, target[member].bind(target) as never)
            : undefined,
      });
    };
  }
}

const CONTENT = new TextEncoder().encode("content");
type Work = (storage: FileStorage) => Promise<unknown>;
const all = async (objects: AsyncIterable<{ readonly name: string }>) => {
  const names: string[] = [];
  for await (const { name } of objects) names.push(name);
  return names;
};
const WORK: readonly (readonly [string, Work])[] = [
  ["put", (storage) => storage.put("a/b/new", [CONTENT])],
  ["get", async (storage) => storage.get(await storage.put("a/there", [CONTENT]))],
  ["assertPresent", async (storage) => storage.assertPresent(await storage.put("a/there", [CONTENT]))],
  ["delete", (storage) => storage.delete("a/there")],
  ["list", (storage) => all(storage.list("a/"))],
  ["listUnfinished", (storage) => all(storage.listUnfinished("a/"))],
  ["a note that is left", (storage) => storage.notes.leave("n", "text")],
  ["a note that is read", (storage) => storage.notes.read("n")],
  ["what is in the way of notes", (storage) => storage.notes.obstacle()],
];

/** Until the call that was let go has come back. */
async function answers(files: Files): Promise<void> {
  await until("the directory answers", () =>
    files.stat(directory).then(
      () => true,
      () => false,
    ),
  );
}

test.each(WORK)("%s: each of its calls in turn", async (_, work) => {
  const clock = new ManualClock();
  const place = FileStorage.describe(directory);
  let hung = 0;
  for (let isReached = true; isReached; ) {
    const hanging = new HangingFiles();
    const bounded = boundedFiles(new BoundedCalls(clock), place, hanging.files);
    const storage = await FileStorage.make(directory, { files: bounded });
    await storage.put("a/there", [CONTENT]);
    await storage.notes.leave("n", "text");
    hanging.hangAt(hung + 1);
    const outcome = work(storage).then(
      () => "done",
      (error: unknown) => error,
    );
    let isOver = false;
    void outcome.then(() => {
      isOver = true;
    });
    while (!isOver) await clock.pass(20_000, 10_000);
    const said = await outcome;
    // Where the answer did not depend on the call, such as the deletion of an old note, it goes without it.
    if (said !== "done") {
      expect(said).toBeInstanceOf(StorageStalledError);
      expect((said as Error).message).toBe(`${place}: it does not answer`);
    }
    isReached = hanging.isReached;
    if (isReached) hung++;
    hanging.letGo();
    await answers(bounded);
    await work(storage);
    expect(await storage.get(await storage.put("a/there", [CONTENT]))).toEqual(Buffer.from(CONTENT));
    await storage.notes.remove("n");
  }
  expect(hung).toBeGreaterThan(0);
});

test("the making of the directory, and the look at it, are bounded as well", async () => {
  for (const open of [FileStorage.make, FileStorage.existing]) {
    const clock = new ManualClock();
    const hanging = new HangingFiles();
    hanging.hangAt(1);
    const files = boundedFiles(new BoundedCalls(clock), "directory x", hanging.files);
    const opening = open(directory, { files }).then(
      () => "opened",
      (error: unknown) => String(error),
    );
    await clock.pass(20_000, 10_000);
    expect(await opening).toContain("directory x: it does not answer");
    hanging.letGo();
  }
});

describe("what has the name of a note and is none is named, not opened and not deleted", () => {
  const outside = () => join(directory, "outside");
  const STRANGE: readonly (readonly [string, RegExp, (path: string) => void])[] = [
    ["a FIFO", /\.tidemark-note-n: a FIFO is in its place/, (path) => void execFileSync("mkfifo", [path])],
    ["a directory", /\.tidemark-note-n: a directory is in its place/, (path) => mkdirSync(path)],
    [
      "a link to a FIFO",
      /\.tidemark-note-n: a FIFO is in its place/,
      (path) => {
        execFileSync("mkfifo", [outside()]);
        symlinkSync(outside(), path);
      },
    ],
    ["a link to itself", /symbolic link/, (path) => symlinkSync(path, path)],
    [
      "a link to a file",
      /symbolic links/,
      (path) => {
        writeFileSync(outside(), "the user's");
        symlinkSync(outside(), path);
      },
    ],
  ];

  test.each(STRANGE)("%s", async (_, words, make) => {
    const storage = new FileStorage(directory);
    make(join(directory, ".tidemark-note-n"));
    const before = readdirSync(directory);
    await expect(storage.notes.leave("n", "text")).rejects.toThrow(words);
    await storage.notes.read("n").then(
      (text) => expect(text).toBe("the user's"),
      (error: unknown) => expect(String(error)).toMatch(/cannot be read: .*is in its place/),
    );
    await storage.notes.leave("other", "text");
    expect(await storage.notes.read("other")).toBe("text");
    expect(readdirSync(directory)).toEqual(expect.arrayContaining(before));
    if (before.includes("outside") && words.source === "symbolic links")
      expect(await nodeFiles.readFile(outside(), "utf8")).toBe("the user's");
  });

  test("a note of any size is read as far as a note goes", async () => {
    const storage = new FileStorage(directory);
    writeFileSync(join(directory, ".tidemark-note-n"), "x".repeat(1_000_000));
    expect(await storage.notes.read("n")).toHaveLength(4096);
    expect(await storage.notes.read("absent")).toBeUndefined();
  });

  test("a process that starts says what is in the way", async () => {
    const storage = new FileStorage(directory);
    execFileSync("mkfifo", [join(directory, `.tidemark-note-writable-${process.pid}`)]);
    expect(await storage.notes.obstacle()).toMatch(
      new RegExp(
        `directory .* cannot be written: .tidemark-note-writable-${process.pid}: a FIFO is in its place; delete it`,
      ),
    );
  });
});
