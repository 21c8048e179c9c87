/** The job of the test of a backlog: splits with few and with many records of the same hour, counted in windows. */
import {
  ascendingTimestamps,
  defineJob,
  jetstreamSink,
  jetstreamSource,
  tumblingWindows,
} from "../../../src/index.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import { patientHeartbeat } from "../../support/suite/timings.ts";

export interface Seen {
  readonly of: string;
  readonly at: number;
}

export interface Counted {
  readonly of: string;
  readonly start: number;
  readonly count: number;
}

export const WINDOW_MS = 10_000;

export default defineJob(
  "backlog",
  {
    parallelism: 2,
    checkpointing: { interval: "300 ms", timeout: "1 h" },
    heartbeat: patientHeartbeat,
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s" },
  },
  (job) => {
    const source = jetstreamSource<Seen>({ stream: "IN", subjects: ["in.few", "in.many"], until: "end" });
    job
      .source("read", throttled(source, { recordsPerSecond: 4_000, recordsPerCheckpoint: 2_000 }), {
        timestamp: ({ at }) => at,
        watermarks: ascendingTimestamps(),
        watermarkInterval: "20 ms",
      })
      .keyBy(({ of }) => of)
      .window(tumblingWindows({ size: WINDOW_MS }))
      .process(
        "count",
        (records, { key, window }): Counted => ({
          of: key,
          start: window.start,
          count: records.length,
        }),
      )
      .sink(
        "write",
        jetstreamSink<Counted>({
          stream: "OUT",
          subject: ({ of }) => `out.${of}`,
          subjects: ["out.*"],
          provision: true,
        }),
      );
  },
);
