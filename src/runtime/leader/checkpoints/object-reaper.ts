/**
 * Deletes what the job record no longer reaches (P15, P16, P21).
 *
 * Owns: when objects go. Does not own: the record, and which objects may go (checkpoint/reachability.ts). Nothing here
 * is needed for correctness: what is not deleted now is found by the next generation's sweep.
 *
 * O1  An object goes only after a write of the record that no longer names it, directly or through a manifest.
 * O2  A sweep touches only generations that are over: older than the sweeper's newest, and no region's present one.
 * O3  How many checkpoints are still being deleted is told at each change, and falls back to 0 whatever fails: it holds
 *     new ones back. A sweep, which may take long, is not counted and keeps no other deletion waiting.
 */
import type { CompletedCheckpoint, JobRecord, Manifest } from "../../../../machines/protocol.ts";
import { droppedBy } from "../../../../machines/record.ts";
import { hasEnded, objectsOf, unreachable } from "../../../checkpoint/reachability.ts";
import { type CheckpointStorage, objectNames, type StoredObject } from "../../../checkpoint/storage.ts";
import type { CollectionReport } from "../../../control/messages.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import { describeError } from "../../../errors.ts";
import { readManifest } from "../../manifest.ts";

/** Longer than any put takes. */
const UNFINISHED_MS = 3_600_000;
/** A report is one message, however much there was (P10). */
const NAMES_REPORTED = 100;

export interface ObjectReaperOptions {
  readonly storage: CheckpointStorage;
  readonly logger: Logger;
  /** Leadership: once it ends, nothing is deleted (P9). */
  readonly signal: AbortSignal;
  /** So many checkpoints are being deleted now. */
  readonly onCleaning: (checkpoints: number) => void;
}

export class ObjectReaper {
  readonly #options: ObjectReaperOptions;
  /** Names that each known checkpoint reaches. */
  readonly #names = new Map<number, readonly string[]>();
  #due: string[] = [];
  /** Whose objects are due. */
  #dueCheckpoints = 0;
  #cleaning = 0;
  readonly #held = new Set<readonly string[]>();
  readonly #deletions = new Queue();
  readonly #sweeps = new Queue();

  constructor(options: ObjectReaperOptions) {
    this.#options = options;
  }

  knowManifest(checkpoint: CompletedCheckpoint, manifest: Manifest): void {
    const names = objectsOf(checkpoint, manifest).map(({ handle }) => handle.name);
    this.#names.set(checkpoint.checkpointId, names);
  }

  /** Of a checkpoint that was aborted: they go once a later write has proved that we still lead. */
  afterNextWrite(names: readonly string[]): void {
    this.#due.push(...names);
    this.#dueCheckpoints++;
  }

  /** A savepoint copies them: until what this answers is called they stay, reachable or not. */
  hold(names: readonly string[]): () => void {
    this.#held.add(names);
    return () => this.#held.delete(names);
  }

  /** After each stored write of the record, in order. */
  stored(before: JobRecord, after: JobRecord): void {
    const due = this.#due;
    const dropped = droppedBy(before, after);
    const checkpoints = this.#dueCheckpoints + dropped.length;
    this.#due = [];
    this.#dueCheckpoints = 0;
    if (due.length === 0 && dropped.length === 0) return;
    this.#count(checkpoints);
    const deleted = this.#deletions.add(async () => {
      const kept = await this.#reachable(after);
      const gone = dropped.flatMap((checkpoint) => this.#names.get(checkpoint.checkpointId) ?? []);
      for (const checkpoint of dropped) this.#names.delete(checkpoint.checkpointId);
      await this.#delete([...due, ...gone].filter((name) => !kept.has(name)));
    });
    void this.#byTheWay(deleted).then(() => this.#count(-checkpoints));
  }

  #count(more: number): void {
    if (more === 0) return;
    this.#cleaning += more;
    this.#options.onCleaning(this.#cleaning);
  }

  /** What older generations left behind: uploads of checkpoints that nobody finished, transactions never cut. */
  sweep(record: JobRecord): void {
    void this.#byTheWay(this.#sweeps.add(() => this.#collect(record)));
  }

  /** The job has ended for good: what its tombstone no longer names goes, its last generation included. */
  releaseJob(record: JobRecord): void {
    if (hasEnded(record)) this.sweep(record);
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
    const objects: StoredObject[] = [];
    for await (const object of storage.list(objectNames.job(record.job))) objects.push(object);
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
      unfinished: await storage.removeUnfinished(UNFINISHED_MS),
    };
  }

  async #reachable(record: JobRecord): Promise<Set<string>> {
    const names = new Set<string>();
    for (const checkpoint of record.checkpoints) {
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

  #byTheWay(work: Promise<unknown>): Promise<unknown> {
    return work.catch((error: unknown) => {
      if (!this.#options.signal.aborted)
        this.#options.logger.warn(
          { error: describeError(error) },
          "unreachable objects stay until the next sweep",
        );
    });
  }
}

/** One piece of work at a time, in order; what fails stops nobody. */
class Queue {
  #last: Promise<unknown> = Promise.resolve();

  add<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
