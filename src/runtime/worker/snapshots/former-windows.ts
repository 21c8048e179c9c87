/** The windows of restored state, where the job has others now: the leader has written them beside the state. */
import type { StateHandle } from "../../../../machines/protocol.ts";
import type { FormerWindows } from "../../../dataflow/chain.ts";
import { FORMER_WINDOWS, parseFormerWindows } from "../../../formats/positions/former-windows.ts";

export function formerWindowsIn(states: readonly StateHandle[]): FormerWindows[] {
  return states.flatMap((one) =>
    one.kind === "operator" && one.state === FORMER_WINDOWS
      ? one.entries.map((entry) => ({
          operator: one.operator,
          windows: parseFormerWindows(entry, one.operator),
        }))
      : [],
  );
}
