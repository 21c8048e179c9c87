/** A reader that gives so much a second and no more, so that the input lasts. */
import type { SourceReader } from "../../../../src/dataflow/source.ts";
import type { VirtualProcess } from "../../scheduler.ts";
import type { DrawnSource } from "../drawing.ts";

/** Polls that were missed are made up for, up to so many. */
const OWED_MAX = 10;

export function pacedReader<T>(
  reader: SourceReader<T>,
  process: VirtualProcess,
  { pollsPerSecond, recordsPerPoll }: Pick<DrawnSource, "pollsPerSecond" | "recordsPerPoll">,
): SourceReader<T> {
  const everyMs = 1000 / pollsPerSecond;
  let nextMs = process.elapsedMs();
  let wake: () => void = () => {};
  let waits = false;
  return {
    poll(collect, recordsMax) {
      const nowMs = process.elapsedMs();
      if (nowMs >= nextMs) {
        nextMs = Math.max(nextMs + everyMs, nowMs - OWED_MAX * everyMs);
        return reader.poll(collect, Math.min(recordsPerPoll, recordsMax));
      }
      if (!waits) {
        waits = true;
        process.after(nextMs - nowMs, () => {
          waits = false;
          wake();
        });
      }
      return "idle";
    },
    onAvailable(run) {
      wake = run;
      reader.onAvailable(run);
    },
    get currentSplit() {
      return reader.currentSplit ?? 0;
    },
    ...(reader.splitStatus !== undefined && { splitStatus: (split: number) => reader.splitStatus!(split) }),
    ...(reader.splitPending !== undefined && {
      splitPending: (split: number) => reader.splitPending!(split),
    }),
    ...(reader.splitMayWait !== undefined && {
      splitMayWait: (split: number) => reader.splitMayWait!(split),
    }),
    ...(reader.pauseSplits !== undefined && {
      pauseSplits: (isPaused: (split: number) => boolean) => reader.pauseSplits!(isPaused),
    }),
    ...(reader.skipped !== undefined && { skipped: () => reader.skipped!() }),
    describePosition: () => reader.describePosition(),
    snapshot: () => reader.snapshot(),
    checkpointCompleted: (positions) => reader.checkpointCompleted(positions),
    close: () => reader.close(),
  };
}
