/**
 * The job as it runs: vertices of chained operators, and the edges between them. Functions are included, so it exists
 * wherever the job module is loaded.
 *
 * Keyed operators carry their key selector, and the edge in front of them carries the same one: the sender picks the
 * subtask, and the receiver the key.
 */
import { invariant } from "../errors.ts";
import type { OperatorDefinition, PortWaitDetails } from "./operators/contract.ts";
import type { Combine } from "./operators/keyed/combine.ts";
import type { KeySelector } from "./operators/keyed/key-selector.ts";

export type Partitioner =
  | { readonly kind: "forward" }
  | { readonly kind: "rebalance" }
  /** Deals out evenly among the receiving subtasks of the sender's own (machines/graph/topology.ts). */
  | { readonly kind: "rescale" }
  | { readonly kind: "hash"; readonly key: KeySelector; readonly combine?: Combine }
  /** The user's own: answers an index below the number of receiving subtasks. */
  | { readonly kind: "custom"; readonly partition: (value: unknown, count: number) => number }
  /** The partitioner that gives each record to every subtask. */
  | { readonly kind: "broadcast"; readonly waitFor?: PortWaitDetails["until"] };

/** The readers of one output's records: operators of the same vertex, and edges. */
export interface ChainedOutput {
  /** null: the main output. */
  readonly tag: string | null;
  readonly next: readonly ChainedInput[];
  /** Ids of outgoing edges. */
  readonly edges: readonly string[];
}

export interface ChainedInput {
  /** Index into the vertex's `operators`, larger than that of the operator whose records it gets. */
  readonly operator: number;
  readonly port: number;
}

export interface ChainedOperator {
  readonly operator: OperatorDefinition;
  /** The outputs that an operator or an edge reads. */
  readonly outputs: readonly ChainedOutput[];
}

/** Operators without an exchange between them: they run in one subtask. `id` is that of the first one. */
export interface Vertex {
  readonly id: string;
  readonly parallelism: number;
  readonly operators: readonly ChainedOperator[];
}

export interface Edge {
  /** Unique in the job, a legal subject token. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  /** The input of the vertex's first operator that it leads to, an index. */
  readonly port: number;
  readonly partitioner: Partitioner;
  /** The loop that it is part of, by the vertex that the loop begins with. */
  readonly loop?: string;
  /** true: the edge leads back to the beginning of that loop (P41). */
  readonly feedback?: true;
}

export interface JobGraph {
  readonly vertices: readonly Vertex[];
  readonly edges: readonly Edge[];
  /** Number of key groups; fixed for the life of the state. */
  readonly maxParallelism: number;
}

/** The edge of that id, which the graph must have. */
export function edgeOf({ edges }: JobGraph, id: string): Edge {
  const found = edges.find((edge) => edge.id === id);
  invariant(found !== undefined, `edge ${id} is not in the graph`);
  return found;
}

/** The operator that hands records to this edge. */
export function senderOf(vertex: Vertex, edge: string): OperatorDefinition | undefined {
  return vertex.operators.find(({ outputs }) => outputs.some(({ edges }) => edges.includes(edge)))?.operator;
}

/** The vertices whose records lead to a port that may be held back: they may have no room for long. */
export function verticesBeforeHeld({ vertices, edges }: JobGraph): ReadonlySet<string> {
  const heldPortOf = (id: string) => {
    const vertex = vertices.find((one) => one.id === id);
    return vertex && firstOf(vertex).details.waits?.heldPort;
  };
  const found = new Set(edges.filter(({ to, port }) => port === heldPortOf(to)).map(({ from }) => from));
  for (const id of found) for (const { from, to } of edges) if (to === id) found.add(from);
  return found;
}

/** Some operator makes watermarks: event time means something in the job. */
export function hasWatermarks({ vertices }: JobGraph): boolean {
  return vertices.some(({ operators }) =>
    operators.some(({ operator }) => operator.details.eventTime?.watermarks !== undefined),
  );
}

/** The operator that gets what comes in. A vertex has at least one. */
export function firstOf(vertex: Vertex): OperatorDefinition {
  return vertex.operators[0]!.operator;
}
