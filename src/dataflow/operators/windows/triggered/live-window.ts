/** A window of a key that a trigger decides on, as it is stored; and what a record does to the windows of its key. */
import type { Window } from "../window-output.ts";

/** Plain data. Never changed once it is written: a change is made to a copy. */
export interface LiveWindow {
  readonly start: number;
  /** The first ms that is not in it; Infinity: it has no end. */
  readonly end: number;
  /** The longest gap of its records in ms, for a session. */
  gap: number;
  /** "closed": it holds nothing, and keeps other sessions out of its bounds. */
  stage: "open" | "closed";
  /** How often it has fired. */
  firings: number;
  /** It has fired at its end. */
  isOnTime: boolean;
  /** A record has come since it fired last. */
  hasChanged: boolean;
  /** The largest of its records in ms. */
  timestamp: number;
  /** null: nothing. */
  held: unknown;
  /** State of the trigger; null: none. */
  trigger: unknown;
  /** Timers of the trigger that are pending, in ms. */
  event: readonly number[];
  processing: readonly number[];
  /** The index of the operator names the key at this time or earlier; Infinity: it does not. */
  eventDue: number;
  processingDue: number;
  /** What its last firing emitted, where that is taken back. */
  emitted: readonly unknown[];
}

export function newWindow({ start, end }: Window): LiveWindow {
  return {
    start,
    end,
    gap: 0,
    stage: "open",
    firings: 0,
    isOnTime: false,
    hasChanged: false,
    timestamp: Number.NEGATIVE_INFINITY,
    held: null,
    trigger: null,
    event: [],
    processing: [],
    eventDue: Number.POSITIVE_INFINITY,
    processingDue: Number.POSITIVE_INFINITY,
    emitted: [],
  };
}

/** One window of what was in several, without contents, timers and state of the trigger. */
export function joined(windows: readonly LiveWindow[], bounds: Window): LiveWindow {
  const one = newWindow(bounds);
  for (const window of windows) {
    one.gap = Math.max(one.gap, window.gap);
    one.firings = Math.max(one.firings, window.firings);
    one.isOnTime ||= window.isOnTime;
    one.hasChanged ||= window.hasChanged;
    one.timestamp = Math.max(one.timestamp, window.timestamp);
    one.eventDue = Math.min(one.eventDue, window.eventDue);
    one.processingDue = Math.min(one.processingDue, window.processingDue);
    one.emitted = [...one.emitted, ...window.emitted];
  }
  return one;
}
