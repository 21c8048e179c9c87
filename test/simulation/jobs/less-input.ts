/** The same job with less input, for a run that is made small. */
import type { DrawnJob, DrawnSource } from "./drawing.ts";

/** @param recordsMax of all splits together; each keeps its beginning */
export function withLessInput(drawn: DrawnJob, recordsMax: number): DrawnJob {
  const kept = new Map<DrawnSource, number[]>(
    drawn.sources.map((source) => [source, source.splits.map(() => 0)]),
  );
  let left = recordsMax;
  for (let isMore = true; isMore && left > 0; ) {
    isMore = false;
    for (const [{ splits }, lengths] of kept) {
      for (const [split, items] of splits.entries()) {
        if (lengths[split]! >= items.length || left <= 0) continue;
        lengths[split]!++;
        left--;
        isMore = true;
      }
    }
  }
  const sources = [...kept].map(
    ([source, lengths]): DrawnSource => ({
      ...source,
      splits: source.splits.map((items, split) => items.slice(0, lengths[split])),
      there: source.there.map((there, split) => Math.min(there, lengths[split]!)),
    }),
  );
  return { ...drawn, sources };
}
