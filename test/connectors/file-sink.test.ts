import * as nodeFiles from "node:fs/promises";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fileSink } from "../../src/connectors/file-sink.ts";
import type { SinkFiles } from "../../src/connectors/sink-folder.ts";
import type { InheritedFrom } from "../../src/dataflow/sink.ts";
import { CommitRefusedError, ConfigurationError, StorageRefusedError } from "../../src/errors.ts";
import { prepareTransaction, sinkEnvironment } from "../../src/testing/sink-environment.ts";
import { closeFaultyFiles, faultyFiles } from "../contracts/suites/faulty-files.ts";
import { FaultPlan, records } from "../contracts/suites/sink.contract.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "tidemark-file-"));
});
afterEach(() => rm(directory, { recursive: true }));
afterAll(closeFaultyFiles);

const visible = async () => (await readdir(directory)).filter((file) => !file.startsWith("."));
const hidden = async (end: string) =>
  (await readdir(join(directory, ".tidemark"))).filter((file) => file.endsWith(end));

test("a committed transaction is one file, named by writer and checkpoint, one record a line", async () => {
  const writer = await fileSink({ directory, name: "counts" }).open(sinkEnvironment({ subtaskIndex: 2 }));
  writer.write({ word: "größe", count: 1 }, 0);
  writer.write({ word: "b", count: 2 }, 0);
  const transaction = await writer.cut(7)!.prepared();
  expect(await visible()).toEqual([]);
  await writer.commit(transaction);
  expect(await visible()).toEqual(["counts-out-life1-002-0000000007"]);
  const text = await readFile(join(directory, (await visible())[0]!), "utf8");
  expect(text).toBe('{"word":"größe","count":1}\n{"word":"b","count":2}\n');
});

test("records of many chunks, and one larger than a chunk, keep their order", async () => {
  const writer = await fileSink<string>({ directory, encode: "text" }).open(sinkEnvironment({}));
  const written = [...records("a", 50_000), "x".repeat(600_000), ...records("b", 50_000)];
  await writer.commit(await prepareTransaction(writer, 1, written));
  const text = await readFile(join(directory, (await visible())[0]!), "utf8");
  expect(text.split("\n").slice(0, -1)).toEqual(written);
});

test("a directory that is a file, or below one, is refused by name", async () => {
  const file = join(directory, "file");
  await writeFile(file, "");
  for (const wrong of [file, join(file, "below")]) {
    const sink = fileSink({ directory: wrong });
    await expect(sink.check(sinkEnvironment({}))).rejects.toThrow(ConfigurationError);
  }
});

test("a finished file that a reader took away does not make the repeated commit fail", async () => {
  const writer = await fileSink<string>({ directory, encode: "text" }).open(sinkEnvironment({}));
  const transaction = await prepareTransaction(writer, 1, ["a"]);
  await writer.commit(transaction);
  await rm(join(directory, (await visible())[0]!));
  await writer.commit(transaction);
  expect(await visible()).toEqual([]);
});

test("a finished file that a reader took away is missed by neither a fork nor the job that it has it from", async () => {
  const sink = fileSink<string>({ directory, encode: "text" });
  const original = await sink.open(sinkEnvironment({}));
  const takeAway = async () => rm(join(directory, (await visible())[0]!));
  const [first, second] = [
    await prepareTransaction(original, 1, ["a"]),
    await prepareTransaction(original, 2, ["b"]),
  ];
  const fork = await sink.open(sinkEnvironment({ incarnation: "life2", restoredCheckpointId: 2 }));
  await original.commit(first);
  await takeAway();
  await fork.commit(first, { incarnation: "life1", generation: 1 });
  await fork.commit(second, { incarnation: "life1", generation: 1 });
  await takeAway();
  await original.commit(second);
  await original.commit(await prepareTransaction(original, 3, ["c"]));
  expect(await visible()).toEqual(["part-out-life1-000-0000000003"]);
});

test("a prepared file that is gone stops the job by name", async () => {
  const writer = await fileSink<string>({ directory, encode: "text" }).open(sinkEnvironment({}));
  const transaction = await prepareTransaction(writer, 1, ["a"]);
  for (const file of await hidden(".open")) await rm(join(directory, ".tidemark", file));
  await expect(writer.commit(transaction)).rejects.toThrow(CommitRefusedError);
  await expect(writer.commit(transaction)).rejects.toThrow(/neither .* nor .* exists/);
});

test("a prepared file that was cut short stops the job by name", async () => {
  const writer = await fileSink<string>({ directory, encode: "text" }).open(sinkEnvironment({}));
  const transaction = await prepareTransaction(writer, 1, ["abc"]);
  await writeFile(join(directory, ".tidemark", (await hidden(".open"))[0]!), "a");
  await expect(writer.commit(transaction)).rejects.toThrow(/has 1 bytes, and was prepared with 4/);
});

test("hidden files of older generations go after the first commit of an own transaction, not before (FK4)", async () => {
  const sink = fileSink<string>({ directory, encode: "text" });
  const first = await sink.open(sinkEnvironment({}));
  const restored = await prepareTransaction(first, 1, ["restored"]);
  await prepareTransaction(first, 2, ["never decided"]);
  const second = await sink.open(sinkEnvironment({ generation: 2, restoredCheckpointId: 1 }));
  expect(await hidden(".open")).toHaveLength(2);
  await second.commit(restored);
  expect(await hidden(".open")).toHaveLength(1);
  await second.commit(await prepareTransaction(second, 3, ["own"]));
  expect(await hidden(".open")).toHaveLength(0);
  expect(await visible()).toHaveLength(2);
});

test("hidden files of writers that a rescale has left none of go with those of the writer that took over, and no savepoint's (FK4)", async () => {
  const sink = fileSink<string>({ directory, encode: "text" });
  const writers = await Promise.all(
    [0, 1, 2, 3, 4].map((subtaskIndex) => sink.open(sinkEnvironment({ subtaskIndex, parallelism: 5 }))),
  );
  const decided = await Promise.all(
    writers.map((writer, i) => prepareTransaction(writer, 1, [`decided ${i}`])),
  );
  await writers[4]!.keep?.();
  for (const [i, writer] of writers.entries()) await prepareTransaction(writer, 2, [`never decided ${i}`]);
  const at = { generation: 2, restoredCheckpointId: 1, parallelism: 2 };
  const [first, second] = [
    await sink.open(sinkEnvironment({ ...at, subtaskIndex: 0 })),
    await sink.open(sinkEnvironment({ ...at, subtaskIndex: 1 })),
  ];
  for (const i of [0, 2]) await first.commit(decided[i]!);
  for (const i of [1, 3]) await second.commit(decided[i]!);
  expect(await hidden(".open")).toHaveLength(6);
  await first.commit(await prepareTransaction(first, 3, ["own"]));
  const left = await hidden(".open");
  // Those of writers 1 and 3 are the other one's; writer 4's is a savepoint's.
  expect(left.map((file) => Number(file.split(",")[2])).sort()).toEqual([1, 3, 4]);
  await second.commit(await prepareTransaction(second, 3, ["own"]));
  expect((await hidden(".open")).map((file) => Number(file.split(",")[2]))).toEqual([4]);
  expect(await visible()).toHaveLength(6);
});

test("what a savepoint names stays when its job goes back behind it, until it is committed (FK4)", async () => {
  const sink = fileSink<string>({ directory, encode: "text" });
  const first = await sink.open(sinkEnvironment({}));
  await first.commit(await prepareTransaction(first, 1, ["decided"]));
  // The checkpoint before the savepoint was aborted: the savepoint names its transaction, too.
  const named = [
    await prepareTransaction(first, 2, ["of the checkpoint"]),
    await prepareTransaction(first, 3, ["of the savepoint"]),
  ];
  await first.keep?.();
  await prepareTransaction(first, 4, ["of no savepoint"]);
  const second = await sink.open(sinkEnvironment({ generation: 2, restoredCheckpointId: 1 }));
  await second.commit(await prepareTransaction(second, 5, ["again"]));
  expect(await hidden(".open")).toHaveLength(2);
  const fork = await sink.open(sinkEnvironment({ incarnation: "life2", restoredCheckpointId: 3 }));
  const third = await sink.open(sinkEnvironment({ generation: 3, restoredCheckpointId: 5 }));
  // As a restore with --write-again does.
  for (const transaction of named) await fork.commit(transaction);
  await third.commit(await prepareTransaction(third, 6, ["later"]));
  expect(await hidden(".open")).toEqual([]);
  expect(await hidden(".kept")).toEqual([]);
});

test("closing drops the file of a transaction that was never cut, and keeps prepared ones", async () => {
  const writer = await fileSink<string>({ directory, encode: "text" }).open(sinkEnvironment({}));
  await prepareTransaction(writer, 1, ["prepared"]);
  writer.write("open", 0);
  await writer.close();
  expect(await hidden(".open")).toHaveLength(1);
});

test("a write that the file system refuses fails the generation and the preparation", async () => {
  const refusal = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  const open: typeof nodeFiles.open = async (path, ...rest) => {
    if (String(path).endsWith(".open")) throw refusal;
    return nodeFiles.open(path, ...rest);
  };
  const fail = vi.fn();
  const sink = fileSink<string>({ directory, encode: "text" }, { ...nodeFiles, open });
  const writer = await sink.open(sinkEnvironment({ fail }));
  writer.write("a", 0);
  await expect(writer.cut(1)!.prepared()).rejects.toThrow("no space left");
  expect(fail.mock.calls[0]![0]).toBeInstanceOf(StorageRefusedError);
  expect(String(fail.mock.calls[0]![0])).toContain("ENOSPC");
});

describe("a process that dies in the middle of a commit (P54)", () => {
  const sink = (files?: SinkFiles) => fileSink<string>({ directory, encode: "text" }, files);
  const loseStaged = async () => {
    for (const file of await hidden(".open")) await rm(join(directory, ".tidemark", file));
  };
  /** Answers how to bring the file back. */
  const keepStaged = async () => {
    const [file] = await hidden(".open");
    const path = join(directory, ".tidemark", file!);
    const content = await readFile(path);
    return () => writeFile(path, content);
  };

  /**
   * Commits as often as it takes: each time the process dies one call later. Answers where none of the calls was the
   * last.
   */
  async function* deaths(inheritedFrom?: InheritedFrom) {
    for (let calls = 0; ; calls++) {
      await rm(directory, { recursive: true });
      await nodeFiles.mkdir(directory);
      const first = await sink().open(sinkEnvironment({}));
      const transaction = await prepareTransaction(first, 1, ["a", "b"]);
      const plan = new FaultPlan([]);
      const own = inheritedFrom === undefined ? {} : { incarnation: "life2" };
      const dying = await sink(faultyFiles(plan)).open(
        sinkEnvironment({ generation: 2, restoredCheckpointId: 1, ...own }),
      );
      const bringBack = await keepStaged();
      plan.dieAfter(calls);
      const end = await Promise.race([dying.commit(transaction, inheritedFrom), plan.crashed]);
      const restore = async () => {
        const heir = await sink().open(sinkEnvironment({ generation: 3, restoredCheckpointId: 1, ...own }));
        await heir.commit(transaction, inheritedFrom);
      };
      yield { restore, bringBack };
      if (end !== "crashed") return;
    }
  }

  test.each([undefined, { incarnation: "life1", generation: 1 }])(
    "what it has staged is lost too: found, or refused by name; never left out (inherited from %j)",
    async (inheritedFrom) => {
      const outcomes = new Set<string>();
      for await (const { restore, bringBack } of deaths(inheritedFrom)) {
        await loseStaged();
        const wasThere = (await visible()).length === 1;
        outcomes.add(wasThere ? "renamed" : "lost");
        if (!wasThere) {
          await expect(restore()).rejects.toThrow(CommitRefusedError);
          await expect(restore()).rejects.toThrow(/neither .*part-out-life1-000-0000000001 exists/);
          await bringBack();
        }
        await restore();
        expect(await visible()).toEqual(["part-out-life1-000-0000000001"]);
        expect(await readFile(join(directory, (await visible())[0]!), "utf8")).toBe("a\nb\n");
      }
      expect(outcomes).toEqual(new Set(["renamed", "lost"]));
    },
  );

  test("a reader has taken the finished file away: it is not written again, and where that cannot be told the user says it", async () => {
    const outcomes = new Set<string>();
    for await (const { restore } of deaths()) {
      const [finished] = await visible();
      if (finished === undefined) {
        await restore();
        continue;
      }
      await rm(join(directory, finished));
      const refused = await restore().then(
        () => undefined,
        (error: Error) => error,
      );
      outcomes.add(refused === undefined ? "known" : "asked");
      if (refused !== undefined) {
        const [, note] = /say so with touch (\S+);/.exec(refused.message)!;
        await writeFile(note!.replaceAll("'", ""), "");
        await restore();
      }
      expect(await visible()).toEqual([]);
    }
    expect(outcomes).toEqual(new Set(["known", "asked"]));
  });
});
