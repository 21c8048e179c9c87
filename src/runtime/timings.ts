/** How long things may take before a process acts. All in ms; the defaults suit one machine or one cluster. */
export interface Timings {
  /** The wait before the second probe, after a ping found no process (P28). Default 250. */
  readonly secondProbeMs: number;
  /** Own connection must have been up for this long before a worker is declared dead (P28). Default 2000. */
  readonly connectionSettledMs: number;
  /** Worker to leader. Default 500. */
  readonly registerIntervalMs: number;
  /** Default 2000. */
  readonly leaseMs: number;
  /** The longest time from deployment until every subtask is restored. Default 120 000. */
  readonly deployTimeoutMs: number;
  /** The wait between two deployments whose only purpose is to settle. Default 500. */
  readonly settleRetryMs: number;
  /** The wait between two tries of a commit. Default 200. */
  readonly commitRetryMs: number;
  /** A worker whose old generation has not ended by then exits (P29). Default 10 000. */
  readonly cancelTimeoutMs: number;
  /**
   * The checkpoint of a suspension may take this long before the job ends without it, or three times as long as the
   * last one took, if that is more. Default 10 000.
   */
  readonly suspendTimeoutMs: number;
  /** The same while none has completed yet: the state may be large. Default 20 000. */
  readonly firstSuspendTimeoutMs: number;
  /** Writing a manifest may take this long before its checkpoint is aborted. Default 60 000. */
  readonly manifestTimeoutMs: number;
  /**
   * A worker whose checkpoint directory is not seen to be the leader's for so long is refused (P53). Network file
   * systems may show a new file late. Default 20 000.
   */
  readonly directoryProofMs: number;
}

export const defaultTimings: Timings = {
  secondProbeMs: 250,
  connectionSettledMs: 2000,
  registerIntervalMs: 500,
  leaseMs: 2000,
  deployTimeoutMs: 120_000,
  settleRetryMs: 500,
  commitRetryMs: 200,
  cancelTimeoutMs: 10_000,
  suspendTimeoutMs: 10_000,
  firstSuspendTimeoutMs: 20_000,
  manifestTimeoutMs: 60_000,
  directoryProofMs: 20_000,
};
