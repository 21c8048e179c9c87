/** The panes that hold something in a window that has not fired: which window fires next. */
import type { AlignedWindows } from "./assigner.ts";

export class PaneTimes {
  private readonly windows: AlignedWindows;
  /** From the earliest, each once. */
  private panes: number[] = [];

  constructor(windows: AlignedWindows) {
    this.windows = windows;
  }

  add(pane: number): void {
    const { panes } = this;
    let at = panes.length;
    while (at > 0 && panes[at - 1]! > pane) at--;
    if (at > 0 && panes[at - 1] === pane) return;
    panes.splice(at, 0, pane);
  }

  /** End of the first window behind `firedTo` that holds a pane. Infinity: none does. */
  nextEnd(firedTo: number): number {
    const { windows, panes } = this;
    if (panes.length === 0) return Number.POSITIVE_INFINITY;
    const first = windows.firstEnd(panes[0]!);
    return first > firedTo ? first : windows.firstEnd(windows.paneOf(firedTo));
  }

  /** All windows that end at `firedTo` or earlier have fired. */
  drop(firedTo: number): void {
    const { windows, panes } = this;
    let over = 0;
    while (over < panes.length && windows.lastEnd(panes[over]!) <= firedTo) over++;
    if (over > 0) panes.splice(0, over);
  }
}
