/** Builds operators of a drawn job that live by their timers, with the engine's own builder. */
import { mapState, type, valueState } from "../../../../src/index.ts";
import type { KeyedStream } from "../../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../../src/job/stream.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { type DrawnOperator, fired, groupOf, type Item, late, TICK_MS } from "../drawing.ts";
import { dueOf, isFollowed, pauseMsOf, stray } from "../further-functions.ts";

const NEVER = "never";

/**
 * Each item sets an alarm, which tells how many have set it, and may set another one. Beside each alarm there is a
 * timer for a little later, which the alarm deletes.
 */
export function applyAlarm(
  operator: DrawnOperator,
  input: KeyedStream<Item, Key>,
): readonly (readonly [string, Stream<Item>])[] {
  const { id, parallelism } = operator;
  const alarms = input.process(
    id,
    {
      state: { set: mapState<number, number>() },
      output: type<Item>(),
      sideOutputs: { late: type<Item>() },
      timestamps: "required",
      onRecord(item, { timestamp, currentWatermark, state, timers, sideOutput }) {
        const due = dueOf(operator, item, timestamp);
        if (due <= currentWatermark) {
          sideOutput("late", late(id, item));
          return;
        }
        state.set.set(due, (state.set.get(due) ?? 0) + 1);
        timers.registerEventTimer(due);
        timers.registerEventTimer(due + TICK_MS, NEVER);
      },
      onTimer({ time, namespace }, { key, state, timers, emit }) {
        if (namespace === NEVER) {
          emit(stray(id, groupOf(key)));
          return;
        }
        emit(fired(id, groupOf(key), time + 1, state.set.get(time) ?? 0));
        state.set.delete(time);
        timers.deleteEventTimer(time + TICK_MS, NEVER);
        if (isFollowed(operator, time)) timers.registerEventTimer(time + TICK_MS);
      },
    },
    { parallelism },
  );
  return [
    ["", alarms],
    ["late", alarms.sideOutput("late")],
  ];
}

/** Holds back what comes for a key until a timer of processing time lets all of it go. */
export function applyPause(operator: DrawnOperator, input: KeyedStream<Item, Key>): Stream<Item> {
  const { id, a, replays, parallelism } = operator;
  return input.process(
    id,
    {
      state: { held: valueState<readonly Item[]>([]), waits: valueState(false) },
      output: type<Item>(),
      endOfInput: a % 2 === 0 ? "fire" : "drop",
      ...(replays && { replayClock: "resume" }),
      onRecord(item, { state, timers, currentProcessingTime }) {
        state.held.set([...state.held.get(), item]);
        if (state.waits.get()) return;
        state.waits.set(true);
        timers.registerProcessingTimer(Math.floor(currentProcessingTime) + pauseMsOf(operator));
      },
      onTimer(_, { key, state, emit }) {
        if (!state.waits.get()) emit(stray(id, groupOf(key)));
        for (const item of state.held.get()) emit(item);
        state.held.clear();
        state.waits.clear();
      },
      onEnd({ state, emit }) {
        for (const item of state.held.get()) emit(item);
      },
    },
    { parallelism },
  );
}
