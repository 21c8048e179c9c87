/** What a job would still do, in words: timers, values that will expire, open windows, records that wait. */
import type { Vertex } from "../dataflow/graph.ts";
import { REQUESTS } from "../dataflow/operators/async/stored-requests.ts";
import type { OperatorDefinition } from "../dataflow/operators/contract.ts";
import { stateOfTimes } from "../dataflow/operators/keyed/operator-expiry.ts";
import { EVENT_TIMERS, PROCESSING_TIMERS } from "../dataflow/operators/keyed/operator-timers.ts";
import { ACTORS } from "../dataflow/operators/machines/actors.ts";
import { isStateOfKeys } from "../dataflow/operators/windows/triggered/triggered-window.ts";
import { isEventTime } from "../formats/positions/event-time.ts";
import type { VertexRun } from "./vertex-run.ts";

export function pendingOf(run: VertexRun): string[] {
  const { chain, vertex, arrivals } = run;
  const lines: string[] = [];
  for (const { operator, state, cursor } of chain.snapshot()) {
    let rows = 0;
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) rows += chunk.entries;
    const what = rows === 0 ? undefined : whatWaits(definitionOf(vertex, operator), state);
    if (what !== undefined) lines.push(`operator "${operator}": ${rows} ${what}`);
  }
  for (const [operator, state] of chain.operatorStates)
    for (const { state: name, entries } of state.cut())
      if (entries.length > 0 && !isEventTime({ state: name }))
        lines.push(`operator "${operator}": ${entries.length} in state "${name}"`);
  if (arrivals > 0)
    lines.push(
      `operator "${vertex.id}": ${arrivals} in front of it, until ${run.isWaiting ? "what it waits for is there" : "it has room"}`,
    );
  return lines;
}

function definitionOf({ operators }: Vertex, id: string): OperatorDefinition {
  return operators.find(({ operator }) => operator.id === id)!.operator;
}

/** undefined: the state waits for nothing. */
function whatWaits({ details, kind }: OperatorDefinition, state: string): string | undefined {
  if (state === EVENT_TIMERS) return "timers of event time";
  if (state === PROCESSING_TIMERS) return "timers of processing time";
  if (state === ACTORS) return "actors";
  const expiring = stateOfTimes(state);
  if (expiring !== undefined) return `in state "${expiring}" that will expire`;
  if (details.holdsRecords === true) return state === REQUESTS ? "requests without their answers" : undefined;
  // A join keeps records for their partners, within bounds that it calls windows, too.
  const isJoin = (details.ports?.length ?? 1) > 1;
  if (details.windows !== undefined && !isJoin)
    return isStateOfKeys(state) ? undefined : `in state "${state}" of open windows`;
  return details.needsWatermarks === true && details.ownStates === true
    ? `in state "${state}" of ${kind}`
    : undefined;
}
