/** What a subtask takes its records from: its source (source.ts), or the gate of its channels (gate.ts). */
import type { StateHandle } from "../../../../machines/protocol.ts";
import type { Skipped } from "../../../dataflow/source.ts";
import type { TurnInput } from "./turns.ts";

export interface SubtaskInput extends TurnInput {
  /** Records that were given to the chain. */
  readonly records: number;
  /** Only of a source: it ends here, as if there was no more. */
  drain(): void;
  /** At the barrier, synchronously: the state of its own that lets the next generation go on from here. */
  cut(checkpointId: number): readonly StateHandle[];
  /** The checkpoint is decided; older ones will not be. */
  confirm(checkpointId: number): void;
  abort(checkpointId: number): void;
  /** The place of the record that was taken last, in words. */
  describePosition(): string;
  /** null: nothing yet. */
  skipped(): Skipped | null;
}
