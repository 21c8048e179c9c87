/** Builds aggregations in two stages for a drawn job, with the engine's own builder. */
import { type, valueState } from "../../../../src/index.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import { type DrawnOperator, fired, groupOf, type Item, type KeyKind, keyOf, told } from "../drawing.ts";
import { assignerOf } from "../time/assigners.ts";

type KeyedOperator = Extract<DrawnOperator, { readonly keys: KeyKind }>;

/** An item that stands for one record of its key. */
function ones({ id, keys, parallelism }: KeyedOperator, input: Stream<Item>): Stream<Item> {
  return input.map(`${id}-one`, (item) => told(id, groupOf(keyOf[keys](item)), 1), { parallelism });
}

const added =
  (id: string) =>
  (all: Item, { at }: Item): Item =>
    told(id, all.key, all.at + at);

/** Counts; how many records one result is of depends on what came together, so each record between two is told. */
export function applyCombined(operator: KeyedOperator, input: Stream<Item>): Stream<Item> {
  const { id, parallelism } = operator;
  return ones(operator, input)
    .keyBy(({ key }) => key)
    .reduce(id, added(id), { parallelism, combine: true })
    .keyBy(({ key }) => key)
    .process(
      `${id}-each`,
      {
        state: { last: valueState(0) },
        output: type<Item>(),
        onRecord(item, { state, emit }) {
          for (let at = state.last.get() + 1; at <= item.at; at++) emit(told(id, item.key, at));
          state.last.set(Math.max(state.last.get(), item.at));
        },
      },
      { parallelism },
    );
}

export function applyCombinedWindow(operator: KeyedOperator, input: Stream<Item>): Stream<Item> {
  const { id, parallelism } = operator;
  return ones(operator, input)
    .keyBy(({ key }) => key)
    .window(assignerOf(operator))
    .reduce(id, added(id), ({ at }, { key, window }) => fired(id, key, window.end, at), {
      parallelism,
      combine: true,
    });
}
