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
 * - O4 `onEnd` runs upstream first, once for each key that holds state then, and no cut falls between (P19).
 *
 * Speed: one closure per operator, `(value, timestamp)`, no allocation and no promise for a record; see
 * test/bench/micro/state.ts.
 */
import { InvariantError, invariant, OperatorError } from "../errors.ts";
import { type Key, type StateDescriptors, valueState } from "../state/descriptor.ts";
import { HeapKeyedState } from "../state/heap.ts";
import { keyGroupRangeOf } from "../state/key-groups.ts";
import type { SnapshotBytes, SnapshotCursor, StateRestorer } from "../state/snapshot.ts";
import type { ChainedOperator, OperatorDefinition, ProcessContext, Vertex } from "./operator.ts";
import type { SinkWriter } from "./sink.ts";
import { type Collect, NO_TIMESTAMP } from "./source.ts";

export interface ChainServices {
  readonly subtaskIndex: number;
  readonly maxParallelism: number;
  /** Takes the records of an outgoing edge. What it throws is not the operator's failure and passes unchanged. */
  output(edge: string): Collect<unknown>;
  /** The opened writer of a sink of this vertex. */
  writer(operator: string): SinkWriter<unknown>;
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
  const collectors: Collect<unknown>[] = new Array(operators.length);
  const keyed: KeyedOperator[] = [];
  const keyedState = (operator: string, descriptors: StateDescriptors): HeapKeyedState =>
    new HeapKeyedState({
      operator,
      descriptors,
      keyGroups: keyGroupRangeOf(services.subtaskIndex, vertex.parallelism, services.maxParallelism),
      maxParallelism: services.maxParallelism,
    });

  // From the tail, because a closure needs the ones that it calls.
  for (let i = operators.length - 1; i >= 0; i--) {
    const chained = operators[i]!;
    const { operator } = chained;
    const downstream = collectAll(downstreamOf(chained, i, collectors, services));
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
        const { collect, end } = processing(operator, state, downstream);
        keyed.push({ id: operator.id, state, end });
        collectors[i] = collect;
        break;
      }
      case "reduce": {
        const state = keyedState(operator.id, { [REDUCE_STATE]: valueState<unknown>(NOTHING) });
        keyed.push({ id: operator.id, state, end: undefined });
        collectors[i] = reducing(operator, state, downstream);
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
  collectors: readonly Collect<unknown>[],
  services: ChainServices,
): Collect<unknown>[] {
  const targets: Collect<unknown>[] = [];
  for (const next of chained.next) {
    invariant(next > index, `operator "${chained.operator.id}" is not before the operator that it feeds`);
    targets.push(collectors[next]!);
  }
  for (const edge of chained.edges) targets.push(services.output(edge));
  return targets;
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
    if (passes) downstream(value, timestamp);
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
      for (let i = 0; i < results.length; i++) downstream(results[i], timestamp);
      return;
    }
    // A lazy iterable runs user code between the records that it yields.
    let emitting = false;
    try {
      for (const result of results) {
        emitting = true;
        downstream(result, timestamp);
        emitting = false;
      }
    } catch (error) {
      throw emitting ? error : failureOf(id, error);
    }
  };
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

/** "idle": no record is being processed; "running": inside the user's function; "emitting": inside what is downstream. */
type ContextStage = "idle" | "running" | "emitting";

/** The one context of a process operator, and what it takes to tell whose failure an error is (O2). */
class RecordContext implements ProcessContext {
  key: Key = "";
  timestamp: number = NO_TIMESTAMP;
  readonly state: ProcessContext["state"];
  readonly emit: (value: unknown) => void;
  private readonly operator: string;
  private stage: ContextStage = "idle";

  constructor(operator: string, state: HeapKeyedState, downstream: Collect<unknown>) {
    this.operator = operator;
    this.state = state.handles;
    this.emit = (value) => {
      if (this.stage !== "running") this.refuseEmit();
      this.stage = "emitting";
      downstream(value, this.timestamp);
      this.stage = "running";
    };
  }

  begin(key: Key, timestamp: number): void {
    this.key = key;
    this.timestamp = timestamp;
    this.stage = "running";
  }

  /** `result`: what the user's function returned. */
  finish(result: unknown): void {
    if (this.stage !== "running" || result !== undefined) this.refuseReturn(result);
    this.stage = "idle";
  }

  failureOf(error: unknown): unknown {
    const downstreamFailed = this.stage === "emitting";
    this.stage = "idle";
    return downstreamFailed ? error : failureOf(this.operator, error);
  }

  private refuseEmit(): never {
    throw new OperatorError(
      this.operator,
      this.stage === "idle"
        ? new Error("emit was called after the record was processed; operators are synchronous")
        : new Error("emit was called again after it had failed"),
    );
  }

  private refuseReturn(result: unknown): void {
    if (this.stage === "emitting") {
      throw new OperatorError(
        this.operator,
        new Error("the function caught an error of emit; a record that failed downstream must fail the job"),
      );
    }
    if (typeof (result as { then?: unknown } | null)?.then === "function") {
      throw new OperatorError(
        this.operator,
        new Error("the function returned a promise; operators are synchronous"),
      );
    }
  }
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
      writer.write(value, timestamp);
    } catch (error) {
      throw failureOf(id, error);
    }
  };
}

function failureOf(operator: string, error: unknown): unknown {
  if (error instanceof OperatorError || error instanceof InvariantError) return error;
  return new OperatorError(operator, error);
}
