/** The job file of the chaos run. */
import { keyedCountJob } from "../../support/keyed-count.ts";

export default keyedCountJob({
  name: "chaos",
  input: "IN",
  output: "OUT",
  splits: 4,
  recordsPerSecond: Number(process.env.CHAOS_RATE ?? 500),
  intervalMs: 300,
  partMessagesMax: 40,
  ballastBytes: 300,
  paddingBytes: 40,
  pingIntervalMs: 250,
  heartbeatTimeoutMs: 3000,
  checkpointTimeoutMs: 120_000,
});
