/**
 * The one writer of a job's record (P7).
 *
 * Owns: the order of changes, one compare-and-set in flight, settling unknown outcomes (P8). Does not own: what a
 * change may be (machines/record.ts).
 *
 * RW1  A change whose outcome is unknown blocks all later ones until it is settled: by sending the same value again at
 *     the same revision, never by guessing.
 * RW2  Once the record shows a newer token, nothing is written any more; every later change answers "lost" (P9).
 * RW3  What is no record (P52) is never written over: it may have taken the place of a newer leader's.
 */
import type { JobRecord, LeadershipScope } from "../../../../machines/protocol.ts";
import { changeRecord, type RecordChange, settleWrite } from "../../../../machines/record.ts";
import type { Roles } from "../../../../machines/roles.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { RecordUnreadableError, retryOf } from "../../../errors.ts";
import { encodeRecord, parseRecord } from "../../../formats/job-record.ts";
import type { AnswerOf } from "../../actor.ts";
import type { RecordStore } from "../../record-store.ts";
import { RecordGoneError } from "./damaged-jobs.ts";

/** What a machine hears of a change of the record. */
export type RecordAnswer = AnswerOf<Roles["job"], "store.generation">;
/** The same of what the record never refuses. */
export type StoreAnswer = AnswerOf<Roles["job"], "store.claim">;

export type WriteOutcome =
  | { readonly outcome: "stored"; readonly before: JobRecord; readonly record: JobRecord }
  | { readonly outcome: "refused"; readonly reason: string; readonly record: JobRecord }
  | { readonly outcome: "lost" };

export interface RecordWriterOptions {
  readonly store: RecordStore;
  readonly key: string;
  readonly token: number;
  readonly scope: LeadershipScope;
  readonly record: JobRecord;
  readonly revision: number;
  /** Aborts when leadership has ended. */
  readonly signal: AbortSignal;
  readonly troubles: TroubleWatcher;
  /** Random, for write ids. */
  readonly newId: () => string;
  readonly clock: Clock;
  /** Called after each stored change, in order. */
  readonly onStored?: (before: JobRecord, after: JobRecord) => void;
  /** Once, when another leader's token is in the record, what lies there is no record, or nothing does (P72). */
  readonly onLost?: (why?: RecordUnreadableError) => void;
}

const RETRY_MS = 100;

export class RecordWriter {
  readonly #options: RecordWriterOptions;
  readonly #writing: TroubleWatch;
  #record: JobRecord;
  #revision: number;
  #queue: Promise<unknown> = Promise.resolve();
  #lost = false;

  constructor(options: RecordWriterOptions) {
    this.#options = options;
    this.#writing = options.troubles.watch("writing the job record");
    this.#record = options.record;
    this.#revision = options.revision;
  }

  /** The record as of the last settled write. */
  get record(): JobRecord {
    return this.#record;
  }

  change(change: RecordChange): Promise<WriteOutcome> {
    const result = this.#queue.then(() => this.#write(change));
    this.#queue = result;
    return result;
  }

  async #write(change: RecordChange): Promise<WriteOutcome> {
    for (;;) {
      if (this.#lost || this.#options.signal.aborted) return { outcome: "lost" };
      const before = this.#record;
      const changed = changeRecord(before, change);
      if ("refused" in changed) return { outcome: "refused", reason: changed.refused, record: before };
      const record: JobRecord = {
        ...changed.record,
        token: this.#options.token,
        scope: this.#options.scope,
        writeId: this.#options.newId(),
        updatedAtMs: this.#options.clock.nowMs(),
      };
      const settled = await this.#store(record);
      if (settled === "lost" || settled instanceof RecordUnreadableError) {
        this.#lost = true;
        if (!this.#options.signal.aborted) this.#options.onLost?.(settled === "lost" ? undefined : settled);
        return { outcome: "lost" };
      }
      if (settled === "stored") {
        this.#options.onStored?.(before, record);
        return { outcome: "stored", before, record };
      }
    }
  }

  /** Writes this very value until it is known to be stored, or never to be. */
  async #store(record: JobRecord): Promise<"stored" | "lost" | "moved" | RecordUnreadableError> {
    const { store, key, token, signal } = this.#options;
    const writing = this.#writing;
    const value = encodeRecord(record);
    const revision = this.#revision;
    while (!signal.aborted) {
      try {
        const answer = await store.compareAndSet(key, value, revision);
        if (answer.outcome === "stored") {
          this.#record = record;
          this.#revision = answer.revision;
          writing.passed();
          return "stored";
        }
        const now = await store.read(key);
        if (now === undefined) return new RecordGoneError(record.job, store.bucket);
        const found = parseRecord(now.value, key, store.bucket);
        const settled = settleWrite(
          { writeId: record.writeId, token, revision },
          { writeId: found.writeId, token: found.token, revision: now.revision },
        );
        if (settled === "lost") return "lost";
        if (settled !== "open") {
          this.#record = found;
          this.#revision = now.revision;
          writing.passed();
          return settled;
        }
      } catch (error) {
        if (error instanceof RecordUnreadableError) return error;
        if (retryOf(error) !== "now") throw error;
        writing.failed(error);
      }
      await pauseOn(this.#options.clock, RETRY_MS, signal);
    }
    return "lost";
  }
}
