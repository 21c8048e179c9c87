/**
 * The splits of sources that are restored: those whose positions the state holds, and those that are new (P31): pure
 * functions.
 *
 * Splits are dealt to subtasks by their place in the list, so the known ones keep theirs and new ones come behind them.
 * A known split that the source does not name any more is read on, as in Flink. A new one that would be dealt to a
 * subtask which has finished would never be read: a finished subtask runs nothing any more (FLIP-147).
 */
import type { GraphPlan, JobRecord } from "../../../machines/protocol.ts";
import { asDecided, type SourceSplit } from "../../dataflow/source.ts";
import { filtersOverlap } from "../../formats/positions/subject-filter.ts";
import type { FinishedOperators } from "./finished-operators.ts";

export type Splits = JobRecord["splits"];
type Split = Splits[string][number];

/** Ids of the splits of `now` that `before` does not have. */
export function newSplits(before: readonly Split[], now: readonly Split[]): string[] {
  const known = new Set(before.map(({ id }) => id));
  return now.filter(({ id }) => !known.has(id)).map(({ id }) => id);
}

/** Sources whose known splits are to be read from another input than before, or a second time, in words. */
export function exchangedInputs(before: Splits, now: Splits): { source: string; problem: string }[] {
  return Object.entries(now).flatMap(([source, splits]) => {
    const inputs = new Map(before[source]?.map(({ id, input }) => [id, input]));
    const copied = remadeInput(source, before[source] ?? [], splits);
    if (copied !== undefined) return [{ source, problem: copied }];
    const twice = overlappingSplits(source, before[source] ?? [], splits);
    if (twice !== undefined) return [{ source, problem: twice }];
    const other = splits.find(({ id, input }) => inputs.get(id) !== undefined && inputs.get(id) !== input);
    if (other === undefined) return [];
    const was = inputs.get(other.id);
    return [
      {
        source,
        problem: `source ${source} has read ${was}, and its positions mean nothing in ${other.input}`,
      },
    ];
  });
}

/** An input that was made anew since, and that the user has not accepted as a copy. */
function remadeInput(source: string, before: readonly Split[], now: readonly Split[]): string | undefined {
  const known = new Map(before.map((split) => [split.id, split as SourceSplit]));
  for (const { id, input = "its input", created, accepted } of now as readonly SourceSplit[]) {
    const was = known.get(id);
    const isOther = was?.created !== undefined && created !== undefined && was.created !== created;
    if (isOther && was.input === input && accepted !== true)
      return (
        `source ${source} has read ${input} that was made at ${was.created}, and the one of this name was made at ${created}: ` +
        `if it is a copy of that one, as a restored backup is, with the same messages under the same sequences, add ` +
        `--accept-stream ${source}; what the copy does not have is lost, and what it has in other places is read twice or never`
      );
  }
  return undefined;
}

/** What a split has of its stream, where it is one of a stream. */
interface Filtered {
  readonly id: string;
  readonly stream?: string;
  /** Empty: every message. */
  readonly filters?: readonly string[];
}

/** A new split that has messages which a known one has, too: that one is read on, and the new one begins anew. */
function overlappingSplits(
  source: string,
  before: readonly Filtered[],
  now: readonly Filtered[],
): string | undefined {
  const known = new Set(before.map(({ id }) => id));
  for (const added of now) {
    if (known.has(added.id)) continue;
    const other = before.find((split) => haveSame(split, added));
    if (other !== undefined)
      return (
        `source ${source} has read ${filtersInWords(other)} of stream ${other.stream} as one split, and reads ` +
        `${filtersInWords(added)} as another one now: records of both would be read twice`
      );
  }
  return undefined;
}

function haveSame(one: Filtered, other: Filtered): boolean {
  const { stream, filters = [] } = one;
  const { filters: others = [] } = other;
  if (stream === undefined || stream !== other.stream) return false;
  if (filters.length === 0 || others.length === 0) return true;
  return filters.some((filter) => others.some((another) => filtersOverlap(filter, another)));
}

function filtersInWords({ filters = [] }: Filtered): string {
  return filters.length === 0 ? "all" : filters.map((filter) => `"${filter}"`).join(", ");
}

/** @param dropped sources that begin anew */
export function restoredSplits(before: Splits, now: Splits, dropped: readonly string[]): Splits {
  return Object.fromEntries(
    Object.entries(now).map(([source, splits]) => {
      const old = dropped.includes(source) ? undefined : before[source];
      if (old === undefined) return [source, splits];
      const added = new Set(newSplits(old, splits));
      return [source, [...asDecided(old, splits), ...splits.filter(({ id }) => added.has(id))]];
    }),
  );
}

/**
 * New splits that would never be read, in words with what helps.
 * @param finished of the subtasks of `plan`
 */
export function unreadSplits(
  before: Splits,
  now: Splits,
  plan: GraphPlan,
  finished: FinishedOperators,
): string[] {
  return Object.entries(now).flatMap(([source, splits]) => {
    const old = before[source];
    const vertex = plan.vertices.find(({ operators }) => operators.some(({ id }) => id === source));
    const ended = finished.get(source) ?? [];
    if (old === undefined || vertex === undefined) return [];
    const unread = newSplits(old, splits).filter(
      (_, index) => ended[(old.length + index) % vertex.parallelism] === true,
    );
    if (unread.length === 0) return [];
    return [
      `source ${source} has finished in the state, and ${unread.map((id) => `"${id}"`).join(", ")} would never be read: ` +
        `give what is new to a source with another id, or read all of ${source} again with --drop ${source}`,
    ];
  });
}
