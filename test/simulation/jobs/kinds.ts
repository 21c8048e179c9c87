/** Operators that the builder has no method for yet: with two inputs, and with a tagged output. */
import { defineOperator, type OperatorKind } from "../../../src/dataflow/operators/contract.ts";
import type { JobDraft } from "../../../src/job/draft.ts";
import { type ValueState, valueState } from "../../../src/state/descriptor.ts";
import {
  type DrawnOperator,
  groupOf,
  type Item,
  isOdd,
  type KeyKind,
  keyOf,
  marked,
  told,
} from "./drawing.ts";

/** Even items leave by the main output, odd ones by "odd". */
const split: OperatorKind<undefined> = {
  name: "split",
  describe: () => ({ tags: ["odd"] }),
  open(_, __, outputs) {
    const odd = outputs.tagged("odd");
    return {
      inputs: [(value, timestamp) => (isOdd(value as Item) ? odd : outputs.main)(value, timestamp)],
    };
  },
};

/** Says of each item at which port it came in. */
const mark: OperatorKind<DrawnOperator> = {
  name: "mark",
  describe: () => ({ ports: ["left", "right"] }),
  open(operator, _, outputs) {
    const input =
      (port: number) =>
      (value: unknown, timestamp: number): void =>
        outputs.main(marked(operator, value as Item, port), timestamp);
    return { inputs: [input(0), input(1)] };
  },
};

/** Counts each port's items for each key. */
const pair: OperatorKind<{ readonly keys: KeyKind }> = {
  name: "pair",
  describe: () => ({ ports: ["left", "right"], states: { left: valueState(0), right: valueState(0) } }),
  open({ keys }, { id, keyedState }, outputs) {
    const state = keyedState();
    const input = (port: number, name: "left" | "right") => {
      const count = state.handles[name] as ValueState<number>;
      return (value: unknown, timestamp: number): void => {
        const key = keyOf[keys](value as Item);
        state.setCurrentKey(key);
        count.set(count.get() + 1);
        outputs.main(told(`${id}.${port}`, groupOf(key), count.get()), timestamp);
      };
    };
    return { state, inputs: [input(0, "left"), input(1, "right")] };
  },
};

export function applySplit(draft: JobDraft, { id, parallelism }: DrawnOperator, input: object): void {
  draft.apply(defineOperator(split, id, undefined), [input], { parallelism });
}

export function applyMark(draft: JobDraft, operator: DrawnOperator, left: object, right: object): void {
  const { id, parallelism } = operator;
  draft.apply(defineOperator(mark, id, operator), [left, right], { parallelism });
}

export function applyPair(
  draft: JobDraft,
  { id, parallelism, keys }: DrawnOperator & { readonly keys: KeyKind },
  left: object,
  right: object,
): void {
  draft.apply(defineOperator(pair, id, { keys }), [left, right], { parallelism });
}
