/**
 * The gate of one subtask as its input: takes frames, and processes the records of each in slices.
 *
 * Owns: the frame that is being processed, the size of a slice. Does not own: which channel is read next
 * (dataflow/input-gate.ts), what a barrier means (barriers.ts).
 */
import type { StateHandle } from "../../../../machines/protocol.ts";
import type { Clock } from "../../../clock.ts";
import type { CheckpointFrame, RecordsFrame } from "../../../dataflow/channel/frame.ts";
import type { InputGate } from "../../../dataflow/input-gate.ts";
import type { Collect } from "../../../dataflow/source.ts";
import { OperatorError } from "../../../errors.ts";
import type { SubtaskInput } from "./input.ts";
import type { LoopRounds } from "./rounds.ts";

const RECORDS_PER_SLICE_MAX = 128;
const SLICE_MS = 1;

export interface GateInputOptions {
  readonly gate: InputGate;
  readonly clock: Clock;
  /** The collectors of each channel's records. */
  readonly heads: readonly Collect<unknown>[];
  /** The sender of each channel, for error messages. */
  readonly origins: readonly string[];
  readonly onCheckpointFrame: (channelIndex: number, frame: CheckpointFrame) => void;
  /** The rounds of a subtask in a loop. */
  readonly rounds?: LoopRounds | undefined;
  /** Records taken from a frame between two looks at room and clock; fewer where they are slow. Default: 128. */
  readonly recordsPerSliceMax?: number;
}

/** Frames are processed in slices, so that a barrier which overtakes records need not wait for the end of a frame. */
export class GateInput implements SubtaskInput {
  readonly gate: InputGate;
  readonly #options: GateInputOptions;
  #frame: RecordsFrame | undefined;
  #channelIndex = 0;
  /** Records of `#frame` that have been processed. */
  #done = 0;
  readonly #recordsPerSliceMax: number;
  #recordsPerSlice: number;
  #ended = false;
  #records = 0;

  constructor(options: GateInputOptions) {
    this.#options = options;
    this.gate = options.gate;
    this.#recordsPerSliceMax = options.recordsPerSliceMax ?? RECORDS_PER_SLICE_MAX;
    this.#recordsPerSlice = this.#recordsPerSliceMax;
  }

  get records(): number {
    return this.#records;
  }

  take(): "more" | "idle" | "ended" {
    if (this.#frame !== undefined) return this.#slice(this.#frame);
    const { gate, rounds, onCheckpointFrame } = this.#options;
    const next = gate.nextFrame();
    if (next === undefined) return "idle";
    const { frame, channelIndex } = next;
    if (frame.kind === "records") {
      this.#channelIndex = channelIndex;
      this.#done = 0;
      rounds?.took(channelIndex);
      return this.#slice(frame);
    }
    if (frame.kind === "endOfData") return this.#endOf(channelIndex);
    if (frame.kind === "round") rounds?.received(channelIndex, frame);
    else onCheckpointFrame(channelIndex, frame);
    return "more";
  }

  /** The records that were taken from this channel and are not processed yet. */
  unprocessed(channelIndex: number): RecordsFrame | undefined {
    if (this.#frame === undefined || this.#channelIndex !== channelIndex) return undefined;
    const { values, timestamps } = this.#frame;
    return {
      kind: "records",
      values: values.slice(this.#done),
      timestamps: timestamps?.slice(this.#done),
    };
  }

  onAvailable(wake: () => void): void {
    this.gate.onFrame(wake);
  }

  /** Only sources are drained: the end comes to all others over their channels. */
  drain(): void {}

  cut(): readonly StateHandle[] {
    return [];
  }

  confirm(): void {}

  abort(): void {}

  describePosition(): string {
    return `a record from ${this.#options.origins.join(" or ")}`;
  }

  skipped(): null {
    return null;
  }

  /** A loop ends with its rounds, long before the channels that lead back to its beginning. */
  #endOf(channelIndex: number): "more" | "ended" {
    const { gate, rounds } = this.#options;
    rounds?.ended(channelIndex);
    if (rounds?.decideTheEnd || this.#ended || !gate.allEnded()) return "more";
    this.#ended = true;
    return "ended";
  }

  #slice(frame: RecordsFrame): "more" {
    const { values, timestamps } = frame;
    const head = this.#options.heads[this.#channelIndex]!;
    const from = this.#done;
    const to = Math.min(from + this.#recordsPerSlice, values.length);
    const startedMs = this.#options.clock.elapsedMs();
    try {
      if (timestamps === undefined) for (let i = from; i < to; i++) head(values[i], Number.NEGATIVE_INFINITY);
      else for (let i = from; i < to; i++) head(values[i], timestamps[i]!);
    } catch (error) {
      throw error instanceof OperatorError
        ? error.at(`a record from ${this.#options.origins[this.#channelIndex]}`)
        : error;
    }
    this.#records += to - from;
    this.#done = to;
    this.#frame = to < values.length ? frame : undefined;
    this.#adapt(this.#options.clock.elapsedMs() - startedMs);
    return "more";
  }

  #adapt(tookMs: number): void {
    if (tookMs > SLICE_MS) this.#recordsPerSlice = Math.max(1, this.#recordsPerSlice >>> 1);
    else if (this.#recordsPerSlice < this.#recordsPerSliceMax && tookMs * 2 < SLICE_MS)
      this.#recordsPerSlice = Math.min(this.#recordsPerSlice * 2, this.#recordsPerSliceMax);
  }
}
