/**
 * A channel inside one process: frames are handed over by reference.
 *
 * Owns: the queue between two subtasks and its window. Does not own: when either subtask runs; wake callbacks only
 * schedule (CN4).
 *
 * LC1 Unconsumed records frames <= framesMax.
 * LC2 A frame is accepted only while fewer than recordsMax records are unconsumed, so the memory is bounded by
 *     recordsMax plus one frame, whatever the frames' sizes. Overdrafts come on top of both.
 */
import { invariant } from "../../errors.ts";
import type { InputChannel, OutputChannel } from "./channel.ts";
import { Collection } from "./collection.ts";
import { Fifo } from "./fifo.ts";
import {
  type CheckpointFrame,
  type ControlFrame,
  type Frame,
  type InFlightRecords,
  isCheckpointFrame,
  type RecordsFrame,
} from "./frame.ts";

export interface LocalWindow {
  /** Unconsumed records frames. Small frames, flushed by age, reach this one first. */
  readonly framesMax: number;
  /**
   * Unconsumed records. What lies here is what a barrier waits behind: more bought no throughput
   * (test/bench/micro/channel.ts).
   */
  readonly recordsMax: number;
  readonly recordsPerFrame: number;
}

/** No window, for a way back in a loop: a subtask that waited there for room could be waiting for itself (P41). */
export const NO_LOCAL_WINDOW: LocalWindow = {
  framesMax: Number.POSITIVE_INFINITY,
  recordsMax: Number.POSITIVE_INFINITY,
  recordsPerFrame: 1024,
};

export const DEFAULT_LOCAL_WINDOW: LocalWindow = {
  framesMax: 64,
  recordsMax: 4096,
  recordsPerFrame: 1024,
};

export function createLocalChannel(window: LocalWindow = DEFAULT_LOCAL_WINDOW): {
  output: OutputChannel;
  input: InputChannel;
} {
  const pipe = new LocalPipe(window);
  return { output: new LocalOutput(pipe, window.recordsPerFrame), input: new LocalInput(pipe) };
}

class LocalPipe {
  readonly #window: LocalWindow;
  readonly #frames = new Fifo<Frame>();
  #recordsFrames = 0;
  #records = 0;
  #closed = false;
  readonly collection = new Collection();
  heard: ((frame: CheckpointFrame) => void) | undefined;
  wakeReader: (() => void) | undefined;
  wakeWriter: (() => void) | undefined;

  constructor(window: LocalWindow) {
    this.#window = window;
  }

  get waitingRecords(): number {
    return this.#records;
  }

  hasRoom(): boolean {
    return this.#recordsFrames < this.#window.framesMax && this.#records < this.#window.recordsMax;
  }

  push(frame: Frame): void {
    // A subtask that is torn down first leaves its peer sending into nothing: the generation is over.
    if (this.#closed) return;
    if (frame.kind === "records") {
      this.#recordsFrames++;
      this.#records += frame.values.length;
      if (this.collection.open) this.collection.records(frame);
    } else if (isCheckpointFrame(frame)) {
      this.collection.reached(frame);
      this.heard?.(frame);
    }
    this.#frames.push(frame);
    if (this.#frames.length === 1) this.wakeReader?.();
  }

  peek(): Frame | undefined {
    return this.#frames.first();
  }

  take(): Frame | undefined {
    const frame = this.#frames.shift();
    if (frame !== undefined && frame.kind === "records") {
      const hadRoom = this.hasRoom();
      this.#recordsFrames--;
      this.#records -= frame.values.length;
      if (!hadRoom && this.hasRoom()) this.wakeWriter?.();
    }
    return frame;
  }

  collectBefore(checkpointId: number, collect: (records: InFlightRecords) => void): void {
    this.collection.begin(checkpointId, collect);
    for (const frame of this.#frames) {
      if (frame.kind === "records") this.collection.records(frame);
      else if (isCheckpointFrame(frame)) this.collection.reached(frame);
      if (!this.collection.open) return;
    }
  }

  close(): void {
    this.#closed = true;
    this.collection.end();
    this.#frames.clear();
    this.#recordsFrames = 0;
    this.#records = 0;
  }
}

class LocalOutput implements OutputChannel {
  readonly recordsPerFrame: number;
  readonly #pipe: LocalPipe;
  #closed = false;

  constructor(pipe: LocalPipe, recordsPerFrame: number) {
    this.#pipe = pipe;
    this.recordsPerFrame = recordsPerFrame;
  }

  hasRoom(): boolean {
    return this.#pipe.hasRoom();
  }

  onRoom(wake: () => void): void {
    this.#pipe.wakeWriter = wake;
  }

  send(frame: RecordsFrame | ControlFrame): void {
    invariant(frame.kind !== "records" || this.#pipe.hasRoom(), "records are sent only with room");
    if (!this.#closed) this.#pipe.push(frame);
  }

  overdraw(frame: RecordsFrame): void {
    if (!this.#closed) this.#pipe.push(frame);
  }

  async opened(): Promise<void> {}

  /** What was sent stays for the reader. */
  close(): void {
    this.#closed = true;
    this.#pipe.wakeWriter = undefined;
  }
}

class LocalInput implements InputChannel {
  readonly #pipe: LocalPipe;

  constructor(pipe: LocalPipe) {
    this.#pipe = pipe;
  }

  get waitingRecords(): number {
    return this.#pipe.waitingRecords;
  }

  peek(): Frame | undefined {
    return this.#pipe.peek();
  }

  take(): Frame | undefined {
    return this.#pipe.take();
  }

  onFrame(wake: () => void): void {
    this.#pipe.wakeReader = wake;
  }

  onArrival(heard: (frame: CheckpointFrame) => void): void {
    this.#pipe.heard = heard;
  }

  collectBefore(checkpointId: number, collect: (records: InFlightRecords) => void): void {
    this.#pipe.collectBefore(checkpointId, collect);
  }

  stopCollecting(): void {
    this.#pipe.collection.end();
  }

  close(): void {
    this.#pipe.wakeReader = undefined;
    this.#pipe.heard = undefined;
    this.#pipe.close();
  }
}
