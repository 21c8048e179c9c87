/** The context of a trigger, and what its functions may answer. */
import type { Key } from "../../../../state/descriptor.ts";
import { freezePlain } from "../../../../state/frozen.ts";
import { refuseValue } from "../../../../state/plain-value.ts";
import { refuseAnswer } from "../../../guards/answers.ts";
import { describeNoTime, isTime } from "../../../time/times.ts";
import type { OperatorServices } from "../../contract.ts";
import type { TimerKind } from "../../keyed/operator-timers.ts";
import { type LiveWindow, newWindow } from "./live-window.ts";
import {
  TRIGGER_RESULTS,
  type TriggerContext,
  type TriggerResult,
  type TriggerState,
  type WindowTrigger,
} from "./trigger.ts";

export interface DecisionOptions {
  readonly services: Pick<OperatorServices, "id" | "checks" | "time" | "processingTime">;
  readonly trigger: WindowTrigger;
  readonly time: TimerKind;
  /** How far the time of the windows has come. */
  readonly reached: () => number;
  /** How far processing time has been worked off. Infinity: to the end of input. */
  readonly clockReached: () => number;
}

const wantedAnswers = TRIGGER_RESULTS.map((result) => `"${result}"`).join(" or ");

/** Asks the trigger about one window after the other, each a copy that is not stored yet. */
export class Decision implements TriggerContext {
  key: Key = "";
  window: LiveWindow = newWindow({ start: 0, end: 0 });
  timestamp = 0;
  readonly time: TimerKind;
  readonly state: TriggerState;
  readonly registerTimer: TriggerContext["registerTimer"];
  readonly deleteTimer: TriggerContext["deleteTimer"];
  private readonly options: DecisionOptions;
  private isOpen = false;

  constructor(options: DecisionOptions) {
    this.options = options;
    this.time = options.time;
    this.registerTimer = (time, kind = this.time) => this.register(time, kind);
    this.deleteTimer = (time, kind = this.time) => this.delete(time, kind);
    const setState = (value: unknown): void => {
      this.checkIsOpen("state");
      this.window.trigger = value;
    };
    this.state = {
      get: () => {
        this.checkIsOpen("state");
        return this.window.trigger ?? undefined;
      },
      set: (value) => {
        if (value === undefined || value === null || (options.services.checks && !freezePlain(value)))
          refuseValue(value, "what the state of a trigger is to hold");
        setState(value);
      },
      clear: () => setState(null),
    };
  }

  get hasChanged(): boolean {
    return this.window.hasChanged;
  }

  get currentTime(): number {
    return this.options.reached();
  }

  get currentWatermark(): number {
    return this.options.services.time.watermark;
  }

  get currentProcessingTime(): number {
    return Math.max(this.options.services.processingTime.nowMs(), this.options.clockReached());
  }

  onRecord(key: Key, window: LiveWindow, value: unknown, timestamp: number): TriggerResult {
    const { trigger } = this.options;
    this.begin(key, window, timestamp);
    return this.end("onRecord", trigger.onRecord(value, this));
  }

  onTimer(key: Key, window: LiveWindow, time: number, kind: TimerKind): TriggerResult {
    const { trigger } = this.options;
    this.begin(key, window, time);
    this.checkHasOnTimer();
    return this.end("onTimer", trigger.onTimer!({ time, kind }, this));
  }

  onMerge(key: Key, window: LiveWindow, timestamp: number, states: readonly unknown[]): void {
    this.begin(key, window, timestamp);
    this.options.trigger.onMerge!(this, states);
    this.isOpen = false;
  }

  private begin(key: Key, window: LiveWindow, timestamp: number): void {
    this.key = key;
    this.window = window;
    this.timestamp = timestamp;
    this.isOpen = true;
  }

  private end(name: string, answered: TriggerResult): TriggerResult {
    this.isOpen = false;
    if (!TRIGGER_RESULTS.includes(answered)) {
      const { services, trigger } = this.options;
      refuseAnswer(services.id, `${name} of trigger "${trigger.name}" answered`, answered, wantedAnswers);
    }
    return answered;
  }

  private register(time: number, kind: TimerKind): void {
    this.checkTimer("registerTimer", time, kind);
    // The window may end before the timer is due, and would then have fired nothing in silence.
    this.checkHasOnTimer();
    // At the end of input all times have come: in a window without end, one timer would follow the other for ever.
    const hasEnded = kind === "event" && this.currentWatermark === Number.POSITIVE_INFINITY;
    if (time === Number.POSITIVE_INFINITY || (hasEnded && this.window.end === Number.POSITIVE_INFINITY))
      return;
    const { [kind]: times } = this.window;
    if (!times.includes(time)) this.window[kind] = [...times, time];
  }

  private delete(time: number, kind: TimerKind): void {
    this.checkTimer("deleteTimer", time, kind);
    this.window[kind] = this.window[kind].filter((other) => other !== time);
  }

  private checkTimer(method: string, time: unknown, kind: unknown): void {
    this.checkIsOpen(method);
    if (kind !== "event" && kind !== "processing")
      throw new Error(`${method} of a trigger takes as kind "event" or "processing"`);
    if (!isTime(time) && time !== Number.POSITIVE_INFINITY)
      throw new Error(`${method} of a trigger was given as time ${describeNoTime(time)}`);
  }

  private checkHasOnTimer(): void {
    const { trigger } = this.options;
    if (trigger.onTimer !== undefined) return;
    throw new Error(
      `trigger "${trigger.name}" has registered a timer, and there is no onTimer that the timer could call: define one`,
    );
  }

  private checkIsOpen(what: string): void {
    if (!this.isOpen) throw new Error(`${what} of a trigger was used outside of its functions`);
  }
}
