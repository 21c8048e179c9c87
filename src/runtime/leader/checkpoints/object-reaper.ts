/**
 * Deletes what the job record no longer reaches (P15, P16, P21).
 *
 * Owns: when objects go. Does not own: the record, and which objects may go (checkpoint/reachability.ts). Nothing here
 * is needed for correctness: what is not deleted now is found by the next generation's sweep.
 *
 * OR1  An object goes only after a write of the record that no longer names it, directly or through a manifest.
 * OR2  A sweep touches only generations that are over: older than the sweeper's newest, and no region's present one.
 * OR3  How many checkpoints are still being deleted is told at each change, and falls back to 0 whatever fails: it
 *     holds new ones back. A sweep, which may take long, is not counted and keeps no other deletion waiting.
 * OR4  What a pending checkpoint may have in common with the one that its barriers name stays until that is settled,
 *     whatever the record drops meanwhile (P81).
 */
import type { CompletedCheckpoint, JobRecord, Manifest, SubtaskName } from "../../../../machines/protocol.ts";
import { droppedBy } from "../../../../machines/record.ts";
import { hasEnded, objectsOf, unreachable } from "../../../checkpoint/reachability.ts";
import { type CheckpointStorage, listAll, objectNames } from "../../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { CollectionReport } from "../../../control/requests/deletion.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import { describeError, retryOf } from "../../../errors.ts";
import { readManifest } from "../../manifest.ts";
import { GivenUpCheckpoints } from "./given-up-checkpoints.ts";

/** A report is one message, however much there was (P10). */
const NAMES_REPORTED = 100;
const SWEEP_AGAIN_MS = 1000;

export interface ObjectReaperOptions {
  readonly storage: CheckpointStorage;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Leadership: once it ends, nothing is deleted (P9). */
  readonly signal: AbortSignal;
  /** So many checkpoints are being deleted now. */
  readonly onCleaning: (checkpoints: number) => void;
}

export class ObjectReaper {
  readonly #options: ObjectReaperOptions;
  /** Names that each known checkpoint reaches. */
  readonly #names = new Map<number, readonly string[]>();
  readonly #givenUp: GivenUpCheckpoints;
  /** They were held when their turn came: the next write takes them. */
  #due: string[] = [];
  #cleaning = 0;
  /** The record as it was stored last. */
  #record: Pick<JobRecord, "checkpoints"> = { checkpoints: [] };
  readonly #held = new Set<readonly string[]>();
  /** The checkpoints that pending ones rest on, one entry for each of these (OR4). */
  readonly #bases: CompletedCheckpoint[] = [];
  readonly #deletions = new Queue();
  readonly #sweeps = new Queue();

  constructor(options: ObjectReaperOptions) {
    this.#options = options;
    this.#givenUp = new GivenUpCheckpoints({
      remove: (names) => this.#remove(() => names, this.#record),
      onCount: (more) => this.#count(more),
    });
  }

  knowManifest(checkpoint: CompletedCheckpoint, manifest: Manifest): void {
    const names = objectsOf(checkpoint, manifest).map(({ handle }) => handle.name);
    this.#names.set(checkpoint.checkpointId, names);
  }

  /** The checkpoint was aborted: its own objects go, those too that its subtasks still have to report (P48). */
  giveUp(checkpointId: number, names: readonly string[], subtasks: readonly SubtaskName[]): void {
    this.#givenUp.add(checkpointId, names, subtasks);
  }

  /** What a subtask names of a checkpoint that was given up; of any other one nothing happens. */
  named(checkpointId: number, names: readonly string[], reporter?: SubtaskName): void {
    this.#givenUp.named(checkpointId, names, reporter);
  }

  stopWaiting(): void {
    this.#givenUp.stopWaiting();
  }

  /** What the write that has just been stored does not need any more. */
  release(names: readonly string[]): void {
    this.#count(1);
    void this.#remove(() => names, this.#record).then(() => this.#count(-1));
  }

  /** A savepoint copies them: until what this answers is called they stay, reachable or not. */
  hold(names: readonly string[]): () => void {
    this.#held.add(names);
    return () => this.#held.delete(names);
  }

  /**
   * A pending checkpoint may have objects in common with this one, which the record names: until what this answers is
   * called, once, they stay (OR4).
   */
  holdBase(base: CompletedCheckpoint): () => void {
    this.#bases.push(base);
    return () => {
      this.#bases.splice(this.#bases.indexOf(base), 1);
      const { checkpointId } = base;
      if (this.#isNamed(checkpointId)) return;
      void this.#remove(() => this.#takeNames([checkpointId]), this.#record);
    };
  }

  /** By the record, or as the base of a pending one. */
  #isNamed(checkpointId: number): boolean {
    return [...this.#record.checkpoints, ...this.#bases].some((one) => one.checkpointId === checkpointId);
  }

  /** What these checkpoints reached. Nothing is known of them afterwards. */
  #takeNames(checkpointIds: readonly number[]): string[] {
    const names = checkpointIds.flatMap((id) => this.#names.get(id) ?? []);
    for (const id of checkpointIds) this.#names.delete(id);
    return names;
  }

  /** Called after each stored write of the record, in order. */
  stored(before: JobRecord, after: JobRecord): void {
    this.#record = after;
    this.#givenUp.stored(after);
    const due = this.#due;
    const dropped = droppedBy(before, after);
    this.#due = [];
    if (due.length === 0 && dropped.length === 0) return;
    this.#count(dropped.length);
    const gone = () => {
      const ids = dropped.map(({ checkpointId }) => checkpointId);
      return [...due, ...this.#takeNames(ids.filter((id) => !this.#isNamed(id)))];
    };
    void this.#remove(gone, after).then(() => this.#count(-dropped.length));
  }

  /** Never rejects. */
  #remove(names: () => readonly string[], record: Pick<JobRecord, "checkpoints">): Promise<unknown> {
    const removed = this.#deletions.add(async () => {
      const kept = await this.#reachable(record);
      await this.#delete(names().filter((name) => !kept.has(name)));
    });
    return this.#bestEffort(removed);
  }

  #count(more: number): void {
    if (more === 0) return;
    this.#cleaning += more;
    this.#options.onCleaning(this.#cleaning);
  }

  /**
   * What older generations left behind: uploads of checkpoints that were never finished, transactions that were never
   * cut.
   */
  sweep(record: JobRecord): void {
    void this.#bestEffort(this.#sweeps.add(() => this.#collect(record)));
  }

  /** The job has ended for good: what its tombstone no longer names goes, its last generation included. */
  releaseJob(record: JobRecord): void {
    if (hasEnded(record)) void this.#bestEffort(this.#collectForGood(record));
  }

  /** No later sweep finds what this one leaves, so it is tried until it works. */
  async #collectForGood(record: JobRecord): Promise<void> {
    const { signal, clock } = this.#options;
    for (;;) {
      try {
        await this.#sweeps.add(() => this.#collect(record));
        return;
      } catch (error) {
        if (signal.aborted || retryOf(error) !== "now") throw error;
      }
      await pauseOn(clock, SWEEP_AGAIN_MS, signal);
    }
  }

  /**
   * A sweep on request. A failure is the caller's to tell.
   * @param record when its turn comes: as this leader has itself written it
   */
  collect(record: () => JobRecord): Promise<CollectionReport> {
    return this.#sweeps.add(() => this.#collect(record()));
  }

  async #collect(record: JobRecord): Promise<CollectionReport> {
    const { storage } = this.#options;
    const kept = await this.#reachable(record);
    const objects = await listAll(storage, objectNames.job(record.job));
    const held = new Set([...this.#held].flat());
    const gone = unreachable(record, kept, objects).filter(
      ({ standing, name }) => standing === "collectable" && !held.has(name),
    );
    const names = gone.map(({ name }) => name);
    await this.#delete(names);
    return {
      objects: gone.length,
      bytes: gone.reduce((sum, { bytes }) => sum + bytes, 0),
      names: names.slice(0, NAMES_REPORTED),
      unfinished: gone.filter(({ unfinished }) => unfinished).length,
    };
  }

  async #reachable(record: Pick<JobRecord, "checkpoints">): Promise<Set<string>> {
    const names = new Set<string>();
    for (const checkpoint of [...record.checkpoints, ...this.#bases]) {
      if (!this.#names.has(checkpoint.checkpointId))
        this.knowManifest(checkpoint, await readManifest(this.#options.storage, checkpoint.manifest));
      for (const name of this.#names.get(checkpoint.checkpointId) ?? []) names.add(name);
    }
    return names;
  }

  async #delete(names: readonly string[]): Promise<void> {
    for (const name of names) {
      this.#options.signal.throwIfAborted();
      if ([...this.#held].some((held) => held.includes(name))) this.#due.push(name);
      else await this.#options.storage.delete(name);
    }
  }

  #bestEffort(work: Promise<unknown>): Promise<unknown> {
    return work.catch((error: unknown) => {
      if (!this.#options.signal.aborted)
        this.#options.logger.warn(
          { error: describeError(error) },
          "unreachable objects stay until the next sweep",
        );
    });
  }
}

/** One piece of work at a time, in order; a failure does not stop the next one. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  add<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
