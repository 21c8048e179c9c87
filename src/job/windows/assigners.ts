/** The windows that a job can ask for. They are checked when an operator takes them, so that the message names it. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration, show } from "../../config/quantity.ts";
import type { AlignedWindows } from "../../dataflow/operators/windows/aligned/assigner.ts";
import { type AlignedBounds, alignedBy } from "../../dataflow/operators/windows/aligned/bounds.ts";
import type { CalendarUnit } from "../../dataflow/operators/windows/aligned/calendar.ts";
import type { GapOf } from "../../dataflow/operators/windows/sessions/session-windows.ts";
import { ConfigurationError, OperatorError } from "../../errors.ts";
import { describeValue } from "../../state/described.ts";

declare const divided: unique symbol;

/** Divides records into windows. Made by `tumblingWindows` and the functions beside it. */
export interface WindowAssigner<T = unknown> {
  /** The function that made it. */
  readonly name: string;
  readonly options: object;
  /** Nothing; it carries the type of the records. */
  readonly [divided]?: (value: T) => void;
}

export interface TumblingWindowsOptions {
  /** Length of a window; at least 1 ms. */
  readonly size: Duration;
  /**
   * Where windows begin, counted from 1970-01-01 UTC; smaller than `size`, may be negative ("-8 h"). Default 0.
   */
  readonly offset?: Duration | undefined;
  readonly time?: WindowTime | undefined;
}

export interface SlidingWindowsOptions {
  /** Length of a window; at least 1 ms. */
  readonly size: Duration;
  /** A window begins each so often; at least 1 ms. Longer than `size`: what lies in between is in no window. */
  readonly slide: Duration;
  /** Where windows begin, counted from 1970-01-01 UTC; smaller than `slide`, may be negative. Default 0. */
  readonly offset?: Duration | undefined;
  readonly time?: WindowTime | undefined;
}

export interface CumulateWindowsOptions {
  /** Length of the whole window; a multiple of `step`. */
  readonly size: Duration;
  /** The window is reported each so often, with all that it holds so far; at least 1 ms. */
  readonly step: Duration;
  /** Where windows begin, counted from 1970-01-01 UTC; smaller than `size`, may be negative. Default 0. */
  readonly offset?: Duration | undefined;
  readonly time?: WindowTime | undefined;
}

/** "processing": the wall clock of the worker decides, and no record is late. Default "event". */
export type WindowTime = "event" | "processing";

/** Windows of event time, one behind the other: `tumblingWindows({ size: "5 min" })`. */
export function tumblingWindows(options: TumblingWindowsOptions): WindowAssigner {
  return { name: "tumblingWindows", options };
}

/**
 * Windows of event time that overlap: `slidingWindows({ size: "10 min", slide: "1 min" })`. A record is stored once,
 * however many windows hold it.
 */
export function slidingWindows(options: SlidingWindowsOptions): WindowAssigner {
  return { name: "slidingWindows", options };
}

/**
 * Windows of event time that are reported while they grow: `cumulateWindows({ size: "1 d", step: "1 h" })` answers each
 * hour what the day has come to.
 */
export function cumulateWindows(options: CumulateWindowsOptions): WindowAssigner {
  return { name: "cumulateWindows", options };
}

export interface SessionWindowsOptions<T> {
  /**
   * A session ends when so long no record has come, in event time; at least 1 ms. A function answers it for each
   * record, in ms: the session then lasts to the latest end.
   */
  readonly gap: Duration | ((value: T) => number);
  /** No session gets longer: a record that would make it so begins another one. Default: no bound. */
  readonly maxDuration?: Duration | undefined;
  readonly time?: WindowTime | undefined;
}

/** Sessions: records of a key that follow each other closely in event time: `sessionWindows({ gap: "30 s" })`. */
export function sessionWindows<T = unknown>(options: SessionWindowsOptions<T>): WindowAssigner<T> {
  return { name: "sessionWindows", options };
}

export interface CalendarWindowsOptions {
  /** Weeks begin on Mondays. */
  readonly every: CalendarUnit;
  /** Name of a time zone: "Europe/Berlin". Default "UTC". */
  readonly zone?: string | undefined;
  readonly time?: WindowTime | undefined;
}

/** Days, weeks and months of event time as they are in a time zone: some days have 23 or 25 hours. */
export function calendarWindows(options: CalendarWindowsOptions): WindowAssigner {
  return { name: "calendarWindows", options };
}

export interface CountWindowsOptions {
  /** How many records of a key a window has; a whole number of at least 1. */
  readonly size: number;
}

/** A window for each so many records of a key; what is left at the end of input is one, too. */
export function countWindows(options: CountWindowsOptions): WindowAssigner {
  return { name: "countWindows", options };
}

/** One window for each key, which fires at the end of input. */
export function globalWindows(): WindowAssigner {
  return { name: "globalWindows", options: {} };
}

/** What an operator runs, and the same in words. */
export type ResolvedWindows = { readonly description: string } & (
  | {
      readonly kind: "aligned";
      readonly bounds: AlignedBounds;
      readonly windows: AlignedWindows;
      readonly time: WindowTime;
    }
  | {
      readonly kind: "sessions";
      readonly gapOf: GapOf;
      /** undefined: each record has a gap of its own. */
      readonly gapMs: number | undefined;
      readonly longest: number;
      readonly time: WindowTime;
    }
  | { readonly kind: "counted"; readonly size: number }
);

interface Place {
  readonly id: string;
  /** `operator "counts": tumblingWindows` */
  readonly what: string;
}

type Resolve = (options: Readonly<Record<string, unknown>>, place: Place) => ResolvedWindows;

/** What each of the functions above asks for. */
const kinds: Readonly<Record<string, { readonly members: readonly string[]; readonly resolve: Resolve }>> = {
  tumblingWindows: {
    members: ["size", "offset", "time"],
    resolve({ size, offset, time }, place) {
      const sizeMs = lengthOf(size, "size", place);
      const offsetMs = offsetOf(offset, sizeMs, "size", place);
      const words = `tumbling ${formatDuration(sizeMs)}${besides(offsetMs)}`;
      return aligned({ kind: "tumbling", sizeMs, offsetMs }, words, timeOf(time, place));
    },
  },
  slidingWindows: {
    members: ["size", "slide", "offset", "time"],
    resolve({ size, slide, offset, time }, place) {
      const slideMs = lengthOf(slide, "slide", place);
      const sizeMs = lengthOf(size, "size", place);
      const offsetMs = offsetOf(offset, slideMs, "slide", place);
      const words = `sliding ${formatDuration(sizeMs)} each ${formatDuration(slideMs)}${besides(offsetMs)}`;
      return aligned({ kind: "sliding", sizeMs, slideMs, offsetMs }, words, timeOf(time, place));
    },
  },
  cumulateWindows: {
    members: ["size", "step", "offset", "time"],
    resolve({ size, step, offset, time }, place) {
      const sizeMs = lengthOf(size, "size", place);
      const stepMs = lengthOf(step, "step", place);
      if (sizeMs % stepMs !== 0)
        refuse(place, `size (${show(size)}) must be a multiple of step (${show(step)})`);
      const offsetMs = offsetOf(offset, sizeMs, "size", place);
      const words = `cumulating ${formatDuration(sizeMs)} by ${formatDuration(stepMs)}${besides(offsetMs)}`;
      return aligned({ kind: "cumulating", sizeMs, stepMs, offsetMs }, words, timeOf(time, place));
    },
  },
  calendarWindows: {
    members: ["every", "zone", "time"],
    resolve({ every, zone = "UTC", time }, place) {
      if (every !== "day" && every !== "week" && every !== "month")
        refuse(place, `every must be "day", "week" or "month", got ${show(every)}`);
      return aligned(boundsOf(every, zone, place), `each ${every} in ${zone}`, timeOf(time, place));
    },
  },
  sessionWindows: {
    members: ["gap", "maxDuration", "time"],
    resolve({ gap, maxDuration, time: given }, place) {
      const isBound = maxDuration !== undefined;
      const longest = isBound ? lengthOf(maxDuration, "maxDuration", place) : Number.POSITIVE_INFINITY;
      const time = timeOf(given, place);
      const gapMs = typeof gap === "function" ? undefined : lengthOf(gap, "gap", place);
      const gapInWords = gapMs === undefined ? "a gap of each record" : `a gap of ${formatDuration(gapMs)}`;
      const words = `sessions with ${gapInWords}${isBound ? `, at most ${formatDuration(longest)}` : ""}`;
      const gapOf = gapsOf(place.id, gap, place);
      return { kind: "sessions", gapOf, gapMs, longest, time, description: inTime(words, time) };
    },
  },
  countWindows: {
    members: ["size"],
    resolve({ size }, place) {
      if (!Number.isSafeInteger(size) || Number(size) < 1)
        refuse(place, `size must be a whole number of at least 1, got ${show(size)}`);
      return { kind: "counted", size: Number(size), description: `${size} records` };
    },
  },
  globalWindows: {
    members: [],
    resolve: () => ({ kind: "counted", size: Number.POSITIVE_INFINITY, description: "all records" }),
  },
};

function aligned(bounds: AlignedBounds, words: string, time: WindowTime): ResolvedWindows {
  return { kind: "aligned", bounds, windows: alignedBy(bounds), time, description: inTime(words, time) };
}

const besides = (offsetMs: number): string => (offsetMs === 0 ? "" : `, offset ${offsetMs} ms`);

const inTime = (words: string, time: WindowTime): string =>
  time === "event" ? words : `${words}, processing time`;

function timeOf(time: unknown, place: Place): WindowTime {
  if (time === undefined) return "event";
  if (time === "event" || time === "processing") return time;
  return refuse(place, `time must be "event" or "processing", got ${show(time)}`);
}

function boundsOf(every: CalendarUnit, zone: unknown, place: Place): AlignedBounds {
  try {
    if (typeof zone === "string") {
      const bounds: AlignedBounds = { kind: "calendar", every, zone };
      alignedBy(bounds);
      return bounds;
    }
  } catch {
    // Node does not know it.
  }
  return refuse(place, `zone must be the name of a time zone such as "Europe/Berlin", got ${show(zone)}`);
}

/** The gap behind each record. */
function gapsOf(id: string, gap: unknown, place: Place): GapOf {
  if (typeof gap !== "function") {
    const gapMs = lengthOf(gap, "gap", place);
    return () => gapMs;
  }
  return (value) => {
    const answered: unknown = gap(value);
    if (Number.isInteger(answered) && Number(answered) >= 1 && Number(answered) <= LENGTH_MAX_MS)
      return answered as number;
    throw new OperatorError(
      id,
      new Error(
        "gap of its sessionWindows must answer a whole number of ms, from 1 to 100 years; it answered " +
          describeValue(answered),
      ),
    );
  };
}

/** @throws ConfigurationError that names the operator and the option */
export function resolveWindows(id: string, assigner: unknown): ResolvedWindows {
  const { name, options } = (assigner ?? {}) as { readonly name?: unknown; readonly options?: unknown };
  const kind = typeof name === "string" && Object.hasOwn(kinds, name) ? kinds[name] : undefined;
  if (kind === undefined) {
    throw new ConfigurationError(
      id,
      `operator "${id}": window() takes what one of ${Object.keys(kinds).join(", ")} answers, got ${show(assigner)}`,
    );
  }
  const place = { id, what: `operator "${id}": ${name}` };
  checkMembers(options, kind.members, place.what, "option", id);
  return kind.resolve(options as Readonly<Record<string, unknown>>, place);
}

/** 100 years: longer ones are a mistake in the unit. */
const LENGTH_MAX_MS = 100 * 366 * 86_400_000;

/** A length of at least 1 ms. */
function lengthOf(given: unknown, option: string, place: Place): number {
  const reading = readDuration(given);
  if ("problem" in reading) refuse(place, `${option} ${reading.problem}`);
  const { value } = reading;
  if (value === 0) refuse(place, `${option} must be at least 1 ms, got ${show(given)}`);
  if (value > LENGTH_MAX_MS) refuse(place, `${option} must be at most 100 years, got ${show(given)}`);
  return value;
}

/** An offset may be negative: local time east of Greenwich. */
function offsetOf(given: unknown, limitMs: number, limit: string, place: Place): number {
  if (given === undefined) return 0;
  const isNegative = typeof given === "number" ? given < 0 : typeof given === "string" && /^\s*-/.test(given);
  const size = !isNegative ? given : typeof given === "number" ? -given : String(given).replace("-", "");
  const reading = readDuration(size);
  if ("problem" in reading) refuse(place, `offset ${reading.problem}`);
  if (reading.value >= limitMs) refuse(place, `offset must be smaller than ${limit}, got ${show(given)}`);
  return isNegative && reading.value > 0 ? -reading.value : reading.value;
}

function refuse({ id, what }: Place, problem: string): never {
  throw new ConfigurationError(id, `${what}: ${problem}`);
}
