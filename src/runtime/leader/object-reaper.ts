/**
 * Deletes what the job record no longer reaches (P15, P16, P21).
 *
 * Owns: which objects may go, and when. Does not own: the record. Nothing here is needed for correctness: what is not
 * deleted now is found by the next generation's sweep.
 *
 * O1  An object goes only after a write of the record that no longer names it, directly or through a manifest.
 * O2  A sweep touches only generations older than the sweeper's own.
 */
import type { CompletedCheckpoint, JobRecord, Manifest } from "../../../machines/protocol.ts";
import { droppedBy } from "../../../machines/record.ts";
import { type CheckpointStorage, objectNames, snapshotObjectsOf } from "../../checkpoint/storage.ts";
import type { Logger } from "../../dataflow/connector.ts";
import { describeError } from "../../errors.ts";
import { decodeValue } from "../../state/codec.ts";

/** Longer than any put takes. */
const UNFINISHED_MS = 3_600_000;

export interface ObjectReaperOptions {
  readonly storage: CheckpointStorage;
  readonly logger: Logger;
  /** Leadership: once it ends, nothing is deleted (P9). */
  readonly signal: AbortSignal;
}

function namesIn(checkpoint: CompletedCheckpoint, manifest: Manifest): string[] {
  return [
    checkpoint.manifest.name,
    ...manifest.subtasks.flatMap((subtask) => [
      ...snapshotObjectsOf(subtask).map((object) => object.name),
      ...subtask.transactions.flatMap((transaction) => transaction.staged.map((object) => object.name)),
    ]),
  ];
}

export class ObjectReaper {
  readonly #options: ObjectReaperOptions;
  /** Names that each known checkpoint reaches. */
  readonly #names = new Map<number, readonly string[]>();
  #due: string[] = [];
  #work: Promise<void> = Promise.resolve();

  constructor(options: ObjectReaperOptions) {
    this.#options = options;
  }

  knowManifest(checkpoint: CompletedCheckpoint, manifest: Manifest): void {
    this.#names.set(checkpoint.checkpointId, namesIn(checkpoint, manifest));
  }

  /** Of a checkpoint that was aborted: they go once a later write has proved that we still lead. */
  afterNextWrite(names: readonly string[]): void {
    this.#due.push(...names);
  }

  /** After each stored write of the record, in order. */
  stored(before: JobRecord, after: JobRecord): void {
    const due = this.#due;
    this.#due = [];
    const dropped = droppedBy(before, after);
    if (due.length === 0 && dropped.length === 0) return;
    this.#enqueue(async () => {
      const kept = await this.#reachable(after);
      const gone = dropped.flatMap((checkpoint) => this.#names.get(checkpoint.checkpointId) ?? []);
      for (const checkpoint of dropped) this.#names.delete(checkpoint.checkpointId);
      await this.#delete([...due, ...gone].filter((name) => !kept.has(name)));
    });
  }

  /** What older generations left behind: uploads of checkpoints that nobody finished, transactions never cut. */
  sweep(record: JobRecord): void {
    this.#enqueue(async () => {
      const kept = await this.#reachable(record);
      const gone: string[] = [];
      for await (const object of this.#options.storage.list(objectNames.job(record.job)))
        if (generationOf(object.name) < record.generation && !kept.has(object.name)) gone.push(object.name);
      await this.#delete(gone);
      await this.#options.storage.removeUnfinished(UNFINISHED_MS);
    });
  }

  /** The job has ended for good: what its tombstone no longer names goes, its last generation included. */
  releaseJob(record: JobRecord): void {
    if (record.status !== "finished" && record.status !== "canceled") return;
    this.sweep({ ...record, generation: record.generation + 1 });
  }

  async #reachable(record: JobRecord): Promise<Set<string>> {
    const names = new Set<string>();
    for (const checkpoint of record.checkpoints) {
      if (!this.#names.has(checkpoint.checkpointId)) {
        const bytes = await this.#options.storage.get(checkpoint.manifest);
        this.knowManifest(checkpoint, decodeValue(bytes) as Manifest);
      }
      for (const name of this.#names.get(checkpoint.checkpointId) ?? []) names.add(name);
    }
    return names;
  }

  async #delete(names: readonly string[]): Promise<void> {
    for (const name of names) {
      if (this.#options.signal.aborted) return;
      await this.#options.storage.delete(name);
    }
  }

  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      if (!this.#options.signal.aborted)
        this.#options.logger.warn(
          { error: describeError(error) },
          "unreachable objects stay until the next sweep",
        );
    });
  }
}

/** `<job>/<incarnation>/<generation>/…`; what has another form is not ours to delete. */
function generationOf(name: string): number {
  const generation = Number(name.split("/")[2]);
  return Number.isSafeInteger(generation) && generation > 0 ? generation : Number.POSITIVE_INFINITY;
}
