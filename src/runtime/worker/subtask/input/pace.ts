/** What a source keeps pace by: nothing, or others of its group, at any time or while it is behind. */
import { firstOf, type JobGraph, type Vertex } from "../../../../dataflow/graph.ts";
import { BacklogPace, type BacklogPaceOptions } from "./backlog-pace.ts";
import type { Pace } from "./paused-splits.ts";
import { SourcePace, type SourcePaceOptions } from "./source-pace.ts";

interface PaceOptions
  extends Omit<SourcePaceOptions & BacklogPaceOptions, "alignment" | "members" | "generation"> {
  readonly alignment: SourcePaceOptions["alignment"] | undefined;
  readonly graph: JobGraph;
  readonly deployment: { readonly generation: number };
}

/** Answers undefined where no split waits for another one. */
export function paceOf({ alignment, graph, deployment, ...options }: PaceOptions): Pace | undefined {
  if (alignment === undefined) return undefined;
  const { whileBehind, group } = alignment;
  const { generation } = deployment;
  const members = membersOf(group, graph);
  if (whileBehind === undefined) return new SourcePace({ ...options, alignment, members, generation });
  const isAlone = members === 1 && options.splitIds.length < 2;
  if (isAlone || options.reader.splitPending === undefined) return undefined;
  return new BacklogPace({ ...options, alignment: { ...alignment, whileBehind }, members, generation });
}

/** The number of subtasks whose sources are in the group. */
function membersOf(group: string, { vertices }: JobGraph): number {
  const isIn = (vertex: Vertex) => firstOf(vertex).details.eventTime?.alignment?.group === group;
  return vertices.filter(isIn).reduce((sum, { parallelism }) => sum + parallelism, 0);
}
