/**
 * Days, weeks and months of a time zone: they begin when the clocks there show it, so some days have 23 or 25 hours.
 *
 * Owns: where they begin and end. Bounds follow from the zone database of Node's ICU; a window whose records are there
 * already begins where it began then.
 */
import type { AlignedWindows } from "./assigner.ts";

export type CalendarUnit = "day" | "week" | "month";

const DAY_MS = 86_400_000;
const YEARS_OF_CYCLE = 400;
const DAYS_OF_CYCLE = 146_097;
/** No zone is further from UTC, changes of the clock included. */
const ZONE_MAX_MS = 27 * 3_600_000;
/** Bounds that are remembered: looking one up costs some 50 microseconds. */
const REMEMBERED_MAX = 64;
/** 1970-01-01 was a Thursday; weeks begin on Mondays (ISO 8601). */
const FIRST_MONDAY = 4;

interface Span {
  readonly start: number;
  readonly end: number;
}

/** @throws RangeError for a zone that is not in the database */
export function calendar(every: CalendarUnit, zone: string): AlignedWindows {
  const days = new LocalDays(zone);
  let spans: Span[] = [];
  const spanOf = (time: number): Span => {
    const known = spans.find(({ start, end }) => start <= time && time < end);
    if (known !== undefined) return known;
    const [first, next] = unitOf(every, days.dateOf(time));
    const span = { start: days.startOf(first), end: days.startOf(next) };
    spans = [span, ...spans.slice(0, REMEMBERED_MAX - 1)];
    return span;
  };
  const endOf = (pane: number): number => spanOf(pane).end;
  return {
    paneOf: (time) => spanOf(time).start,
    paneEnd: endOf,
    firstEnd: endOf,
    lastEnd: endOf,
    nextEnd: endOf,
    startOf: (end) => spanOf(end - 1).start,
    windowsPerPane: 1,
    isSinglePane: true,
  };
}

/** A day as the calendar shows it; months from 0. */
interface LocalDate {
  readonly year: number;
  readonly month: number;
  readonly day: number;
}

/** Days from 1970-01-01 on. `month` may be the one behind the last of the year. */
function dayNumber({ year, month, day }: LocalDate): number {
  // The calendar is the same every 400 years, and Date.UTC takes the years up to 99 for others.
  const cycles = Math.floor((year - 2000) / YEARS_OF_CYCLE);
  return Date.UTC(year - cycles * YEARS_OF_CYCLE, month, day) / DAY_MS + cycles * DAYS_OF_CYCLE;
}

/** The first day of the unit that holds a date, and that of the next one. */
function unitOf(every: CalendarUnit, date: LocalDate): readonly [first: number, next: number] {
  const day = dayNumber(date);
  switch (every) {
    case "day":
      return [day, day + 1];
    case "week": {
      const monday = Math.floor((day - FIRST_MONDAY) / 7) * 7 + FIRST_MONDAY;
      return [monday, monday + 7];
    }
    case "month": {
      const first = { ...date, day: 1 };
      return [dayNumber(first), dayNumber({ ...first, month: date.month + 1 })];
    }
  }
}

/** The days of a zone, counted from its 1970-01-01. */
class LocalDays {
  private readonly format: Intl.DateTimeFormat;

  constructor(zone: string) {
    this.format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      calendar: "gregory",
      numberingSystem: "latn",
      era: "short",
      year: "numeric",
      month: "numeric",
      day: "numeric",
    });
  }

  /** The date that the calendar shows there at a time. */
  dateOf(time: number): LocalDate {
    const shown: Record<string, string> = {};
    for (const { type, value } of this.format.formatToParts(time)) shown[type] = value;
    const year = shown.era?.startsWith("B") === true ? 1 - Number(shown.year) : Number(shown.year);
    return { year, month: Number(shown.month) - 1, day: Number(shown.day) };
  }

  /** The first ms of a day; where clocks are put forward over its beginning or all of it, the first one behind. */
  startOf(day: number): number {
    let before = day * DAY_MS - ZONE_MAX_MS;
    let from = day * DAY_MS + ZONE_MAX_MS;
    while (from - before > 1) {
      const middle = Math.floor((before + from) / 2);
      if (dayNumber(this.dateOf(middle)) >= day) from = middle;
      else before = middle;
    }
    return from;
  }
}
