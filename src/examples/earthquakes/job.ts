/**
 * Earthquakes: an alert for each region where the earth shook hard or often within six hours, from real reports. Three
 * of four come in behind a later quake, some by days. A report that is up to a day late corrects the alert of its six
 * hours; what is later still goes to files of its own.
 */
import { boundedOutOfOrderness, defineJob, fileSink, generatorSource, tumblingWindows } from "tidemark";
import { readReports } from "./reports.ts";

export interface Alert {
  readonly region: string;
  /** The end of the six hours, in ms since 1970. */
  readonly end: number;
  readonly quakes: number;
  readonly strongest: number;
  /** 0: the first word on these six hours. A higher one takes the place of those before it. */
  readonly revision: number;
}

const HARD = 4.5;
const OFTEN = 10;
const reports = readReports();

export default defineJob("earthquakes", { parallelism: 2, checkpointing: { interval: "500 ms" } }, (job) => {
  const alerts = job
    .source(
      "reports",
      generatorSource({ count: reports.length, ratePerSecond: 500, generate: (index) => reports[index]! }),
      {
        timestamp: (report) => report.time,
        watermarks: boundedOutOfOrderness("1 h"),
        // A watermark behind each report: which of them are late follows from the reports alone.
        watermarkInterval: 0,
        parallelism: 1,
      },
    )
    .keyBy((report) => report.region)
    .window(tumblingWindows({ size: "6 h" }), { allowedLateness: "1 d", lateOutput: "late" })
    .aggregate(
      "alerts",
      {
        createAccumulator: () => ({ quakes: 0, strongest: Number.NEGATIVE_INFINITY }),
        add: ({ quakes, strongest }, { magnitude }) => ({
          quakes: quakes + 1,
          strongest: Math.max(strongest, magnitude),
        }),
        getResult: (seen) => seen,
      },
      ({ quakes, strongest }, { key, window, index }): Alert | undefined => {
        if (strongest < HARD && quakes < OFTEN) return undefined;
        return { region: key, end: window.end, quakes, strongest, revision: index };
      },
    );
  alerts.sink("alerts-out", fileSink({ directory: "alerts" }));
  alerts.sideOutput("late").sink("late-out", fileSink({ directory: "late" }));
});
