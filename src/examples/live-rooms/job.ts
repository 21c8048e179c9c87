/**
 * Live rooms: the unique visitors of each room in windows of five minutes, and its views in each minute. Views arrive
 * out of order; those that are too late for their five minutes go to files of their own.
 */
import { boundedOutOfOrderness, defineJob, fileSink, generatorSource, tumblingWindows } from "tidemark";

export interface View {
  readonly room: string;
  readonly user: string;
  /** In ms since 1970. */
  readonly at: number;
}

export const VIEWS = 2_000;
const START = Date.UTC(2026, 0, 1);

/** Up to 19 s out of order, and each 97th view ten minutes. */
export function viewAt(index: number): View {
  const delayMs = index % 97 === 0 ? 600_000 : ((index * 7) % 20) * 1_000;
  return {
    room: `room-${index % 5}`,
    user: `user-${(index * 31) % 61}`,
    at: START + index * 1_000 - delayMs,
  };
}

export default defineJob("live-rooms", { parallelism: 2, checkpointing: { interval: "500 ms" } }, (job) => {
  const views = job
    .source("views", generatorSource({ count: VIEWS, ratePerSecond: 500, generate: viewAt }), {
      timestamp: (view) => view.at,
      watermarks: boundedOutOfOrderness("20 s"),
      // A watermark behind each view: which views are late follows from the views alone.
      watermarkInterval: 0,
      parallelism: 1,
    })
    .keyBy((view) => view.room);

  const visitors = views.window(tumblingWindows({ size: "5 min" }), { lateOutput: "late" }).aggregate(
    "visitors",
    {
      createAccumulator: () => new Set<string>(),
      add: (users, { user }) => (users.has(user) ? users : new Set(users).add(user)),
      getResult: (users) => users.size,
    },
    (unique, { key, window }) => ({ room: key, end: window.end, visitors: unique }),
  );
  visitors.sink("visitors-out", fileSink({ directory: "visitors" }));
  visitors.sideOutput("late").sink("late-out", fileSink({ directory: "late" }));

  views
    .window(tumblingWindows({ size: "1 min" }))
    .aggregate(
      "views-per-minute",
      { createAccumulator: () => 0, add: (count) => count + 1, getResult: (count) => count },
      (count, { key, window }) => ({ room: key, end: window.end, views: count }),
    )
    .sink("views-out", fileSink({ directory: "views-per-minute" }));
});
