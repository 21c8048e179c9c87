/**
 * All inputs of one subtask.
 *
 * Owns: which channel is read next, which ones are blocked. Does not own: what a barrier means; it hands control
 * frames out like others, and the machine that decides (machines/worker/alignment.ts) blocks and unblocks.
 *
 * IG1 Frames of one channel come in order; channels that have frames take turns, one frame each. Where a
 *    loop begins, those from outside are held back while much has come back (loop-entrance.ts).
 * IG2 A blocked channel is not read: its frames stay in the channel and its writer runs out of room.
 * IG3 A channel that has ended is still read: barriers may follow its end (P19).
 * IG4 Restored records come first, before any frame of a channel, in the order in which they were given.
 * IG5 Of a held channel no records are taken, restored ones included; a control frame is, if none lie in front of it.
 */
import { invariant } from "../errors.ts";
import type { InputChannel } from "./channel/channel.ts";
import { Fifo } from "./channel/fifo.ts";
import {
  type CheckpointFrame,
  type Frame,
  type InFlightRecords,
  isCheckpointFrame,
  type RecordsFrame,
} from "./channel/frame.ts";
import type { LoopEntrance } from "./loop-entrance.ts";

export interface GateFrame {
  readonly channelIndex: number;
  readonly frame: Frame;
}

interface GateRecords extends GateFrame {
  readonly frame: RecordsFrame;
}

export class InputGate {
  readonly #channels: readonly InputChannel[];
  readonly #blocked: boolean[];
  readonly #ended: boolean[];
  #restored = new Fifo<GateRecords>();
  readonly #held: boolean[];
  #isHolding = false;
  /** Restored records of held channels, in order. */
  #heldBack: GateRecords[] = [];
  #openCount: number;
  #next = 0;
  readonly #entrance: LoopEntrance | undefined;
  #wake: (() => void) | undefined;

  constructor(channels: readonly InputChannel[], entrance?: LoopEntrance) {
    this.#channels = channels;
    this.#entrance = entrance;
    this.#blocked = channels.map(() => false);
    this.#ended = channels.map(() => false);
    this.#held = channels.map(() => false);
    this.#openCount = channels.length;
    for (const [i, channel] of channels.entries()) {
      channel.onFrame(() => {
        // A frame behind a barrier is no reason to run: turns would follow each other for nothing during the alignment.
        if (!this.#blocked[i]) this.#wake?.();
      });
    }
  }

  get channelCount(): number {
    return this.#channels.length;
  }

  /** The next frame; undefined: nothing to do until `onFrame` wakes. */
  nextFrame(): GateFrame | undefined {
    const restored = this.#nextRestored();
    if (restored !== undefined) return restored;
    const channels = this.#channels;
    const count = channels.length;
    const first = this.#entrance?.firstRead(this.#blocked) ?? 0;
    let index = this.#next;
    for (let tried = 0; tried < count; tried++) {
      if (index >= count) index = 0;
      if (index >= first && !this.#blocked[index] && (!this.#isHolding || this.#passes(index))) {
        const frame = channels[index]!.take();
        if (frame !== undefined) {
          this.#next = index + 1;
          if (frame.kind === "records") this.#entrance?.took(index, frame.values.length);
          else if (frame.kind === "endOfData") this.#end(index);
          return { channelIndex: index, frame };
        }
      }
      index++;
    }
    return undefined;
  }

  /**
   * The next barrier or cancel marker that is the first frame of its channel; undefined: there is none, or restored
   * records come first. It may be read while timers fire: everything in front of it was taken.
   * @param except a channel of which something that was taken is not processed yet
   */
  nextCheckpointFrame(
    except?: number,
  ): { readonly channelIndex: number; readonly frame: CheckpointFrame } | undefined {
    if (this.#restored.length > 0) return undefined;
    for (const [channelIndex, channel] of this.#channels.entries()) {
      if (this.#blocked[channelIndex] || channelIndex === except || this.#holdsRestored(channelIndex))
        continue;
      const frame = channel.peek();
      if (frame === undefined || !isCheckpointFrame(frame)) continue;
      channel.take();
      return { channelIndex, frame };
    }
    return undefined;
  }

  /** Puts restored records in front of a channel. Called before the first frame is read. */
  restore(channelIndex: number, frame: RecordsFrame): void {
    this.#check(channelIndex);
    this.#restored.push({ channelIndex, frame });
  }

  /** Collects as a channel does (channel.ts), with what is still left of its restored records in front. */
  collectBefore(
    channelIndex: number,
    checkpointId: number,
    collect: (records: InFlightRecords) => void,
  ): void {
    this.#check(channelIndex);
    for (const restored of [...this.#heldBack, ...this.#restored])
      if (restored.channelIndex === channelIndex) collect(restored.frame);
    this.#channels[channelIndex]!.collectBefore(checkpointId, collect);
  }

  stopCollecting(): void {
    for (const channel of this.#channels) channel.stopCollecting();
  }

  /** No records are taken from this channel until `releaseHeld`. */
  hold(channelIndex: number): void {
    this.#check(channelIndex);
    this.#held[channelIndex] = true;
    this.#isHolding = true;
  }

  releaseHeld(): void {
    if (!this.#isHolding) return;
    this.#isHolding = false;
    this.#held.fill(false);
    const restored = new Fifo<GateRecords>();
    for (const one of [...this.#heldBack, ...this.#restored]) restored.push(one);
    this.#heldBack = [];
    this.#restored = restored;
    this.#wake?.();
  }

  /** Some channels are held. */
  get isHolding(): boolean {
    return this.#isHolding;
  }

  block(channelIndex: number): void {
    this.#check(channelIndex);
    this.#blocked[channelIndex] = true;
  }

  unblock(channelIndex: number): void {
    this.#check(channelIndex);
    if (!this.#blocked[channelIndex]) return;
    this.#blocked[channelIndex] = false;
    // Frames that came while it was blocked did not wake the reader.
    this.#wake?.();
  }

  unblockAll(): void {
    if (!this.#blocked.includes(true)) return;
    this.#blocked.fill(false);
    this.#wake?.();
  }

  isBlocked(channelIndex: number): boolean {
    return this.#blocked[channelIndex] === true;
  }

  /** Whether the channel's end of data was handed out. */
  hasEnded(channelIndex: number): boolean {
    return this.#ended[channelIndex] === true;
  }

  allEnded(): boolean {
    return this.#openCount === 0;
  }

  /** Set once; told of barriers and cancel markers as they arrive, long before they are read; only schedules. */
  onArrival(heard: (channelIndex: number, frame: CheckpointFrame) => void): void {
    for (const [i, channel] of this.#channels.entries()) channel.onArrival((frame) => heard(i, frame));
  }

  /** Set once; may be called at any time, also spuriously; only schedules. */
  onFrame(wake: () => void): void {
    this.#wake = wake;
  }

  close(): void {
    this.#wake = undefined;
    for (const channel of this.#channels) channel.close();
  }

  #nextRestored(): GateRecords | undefined {
    while (this.#restored.length > 0) {
      const next = this.#restored.shift()!;
      if (!this.#held[next.channelIndex]) return next;
      this.#heldBack.push(next);
    }
    return undefined;
  }

  #holdsRestored(channel: number): boolean {
    return this.#heldBack.some(({ channelIndex }) => channelIndex === channel);
  }

  /** Whether the first frame of the channel may be taken while some channels are held. */
  #passes(channel: number): boolean {
    if (!this.#held[channel]) return true;
    const frame = this.#channels[channel]!.peek();
    return frame !== undefined && frame.kind !== "records" && !this.#holdsRestored(channel);
  }

  #end(channelIndex: number): void {
    if (this.#ended[channelIndex]) return;
    this.#ended[channelIndex] = true;
    this.#openCount--;
  }

  #check(channelIndex: number): void {
    invariant(
      channelIndex >= 0 && channelIndex < this.#channels.length,
      `the gate has no channel ${channelIndex}`,
    );
  }
}
