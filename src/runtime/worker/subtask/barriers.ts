/**
 * The barriers at the gate of one subtask: hosts the machines that decide about them.
 *
 * Owns: which machine hears of a barrier and when, what is collected in front of it. Does not own: the decisions
 * (machines/worker/alignment.ts, barrier-tracker.ts), the snapshot (subtask-snapshots.ts).
 *
 * BH1  Whatever may lead to a snapshot is told between two records and never within the end of input (`atBorder`):
 *     arriving barriers, and the timeout that lets them overtake.
 */

import type { CheckpointOptions } from "../../../../machines/protocol.ts";
import { eventOf } from "../../../../machines/wiring.ts";
import {
  alignmentMachine,
  type FeedbackChannels,
  missingChannels,
} from "../../../../machines/worker/alignment.ts";
import { barrierTrackerMachine, missingFromTracker } from "../../../../machines/worker/barrier-tracker.ts";
import type { Clock } from "../../../clock.ts";
import type { ChannelId, CheckpointFrame } from "../../../dataflow/channel/frame.ts";
import type { EffectHandlers, Host } from "../../actor.ts";
import { ChannelCollection } from "../snapshots/channel-state.ts";
import type { GateInput } from "./input/gate.ts";

export interface BarriersOptions {
  readonly host: Host;
  readonly clock: Clock;
  readonly generation: number;
  readonly restoredCheckpointId: number;
  /** The gate; undefined: a source has none, its triggers are its barriers. */
  readonly input: GateInput | undefined;
  readonly channels: readonly ChannelId[];
  /** The feedback channels of a loop that begins here: the last ones of the gate's channels. */
  readonly feedback?: FeedbackChannels | undefined;
  /** Records of the subtask lead to a port that may be held back (P88). Default false. */
  readonly mayBeHeldUp?: boolean;
  readonly atBorder: (run: () => void) => void;
  /** Called when everything in front of the barriers is there. */
  readonly onCollected: (collection: ChannelCollection) => void;
}

/** So long an aligned barrier waits behind records that may be held up. */
const HELD_UP_MS = 1000;

export class Barriers {
  readonly #options: BarriersOptions;
  #collection: ChannelCollection | undefined;
  #beganMs: number | undefined;
  #alignmentMs = 0;

  constructor(options: BarriersOptions) {
    this.#options = options;
    const { input } = options;
    if (input === undefined) return;
    input.gate.onArrival((channel, frame) => this.#arrived(channel, frame));
    this.#startAlignment(input);
  }

  /** How long channels have waited for the barrier that was told last. */
  get alignmentMs(): number {
    return this.#alignmentMs;
  }

  /** A barrier or marker was taken: everything in front of it has been processed. */
  received(channel: number, frame: CheckpointFrame): void {
    const { host } = this.#options;
    if (frame.kind === "cancelMarker") {
      const marker = eventOf("marker.received", frame, { channel });
      host.send("alignment", marker);
      if (!this.#leadsBack(channel)) host.send("barrier-tracker", marker);
      return;
    }
    const atLeastOnce = frame.options.alignment === "at-least-once";
    if (atLeastOnce && this.#leadsBack(channel)) return;
    if (atLeastOnce) this.#startTracker();
    const barrier = eventOf("barrier.received", frame, { channel });
    host.send(atLeastOnce ? "barrier-tracker" : "alignment", barrier);
  }

  /** Channels whose barrier is missing; undefined: no barrier of this checkpoint has come. */
  missing(checkpointId: number): readonly number[] | undefined {
    const { host } = this.#options;
    const alignment = host.context("alignment") as Parameters<typeof missingChannels>[0] | undefined;
    if (alignment?.checkpointId === checkpointId && host.state("alignment").startsWith("pending"))
      return missingChannels(alignment);
    const tracker = host.context("barrier-tracker") as Parameters<typeof missingFromTracker>[0] | undefined;
    return tracker === undefined ? undefined : missingFromTracker(tracker, checkpointId);
  }

  #leadsBack(channel: number): boolean {
    return this.#options.feedback?.channels.includes(channel) === true;
  }

  #arrived(channel: number, frame: CheckpointFrame): void {
    if (frame.kind !== "barrier") return;
    const { options } = frame;
    if (options.alignment === "at-least-once") return;
    const overtakes = options.alignment !== "aligned" || this.#givesWay;
    if (!overtakes && !(this.#options.feedback?.stored && this.#leadsBack(channel))) return;
    this.#options.atBorder(() => {
      const remainingMs = overtakes ? this.#remainingMs(options) : null;
      this.#options.host.send("alignment", eventOf("barrier.announced", frame, { channel, remainingMs }));
    });
  }

  /** Clocks of two machines may differ: a checkpoint from the future has its whole timeout left, not more. */
  #remainingMs({ alignment, alignedTimeoutMs, triggeredAtMs }: CheckpointOptions): number {
    if (alignment === "unaligned" || this.#isHolding) return 0;
    const ageMs = Math.max(0, this.#options.clock.nowMs() - triggeredAtMs);
    const timeoutMs = alignment === "aligned" ? HELD_UP_MS : alignedTimeoutMs;
    return Math.max(0, timeoutMs - ageMs);
  }

  get #isHolding(): boolean {
    return this.#options.input?.gate.isHolding === true;
  }

  /** Barriers of an aligned checkpoint, too, overtake what is held here, and what may wait for room because of that. */
  get #givesWay(): boolean {
    return this.#isHolding || this.#options.mayBeHeldUp === true;
  }

  #startAlignment(input: GateInput): void {
    const { host, generation, restoredCheckpointId, feedback, atBorder } = this.#options;
    host.start({
      id: "alignment",
      machine: alignmentMachine,
      input: {
        generation,
        channels: input.gate.channelCount,
        restoredCheckpointId,
        ...(feedback && { feedback }),
      },
      handlers: this.#alignmentHandlers(input),
      whenTimerFires: atBorder,
    });
  }

  #startTracker(): void {
    const { host, input, restoredCheckpointId, feedback } = this.#options;
    if (input === undefined || host.has("barrier-tracker")) return;
    const channels = input.gate.channelCount - (feedback?.channels.length ?? 0);
    host.start({
      id: "barrier-tracker",
      machine: barrierTrackerMachine,
      input: { channels, restoredCheckpointId },
      handlers: {},
    });
  }

  #alignmentHandlers(input: GateInput): EffectHandlers<"alignment"> {
    const { gate } = input;
    return {
      "block.channel": ({ channel }) => {
        this.#beganMs ??= this.#options.clock.elapsedMs();
        gate.block(channel);
      },
      "release.channels": () => {
        this.#alignmentMs = this.#beganMs === undefined ? 0 : this.#options.clock.elapsedMs() - this.#beganMs;
        this.#beganMs = undefined;
        this.#collection?.drop();
        this.#collection = undefined;
        gate.unblockAll();
      },
      "begin.collection": ({ checkpointId, channels }) => {
        this.#collection = new ChannelCollection(checkpointId, gate);
        this.#collection.begin(channels, this.#options.channels, input);
      },
      "end.collection": () => {
        const collection = this.#collection;
        this.#collection = undefined;
        if (collection !== undefined) this.#options.onCollected(collection);
      },
    };
  }
}
