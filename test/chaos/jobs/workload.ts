/** The job file of the chaos run: the job that CHAOS_JOB names, default the keyed count. */
import { workloadOf } from "../workloads/workloads.ts";

const {
  CHAOS_JOB = "keyed-count",
  CHAOS_RATE = "500",
  CHAOS_HEARTBEAT_TIMEOUT_MS,
  CHAOS_SERVICE,
} = process.env;

export default workloadOf(CHAOS_JOB).job({
  name: "chaos",
  input: "IN",
  output: "OUT",
  splits: 4,
  recordsPerSecond: Number(CHAOS_RATE),
  // What it gives out in two intervals: the input lasts even where checkpoints take much longer than that.
  recordsPerCheckpoint: Number(CHAOS_RATE) * 0.6,
  intervalMs: 300,
  partMessagesMax: 40,
  ballastBytes: 300,
  paddingBytes: 40,
  pingIntervalMs: 250,
  heartbeatTimeoutMs: Number(CHAOS_HEARTBEAT_TIMEOUT_MS ?? 3_600_000),
  checkpointTimeoutMs: 3_600_000,
  unaligned: process.env.CHAOS_UNALIGNED === "true",
  service: CHAOS_SERVICE,
});
