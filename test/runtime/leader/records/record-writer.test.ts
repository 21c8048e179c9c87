import { beforeEach, describe, expect, it } from "vitest";
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { RecordChange } from "../../../../machines/record.ts";
import { systemClock } from "../../../../src/clock.ts";
import { DisconnectedError, InvariantError, UnknownOutcomeError } from "../../../../src/errors.ts";
import { encodeRecord, parseRecord } from "../../../../src/formats/job-record.ts";
import { MemoryRecordStore } from "../../../../src/memory/record-store.ts";
import { Troubles } from "../../../../src/observe/troubles.ts";
import { RecordWriter } from "../../../../src/runtime/leader/records/record-writer.ts";
import type { CompareAndSet, RecordStore, StoredRecord } from "../../../../src/runtime/record-store.ts";
import { completedCheckpoint, jobRecord } from "../../../support/job-record.ts";

const KEY = "job.word-count";

/** What becomes of the next compare-and-set: applied and answered is the rule. */
type Fate =
  /** It never reaches the store; the writer does not know. */
  | "lost"
  /** It is applied, and its answer is lost. */
  | "applied"
  /** Another writer comes first. */
  | { readonly first: (store: MemoryRecordStore) => Promise<unknown> }
  | { readonly error: Error };

/** The store in memory, reached over a bad connection. */
class FlakyStore implements RecordStore {
  readonly bucket = "memory";
  readonly store = new MemoryRecordStore();
  readonly fates: Fate[] = [];
  readonly attempts: { readonly record: JobRecord; readonly revision: number }[] = [];
  /** How many of the next reads fail. */
  failingReads = 0;
  /** The key was deleted. */
  gone = false;
  inFlight = 0;
  inFlightMax = 0;

  async read(key: string): Promise<StoredRecord | undefined> {
    if (this.failingReads > 0) {
      this.failingReads--;
      throw new DisconnectedError("no connection");
    }
    return this.gone ? undefined : this.store.read(key);
  }

  async compareAndSet(key: string, value: Uint8Array, revision: number): Promise<CompareAndSet> {
    this.attempts.push({ record: parseRecord(value, KEY, this.bucket), revision });
    this.inFlightMax = Math.max(this.inFlightMax, ++this.inFlight);
    try {
      await new Promise((resolve) => setImmediate(resolve));
      const fate = this.fates.shift();
      if (this.gone) return { outcome: "refused" };
      if (fate === "lost") throw new UnknownOutcomeError("no answer");
      if (typeof fate === "object" && "error" in fate) throw fate.error;
      if (typeof fate === "object") await fate.first(this.store);
      const answer = await this.store.compareAndSet(key, value, revision);
      if (fate === "applied") throw new UnknownOutcomeError("no answer");
      return answer;
    } finally {
      this.inFlight--;
    }
  }

  keys(prefix: string): Promise<string[]> {
    return this.store.keys(prefix);
  }
}

const reserve = (reservedCheckpointId: number): RecordChange => ({
  change: "reservation",
  reservedCheckpointId,
});

describe("the one writer of a job's record", () => {
  let store: FlakyStore;
  let leadership: AbortController;
  let stored: (readonly [JobRecord, JobRecord])[];
  let lost: (string | undefined)[];
  let writer: RecordWriter;

  beforeEach(async () => {
    store = new FlakyStore();
    leadership = new AbortController();
    stored = [];
    lost = [];
    const record = jobRecord();
    const created = await store.store.compareAndSet(KEY, encodeRecord(record), 0);
    if (created.outcome !== "stored") throw new Error("the first write was refused");
    let ids = 0;
    writer = new RecordWriter({
      store,
      key: KEY,
      scope: "cluster",
      token: 5,
      record,
      revision: created.revision,
      signal: leadership.signal,
      troubles: new Troubles(systemClock),
      clock: { ...systemClock, nowMs: () => 1000 },
      newId: () => `write-${++ids}`,
      onStored: (before, after) => stored.push([before, after]),
      onLost: (why) => lost.push(why?.message),
    });
  });

  const inStore = async () => parseRecord((await store.store.read(KEY))!.value, KEY, "memory");
  /** Writes as another process would, whatever is there. */
  const overwrite = (some: Partial<JobRecord>) => async (memory: MemoryRecordStore) => {
    const now = (await memory.read(KEY))!;
    await memory.compareAndSet(
      KEY,
      encodeRecord({ ...parseRecord(now.value, KEY, "memory"), ...some }),
      now.revision,
    );
  };

  it("writes changes in order, one compare-and-set in flight (P7)", async () => {
    const outcomes = await Promise.all([2000, 3000, 4000].map((id) => writer.change(reserve(id))));
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["stored", "stored", "stored"]);
    expect(store.inFlightMax).toBe(1);
    expect(
      stored.map(([before, after]) => [before.reservedCheckpointId, after.reservedCheckpointId]),
    ).toEqual([
      [1000, 2000],
      [2000, 3000],
      [3000, 4000],
    ]);
    expect(await inStore()).toMatchObject({ reservedCheckpointId: 4000, token: 5, updatedAtMs: 1000 });
    expect(writer.record).toEqual(await inStore());
  });

  it("is lost, by name, when something that is no record lies there, and writes nothing over it", async () => {
    const garbage = new TextEncoder().encode("{}");
    const { revision } = (await store.store.read(KEY))!;
    await store.store.compareAndSet(KEY, garbage, revision);
    const outcomes = await Promise.all([writer.change(reserve(2000)), writer.change(reserve(3000))]);
    expect(outcomes).toEqual([{ outcome: "lost" }, { outcome: "lost" }]);
    expect(lost).toEqual([
      expect.stringContaining(`record "${KEY}" of KV bucket memory is no record of a job`),
    ]);
    expect((await store.store.read(KEY))!.value).toEqual(garbage);
  });

  it("is lost, by name, when the record is gone, and makes none anew (P72)", async () => {
    store.gone = true;
    expect(await writer.change(reserve(2000))).toEqual({ outcome: "lost" });
    expect(lost).toEqual([expect.stringContaining(`record "${KEY}" of KV bucket memory is gone`)]);
    expect(store.attempts).toHaveLength(1);
  });

  it("writes nothing for a change that the record refuses", async () => {
    const change: RecordChange = {
      change: "decision",
      savepoint: null,
      checkpoint: completedCheckpoint(1, 9),
    };
    const outcome = await writer.change(change);
    expect(outcome).toMatchObject({ outcome: "refused", reason: "generation 1 has taken over" });
    expect(store.attempts).toEqual([]);
    expect((await writer.change(reserve(2000))).outcome).toBe("stored");
  });

  it("sends the same value again at the same revision when no answer came (P8)", async () => {
    store.fates.push("lost", "lost");
    const outcome = await writer.change(reserve(2000));
    expect(outcome.outcome).toBe("stored");
    expect(store.attempts).toHaveLength(3);
    expect(
      new Set(store.attempts.map(({ record, revision }) => JSON.stringify([record, revision]))).size,
    ).toBe(1);
  });

  it("recognises its own write when the answer was lost (P8)", async () => {
    store.fates.push("applied");
    const outcome = await writer.change(reserve(2000));
    expect(outcome).toMatchObject({ outcome: "stored", record: { writeId: "write-1" } });
    expect(stored).toHaveLength(1);
    expect((await writer.change(reserve(3000))).outcome).toBe("stored");
    expect(await inStore()).toMatchObject({ writeId: "write-2", reservedCheckpointId: 3000 });
  });

  it("lets later changes wait until the outcome is settled (P8, RW1)", async () => {
    store.fates.push("applied", { error: new UnknownOutcomeError("no answer") });
    store.failingReads = 1;
    const outcomes = await Promise.all([2000, 3000].map((id) => writer.change(reserve(id))));
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(["stored", "stored"]);
    const ids = store.attempts.map(({ record }) => record.writeId);
    expect(ids).toEqual([...Array.from({ length: 4 }, () => "write-1"), "write-2"]);
  });

  it("a read that fails settles nothing: the same value again (P8, P20)", async () => {
    store.fates.push("applied");
    store.failingReads = 3;
    expect((await writer.change(reserve(2000))).outcome).toBe("stored");
    expect(new Set(store.attempts.map(({ record }) => record.writeId))).toEqual(new Set(["write-1"]));
  });

  it("reads, changes and writes again when the record moved without a newer token (P8)", async () => {
    store.fates.push({ first: overwrite({ writeId: "other", reservedCheckpointId: 9000 }) });
    const outcome = await writer.change(reserve(2000));
    expect(outcome).toMatchObject({ outcome: "stored", before: { writeId: "other" } });
    expect(await inStore()).toMatchObject({ writeId: "write-2", reservedCheckpointId: 9000 });
  });

  it("asks the record again whether it still takes the change (RC1)", async () => {
    store.fates.push({ first: overwrite({ writeId: "other", generation: 2 }) });
    const change: RecordChange = {
      change: "decision",
      savepoint: null,
      checkpoint: completedCheckpoint(1, 1),
    };
    expect(await writer.change(change)).toMatchObject({
      outcome: "refused",
      reason: "generation 2 has taken over",
    });
    expect(stored).toEqual([]);
  });

  it("has lost when the record shows a newer token, and writes nothing any more (P8, P9, RW2)", async () => {
    store.fates.push({ first: overwrite({ writeId: "other", token: 6 }) });
    expect(await writer.change(reserve(2000))).toEqual({ outcome: "lost" });
    const attempts = store.attempts.length;
    expect(await writer.change(reserve(3000))).toEqual({ outcome: "lost" });
    expect(store.attempts).toHaveLength(attempts);
    expect(await inStore()).toMatchObject({ writeId: "other", token: 6, reservedCheckpointId: 1000 });
    expect(stored).toEqual([]);
  });

  it("has lost when the unknown write was overtaken by a newer leader (P8)", async () => {
    store.fates.push("lost", { first: overwrite({ writeId: "other", token: 6 }) });
    expect(await writer.change(reserve(2000))).toEqual({ outcome: "lost" });
  });

  it("answers `lost` once leadership has ended, also in the middle of a repetition (P9)", async () => {
    store.fates.push(...Array.from({ length: 100 }, () => "lost" as const));
    const outcome = writer.change(reserve(2000));
    const queued = writer.change(reserve(3000));
    leadership.abort();
    expect(await outcome).toEqual({ outcome: "lost" });
    expect(await queued).toEqual({ outcome: "lost" });
    expect(store.attempts.length).toBeLessThan(3);
  });

  it("passes on what is a fault of this project", async () => {
    store.fates.push({ error: new InvariantError("no such key") });
    await expect(writer.change(reserve(2000))).rejects.toThrow("no such key");
  });
});
