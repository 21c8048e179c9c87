/**
 * The event time of a source in one subtask: the timestamps of its records, and the watermark of each split.
 *
 * Owns: the generators, what each split was asked and when, which split is idle. Does not own: how the splits are
 * combined (watermark-combiner.ts), when there is a turn for it (runtime/worker/subtask/input/source.ts).
 *
 * - SW1 A record is handed on before the watermark that stands behind it.
 * - SW2 A split is idle when nothing was to be read from it for `idleAfterMs`. Only time in which the subtask could
 *   have read counts: not while it waits for room, nor while its job is held.
 * - SW3 A split whose broker has something for it is not idle, however long that takes to come.
 */
import { OperatorError } from "../../errors.ts";
import type { StoredSplitTime } from "../../formats/positions/event-time.ts";
import { describeValue } from "../../state/described.ts";
import type { PollStatus } from "../source.ts";
import { NO_TIMESTAMP } from "../source.ts";
import { isTime } from "./times.ts";
import type { WatermarkCombiner } from "./watermark-combiner.ts";
import type { WatermarkGenerator, WatermarkStrategy } from "./watermarks.ts";

/** How a source keeps pace with the others of its group. */
export interface SourceAlignment {
  /** Sources of the job with the same group wait for each other. */
  readonly group: string;
  /** A split whose watermark is so much further than the least of the group is not read. */
  readonly maxDriftMs: number;
  /** How often the subtasks tell each other, by way of the leader. */
  readonly intervalMs: number;
  /** Only splits that have so many records left to read wait, and are waited for. undefined: all do, at any time. */
  readonly whileBehind?: number;
  /** The job does not ask for it. */
  readonly isDefault?: true;
}

/** What a job says of the event time of a source. */
export interface SourceEventTime<T = unknown> {
  /** The timestamp of a record in ms. Default: the one that the source gives. */
  readonly timestamp?: (value: T, given: number) => number;
  /** undefined: the records have timestamps, and event time does not go on. */
  readonly watermarks?: WatermarkStrategy<T>;
  /** undefined: no split is ever taken for idle. */
  readonly idleAfterMs?: number;
  /** undefined: it reads as fast as it can. */
  readonly alignment?: SourceAlignment;
  /** The job says that it reads as fast as it can; else the job may give it an alignment. */
  readonly isUnaligned?: true;
  /** What becomes of records whose timestamp is that far ahead of the wall clock. undefined: they are like others. */
  readonly maxAhead?: { readonly byMs: number; readonly beyond: "clamp" | "sideOutput" };
  /** 0: the generators are asked behind each record, so what is late follows from the records alone. */
  readonly intervalMs: number;
}

interface Split {
  readonly generator: WatermarkGenerator | undefined;
  watermark: number;
  /** A record of it was read since the last look. */
  spoke: boolean;
  quietMs: number;
  /** When a look found that a record had come, on the monotonic clock; undefined: none has. */
  spokeMs: number | undefined;
}

export class SourceTime {
  /** Each record is followed by a look at its split's watermark. */
  readonly perRecord: boolean;
  readonly #operator: string;
  readonly #options: SourceEventTime;
  readonly #splits: readonly Split[];
  readonly #timestampOf: ((value: unknown, given: number) => number) | undefined;
  #lookedMs: number | undefined;

  /** @param restored what a checkpoint holds, by split; undefined: the split begins */
  constructor(
    operator: string,
    options: SourceEventTime,
    restored: readonly (StoredSplitTime | undefined)[],
  ) {
    const { watermarks, intervalMs, timestamp } = options;
    this.#operator = operator;
    this.#options = options;
    this.#timestampOf = timestamp;
    this.perRecord = watermarks !== undefined && (intervalMs === 0 || watermarks.perRecord === true);
    this.#splits = restored.map((stored) => ({
      generator: watermarks?.create(stored?.generator),
      watermark: stored?.watermark ?? Number.NEGATIVE_INFINITY,
      spoke: false,
      quietMs: 0,
      spokeMs: undefined,
    }));
  }

  /** @throws OperatorError when it is no whole number */
  timestampOf(value: unknown, given: number): number {
    const timestampOf = this.#timestampOf;
    if (timestampOf === undefined) return given;
    const timestamp = timestampOf(value, given);
    if (!isTime(timestamp) && timestamp !== NO_TIMESTAMP)
      this.#refuse("timestamp", timestamp, `${WANTED_TIME}, or NO_TIMESTAMP`);
    return timestamp;
  }

  /** Called behind a record. true: the split's watermark has come further. */
  passed(split: number, value: unknown, timestamp: number): boolean {
    const one = this.#splits[split]!;
    one.spoke = true;
    const { generator } = one;
    if (generator === undefined) return false;
    const watermark = generator.onRecord(value, timestamp);
    if (!this.perRecord) return false;
    const rises = watermark !== undefined && this.#rises(one, "onRecord", watermark);
    return (this.#options.intervalMs === 0 && this.#ask(one)) || rises;
  }

  watermark(split: number): number {
    return this.#splits[split]!.watermark;
  }

  /** When the split's last record came, as looks have found it, on the monotonic clock; undefined: none has come. */
  lastRecordMs(split: number): number | undefined {
    return this.#splits[split]!.spokeMs;
  }

  /** The time at which the next look is due; undefined: nothing can have changed until a record comes. */
  nextLookMs(senders: WatermarkCombiner): number | undefined {
    const { watermarks, idleAfterMs, intervalMs } = this.#options;
    if (watermarks === undefined) return undefined;
    const mayChange =
      // Splits that are restored at their end never speak again.
      this.#lookedMs === undefined ||
      watermarks.alsoWhenQuiet === true ||
      this.#splits.some(({ spoke }, i) => spoke || (idleAfterMs !== undefined && !senders.senderIsIdle(i)));
    return mayChange ? (this.#lookedMs ?? 0) + (intervalMs || DEFAULT_INTERVAL_MS) : undefined;
  }

  /**
   * Asks all generators, and looks for splits that are idle. The caller has just read, as far as it could.
   *
   * @param statusOf what each split has to be read now
   */
  look(nowMs: number, senders: WatermarkCombiner, statusOf: (split: number) => PollStatus): void {
    const { idleAfterMs, intervalMs } = this.#options;
    // Longer than that, the subtask has not been able to read (SW2).
    const most = 2 * (intervalMs || DEFAULT_INTERVAL_MS);
    const passedMs = this.#lookedMs === undefined ? 0 : Math.min(nowMs - this.#lookedMs, most);
    this.#lookedMs = nowMs;
    for (const [i, split] of this.#splits.entries()) {
      if (this.#ask(split)) senders.advanced(i, split.watermark);
      const { spoke } = split;
      split.spoke = false;
      if (spoke) split.spokeMs = nowMs;
      const status = statusOf(i);
      if (status === "ended") senders.finished(i);
      else if (spoke || status === "more") split.quietMs = 0;
      else if (idleAfterMs !== undefined && !senders.senderIsIdle(i)) {
        split.quietMs += passedMs;
        if (split.quietMs < idleAfterMs) continue;
        split.quietMs = 0;
        senders.becameIdle(i);
      }
    }
  }

  snapshot(split: number, isIdle: boolean): StoredSplitTime {
    const { watermark, generator } = this.#splits[split]!;
    return { watermark, isIdle, generator: generator?.snapshot() ?? null };
  }

  #ask(split: Split): boolean {
    const watermark = split.generator?.onInterval();
    return watermark !== undefined && this.#rises(split, "onInterval", watermark);
  }

  #rises(split: Split, member: string, watermark: number): boolean {
    if (!Number.isSafeInteger(watermark) && watermark !== Number.NEGATIVE_INFINITY)
      this.#refuse(`${member} of its watermarks`, watermark, `${WANTED_TIME}, or undefined`);
    if (watermark <= split.watermark) return false;
    split.watermark = watermark;
    return true;
  }

  #refuse(member: string, answer: unknown, wanted: string): never {
    const answered = typeof answer === "number" ? `the number ${answer}` : describeValue(answer);
    throw new OperatorError(this.#operator, new Error(`${member} answered ${answered}; ${wanted} is needed`));
  }
}

const WANTED_TIME = "a whole number of ms since 1970, such as date.getTime()";

export const DEFAULT_INTERVAL_MS = 200;
