/**
 * What a channel carries: batches of records, and control elements between them, in order.
 *
 * Barriers and ends need no credit but keep their place. Records are immutable by contract: inside a process a
 * frame is passed by reference.
 */

export interface RecordsFrame {
  readonly kind: "records";
  /** Never empty. */
  readonly values: readonly unknown[];
  /** One per value (NO_TIMESTAMP where there is none), or undefined when none of them has an event time. */
  readonly timestamps: readonly number[] | undefined;
}

export interface BarrierFrame {
  readonly kind: "barrier";
  readonly checkpointId: number;
}

/** No more records will come on this channel. Barriers still may (P19). */
export interface EndOfDataFrame {
  readonly kind: "endOfData";
}

export type ControlFrame = BarrierFrame | EndOfDataFrame;
export type Frame = RecordsFrame | ControlFrame;

/** Names one channel: from one subtask to one subtask. */
export interface ChannelId {
  readonly edge: string;
  readonly from: number;
  readonly to: number;
}

/** For messages: `edge "words->count", subtask 0 to 1`. */
export function describeChannel(id: ChannelId): string {
  return `edge "${id.edge}", subtask ${id.from} to ${id.to}`;
}
