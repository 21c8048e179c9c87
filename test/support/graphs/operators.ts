/** Operators and vertices made by hand, for what runs below the job builder. */
import type { ChainedOperator } from "../../../src/dataflow/graph.ts";
import { defineOperator, type OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import type { KeySelector } from "../../../src/dataflow/operators/keyed/key-selector.ts";
import type { ProcessFunction } from "../../../src/dataflow/operators/keyed/process.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import type { StateDescriptors } from "../../../src/state/descriptor.ts";

export const map = (id: string, f: (value: never) => unknown): OperatorDefinition =>
  defineOperator(kinds.map, id, { map: f as (value: unknown) => unknown });

export const filter = (id: string, f: (value: never) => boolean): OperatorDefinition =>
  defineOperator(kinds.filter, id, { filter: f as (value: unknown) => boolean });

export const flatMap = (id: string, f: (value: never) => Iterable<unknown>): OperatorDefinition =>
  defineOperator(kinds.flatMap, id, { flatMap: f as (value: unknown) => Iterable<unknown> });

/** Its reader and its splits are given to the chain's caller by other means. */
export const source = (id: string): OperatorDefinition =>
  defineOperator(kinds.source, id, { source: { kind: "test", bounded: true, replayable: true } as never });

/** Its writer is the one that the chain's services give. */
export const sink = (id: string): OperatorDefinition =>
  defineOperator(kinds.sink, id, { sink: { kind: "test", guarantee: "none" } as never });

export const process = <S extends StateDescriptors>(
  id: string,
  key: KeySelector,
  definition: ProcessFunction<never, unknown, S>,
): OperatorDefinition =>
  defineOperator(kinds.process, id, {
    key,
    process: definition as unknown as ProcessFunction<unknown, unknown, StateDescriptors>,
  });

export const reduce = (
  id: string,
  key: KeySelector,
  f: (aggregate: never, value: never) => unknown,
): OperatorDefinition =>
  defineOperator(kinds.reduce, id, { key, reduce: f as (aggregate: unknown, value: unknown) => unknown });

/** One output, to operators of the vertex by their index, and to edges. */
export function leadingTo(
  operator: OperatorDefinition,
  next: readonly number[],
  edges: readonly string[] = [],
): ChainedOperator {
  const inputs = next.map((index) => ({ operator: index, port: 0 }));
  return { operator, outputs: [{ tag: null, next: inputs, edges }] };
}

/** Each hands its records to the one behind it, and the last one to `edges`. */
export function inRow(
  operators: readonly OperatorDefinition[],
  edges: readonly string[] = [],
): ChainedOperator[] {
  const last = operators.length - 1;
  return operators.map((operator, i) => leadingTo(operator, i < last ? [i + 1] : [], i < last ? [] : edges));
}
