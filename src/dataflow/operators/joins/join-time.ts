/** The event time that a record needs to have a place in a join, and those of one side that come too late. */
import { OperatorError } from "../../../errors.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OperatorServices, Outputs } from "../contract.ts";
import { LateRecords } from "../windows/late-records.ts";
import type { JoinSide } from "./pair-context.ts";

/** @throws OperatorError for a record without a time, or with that of the end of input */
export function checkTime(operator: string, timestamp: number): void {
  if (Number.isFinite(timestamp)) return;
  const why =
    timestamp === NO_TIMESTAMP
      ? "a record has no timestamp, and a join by event time needs one: give the source a timestamp and watermarks"
      : `a record has the timestamp ${timestamp}, and a join needs a time: give it to emit(value, timestamp)`;
  throw new OperatorError(operator, new Error(why));
}

export function lateRecordsOf(
  { key, lateTag }: JoinSide,
  services: OperatorServices,
  state: KeyedState,
  outputs: Outputs,
): LateRecords {
  const output = lateTag === undefined ? undefined : outputs.tagged(lateTag);
  return new LateRecords({ services, time: services.time, keyOf: key, state, output });
}
