/**
 * Where windows lie that are the same for all keys, and the panes that they are made of.
 *
 * Owns: the arithmetic of tumbling, sliding and cumulating windows. Does not own: what a window holds, when it is
 * removed (single-pane.ts, paned.ts), windows that follow from the records.
 *
 * - WA1 A pane is the largest stretch of time that lies in the same windows as a whole. Its name is its start.
 * - WA2 A window is half open: it holds its start and not its end. Windows of one assigner have different ends, and no
 *   later window starts before an earlier one.
 * - WA3 Times are whole milliseconds, also in front of 1970; nothing overflows. What an assigner answers for others is
 *   undefined.
 */

export interface AlignedWindows {
  /** Start of the pane that holds a time. */
  paneOf(time: number): number;
  /** End of a pane, and start of the next one. */
  paneEnd(pane: number): number;
  /** End of the first window that holds the pane. */
  firstEnd(pane: number): number;
  /** End of the last one. Less than `firstEnd`: the pane lies in no window. */
  lastEnd(pane: number): number;
  /** End of the window behind the one that ends here. */
  nextEnd(end: number): number;
  /** Start of the window that ends here. */
  startOf(end: number): number;
  /** How many windows hold a pane, at most. */
  readonly windowsPerPane: number;
  /** Each window is one pane. */
  readonly isSinglePane: boolean;
}

/** The last multiple of `step`, counted from `offset`, that is not behind `time`. */
function floorTo(time: number, step: number, offset: number): number {
  return Math.floor((time - offset) / step) * step + offset;
}

function greatestCommonDivisor(a: number, b: number): number {
  let [larger, smaller] = [a, b];
  while (smaller > 0) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}

/** Windows of `size` ms, one behind the other (Flink's TumblingEventTimeWindows). */
export function tumbling(size: number, offset: number): AlignedWindows {
  return {
    paneOf: (time) => floorTo(time, size, offset),
    paneEnd: (pane) => pane + size,
    firstEnd: (pane) => pane + size,
    lastEnd: (pane) => pane + size,
    nextEnd: (end) => end + size,
    startOf: (end) => end - size,
    windowsPerPane: 1,
    isSinglePane: true,
  };
}

/**
 * A window of `size` ms each `slide` ms (Flink's SlidingEventTimeWindows). Where `slide` is larger, some times lie in
 * no window.
 */
export function sliding(size: number, slide: number, offset: number): AlignedWindows {
  if (size === slide) return tumbling(size, offset);
  const pane = greatestCommonDivisor(size, slide);
  return {
    paneOf: (time) => floorTo(time, pane, offset),
    paneEnd: (start) => start + pane,
    firstEnd: (start) => floorTo(start - size, slide, offset) + slide + size,
    lastEnd: (start) => floorTo(start, slide, offset) + size,
    nextEnd: (end) => end + slide,
    startOf: (end) => end - size,
    windowsPerPane: Math.ceil(size / slide),
    isSinglePane: false,
  };
}

/** Tumbling windows of `size` ms that are reported each `step` ms, with what they hold so far (SQL's CUMULATE). */
export function cumulating(size: number, step: number, offset: number): AlignedWindows {
  if (size === step) return tumbling(size, offset);
  return {
    paneOf: (time) => floorTo(time, step, offset),
    paneEnd: (pane) => pane + step,
    firstEnd: (pane) => pane + step,
    lastEnd: (pane) => floorTo(pane, size, offset) + size,
    nextEnd: (end) => end + step,
    startOf: (end) => floorTo(end - 1, size, offset),
    windowsPerPane: size / step,
    isSinglePane: false,
  };
}
