/** The delays of one actor: `after`, `raise` with a delay, and how long it may be idle. AC2 of actors.ts. */
import type { EventObject } from "xstate";
import type { TimerSet } from "../../../state/timers/timer-set.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import { isTime } from "../../time/times.ts";
import type { StoredDelay } from "./stored-actor.ts";

/** Not a delay of the machine's: the actor is looked at, and goes if no event has come. */
export const IDLE = 0;

export class Delays {
  list: readonly StoredDelay[];
  isChanged = false;
  private readonly timers: Pick<TimerSet, "register" | "delete">;
  private readonly nowMs: number;

  /** @param nowMs time of the event; NO_TIMESTAMP: it has none */
  constructor(timers: Pick<TimerSet, "register" | "delete">, nowMs: number, list: readonly StoredDelay[]) {
    this.timers = timers;
    this.nowMs = nowMs;
    this.list = list;
  }

  /** @param id undefined: XState gives it none, so it cannot be canceled, and several may be under way */
  begin(id: string | number | undefined, delayMs: number, event: EventObject | null): void {
    const own = id ?? this.freeNumber();
    this.end(own);
    this.isChanged = true;
    const time = this.timeIn(delayMs);
    this.list = [...this.list, { id: own, time, event }];
    this.timers.register(time, own);
  }

  /** Does nothing if there is none of that id. */
  end(id: string | number): void {
    const delay = this.list.find((one) => one.id === id);
    if (delay === undefined) return;
    this.timers.delete(delay.time, id);
    this.remove(delay);
  }

  /** A timer has fired: its delay, which is under way no more. undefined: there is none. */
  over(id: string | number, time: number): StoredDelay | undefined {
    const delay = this.list.find((one) => one.id === id && one.time === time);
    if (delay !== undefined) this.remove(delay);
    return delay;
  }

  /** @param but the id of one that stays */
  endAll(but?: string | number): void {
    for (const { id } of this.list) if (id !== but) this.end(id);
  }

  private remove(delay: StoredDelay): void {
    this.isChanged = true;
    this.list = this.list.filter((one) => one !== delay);
  }

  private freeNumber(): number {
    let number = IDLE + 1;
    while (this.list.some(({ id }) => id === number)) number++;
    return number;
  }

  private timeIn(delayMs: number): number {
    if (this.nowMs === NO_TIMESTAMP)
      throw new Error(
        "a delay of an actor begins with a record that has no timestamp: give the source a timestamp, or the operator " +
          'time: "processing"',
      );
    const time = this.nowMs + Math.max(0, Math.ceil(delayMs));
    if (isTime(time)) return time;
    throw new Error(`a delay of its machine is ${String(delayMs)}: a number of milliseconds is needed`);
  }
}
