/** The job that the stranger disturbs: a keyed count, and beside it a loop that each record goes round some times. */
import { jetstreamSink } from "../../../src/index.ts";
import { type InputRecord, keyedCountJob } from "../../support/graphs/keyed-count.ts";
import { INPUT, JOB, LAPS_OUTPUT, type Lapped, lapsOf, OUTPUT, SPLITS } from "../counting.ts";

export default keyedCountJob({
  name: JOB,
  input: INPUT,
  output: OUTPUT,
  splits: SPLITS,
  endless: true,
  intervalMs: 500,
  partMessagesMax: 100,
  ballastBytes: 100,
  paddingBytes: 40,
  pingIntervalMs: 500,
  // A busy machine is no stranger's work.
  heartbeatTimeoutMs: 60_000,
  checkpointTimeoutMs: 60_000,
  iterations: "exact",
  more: (records) =>
    records
      .map("begin", ({ key, n }: InputRecord): Lapped => ({ key, n, laps: 0 }))
      .iterate("laps", (loop) => {
        const run = loop.rebalance().map("run", ({ key, n, laps }): Lapped => ({ key, n, laps: laps + 1 }));
        return {
          feedback: run.filter("more", (record) => record.laps < lapsOf(record)),
          output: run.filter("done", (record) => record.laps >= lapsOf(record)),
        };
      })
      .sink(
        "arrive",
        jetstreamSink({
          stream: LAPS_OUTPUT,
          subject: ({ key }) => `${LAPS_OUTPUT.toLowerCase()}.${key}`,
          provision: true,
          subjects: [`${LAPS_OUTPUT.toLowerCase()}.>`],
        }),
      ),
});
