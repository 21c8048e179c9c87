/** Builds the operators of a drawn job that go by event time, with the engine's own builder. */
import { assign, raise, setup } from "xstate";
import { mapState, type, valueState } from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { fired, firedSession, groupOf, type Item, keyOf, late, windowsOf } from "../drawing.ts";
import { counting } from "../further-functions.ts";
import { applyCombinedWindow } from "../operators/hot-keys.ts";
import type { TimedOperator } from "../oracle/windows.ts";
import { assignerOf } from "./assigners.ts";
import { applyPatient } from "./patient.ts";
import { applyAlarm } from "./timers.ts";
import { applyTriggered } from "./triggers.ts";

/** The streams by output; "" is the main one. */
export function applyTimed(
  operator: TimedOperator,
  plain: Stream<Item>,
): readonly (readonly [string, Stream<Item>])[] {
  const { id, kind, parallelism } = operator;
  if (kind === "combinedWindow") return [["", applyCombinedWindow(operator, plain)]];
  const input: KeyedStream<Item, Key> = plain.keyBy(keyOf[operator.keys]);
  if (kind === "timer")
    return [["", operator.a % 2 === 0 ? timing(operator, input) : actors(operator, input)]];
  if (kind === "alarm") return applyAlarm(operator, input);
  if (kind === "triggered") return applyTriggered(operator, input);
  if (kind === "patient") return applyPatient(operator, input);
  if (kind === "expiring") return [["", forgetting(operator, input)]];
  const windowed = input.window(assignerOf(operator), { lateOutput: "late" });
  const options = { parallelism };
  const tell = (
    count: number,
    { key, window }: { readonly key: Key; readonly window: { readonly start: number; readonly end: number } },
  ) =>
    kind === "session"
      ? firedSession(id, groupOf(key), window, count)
      : fired(id, groupOf(key), window.end, count);
  const results =
    (kind === "session" ? operator.b : operator.a) % 2 === 0
      ? windowed.process(id, (items, context) => tell(items.length, context), options)
      : windowed.aggregate(id, counting, tell, options);
  const refused = results.sideOutput("late").map(`${id}-late`, ({ value }) => late(id, value), options);
  return [
    ["", results],
    ["late", refused],
  ];
}

/** Tells for each key and each window that has a record that its time has come. */
function timing(operator: TimedOperator, input: KeyedStream<Item, Key>): Stream<Item> {
  const { id, parallelism } = operator;
  const { sizeMs } = windowsOf(operator);
  return input.process(
    id,
    {
      state: { seen: valueState(0) },
      output: type<Item>(),
      timestamps: "required",
      onRecord(_, { timestamp, state, timers }) {
        state.seen.set(state.seen.get() + 1);
        timers.registerEventTimer(Math.floor(timestamp / sizeMs) * sizeMs + sizeMs - 1);
      },
      onTimer({ time }, { key, emit }) {
        emit(fired(id, groupOf(key), time + 1, 0));
      },
    },
    { parallelism },
  );
}

type Told = { type: "ITEM" | "DUE"; end: number; delayMs: number };

/** The same as `timing`, as actors of a machine: the times that are still to come lie in the context. */
function actors(operator: TimedOperator, input: KeyedStream<Item, Key>): Stream<Item> {
  const { id, parallelism } = operator;
  const { sizeMs } = windowsOf(operator);
  const machine = setup({
    types: { events: {} as Told, context: {} as { readonly ends: readonly number[] } },
    actions: {
      wait: raise(({ event }) => ({ ...event, type: "DUE" as const }), {
        delay: ({ event }) => event.delayMs,
      }),
      remember: assign({ ends: ({ context, event }) => [...context.ends, event.end] }),
      forget: assign({ ends: ({ context, event }) => context.ends.filter((end) => end !== event.end) }),
      fire: (_, _params: { end: number }) => {},
    },
    guards: { isNew: ({ context, event }) => !context.ends.includes(event.end) },
  }).createMachine({
    context: { ends: [] },
    on: {
      ITEM: { guard: "isNew", actions: ["remember", "wait"] },
      DUE: { actions: ["forget", { type: "fire", params: ({ event }) => ({ end: event.end }) }] },
    },
  });
  return input.machine(
    id,
    {
      machine,
      event(_, { timestamp }): Told {
        const end = Math.floor(timestamp / sizeMs) * sizeMs + sizeMs;
        return { type: "ITEM", end, delayMs: end - 1 - timestamp };
      },
      emit: () => undefined,
      effect: ({ params }, { key }) => fired(id, groupOf(key), (params as { readonly end: number }).end, 0),
    },
    { parallelism },
  );
}

/** Counts for each key the records of one time, and tells the count when it is forgotten. */
function forgetting(operator: TimedOperator, input: KeyedStream<Item, Key>): Stream<Item> {
  const { id, parallelism } = operator;
  const { sizeMs } = windowsOf(operator);
  return input.process(
    id,
    {
      state: { counts: mapState<number, number>({ ttl: { after: sizeMs, time: "event" } }) },
      output: type<Item>(),
      onRecord(_, { timestamp, state }) {
        state.counts.set(timestamp, (state.counts.get(timestamp) ?? 0) + 1);
      },
      onExpire({ value, time }, { key, emit }) {
        emit(fired(id, groupOf(key), time + 1, value));
      },
    },
    { parallelism },
  );
}
