/**
 * The contract of a channel's two ends. Implementations: inside a process (local-channel.ts), over the bus
 * (remote-channel.ts). One writer, one reader, each driven by the turns of its subtask.
 *
 * CN1 The reader gets a prefix of what was sent, in order, each frame once; or the generation fails. Never other data.
 * CN2 Records frames that were sent and not yet taken never exceed the window, except by `overdraw`.
 * CN3 Control frames need no room and keep their place.
 * CN4 Wake callbacks are set once, may be called at any time, also spuriously, and only schedule: they are called from
 *    inside the other end's `send` and `take`.
 * CN5 Collecting copies: the reader gets the same frames as without it, and a channel that collects nothing does no
 *    more per frame than to see that.
 */
import type { Room } from "../room.ts";
import type { CheckpointFrame, ControlFrame, Frame, InFlightRecords, RecordsFrame } from "./frame.ts";

/** The writer's end. It has room while its window is not full; sending records without room is a broken invariant. */
export interface OutputChannel extends Room {
  /** How many records the next frame should hold; a channel that encodes adapts it to the size of the records. */
  readonly recordsPerFrame: number;
  /** Sends a frame; a records frame needs room. The frame belongs to the channel from here on. */
  send(frame: RecordsFrame | ControlFrame): void;
  /**
   * Sends records without room: only what a writer still holds when a control frame must follow it (CN3). The debt
   * is paid before there is room again.
   */
  overdraw(frame: RecordsFrame): void;
  /**
   * Resolves when the reader is known to be there (P26); frames may be sent only afterwards. Stays pending when the
   * channel fails or is closed first.
   */
  opened(): Promise<void>;
  /**
   * No side notices the loss of a remote tail after closing: close only when the reader has everything or the
   * generation is over.
   */
  close(): void;
}

export interface InputChannel {
  /** Records that have arrived and were not taken. */
  readonly waitingRecords: number;
  /** The next frame, without taking it. */
  peek(): Frame | undefined;
  /** Takes the next frame: it counts as consumed and its credit goes back to the writer. */
  take(): Frame | undefined;
  onFrame(wake: () => void): void;
  /** Told of each barrier and cancel marker when it arrives, in order, before it can be taken. Set once; as in CN4. */
  onArrival(heard: (frame: CheckpointFrame) => void): void;
  /**
   * Hands out, in order, the records in front of barrier `checkpointId`: those that wait, at once; if the barrier is
   * not among them, also those that arrive before it, or before anything else that speaks of this checkpoint or a newer
   * one.
   */
  collectBefore(checkpointId: number, collect: (records: InFlightRecords) => void): void;
  stopCollecting(): void;
  close(): void;
}
