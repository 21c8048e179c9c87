/**
 * What a user has deleted of a job that has ended: on its leader, or by the command itself where no coordinator leads.
 *
 * Owns: the order in which it goes. Does not own: what may go (machines/record.ts, checkpoint/reachability.ts).
 *
 * DI1  The objects are listed before the record changes, and only what was listed goes. So nothing of a job that is
 *     started or restored under this name meanwhile is touched: its own write of the record and this one exclude each
 *     other.
 * DI2  Nothing goes before a compare-and-set has made the record name it no more (P16). It is the fence where no
 *     coordinator leads, too.
 * DI3  If a client asks again for what the record says is disposed of, the objects that an interrupted disposal has
 *     left are deleted.
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import {
  changeRecord,
  type DisposalTarget,
  nothingToDispose,
  type RecordChange,
} from "../../../../machines/record.ts";
import { objectsOf } from "../../../checkpoint/reachability.ts";
import {
  type CheckpointStorage,
  generationIn,
  listAll,
  objectNames,
  type StoredObject,
} from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import type { LeaderAnswer } from "../../../control/messages.ts";
import type { DisposalReport } from "../../../control/requests/deletion.ts";
import { describeError, InvariantError, RequestRefusedError } from "../../../errors.ts";
import { readManifest } from "../../manifest.ts";
import type { WriteOutcome } from "../records/record-writer.ts";
import { answerInTime } from "../submissions/repetitions.ts";

/** A report is one message, however much there was (P10). */
const NAMES_REPORTED = 100;

export interface DisposalPlan {
  /** What the record becomes. */
  readonly record: JobRecord;
  /** Checkpoints that it names no more. */
  readonly checkpoints: readonly number[];
  readonly objects: readonly StoredObject[];
  /** Given up although its output may not be committed in full (P17); null: none. */
  readonly abandoned: number | null;
}

/**
 * @throws RequestRefusedError when the job lives or has no such checkpoint; ObjectMissingError, ObjectCorruptError:
 * what a checkpoint needs that stays cannot be told
 */
export async function planDisposal(
  before: JobRecord,
  what: DisposalTarget,
  storage: CheckpointStorage,
  nowMs: number,
): Promise<DisposalPlan> {
  const changed = changeRecord(before, { change: "dispose", what, atMs: nowMs });
  if ("refused" in changed) throw new RequestRefusedError(changed.refused);
  const { record } = changed;
  const reached = new Set<string>();
  for (const checkpoint of record.checkpoints) {
    const manifest = await readManifest(storage, checkpoint.manifest);
    for (const { handle } of objectsOf(checkpoint, manifest)) reached.add(handle.name);
  }
  const objects: StoredObject[] = [];
  for (const object of await listAll(storage, objectNames.job(before.job))) {
    const generation = generationIn(object.name);
    // Only names of our own form, and nothing that is newer than the record.
    if (generation !== undefined && generation <= before.generation && !reached.has(object.name))
      objects.push(object);
  }
  if (record === before && objects.length === 0) throw new RequestRefusedError(nothingToDispose(before));
  const kept = new Set(record.checkpoints.map(({ checkpointId }) => checkpointId));
  const gone = before.checkpoints.filter(({ checkpointId }) => !kept.has(checkpointId));
  return {
    record,
    checkpoints: gone.map(({ checkpointId }) => checkpointId),
    objects,
    abandoned: record.abandoned === before.abandoned ? null : record.abandoned.at(-1)!.checkpointId,
  };
}

export async function deleteDisposed(
  { objects }: DisposalPlan,
  storage: CheckpointStorage,
  signal?: AbortSignal,
): Promise<void> {
  for (const { name } of objects) {
    signal?.throwIfAborted();
    await storage.delete(name);
  }
}

export function reportOf({ checkpoints, objects, abandoned }: DisposalPlan): DisposalReport {
  return {
    checkpoints,
    abandoned,
    objects: objects.length,
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
    names: objects.slice(0, NAMES_REPORTED).map(({ name }) => name),
  };
}

export interface DisposalsOptions {
  readonly clock: Clock;
  readonly storage: CheckpointStorage;
  /** Leadership (P9). */
  readonly signal: AbortSignal;
  readonly record: () => JobRecord;
  readonly change: (change: RecordChange) => Promise<WriteOutcome>;
}

/** On the leader: a repeated request meets the disposal that it began. */
export class Disposals {
  readonly #options: DisposalsOptions;
  #latest: { readonly requestId: string; readonly answer: Promise<LeaderAnswer> } | undefined;

  constructor(options: DisposalsOptions) {
    this.#options = options;
  }

  request(requestId: string, what: DisposalTarget): Promise<LeaderAnswer> {
    if (this.#latest?.requestId !== requestId) this.#latest = { requestId, answer: this.#dispose(what) };
    return answerInTime(this.#options.clock, this.#latest.answer);
  }

  async #dispose(what: DisposalTarget): Promise<LeaderAnswer> {
    const { storage, record, change, signal, clock } = this.#options;
    try {
      const nowMs = clock.nowMs();
      const plan = await planDisposal(record(), what, storage, nowMs);
      const written = await change({ change: "dispose", what, atMs: nowMs });
      if (written.outcome === "refused") return { answer: "refused", reason: written.reason };
      if (written.outcome === "lost")
        return { answer: "refused", reason: "the job was started, or another coordinator leads; ask again" };
      await deleteDisposed(plan, storage, signal);
      return { answer: "disposed", report: reportOf(plan) };
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      if (error instanceof RequestRefusedError) return { answer: "refused", reason: error.message };
      return { answer: "refused", reason: `the disposal did not come to its end: ${describeError(error)}` };
    }
  }
}
