/** What a disturbed job is made of: its graph, its input, and what must come out of it. */
import type {
  AlignmentOptions,
  Job,
  JobBuilder,
  JobOptions,
  Source,
  SourceOptions,
  Stream,
} from "../../../src/index.ts";
import { boundedOutOfOrderness, jetstreamSink, jetstreamSource } from "../../../src/index.ts";
import { type InputRecord, inputRecords, inputSubject, splitOf } from "../../support/graphs/keyed-count.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import type { StoredMessage } from "../../support/servers/streams.ts";
import type { OutputVerdict, Row, RowAt } from "../verdict.ts";
import type { ServiceLog } from "./price-service.ts";
import { scatter } from "./scatter.ts";

export interface WorkloadOptions {
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly splits: number;
  /** The rate of each source subtask. */
  readonly recordsPerSecond: number;
  /** The most for each source subtask, so that the input lasts for so many checkpoints at least. Default: no limit. */
  readonly recordsPerCheckpoint?: number;
  readonly intervalMs: number;
  readonly partMessagesMax: number;
  /** State beside what is needed, so that a snapshot is more than a few bytes. */
  readonly ballastBytes: number;
  /** The padding of each output record. */
  readonly paddingBytes: number;
  readonly pingIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly checkpointTimeoutMs: number;
  /** Barriers overtake records. Default false. */
  readonly unaligned?: boolean;
  /** Where requests go. Only for jobs that have some. */
  readonly service?: string | undefined;
}

/** The size of an input; the same size is the same input. */
export interface WorkloadInput {
  readonly records: number;
  readonly keys: number;
  readonly splits: number;
}

export interface InputMessage {
  readonly split: number;
  readonly text: string;
}

export interface Workload {
  readonly name: string;
  /** What a record costs, as a multiple of one of the keyed count. */
  readonly load: number;
  job(options: WorkloadOptions): Job;
  input(size: WorkloadInput): Iterable<InputMessage>;
  /**
   * Judges what the job has written, without its markers, by loops over the input that share no code with the engine.
   *
   * @param asked what the service was asked by this job
   */
  check(input: WorkloadInput, output: readonly StoredMessage[], asked: ServiceLog): OutputVerdict;
}

/** A record that tells its time, in ms since 1970. */
export interface TimedRecord extends InputRecord {
  readonly at: number;
  readonly ballast?: string;
}

export const START = Date.UTC(2026, 0, 1);
const STEP_MS = 20;
/** No record is so much older than one in front of it. */
const DISORDER_MS = 2000;

/** In the order in which they are published: time rises, in disorder. */
export function* timedRecords(records: number, keys: number): Generator<TimedRecord> {
  let index = 0;
  for (const { key, n } of inputRecords(records, keys)) {
    yield { key, n, at: START + index * STEP_MS - (scatter(index) % DISORDER_MS) };
    index++;
  }
}

export function* timedInput({ records, keys, splits }: WorkloadInput): Generator<InputMessage> {
  for (const record of timedRecords(records, keys))
    yield { split: splitOf(record, splits), text: JSON.stringify(record) };
}

/** The records of each key, in the order in which they are published. */
export function recordsByKey(records: Iterable<TimedRecord>): Map<string, TimedRecord[]> {
  const byKey = new Map<string, TimedRecord[]>();
  for (const record of records) {
    const found = byKey.get(record.key);
    if (found === undefined) byKey.set(record.key, [record]);
    else found.push(record);
  }
  return byKey;
}

const PARALLELISM = 2;

export function jobOptionsOf(options: WorkloadOptions): JobOptions {
  const { intervalMs, checkpointTimeoutMs, pingIntervalMs, heartbeatTimeoutMs, unaligned = false } = options;
  return {
    parallelism: PARALLELISM,
    checkpointing: { interval: intervalMs, timeout: checkpointTimeoutMs, inlineThreshold: 512, unaligned },
    heartbeat: { pingInterval: pingIntervalMs, timeout: heartbeatTimeoutMs },
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s", resetBackoffThreshold: "2 s" },
  };
}

export interface SourceChoice {
  /** Default: all, with a bound so large that nothing is late. */
  readonly splits?: readonly number[];
  readonly disorderMs?: number;
  readonly parallelism?: number;
  /** How many times as fast as all other sources it may read. Default 1: it lasts as long as they. */
  readonly hurry?: number;
  /** Default: the time that the record tells. */
  readonly timestamp?: (record: TimedRecord) => number;
  /** Records have no timestamp, and event time does not go on. Default false. */
  readonly isUntimed?: boolean;
  readonly alignment?: AlignmentOptions;
}

export const splitsOf = ({ splits }: { readonly splits: number }): number[] =>
  Array.from({ length: splits }, (_, split) => split);

export function timedSource(
  job: JobBuilder,
  id: string,
  options: WorkloadOptions,
  choice: SourceChoice = {},
): Stream<TimedRecord> {
  const { splits = splitsOf(options), parallelism = PARALLELISM, hurry = 1 } = choice;
  const ballast = "x".repeat(options.ballastBytes);
  // However many splits and subtasks it has, it lasts as long as a source of all splits.
  const share = (splits.length / options.splits) * (PARALLELISM / parallelism) * hurry;
  return job
    .source(id, slowed<TimedRecord>(options, splits, share), {
      ...timeOf(choice),
      ...(choice.alignment && { alignment: choice.alignment }),
      parallelism,
    })
    .map(`${id}-ballast`, (record) => ({ ...record, ballast }), { parallelism });
}

/** @param share the pace of each subtask, as a share of what one of a source of all splits has */
export function slowed<T>(options: WorkloadOptions, splits: readonly number[], share: number): Source<T> {
  const { input, recordsPerSecond, recordsPerCheckpoint } = options;
  const source = jetstreamSource<T>({
    stream: input,
    subjects: splits.map((split) => inputSubject(input, split)),
    until: "end",
  });
  return throttled(source, {
    recordsPerSecond: recordsPerSecond * share,
    ...(recordsPerCheckpoint !== undefined && {
      recordsPerCheckpoint: Math.max(1, recordsPerCheckpoint * share),
    }),
  });
}

function timeOf({
  timestamp = ({ at }) => at,
  disorderMs = DISORDER_MS,
  isUntimed = false,
}: SourceChoice): SourceOptions<TimedRecord> {
  if (isUntimed) return {};
  const watermarks = boundedOutOfOrderness(disorderMs);
  // A watermark behind each record: of a single split it follows from the records alone what is late.
  return { timestamp, watermarks, watermarkInterval: 0 };
}

export const unionOf = (streams: readonly Stream<Row>[]): Stream<Row> =>
  streams.reduce((all, stream) => all.union(stream));

export function sinkRows(
  rows: Stream<Row>,
  { output, partMessagesMax, paddingBytes }: WorkloadOptions,
): void {
  const prefix = output.toLowerCase();
  const padding = "y".repeat(paddingBytes);
  rows
    .map("pad", (row) => ({ ...row, padding }))
    .sink(
      "write",
      jetstreamSink({
        stream: output,
        subject: ({ branch, key }) => `${prefix}.${branch}.${key}`,
        provision: true,
        subjects: [`${prefix}.>`],
        partMessagesMax,
      }),
    );
}

export function rowsOf(output: readonly StoredMessage[]): RowAt[] {
  return output.map(({ sequence, text }) => ({ sequence, row: JSON.parse(text) as Row }));
}
