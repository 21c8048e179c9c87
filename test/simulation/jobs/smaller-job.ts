/** The same job with less input, without some operators, or with fewer workers, for a run that is made small. */
import type { Edit } from "../decisions.ts";
import type { DrawnAct, DrawnJob, DrawnSource } from "./drawing.ts";
import { withoutOperators } from "./lives/changed-graph.ts";

export function smallerJob(drawn: DrawnJob, edit: Edit): DrawnJob {
  const { recordsMax = Number.POSITIVE_INFINITY, without = [], workersMax = Number.POSITIVE_INFINITY } = edit;
  const small = withLessInput(withLessGraph(drawn, new Set(without)), recordsMax);
  return { ...small, workers: Math.max(workersNeeded(small), Math.min(small.workers, workersMax)) };
}

function withLessGraph(drawn: DrawnJob, gone: ReadonlySet<string>): DrawnJob {
  if (gone.size === 0) return drawn;
  const lessOf = (act: DrawnAct): DrawnAct => {
    if (act.becomes === undefined) return act;
    const { change, ...life } = act.becomes;
    const left = withoutOperators({ sinks: drawn.sinks, ...life }, gone);
    const kept = change === undefined || gone.has(change.operator) ? {} : { change };
    return { ...act, becomes: { ...life, ...left, ...kept } };
  };
  return { ...drawn, ...withoutOperators(drawn, gone), acts: drawn.acts.map(lessOf) };
}

function workersNeeded({ sources, operators, sinks, acts, worker }: DrawnJob): number {
  const lives = acts.flatMap(({ becomes }) => becomes ?? []);
  const drawn = [...sources, ...operators, ...sinks, ...lives.flatMap((life) => life.operators)];
  const scaled = lives.flatMap(({ scale = {} }) =>
    Object.values(scale).map((parallelism) => ({ parallelism })),
  );
  const all = [...drawn, ...scaled];
  const slots = Math.min(worker.slots, ...lives.map((life) => life.worker.slots));
  return Math.ceil(Math.max(...all.map(({ parallelism }) => parallelism)) / slots);
}

/** @param recordsMax of all splits together; each keeps its beginning */
function withLessInput(drawn: DrawnJob, recordsMax: number): DrawnJob {
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
