/**
 * Which windows of its key a record lies in, for each kind of windows.
 *
 * Owns: where the windows lie. Does not own: the arithmetic (aligned/assigner.ts), which sessions a record joins
 * (sessions/session.ts), what becomes of the windows (triggered-windows.ts).
 */
import type { AlignedWindows } from "../aligned/assigner.ts";
import { join } from "../sessions/session.ts";
import type { GapOf } from "../sessions/session-windows.ts";
import type { Window } from "../window-output.ts";
import type { LiveWindow } from "./live-window.ts";

/** A window that a record goes into, and which of the key's windows it takes the place of: `from` to `to`. */
export interface Place extends Window {
  readonly from: number;
  readonly to: number;
  readonly gap: number;
}

export interface Placement {
  /** The windows may grow and become one. */
  readonly merges: boolean;
  /** The windows have no end. */
  readonly isGlobal: boolean;
  /**
   * In order. Empty: the record lies in no window. undefined: it is late, whatever the watermark.
   * @param windows those of the key, in order
   */
  placesOf(windows: readonly LiveWindow[], timestamp: number, value: unknown): readonly Place[] | undefined;
}

export function alignedPlacement(aligned: AlignedWindows): Placement {
  return {
    merges: false,
    isGlobal: false,
    placesOf(windows, timestamp) {
      const pane = aligned.paneOf(timestamp);
      const lastEnd = aligned.lastEnd(pane);
      const places: Place[] = [];
      let at = 0;
      for (let end = aligned.firstEnd(pane); end <= lastEnd; end = aligned.nextEnd(end)) {
        while (at < windows.length && windows[at]!.end < end) at++;
        const isThere = at < windows.length && windows[at]!.end === end;
        places.push({ start: aligned.startOf(end), end, from: at, to: isThere ? at + 1 : at, gap: 0 });
      }
      return places;
    },
  };
}

export function sessionPlacement(gapOf: GapOf, longest: number): Placement {
  return {
    merges: true,
    isGlobal: false,
    placesOf(windows, timestamp, value) {
      const gap = gapOf(value);
      const joining = join(windows, timestamp, gap, longest);
      return joining && [{ ...joining, gap }];
    },
  };
}

const WHOLE = { start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY, from: 0, gap: 0 };

export const globalPlacement: Placement = {
  merges: false,
  isGlobal: true,
  placesOf: (windows) => [{ ...WHOLE, to: windows.length }],
};
