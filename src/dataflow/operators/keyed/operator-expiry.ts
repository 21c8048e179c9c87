/**
 * The states of a keyed operator whose values have a time to live: what time it is for them, and when those that have
 * expired are removed.
 *
 * Owns: the order of what expires among states, and between it and the operator's timers. Does not own: which rows have
 * expired (state/ttl/expiring-rows.ts), timers (operator-timers.ts), when the chain calls. P84 of machines/PROTOCOL.md.
 *
 * - OX1 By event time, values expire and timers fire in one order of their times, in one pass; at equal times values
 *   expire first. For what runs there it is the time of that timer or that value, and not yet the new watermark. So
 *   what a timer finds does not depend on how far a watermark moves at once.
 * - OX2 At the end of input all values of event time expire. Those that are written by `onExpire` in that pass, and by
 *   what runs behind it, expire no more.
 * - OX3 By processing time, values expire when the clock has come to their time, in a turn of their own or when a
 *   function comes to them, whatever is first; at the end of input only those whose time has come.
 */
import type { Namespace } from "../../../state/contract.ts";
import type { ExpiringState } from "../../../state/handles/kinds.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import type { ExpiringRows } from "../../../state/ttl/expiring-rows.ts";
import type { OperatorServices, Slices } from "../contract.ts";
import type { OperatorTimers } from "./operator-timers.ts";
import { EventTtlClock, PausingTtlClock, ProcessingTtlClock } from "./ttl-clocks.ts";

export { stateOfTimes } from "../../../state/ttl/time-to-live.ts";

/** What has expired. Reused for every value of an operator: read it, do not keep it. */
export interface ExpiredValue {
  /** Name of the state. */
  state: string;
  /**
   * The value that was there, what had been reduced, the result of what had been aggregated; of a list one value, of a
   * map the value of one entry.
   */
  value: unknown;
  /** The key of that entry of a map; else undefined. */
  entry: Namespace;
  /** When it expired, in ms since 1970. -Infinity: the input ended before it had a time. */
  time: number;
}

export interface OperatorExpiryOptions {
  readonly state: KeyedState;
  readonly services: Pick<OperatorServices, "time" | "processingTime">;
  /** undefined: the operator has no timers. */
  readonly timers: OperatorTimers | undefined;
  /** The timestamp of the record or the timer that is being processed. */
  readonly current: { readonly timestamp: number };
  /**
   * Called for each value that has expired, when it is gone; its key is the current one of the state.
   *
   * @param isWithin the user's function for this key has come to it
   */
  readonly onExpire: (expired: ExpiredValue, isOfEventTime: boolean, isWithin: boolean) => void;
}

export class OperatorExpiry {
  private readonly options: OperatorExpiryOptions;
  private readonly ofEventTime: readonly ExpiringRows[];
  private readonly ofProcessingTime: readonly {
    readonly rows: ExpiringRows;
    readonly clock: ProcessingTtlClock;
  }[];
  private readonly event: EventTtlClock;
  private readonly pausing: PausingTtlClock;
  private readonly expired: ExpiredValue = { state: "", value: undefined, entry: undefined, time: 0 };

  constructor(options: OperatorExpiryOptions) {
    this.options = options;
    const { state, services, current } = options;
    const { processingTime } = services;
    this.event = new EventTtlClock(services.time, current);
    this.pausing = new PausingTtlClock(processingTime);
    const counting = new ProcessingTtlClock(processingTime);
    const of = (time: "event" | "processing") => state.expiring.filter(({ rows }) => rows.ttl.time === time);
    this.ofEventTime = of("event").map((one) => {
      one.rows.attach({ clock: this.event, expired: this.tellerOf(one), onEarlier: () => {} });
      return one.rows;
    });
    this.ofProcessingTime = of("processing").map((one) => {
      const { rows } = one;
      const clock = rows.ttl.downtime === "pause" ? this.pausing : counting;
      const onEarlier = (due: number): void => processingTime.wakeAt(clock.wallTimeOf(due) - 1);
      rows.attach({ clock, expired: this.tellerOf(one), onEarlier });
      return { rows, clock };
    });
    if (of("processing").some(({ rows }) => rows.ttl.downtime === "pause")) state.pausingClock = this.pausing;
  }

  restored(): Slices {
    const { state, timers } = this.options;
    const works = [state.orderExpiring(), ...(timers === undefined ? [] : [timers.restored()])];
    return {
      step: () => {
        if (works.length > 0 && !works[0]!.step()) works.shift();
        if (works.length > 0) return true;
        this.pausing.goOn();
        this.wakeForNext();
        return false;
      },
    };
  }

  advance(time: number): Slices | undefined {
    const { timers } = this.options;
    const { event } = this;
    let firing: Slices | undefined;
    const step = (): boolean => {
      const timer = timers?.event.firstTime;
      const timerTime = timer !== undefined && timer <= time ? timer : undefined;
      const rows = this.firstOfEventTime(timerTime ?? time);
      if (rows !== undefined) {
        event.begin(rows.firstDue!, true);
        rows.expireFirst(time);
      } else if (timerTime !== undefined) {
        event.begin(timerTime, false);
        firing ??= timers!.advance(time);
        if (firing?.step() !== true) firing = undefined;
      } else {
        event.end();
        return false;
      }
      return true;
    };
    const timer = timers?.event.firstTime;
    const isDue = (timer !== undefined && timer <= time) || this.firstOfEventTime(time) !== undefined;
    return isDue ? { step } : undefined;
  }

  advanceProcessingTime(timeMs: number): Slices | undefined {
    const expiring = this.expireDue();
    const timers = this.options.timers?.advanceProcessingTime(timeMs);
    if (expiring === undefined && timers === undefined) {
      this.wakeForNext();
      return undefined;
    }
    return {
      step: () => {
        if (expiring?.step() === true || timers?.step() === true) return true;
        this.wakeForNext();
        return false;
      },
    };
  }

  /** Values of processing time whose time has not come stay, for `onEnd`. */
  finish(): Slices {
    const timers = this.options.timers?.finish();
    let expiring: Slices | undefined;
    let isDone = false;
    return {
      step: () => {
        if (timers?.step() === true) return true;
        if (!isDone) {
          expiring ??= this.expireDue();
          isDone = expiring?.step() !== true;
        }
        return !isDone;
      },
    };
  }

  /** The rows of which one expires first, if that is up to `time`. Those that never expire do not, at no time. */
  private firstOfEventTime(time: number): ExpiringRows | undefined {
    let first: ExpiringRows | undefined;
    let firstDue = Number.POSITIVE_INFINITY;
    for (const rows of this.ofEventTime) {
      const { firstDue: due } = rows;
      if (due === undefined || due > time || due >= firstDue) continue;
      first = rows;
      firstDue = due;
    }
    return first;
  }

  /** What is due by now; a clock that goes on meanwhile makes no more of it due. */
  private expireDue(): Slices | undefined {
    const dues = this.ofProcessingTime.map(({ rows, clock }) => ({ rows, time: clock.now() }));
    const next = () => dues.find(({ rows, time }) => rows.firstDue !== undefined && rows.firstDue <= time);
    if (next() === undefined) return undefined;
    return {
      step() {
        const due = next();
        due?.rows.expireFirst(due.time);
        return next() !== undefined;
      },
    };
  }

  private wakeForNext(): void {
    for (const { rows, clock } of this.ofProcessingTime)
      if (rows.firstDue !== undefined)
        this.options.services.processingTime.wakeAt(clock.wallTimeOf(rows.firstDue) - 1);
  }

  private tellerOf({ name, expired: toldOf }: ExpiringState) {
    const { expired } = this;
    const { onExpire } = this.options;
    return ({ ttl }: ExpiringRows, namespace: Namespace, value: unknown, due: number, isWithin: boolean) => {
      const told = toldOf(namespace, value);
      expired.state = name;
      expired.value = told.value;
      expired.entry = told.entry;
      expired.time = due;
      onExpire(expired, ttl.time === "event", isWithin);
    };
  }
}
