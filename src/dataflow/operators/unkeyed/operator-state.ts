/** State without key on its way into a snapshot and back: one handle for each state of each operator of a subtask. */
import type { OperatorStateHandle, StateHandle } from "../../../../machines/protocol.ts";
import type { OperatorState } from "../../../state/operator-state.ts";

/** The states of a subtask that belong to no key, by operator. */
export type OperatorStates = ReadonlyMap<string, Pick<OperatorState, "cut" | "restore">>;

/** What the states hold at this moment. */
export function operatorStateHandles(states: OperatorStates, subtaskIndex: number): OperatorStateHandle[] {
  return [...states].flatMap(([operator, state]) =>
    state.cut().map((cut) => ({ kind: "operator" as const, operator, subtaskIndex, ...cut })),
  );
}

/** Called before the first record and before `open`. Handles of other operators are left alone. */
export function restoreOperatorStates(states: OperatorStates, handles: readonly StateHandle[]): void {
  for (const handle of handles) if (handle.kind === "operator") states.get(handle.operator)?.restore(handle);
}
