/** How much event time a window takes, for sources that keep pace. */
import type { AlignedBounds } from "../../dataflow/operators/windows/aligned/bounds.ts";
import type { ResolvedWindows } from "./assigners.ts";

const DAY_MS = 86_400_000;
const DAYS = { day: 1, week: 7, month: 31 } as const;

/** In ms; undefined: it follows from the records, or from the wall clock. */
export function spanOf(windows: ResolvedWindows): number | undefined {
  if (windows.kind === "counted" || windows.time === "processing") return undefined;
  return windows.kind === "sessions" ? windows.gapMs : lengthOf(windows.bounds);
}

function lengthOf(bounds: AlignedBounds): number {
  return bounds.kind === "calendar" ? DAYS[bounds.every] * DAY_MS : bounds.sizeMs;
}
