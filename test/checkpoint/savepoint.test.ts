/** A savepoint on storage: complete in itself or not there (SP1, SP2). */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { SavepointMetadata } from "../../machines/protocol.ts";
import { FileStorage } from "../../src/checkpoint/file-storage.ts";
import {
  disposeSavepoint,
  isCompleteSavepoint,
  readSavepoint,
  savepointLocation,
  splitLocation,
  writeSavepoint,
} from "../../src/checkpoint/savepoint.ts";
import { type CheckpointStorage, stateObjects } from "../../src/checkpoint/storage.ts";
import { ConfigurationError, ObjectCorruptError, ObjectMissingError } from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { listed } from "../../src/testing/storage-content.ts";
import { keyedHandle, manifestOf, subtaskSnapshot } from "../support/job-record.ts";

const NEVER = new AbortController().signal;
const location = savepointLocation("/kept/", { job: "words", incarnation: "0123456789", checkpointId: 7 });
const { name } = splitLocation(location);
const bytes = (text: string) => [new TextEncoder().encode(text)];

async function directory(): Promise<CheckpointStorage> {
  const path = await mkdtemp(join(tmpdir(), "tidemark-savepoint-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return new FileStorage(path);
}

/** One state object that two subtasks name, and one staged by a transaction. */
async function metadataIn(from: CheckpointStorage): Promise<SavepointMetadata> {
  const shared = await from.put("words/i1/1/checkpoint-7/state", bytes("state"));
  const staged = await from.put("words/i1/1/transaction-0", bytes("output"));
  const transaction = { incarnation: "i1", sink: "out", writer: 0, checkpointId: 7, detail: [1] };
  return {
    ...{ format: 1, location, createdAtMs: 1, drained: false, unfinished: [], splits: {} },
    plan: { vertices: [], edges: [], maxParallelism: 128 },
    manifest: manifestOf(7, {
      subtasks: [
        subtaskSnapshot({
          states: [keyedHandle("count", [shared], 0, 2)],
          transactions: [{ ...transaction, staged: [staged] }],
        }),
        subtaskSnapshot({ subtask: "count/1", states: [keyedHandle("count", [shared], 1, 2)] }),
      ],
    }),
  };
}

async function namesIn(storage: CheckpointStorage, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  for await (const each of storage.list(prefix)) names.push(each.name);
  return names.sort();
}

const overwritten = async (to: CheckpointStorage, change: (metadata: SavepointMetadata) => unknown) => {
  const metadata = await metadataIn(new MemoryStorage());
  await writeSavepoint({ ...metadata, ...(change(metadata) as object) }, await source(), to, NEVER);
};
async function source(): Promise<CheckpointStorage> {
  const from = new MemoryStorage();
  await metadataIn(from);
  return from;
}

describe.each([
  ["memory", async () => new MemoryStorage()],
  ["a directory", directory],
] as const)("in %s", (_, open) => {
  it("is read back whole when everything that it was copied from is gone, what transactions have staged too", async () => {
    const [from, to] = [new MemoryStorage(), await open()];
    const metadata = await metadataIn(from);
    const size = await writeSavepoint(metadata, from, to, NEVER);
    expect(size).toBeGreaterThan("stateoutput".length);
    for (const each of await namesIn(from)) await from.delete(each);
    const { manifest, ...rest } = await readSavepoint(location, to);
    const { manifest: written, ...wanted } = metadata;
    expect(rest).toEqual(wanted);
    expect(manifest).toMatchObject({
      ...written,
      subtasks: [{ subtask: "count/0" }, { subtask: "count/1" }],
    });
    const [first, second] = manifest.subtasks;
    const [object] = stateObjects(first!.states[0]!);
    expect(stateObjects(second!.states[0]!)).toEqual([object]);
    const text = async (handle: Parameters<CheckpointStorage["get"]>[0]) =>
      new TextDecoder().decode(await to.get(handle));
    expect(await text(object!)).toBe("state");
    expect(await text(first!.transactions[0]!.staged[0]!)).toBe("output");
    expect(await namesIn(to)).toHaveLength(3);
  });

  it("is not there before its metadata is: a crash earlier leaves nothing that is found", async () => {
    const from = await source();
    const metadata = await metadataIn(from);
    for (let puts = 0; puts < 3; puts++) {
      const to = await open();
      let left = puts;
      const dying = new Proxy(to, {
        get: (target, key) => {
          const found: unknown = Reflect.get(target, key);
          if (key !== "put") return typeof found === "function" ? found.bind(target) : found;
          return async (...args: Parameters<CheckpointStorage["put"]>) => {
            if (left-- === 0) throw new Error("crashed");
            return target.put(...args);
          };
        },
      });
      await expect(writeSavepoint(metadata, from, dying, NEVER)).rejects.toThrow("crashed");
      await expect(readSavepoint(location, to)).rejects.toThrow(ObjectMissingError);
      expect(await isCompleteSavepoint(location, to)).toBe(false);
      expect(await disposeSavepoint(location, to)).toBe(puts);
    }
  });

  it("of a newer format is refused by name, what is no metadata is corrupt", async () => {
    const newer = await open();
    await overwritten(newer, () => ({ format: 2 }));
    await expect(readSavepoint(location, newer)).rejects.toThrow(ConfigurationError);
    await expect(readSavepoint(location, newer)).rejects.toThrow("newer version");
    const none = await open();
    await none.put(`${name}/metadata.${"0".repeat(64)}`, bytes("something else"));
    await expect(readSavepoint(location, none)).rejects.toThrow(ObjectCorruptError);
  });

  it("that names objects of another one is refused by name, also when it was given another name", async () => {
    const to = await open();
    const from = await source();
    await writeSavepoint(await metadataIn(from), from, to, NEVER);
    const { name: metadata, bytes: size } = (await listed(to.list(`${name}/metadata.`)))[0]!;
    const digest = `sha256:${metadata.split(".").at(-1)}`;
    const content = await to.get({ name: metadata, bytes: size, digest });
    await to.put(metadata.replace(name, "renamed"), [content]);
    const reading = readSavepoint(location.replace(name, "renamed"), to);
    await expect(reading).rejects.toThrow(ObjectCorruptError);
    await expect(reading).rejects.toThrow(
      `renamed names the object "${name}/0", which is none of this savepoint's: a savepoint keeps its name`,
    );
  });

  it("is complete with all of its objects, damaged or not", async () => {
    const to = await open();
    await overwritten(to, () => ({}));
    expect(await isCompleteSavepoint(location, to)).toBe(true);
    await to.delete(`${name}/1`);
    expect(await isCompleteSavepoint(location, to)).toBe(false);
    const damaged = await open();
    await damaged.put(`${name}/metadata.${"0".repeat(64)}`, bytes("something else"));
    expect(await isCompleteSavepoint(location, damaged)).toBe(true);
  });

  it("is deleted alone: neighbours, and what is no savepoint at all, stay", async () => {
    const to = await open();
    await overwritten(to, () => ({}));
    await to.put(`${name}/notes`, bytes("mine"));
    await to.put("photos/1", bytes("mine"));
    await to.put("photos/2020/1", bytes("mine"));
    expect(await disposeSavepoint("/kept/photos", to)).toBe(0);
    expect(await disposeSavepoint("/x/kept", to)).toBe(0);
    expect(await disposeSavepoint(location, to)).toBe(3);
    expect(await namesIn(to)).toEqual([`${name}/notes`, "photos/1", "photos/2020/1"].sort());
  });
});

describe("a location", () => {
  it.each([
    ["/var/sp/a", "/var/sp", "a"],
    ["/var/sp/a///", "/var/sp", "a"],
    ["nats:KEPT/a", "nats:KEPT", "a"],
    ["file:///var/sp/a", "file:///var/sp", "a"],
  ])("%s", (text, root, its) => expect(splitLocation(text)).toEqual({ root, name: its }));

  it.each(["", "a", "/a", "/", "nats:KEPT", "/var/sp/..", "/var/sp/.", "/var/.hidden"])(
    "%j is none",
    (text) => expect(() => splitLocation(text)).toThrow(ConfigurationError),
  );
});
