/**
 * How many windows of one operator hold something and have not fired, and when the last of them ends.
 *
 * Owns: two numbers, kept where rows change, so that a report costs nothing. Does not own: the rows, which it is made
 * from again after a restore.
 */
import type { OpenWindows } from "../contract.ts";

export class OpenCount {
  private windows = 0;
  /** The last end of those that were opened. It stays until none is open: the window that ends last fires last. */
  private lastEnd = Number.NEGATIVE_INFINITY;

  opened(end: number): void {
    this.windows++;
    if (end > this.lastEnd) this.lastEnd = end;
  }

  over(windows: number): void {
    this.windows -= windows;
    if (this.windows === 0) this.lastEnd = Number.NEGATIVE_INFINITY;
  }

  report(): OpenWindows {
    const { windows, lastEnd } = this;
    return { windows, of: "keys", lastEndMs: Number.isFinite(lastEnd) ? lastEnd : null };
  }
}
