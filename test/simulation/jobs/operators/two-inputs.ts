/** Operators with two inputs or two outputs, also such as the builder has no method for. */
import { defineOperator, type OperatorKind } from "../../../../src/dataflow/operators/contract.ts";
import { type, valueState } from "../../../../src/index.ts";
import type { JobDraft } from "../../../../src/job/draft.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { type DrawnOperator, groupOf, type Item, isOdd, marked, told } from "../drawing.ts";

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

export function applySplit(draft: JobDraft, { id, parallelism }: DrawnOperator, input: object): void {
  draft.apply(defineOperator(split, id, undefined), [input], { parallelism });
}

export function applyMark(draft: JobDraft, operator: DrawnOperator, left: object, right: object): void {
  const { id, parallelism } = operator;
  draft.apply(defineOperator(mark, id, operator), [left, right], { parallelism });
}

/** Counts each port's items for each key. */
export function applyPair(
  { id, parallelism }: DrawnOperator,
  left: KeyedStream<Item, Key>,
  right: KeyedStream<Item, Key>,
): Stream<Item> {
  return left.connect(right).process(
    id,
    {
      state: { left: valueState(0), right: valueState(0) },
      output: type<Item>(),
      onFirst(_, { key, state, emit }) {
        state.left.set(state.left.get() + 1);
        emit(told(`${id}.0`, groupOf(key), state.left.get()));
      },
      onSecond(_, { key, state, emit }) {
        state.right.set(state.right.get() + 1);
        emit(told(`${id}.1`, groupOf(key), state.right.get()));
      },
    },
    { parallelism },
  );
}
