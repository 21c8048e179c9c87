/**
 * Reads streams that lose messages: the twin of the JetStream source. What is a gap, and what becomes of it, is judged
 * by the engine's own GapJudge, over messages and answers that take their time.
 */
import {
  type Collect,
  type Gaps,
  NO_TIMESTAMP,
  type PollStatus,
  type Skipped,
  type Source,
  type SourceReader,
  type SplitPosition,
} from "../../../../src/dataflow/source.ts";
import {
  parseReadPosition,
  parseStreamSplit,
  type ReadPosition,
  type StreamSplit,
} from "../../../../src/formats/positions/stream-position.ts";
import { GapJudge, NOTHING_SKIPPED } from "../../../../src/nats/reader/positions/gap-judge.ts";
import { decisionAboutGaps } from "../../../../src/nats/reader/positions/stream-position.ts";
import { RecordBuffer } from "../../../../src/nats/reader/record-buffer.ts";
import type { VirtualProcess } from "../../scheduler.ts";
import type { RetainedStream } from "./retained-stream.ts";

export interface RetainedSourceOptions {
  readonly bounded: boolean;
  /** Default: as the stream's limits say. */
  readonly gaps?: Gaps;
  /** The process that opens a reader. */
  readonly process: () => VirtualProcess;
  /** A subtask begins to read a split that has no position yet, behind this sequence. */
  readonly onBegun: (
    split: number,
    begun: { readonly incarnation: string; readonly generation: number; readonly behind: number },
  ) => void;
}

const BUFFERED_MAX = 4;
const TRAVEL_MS_MAX = 5;
/** The share of deliveries at which the consumer is lost, and made anew. */
const LOST_SHARE = 0.05;

/** One split for each stream. */
export function retainedSource<T>(
  streams: readonly RetainedStream<T>[],
  options: RetainedSourceOptions,
): Source<T> {
  return {
    kind: "retained memory",
    replayable: true,
    bounded: options.bounded,
    discover: async () =>
      streams.map((stream, index) => {
        const { config, created } = stream.info();
        return {
          id: String(index),
          stream: stream.name,
          input: `stream ${stream.name}`,
          created,
          retention: "limits",
          filters: [],
          ...decisionAboutGaps(options.gaps, config, []),
          ...(options.bounded && { end: stream.length }),
        };
      }),
    open: async ({ operator, incarnation, generation }, positions) => {
      const process = options.process();
      const readers = positions.map(({ split, position }) => {
        const parsed = parseStreamSplit(split, operator);
        const at = parseReadPosition(position, split.id, operator);
        const index = Number(split.id);
        const reader = new SplitReader(streams[index]!, parsed, at, operator, process);
        if (at === undefined)
          options.onBegun(index, { incarnation, generation, behind: reader.position.accounted });
        return reader;
      });
      return new RetainedReader(readers, options.bounded);
    },
  };
}

class RetainedReader<T> implements SourceReader<T> {
  readonly #readers: readonly SplitReader<T>[];
  readonly #bounded: boolean;
  #last = "the beginning";
  currentSplit = 0;

  constructor(readers: readonly SplitReader<T>[], bounded: boolean) {
    this.#readers = readers;
    this.#bounded = bounded;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    let left = recordsMax;
    const statuses = this.#readers.map((reader, split) => {
      this.currentSplit = split;
      const status = reader.poll((value, timestamp) => {
        this.#last = reader.described;
        left--;
        collect(value, timestamp);
      }, left);
      return status;
    });
    if (statuses.includes("more")) return "more";
    return this.#bounded && statuses.every((status) => status === "ended") ? "ended" : "idle";
  }

  splitStatus(split: number): PollStatus {
    return this.#readers[split]!.hasEnded ? "ended" : "more";
  }

  onAvailable(wake: () => void): void {
    for (const reader of this.#readers) reader.onAvailable(wake);
  }

  describePosition(): string {
    return this.#last;
  }

  snapshot(): SplitPosition[] {
    return this.#readers.map(({ split, position }) => ({ split: { ...split }, position }));
  }

  skipped(): Skipped {
    const all = this.#readers.map(({ skipped }) => skipped);
    const sum = (of: keyof Skipped): number => all.reduce((total, one) => total + one[of], 0);
    return { ranges: sum("ranges"), sequences: sum("sequences") };
  }

  checkpointCompleted(): void {}

  async close(): Promise<void> {
    for (const reader of this.#readers) reader.close();
  }
}

class SplitReader<T> {
  readonly split: StreamSplit;
  readonly #stream: RetainedStream<T>;
  readonly #process: VirtualProcess;
  readonly #buffer: RecordBuffer<T>;
  readonly #judge: GapJudge<T>;
  readonly #end: number;
  readonly #stop: () => void;
  #closed = false;
  #coming = false;
  #asking = false;
  #failure: Error | undefined;
  #wake = (): void => {};

  constructor(
    stream: RetainedStream<T>,
    split: StreamSplit,
    position: ReadPosition | undefined,
    operator: string,
    process: VirtualProcess,
  ) {
    this.split = split;
    this.#stream = stream;
    this.#process = process;
    this.#end = split.end ?? Number.POSITIVE_INFINITY;
    this.#buffer = new RecordBuffer(BUFFERED_MAX, position?.read ?? 0);
    this.#judge = new GapJudge(
      {
        ...split,
        job: "simulated",
        operator,
        end: split.end,
        accounted: position?.accounted ?? 0,
        resumed: position !== undefined,
        skipped: position?.skipped ?? NOTHING_SKIPPED,
        onSkipped: () => {},
      },
      this.#buffer,
    );
    this.#begin();
    this.#stop = stream.onAppend(() => this.#deliverSoon());
    this.#deliverSoon();
  }

  get position(): ReadPosition {
    const read = this.#buffer.position;
    const accounted = Math.max(read, this.#judge.accountedOut);
    return { read, accounted, skipped: this.#judge.skippedOut };
  }

  get skipped(): Skipped {
    return this.#judge.skipped;
  }

  get described(): string {
    return `stream ${this.#stream.name} sequence ${this.#buffer.position}`;
  }

  get hasEnded(): boolean {
    return this.#buffer.released === 0 && this.#judge.accounted >= this.#end;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const buffer = this.#buffer;
    if (this.#failure !== undefined && buffer.released === 0) throw this.#failure;
    buffer.take(collect, recordsMax);
    this.#deliverSoon();
    if (buffer.released > 0 || this.#failure !== undefined) return "more";
    return this.#judge.accounted >= this.#end ? "ended" : "idle";
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  /** A consumer is made that reads on behind what has come. */
  #begin(): void {
    this.#failure ??= this.#judge.begins(this.#stream.info());
  }

  #soon(act: () => void): void {
    const ms = this.#process.chance() ** 2 * TRAVEL_MS_MAX;
    this.#process.after(ms, () => this.#closed || act(), false);
  }

  #deliverSoon(): void {
    if (this.#coming || this.#closed || this.#failure !== undefined) return;
    this.#coming = true;
    this.#soon(() => {
      this.#coming = false;
      this.#deliver();
    });
  }

  #deliver(): void {
    const judge = this.#judge;
    if (Math.abs(this.#process.chance()) < LOST_SHARE) this.#begin();
    if (this.#failure === undefined) {
      const room = this.#buffer.capacity - this.#buffer.length;
      const come = this.#stream.after(judge.reached, room);
      for (const { sequence, value } of come) {
        if (sequence > this.#end) break;
        this.#buffer.push(value, sequence, NO_TIMESTAMP, 1);
        judge.arrived(sequence);
      }
      // Nothing is left in front of the end.
      if (come.length < room && this.#end !== Number.POSITIVE_INFINITY) judge.reached = this.#end;
      if (!judge.settled) this.#ask();
      else if (judge.accounted < this.#end && come.length > 0) this.#deliverSoon();
    }
    this.#wake();
  }

  #ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    const asked = this.#judge.ask();
    this.#soon(() => {
      const info = this.#stream.info();
      this.#soon(() => {
        this.#asking = false;
        this.#failure ??= this.#judge.answered(info, asked);
        if (this.#failure === undefined && !this.#judge.settled) this.#ask();
        this.#deliverSoon();
        this.#wake();
      });
    });
  }
}
