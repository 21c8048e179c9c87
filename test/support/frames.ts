/** Frames as tests send them. */
import type { BarrierAlignment } from "../../machines/protocol.ts";
import type { BarrierFrame } from "../../src/dataflow/channel/frame.ts";

export function barrierFrame(
  checkpointId: number,
  alignment: BarrierAlignment = "aligned",
  alignedTimeoutMs = 0,
): BarrierFrame {
  const options = { alignment, alignedTimeoutMs, triggeredAtMs: 0, savepoint: null, stop: false };
  return { kind: "barrier", checkpointId, options };
}
