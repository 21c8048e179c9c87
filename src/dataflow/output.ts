/**
 * The end of an operator chain: one edge, from this subtask to all subtasks that it feeds.
 *
 * Owns: which channel a record takes, the buffers in which records wait for their frame. Does not own: time (the
 * subtask's turns call `flush` every few ms) or the decision to stop taking input (they ask `hasRoom`).
 *
 * - OU1 Records of one channel leave in the order in which they were collected, one that was joined (combine.ts) in the
 *   place of the first of its records; a control frame leaves behind every record collected before it and in front of
 *   every later one.
 * - OU2 A frame is sealed when it holds as many records as its channel wants. Sealed frames that find no room wait;
 *   while one does, `hasRoom` is false. A caller that asks between records so holds at most one sealed frame a
 *   channel, plus what the last record made.
 * - OU3 A control frame does not wait for room: the sealed frames that its channel still holds go first, without
 *   room. So a barrier adds at most those frames to a channel's window. A caller as in OU2 whose last record made few
 *   holds two of them.
 * - OU4 A mark of event time goes to all channels, whatever the partitioner, and waits among the records of each for
 *   its frame. Of those that no record lies between only the last one is kept; so there are never many.
 */
import { invariant, OperatorError } from "../errors.ts";
import { describeValue, silence } from "../state/described.ts";
import type { Key } from "../state/descriptor.ts";
import { keyGroupOf, ownerOf } from "../state/key-groups.ts";
import type { OutputChannel } from "./channel/channel.ts";
import { Fifo } from "./channel/fifo.ts";
import type { ControlFrame, RecordsFrame, TimeMark } from "./channel/frame.ts";
import type { Partitioner } from "./graph.ts";
import { Combiner } from "./operators/keyed/combine.ts";
import type { Room } from "./room.ts";
import { type Collect, NO_TIMESTAMP } from "./source.ts";

export interface EdgeOutputOptions {
  readonly partitioner: Partitioner;
  /** The channels in the order of the receiving subtasks: all, or those that a pointwise edge leads to. */
  readonly channels: readonly OutputChannel[];
  /** The index of the sending subtask. */
  readonly subtaskIndex: number;
  /** Number of key groups of the job. */
  readonly maxParallelism: number;
  /** Id of the operator that the edge leads to, which a keyBy belongs to. Default: "keyBy". */
  readonly receiver?: string;
  /** true: the edge leads back to the beginning of a loop, where event time comes from outside only. Default false. */
  readonly feedback?: boolean | undefined;
}

export interface EdgeOutput extends Room {
  /** The last collector of the chain. Never throws for lack of room: ask `hasRoom` between records. */
  readonly collect: Collect<unknown>;
  /** Resolves when every channel is open; nothing may be collected before. */
  opened(): Promise<void>;
  /** Tells the channels how far event time has come, behind what was collected so far. */
  mark(watermark: number, isIdle: boolean): void;
  /** Sends what waits, where there is room. Answers whether nothing is left. */
  flush(): boolean;
  /** Sends everything collected so far, without asking for room, and the control frame behind it (OU3). */
  broadcast(frame: ControlFrame): void;
  close(): void;
}

export function createEdgeOutput(options: EdgeOutputOptions): EdgeOutput {
  const { channels } = options;
  invariant(channels.length > 0, "an edge leads somewhere");
  const waiting = { buffers: 0 };
  const buffers = channels.map((channel) => new ChannelBuffer(channel, waiting));

  return {
    collect: collector(options, buffers),

    async opened() {
      await Promise.all(channels.map((channel) => channel.opened()));
    },

    hasRoom() {
      if (waiting.buffers === 0) return true;
      for (const buffer of buffers) buffer.drain();
      return waiting.buffers === 0;
    },

    onRoom(wake) {
      for (const channel of channels) channel.onRoom(wake);
    },

    mark(watermark, isIdle) {
      if (options.feedback === true) return;
      for (const buffer of buffers) buffer.mark(watermark, isIdle);
    },

    flush() {
      let empty = true;
      for (const buffer of buffers) if (!buffer.flush()) empty = false;
      return empty;
    },

    broadcast(frame) {
      for (const buffer of buffers) buffer.sendBehindAll(frame);
    },

    close() {
      for (const channel of channels) channel.close();
    },
  };
}

/** One closure per partitioner: the routing of a record is the closure's own straight code. */
function collector(options: EdgeOutputOptions, buffers: readonly ChannelBuffer[]): Collect<unknown> {
  const { partitioner } = options;
  const count = buffers.length;
  const only = buffers[0]!;
  switch (partitioner.kind) {
    case "forward":
      invariant(count === 1, "a forward edge leads from one subtask to one subtask");
      return (value, timestamp) => only.add(value, timestamp);

    case "rebalance":
    case "rescale": {
      // Each sender begins elsewhere, else the first receivers get the first record of every sender.
      let next = options.subtaskIndex % count;
      return (value, timestamp) => {
        const buffer = buffers[next]!;
        next = next + 1 === count ? 0 : next + 1;
        buffer.add(value, timestamp);
      };
    }

    case "broadcast":
      return (value, timestamp) => {
        for (let i = 0; i < count; i++) buffers[i]!.add(value, timestamp);
      };

    case "custom": {
      const { partition } = partitioner;
      const { receiver = "partitionCustom" } = options;
      return (value, timestamp) => {
        let index: number;
        try {
          index = partition(value, count);
        } catch (error) {
          throw error instanceof OperatorError ? error : new OperatorError(receiver, error);
        }
        if (!Number.isInteger(index) || index < 0 || index >= count) refuseIndex(receiver, index, count);
        buffers[index]!.add(value, timestamp);
      };
    }

    case "hash": {
      const { key, combine } = partitioner;
      const { maxParallelism } = options;
      invariant(count <= maxParallelism, "no more subtasks than key groups");
      if (count === 1 && combine === undefined) {
        return (value, timestamp) => only.add(value, timestamp);
      }
      const { receiver = "keyBy" } = options;
      const combiner =
        combine === undefined ? undefined : new Combiner(receiver, key, combine, maxParallelism);
      const bufferOfKeyGroup = Array.from(
        { length: maxParallelism },
        (_, keyGroup) => buffers[ownerOf(keyGroup, count, maxParallelism)]!,
      );
      return (value, timestamp) => {
        let keyOfRecord: Key;
        let keyGroup: number;
        try {
          keyOfRecord = key(value);
          keyGroup = keyGroupOf(keyOfRecord, maxParallelism);
        } catch (error) {
          // The selector is the receiver's, which runs it again; else the sender would be blamed for it.
          throw error instanceof OperatorError ? error : new OperatorError(receiver, error);
        }
        const buffer = bufferOfKeyGroup[keyGroup]!;
        if (combiner === undefined) buffer.add(value, timestamp);
        else buffer.combine(combiner, keyOfRecord, value, timestamp);
      };
    }
  }
}

function refuseIndex(receiver: string, index: unknown, count: number): never {
  silence(index);
  const answered = typeof index === "number" ? String(index) : describeValue(index);
  const needed =
    count === 1
      ? "0, the number of its only subtask"
      : `the number of one of its subtasks, 0 to ${count - 1}`;
  throw new OperatorError(
    receiver,
    new Error(`partitionCustom in front of it answered ${answered}, and ${needed}, is needed`),
  );
}

class ChannelBuffer {
  readonly #channel: OutputChannel;
  /** Shared by the edge's buffers: how many of them have sealed frames that wait for room. */
  readonly #waiting: { buffers: number };
  readonly #sealed = new Fifo<RecordsFrame>();
  #values: unknown[] = [];
  #timestamps: number[] | undefined;
  #marks: TimeMark[] | undefined;
  #recordsMax: number;
  /** Where the records stand that others of their key may join; undefined: nothing was combined. */
  #places: Map<Key, number> | undefined;

  constructor(channel: OutputChannel, waiting: { buffers: number }) {
    this.#channel = channel;
    this.#waiting = waiting;
    this.#recordsMax = channel.recordsPerFrame;
  }

  add(value: unknown, timestamp: number): void {
    this.#values.push(value);
    if (this.#timestamps !== undefined) this.#timestamps.push(timestamp);
    else if (timestamp !== NO_TIMESTAMP) this.#firstTimestamp(timestamp);
    if (this.#values.length >= this.#recordsMax) this.#full();
  }

  /** Adds the record, or joins it to the one of its key that waits already. */
  combine(combiner: Combiner, key: Key, value: unknown, timestamp: number): void {
    this.#places ??= new Map();
    const place = this.#places.get(key);
    const before = place === undefined ? NO_TIMESTAMP : (this.#timestamps?.[place] ?? NO_TIMESTAMP);
    if (place === undefined || !combiner.isTogether(before, timestamp)) {
      const begun = combiner.begin(key, value);
      this.#places.set(key, this.#values.length);
      this.add(begun, timestamp);
      return;
    }
    this.#values[place] = combiner.join(key, this.#values[place], value);
    if (timestamp > before) {
      this.#timestamps ??= this.#values.map(() => NO_TIMESTAMP);
      this.#timestamps[place] = timestamp;
    }
  }

  mark(watermark: number, isIdle: boolean): void {
    const at = this.#values.length;
    this.#places?.clear();
    const mark = { at, watermark, isIdle };
    if (this.#marks === undefined) this.#marks = [mark];
    else if (this.#marks.at(-1)!.at === at) this.#marks[this.#marks.length - 1] = mark;
    else this.#marks.push(mark);
  }

  /** Sends sealed frames while there is room. */
  drain(): void {
    if (this.#sealed.length === 0) return;
    while (this.#sealed.length > 0 && this.#channel.hasRoom()) this.#channel.send(this.#sealed.shift()!);
    if (this.#sealed.length === 0) this.#waiting.buffers--;
    this.#recordsMax = this.#channel.recordsPerFrame;
  }

  flush(): boolean {
    this.drain();
    if (this.#isEmpty) return this.#sealed.length === 0;
    // Sealed frames that are still here mean the same: no room.
    if (!this.#channel.hasRoom()) return false;
    this.#send(this.#seal());
    return true;
  }

  sendBehindAll(control: ControlFrame): void {
    this.drain();
    if (this.#sealed.length > 0) {
      for (let frame = this.#sealed.shift(); frame !== undefined; frame = this.#sealed.shift()) {
        this.#channel.overdraw(frame);
      }
      this.#waiting.buffers--;
    }
    if (!this.#isEmpty) {
      if (this.#channel.hasRoom()) this.#send(this.#seal());
      else this.#channel.overdraw(this.#seal());
    }
    this.#channel.send(control);
  }

  #full(): void {
    const frame = this.#seal();
    if (this.#sealed.length > 0) {
      this.#sealed.push(frame);
    } else if (this.#channel.hasRoom()) {
      this.#send(frame);
    } else {
      this.#sealed.push(frame);
      this.#waiting.buffers++;
    }
  }

  #send(frame: RecordsFrame): void {
    this.#channel.send(frame);
    this.#recordsMax = this.#channel.recordsPerFrame;
  }

  #seal(): RecordsFrame {
    const frame: RecordsFrame = {
      kind: "records",
      values: this.#values,
      timestamps: this.#timestamps,
      marks: this.#marks,
    };
    this.#values = [];
    this.#timestamps = undefined;
    this.#marks = undefined;
    this.#places?.clear();
    return frame;
  }

  get #isEmpty(): boolean {
    return this.#values.length === 0 && this.#marks === undefined;
  }

  #firstTimestamp(timestamp: number): void {
    const timestamps: number[] = [];
    for (let i = 1; i < this.#values.length; i++) timestamps.push(NO_TIMESTAMP);
    timestamps.push(timestamp);
    this.#timestamps = timestamps;
  }
}
