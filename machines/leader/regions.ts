/**
 * Which subtasks fail and start again together (Flink's RestartPipelinedRegionFailoverStrategy): a pure function.
 *
 * Owns: the partition of a job into regions. Does not own: what a failure does to a region (job.ts).
 *
 * F1  Subtasks that exchange records, directly or over others, are in one region: no record crosses from one into
 *     another, so each may go back to the last checkpoint while the others go on.
 */

import { isPointwise, receiversOf } from "../graph/topology.ts";
import type { EdgePlan, GraphPlan, SubtaskName } from "../protocol.ts";

/** A region is named by its place: the order is the same for every process that has the same plan. */
export type Region = readonly SubtaskName[];

export function subtasksOf({ vertices }: GraphPlan): SubtaskName[] {
  return vertices
    .flatMap(({ id, parallelism }) => Array.from({ length: parallelism }, (_, index) => `${id}/${index}`))
    .sort();
}

export function regionsOf(plan: GraphPlan): readonly Region[] {
  const subtasks = subtasksOf(plan);
  const representatives = new Map(subtasks.map((subtask) => [subtask, subtask]));
  // Each look shortens the way of the next one: a wide edge makes long ones.
  const representativeOf = (subtask: SubtaskName): SubtaskName => {
    for (let at = subtask; ; ) {
      const above = representatives.get(at) ?? at;
      if (above === at) return at;
      const next = representatives.get(above) ?? above;
      representatives.set(at, next);
      at = next;
    }
  };
  for (const [from, to] of plan.edges.flatMap((edge) => channelsOf(plan, edge)))
    representatives.set(representativeOf(from), representativeOf(to));
  const regions = new Map<SubtaskName, SubtaskName[]>();
  for (const subtask of subtasks) {
    const representative = representativeOf(subtask);
    const known = regions.get(representative);
    if (known === undefined) regions.set(representative, [subtask]);
    else known.push(subtask);
  }
  return [...regions.values()];
}

/** Enough of the edge's channels to connect all the subtasks that it connects. */
function channelsOf(
  { vertices }: GraphPlan,
  { from, to, partitioner }: EdgePlan,
): [SubtaskName, SubtaskName][] {
  const countOf = (vertex: string) => vertices.find(({ id }) => id === vertex)?.parallelism ?? 0;
  const ends = { partitioner, senders: countOf(from), receivers: countOf(to) };
  const senders = Array.from({ length: ends.senders }, (_, index) => index);
  if (isPointwise(ends))
    return senders.flatMap((sender) =>
      receiversOf(ends, sender).map((receiver): [SubtaskName, SubtaskName] => [
        `${from}/${sender}`,
        `${to}/${receiver}`,
      ]),
    );
  const receivers = Array.from({ length: ends.receivers }, (_, index) => index);
  return [
    ...senders.map((index): [SubtaskName, SubtaskName] => [`${from}/${index}`, `${to}/0`]),
    ...receivers.map((index): [SubtaskName, SubtaskName] => [`${from}/0`, `${to}/${index}`]),
  ];
}
