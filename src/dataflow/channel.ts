/**
 * The contract of a channel's two ends. Implementations: inside a process (local-channel.ts), over the bus
 * (remote-channel.ts). One writer, one reader, each driven by its subtask's loop.
 */
import type { ControlFrame, Frame, RecordsFrame } from "./frame.ts";

export interface OutputChannel {
  /** false: the window is full; sending records is a broken invariant until `onCredit` has called. */
  hasCredit(): boolean;
  onCredit(wake: () => void): void;
  send(frame: RecordsFrame | ControlFrame): void;
  /** Resolves when the reader is known to be there (P26); records may be sent only afterwards. */
  opened(): Promise<void>;
  close(): void;
}

export interface InputChannel {
  /** Next frame without taking it. */
  peek(): Frame | undefined;
  /** Takes the next frame: it counts as consumed and its credit goes back to the writer. */
  take(): Frame | undefined;
  onFrame(wake: () => void): void;
  close(): void;
}
