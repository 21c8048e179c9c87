/** The operator of session windows (session-windows.ts): its states, and how it is opened. */
import { stateTable } from "../../../../state/descriptor.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { OperatorKind, OperatorServices, Outputs } from "../../contract.ts";
import { stableKey } from "../../keyed/key-selector.ts";
import { RECORDS } from "../contents.ts";
import { type FinishableWindows, finishableDetails } from "../definition.ts";
import { withFormer } from "../former/migrating-windows.ts";
import { LateRecords } from "../late-records.ts";
import { openInTime, type TimedWindows } from "../processing-time-windows.ts";
import { WindowOutput } from "../window-output.ts";
import { SessionAccumulators, SessionRecords } from "./session-contents.ts";
import { type GapOf, SESSIONS, SessionWindows } from "./session-windows.ts";

export interface SessionWindowDefinition extends FinishableWindows {
  readonly gapOf: GapOf;
  /** No session is longer, in ms; Infinity: no bound. */
  readonly longest: number;
}

export const sessionWindow: OperatorKind<SessionWindowDefinition> = {
  name: "sessionWindow",
  describe(definition) {
    const keepsRecords = definition.aggregation?.merge === undefined;
    const states = { [SESSIONS]: stateTable(), ...(keepsRecords && { [RECORDS]: stateTable() }) };
    return finishableDetails(definition, states, keepsRecords);
  },
  open: (definition, services, outputs) =>
    openInTime(definition, services, (time) => openAt(definition, services, outputs, time)),
};

function openAt(
  definition: SessionWindowDefinition,
  services: OperatorServices,
  outputs: Outputs,
  time: EventTime,
): TimedWindows {
  const { id, checks, former, keyedState } = services;
  const { key, gapOf, longest, aggregation, process, allowedLateness, lateTag } = definition;
  const state = keyedState();
  const options = { operator: id, state, checks };
  const keyOf = stableKey(id, key, checks);
  const lateOutput = lateTag === undefined ? undefined : outputs.tagged(lateTag);
  const output = new WindowOutput({ operator: id, outputs, state, process });
  const present = new SessionWindows({
    operator: id,
    keyOf,
    gapOf,
    longest,
    allowedLateness,
    state,
    time,
    contents:
      aggregation?.merge === undefined
        ? new SessionRecords(options, aggregation)
        : new SessionAccumulators(options, aggregation),
    late: new LateRecords({ services, time, keyOf, state, output: lateOutput }),
    output,
  });
  return withFormer(present, definition, { operator: id, state, time, output, options, former });
}
