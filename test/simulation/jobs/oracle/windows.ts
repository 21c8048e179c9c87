/**
 * What operators that go by event time must put out: computed with arrays and maps from the drawing alone.
 *
 * - EW1 If no record can come late, results depend on no order. A record can come late where its source is in disorder;
 *   there they can be foretold only while there is one order: that of a single split, on one way.
 */
import {
  type DrawnJob,
  type DrawnOperator,
  fired,
  firedSession,
  groupOf,
  IN_ORDER,
  type Item,
  JOIN_KINDS,
  keyOf,
  late,
  PASSING_KINDS,
  stampOf,
  TICK_MS,
  TIMED_KINDS,
  type TimedKind,
  windowsOf,
} from "../drawing.ts";
import { firingsOf, latenessOf } from "../further-functions.ts";
import { alarmed } from "./alarms.ts";
import { KeySessions } from "./sessions.ts";

export type TimedOperator = Extract<DrawnOperator, { readonly kind: TimedKind }>;

/** The timestamp of an item; undefined: it cannot be foretold. */
export type TimeOf = (item: Item) => number | undefined;

export function timesIn(job: DrawnJob): TimeOf {
  const operators = new Map(job.operators.map((one) => [one.id, one]));
  const restamps = job.operators.some(({ kind }) => kind === "restamp");
  return (item) => {
    const operator = operators.get(item.by);
    const kind = operator?.kind;
    if (kind === "intervalJoin" || kind === "versionedJoin") return item.at;
    if (operator !== undefined && isTimed(operator)) return item.at - 1 + latenessOf(operator);
    if (isAmong(JOIN_KINDS, kind)) return item.at - 1;
    const source = job.sources.find(({ id }) => item.by.startsWith(`${id}/`));
    if (source === undefined || (source.time === undefined && !restamps)) return undefined;
    return stampOf(source.time ?? IN_ORDER, item);
  };
}

export const isTimed = (operator: DrawnOperator): operator is TimedOperator =>
  isAmong(TIMED_KINDS, operator.kind);

export const isJoin = ({ kind }: DrawnOperator): boolean =>
  isAmong(JOIN_KINDS, kind) || isAmong(PASSING_KINDS, kind);

function isAmong(kinds: readonly string[], kind: string | undefined): boolean {
  return kind !== undefined && kinds.includes(kind);
}

/** The source in disorder that items of this maker may come from. */
export function disorderOf(job: DrawnJob, maker: string) {
  const source = job.sources.find(({ id }) => maker.startsWith(`${id}/`));
  return (source?.time?.disorder ?? 0) > 0 ? source : undefined;
}

/** What an operator puts out; undefined: it follows from the order in which items come. */
export type Outcome = { readonly results: readonly Item[]; readonly late: readonly Item[] } | undefined;

interface Open {
  readonly start: number;
  readonly end: number;
  count: number;
}

/**
 * @param items in their order, if `boundMs` is given
 * @param boundMs how much older than the newest record one may be; undefined: none comes late
 */
export function windowed(
  operator: TimedOperator,
  items: readonly Item[],
  timeOf: TimeOf,
  boundMs: number | undefined,
): Outcome {
  const { id, keys } = operator;
  if (operator.kind === "session") return inSessions(operator, items, timeOf, boundMs);
  if (operator.kind === "alarm") return alarmed(operator, items, timeOf, boundMs);
  const latenessMs = latenessOf(operator);
  const results: Item[] = [];
  const tooLate: Item[] = [];
  const open = new Map<number, Map<number, Open>>();
  let newest = Number.NEGATIVE_INFINITY;
  const fireUpTo = (watermark: number): void => {
    for (const [key, windows] of open)
      for (const window of [...windows.values()].sort((a, b) => a.end - b.end)) {
        if (window.end - 1 + latenessMs > watermark) continue;
        for (const count of countsTold(operator, window.count))
          results.push(fired(id, key, window.end, count));
        windows.delete(window.end);
      }
  };
  for (const item of items) {
    const time = timeOf(item)!;
    const watermark = boundMs === undefined ? Number.NEGATIVE_INFINITY : newest - boundMs - 1;
    fireUpTo(watermark);
    const key = groupOf(keyOf[keys](item));
    const windows = open.get(key) ?? new Map<number, Open>();
    open.set(key, windows);
    let taken = false;
    for (const [start, end] of boundsAt(operator, time)) {
      if (end - 1 + latenessMs <= watermark) continue;
      taken = true;
      const window = windows.get(end) ?? { start, end, count: 0 };
      window.count++;
      windows.set(end, window);
    }
    if (!taken) tooLate.push(late(id, item));
    newest = Math.max(newest, time);
  }
  fireUpTo(Number.POSITIVE_INFINITY);
  return { results, late: tooLate };
}

/** What a window tells of so many records, a number for each result. */
function countsTold(operator: TimedOperator, count: number): readonly number[] {
  if (operator.kind === "timer") return [0];
  const firings = operator.kind === "triggered" ? firingsOf(operator) : undefined;
  if (firings?.by !== "count") return [count];
  const times = Math.floor(count / firings.count);
  const rest = count % firings.count;
  const told = Array.from({ length: times }, (_, i) => firings.count * (firings.purges ? 1 : i + 1));
  return rest > 0 && firings.firesRest ? [...told, firings.purges ? rest : count] : told;
}

function inSessions(
  operator: TimedOperator,
  items: readonly Item[],
  timeOf: TimeOf,
  boundMs: number | undefined,
): Outcome {
  const { id, keys } = operator;
  const results: Item[] = [];
  const tooLate: Item[] = [];
  const sessions = new Map<number, KeySessions>();
  let newest = Number.NEGATIVE_INFINITY;
  const endUpTo = (watermark: number): void => {
    for (const [key, one] of sessions)
      for (const ended of one.endUpTo(watermark))
        results.push(firedSession(id, key, ended, ended.items.length));
  };
  for (const item of items) {
    const time = timeOf(item)!;
    const watermark = boundMs === undefined ? Number.NEGATIVE_INFINITY : newest - boundMs - 1;
    endUpTo(watermark);
    const key = groupOf(keyOf[keys](item));
    const mine = sessions.get(key) ?? new KeySessions(operator);
    sessions.set(key, mine);
    if (!mine.take({ item, time }, watermark)) tooLate.push(late(id, item));
    newest = Math.max(newest, time);
  }
  endUpTo(Number.POSITIVE_INFINITY);
  const isForetold = boundMs !== undefined || [...sessions.values()].every(({ touches }) => !touches);
  return isForetold ? { results, late: tooLate } : undefined;
}

/** The beginnings and ends of the windows that a record at this time lies in. */
export function boundsAt(operator: Parameters<typeof windowsOf>[0], time: number): [number, number][] {
  const { sizeMs, slideMs, offsetMs } = windowsOf(operator);
  // What counts the records of this time lives as long as a window.
  if (operator.kind === "expiring") return [[time, time + sizeMs + 1]];
  const before = (step: number) => time - ((((time - offsetMs) % step) + step) % step);
  if (operator.kind === "cumulating") {
    const start = before(sizeMs);
    const ends = Array.from({ length: sizeMs / slideMs }, (_, i) => start + (i + 1) * slideMs);
    return ends.filter((end) => end > time).map((end) => [start, end]);
  }
  const bounds: [number, number][] = [];
  for (let start = before(slideMs); start > time - sizeMs; start -= slideMs)
    bounds.push([start, start + sizeMs]);
  return bounds;
}

export const boundOf = (bound: number): number => bound * TICK_MS;
