/** What subtasks hand over when they acknowledge a checkpoint, and manifests keep: durable formats, as plain data. */

/** `<vertex>/<index>`: one parallel instance of a vertex. */
export type SubtaskName = string;

export interface ObjectHandle {
  readonly name: string;
  readonly bytes: number;
  /** `sha256:<hex>` of the content. */
  readonly digest: string;
}

/**
 * Records that the barrier of an unaligned checkpoint has overtaken on one channel, or that were in front of the one
 * that came back over a feedback channel; as records: restore can route each one again. Either inline or `bytes` bytes
 * at `offset` of an object that the channels of a subtask share. What is too large for one object has several handles,
 * in order.
 */
export interface ChannelStateHandle {
  readonly edge: string;
  readonly from: number;
  readonly to: number;
  readonly records: number;
  readonly bytes: number;
  readonly inline: Uint8Array | null;
  readonly object: ObjectHandle | null;
  readonly offset: number;
  /**
   * The edge had other numbers of subtasks when they were stored (P93): the receiver keeps the records that the edge
   * leads to it now, and hears from its senders how far event time has come. Default: all of them are its own.
   */
  readonly rescaled?: true | undefined;
}

/** A range of key groups, both ends included; empty when `last < first`. */
export interface KeyGroupRange {
  readonly first: number;
  readonly last: number;
}

/** A run of chunks that begins and ends at a border of key groups. */
export interface SnapshotSegment {
  readonly keyGroups: KeyGroupRange;
  readonly offset: number;
  readonly bytes: number;
}

/** Chunks of one keyed state, in the order of key groups. It may be that of several checkpoints (P81). */
export interface StatePiece {
  /**
   * The chunks themselves, where they are few enough to travel in acknowledgement and manifest; else the object that
   * holds them.
   */
  readonly content: Uint8Array | ObjectHandle;
  /** Which bytes of it hold which key groups. */
  readonly segments: readonly SnapshotSegment[];
  /** It holds what changed behind the pieces in front of it. Left out: all rows, of the key groups that it holds. */
  readonly changes?: true | undefined;
}

/** One keyed state of one operator, of the key groups that one subtask had. */
export interface KeyedStateHandle {
  readonly kind: "keyed";
  readonly operator: string;
  readonly state: string;
  readonly keyGroups: KeyGroupRange;
  /** The version of its values, as the user calls it. Default "1". */
  readonly version?: string | undefined;
  /** What has written its values. Default: the engine's own, in the version of this build. */
  readonly serializer?: string | undefined;
  readonly pieces: readonly StatePiece[];
}

/**
 * The subtasks that get the entries of an operator state under another parallelism, as in Flink's
 * OperatorStateHandle.Mode: `list`: each goes to one subtask; `union`: all go to each; `broadcast`: each subtask gets
 * those of one; `own`: those of a subtask stay together, and with it as long as it is there.
 */
export type Distribution = "list" | "union" | "broadcast" | "own";

/** State of an operator that belongs to no key: entries that only the operator understands. */
export interface OperatorStateHandle {
  readonly kind: "operator";
  readonly operator: string;
  readonly state: string;
  readonly distribution: Distribution;
  /** The subtask that had it. */
  readonly subtaskIndex: number;
  /** The other subtasks whose entries are the same: of `broadcast` in a manifest only, which has them once (P100). */
  readonly equalIn?: readonly number[] | undefined;
  /** Version of the values, as their user calls it. Default "1". */
  readonly version?: string | undefined;
  /** Each one a value: of the engine as formats/codec.ts writes it, of users as state/snapshot/codec.ts does. */
  readonly entries: readonly Uint8Array[];
}

export type StateHandle = KeyedStateHandle | OperatorStateHandle;

export interface CommittableHandle {
  /** The job that wrote it: a fork commits what it inherits under the name of the job that it has it from (P4). */
  readonly incarnation: string;
  readonly sink: string;
  readonly writer: number;
  readonly checkpointId: number;
  readonly staged: readonly ObjectHandle[];
  readonly detail: unknown;
}

/** What one subtask hands over when it acknowledges a checkpoint. */
export interface SubtaskSnapshot {
  readonly subtask: SubtaskName;
  readonly states: readonly StateHandle[];
  /** Every uncommitted transaction with an id up to this checkpoint, all of them durable (P13). */
  readonly transactions: readonly CommittableHandle[];
  /**
   * Records in front of a barrier that were not processed: of an unaligned checkpoint, or on their way back in a loop.
   */
  readonly channels: readonly ChannelStateHandle[];
  /** Whether all input was processed and `finish` run before the barrier (P19). */
  readonly finished: boolean;
  readonly alignmentMs: number;
  readonly syncMs: number;
  readonly asyncMs: number;
  /** The bytes of the snapshot's objects together. */
  readonly bytes: number;
  /** The sum over `channels`, inline ones included. */
  readonly persistedInFlightBytes: number;
}
