/** Chains of operators over nothing but functions, and what leaves them. */
import { buildChain, type Chain, type ChainServices } from "../../../src/dataflow/chain.ts";
import type { ChainedOperator } from "../../../src/dataflow/graph.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import type { KeySelector } from "../../../src/dataflow/operators/keyed/key-selector.ts";
import type { ProcessContext } from "../../../src/dataflow/operators/keyed/process.ts";
import type { SinkWriter } from "../../../src/dataflow/sink.ts";
import { valueState } from "../../../src/state/descriptor.ts";
import { leadingTo, process } from "./operators.ts";

type Emitted = [value: unknown, timestamp: number];

/** Runs operators in a row (`next` is filled in) or as given, and collects what leaves through edges and sinks. */
export function chainOf(
  operators: readonly (OperatorDefinition | ChainedOperator)[],
  overrides: Partial<ChainServices> = {},
): { chain: Chain; out: Record<string, Emitted[]> } {
  const out: Record<string, Emitted[]> = {};
  const collectorOf = (name: string) => {
    out[name] = [];
    return (value: unknown, timestamp: number) => {
      out[name]!.push([value, timestamp]);
    };
  };
  const chained = operators.map((operator, i): ChainedOperator => {
    if ("operator" in operator) return operator;
    const last = i === operators.length - 1;
    return leadingTo(operator, last ? [] : [i + 1], last && operator.kind !== "sink" ? ["out"] : []);
  });
  const chain = buildChain(
    { id: "vertex", parallelism: 1, operators: chained },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: collectorOf,
      writer: (operator) => ({ write: collectorOf(operator) }) as unknown as SinkWriter<unknown>,
      ...overrides,
    },
  );
  return { chain, out };
}

export const keyOf: KeySelector = (value) => (Array.isArray(value) ? value[0] : value);
export const counting = (onEnd?: (context: ProcessContext) => void): OperatorDefinition =>
  process("count", keyOf, {
    state: { count: valueState(0) },
    onRecord(_: unknown, { key, state, emit }) {
      state.count.set(state.count.get() + 1);
      emit(`${String(key)}=${state.count.get()}`);
    },
    ...(onEnd === undefined ? {} : { onEnd: onEnd as never }),
  });

export function failureOf(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("did not fail");
}
