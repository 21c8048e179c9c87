/**
 * The ends of the windows of one operator that hold something: which of them are still to come.
 *
 * Owns: how many windows end when, kept where rows change. Does not own: the rows, which it is made from again after a
 * restore. What a trigger would fire at the end is the user's; these windows are not over.
 */
import type { OpenWindows } from "../../contract.ts";
import type { LiveWindow } from "./live-window.ts";

export class OpenEnds {
  private readonly windows = new Map<number, number>();

  /** The windows of a key are others now. */
  changed(before: readonly LiveWindow[], after: readonly LiveWindow[]): void {
    if (before.length === after.length && before.every((window, i) => isAlike(window, after[i]!))) return;
    for (const window of after) if (holds(window)) this.add(window.end, 1);
    for (const window of before) if (holds(window)) this.add(window.end, -1);
  }

  /** @param reached the time that the windows have come to */
  report(reached: number): OpenWindows {
    let open = 0;
    let lastEnd = Number.NEGATIVE_INFINITY;
    for (const [end, windows] of this.windows) {
      if (end - 1 <= reached) continue;
      open += windows;
      if (end > lastEnd) lastEnd = end;
    }
    return { windows: open, of: "keys", lastEndMs: Number.isFinite(lastEnd) ? lastEnd : null };
  }

  private add(end: number, windows: number): void {
    const all = (this.windows.get(end) ?? 0) + windows;
    if (all === 0) this.windows.delete(end);
    else this.windows.set(end, all);
  }
}

const holds = ({ stage, held }: LiveWindow): boolean => stage === "open" && held !== null;

const isAlike = (one: LiveWindow, other: LiveWindow): boolean =>
  one.end === other.end && holds(one) === holds(other);
