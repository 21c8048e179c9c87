/** Where days, weeks and months of a zone begin, against dates that are known. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { type CalendarUnit, calendar } from "../../../src/dataflow/operators/windows/aligned/calendar.ts";

const at = (iso: string): number => Date.parse(iso);

const known: [zone: string, every: CalendarUnit, time: string, start: string, end: string][] = [
  ["UTC", "day", "2024-02-29T12:00:00Z", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"],
  // 23 and 25 hours.
  ["Europe/Berlin", "day", "2024-03-31T12:00:00Z", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"],
  ["Europe/Berlin", "day", "2024-10-27T12:00:00Z", "2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"],
  // Clocks go from 0:00 to 1:00: the day begins at 1:00.
  ["America/Sao_Paulo", "day", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"],
  // 30 December 2011 was left out in Samoa.
  ["Pacific/Apia", "day", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"],
  ["Pacific/Apia", "day", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"],
  ["Europe/Berlin", "week", "2024-04-07T21:59:59Z", "2024-03-31T22:00:00Z", "2024-04-07T22:00:00Z"],
  ["Asia/Kolkata", "month", "2024-02-10T00:00:00Z", "2024-01-31T18:30:00Z", "2024-02-29T18:30:00Z"],
  ["UTC", "month", "1969-12-31T23:59:59Z", "1969-12-01T00:00:00Z", "1970-01-01T00:00:00Z"],
];

test.each(known)(
  "%s, each %s: the one of %s begins at %s and ends at %s",
  (zone, every, time, start, end) => {
    const windows = calendar(every, zone);
    const pane = windows.paneOf(at(time));
    expect(pane).toBe(at(start));
    expect(windows.firstEnd(pane)).toBe(at(end));
    expect(windows.startOf(at(end))).toBe(at(start));
  },
);

test("a time lies in the window that begins in front of it, also in many zones", () => {
  const zones = fc.constantFrom(
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Asia/Kathmandu",
  );
  const units = fc.constantFrom<CalendarUnit>("day", "week", "month");
  const times = fc.integer({ min: at("1900-01-01T00:00:00Z"), max: at("2100-01-01T00:00:00Z") });
  fc.assert(
    fc.property(zones, units, times, (zone, every, time) => {
      const windows = calendar(every, zone);
      const pane = windows.paneOf(time);
      expect(pane <= time && time < windows.paneEnd(pane)).toBe(true);
      expect(windows.paneOf(pane)).toBe(pane);
      expect(windows.paneOf(windows.paneEnd(pane) - 1)).toBe(pane);
    }),
    { numRuns: 60 },
  );
});
