/**
 * The job that is disturbed: counts records per key and writes each count, so that its output alone tells whether
 * anything was lost, doubled or put out of order.
 *
 * Record n of a key (1, 2, 3, …) must come out once, as count n, behind count n - 1; `fold` depends on the value of
 * every record before it. At the end of input each key writes one final count.
 */
import {
  defineJob,
  type Job,
  jetstreamSink,
  jetstreamSource,
  type Stream,
  type,
  valueState,
} from "../../../src/index.ts";
import { throttled } from "./throttled-source.ts";

export interface InputRecord {
  readonly key: string;
  /** Which record of its key this is, from 1. */
  readonly n: number;
}

export interface OutputRecord {
  readonly key: string;
  /** The number of the input record; of a final count: the last one's. */
  readonly n: number;
  readonly count: number;
  readonly fold: number;
  readonly final?: true;
  readonly padding?: string;
}

export interface KeyedCountOptions {
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly splits: number;
  /** The rate of each source subtask. Default: what the input has. */
  readonly recordsPerSecond?: number;
  /** The most for each source subtask, so that the input lasts for so many checkpoints at least. Default: no limit. */
  readonly recordsPerCheckpoint?: number;
  readonly intervalMs: number;
  readonly partMessagesMax: number;
  /** State beside the count, so that a snapshot is more than a few bytes. */
  readonly ballastBytes: number;
  /** The padding of each output record: transactions above 16 KiB are staged as objects, smaller ones travel inline. */
  readonly paddingBytes: number;
  readonly pingIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly checkpointTimeoutMs: number;
  /** What a count costs. Default: what it takes. */
  readonly slowMs?: number;
  /** The input goes on until a user drains the job. Default: it ends with what is there at the submission. */
  readonly endless?: boolean;
  /** Barriers overtake records. Default false. */
  readonly unaligned?: boolean;
  /** How loops are checkpointed, of a job that has one. */
  readonly iterations?: "exact";
  /** What else becomes of the input. */
  readonly more?: (records: Stream<InputRecord>) => void;
}

/** @param split "*": of all */
export const inputSubject = (stream: string, split: number | "*"): string =>
  `${stream.toLowerCase()}.${split}`;
const outputSubject = (stream: string, key: string): string => `${stream.toLowerCase()}.${key}`;

export const nextFold = (fold: number, n: number): number => (Math.imul(fold, 31) + n) | 0;

export function keyedCountJob(options: KeyedCountOptions): Job {
  const { name, input, output, splits, recordsPerSecond, intervalMs, partMessagesMax, ballastBytes } =
    options;
  const { pingIntervalMs, heartbeatTimeoutMs, checkpointTimeoutMs, paddingBytes, slowMs = 0 } = options;
  const { recordsPerCheckpoint, endless = false, unaligned = false, iterations, more } = options;
  const ballast = "x".repeat(ballastBytes);
  const padding = "y".repeat(paddingBytes);
  return defineJob(
    name,
    {
      parallelism: 2,
      checkpointing: {
        ...{ interval: intervalMs, timeout: checkpointTimeoutMs, inlineThreshold: 512, unaligned },
        ...(iterations === undefined ? {} : { iterations }),
      },
      heartbeat: { pingInterval: pingIntervalMs, timeout: heartbeatTimeoutMs },
      restart: { initialBackoff: "100 ms", maxBackoff: "1 s", resetBackoffThreshold: "2 s" },
    },
    (job) => {
      const source = jetstreamSource<InputRecord>({
        stream: input,
        subjects: Array.from({ length: splits }, (_, split) => inputSubject(input, split)),
        ...(endless ? {} : { until: "end" }),
      });
      const records = job.source(
        "read",
        recordsPerSecond === undefined
          ? source
          : throttled(source, { recordsPerSecond, recordsPerCheckpoint }),
      );
      more?.(records);
      records
        .keyBy((record) => record.key)
        .process("count", {
          state: { count: valueState({ count: 0, fold: 0, ballast: "" }) },
          output: type<OutputRecord>(),
          onRecord({ key, n }, { state, emit }) {
            const untilMs = performance.now() + slowMs;
            while (performance.now() < untilMs);
            const last = state.count.get();
            const next = { count: last.count + 1, fold: nextFold(last.fold, n), ballast };
            state.count.set(next);
            emit({ key, n, count: next.count, fold: next.fold, padding });
          },
          onEnd({ key, state, emit }) {
            const { count, fold } = state.count.get();
            emit({ key, n: count, count, fold, final: true });
          },
        })
        .sink(
          "write",
          jetstreamSink({
            stream: output,
            subject: ({ key }) => outputSubject(output, key),
            provision: true,
            subjects: [outputSubject(output, ">")],
            partMessagesMax,
          }),
        );
    },
  );
}

/** The whole input: keys take turns in an uneven pattern; a key always goes to the same split. */
export function* inputRecords(records: number, keys: number): Generator<InputRecord> {
  const counts = new Array<number>(keys).fill(0);
  for (let i = 0; i < records; i++) {
    const key = (i * i + 7 * i) % keys;
    const index = i % 3 === 0 ? i % keys : key;
    counts[index] = counts[index]! + 1;
    yield { key: `k${index}`, n: counts[index]! };
  }
}

export function splitOf(record: InputRecord, splits: number): number {
  return Number(record.key.slice(1)) % splits;
}
