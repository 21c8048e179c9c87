/** The panes that hold something in a window that has not fired: which window fires next. */
import type { OpenWindows } from "../../contract.ts";
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
    return panes.length === 0 ? Number.POSITIVE_INFINITY : firstBehind(windows, panes[0]!, firedTo);
  }

  /** The windows behind `firedTo` that hold a pane. */
  openWindows(firedTo: number): OpenWindows {
    const { windows, panes } = this;
    let open = 0;
    let last = firedTo;
    for (const pane of panes) {
      const lastEnd = windows.lastEnd(pane);
      if (lastEnd <= last) continue;
      for (let end = firstBehind(windows, pane, last); end <= lastEnd; end = windows.nextEnd(end)) open++;
      last = lastEnd;
    }
    return { windows: open, of: "time", lastEndMs: open === 0 ? null : last };
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

/** End of the first window that ends behind `firedTo`, of those that hold the pane or come later. */
function firstBehind(windows: AlignedWindows, pane: number, firedTo: number): number {
  const first = windows.firstEnd(pane);
  return first > firedTo ? first : windows.firstEnd(windows.paneOf(firedTo));
}
