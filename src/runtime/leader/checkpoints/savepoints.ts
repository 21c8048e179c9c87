/**
 * The savepoints of one job on its leader: copied to their place, and deleted again where they are not needed.
 *
 * Owns: the copy, and what is left of copies that were begun. Does not own: when one is taken
 * (machines/leader/checkpoints/checkpointing.ts), that it is complete (the record says so), what it is on disk
 * (checkpoint/savepoint.ts).
 *
 * SV1  The record names a location before the first object is copied there, and until the copy is entered as complete
 *     or is gone. So what a leader leaves that dies meanwhile, the next one finds.
 * SV2  What was begun is deleted only where it is not complete: metadata or an object of it is missing. No client was
 *     told of it.
 * SV3  The metadata, which makes it complete, is written only after a write of the record has proved that we still
 *     lead. A leader that is cut off while it copies may go on with objects: so a location stays in the record until a
 *     sweep has found nothing there.
 * SV4  One that the job has claimed is named like one that was begun, from the decision of the job's first checkpoint
 *     until it is gone, and is deleted although it is complete. So it goes, too, when the leader dies at once.
 */
import type { JobRecord, Manifest, SavepointEntry, Unfinished } from "../../../../machines/protocol.ts";
import type { RecordChange } from "../../../../machines/record.ts";
import {
  disposeSavepoint,
  isCompleteSavepoint,
  type OpenStorage,
  savepointLocation,
  splitLocation,
  writeSavepoint,
} from "../../../checkpoint/savepoint.ts";
import { type CheckpointStorage, neededObjects } from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import { DisconnectedError, describeError } from "../../../errors.ts";
import type { RecordAnswer, StoreAnswer } from "../records/record-writer.ts";
import type { ObjectReaper } from "./object-reaper.ts";

export interface SavepointsOptions {
  readonly storage: CheckpointStorage;
  /** Opens the storage of savepoints by its root. */
  readonly openStorage: OpenStorage;
  readonly reaper: ObjectReaper;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Leadership (P9). */
  readonly signal: AbortSignal;
  readonly token: number;
  /** The record as of the last settled write. */
  readonly record: () => JobRecord;
  readonly change: (change: RecordChange) => Promise<RecordAnswer>;
  /** The same of what the record never refuses. */
  readonly store: (change: RecordChange) => Promise<StoreAnswer>;
  /** What the job had open when it was drained. */
  readonly unfinished: () => readonly Unfinished[];
}

export class Savepoints {
  readonly #options: SavepointsOptions;
  /** Begun here and not over yet. */
  readonly #mine = new Set<string>();

  constructor(options: SavepointsOptions) {
    this.#options = options;
  }

  /**
   * Copies everything that the savepoint needs, its transactions' staged records included (P15). Where that does not
   * succeed nothing stays.
   *
   * @param place the root that it goes below. @param isDrained its sources were ended for it
   */
  async take(
    manifest: Manifest,
    request: string,
    { root, isDrained }: { readonly root: string; readonly isDrained: boolean },
  ): Promise<SavepointEntry | { readonly refused: string }> {
    const { storage, openStorage, reaper, signal, clock, token, logger } = this.#options;
    const { plan, splits } = this.#options.record();
    const unfinished = isDrained ? this.#options.unfinished() : [];
    const { checkpointId, generation, job } = manifest;
    const location = savepointLocation(root, manifest);
    const release = reaper.hold(manifest.subtasks.flatMap(neededObjects).map(({ name }) => name));
    try {
      const target = await openStorage(splitLocation(location).root, "make");
      this.#mine.add(location);
      await this.#write({ change: "savepoint-begun", location });
      const drained = manifest.subtasks.every(({ finished }) => finished);
      const metadata = {
        format: 1,
        location,
        createdAtMs: clock.nowMs(),
        drained,
        unfinished,
        plan,
        splits,
        manifest,
      } as const;
      const prove = () => this.#write({ change: "claim", token });
      const bytes = await writeSavepoint(metadata, storage, target, signal, prove);
      const entry = { checkpointId, generation, request, location, completedAtMs: clock.nowMs(), bytes };
      return isDrained ? { ...entry, drained: unfinished } : entry;
    } catch (error) {
      const reason = describeError(error);
      logger.warn({ job, checkpointId, reason }, "savepoint could not be written");
      if (this.#mine.has(location)) void this.dispose(location);
      return { refused: `it could not be written to ${location}: ${reason}` };
    } finally {
      release();
    }
  }

  /** The record says that it is complete. */
  entered(location: string): void {
    this.#mine.delete(location);
  }

  /** One that the job has claimed and does not need any more, could not stop with, or could not write. */
  async dispose(location: string): Promise<void> {
    await this.#bestEffort(location, async (storage) => {
      await disposeSavepoint(location, storage);
      await this.#forget(location);
    });
    this.#mine.delete(location);
  }

  /** What leaders before this one have begun (SV2). */
  async sweep(): Promise<void> {
    for (const location of this.#options.record().begunSavepoints)
      if (!this.#mine.has(location))
        await this.#bestEffort(location, (storage) => this.#sweepOne(location, storage));
  }

  async #sweepOne(location: string, storage: CheckpointStorage): Promise<void> {
    const { logger } = this.#options;
    const { origin } = this.#options.record();
    if (origin?.mode === "claimed" && origin.location === location) await disposeSavepoint(location, storage);
    else if (await isCompleteSavepoint(location, storage))
      logger.warn(
        { location },
        "a savepoint stays that was complete when its leader was lost; no client was told of it",
      );
    else if ((await disposeSavepoint(location, storage)) > 0) return;
    await this.#forget(location);
  }

  async #forget(location: string): Promise<void> {
    if (this.#options.record().begunSavepoints.includes(location))
      await this.#write({ change: "savepoint-over", location });
  }

  async #write(change: RecordChange): Promise<void> {
    if ((await this.#options.change(change)).type !== "record.stored")
      throw new DisconnectedError("another coordinator leads now");
  }

  async #bestEffort(location: string, work: (storage: CheckpointStorage) => Promise<void>): Promise<void> {
    const { openStorage, signal, logger } = this.#options;
    try {
      signal.throwIfAborted();
      await work(await openStorage(splitLocation(location).root, "find"));
    } catch (error) {
      if (!signal.aborted)
        logger.warn({ location, error: describeError(error) }, "a savepoint that is not needed stays");
    }
  }
}
