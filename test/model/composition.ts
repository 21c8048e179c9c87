/**
 * Several machines that live in one process and tell each other things: the pure twin of the production host.
 *
 * Owns: the order of events inside a process. An event told to a sibling goes to the end of the process's inbox; it is
 * taken after the current transition's effects have all been handed out, and events are taken one at a time.
 */
import type { AnyMachineSnapshot, AnyStateMachine } from "xstate";
import type { Event } from "./process.ts";
import { type MachineEffect, type MachineStep, PureMachine } from "./pure-machine.ts";

export interface ActorSpec {
  readonly machine: AnyStateMachine;
  readonly input: unknown;
}

/** What becomes of one effect. `Outside` is for the runner of the composition, e.g. the checker's sends and stores. */
export type Outcome<Outside> =
  | { readonly kind: "outside"; readonly effect: Outside }
  /** It goes to a sibling's inbox; `first`: before everything that waits there already. */
  | { readonly kind: "tell"; readonly actor: string; readonly event: Event; readonly first?: boolean }
  /** A new actor; it starts when its turn in the inbox comes, and goes away when its machine is done. */
  | {
      readonly kind: "create";
      readonly actor: string;
      readonly machine: AnyStateMachine;
      readonly input: unknown;
      /** It stays when its machine is done. */
      readonly stays?: boolean;
    }
  | { readonly kind: "remove"; readonly actor: string }
  /** One of these events will come to the actor of the effect, once: a timer, the answer of a store. */
  | { readonly kind: "await"; readonly id: string; readonly events: readonly Event[] }
  | { readonly kind: "cancel"; readonly id: string }
  /** The effect failed: the rest of this transition's effects is dropped (P12). */
  | { readonly kind: "discard" };

export interface Letter {
  readonly actor: string;
  /** `start`: the actor begins. */
  readonly content: { readonly event: Event } | { readonly start: ActorSpec; readonly removable: boolean };
}

export interface ActorState {
  readonly machine: AnyStateMachine;
  readonly snapshot: AnyMachineSnapshot;
  readonly removable: boolean;
}

export interface Awaited {
  readonly actor: string;
  readonly events: readonly Event[];
}

export interface CompositionState {
  readonly actors: ReadonlyMap<string, ActorState>;
  /** What is awaited, by `<actor> <id>`. */
  readonly awaited: ReadonlyMap<string, Awaited>;
  readonly inbox: readonly Letter[];
}

/** One transition of one actor. */
export interface ActorStep {
  readonly actor: string;
  readonly machine: AnyStateMachine;
  /** undefined: the actor started. */
  readonly event: Event | undefined;
  readonly before: AnyMachineSnapshot | undefined;
  readonly step: MachineStep;
}

/** undefined: use the default. Only `tell.*`, `timer.start` and `timer.cancel` have one. */
export type Route<Outside> = (
  effect: MachineEffect,
  actor: string,
  state: CompositionState,
) => readonly Outcome<Outside>[] | undefined;

export const emptyComposition: CompositionState = { actors: new Map(), awaited: new Map(), inbox: [] };

const pureMachines = new WeakMap<AnyStateMachine, PureMachine>();

function pure(machine: AnyStateMachine): PureMachine {
  const known = pureMachines.get(machine) ?? new PureMachine(machine);
  pureMachines.set(machine, known);
  return known;
}

/** Takes letters from a process's inbox. One object runs one step of the process. */
export class CompositionRun<Outside> {
  readonly outside: Outside[] = [];
  private readonly actors: Map<string, ActorState>;
  private readonly awaited: Map<string, Awaited>;
  private inbox: Letter[];
  private readonly route: Route<Outside>;
  private readonly observe: (step: ActorStep) => void;

  constructor(state: CompositionState, route: Route<Outside>, observe: (step: ActorStep) => void) {
    this.actors = new Map(state.actors);
    this.awaited = new Map(state.awaited);
    this.inbox = [...state.inbox];
    this.route = route;
    this.observe = observe;
  }

  get state(): CompositionState {
    return { actors: this.actors, awaited: this.awaited, inbox: this.inbox };
  }

  get waiting(): number {
    return this.inbox.length;
  }

  post(...letters: readonly Letter[]): void {
    this.inbox.push(...letters);
  }

  /** Before everything that waits already. */
  postFirst(letter: Letter): void {
    this.inbox.unshift(letter);
  }

  /** The awaited event has come: nothing else is awaited under this key any more. */
  settle(key: string): void {
    this.awaited.delete(key);
  }

  takeNext(): void {
    const letter = this.inbox.shift();
    if (letter === undefined) return;
    const { actor, content } = letter;
    if ("start" in content) this.start(actor, content.start, content.removable);
    else this.tell(actor, content.event);
  }

  takeAll(): void {
    while (this.waiting > 0) this.takeNext();
  }

  private start(actor: string, { machine, input }: ActorSpec, removable: boolean): void {
    const step = pure(machine).start(input);
    this.settleStep({ actor, machine, event: undefined, before: undefined, step }, removable);
  }

  /** An actor that has ended, is gone, or was never there takes no event. */
  private tell(actor: string, event: Event): void {
    const known = this.actors.get(actor);
    if (known === undefined || known.snapshot.status !== "active") return;
    const { machine, snapshot, removable } = known;
    const step = pure(machine).step(snapshot, event);
    this.settleStep({ actor, machine, event, before: snapshot, step }, removable);
  }

  private settleStep(taken: ActorStep, removable: boolean): void {
    const { actor, machine, step } = taken;
    this.observe(taken);
    this.actors.set(actor, { machine, snapshot: step.snapshot, removable });
    this.handOut(actor, step.effects);
    if (removable && step.snapshot.status === "done") this.remove(actor);
  }

  private handOut(actor: string, effects: readonly MachineEffect[]): void {
    for (const effect of effects) {
      const outcomes = this.route(effect, actor, this.state) ?? defaultRoute(effect);
      if (outcomes === undefined) throw new Error(`${actor}: no route for effect '${effect.type}'`);
      for (const outcome of outcomes) {
        if (outcome.kind === "discard") return;
        this.perform(actor, outcome);
      }
    }
  }

  private perform(actor: string, outcome: Exclude<Outcome<Outside>, { kind: "discard" }>): void {
    switch (outcome.kind) {
      case "outside":
        this.outside.push(outcome.effect);
        break;
      case "tell": {
        const letter = { actor: outcome.actor, content: { event: outcome.event } };
        if (outcome.first) this.postFirst(letter);
        else this.post(letter);
        break;
      }
      case "create":
        this.post({ actor: outcome.actor, content: { start: outcome, removable: outcome.stays !== true } });
        break;
      case "remove":
        this.remove(outcome.actor);
        break;
      case "await":
        this.awaited.set(`${actor} ${outcome.id}`, { actor, events: outcome.events });
        break;
      case "cancel":
        this.awaited.delete(`${actor} ${outcome.id}`);
        break;
    }
  }

  private remove(actor: string): void {
    this.actors.delete(actor);
    for (const [key, awaited] of this.awaited) if (awaited.actor === actor) this.awaited.delete(key);
  }
}

/** `tell.job {event}` goes to the sibling `job`; `timer.start {timer}` may fire at any time until `timer.cancel`. */
function defaultRoute({ type, params }: MachineEffect): readonly Outcome<never>[] | undefined {
  if (type.startsWith("tell."))
    return [{ kind: "tell", actor: type.slice("tell.".length), event: params.event as Event }];
  const timer = String(params.timer);
  if (type === "timer.start") {
    return [{ kind: "await", id: `timer ${timer}`, events: [{ type: "timer.fired", timer } as Event] }];
  }
  return type === "timer.cancel" ? [{ kind: "cancel", id: `timer ${timer}` }] : undefined;
}
