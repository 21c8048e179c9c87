/**
 * Builds operators of a drawn job whose single results follow from when things happen, with the engine's own builder.
 * Behind each stands one that tells how many items the results are of together.
 */
import { assign, setup } from "xstate";
import {
  countWindows,
  sessionWindows,
  tumblingWindows,
  type,
  valueState,
  type WindowAssigner,
} from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { fired, groupOf, type Item, keyOf, TICK_MS, told } from "../drawing.ts";
import { counting, countWindowOf } from "../further-functions.ts";
import type { SummingOperator } from "../oracle/conserved.ts";

type Input = KeyedStream<Item, Key>;

export function applySumming(operator: SummingOperator, input: Input): Stream<Item> {
  return eachOf(operator, resultsOf(operator, input));
}

/** What an operator tells of so many items of one key. */
const some = (id: string, key: Key, count: number): Item => fired(id, groupOf(key), 0, count);

function resultsOf(operator: SummingOperator, input: Input): Stream<Item> {
  switch (operator.kind) {
    case "clockWindow":
      return byTheClock(operator, input);
    case "countWindow":
      return byCount(operator, input);
    case "migrating":
      return inOtherWindows(operator, input);
    case "hourglass":
      return forgetting(operator, input);
    case "mortal":
      return mortals(operator, input);
  }
}

function eachOf({ id, parallelism }: SummingOperator, results: Stream<Item>): Stream<Item> {
  return results
    .keyBy(({ key }) => key)
    .process(
      `${id}-each`,
      {
        state: { total: valueState(0) },
        output: type<Item>(),
        onRecord({ key, n }, { state, emit }) {
          const before = state.total.get();
          for (let at = before + 1; at <= before + n; at++) emit(told(id, key, at));
          state.total.set(before + n);
        },
      },
      { parallelism },
    );
}

const replaying = ({ replays }: SummingOperator) => (replays ? ({ replayClock: "resume" } as const) : {});

function byTheClock(operator: SummingOperator, input: Input): Stream<Item> {
  const { id, a, b, parallelism } = operator;
  const ms = 50 + 90 * a;
  const windows: WindowAssigner<Item> =
    b % 3 === 0
      ? sessionWindows({ gap: ms, time: "processing" })
      : tumblingWindows({ size: ms, time: "processing" });
  return input
    .window(windows, replaying(operator))
    .aggregate(id, counting, (count, { key }) => some(id, key, count), { parallelism });
}

function byCount(operator: SummingOperator, input: Input): Stream<Item> {
  const { id, parallelism } = operator;
  const { size, firesRest } = countWindowOf(operator);
  return input
    .window(countWindows({ size }), { endOfInput: firesRest ? "fire" : "drop" })
    .process(id, (items, { key }) => some(id, key, items.length), { parallelism });
}

/** Each life of the job may have other windows; an item lies in one, whichever they are. */
function inOtherWindows(operator: SummingOperator, input: Input): Stream<Item> {
  const { id, keys, a, b, form = 0, parallelism } = operator;
  const shape = a + form;
  const windows: WindowAssigner<Item> =
    shape % 3 === 0
      ? sessionWindows({ gap: TICK_MS * (1 + (shape % 4)) })
      : tumblingWindows({ size: TICK_MS * (2 + 3 * (shape % 5)) });
  const windowed = input.window(windows, { lateOutput: "late", migrateWindows: "finish-old" });
  const results =
    b % 2 === 0
      ? windowed.aggregate(id, counting, (count, { key }) => some(id, key, count), { parallelism })
      : windowed.process(id, (items, { key }) => some(id, key, items.length), { parallelism });
  const late = results
    .sideOutput("late")
    .map(`${id}-late`, ({ value }) => some(id, keyOf[keys](value), 1), { parallelism });
  return results.union(late);
}

/** Counts what comes for a key for as long as it keeps coming. */
function forgetting(operator: SummingOperator, input: Input): Stream<Item> {
  const { id, a, b, parallelism } = operator;
  const ttl = {
    after: 40 + 110 * a,
    time: "processing",
    updateOn: a % 2 === 0 ? "write" : "readAndWrite",
    downtime: b % 2 === 0 ? "pause" : "count",
  } as const;
  return input.process(
    id,
    {
      state: { seen: valueState(0, { ttl }) },
      output: type<Item>(),
      ...replaying(operator),
      onRecord(_, { state }) {
        state.seen.set(state.seen.get() + 1);
      },
      onExpire({ value }, { key, emit }) {
        emit(some(id, key, value));
      },
      onEnd({ key, state, emit }) {
        const seen = state.seen.get();
        if (seen > 0) emit(some(id, key, seen));
      },
    },
    { parallelism },
  );
}

/**
 * Actors that have an end: behind so many items, or when none comes for a while. Their state has another name in each
 * form.
 */
function mortals(operator: SummingOperator, input: Input): Stream<Item> {
  const { id, a, b, form = 0, parallelism } = operator;
  const alive = (of: number): string => `alive${of}`;
  const itemsMax = 2 + (b % 5);
  const machine = setup({
    types: { events: {} as { type: "ITEM" }, context: {} as { readonly count: number } },
    actions: { count: assign({ count: ({ context }) => context.count + 1 }) },
    guards: { isLast: ({ context }) => context.count + 1 === itemsMax },
  }).createMachine({
    context: { count: 0 },
    initial: alive(form),
    states: {
      [alive(form)]: {
        on: { ITEM: [{ guard: "isLast", target: "gone", actions: "count" }, { actions: "count" }] },
      },
      gone: { type: "final" },
    },
  });
  const tell = (actor: { readonly key: Key; readonly context: { readonly count: number } }): Item =>
    some(id, actor.key, actor.context.count);
  const others = Array.from({ length: FORMS }, (_, other) => other).filter((other) => other !== form);
  const migrate = ({ context }: { readonly context: { readonly count: number } }) => ({
    value: alive(form),
    context,
  });
  return input.machine(
    id,
    {
      machine,
      event: () => ({ type: "ITEM" as const }),
      time: a % 2 === 0 && !operator.replays ? "event" : "processing",
      idle: a % 2 === 0 && !operator.replays ? TICK_MS * (1 + a) : 60 * a,
      endOfInput: "fire",
      version: String(form),
      migrate: Object.fromEntries(others.map((other) => [String(other), migrate])),
      done: (_, actor) => tell(actor),
      expired: tell,
      ...replaying(operator),
    },
    { parallelism },
  ) as Stream<Item>;
}

/** A job has not so many lives. */
export const FORMS = 6;
