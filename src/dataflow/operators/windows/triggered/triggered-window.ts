/** The operator of windows that a trigger decides on (triggered-windows.ts): its states, and how it is opened. */
import { type StateDescriptors, stateTable } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { OperatorKind } from "../../contract.ts";
import { stableKey } from "../../keyed/key-selector.ts";
import { RECORDS } from "../contents.ts";
import { type WindowDefinition, windowDetails } from "../definition.ts";
import { LateRecords } from "../late-records.ts";
import { SessionAccumulators, SessionRecords } from "../sessions/session-contents.ts";
import { WindowOutput, type WindowStates } from "../window-output.ts";
import type { Placement } from "./placement.ts";
import { Retractions } from "./retractions.ts";
import type { WindowTrigger } from "./trigger.ts";
import { TriggeredWindows, WINDOWS } from "./triggered-windows.ts";

export interface TriggeredWindowDefinition extends WindowDefinition {
  readonly placement: Placement;
  readonly trigger: WindowTrigger;
  /** A firing first takes back what the one before it has emitted. */
  readonly retracts: boolean;
  /** States of the window functions for each key and window; each has one value. */
  readonly windowState: StateDescriptors;
  /** States of the window functions for each key. */
  readonly keyState: StateDescriptors;
  /** The trigger needs event time, wherever the windows lie. */
  readonly needsWatermarks: boolean;
}

/** What a user names lies beside the operator's own states: no such name has a blank. */
const windowStateName = (name: string): string => `window state ${name}`;
const KEY_STATE = "key state ";
const keyStateName = (name: string): string => `${KEY_STATE}${name}`;

/** It stays with its key when all windows have gone. */
export const isStateOfKeys = (state: string): boolean => state.startsWith(KEY_STATE);

export const triggeredWindow: OperatorKind<TriggeredWindowDefinition> = {
  name: "triggeredWindow",
  describe: (definition) => ({
    ...windowDetails(definition, {
      [WINDOWS]: stateTable(),
      ...(keepsRecords(definition) && { [RECORDS]: stateTable() }),
      ...named(definition.windowState, windowStateName),
      ...named(definition.keyState, keyStateName),
    }),
    needsWatermarks: definition.needsWatermarks,
    // A result of a window without bounds has a timestamp if one of its records has.
    ...(definition.placement.isGlobal && { needsTimestamps: false }),
  }),
  open(definition, services, outputs) {
    const { key, placement, trigger, aggregation, process, lateTag, retracts } = definition;
    const { id, checks, time } = services;
    const state = services.keyedState();
    const keyOf = stableKey(id, key, checks);
    const lateOutput = lateTag === undefined ? undefined : outputs.tagged(lateTag);
    const options = { operator: id, state, checks };
    const retractions = retracts ? new Retractions(outputs) : undefined;
    return new TriggeredWindows({
      definition,
      services,
      keyOf,
      placement,
      trigger,
      state,
      windowStates: Object.keys(definition.windowState).map(windowStateName),
      contents:
        aggregation === undefined || keepsRecords(definition)
          ? new SessionRecords(options, aggregation)
          : new SessionAccumulators(options, aggregation),
      late: new LateRecords({ services, time, keyOf, state, output: lateOutput }),
      output: new WindowOutput({
        operator: id,
        outputs: retractions?.outputs ?? outputs,
        state,
        process,
        states: statesOf(definition, state),
      }),
      retractions,
    });
  },
};

/** Records are kept where nothing makes one value of several sessions. */
function keepsRecords({ aggregation, placement }: TriggeredWindowDefinition): boolean {
  return aggregation === undefined || (placement.merges && aggregation.merge === undefined);
}

function named(states: StateDescriptors, nameOf: (name: string) => string): StateDescriptors {
  return Object.fromEntries(Object.entries(states).map(([name, descriptor]) => [nameOf(name), descriptor]));
}

function statesOf({ windowState, keyState }: TriggeredWindowDefinition, state: KeyedState): WindowStates {
  const handlesOf = (states: StateDescriptors, nameOf: (name: string) => string) =>
    Object.freeze(
      Object.fromEntries(Object.keys(states).map((name) => [name, state.handles[nameOf(name)]!])),
    );
  return {
    windowState: handlesOf(windowState, windowStateName),
    keyState: handlesOf(keyState, keyStateName),
  };
}
