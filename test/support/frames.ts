/** Frames as tests send them. */
import type { BarrierAlignment } from "../../machines/protocol.ts";
import type { BarrierFrame } from "../../src/dataflow/channel/frame.ts";
import { barrierOptions } from "./checkpoint-options.ts";

export function barrierFrame(
  checkpointId: number,
  alignment: BarrierAlignment = "aligned",
  alignedTimeoutMs = 0,
): BarrierFrame {
  return { kind: "barrier", checkpointId, options: barrierOptions(alignment, { alignedTimeoutMs }) };
}
