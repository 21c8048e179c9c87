/**
 * Event time of one subtask on its way: from its senders through the chain to its outputs.
 *
 * Owns: when the chain hears of a new watermark, when the outputs do. Does not own: the senders' combination
 * (dataflow/time/watermark-combiner.ts), what is due at a watermark (the operators), when there is a turn for it.
 *
 * - ET1 The outputs hear of a watermark when everything that it causes here was collected (OC6 of chain.ts).
 * - ET2 What is due is worked off in steps. In between the input takes no record, so that a cut there holds what is
 *   left, and the restored subtask goes on with it before its first record.
 * - ET3 Idle marks and watermarks keep their order: an idle mark waits for the watermark in front of it.
 * - ET4 The end of all input is told by the end of data alone, never by a mark: behind a mark of Infinity an input that
 *   still is open would be late for ever.
 * - ET5 The chain hears that the input has become idle, not that it was so at the restored cut: since then there may be
 *   something.
 */
import type { StateHandle } from "../../../../../machines/protocol.ts";
import type { Chain } from "../../../../dataflow/chain.ts";
import type { ChannelId, TimeMark } from "../../../../dataflow/channel/frame.ts";
import type { Slices } from "../../../../dataflow/operators/contract.ts";
import type { EdgeOutput } from "../../../../dataflow/output.ts";
import { type SenderTime, WatermarkCombiner } from "../../../../dataflow/time/watermark-combiner.ts";
import { inputTimeHandle, inputTimeIn } from "../../snapshots/event-time.ts";

export interface EventTimeFlowOptions {
  /** The operator that gets the input: its name stands at the snapshot of the input's event time. */
  readonly operator: string;
  readonly subtaskIndex: number;
  readonly chain: Pick<Chain, "advance" | "becameIdle" | "unfinishedTime">;
  /** The outputs; or the operator that holds records back, which tells them. */
  readonly outputs: readonly Pick<EdgeOutput, "mark">[];
  /** The senders, by channel; a source's splits have no channel and keep their times themselves. */
  readonly channels: readonly ChannelId[];
  readonly splits?: readonly SenderTime[];
  /** What a checkpoint holds for the subtask. */
  readonly restored: readonly StateHandle[];
  /** true: all input had been processed before that checkpoint. Default false. */
  readonly finished?: boolean;
}

export class EventTimeFlow {
  readonly senders: WatermarkCombiner;
  readonly #options: EventTimeFlowOptions;
  /** The watermark that the chain has come to, or is on its way to. */
  #reached: number;
  /** What the outputs were told last. */
  #toldWatermark = Number.NEGATIVE_INFINITY;
  #toldIdle = false;
  #wasIdle: boolean;
  #slices: Slices | undefined;

  constructor(options: EventTimeFlowOptions) {
    this.#options = options;
    const { channels, splits = [], restored, operator } = options;
    this.senders = new WatermarkCombiner(channels.length + splits.length);
    const found = inputTimeIn(restored, operator);
    for (const [i, channel] of channels.entries()) {
      const time = found?.channel(channel);
      if (time !== undefined) this.senders.restore(i, time);
    }
    for (const [i, split] of splits.entries()) this.senders.restore(i, split);
    this.senders.restored(found?.combined ?? Number.NEGATIVE_INFINITY);
    this.#reached = found?.combined ?? Number.NEGATIVE_INFINITY;
    this.#wasIdle = this.senders.isIdle;
  }

  /** What is due at the watermark is being worked off (ET2). */
  get isAdvancing(): boolean {
    return this.#slices !== undefined;
  }

  /** What the outputs were told last, and all that was due up to there is done; Infinity: the input has ended. */
  get toldWatermark(): number {
    return this.#toldWatermark;
  }

  /** All input had been processed before the restored checkpoint. */
  get isFinished(): boolean {
    return this.#options.finished === true;
  }

  /** Called before the first record: goes on where the restored checkpoint was cut. */
  start(): void {
    const unfinished = this.#options.chain.unfinishedTime();
    if (unfinished !== undefined) this.#slices = this.#options.chain.advance(unfinished);
    this.follow();
  }

  /** Called behind whatever has changed the senders. */
  follow(): void {
    if (this.#slices !== undefined || this.#options.finished === true) return;
    const { watermark } = this.senders;
    if (watermark > this.#reached) {
      this.#reached = watermark;
      this.#slices = this.#options.chain.advance(watermark);
      if (this.#slices !== undefined) return;
    }
    this.#tell();
  }

  told(sender: number, { watermark, isIdle }: TimeMark): void {
    this.senders.advanced(sender, watermark);
    if (isIdle) this.senders.becameIdle(sender);
    this.follow();
  }

  spoke(sender: number): void {
    this.senders.spoke(sender);
    this.follow();
  }

  /** Does some of what is due. */
  step(): void {
    if (this.#slices?.step()) return;
    this.#slices = undefined;
    this.follow();
  }

  snapshot(): readonly StateHandle[] {
    const { operator, subtaskIndex, channels } = this.#options;
    const { senders } = this;
    const times = channels.map((channel, i) => ({ ...channel, ...senders.sender(i) }));
    return inputTimeHandle(operator, subtaskIndex, this.#reached, times);
  }

  #tell(): void {
    const { isIdle } = this.senders;
    if (isIdle && !this.#wasIdle) this.#options.chain.becameIdle();
    this.#wasIdle = isIdle;
    if (this.#reached === this.#toldWatermark && isIdle === this.#toldIdle) return;
    this.#toldWatermark = this.#reached;
    this.#toldIdle = isIdle;
    if (this.#reached === Number.POSITIVE_INFINITY) return;
    for (const output of this.#options.outputs) output.mark(this.#reached, isIdle);
  }
}
