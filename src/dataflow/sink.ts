/**
 * The contract of a sink: a writer that cuts transactions at barriers, and a committer.
 *
 * Life of a transaction (machines/worker/sink-transaction.ts): open while the writer writes; cut at barrier n, it is
 * then *preparing* until all it holds is durable; *prepared* it can be committed for ever (P13); after the decision it
 * is committed, oldest first, again and again until it is done (P17). Its id is (incarnation, sink, writer, n) (P4).
 * Aborting a checkpoint does not touch it (P14).
 */
import type { ObjectHandle } from "../checkpoint/storage.ts";
import type { ConnectorEnvironment, SubtaskEnvironment } from "./connector.ts";

export type SinkGuarantee = "exactly-once" | "at-least-once" | "none";

/** What a later generation needs to commit the transaction. Plain data, small: bulk goes to staged objects (P15). */
export interface Committable {
  /** Checkpoint at whose barrier the transaction was cut. */
  readonly checkpointId: number;
  /** Index of the sink subtask that wrote it. */
  readonly writer: number;
  /** Objects that hold its records. They live until no retained manifest names them (P15). */
  readonly staged: readonly ObjectHandle[];
  /** Plain data that only the sink understands. */
  readonly detail: unknown;
}

/**
 * Durable bytes owned by transactions, not by checkpoints (P15). One area per sink subtask and generation: it names
 * its objects itself by (sink, writer, its own counter), because parts are staged while the transaction is still open
 * and it is not known yet at which checkpoint it will be cut (P25).
 */
export interface StagingArea {
  /** The caller leaves `content` as it is until this settles. Retried until durable or the generation ends. */
  put(content: Uint8Array): Promise<ObjectHandle>;
  /** Reads also objects that another writer or generation staged. @throws ObjectMissingError, ObjectCorruptError */
  get(handle: ObjectHandle): Promise<Uint8Array>;
  /**
   * Resolves when all of them are found with their sizes: before the first part of a transaction is committed (P45).
   * @throws ObjectMissingError, ObjectCorruptError
   */
  assertPresent(handles: readonly ObjectHandle[]): Promise<void>;
}

/** The job that has written a transaction which another one has inherited. */
export interface InheritedFrom {
  readonly incarnation: string;
  /** The newest of its generations that the leader of this job knew of; null: its record is gone, and tells nothing. */
  readonly generation: number | null;
}

export interface SinkEnvironment extends SubtaskEnvironment {
  readonly staging: StagingArea;
  /** Id of the checkpoint that this generation restores, 0 on a fresh start. */
  readonly restoredCheckpointId: number;
  /** What `SinkWriter.snapshot` returned at that checkpoint; undefined on a fresh start. */
  readonly restoredState: unknown;
}

/** What a sink writes to, as far as a source could read it. */
export interface SinkTarget {
  readonly stream: string;
  /** undefined: it depends on the record. */
  readonly subject: string | undefined;
}

/** An output of a job: checks its target at submission, and opens a writer in each subtask. */
export interface Sink<T> {
  /** "jetstream", "file", … for messages and the printed plan. */
  readonly kind: string;
  /** "exactly-once": its writers cut transactions. "at-least-once": `flush` waits for delivery. "none": no promise. */
  readonly guarantee: SinkGuarantee;
  /** Left out: no source can read it. */
  readonly target?: SinkTarget;
  /**
   * Called at submission, at first with `dryRun` for all sinks, then without: looks for all that commits will need.
   * @throws EnvironmentError saying what mends it
   */
  check(environment: ConnectorEnvironment): Promise<void>;
  /** Called in each generation, before anything is written; fences older generations at the target (P23). */
  open(environment: SinkEnvironment): Promise<SinkWriter<T>>;
}

/** A transaction that was cut and is becoming durable. */
export interface PreparingTransaction {
  /** The checkpoint at whose barrier it was cut. */
  readonly checkpointId: number;
  /** Resolves when everything it holds is durable (P13). Retries by itself; rejects only when it never will. */
  prepared(): Promise<Committable>;
}

/** Writes the records of one subtask. Called in the turns of the subtask; `commit` and `flush` may last. */
export interface SinkWriter<T> {
  /** Synchronous. @throws RecordRefusedError for a record that could never be committed (P24) */
  write(value: T, timestamp: number): void;
  /** Whether the subtask must take no input until `onAvailable` has called (P25). */
  blocked(): boolean;
  onAvailable(wake: () => void): void;
  /**
   * At barrier n, synchronously: everything written since the last cut is transaction n. undefined when that is
   * nothing. Sinks without transactions return undefined and make `flush` wait for delivery.
   */
  cut(checkpointId: number): PreparingTransaction | undefined;
  /** Plain data that must travel in the snapshot beside the transactions. Called right after `cut`. */
  snapshot(): unknown;
  /**
   * Idempotent: committing a committed transaction succeeds. Called in the order of checkpoint ids, one at a time.
   *
   * `inheritedFrom` is the job that wrote the transaction, when that is another one: this job was restored from a
   * savepoint of it. It is committed under the name it has there (P4), and that job, which may still run, is not
   * fenced: whichever of the two comes first, the other one finds it done. A marker of a newer generation than that is
   * not believed (P59).
   * @throws CommitRefusedError when it can never succeed, FencedError; MarkerMovedError: the job is restored, and its
   * leader looks at the other one anew; anything else: it is called again
   */
  commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void>;
  /**
   * Called when a savepoint has cut: it names every transaction that is not committed yet, and its user may keep it
   * for years. Resolves when what they hold outside of the staging area stays, durably, until it is committed, also
   * when the job goes back behind the savepoint. Left out: there is nothing of the kind.
   */
  keep?(): Promise<void>;
  /** Resolves when everything written has left the process; at-least-once sinks acknowledge barriers by it. */
  flush(): Promise<void>;
  close(): Promise<void>;
}
