/** How far one subtask is with each checkpoint that is not over: what shows the channel that blocks it. */
import type { SubtaskProgress } from "../../../control/messages.ts";

export interface CheckpointsUnderWayOptions {
  /** The sender of each channel, in words. */
  readonly origins: readonly string[];
  /** Channels whose barrier has not come; undefined: none of it has come, or all have. */
  readonly missingChannels: (checkpointId: number) => readonly number[] | undefined;
  /** Whether the checkpoint's snapshot is taken, and not handed over. */
  readonly isTaken: (checkpointId: number) => boolean;
}

/** A report is one message, however many there are (P10). */
const REPORTED_MAX = 32;

export class CheckpointsUnderWay {
  readonly #options: CheckpointsUnderWayOptions;
  /**
   * The checkpoints that were triggered and are not known to be over, and whether this subtask has acknowledged them.
   */
  readonly #acknowledged = new Map<number, boolean>();

  constructor(options: CheckpointsUnderWayOptions) {
    this.#options = options;
  }

  /** Messages are repeated: a repeated one changes nothing. */
  begin(checkpointId: number): void {
    const known = this.#acknowledged;
    if (!known.has(checkpointId)) known.set(checkpointId, false);
    const [oldest] = known.keys();
    if (known.size > REPORTED_MAX) known.delete(oldest!);
  }

  acknowledge(checkpointId: number): void {
    if (this.#acknowledged.has(checkpointId)) this.#acknowledged.set(checkpointId, true);
  }

  abort(checkpointId: number): void {
    this.#acknowledged.delete(checkpointId);
  }

  /** A checkpoint is over, and with it the older ones that are acknowledged: no message tells that a savepoint is. */
  complete(checkpointId: number): void {
    for (const [id, acknowledged] of this.#acknowledged)
      if (id === checkpointId || (id < checkpointId && acknowledged)) this.#acknowledged.delete(id);
  }

  /** The checkpoints that are not over, oldest first. */
  report(): SubtaskProgress[] {
    const ids = [...this.#acknowledged.keys()].sort((a, b) => a - b);
    return ids.map((id) => this.#progress(id));
  }

  #progress(checkpointId: number): SubtaskProgress {
    const { origins, missingChannels, isTaken } = this.#options;
    const missing = missingChannels(checkpointId);
    if (missing !== undefined) {
      const from = missing.map((channel) => origins[channel] ?? "");
      return { checkpointId, phase: "aligning", missingChannels: from };
    }
    if (isTaken(checkpointId)) return { checkpointId, phase: "uploading", missingChannels: [] };
    if (this.#acknowledged.get(checkpointId) === true)
      return { checkpointId, phase: "acknowledged", missingChannels: [] };
    return { checkpointId, phase: "waiting-for-barrier", missingChannels: origins };
  }
}
