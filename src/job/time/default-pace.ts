/**
 * Sources that keep pace while they are behind without being told to (P80): which ones, with whom, and how closely.
 *
 * A source does where an operator lies behind it that keeps records by event time and says for how long. Sources that
 * meet in such an operator are one group: what comes early from one of them is kept there for the other. Nothing of
 * this is stored, and no result depends on it.
 */
import type { SourceAlignment, SourceEventTime } from "../../dataflow/time/source-time.ts";
import type { JobOperator } from "../job.ts";

/** More than a fetch brings: a reader of JetStream holds up to 8192 records. */
const WHILE_BEHIND = 10_000;
const INTERVAL_MS = 500;
/** Closer than that, a source would wait for others of which it only has not heard yet. */
const DRIFT_MIN_MS = 1000;

interface Group {
  readonly name: string;
  readonly sources: Set<string>;
  spanMs: number;
}

/** The same operators, with an alignment for each source that keeps pace by default. */
export function withDefaultPace(operators: readonly JobOperator[]): readonly JobOperator[] {
  const groups = groupsOf(operators);
  if (groups.length === 0) return operators;
  return operators.map((operator) => {
    const { definition } = operator;
    const group = groups.find(({ sources }) => sources.has(definition.id));
    if (group === undefined) return operator;
    const eventTime = { ...definition.details.eventTime!, alignment: alignmentOf(group) };
    return { ...operator, definition: { ...definition, details: { ...definition.details, eventTime } } };
  });
}

function alignmentOf({ name, spanMs }: Group): SourceAlignment {
  const maxDriftMs = Math.max(spanMs, DRIFT_MIN_MS);
  return { group: name, maxDriftMs, intervalMs: INTERVAL_MS, whileBehind: WHILE_BEHIND, isDefault: true };
}

function groupsOf(operators: readonly JobOperator[]): readonly Group[] {
  const byId = new Map(operators.map((operator) => [operator.definition.id, operator]));
  // A source that is held back for rules might have to wait for the source of these.
  const meets = operators.every(({ definition }) => definition.details.waits === undefined);
  let groups: Group[] = [];
  for (const { definition } of operators) {
    const { id, details } = definition;
    const { spanMs } = details;
    if (spanMs === undefined) continue;
    const sources = sourcesOf(id, byId).filter((source) => mayKeepPace(byId.get(source)!));
    for (const together of meets ? [sources] : sources.map((source) => [source]))
      groups = joined(groups, together, spanMs);
  }
  return groups;
}

/** The groups with these sources in one of them. */
function joined(groups: readonly Group[], together: readonly string[], spanMs: number): Group[] {
  if (together.length === 0) return [...groups];
  const isTouched = ({ sources }: Group) => together.some((source) => sources.has(source));
  const touched = groups.filter(isTouched);
  const sources = new Set([...touched.flatMap((group) => [...group.sources]), ...together]);
  const name = `default of ${[...sources].sort().join(", ")}`;
  const longest = Math.max(spanMs, ...touched.map((group) => group.spanMs));
  return [...groups.filter((group) => !isTouched(group)), { name, sources, spanMs: longest }];
}

function mayKeepPace({ definition: { details } }: JobOperator): boolean {
  const { watermarks, alignment, isUnaligned }: Partial<SourceEventTime> = details.eventTime ?? {};
  return watermarks !== undefined && alignment === undefined && isUnaligned !== true;
}

/** The sources whose event time an operator has. */
function sourcesOf(operator: string, byId: ReadonlyMap<string, JobOperator>): string[] {
  const found = new Set([operator]);
  const sources: string[] = [];
  for (const id of found) {
    const { definition, inputs } = byId.get(id)!;
    if (definition.details.source !== undefined) sources.push(id);
    else if (definition.details.eventTime === undefined) for (const { from } of inputs) found.add(from);
  }
  return sources;
}
