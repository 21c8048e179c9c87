/** The graph of a job, with a way out for each side output: a test reads also those that the job does not read. */
import type { ChainedOperator, ChainedOutput, JobGraph } from "../dataflow/graph.ts";

interface ReadGraph {
  readonly graph: JobGraph;
  /** By the id of the way out: operator and tag, with a blank between them. */
  readonly tags: ReadonlyMap<string, string>;
}

export function withReadTags(graph: JobGraph): ReadGraph {
  const tags = new Map<string, string>();
  const read = ({ operator, outputs }: ChainedOperator): ChainedOperator => {
    const tagged = (operator.details.tags ?? []).map((tag): ChainedOutput => {
      const known = outputs.find((one) => one.tag === tag);
      // No edge of the job has a blank in its id.
      const edge = `side output ${tags.size}`;
      tags.set(edge, `${operator.id} ${tag}`);
      return { tag, next: known?.next ?? [], edges: [...(known?.edges ?? []), edge] };
    });
    return { operator, outputs: [...outputs.filter(({ tag }) => tag === null), ...tagged] };
  };
  const vertices = graph.vertices.map((vertex) => ({ ...vertex, operators: vertex.operators.map(read) }));
  return { graph: { ...graph, vertices }, tags };
}
