/** WA1 to WA3: where windows lie, against what each assigner says of itself in words. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AlignedWindows,
  cumulating,
  sliding,
  tumbling,
} from "../../../src/dataflow/operators/windows/aligned/assigner.ts";

/** Times in front of 1970, today, and where doubles still hold each millisecond. */
const times = fc.oneof(
  fc.integer({ min: -1000, max: 1000 }),
  fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }),
  fc.integer({ min: -8_000_000_000_000_000, max: 8_000_000_000_000_000 }),
);
const lengths = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(60_000, 86_400_000));

/** The ends of all windows that hold a time, by the answers for its pane. */
function endsOf(windows: AlignedWindows, time: number): number[] {
  const pane = windows.paneOf(time);
  const ends: number[] = [];
  for (let end = windows.firstEnd(pane); end <= windows.lastEnd(pane); end = windows.nextEnd(end))
    ends.push(end);
  return ends;
}

const remainder = (value: number, by: number) =>
  Number(((BigInt(value) % BigInt(by)) + BigInt(by)) % BigInt(by));

describe("a time lies in its pane, and in the windows that hold the pane", () => {
  const checkPane = (windows: AlignedWindows, time: number) => {
    const pane = windows.paneOf(time);
    expect(pane <= time && time < windows.paneEnd(pane)).toBe(true);
    for (const end of endsOf(windows, time)) {
      const start = windows.startOf(end);
      expect(start <= pane && windows.paneEnd(pane) <= end).toBe(true);
    }
  };

  test("tumbling: one window, whose start is a multiple of the size behind the offset", () => {
    fc.assert(
      fc.property(times, lengths, fc.integer({ min: -39, max: 39 }), (time, size, shift) => {
        const offset = shift % size;
        const windows = tumbling(size, offset);
        checkPane(windows, time);
        const start = time - remainder(time - offset, size);
        expect(endsOf(windows, time)).toEqual([start + size]);
      }),
    );
  });

  test("sliding: each window that begins at a multiple of the slide and holds the time, no other", () => {
    const short = fc.integer({ min: 1, max: 40 });
    fc.assert(
      fc.property(times, short, short, fc.integer({ min: -39, max: 39 }), (time, size, slide, shift) => {
        const offset = shift % slide;
        const windows = sliding(size, slide, offset);
        checkPane(windows, time);
        const starts: number[] = [];
        const last = time - remainder(time - offset, slide);
        for (let start = last; start > time - size; start -= slide) starts.unshift(start);
        expect(endsOf(windows, time)).toEqual(starts.map((start) => start + size));
        expect(endsOf(windows, time).length <= windows.windowsPerPane).toBe(true);
      }),
    );
  });

  test("cumulating: each step from the one that holds the time to the end of the whole window", () => {
    const few = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(times, lengths, few, fc.integer({ min: -39, max: 39 }), (time, step, steps, shift) => {
        const size = step * steps;
        const offset = shift % size;
        const windows = cumulating(size, step, offset);
        checkPane(windows, time);
        const base = time - remainder(time - offset, size);
        const ends: number[] = [];
        for (let end = base + step; end <= base + size; end += step) if (end > time) ends.push(end);
        expect(endsOf(windows, time)).toEqual(ends);
        for (const end of ends) expect(windows.startOf(end)).toBe(base);
      }),
    );
  });
});
