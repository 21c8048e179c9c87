/**
 * The reader's end of a channel between two processes (remote-channel.ts has the rules, RM1 to RM8).
 *
 * Frames are decoded when they are looked at, not when they arrive: bytes are smaller than records, and the cost
 * falls into the subtask's turn, which is measured.
 */
import { ColumnDecoder } from "../../../state/snapshot/columns.ts";
import type { InputChannel } from "../channel.ts";
import { Collection } from "../collection.ts";
import { Fifo } from "../fifo.ts";
import { type CheckpointFrame, type Frame, type InFlightRecords, isCheckpointFrame } from "../frame.ts";
import {
  countOf,
  decodeControl,
  decodePiece,
  decodeRecords,
  decodeTotal,
  digestBefore,
  encodeEcho,
  encodeGrant,
  kindOf,
  MESSAGE,
  sequenceOf,
} from "./frame-codec.ts";
import { Line, type RemoteChannelOptions, type RemoteWindow, type Timers } from "./remote-line.ts";
import { digestWith, sealOf } from "./seal.ts";

export const FRAME_MISSING_MS = 2000;

export class RemoteInput implements InputChannel {
  readonly #line: Line;
  readonly #timers: Timers;
  readonly #window: RemoteWindow;
  readonly #inLoop: boolean;
  readonly #messages = new Fifo<Uint8Array>();
  readonly #collection = new Collection();
  readonly #columns = new ColumnDecoder();
  /** The pieces of the records message that has begun to arrive. */
  #pieces: Uint8Array[] = [];
  /** The first of `#messages`, decoded. */
  #first: Frame | undefined;
  #lastSequence = 0;
  /** The digest of all frames up to there. */
  #digest = 0;
  /** The number of the total heard last. */
  #total = 0;
  /** A total fell short of this frame, which has arrived. */
  #unsent: number | undefined;
  #waitingRecords = 0;
  #framesTaken = 0;
  #bytesTaken = 0;
  #framesGranted = 0;
  #bytesGranted = 0;
  #cancelMissing: (() => void) | undefined;
  #wake: (() => void) | undefined;
  #heard: ((frame: CheckpointFrame) => void) | undefined;

  constructor(options: RemoteChannelOptions & { readonly window: RemoteWindow }) {
    this.#timers = options.timers;
    this.#window = options.window;
    this.#inLoop = options.inLoop;
    this.#line = new Line(options, "reader", {
      receive: (kind, message) => this.#receive(kind, message),
      announce: () => this.#announce(),
      stopped: () => this.#stopped(),
    });
  }

  get waitingRecords(): number {
    return this.#waitingRecords;
  }

  peek(): Frame | undefined {
    if (this.#first === undefined) {
      const message = this.#messages.first();
      if (message === undefined) return undefined;
      this.#first = this.#decode(message);
    }
    return this.#first;
  }

  take(): Frame | undefined {
    const frame = this.peek();
    if (frame === undefined) return undefined;
    const message = this.#messages.shift()!;
    this.#first = undefined;
    if (frame.kind === "records") {
      this.#waitingRecords -= frame.values.length;
      this.#framesTaken++;
      this.#bytesTaken += message.length;
      if (
        (this.#framesTaken - this.#framesGranted) * 4 >= this.#window.framesMax ||
        (this.#bytesTaken - this.#bytesGranted) * 4 >= this.#window.bytesMax
      ) {
        this.#announce();
      }
    }
    return frame;
  }

  onFrame(wake: () => void): void {
    this.#wake = wake;
  }

  onArrival(heard: (frame: CheckpointFrame) => void): void {
    this.#heard = heard;
  }

  collectBefore(checkpointId: number, collect: (records: InFlightRecords) => void): void {
    this.#collection.begin(checkpointId, collect);
    for (const message of this.#messages) {
      this.#pass(message);
      if (!this.#collection.open) return;
    }
  }

  stopCollecting(): void {
    this.#collection.end();
  }

  close(): void {
    this.#line.close();
  }

  #receive(kind: number, message: Uint8Array): boolean {
    switch (kind) {
      case MESSAGE.records:
      case MESSAGE.piece:
      case MESSAGE.barrier:
      case MESSAGE.cancelMarker:
      case MESSAGE.endOfData:
        this.#arrived(message);
        return true;
      case MESSAGE.round:
        if (this.#inLoop) this.#arrived(message);
        return this.#inLoop;
      case MESSAGE.hello:
        this.#line.send(encodeEcho());
        return true;
      case MESSAGE.total:
        this.#expect(message);
        return true;
      default:
        return false;
    }
  }

  #announce(): void {
    this.#framesGranted = this.#framesTaken;
    this.#bytesGranted = this.#bytesTaken;
    this.#line.send(encodeGrant(this.#lastSequence, this.#framesTaken, this.#bytesTaken));
  }

  #stopped(): void {
    this.#cancelMissing?.();
    this.#messages.clear();
    this.#pieces = [];
    this.#waitingRecords = 0;
    this.#collection.end();
    this.#first = undefined;
    this.#wake = undefined;
    this.#heard = undefined;
  }

  #arrived(message: Uint8Array): void {
    const sequence = sequenceOf(message);
    if (sequence <= this.#lastSequence) return;
    const next = this.#lastSequence + 1;
    if (sequence !== next) {
      this.#line.failMissing(`frames ${next} to ${sequence - 1} were lost`);
      return;
    }
    if (kindOf(message) === MESSAGE.barrier && digestBefore(message) !== this.#digest) {
      this.#line.fail(`what has arrived in front of frame ${sequence}, a barrier, is not what was sent`);
      return;
    }
    this.#lastSequence = sequence;
    this.#digest = digestWith(this.#digest, sealOf(message));
    if (kindOf(message) !== MESSAGE.piece) {
      this.#deliver(message);
      return;
    }
    const { content, last } = decodePiece(message);
    this.#pieces.push(content);
    if (!last) return;
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#deliver(whole);
  }

  #deliver(message: Uint8Array): void {
    const reached = this.#pass(message);
    if (kindOf(message) === MESSAGE.records) this.#waitingRecords += countOf(message);
    this.#messages.push(message);
    if (reached !== undefined) this.#heard?.(reached);
    if (this.#messages.length === 1) this.#wake?.();
  }

  /** Gives the message to the collection of records; answers the barrier or marker that it is, if it is one. */
  #pass(message: Uint8Array): CheckpointFrame | undefined {
    if (kindOf(message) === MESSAGE.records) {
      this.#collection.records(message);
      return undefined;
    }
    const frame = this.#decode(message);
    if (frame === undefined || !isCheckpointFrame(frame)) return undefined;
    this.#collection.reached(frame);
    return frame;
  }

  #decode(message: Uint8Array): Frame | undefined {
    try {
      return kindOf(message) === MESSAGE.records
        ? decodeRecords(message, this.#columns)
        : decodeControl(message);
    } catch (error) {
      this.#line.fail(`frame ${sequenceOf(message)} cannot be decoded`, error);
      return undefined;
    }
  }

  /** Messages of one subject come in order, so what was sent before this total has arrived or is lost. */
  #expect(message: Uint8Array): void {
    const lastSent = sequenceOf(message);
    const { number, digest } = decodeTotal(message);
    // What comes late or once more says nothing new.
    if (number <= this.#total) return;
    this.#total = number;
    if (lastSent > this.#lastSequence) this.#awaitMissing(lastSent);
    else if (lastSent < this.#lastSequence) this.#doubt(lastSent);
    else if (digest !== this.#digest) {
      this.#line.fail(`what has arrived up to frame ${lastSent} is not what was sent`);
    } else this.#unsent = undefined;
  }

  #awaitMissing(lastSent: number): void {
    this.#unsent = undefined;
    if (this.#cancelMissing !== undefined) return;
    this.#cancelMissing = this.#timers.after(FRAME_MISSING_MS, () => {
      this.#cancelMissing = undefined;
      if (this.#lastSequence < lastSent) {
        this.#line.failMissing(
          `frames ${this.#lastSequence + 1} to ${lastSent} are missing for ${FRAME_MISSING_MS} ms`,
        );
      }
    });
  }

  /** One total may be overtaken by frames, when the writer has connected anew; the next one is not. */
  #doubt(lastSent: number): void {
    if (this.#unsent !== undefined && lastSent < this.#unsent) {
      this.#line.fail(`frames ${lastSent + 1} to ${this.#unsent} have arrived and were never sent`);
    } else this.#unsent = this.#lastSequence;
  }
}
