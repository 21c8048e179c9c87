/**
 * The operators of one vertex in one subtask, as closures that call each other.
 *
 * Owns: the way of a record from the first operator to the sinks and outgoing edges, the keyed states of its operators,
 * and the end of input. Does not own: sources, frames, credit, alignment, uploads (the subtask's), commits (the sink's).
 *
 * - O1 A record has passed the whole chain when `head` returns: nothing is buffered here, nothing is asynchronous.
 * - O2 A failure names the operator whose function failed. What an operator throws while another one emits to it passes
 *   through unchanged, and cannot be swallowed by the emitting function.
 * - O3 All keyed states are cut at the same record: `snapshot` is synchronous and never runs inside `head`.
 * - O4 What goes to another subtask, or to an operator behind keyBy, is a plain value, whether or not that one is in this process:
 *   so a job does the same with one worker and with many.
 * - O5 `onEnd` runs upstream first, once for each key that holds state then, and no cut falls between (P19).
 *
 * Speed: one closure per operator, `(value, timestamp)`, no allocation and no promise for a record; see
 * test/bench/micro/state.ts.
 */
import { invariant, OperatorError } from "../errors.ts";
import { describeValue, silence } from "../state/described.ts";
import { type Key, type StateDescriptors, valueState } from "../state/descriptor.ts";
import { freeze, settle } from "../state/frozen.ts";
import { HeapKeyedState } from "../state/heap.ts";
import { keyGroupRangeOf } from "../state/key-groups.ts";
import { isCarried, refuseValue, seemsCarried } from "../state/plain-value.ts";
import type { SnapshotBytes, SnapshotCursor, StateRestorer } from "../state/snapshot.ts";
import { isAnswer, refuseAnswer, wanted } from "./answers.ts";
import type { ChainedOperator, KeySelector, OperatorDefinition, Vertex } from "./operator.ts";
import { failureOf, RecordContext } from "./record-context.ts";
import type { SinkWriter } from "./sink.ts";
import { type Collect, NO_TIMESTAMP } from "./source.ts";

export interface ChainServices {
  readonly subtaskIndex: number;
  readonly maxParallelism: number;
  /** Takes the records of an outgoing edge. What it throws is not the operator's failure and passes unchanged. */
  output(edge: string): Collect<unknown>;
  /** The opened writer of a sink of this vertex. */
  writer(operator: string): SinkWriter<unknown>;
  /**
   * What is set and handed on is frozen, and what is set is refused at once when it is no plain value. Default false: what is set is
   * refused by the next cut, and what an object hides is looked for in the first records of an operator and in a sample of the later ones.
   */
  readonly checks?: boolean;
}

/** The address of a keyed state within a job. */
export interface StateAddress {
  readonly operator: string;
  readonly state: string;
}

export interface StateCut extends StateAddress {
  readonly cursor: SnapshotCursor;
}

/** The end of input, in slices. */
export interface ChainFinish {
  /** Runs `onEnd` for the next few keys. true: there is more; look at credit and the clock, then call again (P27). */
  step(): boolean;
}

export interface Chain {
  /** Takes the records of the vertex: of its first operator, or, where that is the source, what it has read. */
  readonly head: Collect<unknown>;
  readonly states: readonly StateAddress[];
  /** Cuts every keyed state here. The cursors may then be read one after the other while records go on. */
  snapshot(): StateCut[];
  /** Before the first record. Several restorers for one address follow each other: the pieces of a rescaled state. */
  restorer(address: StateAddress, source: SnapshotBytes): StateRestorer;
  /** After the last record; called once. That it was called is for the caller to remember in its snapshot (P19). */
  finish(keysPerStep?: number): ChainFinish;
}

/** Name of the one state of a reduce operator. */
export const REDUCE_STATE = "aggregate";
const KEYS_PER_STEP = 64;

/** Without `checks`: the first records of each way out, and then one in so many, are searched for what objects hide. */
const LOOKED_AT_CLOSELY = 1000;
const SAMPLED_EVERY = 64;

/** What a reduce answers for a key without an aggregate; every value of the user's is possible as one. */
const NOTHING = Symbol("nothing");

interface KeyedOperator {
  readonly id: string;
  readonly state: HeapKeyedState;
  /** undefined: the operator has nothing to do at the end. */
  readonly end: ((key: Key) => void) | undefined;
}

type OperatorOf<K extends OperatorDefinition["kind"]> = Extract<OperatorDefinition, { kind: K }>;

export function buildChain(vertex: Vertex, services: ChainServices): Chain {
  const { operators } = vertex;
  const { checks = false } = services;
  const collectors: Collect<unknown>[] = new Array(operators.length);
  const keyed: KeyedOperator[] = [];
  const keyedState = (operator: string, descriptors: StateDescriptors): HeapKeyedState =>
    new HeapKeyedState({
      operator,
      descriptors,
      keyGroups: keyGroupRangeOf(services.subtaskIndex, vertex.parallelism, services.maxParallelism),
      maxParallelism: services.maxParallelism,
      checks,
    });

  // From the tail, because a closure needs the ones that it calls.
  for (let i = operators.length - 1; i >= 0; i--) {
    const chained = operators[i]!;
    const { operator } = chained;
    const downstream = handingOn(chained, downstreamOf(chained, i, operators, collectors, services), checks);
    switch (operator.kind) {
      case "source":
        invariant(i === 0, `source "${operator.id}" is not the first operator of its vertex`);
        collectors[i] = downstream;
        break;
      case "iterate":
        collectors[i] = downstream;
        break;
      case "map":
        collectors[i] = mapping(operator, downstream);
        break;
      case "filter":
        collectors[i] = filtering(operator, downstream);
        break;
      case "flatMap":
        collectors[i] = flatMapping(operator, downstream);
        break;
      case "process": {
        const state = keyedState(operator.id, operator.process.state);
        const { collect, end } = processing(withStableKey(operator, checks), state, downstream);
        keyed.push({ id: operator.id, state, end });
        collectors[i] = collect;
        break;
      }
      case "reduce": {
        const state = keyedState(operator.id, { [REDUCE_STATE]: valueState<unknown>(NOTHING) });
        keyed.push({ id: operator.id, state, end: undefined });
        collectors[i] = reducing(withStableKey(operator, checks), state, downstream);
        break;
      }
      case "sink":
        collectors[i] = writing(operator, services.writer(operator.id));
        break;
    }
  }
  const head = collectors[0];
  invariant(head !== undefined, `vertex "${vertex.id}" has no operators`);
  return new OperatorChain(head, keyed.reverse());
}

class OperatorChain implements Chain {
  readonly head: Collect<unknown>;
  readonly states: readonly StateAddress[];
  /** Upstream first. */
  private readonly keyed: readonly KeyedOperator[];
  private end: "not reached" | "running" | "finished" = "not reached";

  constructor(head: Collect<unknown>, keyed: readonly KeyedOperator[]) {
    this.head = head;
    this.keyed = keyed;
    this.states = keyed.flatMap(({ id, state }) =>
      state.stateNames.map((name) => ({ operator: id, state: name })),
    );
  }

  snapshot(): StateCut[] {
    invariant(this.end !== "running", "keyed state was cut between two slices of the end of input");
    return this.keyed.flatMap(({ id, state }) =>
      state.snapshot().map((named) => ({ operator: id, state: named.state, cursor: named.cursor })),
    );
  }

  restorer(address: StateAddress, source: SnapshotBytes): StateRestorer {
    const operator = this.keyed.find((candidate) => candidate.id === address.operator);
    invariant(operator !== undefined, `operator "${address.operator}" has no keyed state here`);
    return operator.state.restorer(address.state, source);
  }

  finish(keysPerStep = KEYS_PER_STEP): ChainFinish {
    invariant(this.end === "not reached", "the end of input was run twice");
    this.end = "running";
    const slices = endInSlices(this.keyed, keysPerStep);
    return {
      step: () => {
        if (slices.next().done !== true) return true;
        this.end = "finished";
        return false;
      },
    };
  }
}

function* endInSlices(operators: readonly KeyedOperator[], keysPerStep: number): Generator<void> {
  let keys = 0;
  for (const { end, state } of operators) {
    if (end === undefined) continue;
    for (const key of state.keys()) {
      end(key);
      if (++keys % keysPerStep === 0) yield;
    }
  }
}

function downstreamOf(
  chained: ChainedOperator,
  index: number,
  operators: readonly ChainedOperator[],
  collectors: readonly Collect<unknown>[],
  services: ChainServices,
): Collect<unknown>[] {
  const { id } = chained.operator;
  const { checks = false } = services;
  const targets: Collect<unknown>[] = [];
  for (const next of chained.next) {
    invariant(next > index, `operator "${id}" is not before the operator that it feeds`);
    const { kind } = operators[next]!.operator;
    const target = collectors[next]!;
    targets.push(kind === "process" || kind === "reduce" ? crossing(id, target, checks) : target);
  }
  for (const edge of chained.edges) targets.push(crossing(id, services.output(edge), checks));
  return targets;
}

/** The way out of operator `id`, for plain values (O4). */
function crossing(id: string, target: Collect<unknown>, checks: boolean): Collect<unknown> {
  if (checks)
    return (value, timestamp) => {
      if (!settle(value)) refuseRecord(id, value);
      target(value, timestamp);
    };
  let records = 0;
  return (value, timestamp) => {
    const isPlain =
      records < LOOKED_AT_CLOSELY || records % SAMPLED_EVERY === 0 ? isCarried(value) : seemsCarried(value);
    if (!isPlain) refuseRecord(id, value);
    records++;
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

/** To all of `targets`. A record of a source that only one operator reads is its own: that one may change it. */
function handingOn(
  { operator }: ChainedOperator,
  targets: readonly Collect<unknown>[],
  checks: boolean,
): Collect<unknown> {
  const all = collectAll(targets);
  if (!checks || (operator.kind === "source" && targets.length === 1)) return all;
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

function mapping({ id, map }: OperatorOf<"map">, downstream: Collect<unknown>): Collect<unknown> {
  return (value, timestamp) => {
    let mapped: unknown;
    try {
      mapped = map(value);
    } catch (error) {
      throw failureOf(id, error);
    }
    if (!isAnswer(mapped)) refuseAnswer(id, "map answered", mapped);
    downstream(mapped, timestamp);
  };
}

function filtering({ id, filter }: OperatorOf<"filter">, downstream: Collect<unknown>): Collect<unknown> {
  return (value, timestamp) => {
    let passes: boolean;
    try {
      passes = filter(value);
    } catch (error) {
      throw failureOf(id, error);
    }
    if (passes === true) downstream(value, timestamp);
    else if (passes !== false) refuseAnswer(id, "filter answered", passes, wanted.boolean);
  };
}

function flatMapping({ id, flatMap }: OperatorOf<"flatMap">, downstream: Collect<unknown>): Collect<unknown> {
  return (value, timestamp) => {
    let results: Iterable<unknown>;
    try {
      results = flatMap(value);
    } catch (error) {
      throw failureOf(id, error);
    }
    if (Array.isArray(results)) {
      for (let i = 0; i < results.length; i++) if (!isAnswer(results[i])) refuseAll(id, results);
      for (let i = 0; i < results.length; i++) downstream(results[i], timestamp);
      return;
    }
    if (!isIterable(results)) refuseAnswer(id, "flatMap answered", results, wanted.iterable);
    // A lazy iterable runs user code between the records that it yields.
    let emitting = false;
    try {
      for (const result of results) {
        if (!isAnswer(result)) refuseAnswer(id, "flatMap answered with", result);
        emitting = true;
        downstream(result, timestamp);
        emitting = false;
      }
    } catch (error) {
      throw emitting ? error : failureOf(id, error);
    }
  };
}

function isIterable(value: unknown): boolean {
  return (
    value !== undefined &&
    value !== null &&
    typeof (value as { readonly [Symbol.iterator]?: unknown })[Symbol.iterator] === "function"
  );
}

/** Each of them may be a promise that is rejected later. */
function refuseAll(id: string, results: readonly unknown[]): never {
  for (const result of results) silence(result);
  refuseAnswer(
    id,
    "flatMap answered with",
    results.find((result) => !isAnswer(result)),
  );
}

/** With `checks` a selector is asked twice: one that answers another key would send a record elsewhere after a failure. */
function withStableKey<T extends { readonly id: string; readonly key: KeySelector }>(
  operator: T,
  checks: boolean,
): T {
  if (!checks) return operator;
  const { id, key } = operator;
  const stable: KeySelector = (value) => {
    const first = key(value);
    const second = key(value);
    if (Object.is(first, second) || typeof first === "object") return first;
    throw new OperatorError(
      id,
      new Error(
        `its keyBy answers ${describeValue(first)} and then ${describeValue(second)} for the same record. A key must follow ` +
          "from the record alone: no random numbers, no clock",
      ),
    );
  };
  return { ...operator, key: stable };
}

function processing(
  { id, key: keyOf, process }: OperatorOf<"process">,
  state: HeapKeyedState,
  downstream: Collect<unknown>,
): { collect: Collect<unknown>; end: ((key: Key) => void) | undefined } {
  const context = new RecordContext(id, state, downstream);

  const collect: Collect<unknown> = (value, timestamp) => {
    try {
      const key = keyOf(value);
      state.setCurrentKey(key);
      context.begin(key, timestamp);
      context.finish(process.onRecord(value, context));
    } catch (error) {
      throw context.failureOf(error);
    }
  };

  const end = (key: Key): void => {
    try {
      state.setCurrentKey(key);
      context.begin(key, NO_TIMESTAMP);
      context.finish(process.onEnd!(context));
    } catch (error) {
      throw context.failureOf(error);
    }
  };

  return { collect, end: process.onEnd === undefined ? undefined : end };
}

function reducing(
  { id, key: keyOf, reduce }: OperatorOf<"reduce">,
  state: HeapKeyedState,
  downstream: Collect<unknown>,
): Collect<unknown> {
  const aggregate = state.handles[REDUCE_STATE]!;
  return (value, timestamp) => {
    let reduced: unknown;
    try {
      state.setCurrentKey(keyOf(value));
      const before = aggregate.get();
      reduced = before === NOTHING ? value : reduce(before, value);
      if (!isAnswer(reduced)) refuseAnswer(id, "reduce answered", reduced);
      aggregate.set(reduced);
    } catch (error) {
      throw failureOf(id, error);
    }
    downstream(reduced, timestamp);
  };
}

function writing({ id }: OperatorOf<"sink">, writer: SinkWriter<unknown>): Collect<unknown> {
  return (value, timestamp) => {
    try {
      const answer: unknown = writer.write(value, timestamp);
      if (answer !== undefined && !isAnswer(answer))
        refuseAnswer(id, "write answered", answer, wanted.nothing);
    } catch (error) {
      throw failureOf(id, error);
    }
  };
}
