/**
 * Operators as plain data: what the job builder produces, what the chain runs.
 *
 * An operator's `id` is the user's stable name: state finds its way home by it. Keyed operators carry their key
 * selector; the edge in front of them carries the same one, so the sender picks the subtask and the receiver the key.
 */
import type { Key, StateDescriptors, StateHandles } from "../state/descriptor.ts";
import type { Sink } from "./sink.ts";
import type { Source } from "./source.ts";

export type KeySelector<T = unknown> = (value: T) => Key;

/** Reused for every record of an operator: read it, do not keep it. */
export interface ProcessContext<S extends StateDescriptors = StateDescriptors, Out = unknown> {
  readonly key: Key;
  /** Event time of the record in ms, or NO_TIMESTAMP. */
  readonly timestamp: number;
  readonly state: StateHandles<S>;
  /** Emits with the timestamp of the record being processed. */
  readonly emit: (value: Out) => void;
}

export interface ProcessFunction<In, Out, S extends StateDescriptors> {
  readonly state: S;
  onRecord(value: In, context: ProcessContext<S, Out>): void;
  /** At the end of bounded input, once for every key that holds state; runs once in a job's life (P19). */
  onEnd?(context: ProcessContext<S, Out>): void;
}

export type OperatorDefinition =
  | { readonly kind: "source"; readonly id: string; readonly source: Source<unknown> }
  | { readonly kind: "map"; readonly id: string; readonly map: (value: unknown) => unknown }
  | { readonly kind: "filter"; readonly id: string; readonly filter: (value: unknown) => boolean }
  | { readonly kind: "flatMap"; readonly id: string; readonly flatMap: (value: unknown) => Iterable<unknown> }
  | {
      readonly kind: "process";
      readonly id: string;
      readonly key: KeySelector;
      readonly process: ProcessFunction<unknown, unknown, StateDescriptors>;
    }
  | {
      readonly kind: "reduce";
      readonly id: string;
      readonly key: KeySelector;
      /** Emits the new aggregate for each record. */
      readonly reduce: (aggregate: unknown, value: unknown) => unknown;
    }
  /** Where a loop begins: passes on what comes in and what is fed back. First operator of its vertex. */
  | { readonly kind: "iterate"; readonly id: string; readonly waitingMax: number }
  | { readonly kind: "sink"; readonly id: string; readonly sink: Sink<unknown> };

export type Partitioner =
  | { readonly kind: "forward" }
  | { readonly kind: "rebalance" }
  | { readonly kind: "hash"; readonly key: KeySelector };

/** An operator inside a vertex and where its records go: to operators of the same vertex, and out through edges. */
export interface ChainedOperator {
  readonly operator: OperatorDefinition;
  /** Indices into the vertex's `operators`, all larger than this one's. */
  readonly next: readonly number[];
  /** Ids of outgoing edges. */
  readonly edges: readonly string[];
}

/** Operators that need no exchange between them run in one subtask and call each other. `id` = first operator's id. */
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
  readonly partitioner: Partitioner;
  /** The loop that it is part of, by the vertex that the loop begins with. */
  readonly loop?: string;
  /** It leads back to the beginning of that loop (P41). */
  readonly feedback?: true;
}

/** The whole job, functions included: exists wherever the job module is loaded. */
export interface JobGraph {
  readonly vertices: readonly Vertex[];
  readonly edges: readonly Edge[];
  /** Number of key groups; fixed for the life of the state. */
  readonly maxParallelism: number;
}
