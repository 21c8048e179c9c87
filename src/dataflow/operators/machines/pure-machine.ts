/**
 * A user's XState machine as a pure function: the place of an actor and an event in, the next place and actions out.
 *
 * Owns: the calls of XState, what of its answers is refused, the look at whether it answers the same again. Does not
 * own: what becomes of the actions (actors.ts), how an actor is stored (stored-actor.ts).
 *
 * - PM1 No function of the user's is run but guards, `assign`, and what gives an event, a delay or parameters. Actions
 *   are answered as data, in XState's order.
 * - PM2 The initial context is the actor's own: one that the machine gives as an object is copied.
 * - PM3 A step is taken again in a sample, or always with `checks`: at once, and once more at a later step. One that
 *   answers otherwise would make the job another one after a failure.
 *
 * XState's public `transition()` makes an actor for each call and costs two to five times as much, so one scope is kept
 * for all calls. It is an internal of XState, whose version is pinned.
 */
import { isDeepStrictEqual } from "node:util";
import { type AnyMachineSnapshot, type AnyStateMachine, createEmptyActor, type EventObject } from "xstate";
import { isChangeRefused } from "../../../state/frozen.ts";
import { refusalIn } from "../../../state/plain-value.ts";

/** An action that a step has named. `params` of XState's own actions are as they are inside XState. */
export interface MachineAction {
  readonly type: string;
  readonly params: unknown;
}

export interface MachineStep {
  readonly snapshot: AnyMachineSnapshot;
  readonly actions: readonly MachineAction[];
  /** Some transition was selected, if only one that ignores the event on purpose. */
  readonly isHandled: boolean;
}

type ActorScope = Parameters<AnyStateMachine["transition"]>[2];

/** Microsteps of one step at most: a cycle of transitions that takes no event would never end. */
const MICROSTEPS_MAX = 10_000;
const LOOKED_AT_CLOSELY = 64;
const SAMPLED_EVERY = 1024;

/** What XState may not name, and what to do instead. */
export const REFUSED_ACTIONS: Readonly<Record<string, string>> = {
  "xstate.sendTo":
    "sendTo (and sendParent, forwardTo): emit an event, and give `addressee`, to send it to another actor",
  "xstate.spawnChild":
    "spawnChild (and spawn): requests to the outside world belong to async() in front or behind",
  "xstate.stopChild": "stopChild: there are no children",
  "xstate.log": "log: name an action instead, which leaves the operator as a record",
};

/** The same machine with bounded steps and with initial contexts that are not shared. */
export function prepared(machine: AnyStateMachine): AnyStateMachine {
  const own = machine.provide({}) as AnyStateMachine;
  const { context } = own.config as { readonly context?: unknown };
  const { maxIterations } = own.options as { readonly maxIterations: number };
  return Object.assign(own, {
    options: { ...own.options, maxIterations: Math.min(maxIterations, MICROSTEPS_MAX) },
    ...(typeof context === "object" &&
      context !== null && { config: { ...own.config, context: () => structuredClone(context) } }),
  });
}

interface Sample {
  readonly take: () => MachineStep;
  readonly answer: MachineStep;
  readonly what: string;
}

export class PureMachine {
  readonly machine: AnyStateMachine;
  private readonly scope: ActorScope;
  private readonly checks: boolean;
  private actions: MachineAction[] = [];
  private steps = 0;
  private sample: Sample | undefined;

  /** @param machine one that is `prepared` */
  constructor(machine: AnyStateMachine, checks: boolean) {
    this.machine = machine;
    this.checks = checks;
    this.scope = {
      // XState only wants one to be there.
      self: createEmptyActor(),
      id: "",
      sessionId: "",
      logger: refuse(REFUSED_ACTIONS["xstate.log"]!),
      // Only `spawn` inside of `assign` asks for it: other actions do so when they are executed.
      defer: refuse(REFUSED_ACTIONS["xstate.spawnChild"]!),
      emit: refuse("emit outside of an action"),
      stopChild: refuse(REFUSED_ACTIONS["xstate.stopChild"]!),
      system: { _sendInspectionEvent() {} },
      actionExecutor: (action: { type: string; params?: unknown; exec?: unknown }) => this.collect(action),
    } as unknown as ActorScope;
  }

  start(input: unknown): MachineStep {
    return this.taken("its first state", () => {
      const snapshot: AnyMachineSnapshot = this.machine.getInitialSnapshot(this.scope, input as never);
      // XState reports a failing context factory or entry as a state, not as an exception.
      if (snapshot.status === "error") throw snapshot.error;
      return { snapshot, actions: this.actions, isHandled: true };
    });
  }

  step(before: AnyMachineSnapshot, event: EventObject): MachineStep {
    return this.taken(`event ${this.nameOf(event)}`, () => {
      const snapshot: AnyMachineSnapshot = this.machine.transition(before, event, this.scope);
      const { actions } = this;
      const isHandled =
        snapshot !== before ||
        actions.length > 0 ||
        this.machine.getTransitionData(before, event as never).length > 0;
      return { snapshot, actions, isHandled };
    });
  }

  /** Names an event in messages; a type that the machine does not know may be data, and is not shown. */
  nameOf({ type }: EventObject): string {
    return this.machine.events.includes(type as never) || type.startsWith("xstate.")
      ? `"${type}"`
      : "of a type that the machine does not name";
  }

  private taken(what: string, take: () => MachineStep): MachineStep {
    const act = (): MachineStep => {
      this.actions = [];
      return take();
    };
    const answer = act();
    const isSampled = this.checks || this.steps < LOOKED_AT_CLOSELY || this.steps % SAMPLED_EVERY === 0;
    this.steps++;
    if (isSampled) {
      compare({ take: act, answer, what });
      if (this.sample !== undefined) compare(this.sample);
      this.sample = { take: act, answer, what };
    }
    return answer;
  }

  private collect({ type, params, exec }: { type: string; params?: unknown; exec?: unknown }): void {
    const refusal = REFUSED_ACTIONS[type];
    if (refusal !== undefined) throw new Error(`its machine names ${refusal}`);
    if (
      exec !== undefined &&
      !type.startsWith("xstate.") &&
      this.machine.implementations.actions[type] !== exec
    )
      throw new Error(
        "its machine names an action that is a function. It would run again after a failure: give it a name in " +
          "setup({ actions }), by which it leaves the operator as a record",
      );
    this.actions.push({ type, params });
  }
}

/** @throws Error when the machine answers otherwise */
function compare({ take, answer, what }: Sample): void {
  let again: MachineStep;
  try {
    again = take();
  } catch (error) {
    if (isChangeRefused(error)) throw error;
    throw new Error(`its machine failed when ${what} was given to it a second time`, { cause: error });
  }
  // What is no plain value the state refuses. Both are looked at, because each may hold a promise, which would be left.
  const refusals = [answer, again].map(({ snapshot }) => refusalIn(snapshot.context));
  if (refusals[0] !== undefined) return;
  const part = differenceOf(answer, again);
  if (part === undefined) return;
  throw new Error(
    `its machine answers ${what} with another ${part} the second time. What it does must follow from the context, the ` +
      "event and the input alone: no random numbers, no clock, no changes of a context in place; give what it needs " +
      "with the event",
  );
}

function differenceOf(one: MachineStep, other: MachineStep): string | undefined {
  if (!isDeepStrictEqual(one.snapshot.value, other.snapshot.value)) return "state";
  if (one.snapshot.status !== other.snapshot.status) return "status";
  const field = fieldOf(one.snapshot.context, other.snapshot.context);
  if (field !== undefined) return field;
  if (!isDeepStrictEqual(one.actions, other.actions)) return "list of actions, or parameters of them,";
  return isDeepStrictEqual(one.snapshot.output, other.snapshot.output) ? undefined : "output";
}

function fieldOf(
  one: Readonly<Record<string, unknown>>,
  other: Readonly<Record<string, unknown>>,
): string | undefined {
  if (isDeepStrictEqual(one, other)) return undefined;
  const names = [...Object.keys(one), ...Object.keys(other)];
  const name = names.find((each) => !isDeepStrictEqual(one[each], other[each]));
  return name === undefined ? "context" : `context.${name}`;
}

function refuse(what: string): () => never {
  return () => {
    throw new Error(`its machine uses ${what}`);
  };
}
