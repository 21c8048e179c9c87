/**
 * An XState machine as a pure function: state and event in, next state and effects out.
 *
 * The one file that uses XState's semi-internal actor scope: with a scope kept for all
 * calls a step costs a fifth of the public `transition()`, and the scope tells which transitions were taken.
 */
import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type AnyStateNode,
  type AnyTransitionDefinition,
  createEmptyActor,
  type EventObject,
} from "xstate";

export interface MachineEffect {
  readonly type: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface MachineStep {
  readonly snapshot: AnyMachineSnapshot;
  readonly effects: readonly MachineEffect[];
  readonly taken: readonly AnyTransitionDefinition[];
  /** Ids of all states that were active in between, also those left at once. */
  readonly visited: readonly string[];
  /** Some transition was selected, if only one that ignores the event on purpose. */
  readonly handled: boolean;
}

interface Microstep {
  readonly type: string;
  readonly snapshot: AnyMachineSnapshot;
  readonly _transitions: readonly AnyTransitionDefinition[];
}

type ActorScope = Parameters<AnyStateMachine["transition"]>[2];

export class PureMachine {
  readonly machine: AnyStateMachine;
  private readonly scope: ActorScope;
  private effects: MachineEffect[] = [];
  private microsteps: Microstep[] = [];

  constructor(machine: AnyStateMachine) {
    this.machine = machine;
    const system = { _sendInspectionEvent: (step: Microstep) => this.microsteps.push(step) };
    this.scope = {
      // Nothing in a pure machine may look at `self`; XState only wants one to be there.
      self: createEmptyActor(),
      id: "",
      sessionId: "",
      logger: refuse("log"),
      defer: refuse("defer"),
      emit: refuse("emit"),
      stopChild: refuse("stopChild"),
      system,
      actionExecutor: (action: { type: string; params?: unknown }) => this.collect(action),
    } as unknown as ActorScope;
  }

  start(input: unknown): MachineStep {
    const step = this.run(() => this.machine.getInitialSnapshot(this.scope, deepFreeze(input) as never));
    // XState reports a failing context factory or entry as a state, not as an exception.
    if (step.snapshot.status === "error") throw step.snapshot.error;
    return { ...step, handled: true };
  }

  step(snapshot: AnyMachineSnapshot, event: EventObject): MachineStep {
    return this.run(() => this.machine.transition(snapshot, deepFreeze(event), this.scope));
  }

  private run(advance: () => AnyMachineSnapshot): MachineStep {
    this.effects = [];
    this.microsteps = [];
    const snapshot = advance();
    // A guard or assign that changes its arguments would reach into states already explored.
    deepFreeze(snapshot.context);
    const taken = this.microsteps.flatMap((step) => step._transitions);
    const nodes = [...this.microsteps.map((step) => step.snapshot), snapshot].flatMap(({ _nodes }) => _nodes);
    // The first state of all shows in no snapshot when it is left at once.
    const passed = taken.flatMap(({ source }) => withParents(source as AnyStateNode));
    return {
      snapshot,
      effects: this.effects,
      taken,
      visited: [...new Set([...nodes, ...passed])].map(({ id }) => id),
      handled: (this.microsteps[0]?._transitions.length ?? 0) > 0,
    };
  }

  private collect({ type, params }: { type: string; params?: unknown }): void {
    if (type.startsWith("xstate."))
      throw new Error(`${this.machine.id}: '${type}' is not allowed in a pure machine`);
    this.effects.push({ type, params: deepFreeze(params ?? {}) as MachineEffect["params"] });
  }
}

function withParents(node: AnyStateNode): AnyStateNode[] {
  return node.parent ? [node, ...withParents(node.parent)] : [node];
}

/** Active leaf states, deepest first names left out: `running.input.processing`, sorted. */
export function leaves(snapshot: AnyMachineSnapshot): string[] {
  const ids = snapshot._nodes
    .filter(({ type }) => type === "atomic" || type === "final")
    .map(({ path }) => path.join("."));
  return ids.sort();
}

function deepFreeze<Value>(value: Value): Value {
  if (value === null || typeof value !== "object" || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const part of Object.values(value)) deepFreeze(part);
  return value;
}

function refuse(what: string): () => never {
  return () => {
    throw new Error(`'${what}' is not allowed in a pure machine`);
  };
}
