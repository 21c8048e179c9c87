/** The windows that a job can ask for. They are checked when an operator takes them, so that the message names it. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, readDuration, show } from "../../config/quantity.ts";
import {
  type AlignedWindows,
  cumulating,
  sliding,
  tumbling,
} from "../../dataflow/operators/windows/aligned/assigner.ts";
import type { GapOf } from "../../dataflow/operators/windows/sessions/session-windows.ts";
import { ConfigurationError, OperatorError } from "../../errors.ts";

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
}

export interface SlidingWindowsOptions {
  /** Length of a window; at least 1 ms. */
  readonly size: Duration;
  /** A window begins each so often; at least 1 ms. Longer than `size`: what lies in between is in no window. */
  readonly slide: Duration;
  /** Where windows begin, counted from 1970-01-01 UTC; smaller than `slide`, may be negative. Default 0. */
  readonly offset?: Duration | undefined;
}

export interface CumulateWindowsOptions {
  /** Length of the whole window; a multiple of `step`. */
  readonly size: Duration;
  /** The window is reported each so often, with all that it holds so far; at least 1 ms. */
  readonly step: Duration;
  /** Where windows begin, counted from 1970-01-01 UTC; smaller than `size`, may be negative. Default 0. */
  readonly offset?: Duration | undefined;
}

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
}

/** Sessions: records of a key that follow each other closely in event time: `sessionWindows({ gap: "30 s" })`. */
export function sessionWindows<T = unknown>(options: SessionWindowsOptions<T>): WindowAssigner<T> {
  return { name: "sessionWindows", options };
}

/** What an operator runs. */
export type ResolvedWindows =
  | { readonly kind: "aligned"; readonly windows: AlignedWindows }
  | { readonly kind: "sessions"; readonly gapOf: GapOf; readonly longest: number };

const aligned = (windows: AlignedWindows): ResolvedWindows => ({ kind: "aligned", windows });

interface Place {
  readonly id: string;
  /** `operator "counts": tumblingWindows` */
  readonly what: string;
}

type Resolve = (options: Readonly<Record<string, unknown>>, place: Place) => ResolvedWindows;

/** What each of the functions above asks for. */
const kinds: Readonly<Record<string, { readonly members: readonly string[]; readonly resolve: Resolve }>> = {
  tumblingWindows: {
    members: ["size", "offset"],
    resolve({ size, offset }, place) {
      const sizeMs = lengthOf(size, "size", place);
      return aligned(tumbling(sizeMs, offsetOf(offset, sizeMs, "size", place)));
    },
  },
  slidingWindows: {
    members: ["size", "slide", "offset"],
    resolve({ size, slide, offset }, place) {
      const slideMs = lengthOf(slide, "slide", place);
      const sizeMs = lengthOf(size, "size", place);
      return aligned(sliding(sizeMs, slideMs, offsetOf(offset, slideMs, "slide", place)));
    },
  },
  cumulateWindows: {
    members: ["size", "step", "offset"],
    resolve({ size, step, offset }, place) {
      const sizeMs = lengthOf(size, "size", place);
      const stepMs = lengthOf(step, "step", place);
      if (sizeMs % stepMs !== 0)
        refuse(place, `size (${show(size)}) must be a multiple of step (${show(step)})`);
      return aligned(cumulating(sizeMs, stepMs, offsetOf(offset, sizeMs, "size", place)));
    },
  },
  sessionWindows: {
    members: ["gap", "maxDuration"],
    resolve({ gap, maxDuration }, place) {
      const longest =
        maxDuration === undefined ? Number.POSITIVE_INFINITY : lengthOf(maxDuration, "maxDuration", place);
      return { kind: "sessions", gapOf: gapsOf(place.id, gap, place), longest };
    },
  },
};

/** The gap behind each record. */
function gapsOf(id: string, gap: unknown, place: Place): GapOf {
  if (typeof gap !== "function") {
    const gapMs = lengthOf(gap, "gap", place);
    return () => gapMs;
  }
  return (value) => {
    const answered: unknown = gap(value);
    if (typeof answered === "number" && Number.isSafeInteger(answered) && answered >= 1) return answered;
    throw new OperatorError(
      id,
      new Error(
        `gap of its sessionWindows must answer a whole number of ms, at least 1; it answered ${show(answered)}`,
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
