/** Options of barriers as tests send them. */
import type { BarrierAlignment, CheckpointOptions } from "../../machines/protocol.ts";

export const barrierOptions = (
  alignment: BarrierAlignment = "aligned",
  more: Partial<CheckpointOptions> = {},
): CheckpointOptions => ({
  alignment,
  alignedTimeoutMs: 0,
  base: null,
  triggeredAtMs: 0,
  savepoint: null,
  stop: false,
  ...more,
});
