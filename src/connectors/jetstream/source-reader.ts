/**
 * Reads the splits of a JetStream stream that one subtask was given, in turns.
 *
 * Owns: whose turn it is, and the positions that a checkpoint stores. Does not own: reading one split without gaps
 * (src/nats/reader/sequential-reader.ts), showing progress (src/nats/reader/progress.ts).
 *
 * - JP1 The position of a split holds two sequences. `read`: exactly the records up to it are before the barrier.
 *   `accounted`: nothing of the split up to it can be lost any more (P42).
 * - JP2 Nothing is acknowledged. What the server knows of progress is display, except on interest streams.
 */
import type { SubtaskEnvironment } from "../../dataflow/connector.ts";
import type { Collect, PollStatus, Skipped, SourceReader, SplitPosition } from "../../dataflow/source.ts";
import {
  parseReadPosition,
  parseStreamSplit,
  type ReadPosition,
} from "../../formats/positions/stream-position.ts";
import { NatsEnvironment } from "../../nats/connection/environment.ts";
import type { Decode } from "../../nats/reader/decoding.ts";
import { StreamState } from "../../nats/reader/positions/stream-state.ts";
import { Trimming } from "../../nats/reader/positions/trimming.ts";
import { ProgressConsumer, progressName } from "../../nats/reader/progress.ts";
import { SequentialReader } from "../../nats/reader/sequential-reader.ts";
import { PartitionWatch } from "./partition-watch.ts";
import { filtersByPartition } from "./partitions.ts";
import type { JetStreamSourceOptions } from "./source-options.ts";
import type { JetStreamSplit } from "./source-splits.ts";
import { StraySubjects } from "./stray-subjects.ts";

export async function openReader<T>(
  options: JetStreamSourceOptions,
  decode: Decode<T>,
  environment: SubtaskEnvironment,
  positions: readonly SplitPosition[],
): Promise<SourceReader<T>> {
  const nats = NatsEnvironment.of(environment, `the source of stream "${options.stream}"`);
  const splits = positions.map(({ split, position }) =>
    openedSplit(
      { options, decode, environment, nats },
      parseStreamSplit(split, environment.operator),
      parseReadPosition(position, split.id, environment.operator),
    ),
  );
  const watch = watchOfPartitions(options, environment, nats, splits);
  const reader = new JetStreamReader<T>(splits, options.until === "end", watch);
  try {
    await Promise.all(
      splits.map(async ({ split, progress, reader: it }, index) => {
        const isResumed = positions[index]?.position !== undefined;
        if (split.retention === "interest" && progress !== undefined)
          // What the stream has dropped while the consumer was away may have been input of the split (P42).
          it.wasUnheld(await progress.ensure(isResumed));
        await it.open();
      }),
    );
  } catch (error) {
    await reader.close();
    throw error;
  }
  watch?.open();
  return reader;
}

/** One subtask looks for all: the one that reads the first partition. A bounded input was looked at before it began. */
function watchOfPartitions<T>(
  { partitions, until }: JetStreamSourceOptions,
  { troubles, signal }: SubtaskEnvironment,
  nats: NatsEnvironment,
  splits: readonly OpenSplit<T>[],
): PartitionWatch | undefined {
  if (partitions === undefined || until === "end") return undefined;
  const [first] = filtersByPartition({ ...partitions, count: 1 });
  const split = splits.find((it) => it.split.id === first)?.split;
  if (split === undefined) return undefined;
  const { stream, start } = split;
  const watch = new PartitionWatch(
    new StraySubjects(partitions, nats, stream, start),
    StreamState.of(nats, stream),
    troubles.watch(`dealing the messages of stream ${stream} to partitions`),
  );
  signal.addEventListener("abort", () => watch.close());
  return watch;
}

interface OpenSplit<T> {
  readonly split: JetStreamSplit;
  readonly reader: SequentialReader<T>;
  readonly progress: ProgressConsumer | undefined;
  readonly trimming: Trimming;
}

/** What the splits of a subtask have in common. */
interface SplitContext<T> {
  readonly options: JetStreamSourceOptions;
  readonly decode: Decode<T>;
  readonly environment: SubtaskEnvironment;
  readonly nats: NatsEnvironment;
}

function openedSplit<T>(
  { options, decode, environment, nats }: SplitContext<T>,
  split: JetStreamSplit,
  position: ReadPosition | undefined,
): OpenSplit<T> {
  const { logger, job, operator, troubles, signal } = environment;
  const { stream, created, filters, retention, gaps, start, first, end } = split;
  const reader = new SequentialReader<T>({
    nats,
    logger,
    job,
    operator,
    stream,
    created,
    retention,
    filters,
    position,
    start,
    first,
    end,
    gaps,
    decode,
    mode: options.reader,
    reading: troubles.watch(`reading stream ${stream}`),
  });
  // The reader may be closed while it is still being opened.
  signal.addEventListener("abort", () => void reader.close());
  const trimming = new Trimming(StreamState.of(nats, stream), filters);
  if (options.progress === false || split.showsProgress === false)
    return { split, reader, progress: undefined, trimming };
  const name = split.progressConsumer ?? progressName(["tidemark", job, operator, split.id]);
  return {
    split,
    reader,
    trimming,
    progress: new ProgressConsumer({ nats, logger, job, stream, retention, name, filters }),
  };
}

class JetStreamReader<T> implements SourceReader<T> {
  readonly #splits: readonly OpenSplit<T>[];
  readonly #bounded: boolean;
  readonly #watch: PartitionWatch | undefined;
  /** The split to ask first: they take turns. */
  #first = 0;
  /** The split of the record last given out. */
  #current: OpenSplit<T> | undefined;
  currentSplit = 0;
  #isPaused: (split: number) => boolean = () => false;

  constructor(splits: readonly OpenSplit<T>[], bounded: boolean, watch: PartitionWatch | undefined) {
    this.#splits = splits;
    this.#bounded = bounded;
    this.#watch = watch;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const splits = this.#splits;
    if (splits.length === 0) return this.#bounded ? "ended" : "idle";
    let budget = recordsMax;
    let more = false;
    let ended = true;
    let at = this.#first;
    this.#first = (this.#first + 1) % splits.length;
    for (let asked = 0; asked < splits.length; asked++) {
      const split = splits[at]!;
      if (this.#isPaused(at) && split.reader.status !== "ended") {
        ended = false;
        at = (at + 1) % splits.length;
        continue;
      }
      this.currentSplit = at;
      at = (at + 1) % splits.length;
      const { reader } = split;
      const buffered = reader.recordsBuffered;
      const previous = this.#current;
      this.#current = split;
      const status = reader.poll(collect, budget);
      const given = buffered - reader.recordsBuffered;
      if (given === 0) this.#current = previous;
      budget -= given;
      if (status !== "ended") ended = false;
      if (status === "more") more = true;
      if (budget <= 0) {
        if (asked < splits.length - 1) more = true;
        break;
      }
    }
    if (more) return "more";
    return ended ? "ended" : "idle";
  }

  pauseSplits(isPaused: (split: number) => boolean): void {
    this.#isPaused = isPaused;
  }

  splitStatus(split: number): PollStatus {
    return this.#splits[split]!.reader.status;
  }

  splitPending(split: number): number {
    return this.#splits[split]!.reader.pending;
  }

  splitMayWait(split: number): boolean {
    const { reader, trimming } = this.#splits[split]!;
    const { front } = reader;
    return front !== undefined && trimming.mayWait(front);
  }

  onAvailable(wake: () => void): void {
    for (const { reader } of this.#splits) reader.onAvailable(wake);
  }

  describePosition(): string {
    return (this.#current ?? this.#splits[0])?.reader.describePosition() ?? "no split";
  }

  snapshot(): SplitPosition[] {
    return this.#splits.map(({ split, reader }) => ({ split, position: reader.position }));
  }

  skipped(): Skipped {
    let ranges = 0;
    let sequences = 0;
    for (const { reader } of this.#splits) {
      const { skipped } = reader;
      ranges += skipped.ranges;
      sequences += skipped.sequences;
    }
    return { ranges, sequences };
  }

  checkpointCompleted(positions: readonly SplitPosition[]): void {
    for (const { split, position } of positions) {
      const { accounted } = position as ReadPosition; // My own, of `snapshot`.
      this.#splits.find((it) => it.split.id === split.id)?.progress?.completed(accounted);
    }
  }

  async close(): Promise<void> {
    this.#watch?.close();
    await Promise.all(
      this.#splits.map(async ({ reader, progress }) => {
        await reader.close();
        await progress?.close();
      }),
    );
  }
}
