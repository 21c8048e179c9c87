/** Another source, read only so far or only so fast: one long stream serves every figure. */
import type { PollStatus, Source, SourceReader } from "../../../src/dataflow/source.ts";

export interface Shape {
  /** Last sequence of a JetStream split; undefined: all of it. */
  readonly end?: number | undefined;
  /** undefined: as fast as it goes. */
  readonly ratePerSecond?: number | undefined;
  /** Asked at each turn whether the rate holds already. Default: from the beginning on. */
  readonly isHeld?: (() => boolean) | undefined;
}

const TICK_MS = 2;

export function shapedSource<T>(source: Source<T>, shape: Shape): Source<T> {
  const { end, ratePerSecond, isHeld } = shape;
  return {
    ...source,
    discover: async (environment) => {
      const splits = await source.discover(environment);
      return end === undefined ? splits : splits.map((split) => ({ ...split, end }));
    },
    open: async (environment, splits) => {
      const reader = await source.open(environment, splits);
      return ratePerSecond === undefined ? reader : throttled(reader, ratePerSecond / 1000, isHeld);
    },
  };
}

/** Gives out what the clock allows, every two milliseconds; a pause is made up for by at most 50 ms worth. */
function throttled<T>(
  reader: SourceReader<T>,
  ratePerMs: number,
  isHeld: () => boolean = () => true,
): SourceReader<T> {
  let allowed = 0;
  let since = performance.now();
  let wake = (): void => {};
  let timer: NodeJS.Timeout | undefined;
  return {
    poll(collect, recordsMax): PollStatus {
      if (!isHeld()) return reader.poll(collect, recordsMax);
      const now = performance.now();
      allowed = Math.min(allowed + (now - since) * ratePerMs, 50 * ratePerMs);
      since = now;
      let given = 0;
      const status = reader.poll(
        (value, timestamp) => {
          given++;
          collect(value, timestamp);
        },
        Math.min(recordsMax, Math.floor(allowed)),
      );
      allowed -= given;
      if (status !== "more" || allowed >= 1) return status;
      timer = setTimeout(wake, TICK_MS);
      return "idle";
    },
    onAvailable(wakeUp) {
      wake = wakeUp;
      reader.onAvailable(wakeUp);
    },
    describePosition: () => reader.describePosition(),
    snapshot: () => reader.snapshot(),
    checkpointCompleted: (positions) => reader.checkpointCompleted(positions),
    close: async () => {
      clearTimeout(timer);
      await reader.close();
    },
  };
}
