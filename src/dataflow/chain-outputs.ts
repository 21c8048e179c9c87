/**
 * The ways out of a chain's operators: to those behind them, and to the edges of the vertex.
 *
 * Owns: what takes the records of each output, and the look at what goes to another subtask or to an operator behind
 * keyBy (OC4 of chain.ts). Does not own: the order in which operators are opened (chain.ts), what carries the records
 * of an edge (output.ts).
 */
import { invariant, OperatorError } from "../errors.ts";
import { freeze, freezePlain } from "../state/frozen.ts";
import { isCarried, refuseValue, seemsCarried } from "../state/plain-value.ts";
import type { ChainedOperator, ChainedOutput, Vertex } from "./graph.ts";
import type { OpenOperator, Outputs } from "./operators/contract.ts";
import type { Collect } from "./source.ts";

/** An operator of the chain that is open already. */
interface OpenedOperator {
  readonly open: Pick<OpenOperator, "inputs">;
}

/** The part of `ChainServices` that concerns records which leave an operator. */
export interface WaysOut {
  /** Takes the records of an outgoing edge. What it throws is not the operator's failure and passes unchanged. */
  output(edge: string): Collect<unknown>;
  /** Takes the event time of an outgoing edge, from an operator that holds records back. Default: it goes nowhere. */
  mark?(edge: string, watermark: number, isIdle: boolean): void;
  /**
   * What is set and handed on is frozen, and what is set is refused at once when it is no plain value. Default false:
   * what is set is refused by the next cut, and what an object hides is looked for in the first records of an operator
   * and in a sample of the later ones.
   */
  readonly checks?: boolean;
}

/**
 * The first so many records of each way out, and then one in 64, are searched for what objects hide, without `checks`.
 */
const LOOKED_AT_CLOSELY = 1000;
const SAMPLED_EVERY = 64;

/** The outputs of operator `index`; the operators behind it are open already. */
export function outputsOf(
  vertex: Vertex,
  index: number,
  opened: readonly OpenedOperator[],
  services: WaysOut,
): Outputs {
  const chained = vertex.operators[index]!;
  const { id, details } = chained.operator;
  const collectorOf = (wanted: string | null): Collect<unknown> => {
    const output = chained.outputs.find(({ tag }) => tag === wanted);
    const targets = output === undefined ? [] : targetsOf(vertex, index, output, opened, services);
    return handingOn(chained, targets, services.checks ?? false);
  };
  return {
    main: collectorOf(null),
    tagged(tag) {
      invariant(details.tags?.includes(tag) === true, `operator "${id}" has no output "${tag}"`);
      return collectorOf(tag);
    },
    mark(watermark, isIdle) {
      for (const { edges } of chained.outputs)
        for (const edge of edges) services.mark?.(edge, watermark, isIdle);
    },
  };
}

function targetsOf(
  { operators }: Vertex,
  index: number,
  { next, edges }: ChainedOutput,
  opened: readonly OpenedOperator[],
  services: WaysOut,
): Collect<unknown>[] {
  const { id } = operators[index]!.operator;
  const { checks = false } = services;
  const targets: Collect<unknown>[] = [];
  for (const { operator, port } of next) {
    invariant(operator > index, `operator "${id}" is not before the operator that it feeds`);
    const target = opened[operator]!.open.inputs[port]!;
    const isKeyed = operators[operator]!.operator.details.states !== undefined;
    targets.push(isKeyed ? crossing(id, target, checks) : target);
  }
  for (const edge of edges) targets.push(crossing(id, services.output(edge), checks));
  return targets;
}

/** The way out of operator `id`, for plain values (OC4). */
function crossing(id: string, target: Collect<unknown>, checks: boolean): Collect<unknown> {
  if (checks)
    return (value, timestamp) => {
      if (!freezePlain(value)) refuseRecord(id, value);
      target(value, timestamp);
    };
  let closeLooks = LOOKED_AT_CLOSELY;
  let untilLook = 1;
  return (value, timestamp) => {
    if (--untilLook > 0) {
      if (!seemsCarried(value)) refuseRecord(id, value);
    } else {
      if (!isCarried(value)) refuseRecord(id, value);
      if (closeLooks > 0) closeLooks--;
      untilLook = closeLooks > 0 ? 1 : SAMPLED_EVERY;
    }
    target(value, timestamp);
  };
}

function refuseRecord(id: string, value: unknown): never {
  try {
    return refuseValue(value, "a record that it hands on");
  } catch (error) {
    throw new OperatorError(id, error);
  }
}

/**
 * Hands records on to all `targets`. If only one operator reads a source, a record is its own, and it may change it.
 */
function handingOn(
  { operator }: ChainedOperator,
  targets: readonly Collect<unknown>[],
  checks: boolean,
): Collect<unknown> {
  const all = collectAll(targets);
  if (!checks || (operator.details.source !== undefined && targets.length === 1)) return all;
  return (value, timestamp) => {
    freeze(value);
    all(value, timestamp);
  };
}

/** One record to all of `targets`, in order; they share the value, records are immutable. */
function collectAll(targets: readonly Collect<unknown>[]): Collect<unknown> {
  if (targets.length === 0) return () => {};
  if (targets.length === 1) return targets[0]!;
  if (targets.length === 2) {
    const first = targets[0]!;
    const second = targets[1]!;
    return (value, timestamp) => {
      first(value, timestamp);
      second(value, timestamp);
    };
  }
  return (value, timestamp) => {
    for (let i = 0; i < targets.length; i++) targets[i]!(value, timestamp);
  };
}
