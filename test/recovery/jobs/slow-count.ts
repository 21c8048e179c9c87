/** A job whose counts are slow, so that its channels are full of records for as long as it runs. */
import { keyedCountJob } from "../../support/graphs/keyed-count.ts";

export default keyedCountJob({
  name: "slow",
  input: "IN",
  output: "OUT",
  splits: 2,
  recordsPerSecond: 1_000_000,
  slowMs: 1,
  intervalMs: 100,
  partMessagesMax: 400,
  ballastBytes: 0,
  paddingBytes: 0,
  pingIntervalMs: 50,
  heartbeatTimeoutMs: 3_600_000,
  checkpointTimeoutMs: 3_600_000,
});
