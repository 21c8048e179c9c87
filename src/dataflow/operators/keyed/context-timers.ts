/** The timers in the hands of a user's function: what it asks for is looked at, and refused with a reason. */
import { OperatorError } from "../../../errors.ts";
import type { Namespace } from "../../../state/contract.ts";
import { describeValue } from "../../../state/described.ts";
import { describeNoTime, isTime } from "../../time/times.ts";
import type { OperatorTimers } from "./operator-timers.ts";

/**
 * Timers of the current key. A timer is told by its time, its key and its namespace: registering it again changes
 * nothing (Flink: TimerService).
 *
 * @throws OperatorError for a time that is no whole number, and outside of `onRecord` and `onTimer`
 */
export interface ContextTimers {
  /**
   * `onTimer` is called when the watermark has come to `time`, in ms since 1970. A time that the watermark has passed
   * fires as soon as it moves again. Infinity: at the end of input.
   */
  registerEventTimer(time: number, namespace?: string | number): void;
  /** Does nothing if there is no such timer. */
  deleteEventTimer(time: number, namespace?: string | number): void;
  /** `onTimer` is called when the clock of the worker has passed `time`, in ms since 1970. */
  registerProcessingTimer(time: number, namespace?: string | number): void;
  /** Does nothing if there is no such timer. */
  deleteProcessingTimer(time: number, namespace?: string | number): void;
}

export class CheckedTimers implements ContextTimers {
  private readonly operator: string;
  private readonly timers: OperatorTimers | undefined;
  private readonly whyNot: () => string | undefined;

  /**
   * @param timers undefined: the operator has no `onTimer`
   * @param whyNot what is wrong with a call at this moment
   */
  constructor(operator: string, timers: OperatorTimers | undefined, whyNot: () => string | undefined) {
    this.operator = operator;
    this.timers = timers;
    this.whyNot = whyNot;
  }

  registerEventTimer(time: number, namespace?: Namespace): void {
    this.checked("registerEventTimer", time, namespace).event.register(time, namespace);
  }

  deleteEventTimer(time: number, namespace?: Namespace): void {
    this.checked("deleteEventTimer", time, namespace).event.delete(time, namespace);
  }

  registerProcessingTimer(time: number, namespace?: Namespace): void {
    this.checked("registerProcessingTimer", time, namespace).processing.register(time, namespace);
  }

  deleteProcessingTimer(time: number, namespace?: Namespace): void {
    this.checked("deleteProcessingTimer", time, namespace).processing.delete(time, namespace);
  }

  private checked(method: keyof ContextTimers, time: unknown, namespace: unknown): OperatorTimers {
    if (this.timers === undefined) {
      this.refuse(`${method} was called, and there is no onTimer that the timer could call: define one`);
    }
    const whyNot = this.whyNot();
    if (whyNot !== undefined) this.refuse(`${method} was called ${whyNot}`);
    const isOfEvents = method.endsWith("EventTimer");
    if (!isTime(time) && !(isOfEvents && time === Number.POSITIVE_INFINITY)) {
      const orEnd = isOfEvents ? ", or Infinity for the end of input" : "";
      this.refuse(`${method} was given as time ${describeNoTime(time)}${orEnd}`);
    }
    if (namespace !== undefined && typeof namespace !== "string" && typeof namespace !== "number") {
      this.refuse(`${method} was given ${describeValue(namespace)} as namespace: it is a text or a number`);
    }
    return this.timers;
  }

  private refuse(why: string): never {
    throw new OperatorError(this.operator, new Error(why));
  }
}
