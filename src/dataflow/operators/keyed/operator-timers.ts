/**
 * The timers of a keyed operator, those of event time and those of processing time, and when they fire.
 *
 * Owns: which of the two sets fires when the chain calls. Does not own: the sets (state/timers/timer-set.ts), what a
 * timer does (the operator), when the chain calls.
 *
 * An operator declares `timerStates` among its states, and hands the calls of the chain on to the methods of the same
 * name: P78 of machines/PROTOCOL.md.
 */
import type { Namespace } from "../../../state/contract.ts";
import { type Key, stateTable } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { Rearming } from "../../../state/timers/rearming.ts";
import { TimerSet, type TimerSlices } from "../../../state/timers/timer-set.ts";
import type { ProcessingTime } from "../../time/processing-time.ts";
import type { Slices } from "../contract.ts";

/** No state of a user's has a blank in its name. */
export const EVENT_TIMERS = "event timers";
export const PROCESSING_TIMERS = "processing timers";

export const timerStates = { [EVENT_TIMERS]: stateTable(), [PROCESSING_TIMERS]: stateTable() } as const;

export type TimerKind = "event" | "processing";

/** What becomes of pending processing-time timers when the input has ended: they fire at once, or are dropped. */
export type TimersAtEnd = "fire" | "drop";

export interface OperatorTimersOptions {
  readonly state: KeyedState;
  readonly processingTime: ProcessingTime;
  readonly atEnd: TimersAtEnd;
  /** Called for each timer that is due; its key is the current one of the state. */
  readonly onTimer: (kind: TimerKind, key: Key, time: number, namespace: Namespace) => void;
}

export class OperatorTimers {
  /** Timers of the current key. */
  readonly event: TimerSet;
  readonly processing: TimerSet;
  private readonly options: OperatorTimersOptions;
  private readonly fireEvent: (key: Key, time: number, namespace: Namespace) => void;
  private readonly fireProcessing: (key: Key, time: number, namespace: Namespace) => void;

  constructor(options: OperatorTimersOptions) {
    const { state, processingTime, onTimer } = options;
    this.options = options;
    const rearming = new Rearming();
    this.event = new TimerSet({ table: EVENT_TIMERS, state, rearming });
    this.processing = new TimerSet({
      table: PROCESSING_TIMERS,
      state,
      rearming,
      onEarlier: (time) => processingTime.wakeAt(time),
    });
    this.fireEvent = (key, time, namespace) => onTimer("event", key, time, namespace);
    this.fireProcessing = (key, time, namespace) => onTimer("processing", key, time, namespace);
  }

  /** How many are pending, by kind. */
  figures(): Readonly<Record<string, number>> {
    return { eventTimers: this.event.size, processingTimers: this.processing.size };
  }

  restored(): Slices {
    const sets = [this.event.order(), this.processing.order()];
    return {
      step: () => {
        if (sets.length > 0 && !sets[0]!.step()) sets.shift();
        if (sets.length > 0) return true;
        this.wakeForNext();
        return false;
      },
    };
  }

  advance(time: number): Slices | undefined {
    return this.event.fire(time, this.fireEvent);
  }

  advanceProcessingTime(timeMs: number): Slices | undefined {
    const due = this.processing.fire(timeMs, this.fireProcessing);
    if (due === undefined) {
      this.wakeForNext();
      return undefined;
    }
    return {
      step: () => {
        if (due.step()) return true;
        this.wakeForNext();
        return false;
      },
    };
  }

  /** Until no timer is left: one may register others. */
  finish(): Slices {
    let due: TimerSlices | undefined;
    return {
      step: () => {
        due ??= this.dueAtEnd();
        if (due === undefined) return false;
        if (!due.step()) due = undefined;
        return true;
      },
    };
  }

  /** Event timers are left where they were registered behind the last watermark. */
  private dueAtEnd(): TimerSlices | undefined {
    const left = this.event.fire(Number.POSITIVE_INFINITY, this.fireEvent);
    if (left !== undefined) return left;
    return this.options.atEnd === "fire"
      ? this.processing.fire(Number.POSITIVE_INFINITY, this.fireProcessing)
      : this.processing.clear();
  }

  private wakeForNext(): void {
    const next = this.processing.firstTime;
    if (next !== undefined) this.options.processingTime.wakeAt(next);
  }
}
