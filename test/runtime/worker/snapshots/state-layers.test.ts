/** YS1 to YS4: what the keyed state of a subtask consists of at each checkpoint, over a real heap and a storage. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { KeyedStateHandle, ObjectHandle, StatePiece } from "../../../../machines/protocol.ts";
import { systemClock } from "../../../../src/clock.ts";
import type { Chain } from "../../../../src/dataflow/chain.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { StateLayers } from "../../../../src/runtime/worker/snapshots/state-layers.ts";
import { SnapshotUpload } from "../../../../src/runtime/worker/snapshots/upload.ts";
import { HeapBackend } from "../../../../src/state/heap/backend.ts";

const INLINE_MAX = 200;
const KEYS = 400;
const keyGroups = { first: 0, last: 7 };

/** One state of one subtask, from its restore on. */
class Subtask {
  readonly backend = new HeapBackend({ operator: "count", keyGroups, maxParallelism: 8, keepsChanges: true });
  readonly table = this.backend.openTable("n");
  readonly layers = new StateLayers(INLINE_MAX);
  readonly live = new Map<number, number>();
  private readonly storage: MemoryStorage;

  constructor(storage: MemoryStorage) {
    this.storage = storage;
  }

  async restore(checkpointId: number, pieces: readonly StatePiece[]): Promise<void> {
    for (const { content } of pieces) {
      const bytes = content instanceof Uint8Array ? content : await this.storage.get(content);
      const restorer = this.backend.restorer("n", { object: "n", bytes });
      while (restorer.next());
    }
    this.backend.restored();
    for (const { key, value } of this.table.rows()) this.live.set(key as number, value as number);
    const handle: KeyedStateHandle = { kind: "keyed", operator: "count", state: "n", keyGroups, pieces };
    this.layers.restored(checkpointId, [handle], keyGroups);
  }

  set(key: number, value: number | undefined): void {
    this.backend.setCurrentKey(key);
    if (value === undefined) {
      this.table.remove();
      this.live.delete(key);
    } else {
      this.table.write(value);
      this.live.set(key, value);
    }
  }

  /** Answers when its objects are stored: the cut is that of the call. */
  snapshot(checkpointId: number, base: number | null): Promise<Stored> {
    const chain: Pick<Chain, "snapshot"> = {
      snapshot: (baseOf) =>
        this.backend
          .snapshot((state) => baseOf?.({ operator: "count", state, version: "1" }))
          .map((named) => ({ operator: "count", ...named })),
    };
    const expected = new Map(this.live);
    const cuts = this.layers.cut(chain, base);
    const upload = new SnapshotUpload({
      clock: systemClock,
      cuts,
      storage: this.storage,
      inlineBytesMax: INLINE_MAX,
      objectName: (part) => `checkpoint-${checkpointId}/${part}`,
      onRoom() {},
    });
    const encoded = async (): Promise<Stored> => {
      while (!upload.encoded) {
        upload.step(Number.POSITIVE_INFINITY);
        await null;
      }
      const [pieces] = this.layers.stored(checkpointId, await upload.stored());
      return { checkpointId, pieces: pieces!, expected };
    };
    return encoded();
  }
}

interface Stored {
  readonly checkpointId: number;
  readonly pieces: readonly StatePiece[];
  readonly expected: ReadonlyMap<number, number>;
}

const objectsOf = (pieces: readonly StatePiece[]): ObjectHandle[] =>
  pieces.flatMap(({ content }) => (content instanceof Uint8Array ? [] : [content]));

const bytesIn = (pieces: readonly StatePiece[]): number =>
  pieces.reduce(
    (sum, { content }) => sum + (content instanceof Uint8Array ? content.length : content.bytes),
    0,
  );

const inlineBytesIn = (pieces: readonly StatePiece[]): number =>
  bytesIn(pieces.filter(({ content }) => content instanceof Uint8Array));

const round = fc.record({
  from: fc.nat(KEYS - 1),
  count: fc.oneof({ weight: 4, arbitrary: fc.nat(6) }, { weight: 1, arbitrary: fc.nat(KEYS) }),
  isRemoval: fc.boolean(),
  fate: fc.constantFrom<"completed" | "late" | "given up" | "restored">(
    ...(["completed", "completed", "completed", "completed", "late", "given up", "restored"] as const),
  ),
});

test("each checkpoint is what the state was, whatever was given up, completed late or restored (P81)", async () => {
  const seen = { whole: 0, layered: 0, layersMax: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(round, { minLength: 30, maxLength: 80 }), async (rounds) => {
      const storage = new MemoryStorage();
      let subtask = new Subtask(storage);
      let latest: Stored | undefined;
      let late: Stored | undefined;
      let id = 0;
      for (const { from, count, isRemoval, fate } of rounds) {
        for (let i = 0; i < count; i++) subtask.set((from + i) % KEYS, isRemoval ? undefined : id * KEYS + i);
        id++;
        const snapshot = subtask.snapshot(id, latest?.checkpointId ?? null);
        // Records go on while it is written.
        subtask.set(id % KEYS, -id);
        subtask.set((id * 7) % KEYS, undefined);
        const stored = await snapshot;
        const { pieces, expected } = stored;
        const restored = new Subtask(storage);
        await restored.restore(id, pieces);
        expect(restored.live).toEqual(expected);
        expect(inlineBytesIn(pieces)).toBeLessThanOrEqual(INLINE_MAX);
        const changes = pieces.filter((piece) => piece.changes === true);
        seen[changes.length === 0 ? "whole" : "layered"]++;
        seen.layersMax = Math.max(seen.layersMax, pieces.length);
        if (fate === "given up") subtask.layers.forget(id);
        else if (fate === "late") late = stored;
        else {
          // An older one is never decided behind a newer one.
          if (late !== undefined && late.checkpointId > (latest?.checkpointId ?? 0)) latest = late;
          else latest = stored;
          late = undefined;
        }
        if (fate === "restored" && latest !== undefined) {
          subtask = new Subtask(storage);
          await subtask.restore(latest.checkpointId, latest.pieces);
          expect(subtask.live).toEqual(latest.expected);
        }
      }
    }),
    { numRuns: 60 },
  );
  expect(seen.whole).toBeGreaterThan(100);
  expect(seen.layered).toBeGreaterThan(300);
  expect(seen.layersMax).toBeGreaterThan(7);
});

test("a thousand checkpoints of a few changes: few pieces, and a restore reads about twice what there is (YS2, YS3)", async () => {
  const storage = new MemoryStorage();
  const subtask = new Subtask(storage);
  for (let key = 0; key < KEYS * 50; key++) subtask.set(key, key);
  let latest = await subtask.snapshot(1, null);
  const whole = bytesIn(latest.pieces);
  let written = 0;
  for (let id = 2; id <= 1000; id++) {
    for (let i = 0; i < 40; i++) subtask.set((id * 7919 + i * 104_729) % (KEYS * 50), id);
    latest = await subtask.snapshot(id, latest.checkpointId);
    expect(latest.pieces.length).toBeLessThanOrEqual(30);
    expect(bytesIn(latest.pieces)).toBeLessThanOrEqual(2.2 * whole);
    for (const { name, bytes } of objectsOf(latest.pieces))
      if (name.startsWith(`checkpoint-${id}/`)) written += bytes;
  }
  // 0.2 % of the rows each time: written whole each time, it would be 999 times as much.
  expect(written).toBeLessThan(12 * whole);
  const restored = new Subtask(storage);
  await restored.restore(1000, latest.pieces);
  expect(restored.live).toEqual(subtask.live);
});

test("where most rows change each time, a restore reads no more than about twice what there is (YS2)", async () => {
  const subtask = new Subtask(new MemoryStorage());
  for (let key = 0; key < KEYS; key++) subtask.set(key, key);
  let latest = await subtask.snapshot(1, null);
  const whole = bytesIn(latest.pieces);
  for (const share of [0.3, 0.6, 0.9, 1]) {
    for (let i = 0; i < 20; i++) {
      for (let key = 0; key < KEYS * share; key++) subtask.set(key, key + i);
      latest = await subtask.snapshot(latest.checkpointId + 1, latest.checkpointId);
      expect(bytesIn(latest.pieces)).toBeLessThanOrEqual(2.1 * whole);
    }
  }
});

test("a state that one subtask did not write for these key groups is written whole first", async () => {
  const storage = new MemoryStorage();
  const first = new Subtask(storage);
  for (let key = 0; key < KEYS; key++) first.set(key, key);
  const { pieces } = await first.snapshot(1, null);
  const other = new Subtask(storage);
  const half = {
    kind: "keyed",
    operator: "count",
    state: "n",
    keyGroups: { first: 0, last: 3 },
    pieces,
  } as const;
  other.layers.restored(1, [half, { ...half, keyGroups: { first: 4, last: 7 } }], keyGroups);
  other.backend.restored();
  const next = await other.snapshot(2, 1);
  expect(next.pieces.filter(({ changes }) => changes === true)).toEqual([]);
});
