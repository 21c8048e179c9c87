/** One value per key: the key's first record, then what the function answers. Emits the new value for each record. */
import { type ValueState, valueState } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { type Lifecycle, resourceOf } from "../lifecycle.ts";
import { type KeySelector, stableKey } from "./key-selector.ts";

/** Name of the one state. */
export const REDUCE_STATE = "aggregate";

/** The answer for a key without an aggregate; every value of the user's is possible as one. */
const NOTHING = Symbol("nothing");

export interface ReduceOperator {
  readonly key: KeySelector;
  readonly reduce: (aggregate: unknown, value: unknown, resource?: unknown) => unknown;
  readonly lifecycle?: Lifecycle | undefined;
}

export const reduce: OperatorKind<ReduceOperator> = {
  name: "reduce",
  describe: () => ({ states: { [REDUCE_STATE]: valueState<unknown>(NOTHING) }, ownStates: true }),
  open({ key, reduce: call, lifecycle }, { id, checks, keyedState }, { main: downstream }) {
    const keyOf = stableKey(id, key, checks);
    const resource = resourceOf(id, lifecycle);
    const reduce: typeof call =
      resource === undefined ? call : (before, value) => call(before, value, resource.value);
    const state = keyedState();
    const aggregate = state.handles[REDUCE_STATE] as ValueState<unknown>;
    return {
      ...resource?.hooks,
      state,
      inputs: [
        (value, timestamp) => {
          let reduced: unknown;
          try {
            state.setCurrentKey(keyOf(value));
            const before = aggregate.get();
            reduced = before === NOTHING ? value : reduce(before, value);
            if (!isAnswer(reduced)) refuseAnswer(id, "reduce answered", reduced);
            aggregate.set(reduced);
          } catch (error) {
            throw failureOf(id, error);
          }
          downstream(reduced, timestamp);
        },
      ],
    };
  },
};
