import { beforeEach, describe, expect, it } from "vitest";
import type {
  AbortedCheckpoint,
  CompletedCheckpoint,
  JobRecord,
  Manifest,
  ObjectHandle,
} from "../../../../machines/protocol.ts";
import { changeRecord } from "../../../../machines/record.ts";
import { objectNames } from "../../../../src/checkpoint/storage.ts";
import { StorageStalledError } from "../../../../src/errors.ts";
import { encodeValue } from "../../../../src/formats/codec.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { ObjectReaper } from "../../../../src/runtime/leader/checkpoints/object-reaper.ts";
import {
  checkpointingConfig,
  jobRecord,
  keyedHandle,
  manifestOf,
  subtaskSnapshot,
} from "../../../support/job-record.ts";
import { latch } from "../../../support/latch.ts";
import { ManualClock, settled } from "../../../support/manual-clock.ts";

const at = { job: "word-count", incarnation: "i1" };
const stateName = (generation: number, checkpointId: number) =>
  objectNames.state({ ...at, generation, checkpointId, subtask: "count/0", part: 0 });
const stagedName = (generation: number, part: number) =>
  objectNames.transaction({ ...at, generation, sink: "out", writer: 0, part });

/** The record says that it is given up. */
const aborting = (record: JobRecord, checkpointId: number): JobRecord => ({
  ...record,
  aborted: [...record.aborted, { checkpointId } as AbortedCheckpoint],
});

class World {
  readonly storage = new MemoryStorage();
  readonly clock = new ManualClock();
  readonly leadership = new AbortController();
  readonly warnings: string[] = [];
  /** The counts as they were told. */
  readonly cleaning: number[] = [];
  readonly reaper: ObjectReaper;

  constructor() {
    const ignore = () => {};
    this.reaper = this.newReaper(ignore);
  }

  newReaper(ignore = () => {}): ObjectReaper {
    const warn = (_: unknown, message: string) => this.warnings.push(message);
    return new ObjectReaper({
      storage: this.storage,
      logger: { debug: ignore, info: ignore, warn, error: ignore } as never,
      clock: this.clock,
      signal: this.leadership.signal,
      onCleaning: (checkpoints) => this.cleaning.push(checkpoints),
    });
  }

  put(name: string, content: Uint8Array = new Uint8Array([1])): Promise<ObjectHandle> {
    return this.storage.put(name, [content]);
  }

  /** A checkpoint with one state object and the given staged objects, all of them stored. */
  async checkpoint(
    checkpointId: number,
    generation: number,
    staged: readonly string[] = [],
  ): Promise<{ readonly checkpoint: CompletedCheckpoint; readonly manifest: Manifest }> {
    const objects = [await this.put(stateName(generation, checkpointId))];
    const handles = await Promise.all(staged.map((name) => this.put(name)));
    const manifest = manifestOf(checkpointId, {
      generation,
      subtasks: [
        subtaskSnapshot({
          states: [keyedHandle("count", objects)],
          transactions: [
            { incarnation: "i", sink: "out", writer: 0, checkpointId, staged: handles, detail: null },
          ],
        }),
      ],
    });
    const handle = await this.put(
      objectNames.manifest({ ...at, generation, checkpointId }),
      encodeValue(manifest),
    );
    const checkpoint = {
      checkpointId,
      generation,
      manifest: handle,
      completedAtMs: 0,
      bytes: 0,
      allFinished: false,
    };
    return { checkpoint, manifest };
  }

  async names(): Promise<string[]> {
    await settled();
    const names: string[] = [];
    for await (const { name } of this.storage.list("")) names.push(name);
    return names.sort();
  }
}

const retaining = (
  retained: number,
  checkpoints: readonly CompletedCheckpoint[],
  generation = 1,
): JobRecord =>
  jobRecord({
    generation,
    checkpoints,
    checkpointing: checkpointingConfig({ timeoutMs: 1000, retained }),
  });

function decide(record: JobRecord, checkpoint: CompletedCheckpoint): JobRecord {
  const changed = changeRecord(record, { change: "decision", savepoint: null, checkpoint });
  if ("refused" in changed) throw new Error(changed.refused);
  return changed.record;
}

describe("what a write of the record lets go (P15, P16)", () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it("is exactly what the dropped checkpoint named and no retained one does", async () => {
    const shared = stagedName(1, 0);
    const one = await world.checkpoint(1, 1, [shared, stagedName(1, 1)]);
    const two = await world.checkpoint(2, 1, [shared, stagedName(1, 2)]);
    const other = "word-count/i1/1/checkpoint-9/count-0.0";
    await world.put(other);
    world.reaper.knowManifest(one.checkpoint, one.manifest);
    world.reaper.knowManifest(two.checkpoint, two.manifest);
    const before = retaining(1, [one.checkpoint]);
    world.reaper.stored(before, decide(before, two.checkpoint));
    expect(await world.names()).toEqual(
      [two.checkpoint.manifest.name, stateName(1, 2), shared, stagedName(1, 2), other].sort(),
    );
  });

  it("what a pending checkpoint rests on stays until that is settled (OR4)", async () => {
    const one = await world.checkpoint(1, 1);
    const two = await world.checkpoint(2, 1);
    world.reaper.knowManifest(one.checkpoint, one.manifest);
    world.reaper.knowManifest(two.checkpoint, two.manifest);
    const before = retaining(1, [one.checkpoint]);
    const after = decide(before, two.checkpoint);
    // Two pending ones rest on it.
    const releases = [world.reaper.holdBase(one.checkpoint), world.reaper.holdBase(one.checkpoint)];
    const all = await world.names();
    world.reaper.stored(before, after);
    expect(await world.names()).toEqual(all);
    releases[0]!();
    expect(await world.names()).toEqual(all);
    // A sweep of a later generation finds nothing of it either.
    world.reaper.sweep({ ...after, generation: 2, generations: [2] });
    expect(await world.names()).toEqual(all);
    releases[1]!();
    expect(await world.names()).toEqual([two.checkpoint.manifest.name, stateName(1, 2)].sort());
  });

  it("leaves what a pending checkpoint that is decided has in common with a dropped one (P81)", async () => {
    const one = await world.checkpoint(1, 1);
    const [common] = one.manifest.subtasks.flatMap(({ states }) => states);
    const own = await world.put(stateName(1, 2));
    const manifest = manifestOf(2, {
      generation: 1,
      subtasks: [subtaskSnapshot({ states: [common!, keyedHandle("sum", [own])] })],
    });
    const handle = await world.put(objectNames.manifest({ ...at, generation: 1, checkpointId: 2 }));
    const two = { ...one.checkpoint, checkpointId: 2, manifest: handle };
    world.reaper.knowManifest(one.checkpoint, one.manifest);
    world.reaper.knowManifest(two, manifest);
    const before = retaining(1, [one.checkpoint]);
    const release = world.reaper.holdBase(one.checkpoint);
    world.reaper.stored(before, decide(before, two));
    release();
    expect(await world.names()).toEqual([handle.name, own.name, stateName(1, 1)].sort());
  });

  it("is nothing while as many are retained as there are", async () => {
    const one = await world.checkpoint(1, 1);
    const two = await world.checkpoint(2, 1);
    const names = await world.names();
    world.reaper.knowManifest(one.checkpoint, one.manifest);
    world.reaper.knowManifest(two.checkpoint, two.manifest);
    const before = retaining(2, [one.checkpoint]);
    world.reaper.stored(before, decide(before, two.checkpoint));
    expect(await world.names()).toEqual(names);
  });

  it("includes the uploads of an aborted checkpoint, but only after a write that says so (P16)", async () => {
    const uploads = [stateName(1, 5), objectNames.manifest({ ...at, generation: 1, checkpointId: 5 })];
    for (const name of uploads) await world.put(name);
    world.reaper.giveUp(5, uploads, []);
    const record = retaining(1, []);
    // This one was under way already.
    world.reaper.stored(record, { ...record, reservedCheckpointId: 2000 });
    expect(await world.names()).toEqual([...uploads].sort());
    world.reaper.stored(record, aborting(record, 5));
    expect(await world.names()).toEqual([]);
  });

  it("includes what is named late, at once and however often, and nothing of any other checkpoint (P48)", async () => {
    const record = retaining(1, []);
    world.reaper.giveUp(5, [], ["count/0"]);
    world.reaper.stored(record, aborting(record, 5));
    for (const id of [5, 6]) await world.put(stateName(1, id));
    world.reaper.named(5, [stateName(1, 5)]);
    world.reaper.named(6, [stateName(1, 6)]);
    world.reaper.named(5, [stateName(1, 5)], "count/0");
    expect(await world.names()).toEqual([stateName(1, 6)]);
    await world.put(stateName(1, 5));
    world.reaper.named(5, [stateName(1, 5)]);
    expect(await world.names()).toEqual([stateName(1, 6)]);
  });

  it("never includes what the record still names, whatever was said to be due (C6)", async () => {
    const one = await world.checkpoint(1, 1, [stagedName(1, 0)]);
    const names = await world.names();
    world.reaper.giveUp(5, [stateName(1, 1), stagedName(1, 0), one.checkpoint.manifest.name], []);
    const record = retaining(1, [one.checkpoint]);
    world.reaper.stored(record, aborting(record, 5));
    expect(await world.names()).toEqual(names);
  });

  it("is nothing when the manifest that must be spared cannot be read", async () => {
    const one = await world.checkpoint(1, 1);
    await world.storage.delete(one.checkpoint.manifest.name);
    await world.put(stateName(1, 5));
    const names = await world.names();
    world.reaper.giveUp(5, [stateName(1, 5)], []);
    const record = retaining(1, [one.checkpoint]);
    world.reaper.stored(record, aborting(record, 5));
    expect(await world.names()).toEqual(names);
    expect(world.warnings).toHaveLength(1);
  });

  it("is nothing once leadership has ended (P9)", async () => {
    const one = await world.checkpoint(1, 1);
    const two = await world.checkpoint(2, 1);
    const names = await world.names();
    world.reaper.knowManifest(one.checkpoint, one.manifest);
    world.reaper.knowManifest(two.checkpoint, two.manifest);
    const before = retaining(1, [one.checkpoint]);
    world.leadership.abort();
    world.reaper.stored(before, decide(before, two.checkpoint));
    expect(await world.names()).toEqual(names);
  });
});

describe("how many checkpoints are still being deleted (OR3)", () => {
  let world: World;
  let first: JobRecord;
  let second: JobRecord;
  beforeEach(async () => {
    world = new World();
    const one = await world.checkpoint(1, 1);
    const two = await world.checkpoint(2, 1);
    for (const { checkpoint, manifest } of [one, two]) world.reaper.knowManifest(checkpoint, manifest);
    first = retaining(1, [one.checkpoint]);
    second = decide(first, two.checkpoint);
  });

  it("counts the subsumed and the aborted ones, until all of their objects are gone", async () => {
    const gate = latch();
    const remove = world.storage.delete.bind(world.storage);
    world.storage.delete = async (name) => {
      await gate.opened;
      await remove(name);
    };
    world.reaper.giveUp(7, [stateName(1, 7)], ["count/0"]);
    expect(world.cleaning).toEqual([1]);
    world.reaper.stored(first, aborting(second, 7));
    await settled();
    expect(world.cleaning).toEqual([1, 2]);
    gate.open();
    await settled();
    expect(world.cleaning).toEqual([1, 2, 1]);
    world.reaper.named(7, [], "count/0");
    await settled();
    expect(world.cleaning).toEqual([1, 2, 1, 0]);
  });

  it("does not wait for reports of a generation that is over", async () => {
    world.reaper.giveUp(7, [], ["count/0"]);
    world.reaper.stored(first, aborting(first, 7));
    world.reaper.stopWaiting();
    expect(world.cleaning).toEqual([1, 0]);
  });

  it("is none when they cannot be deleted: the next sweep finds them", async () => {
    world.storage.delete = () => Promise.reject(new Error("the disk is read-only"));
    world.reaper.stored(first, second);
    await settled();
    expect(world.cleaning).toEqual([1, 0]);
    expect(world.warnings).toHaveLength(1);
  });

  it("does not wait for a sweep, however long that takes", async () => {
    const list = world.storage.list.bind(world.storage);
    world.storage.list = async function* (prefix) {
      await new Promise(() => {});
      yield* list(prefix);
    };
    world.reaper.sweep(first);
    world.reaper.stored(first, second);
    await settled();
    expect(world.cleaning).toEqual([1, 0]);
  });
});

describe("what a savepoint copies", () => {
  it("stays until it is let go, although no checkpoint needs it any more; the next write takes it", async () => {
    const world = new World();
    const staged = stagedName(1, 1);
    const one = await world.checkpoint(1, 1, [staged]);
    const two = await world.checkpoint(2, 1);
    const three = await world.checkpoint(3, 1);
    for (const { checkpoint, manifest } of [one, two, three]) world.reaper.knowManifest(checkpoint, manifest);
    const release = world.reaper.hold([staged]);
    const first = retaining(1, [one.checkpoint]);
    const second = decide(first, two.checkpoint);
    world.reaper.stored(first, second);
    expect(await world.names()).toContain(staged);
    expect(await world.names()).not.toContain(stateName(1, 1));
    release();
    world.reaper.stored(second, decide(second, three.checkpoint));
    expect(await world.names()).not.toContain(staged);
  });
});

describe("a sweep (P21)", () => {
  it("takes what older generations left, never its own generation's, a newer one's or what is named", async () => {
    const world = new World();
    const kept = await world.checkpoint(7, 2, [stagedName(1, 0)]);
    const own = stateName(4, 9);
    const newer = stateName(5, 10);
    const foreign = [
      "word-count/README",
      "word-count/i1/x/checkpoint-1/count-0.0",
      "words/i1/1/checkpoint-1/count-0.0",
    ];
    for (const name of [own, newer, ...foreign]) await world.put(name);
    const named = await world.names();
    const left = [stateName(1, 3), stateName(3, 8), stagedName(3, 1)];
    for (const name of left) await world.put(name);
    // Another leader's reaper: it knows no manifest and reads them.
    world.newReaper().sweep(retaining(1, [kept.checkpoint], 4));
    expect(await world.names()).toEqual(named);
  });

  it("takes a former incarnation's objects as well: no record names them (P1)", async () => {
    const world = new World();
    await world.put("word-count/i0/1/checkpoint-1/count-0.0");
    world.reaper.sweep(retaining(1, [], 2));
    expect(await world.names()).toEqual([]);
  });
});

describe("the end of a job (P18)", () => {
  it.each(["finished", "canceled"] as const)("%s: nothing is kept", async (status) => {
    const world = new World();
    await world.checkpoint(7, 4, [stagedName(4, 0)]);
    world.reaper.releaseJob({ ...retaining(1, [], 4), status });
    expect(await world.names()).toEqual([]);
  });

  it("tries again where the storage does not answer: no later sweep would find what is left", async () => {
    const world = new World();
    await world.checkpoint(7, 4, [stagedName(4, 0)]);
    const list = world.storage.listUnfinished.bind(world.storage);
    let refusals = 2;
    world.storage.listUnfinished = () => {
      if (refusals-- > 0) throw new StorageStalledError("it made no progress");
      return list();
    };
    world.reaper.releaseJob({ ...retaining(1, [], 4), status: "finished" });
    await settled();
    expect(await world.names()).not.toEqual([]);
    for (let i = 0; i < 2; i++) {
      world.clock.advance(1000);
      await settled();
    }
    expect(await world.names()).toEqual([]);
  });

  it.each(["suspended", "failed", "running", "settling"] as const)(
    "%s: everything is kept",
    async (status) => {
      const world = new World();
      const one = await world.checkpoint(7, 4, [stagedName(4, 0)]);
      const names = await world.names();
      world.reaper.releaseJob({ ...retaining(1, [one.checkpoint], 4), status });
      expect(await world.names()).toEqual(names);
    },
  );
});
