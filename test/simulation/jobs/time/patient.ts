/** Builds windows that stay for late records, with the engine's own builder. */
import { type, valueState } from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { fired, groupOf, type Item, late } from "../drawing.ts";
import { counting, latenessOf, stray } from "../further-functions.ts";
import type { TimedOperator } from "../oracle/windows.ts";
import { assignerOf } from "./assigners.ts";

interface Firing {
  readonly index: number;
  readonly isLate: boolean;
  readonly value: Item;
}

interface FiringContext {
  readonly key: Key;
  readonly window: { readonly end: number };
  readonly firing: string;
  readonly index: number;
}

/** Each firing is of one record more than the one before it, and is checked to be the next one. */
export function applyPatient(
  operator: TimedOperator,
  input: KeyedStream<Item, Key>,
): readonly (readonly [string, Stream<Item>])[] {
  const { id, b, parallelism } = operator;
  const options = { parallelism };
  const windowed = input.window(assignerOf(operator), {
    lateOutput: "late",
    allowedLateness: latenessOf(operator),
  });
  const tell = (count: number, { key, window, firing, index }: FiringContext): Firing => ({
    index,
    isLate: firing === "late",
    value: fired(id, groupOf(key), window.end, count),
  });
  const firings =
    b % 2 === 0
      ? windowed.process(id, (items, context) => tell(items.length, context), options)
      : windowed.aggregate(id, counting, tell, options);
  const refused = firings.sideOutput("late").map(`${id}-late`, ({ value }) => late(id, value), options);
  return [
    ["", lastOfEach(operator, firings)],
    ["late", refused],
  ];
}

/** Tells for each key and window, when it is gone, what its last firing was. */
function lastOfEach(operator: TimedOperator, firings: Stream<Firing>): Stream<Item> {
  const { id, parallelism } = operator;
  const latenessMs = latenessOf(operator);
  return firings
    .keyBy(({ value }) => `${value.key} ${value.at}`)
    .process(
      `${id}-settled`,
      {
        state: { firings: valueState(0), count: valueState(0) },
        output: type<Item>(),
        timestamps: "required",
        onRecord({ index, isLate, value }, { timestamp, state, timers, emit }) {
          // The first one is late, too, where the window had nothing in time.
          const isNext = index === state.firings.get() && (isLate || index === 0);
          const isOneMore = index === 0 || value.n === state.count.get() + 1;
          if (!isNext || !isOneMore) emit(stray(id, value.key));
          state.firings.set(index + 1);
          state.count.set(value.n);
          timers.registerEventTimer(timestamp + latenessMs);
        },
        onTimer(_, { key, state, emit }) {
          const [group, end] = key.split(" ").map(Number) as [number, number];
          emit(fired(id, group, end, state.count.get()));
          state.firings.clear();
          state.count.clear();
        },
      },
      { parallelism },
    );
}
