/**
 * A source that gives its records out slowly, so that a small input lasts until the test has disturbed the job.
 *
 * A rate alone does not do: on a busy machine the job or the test is what is slow, and the input ends too soon. So a
 * source can also be held to a number of records for each checkpoint that completes, and it can be held until the test
 * lets it go. What the source tells of its splits goes through: each keeps an event time of its own, and can be paused.
 */
import { existsSync } from "node:fs";
import type { PollStatus, Source, SourceReader } from "../../../src/dataflow/source.ts";

const BURST_MS = 50;
const LOOK_EVERY_MS = 20;

/** The pace of each subtask of the source. */
export interface Pace {
  readonly recordsPerSecond: number;
  /**
   * Given out between two completed checkpoints at most: the input lasts for so many. Needs an interval. Default: no
   * limit.
   */
  readonly recordsPerCheckpoint?: number | undefined;
  /**
   * Before this file is there each generation gives out no more than `records`, and so the input does not end. As soon
   * as it is there nothing is throttled any more.
   */
  readonly heldUntil?: { readonly file: string; readonly records: number } | undefined;
}

export function throttled<T>(source: Source<T>, pace: Pace): Source<T> {
  return {
    kind: source.kind,
    replayable: source.replayable,
    bounded: source.bounded,
    discover: (environment) => source.discover(environment),
    open: async (environment, splits) => throttledReader(await source.open(environment, splits), pace),
  };
}

function throttledReader<T>(reader: SourceReader<T>, pace: Pace): SourceReader<T> {
  const { recordsPerSecond, recordsPerCheckpoint = Number.POSITIVE_INFINITY, heldUntil } = pace;
  const perMs = recordsPerSecond / 1000;
  let allowance = 0;
  let untilCheckpoint = recordsPerCheckpoint;
  let untilReleased = heldUntil?.records ?? Number.POSITIVE_INFINITY;
  let released = false;
  let countedMs = performance.now();
  let lookedMs = Number.NEGATIVE_INFINITY;
  let wake: () => void = () => {};
  let timer: NodeJS.Timeout | undefined;

  const idleFor = (ms: number): PollStatus => {
    timer ??= setTimeout(
      () => {
        timer = undefined;
        wake();
      },
      Math.max(1, ms),
    );
    return "idle";
  };

  const isReleased = (nowMs: number): boolean => {
    if (released || heldUntil === undefined || nowMs - lookedMs < LOOK_EVERY_MS) return released;
    lookedMs = nowMs;
    released = existsSync(heldUntil.file);
    return released;
  };

  return {
    get currentSplit() {
      return reader.currentSplit ?? 0;
    },
    ...(reader.splitStatus && { splitStatus: (split: number) => reader.splitStatus!(split) }),
    ...(reader.splitPending && { splitPending: (split: number) => reader.splitPending!(split) }),
    ...(reader.splitMayWait && { splitMayWait: (split: number) => reader.splitMayWait!(split) }),
    ...(reader.pauseSplits && {
      pauseSplits: (isPaused: (split: number) => boolean) => reader.pauseSplits!(isPaused),
    }),
    ...(reader.skipped && { skipped: () => reader.skipped!() }),
    poll(collect, recordsMax) {
      const nowMs = performance.now();
      if (isReleased(nowMs)) return reader.poll(collect, recordsMax);
      allowance = Math.min(allowance + (nowMs - countedMs) * perMs, Math.max(1, BURST_MS * perMs));
      countedMs = nowMs;
      if (untilReleased < 1) return idleFor(LOOK_EVERY_MS);
      if (untilCheckpoint < 1) return "idle";
      if (allowance < 1) return idleFor((1 - allowance) / perMs);
      return reader.poll(
        (value, timestamp) => {
          allowance--;
          untilCheckpoint--;
          untilReleased--;
          collect(value, timestamp);
        },
        Math.min(recordsMax, Math.floor(allowance), untilCheckpoint, untilReleased),
      );
    },
    onAvailable(run) {
      wake = run;
      reader.onAvailable(run);
    },
    describePosition: () => reader.describePosition(),
    snapshot: () => reader.snapshot(),
    checkpointCompleted: (positions) => {
      untilCheckpoint = recordsPerCheckpoint;
      wake();
      reader.checkpointCompleted(positions);
    },
    close: () => {
      clearTimeout(timer);
      return reader.close();
    },
  };
}
