/**
 * Which subtasks an edge connects: pure functions, for those who make channels, regions and restore plans alike.
 *
 * Owns: the rule for each partitioner (P89). Does not own: which of its channels a record takes (dataflow/output.ts).
 *
 * TP1  An edge by "forward" or "rescale" is pointwise: the subtasks of the side that has more are dealt out to those
 *      of the other side, neighbours together, as evenly as possible. Every other edge leads from all to all.
 * TP2  Each subtask of either side has a partner, and both sides name the same pairs.
 *
 * Rule: Flink's VertexInputInfoComputationUtils, for DistributionPattern.POINTWISE.
 */

/** The two ends of an edge: its numbers of subtasks, and how it deals records out. */
export interface EdgeEnds {
  readonly partitioner: string;
  readonly senders: number;
  readonly receivers: number;
}

export function isPointwise({ partitioner }: Pick<EdgeEnds, "partitioner">): boolean {
  return partitioner === "forward" || partitioner === "rescale";
}

/** The receiving subtasks to which this sending one has channels, in rising order. */
export function receiversOf(ends: EdgeEnds, sender: number): number[] {
  const { senders, receivers } = ends;
  if (!isPointwise(ends)) return span(0, receivers);
  if (senders > receivers) return [ownerAmong(sender, receivers, senders)];
  return span(Math.ceil((sender * receivers) / senders), Math.ceil(((sender + 1) * receivers) / senders));
}

/** The sending subtasks from which this receiving one has channels, in rising order. */
export function sendersOf(ends: EdgeEnds, receiver: number): number[] {
  const { senders, receivers } = ends;
  if (!isPointwise(ends)) return span(0, senders);
  if (senders <= receivers) return [Math.floor((receiver * senders) / receivers)];
  return span(
    Math.floor((receiver * senders) / receivers),
    Math.floor(((receiver + 1) * senders) / receivers),
  );
}

/** The one of the `few` to whose span, of the `many`, number `one` belongs. */
function ownerAmong(one: number, few: number, many: number): number {
  return Math.ceil(((one + 1) * few) / many) - 1;
}

function span(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, index) => first + index);
}
