/**
 * A disk that is full, under checkpoints and under a file sink: it is named with its directory, nothing is lost, and
 * the job goes on when there is room.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import * as nodeFiles from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileStorage } from "../../../src/checkpoint/file-storage.ts";
import type { Files } from "../../../src/checkpoint/files.ts";
import { fileSink } from "../../../src/connectors/file-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { SinkFiles } from "../../../src/connectors/sink-folder.ts";
import { type Count, wordCount } from "../../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

/** Node's calls, on a disk that takes nothing more while it is full. */
class Disk {
  code: "ENOSPC" | "EDQUOT" | undefined;

  readonly files = new Proxy(nodeFiles as unknown as Files & SinkFiles, {
    get: (target, name: "open" | "mkdir") => {
      if (name === "mkdir") return this.#refusing(target.mkdir);
      if (name !== "open") return target[name];
      return async (path: string, flags: string | number) => {
        const file = await nodeFiles.open(path, flags);
        file.writeFile = this.#refusing(file.writeFile.bind(file)) as typeof file.writeFile;
        return file;
      };
    },
  });

  #refusing(call: unknown) {
    return async (...given: unknown[]) => {
      const { code } = this;
      if (code !== undefined)
        throw Object.assign(new Error(`${code}: the disk takes no more, write`), { code, syscall: "write" });
      return await (call as (...given: unknown[]) => unknown)(...given);
    };
  }
}

let directory: string;
let disk: Disk;
let world: MemoryWorld;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-full-"));
  disk = new Disk();
});
afterEach(async () => {
  await world.close();
  expect(world.crashes).toEqual([]);
  rmSync(directory, { recursive: true, maxRetries: 5 });
});

const begins = async (options: WorldOptions) => {
  world = new MemoryWorld({ bounded: false, ...options });
  await world.begins(1000);
  await world.runs();
};

test.each(["ENOSPC", "EDQUOT"] as const)("of checkpoints: %s", async (code) => {
  await begins({ storage: new FileStorage(directory, { files: disk.files }) });
  await world.allCommitted();
  disk.code = code;
  world.fill(1000);
  const before = world.target.committed.length;
  const told = await world.comesTo("the trouble is told", ({ troubles }) => troubles.length > 0);
  expect(JSON.stringify(told.troubles)).toContain(`directory ${directory}`);
  expect(JSON.stringify(told.troubles)).toContain(code);
  expect(world.target.committed).toHaveLength(before);
  disk.code = undefined;
  await world.allCommitted();
});

test.each(["ENOSPC", "EDQUOT"] as const)("of a file sink: %s", async (code) => {
  const lines = () =>
    readdirSync(directory)
      .filter((file) => !file.startsWith("."))
      .sort((a, b) => a.slice(-10).localeCompare(b.slice(-10)))
      .flatMap((file) => readFileSync(join(directory, file), "utf8").trimEnd().split("\n"))
      .map((line) => JSON.parse(line) as Count);
  const comesTo = (count: number) =>
    until(
      `${count} lines`,
      async () => {
        await world.client().snapshot(snapshotRequest({ request: `r${Math.random()}`, kind: "checkpoint" }));
        return lines().length >= count;
      },
      { describe: () => `${lines().length}` },
    );
  await begins({
    interval: "1 h",
    build: (builder, { logs }) =>
      wordCount(builder, memorySource(logs, {}), fileSink<Count>({ directory }, disk.files)),
  });
  await comesTo(1000);
  disk.code = code;
  world.fill(1000);
  const asked = world
    .client()
    .snapshot(snapshotRequest({ request: "full", kind: "checkpoint" }))
    .catch(() => undefined);
  const told = await world.comesTo("a failure is told", ({ failures }) => failures.length > 0);
  expect(told.failures[0]?.reason).toContain(code);
  expect(told.failures[0]?.reason).toContain(directory);
  disk.code = undefined;
  await comesTo(2000);
  await asked;
  for (const { word, count } of lines()) world.target.committed.push({ word, count });
  world.expectExact();
});
