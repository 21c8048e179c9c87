/**
 * The beginning of a loop: what has come back and waits, and what may come in besides.
 *
 * Owns: which of the gate's channels are read now, and the limit. Does not own: the channels. Those that lead back are
 * the gate's last ones; they have no window, because the subtask that makes room in them may be waiting for it (P41).
 *
 * - LE1 While few records wait, all channels take turns. While many do, one frame is let in each time they have all
 *   come by, so that a loop in which records stay for long still gets what they wait for; beyond half the limit none
 *   is.
 * - LE2 Records behind a blocked channel (an early barrier, A9 of machines/worker/alignment.ts) do not count for LE1:
 *   they cannot be read, and what they wait for comes in here.
 * - LE3 When more records wait than the limit, blocked ones included, the job fails by name. Only a loop that
 *   multiplies its records comes there.
 */
import { LoopOverflowError } from "../errors.ts";
import type { InputChannel } from "./channel/channel.ts";

export interface LoopEntranceOptions {
  /** The operator with which the loop begins. */
  readonly loop: string;
  readonly waitingMax: number;
  /** The channels that lead back. */
  readonly channels: readonly InputChannel[];
  /** Index of the first of them. */
  readonly firstChannel: number;
}

/** About the window of an ordinary channel. */
const FEW_RECORDS = 4096;

export class LoopEntrance {
  readonly #options: LoopEntranceOptions;
  readonly #few: number;
  #readable = 0;
  /** How many of the records that waited when a frame was let in have not come by yet. */
  #untilNext = 0;

  constructor(options: LoopEntranceOptions) {
    this.#options = options;
    this.#few = Math.min(FEW_RECORDS, options.waitingMax / 4);
  }

  /** Index of the first channel that is read now. */
  firstRead(blocked: readonly boolean[]): number {
    const { channels, firstChannel, waitingMax, loop } = this.#options;
    let waiting = 0;
    this.#readable = 0;
    for (let i = 0; i < channels.length; i++) {
      const records = channels[i]!.waitingRecords;
      waiting += records;
      if (!blocked[firstChannel + i]) this.#readable += records;
    }
    if (waiting > waitingMax)
      throw new LoopOverflowError(
        `loop "${loop}": ${waiting} records wait to go round again, and waitingMax is ${waitingMax}: more come back than ` +
          `leave it; feed fewer back, or raise waitingMax of operator "${loop}"`,
      );
    if (this.#readable <= this.#few) this.#untilNext = 0;
    return this.#readable > waitingMax / 2 || this.#untilNext > 0 ? firstChannel : 0;
  }

  took(channel: number, records: number): void {
    if (channel >= this.#options.firstChannel) this.#untilNext -= records;
    else if (this.#readable > this.#few) this.#untilNext = this.#readable;
  }
}
