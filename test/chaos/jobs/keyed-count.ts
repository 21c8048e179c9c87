/** The job file of the chaos run. */
import { keyedCountJob } from "../../support/graphs/keyed-count.ts";

export default keyedCountJob({
  name: "chaos",
  input: "IN",
  output: "OUT",
  splits: 4,
  recordsPerSecond: Number(process.env.CHAOS_RATE ?? 500),
  // What it gives out in two intervals: the input lasts even where checkpoints take much longer than that.
  recordsPerCheckpoint: Number(process.env.CHAOS_RATE ?? 500) * 0.6,
  intervalMs: 300,
  partMessagesMax: 40,
  ballastBytes: 300,
  paddingBytes: 40,
  pingIntervalMs: 250,
  heartbeatTimeoutMs: Number(process.env.CHAOS_HEARTBEAT_TIMEOUT_MS ?? 3_600_000),
  checkpointTimeoutMs: 3_600_000,
});
