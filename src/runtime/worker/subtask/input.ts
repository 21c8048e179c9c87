/** The two kinds of input of a subtask, as its turns take them: a source reader, or the gate of its channels. */
import type { Clock } from "../../../clock.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import type { CheckpointFrame, RecordsFrame } from "../../../dataflow/channel/frame.ts";
import type { InputGate } from "../../../dataflow/input-gate.ts";
import type { Collect, SourceReader } from "../../../dataflow/source.ts";
import { OperatorError, SourcePositionError } from "../../../errors.ts";
import type { LoopRounds } from "./rounds.ts";
import type { TurnInput } from "./turns.ts";

/** Records taken from a source between two looks at credit and clock. */
const RECORDS_PER_POLL = 128;

export interface InputCounter {
  records: number;
}

export function sourceInput(
  reader: SourceReader<unknown>,
  operator: string,
  chain: Chain,
  counter: InputCounter,
): TurnInput & {
  /** It ends here, as if there were no more. */
  drain(): void;
} {
  const head = chain.heads[0]!;
  const collect = (value: unknown, timestamp: number): void => {
    counter.records++;
    head(value, timestamp);
  };
  let ended = false;
  let drained = false;
  return {
    take() {
      if (ended) return "idle";
      if (drained) {
        ended = true;
        return "ended";
      }
      try {
        const status = reader.poll(collect, RECORDS_PER_POLL);
        ended = status === "ended";
        return status;
      } catch (error) {
        // It is no failure of user code, and names its place itself.
        if (error instanceof SourcePositionError) throw error;
        const located = error instanceof OperatorError ? error : new OperatorError(operator, error);
        throw located.at(reader.describePosition());
      }
    },
    onAvailable: (wake) => reader.onAvailable(wake),
    drain() {
      drained = true;
    },
  };
}

/** Of a source whose input had ended before the restored checkpoint. */
export const endedInput: TurnInput = { take: () => "idle", onAvailable: () => {} };

const RECORDS_PER_SLICE_MAX = 128;
const SLICE_MS = 1;

export interface GateInputOptions {
  readonly gate: InputGate;
  readonly clock: Clock;
  /** By channel: what takes its records. */
  readonly heads: readonly Collect<unknown>[];
  readonly counter: InputCounter;
  /** Where each channel comes from, for error messages. */
  readonly origins: readonly string[];
  readonly onCheckpointFrame: (channelIndex: number, frame: CheckpointFrame) => void;
  /** Of a subtask in a loop. */
  readonly rounds?: LoopRounds | undefined;
  /** Records taken from a frame between two looks at credit and clock; fewer where they are slow. Default: 128. */
  readonly recordsPerSliceMax?: number;
}

/** Frames are processed in slices, so that a barrier which overtakes records need not wait for the end of a frame. */
export class GateInput implements TurnInput {
  readonly #options: GateInputOptions;
  #frame: RecordsFrame | undefined;
  #channelIndex = 0;
  /** Records of `#frame` that have been processed. */
  #done = 0;
  readonly #recordsPerSliceMax: number;
  #recordsPerSlice: number;
  #ended = false;

  constructor(options: GateInputOptions) {
    this.#options = options;
    this.#recordsPerSliceMax = options.recordsPerSliceMax ?? RECORDS_PER_SLICE_MAX;
    this.#recordsPerSlice = this.#recordsPerSliceMax;
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

  /** What was taken from this channel and is not processed yet. */
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
    this.#options.gate.onFrame(wake);
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
    this.#options.counter.records += to - from;
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
