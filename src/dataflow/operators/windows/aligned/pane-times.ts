/** The panes that hold something in a window that has not fired: which window fires next. */
import type { AlignedWindows } from "./assigner.ts";

/** Whether the last ms in front of `end` has come. Infinity: there is no such window. */
export function isDue(end: number, time: number): boolean {
  return end <= time + 1 && end !== Number.POSITIVE_INFINITY;
}

export class PaneTimes {
  private readonly windows: AlignedWindows;
  /** From the earliest, each once. */
  private readonly panes: number[] = [];
  /** The one that was added last, if it is there. */
  private last = Number.NaN;

  constructor(windows: AlignedWindows) {
    this.windows = windows;
  }

  add(pane: number): void {
    if (pane === this.last) return;
    this.last = pane;
    const { panes } = this;
    let first = 0;
    let behind = panes.length;
    while (first < behind) {
      const middle = (first + behind) >> 1;
      if (panes[middle]! < pane) first = middle + 1;
      else behind = middle;
    }
    if (panes[first] !== pane) panes.splice(first, 0, pane);
  }

  /** End of the first window behind `firedTo` that holds a pane. Infinity: none does. */
  nextEnd(firedTo: number): number {
    const { windows, panes } = this;
    if (panes.length === 0) return Number.POSITIVE_INFINITY;
    const first = windows.firstEnd(panes[0]!);
    return first > firedTo ? first : windows.firstEnd(windows.paneOf(firedTo));
  }

  /** The panes from `first` on that start before `end`. */
  between(first: number, end: number): number[] {
    return this.panes.filter((pane) => pane >= first && pane < end);
  }

  /** All windows that end at `firedTo` or earlier have fired. */
  drop(firedTo: number): void {
    const { windows, panes } = this;
    let over = 0;
    while (over < panes.length && windows.lastEnd(panes[over]!) <= firedTo) over++;
    if (over === 0) return;
    panes.splice(0, over);
    this.last = Number.NaN;
  }
}
