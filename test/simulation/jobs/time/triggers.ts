/** Builds windows with triggers, with the engine's own builder. */
import {
  continuousEventTimeTrigger,
  continuousProcessingTimeTrigger,
  countTrigger,
  processingTimeTrigger,
  purgingTrigger,
  type,
  valueState,
  type WindowTrigger,
} from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { fired, groupOf, type Item, late, TICK_MS } from "../drawing.ts";
import { counting, type Firings, firingsOf, latenessOf, stray } from "../further-functions.ts";
import type { TimedOperator } from "../oracle/windows.ts";
import { assignerOf } from "./assigners.ts";

interface Firing {
  readonly change: "add" | "retract";
  readonly value: Item;
}

interface FiringContext {
  readonly key: Key;
  readonly window: { readonly end: number };
  readonly index: number;
  readonly windowState: { readonly fired: { get(): number; set(value: number): void } };
}

/** Each firing tells how many records it is of, and is checked to be counted right. */
export function applyTriggered(
  operator: TimedOperator,
  input: KeyedStream<Item, Key>,
): readonly (readonly [string, Stream<Item>])[] {
  const { id, parallelism } = operator;
  const firings = firingsOf(operator);
  const options = {
    trigger: triggerOf(firings),
    windowState: { fired: valueState(0) },
    lateOutput: "late",
    ...(operator.replays && { replayClock: "resume" as const }),
  } as const;
  const allowedLateness = latenessOf(operator);
  const tell = (length: number, { key, window, index, windowState }: FiringContext): Item => {
    const before = windowState.fired.get();
    windowState.fired.set(before + 1);
    return before === index ? fired(id, groupOf(key), window.end, length) : stray(id, groupOf(key));
  };
  const windowed = input.window(assignerOf(operator), { ...options, allowedLateness });
  if (firings.by === "count") {
    const results = windowed.process(id, (items, context) => tell(items.length, context), { parallelism });
    return [
      ["", results],
      ["late", lateOf(operator, results.sideOutput("late"))],
    ];
  }
  if (firings.purges) {
    const results = windowed.aggregate(id, counting, tell, { parallelism });
    const added = results.map(`${id}-added`, (value): Firing => ({ change: "add", value }), { parallelism });
    return [
      ["", settled(operator, added)],
      ["late", lateOf(operator, results.sideOutput("late"))],
    ];
  }
  const changes = input
    .window(assignerOf(operator), { ...options, allowedLateness, retract: true })
    .process(id, (items, context) => tell(items.length, context), { parallelism });
  return [
    ["", settled(operator, changes)],
    ["late", lateOf(operator, changes.sideOutput("late"))],
  ];
}

const lateOf = (
  { id, parallelism }: TimedOperator,
  refused: Stream<{ readonly value: Item }>,
): Stream<Item> => refused.map(`${id}-late`, ({ value }) => late(id, value), { parallelism });

function triggerOf(firings: Firings): WindowTrigger<unknown, never> {
  const trigger = plainTriggerOf(firings) as WindowTrigger<unknown, never>;
  return firings.purges ? purgingTrigger(trigger) : trigger;
}

function plainTriggerOf(firings: Firings): object {
  switch (firings.by) {
    case "count":
      return countTrigger(firings.count, { rest: firings.firesRest ? "fire" : "drop" });
    case "event time":
      return continuousEventTimeTrigger(TICK_MS);
    case "processing time":
      return continuousProcessingTimeTrigger(100);
    case "clock":
      return processingTimeTrigger();
  }
}

/** Tells for each key and window, when it is gone, what its firings have come to. */
function settled(operator: TimedOperator, firings: Stream<Firing>): Stream<Item> {
  const { id, parallelism } = operator;
  const latenessMs = latenessOf(operator);
  const { purges } = firingsOf(operator);
  return firings
    .keyBy(({ value }) => `${value.key} ${value.at}`)
    .process(
      `${id}-settled`,
      {
        state: { count: valueState(0) },
        output: type<Item>(),
        timestamps: "required",
        onRecord({ change, value }, { timestamp, state, timers, emit }) {
          const before = state.count.get();
          if (value.by !== id) {
            emit(value);
            return;
          }
          // What takes the place of a result comes behind its retraction.
          if (!purges && before !== (change === "add" ? 0 : value.n)) emit(stray(id, value.key));
          state.count.set(before + (change === "add" ? value.n : -value.n));
          timers.registerEventTimer(timestamp + latenessMs);
        },
        onTimer(_, { key, state, emit }) {
          const [group, end] = key.split(" ").map(Number) as [number, number];
          emit(fired(id, group, end, state.count.get()));
          state.count.clear();
        },
      },
      { parallelism },
    );
}
