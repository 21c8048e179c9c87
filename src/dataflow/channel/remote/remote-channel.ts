/**
 * A channel between two processes, over the bus.
 *
 * Owns: numbering, flow control, the handshake, noticing loss. Does not own: repairing loss. Core NATS drops messages
 * in silence, so whatever is missing fails the generation, and the job restores from its last checkpoint.
 * Subjects carry the generation (P2): messages of other generations do not arrive here.
 *
 * - RM1 Every frame is numbered from 1. The reader takes the next number only; lower ones are dropped, a higher one
 *   means that frames were lost: `onFailure`, and nothing is handed out any more.
 * - RM2 Nothing is sent before the reader has echoed a hello, which comes the way that the frames will come (P26).
 * - RM3 The writer announces the last number every second and after a reconnect; what the reader has not got two
 *   seconds later was lost (P26). So a lost tail is noticed within three seconds of a working connection.
 * - RM4 Sent but not taken: fewer than `framesMax` records frames and `bytesMax` bytes before each send, so the memory
 *   on both sides is bounded by `bytesMax` plus one frame; overdrafts and the pieces of a split frame come on top.
 * - RM5 Credit comes back as running totals, so that a lost grant is healed by the next; they are sent when a quarter
 *   of the window was taken, every second, and after a reconnect.
 * - RM6 Control frames need no room and keep their place.
 * - RM7 A record that is larger than a message may be goes in pieces, each numbered (RM1), and counts as one frame. So
 *   whether a record is too large does not depend on where its key lives, up to RECORD_BYTES_MAX.
 * - RM8 A message that does not carry the channel's seal (seal.ts), or does not travel this way, is dropped and told
 *   of, and fails nothing: what was really lost shows in the totals. Barriers and totals carry the digest of all frames
 *   sent, so a frame that was taken for another one fails the generation, and is in no checkpoint.
 */
import { invariant, RecordTooLargeError } from "../../../errors.ts";
import type { Bus } from "../bus.ts";
import type { InputChannel, OutputChannel } from "../channel.ts";
import { type ControlFrame, partOf, type RecordsFrame } from "../frame.ts";
import {
  decodeGrant,
  encodeControl,
  encodeHello,
  encodePieces,
  encodeTotal,
  FrameEncoder,
  MESSAGE,
  sequenceOf,
} from "./frame-codec.ts";
import { RemoteInput } from "./remote-input.ts";
import { Line, type RemoteChannelOptions, type RemoteWindow, type Timers } from "./remote-line.ts";
import { digestWith } from "./seal.ts";

export const DEFAULT_REMOTE_WINDOW: RemoteWindow = { framesMax: 64, bytesMax: 4 * 1024 * 1024 };

/** No window, for a way back in a loop: a subtask that waited there for room could be waiting for itself (P41). */
export const NO_REMOTE_WINDOW: RemoteWindow = {
  framesMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
};

const HELLO_FIRST_MS = 25;
const HELLO_EVERY_MS = 250;

/** Frames of about this size cost little per record and still spread over the subtasks' turns. */
const FRAME_BYTES = 32 * 1024;
const RECORDS_PER_FRAME_MAX = 1024;
/**
 * A record that is larger than the server's max_payload goes in pieces, up to here: all of them are on their way at
 * once.
 */
const RECORD_BYTES_MAX = 32 * 1024 * 1024;
/** The records of a frame until the first one has shown how large they are. */
const RECORDS_PER_FRAME_FIRST = 128;

export function createRemoteOutput(options: RemoteChannelOptions): OutputChannel {
  return new RemoteOutput(options);
}

export function createRemoteInput(options: RemoteChannelOptions): InputChannel {
  return new RemoteInput({ ...options, window: options.window ?? DEFAULT_REMOTE_WINDOW });
}

class RemoteOutput implements OutputChannel {
  recordsPerFrame = RECORDS_PER_FRAME_FIRST;
  readonly #line: Line;
  readonly #bus: Bus;
  readonly #timers: Timers;
  readonly #window: RemoteWindow;
  readonly #encoder = new FrameEncoder();
  readonly #opened: Promise<void>;
  #resolveOpened: (() => void) | undefined;
  #isOpen = false;
  #cancelHello: () => void = () => {};
  #lastSequence = 0;
  /** The digest of all frames up to there. */
  #digest = 0;
  #totals = 0;
  #framesSent = 0;
  #bytesSent = 0;
  #framesTaken = 0;
  #bytesTaken = 0;
  #wake: (() => void) | undefined;

  constructor(options: RemoteChannelOptions) {
    this.#bus = options.bus;
    this.#timers = options.timers;
    this.#window = options.window ?? DEFAULT_REMOTE_WINDOW;
    this.#opened = new Promise((resolve) => {
      this.#resolveOpened = resolve;
    });
    this.#line = new Line(options, "writer", {
      receive: (kind, message) => this.#receive(kind, message),
      announce: () => this.#announce(),
      stopped: () => this.#stopped(),
    });
    this.#sayHello(HELLO_FIRST_MS);
  }

  hasRoom(): boolean {
    return (
      this.#isOpen &&
      this.#framesSent - this.#framesTaken < this.#window.framesMax &&
      this.#bytesSent - this.#bytesTaken < this.#window.bytesMax
    );
  }

  onRoom(wake: () => void): void {
    this.#wake = wake;
  }

  opened(): Promise<void> {
    return this.#opened;
  }

  send(frame: RecordsFrame | ControlFrame): void {
    if (this.#line.over) return;
    invariant(this.#isOpen, "a remote channel carries frames only once it is open");
    if (frame.kind === "records") {
      invariant(this.hasRoom(), "records are sent only with room");
      this.#sendRecords(frame);
    } else {
      this.#sendNext(encodeControl(this.#lastSequence + 1, frame, this.#digest));
    }
  }

  overdraw(frame: RecordsFrame): void {
    if (this.#line.over) return;
    invariant(this.#isOpen, "a remote channel carries frames only once it is open");
    this.#sendRecords(frame);
  }

  close(): void {
    this.#line.close();
  }

  #receive(kind: number, message: Uint8Array): boolean {
    if (kind === MESSAGE.echo) this.#open();
    else if (kind === MESSAGE.grant) this.#grant(message);
    else return false;
    return true;
  }

  #announce(): void {
    if (this.#isOpen) this.#line.send(encodeTotal(this.#lastSequence, ++this.#totals, this.#digest));
  }

  #stopped(): void {
    this.#cancelHello();
    this.#wake = undefined;
  }

  #sendNext(message: Buffer): void {
    this.#lastSequence++;
    this.#digest = digestWith(this.#digest, this.#line.send(message));
  }

  #sendRecords(frame: RecordsFrame): void {
    const { values, timestamps, marks } = frame;
    let message: Buffer;
    try {
      message = this.#encoder.records(this.#lastSequence + 1, values, timestamps, marks);
    } catch (error) {
      // Reported, not thrown: we are called from inside user code, which might swallow it and lose the record.
      this.#line.fail("a record cannot be encoded: symbols and cycles cannot travel", error);
      return;
    }
    if (message.length > this.#bus.payloadBytesMax) {
      if (values.length <= 1) this.#sendPieces(message);
      else this.#sendHalves(frame);
      return;
    }
    this.#framesSent++;
    this.#bytesSent += message.length;
    this.#sendNext(message);
    if (values.length === 0) return;
    const wanted = Math.floor((FRAME_BYTES * values.length) / message.length);
    this.recordsPerFrame = Math.max(1, Math.min(RECORDS_PER_FRAME_MAX, wanted));
  }

  /** One record, which counts as one frame. */
  #sendPieces(message: Uint8Array): void {
    if (message.length > RECORD_BYTES_MAX) {
      const problem =
        `one record takes ${message.length} bytes, and at most ${RECORD_BYTES_MAX} can be sent to another worker: ` +
        "send less, or keep it in a store of your own and send its name";
      this.#line.fail(problem, new RecordTooLargeError(problem));
      return;
    }
    this.#framesSent++;
    this.#bytesSent += message.length;
    this.recordsPerFrame = 1;
    const pieces = encodePieces(this.#lastSequence + 1, message, this.#bus.payloadBytesMax);
    for (const piece of pieces) this.#sendNext(piece);
  }

  #sendHalves(frame: RecordsFrame): void {
    const { length } = frame.values;
    const half = length >>> 1;
    this.#sendRecords(partOf(frame, 0, half));
    if (!this.#line.over) this.#sendRecords(partOf(frame, half, length));
  }

  #sayHello(nextMs: number): void {
    if (this.#bus.connectedForMs() > 0) this.#line.send(encodeHello());
    this.#cancelHello = this.#timers.after(nextMs, () => {
      if (!this.#isOpen && !this.#line.over) this.#sayHello(Math.min(nextMs * 2, HELLO_EVERY_MS));
    });
  }

  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    this.#cancelHello();
    this.#resolveOpened?.();
    this.#wake?.();
  }

  #grant(message: Uint8Array): void {
    const { framesTaken, bytesTaken } = decodeGrant(message);
    if (framesTaken > this.#framesSent || sequenceOf(message) > this.#lastSequence) {
      this.#line.fail(`the reader has had more than was sent here: two writers, or two readers`);
      return;
    }
    // Totals only grow: what comes late says nothing new.
    if (framesTaken <= this.#framesTaken) return;
    const hadRoom = this.hasRoom();
    this.#framesTaken = framesTaken;
    this.#bytesTaken = bytesTaken;
    if (!hadRoom && this.hasRoom()) this.#wake?.();
  }
}
