/** What a subtask takes its records from: its source (source.ts), or the gate of its channels (gate.ts). */
import type { StateHandle } from "../../../../../machines/protocol.ts";
import type { SubtaskTime } from "../../../../control/event-time-messages.ts";
import type { PausedReport } from "../../../../control/source-messages.ts";
import type { Skipped } from "../../../../dataflow/source.ts";
import type { InputObstacle, TurnInput } from "../turns.ts";

export interface SubtaskInput extends TurnInput {
  /** Called once, before the first record is taken. */
  start(): void;
  /** The number of records that were given to the chain. */
  readonly records: number;
  /** Ends a source, as if there was no more input; does nothing to a gate. */
  drain(): void;
  /** The input's own state at the barrier, by which the next generation goes on from here. Synchronous. */
  cut(checkpointId: number): readonly StateHandle[];
  /** The checkpoint is decided; older ones will not be. */
  confirm(checkpointId: number): void;
  abort(checkpointId: number): void;
  /** The place of the record that was taken last, in words. */
  describePosition(): string;
  /** The input that was skipped; null: none yet. */
  skipped(): Skipped | null;
  /** What of a source is paused; null: nothing ever was. Left out by a gate. */
  paused?(): PausedReport | null;
  /** How many records are left to read. undefined: not known, or without end. Left out by a gate. */
  pending?(): number | undefined;
  /** How far event time is; null: it means nothing to the subtask. */
  eventTime(obstacle: InputObstacle | undefined): SubtaskTime | null;
}
