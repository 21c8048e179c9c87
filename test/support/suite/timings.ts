import type { Timings } from "../../../src/runtime/timings.ts";

/**
 * What the engine does after a while, for tests: everything is on one machine, nothing far away, so it does soon what
 * it does again and again. What it gives up after a while it gives up late: on a busy machine "too slow" would mean
 * nothing, and a job that is stuck would be healed behind the back of the test.
 */
export const shortTimings: Timings = {
  secondProbeMs: 50,
  connectionSettledMs: 200,
  registerIntervalMs: 50,
  leaseMs: 400,
  deployTimeoutMs: 3_600_000,
  settleRetryMs: 50,
  commitRetryMs: 20,
  cancelTimeoutMs: 3_600_000,
  manifestTimeoutMs: 3_600_000,
  directoryProofMs: 3_600_000,
  suspendTimeoutMs: 3_600_000,
  firstSuspendTimeoutMs: 3_600_000,
};

/**
 * For jobs whose test is not about heartbeats: a process that is killed, or whose connection ends, is noticed because
 * no process answers for it, at the next ping.
 */
export const patientHeartbeat = { pingInterval: 50, timeout: "1 h" } as const;
