/**
 * The gate of one subtask as its input: takes frames, and processes the records of each in slices.
 *
 * Owns: the frame that is being processed, the size of a slice, what the channels tell of event time. Does not own:
 * which channel is read next (dataflow/input-gate.ts), what a barrier means (barriers.ts), what is done when event
 * time has come further (event-time.ts).
 *
 * - GA1 While what is due at a watermark is being worked off, no record is taken, and no mark; barriers are, if nothing
 *   lies in front of them, in their channel or in the frame that is being processed.
 */
import type { StateHandle } from "../../../../../machines/protocol.ts";
import type { Clock } from "../../../../clock.ts";
import type { SubtaskTime } from "../../../../control/event-time-messages.ts";
import { type CheckpointFrame, partOf, type RecordsFrame } from "../../../../dataflow/channel/frame.ts";
import type { InputGate } from "../../../../dataflow/input-gate.ts";
import type { PortWait } from "../../../../dataflow/operators/joins/port-wait.ts";
import type { HotKeys } from "../../../../dataflow/operators/keyed/hot-keys.ts";
import type { Collect } from "../../../../dataflow/source.ts";
import { OperatorError } from "../../../../errors.ts";
import { RECORDS_PER_SLICE_MAX, SLICE_MS, SliceSize } from "../slice-size.ts";
import type { TimeReporter } from "../time-report.ts";
import type { InputObstacle } from "../turns.ts";
import type { EventTimeFlow } from "./event-time.ts";
import type { SubtaskInput } from "./input.ts";
import type { LoopRounds } from "./rounds.ts";

/** At most so many records come in a row when a function turns slow (SZ1). A look takes about 40 ns. */
const RECORDS_BETWEEN_LOOKS = 16;

export interface GateInputOptions {
  readonly gate: InputGate;
  readonly clock: Clock;
  /** The collectors of each channel's records. */
  readonly heads: readonly Collect<unknown>[];
  /** The sender of each channel, for error messages. */
  readonly origins: readonly string[];
  readonly onCheckpointFrame: (channelIndex: number, frame: CheckpointFrame) => void;
  /** The event time of the subtask; its senders are the channels. */
  readonly time: EventTimeFlow;
  /** The channels that lead back to the beginning of a loop: event time comes from outside only. Default: none. */
  readonly feedback?: readonly number[] | undefined;
  /** The rounds of a subtask in a loop. */
  readonly rounds?: LoopRounds | undefined;
  /** The wait of the operator's port for what another one brings. */
  readonly wait?: PortWait | undefined;
  /** The sketch of the keys of the records. Default: they have none. */
  readonly hotKeys?: HotKeys | undefined;
  /** The channels whose records may leave work: `begin` is called behind each of them, before all else. */
  readonly work?: { readonly channels: readonly number[]; begin(): void } | undefined;
  /** What is told of its event time. Default: nothing. */
  readonly timeReporter?: TimeReporter | undefined;
  /** Records taken from a frame between two looks at room and clock; fewer where they are slow. Default: 128. */
  readonly recordsPerSliceMax?: number;
}

/** Frames are processed in slices, so that a barrier which overtakes records need not wait for the end of a frame. */
export class GateInput implements SubtaskInput {
  readonly gate: InputGate;
  readonly #options: GateInputOptions;
  #frame: RecordsFrame | undefined;
  #channelIndex = 0;
  /** Records and marks of `#frame` that have been processed. */
  #done = 0;
  #marked = 0;
  readonly #size: SliceSize;
  #ended = false;
  #records = 0;

  constructor(options: GateInputOptions) {
    this.#options = options;
    this.gate = options.gate;
    this.#size = new SliceSize(options.recordsPerSliceMax ?? RECORDS_PER_SLICE_MAX);
    // Idle for ever: such a channel never holds event time back, and its records do not wake it.
    for (const channel of options.feedback ?? []) options.time.senders.becameIdle(channel);
    for (const channel of options.wait?.held ?? []) options.gate.hold(channel);
  }

  get records(): number {
    return this.#records;
  }

  start(): void {
    this.#options.time.start();
    this.#options.wait?.told();
  }

  take(): "more" | "idle" | "ended" {
    const { gate, rounds, time, onCheckpointFrame } = this.#options;
    if (time.isAdvancing) return this.#advance();
    if (this.#frame !== undefined) return this.#slice(this.#frame);
    if (this.#endsNow()) return "ended";
    const next = gate.nextFrame();
    if (next === undefined) return "idle";
    const { frame, channelIndex } = next;
    if (frame.kind === "records") {
      this.#channelIndex = channelIndex;
      this.#done = 0;
      this.#marked = 0;
      rounds?.took(channelIndex);
      return this.#slice(frame);
    }
    if (frame.kind === "endOfData") {
      this.#endOf(channelIndex);
      return this.#endsNow() ? "ended" : "more";
    }
    if (frame.kind === "round") rounds?.received(channelIndex, frame);
    else onCheckpointFrame(channelIndex, frame);
    return "more";
  }

  /** The records that were taken from this channel and are not processed yet. */
  unprocessed(channelIndex: number): RecordsFrame | undefined {
    if (this.#frame === undefined || this.#channelIndex !== channelIndex) return undefined;
    const { values, marks } = this.#frame;
    const left = { ...this.#frame, marks: marks?.slice(this.#marked) };
    return partOf(left, this.#done, values.length);
  }

  onAvailable(wake: () => void): void {
    this.gate.onFrame(wake);
  }

  /** Only sources are drained: the end comes to all others over their channels. */
  drain(): void {}

  cut(): readonly StateHandle[] {
    return this.#options.time.snapshot();
  }

  confirm(): void {}

  abort(): void {}

  describePosition(): string {
    return `a record from ${this.#options.origins.join(" or ")}`;
  }

  skipped(): null {
    return null;
  }

  eventTime(obstacle: InputObstacle | undefined): SubtaskTime | null {
    return this.#options.timeReporter?.report(obstacle) ?? null;
  }

  takeBarrier(): boolean {
    const { gate, onCheckpointFrame } = this.#options;
    const waiting = gate.nextCheckpointFrame(this.#frame && this.#channelIndex);
    if (waiting === undefined) return false;
    onCheckpointFrame(waiting.channelIndex, waiting.frame);
    return true;
  }

  #advance(): "more" {
    if (!this.takeBarrier()) this.#options.time.step();
    return "more";
  }

  #endOf(channelIndex: number): void {
    const { rounds, time, wait } = this.#options;
    rounds?.ended(channelIndex);
    time.senders.finished(channelIndex);
    time.follow();
    wait?.told();
  }

  /** true, once: all channels have ended. A loop ends with its rounds, long before those that lead back to it. */
  #endsNow(): boolean {
    const { gate, rounds, time } = this.#options;
    if (rounds?.decideTheEnd || this.#ended || !gate.allEnded() || time.isAdvancing) return false;
    this.#ended = true;
    return true;
  }

  #slice(frame: RecordsFrame): "more" {
    const { time, wait, work } = this.#options;
    const { values, marks } = frame;
    const mayLeaveWork = work?.channels.includes(this.#channelIndex) === true;
    const mark = marks?.[this.#marked];
    const from = this.#done;
    const end = Math.min(from + (mayLeaveWork ? 1 : this.#size.records), mark?.at ?? values.length);
    const to = end > from ? this.#process(frame, from, end) : from;
    if (to > from) wait?.processed(this.#channelIndex);
    if (to > from && mayLeaveWork) work?.begin();
    this.#done = to;
    if (mark?.at === to) {
      this.#marked++;
      time.told(this.#channelIndex, mark);
      wait?.told();
    }
    this.#frame = to < values.length || this.#marked < (marks?.length ?? 0) ? frame : undefined;
    return "more";
  }

  /** Processes some records up to `end`; answers where it has stopped, because they were slow. */
  #process({ values, timestamps }: RecordsFrame, from: number, end: number): number {
    const { heads, origins, clock, time, feedback, hotKeys } = this.#options;
    const channel = this.#channelIndex;
    if (time.senders.senderIsIdle(channel) && !feedback?.includes(channel)) time.spoke(channel);
    const head = heads[channel]!;
    const startedMs = clock.elapsedMs();
    let tookMs = 0;
    let done = from;
    try {
      while (done < end && tookMs <= SLICE_MS) {
        const to = Math.min(done + RECORDS_BETWEEN_LOOKS, end);
        if (timestamps === undefined)
          for (let i = done; i < to; i++) head(values[i], Number.NEGATIVE_INFINITY);
        else for (let i = done; i < to; i++) head(values[i], timestamps[i]!);
        done = to;
        tookMs = clock.elapsedMs() - startedMs;
      }
    } catch (error) {
      throw error instanceof OperatorError ? error.at(`a record from ${origins[channel]}`) : error;
    }
    this.#records += done - from;
    hotKeys?.took(channel, values, from, done);
    this.#size.adapt(done - from, tookMs);
    return done;
  }
}
