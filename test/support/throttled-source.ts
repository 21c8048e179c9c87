/** A source that gives its records out at a steady rate, so that a small input lasts long enough to be disturbed. */
import type { PollStatus, Source, SourceReader } from "../../src/dataflow/source.ts";

const BURST_MS = 50;

export function throttled<T>(source: Source<T>, recordsPerSecond: number): Source<T> {
  return {
    kind: source.kind,
    replayable: source.replayable,
    bounded: source.bounded,
    discover: (environment) => source.discover(environment),
    open: async (environment, splits) =>
      throttledReader(await source.open(environment, splits), recordsPerSecond),
  };
}

function throttledReader<T>(reader: SourceReader<T>, recordsPerSecond: number): SourceReader<T> {
  const perMs = recordsPerSecond / 1000;
  let allowance = 0;
  let countedMs = performance.now();
  let wake: () => void = () => {};
  let timer: NodeJS.Timeout | undefined;

  const later = (): PollStatus => {
    timer ??= setTimeout(
      () => {
        timer = undefined;
        wake();
      },
      Math.max(1, (1 - allowance) / perMs),
    );
    return "idle";
  };

  return {
    poll(collect, recordsMax) {
      const nowMs = performance.now();
      allowance = Math.min(allowance + (nowMs - countedMs) * perMs, Math.max(1, BURST_MS * perMs));
      countedMs = nowMs;
      if (allowance < 1) return later();
      return reader.poll(
        (value, timestamp) => {
          allowance--;
          collect(value, timestamp);
        },
        Math.min(recordsMax, Math.floor(allowance)),
      );
    },
    onAvailable(run) {
      wake = run;
      reader.onAvailable(run);
    },
    describePosition: () => reader.describePosition(),
    snapshot: () => reader.snapshot(),
    checkpointCompleted: (positions) => reader.checkpointCompleted(positions),
    close: () => {
      clearTimeout(timer);
      return reader.close();
    },
  };
}
