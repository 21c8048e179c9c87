import type { Timings } from "../../src/runtime/timings.ts";

/** For tests that wait for what the engine does after a while: everything on one machine, nothing far away. */
export const shortTimings: Timings = {
  secondProbeMs: 50,
  connectionSettledMs: 200,
  registerIntervalMs: 50,
  leaseMs: 400,
  deployTimeoutMs: 15_000,
  settleRetryMs: 50,
  commitRetryMs: 20,
  cancelTimeoutMs: 5000,
  manifestTimeoutMs: 5000,
  suspendTimeoutMs: 3_600_000,
  firstSuspendTimeoutMs: 3_600_000,
};
