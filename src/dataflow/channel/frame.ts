/**
 * What a channel carries: batches of records, and control elements between them, in order.
 *
 * Control frames need no room but keep their place. Records are immutable by contract: inside a process a
 * frame is passed by reference.
 */
import type { CheckpointOptions } from "../../../machines/protocol.ts";

/**
 * Event time between records: what the sender tells of it lies in their frame, in its place. So it needs no room of its
 * own, and what overtakes or stores records does the same with it.
 */
export interface TimeMark {
  /** How many of the frame's records lie in front of it. */
  readonly at: number;
  /** The sender's watermark, in ms. It is the same as before where the sender only is active again. */
  readonly watermark: number;
  /** true: the sender is idle from here on, until its next record or mark. */
  readonly isIdle: boolean;
}

export interface RecordsFrame {
  readonly kind: "records";
  /** The records; at least one, or there are marks. */
  readonly values: readonly unknown[];
  /** One per value (NO_TIMESTAMP where there is none), or undefined when none of them has an event time. */
  readonly timestamps: readonly number[] | undefined;
  /** Between the records, in order; at most one at each place. undefined: none. */
  readonly marks: readonly TimeMark[] | undefined;
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

/** A frame from record `from` to before record `to`. A mark in front of record `to` belongs to the next part. */
export function partOf(frame: RecordsFrame, from: number, to: number): RecordsFrame {
  const { values, timestamps, marks } = frame;
  const last = to === values.length;
  const inPart = marks?.filter(({ at }) => at >= from && (at < to || (last && at === to)));
  return {
    kind: "records",
    values: values.slice(from, to),
    timestamps: timestamps?.slice(from, to),
    marks:
      inPart === undefined || inPart.length === 0
        ? undefined
        : inPart.map((mark) => ({ ...mark, at: mark.at - from })),
  };
}

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
