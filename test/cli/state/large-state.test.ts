/**
 * State is read a portion at a time, the newest row of each key, however the pieces lie (YR1); and written as fast as
 * it is read.
 */
import { expect, test } from "vitest";
import type { KeyedStateHandle, ObjectHandle, StatePiece } from "../../../machines/protocol.ts";
import { objectNames } from "../../../src/checkpoint/storage.ts";
import { portionsOf } from "../../../src/cli/state/stored-tables.ts";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { encodeManifest } from "../../../src/formats/manifest.ts";
import type { Key } from "../../../src/state/descriptor.ts";
import { keyGroupOf } from "../../../src/state/key-groups.ts";
import { encodeChunk } from "../../../src/state/snapshot/chunk.ts";
import { ColumnEncoder } from "../../../src/state/snapshot/columns.ts";
import { SegmentIndex } from "../../../src/state/snapshot/segments.ts";
import { jobRecord, manifestOf, subtaskSnapshot } from "../../support/job-record.ts";
import { SharedServer } from "../servers/shared-server.ts";

const shared = new SharedServer("large");

const GROUPS = 128;
const ALL = { first: 0, last: GROUPS - 1 };

interface Change {
  readonly key: Key;
  /** undefined: the row is deleted. */
  readonly value: unknown;
}

/** A chunk for each key group, as an incremental snapshot writes what has changed. */
function piece(changes: readonly Change[]): { bytes: Buffer; segments: StatePiece["segments"] } {
  const chunks: Uint8Array[] = [];
  const index = new SegmentIndex();
  let offset = 0;
  for (let keyGroup = 0; keyGroup < GROUPS; keyGroup++) {
    const rows = changes.filter(({ key }) => keyGroupOf(key, GROUPS) === keyGroup);
    if (rows.length === 0) continue;
    const deleted = new Set(rows.flatMap(({ value }, row) => (value === undefined ? [row] : [])));
    const chunk = encodeChunk(
      {
        keys: rows.map(({ key }) => key),
        groups: [{ keyGroup, entries: rows.length }],
        deleted,
        values: rows.filter(({ value }) => value !== undefined).map(({ value }) => value),
      },
      new ColumnEncoder(),
    );
    index.add(chunk, offset);
    chunks.push(chunk.bytes);
    offset += chunk.bytes.byteLength;
  }
  return { bytes: Buffer.concat(chunks), segments: index.segments() };
}

const keyed = (pieces: readonly StatePiece[]): KeyedStateHandle => ({
  kind: "keyed",
  operator: "count",
  state: "count",
  keyGroups: ALL,
  pieces,
});

const FILLER = "x".repeat(10_000);
const longValue = (key: number, life: number) => `${life} ${key} ${FILLER}`;

test("later pieces win, deletions too, and no portion holds all", async () => {
  const keys = Array.from({ length: 4_000 }, (_, key) => key);
  const contents = [
    piece(keys.map((key) => ({ key, value: longValue(key, 1) }))),
    piece(keys.filter((key) => key % 3 === 0).map((key) => ({ key, value: undefined }))),
    piece(keys.filter((key) => key % 6 === 0).map((key) => ({ key, value: longValue(key, 2) }))),
  ];
  const objects = new Map(contents.map(({ bytes }, part) => [`piece ${part}`, bytes]));
  const handle = keyed(
    contents.map(({ bytes, segments }, part) => ({
      content: { name: `piece ${part}`, bytes: bytes.byteLength, digest: "" },
      segments,
    })),
  );
  const found = new Map<Key, unknown>();
  let portions = 0;
  const options = {
    operator: "count",
    maxParallelism: GROUPS,
    read: async ({ name }: ObjectHandle) => objects.get(name)!,
  };
  for await (const { tables } of portionsOf([{ state: "count", handles: [handle] }], options)) {
    portions++;
    expect(tables[0]!.rowCount).toBeLessThan(keys.length / 2);
    for (const { key, value } of tables[0]!.rows()) {
      expect(found.has(key)).toBe(false);
      found.set(key, value);
    }
  }
  const kept = keys.filter((key) => key % 3 !== 0 || key % 6 === 0);
  expect(portions).toBeGreaterThan(2);
  expect(found.size).toBe(kept.length);
  expect(kept.filter((key) => found.get(key) !== longValue(key, key % 6 === 0 ? 2 : 1))).toEqual([]);
});

/** A job that is there with state of 20 MB. */
async function storeLargeJob(): Promise<void> {
  const { storage } = shared.cluster;
  const at = { job: "large", incarnation: "i1", generation: 1, checkpointId: 1 };
  const { bytes, segments } = piece(
    Array.from({ length: 2_000 }, (_, key) => ({ key, value: longValue(key, 1) })),
  );
  const object = await storage.put(objectNames.state({ ...at, subtask: "count/0", part: 0 }), [bytes]);
  const states = [keyed([{ content: object, segments }])];
  const manifest = manifestOf(1, { ...at, subtasks: [subtaskSnapshot({ states })] });
  const handle = await storage.put(objectNames.manifest(at), [encodeManifest(manifest)]);
  const operator = { id: "count", kind: "process", inputs: [], states: ["count"] };
  const checkpoint = { ...at, manifest: handle, completedAtMs: Date.now(), bytes: 0, allFinished: false };
  const record = jobRecord({
    job: "large",
    status: "suspended",
    plan: {
      vertices: [{ id: "count", parallelism: 1, operators: [operator] }],
      edges: [],
      maxParallelism: GROUPS,
    },
    checkpoints: [checkpoint],
  });
  await (await shared.cluster.openRecords()).compareAndSet(jobKey("large"), encodeRecord(record), 0);
}

test("a dump waits for its reader, and ends when that has gone", async () => {
  await storeLargeJob();
  const slow = shared.workspace.start(shared.here("state", "dump", "large"));
  slow.child.stdout!.pause();
  await slow.says("state of checkpoint 1 of job large");
  slow.child.stdout!.resume();
  const { code, stdout } = await slow.ended;
  expect(code).toBe(0);
  expect(stdout.trimEnd().split("\n").length).toBe(2_001);

  const left = shared.workspace.start(shared.here("state", "dump", "large"));
  left.child.stdout!.once("data", () => left.child.stdout!.destroy());
  const ended = await left.ended;
  expect(ended.code).toBe(0);
  expect(ended.stdout.length).toBeLessThan(stdout.length / 2);
});

test("state that is damaged is said so, with its object", async () => {
  await storeLargeJob();
  const { storage } = shared.cluster;
  for await (const { name } of storage.list("large/"))
    if (!name.endsWith("manifest")) await storage.delete(name);
  for (const command of [["ls"], ["get"], ["dump"]]) {
    const more = command[0] === "get" ? ["count", "count", "1"] : [];
    const { code, stderr } = await shared.asks("state", ...command, "large", ...more);
    expect({ command, code, stderr }).toMatchObject({
      command,
      code: command[0] === "dump" ? 3 : 5,
      stderr: expect.stringMatching(/checkpoint 1.*count-0\.0/),
    });
  }
});
