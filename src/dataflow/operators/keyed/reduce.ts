/** One value per key: the key's first record, then what the function answers. Emits the new value for each record. */
import { ABSENT } from "../../../state/contract.ts";
import { type Key, stateTable } from "../../../state/descriptor.ts";
import { checkGiven } from "../../../state/handles/given.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { OperatorKind } from "../contract.ts";
import { failureAtKey } from "../failure.ts";
import { type Lifecycle, resourceOf } from "../lifecycle.ts";
import { type KeySelector, stableKey } from "./key-selector.ts";

/** Name of the one state. */
export const REDUCE_STATE = "aggregate";

export interface ReduceOperator {
  readonly key: KeySelector;
  readonly reduce: (aggregate: unknown, value: unknown, resource?: unknown) => unknown;
  readonly lifecycle?: Lifecycle | undefined;
  /** true: records of one key become one in front of the exchange. Default false. */
  readonly combine?: boolean;
}

export const reduce: OperatorKind<ReduceOperator> = {
  name: "reduce",
  // A table, because undefined and null are records, and so may be aggregates.
  describe: ({ reduce, combine, lifecycle }) => ({
    states: { [REDUCE_STATE]: stateTable() },
    ownStates: true,
    mayCombine: combine !== true && lifecycle === undefined,
    ...(combine === true && { combine: { joins: { kind: "records" as const, reduce } } }),
  }),
  open({ key, reduce: call, lifecycle }, { id, checks, keyedState }, { main: downstream }) {
    const keyOf = stableKey(id, key, checks);
    const resource = resourceOf(id, lifecycle);
    const reduce: typeof call =
      resource === undefined ? call : (before, value) => call(before, value, resource.value);
    const state = keyedState();
    const aggregate = state.table(REDUCE_STATE);
    return {
      ...resource?.hooks,
      state,
      inputs: [
        (value, timestamp) => {
          let reduced: unknown;
          let key: Key | undefined;
          try {
            key = keyOf(value);
            state.setCurrentKey(key);
            const before = aggregate.read();
            reduced = before === ABSENT ? value : reduce(before, value);
            if (!isAnswer(reduced)) refuseAnswer(id, "reduce answered", reduced);
            if (checks) checkGiven(REDUCE_STATE, reduced);
            aggregate.write(reduced);
          } catch (error) {
            throw failureAtKey(id, error, state, key);
          }
          downstream(reduced, timestamp);
        },
      ],
    };
  },
};
