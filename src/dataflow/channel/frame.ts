/**
 * What a channel carries: batches of records, and control elements between them, in order.
 *
 * Control frames need no room but keep their place. Records are immutable by contract: inside a process a
 * frame is passed by reference.
 */
import type { CheckpointOptions } from "../../../machines/protocol.ts";

export interface RecordsFrame {
  readonly kind: "records";
  /** The records; at least one. */
  readonly values: readonly unknown[];
  /** One per value (NO_TIMESTAMP where there is none), or undefined when none of them has an event time. */
  readonly timestamps: readonly number[] | undefined;
}

export interface BarrierFrame {
  readonly kind: "barrier";
  readonly checkpointId: number;
  readonly options: CheckpointOptions;
}

/** The frame in the place of a barrier that will not come, or behind one whose checkpoint was given up. */
export interface CancelMarkerFrame {
  readonly kind: "cancelMarker";
  readonly checkpointId: number;
}

/** The frame that says that no more records will come on this channel. Barriers still may (P19). */
export interface EndOfDataFrame {
  readonly kind: "endOfData";
}

/** The frame that travels round a loop behind its last records (machines/worker/loop.ts). */
export interface RoundFrame {
  readonly kind: "round";
  readonly round: number;
  readonly dirty: boolean;
}

export type CheckpointFrame = BarrierFrame | CancelMarkerFrame;
export type ControlFrame = CheckpointFrame | EndOfDataFrame | RoundFrame;
export type Frame = RecordsFrame | ControlFrame;

export function isCheckpointFrame(frame: Frame): frame is CheckpointFrame {
  return frame.kind === "barrier" || frame.kind === "cancelMarker";
}

/**
 * Records on their way that an unaligned checkpoint stores: a frame, or the message that carries it (frame-codec.ts).
 */
export type InFlightRecords = RecordsFrame | Uint8Array;

/** Names one channel: from one subtask to one subtask. */
export interface ChannelId {
  readonly edge: string;
  readonly from: number;
  readonly to: number;
}

/** The channel's name in messages: `edge "words->count", subtask 0 to 1`. */
export function describeChannel(id: ChannelId): string {
  return `edge "${id.edge}", subtask ${id.from} to ${id.to}`;
}
