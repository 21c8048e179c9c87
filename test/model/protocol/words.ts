/** Words of the model: what a transaction holds, what a checkpoint remembers, and the messages between processes. */
import type { CompletedCheckpoint, JobRecord, SavepointEntry } from "../../../machines/protocol.ts";
import type { Event } from "../process.ts";

/**
 * Records are positions 1, 2, …; a transaction holds those behind `from` up to `to`, and perhaps the record of
 * `finish`.
 */
export interface Content {
  readonly checkpointId: number;
  /** Generation that cut it. */
  readonly cutBy: number;
  readonly from: number;
  readonly to: number;
  readonly finish: boolean;
}

/** What one subtask acknowledges with. */
export interface Snapshot {
  readonly position: number;
  readonly finished: boolean;
  readonly transactions: readonly Content[];
  /** The checkpoints whose objects its state consists of. Left out: its own alone. */
  readonly layers?: readonly number[];
  /** The subtask's gate, if it has one. */
  readonly gate?: GateSnapshot;
}

/** By channel. */
export interface GateSnapshot {
  /** The last record that the state holds. */
  readonly taken: readonly number[];
  /** The last one that was sent before the barrier. */
  readonly sent: readonly number[];
  /** Those stored beside the state. */
  readonly kept: readonly (readonly number[])[];
}

export type Snapshots = Readonly<Record<string, Snapshot>>;

/** A checkpoint in the record carries its manifest with it: to read it is to look here. */
export interface ModelCheckpoint extends CompletedCheckpoint {
  /** That took part. */
  readonly generations: readonly number[];
  readonly snapshots: Snapshots;
}

/** Its metadata, as far as the seeded bugs want to restore it. */
export interface ModelSavepoint extends SavepointEntry {
  readonly snapshots: Snapshots;
}

export interface Deployment extends Event {
  readonly type: "generation.deploy";
  readonly generation: number;
  readonly leader: string;
  readonly subtask: string;
  readonly restoredCheckpointId: number;
  readonly restored: Snapshot | null;
  readonly settle: boolean;
}

/** A message to the server that holds the job record. */
export interface RecordWrite extends Event {
  readonly type: "record.write";
  readonly from: string;
  readonly value: JobRecord;
  readonly revision: number;
}

/** What the writer learns of its write, by the answer or by reading the record again (P8). */
export type RecordAnswer =
  | { readonly type: "write.stored"; readonly writeId: string; readonly revision: number }
  | {
      readonly type: "write.moved";
      readonly writeId: string;
      readonly revision: number;
      readonly record: JobRecord;
    }
  | { readonly type: "write.lost" };

/** The owner and the last transaction; every write changes one of them, so the marker is its own revision. */
export interface Marker {
  readonly generation: number;
  readonly checkpointId: number;
}

export interface MarkerOpen extends Event {
  readonly type: "marker.open";
  readonly from: string;
  readonly generation: number;
  readonly restoredCheckpointId: number;
}

export interface MarkerCommit extends Event {
  readonly type: "marker.commit";
  readonly from: string;
  readonly generation: number;
  readonly content: Content;
  readonly expected: Marker;
}

export type MarkerAnswer =
  | { readonly type: "marker.opened"; readonly generation: number; readonly marker: Marker }
  | { readonly type: "marker.refused"; readonly generation: number; readonly reason: string }
  | { readonly type: "marker.moved"; readonly generation: number; readonly checkpointId: number };

export const RECORD = "record";
export const targetOf = (subtask: string): string => `target ${subtask}`;
export const transactionName = (checkpointId: number): string => `sink@${checkpointId}`;
export const checkpointActor = (checkpointId: number): string => `checkpoint/${checkpointId}`;

export const objectName = {
  manifest: (checkpointId: number): string => `manifest/${checkpointId}`,
  state: (checkpointId: number, subtask: string): string => `state/${checkpointId}/${subtask}`,
  staged: (content: Content, subtask: string): string => `staged/${content.checkpointId}/${subtask}`,
};

/** The parts of a name that was built here; a manifest has no subtask. */
export function partsOf(name: string): {
  readonly kind: string;
  readonly checkpointId: number;
  readonly subtask: string;
} {
  const [kind = "", checkpointId, subtask = ""] = name.split("/");
  return { kind, checkpointId: Number(checkpointId), subtask };
}

/** Everything that a checkpoint's manifest reaches, itself included. */
export function objectsOf({
  checkpointId,
  snapshots,
}: Pick<ModelCheckpoint, "checkpointId" | "snapshots">): string[] {
  return [objectName.manifest(checkpointId), ...snapshotObjects(checkpointId, snapshots)].concat(
    Object.entries(snapshots).flatMap(([subtask, { transactions }]) =>
      transactions.map((content) => objectName.staged(content, subtask)),
    ),
  );
}

export function snapshotObjects(checkpointId: number, snapshots: Snapshots): string[] {
  return Object.entries(snapshots).flatMap(([subtask, { layers = [checkpointId] }]) =>
    layers.map((id) => objectName.state(id, subtask)),
  );
}
