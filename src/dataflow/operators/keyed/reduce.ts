/** One value per key: the key's first record, then what the function answers. Emits the new value for each record. */
import { type ValueState, valueState } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureOf } from "../failure.ts";
import { type KeySelector, stableKey } from "./key-selector.ts";

/** Name of the one state. */
export const REDUCE_STATE = "aggregate";

/** The answer for a key without an aggregate; every value of the user's is possible as one. */
const NOTHING = Symbol("nothing");

export interface ReduceDefinition {
  readonly key: KeySelector;
  readonly reduce: (aggregate: unknown, value: unknown) => unknown;
}

export const reduce: OperatorKind<ReduceDefinition> = {
  name: "reduce",
  describe: () => ({ states: { [REDUCE_STATE]: valueState<unknown>(NOTHING) }, ownStates: true }),
  open({ key, reduce }, { id, checks, keyedState }, { main: downstream }) {
    const keyOf = stableKey(id, key, checks);
    const state = keyedState();
    const aggregate = state.handles[REDUCE_STATE] as ValueState<unknown>;
    return {
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
