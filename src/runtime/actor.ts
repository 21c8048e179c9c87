/**
 * The host: runs the machines of one process that belong together (a job on its leader, a subtask on its worker).
 *
 * Owns: the order in which events are taken and effects are handed out. Does not own: what effects do (handlers), what
 * machines decide.
 *
 * H1  One event at a time. Effects of a transition are handed out in the order in which the machine names them.
 * H2  An effect whose handler answers with a promise (every `store.`) holds its actor: later events of that actor wait,
 *     and the event that the promise brings is taken first. Nothing may follow such an effect in its transition, so
 *     what depends on durability can only be named by the transition on its success (P12).
 * H3  Waiting stops one actor, never the process (P12).
 * H4  A `tell.` reaches its sibling after the effects of the present transition, in order; so does the event of a
 *     wire inside the process (machines/wiring.ts).
 * H5  An answer that a handler gives at once is taken after the effects of the present transition, and before all
 *     other events.
 */
import { type AnyActorRef, type AnyStateMachine, createActor } from "xstate";
import type { TimerFired } from "../../machines/protocol.ts";
import type { Role, Roles } from "../../machines/roles.ts";
import {
  type FactsOf,
  madeOf,
  receiversOf,
  type Told,
  toldActors,
  type WiredEvent,
  type Wires,
  wireInside,
} from "../../machines/wiring.ts";
import type { Clock, Timer } from "../clock.ts";
import { invariant } from "../errors.ts";

export interface MachineEvent {
  readonly type: string;
}

/** One step of one machine, for the event feed. */
export interface Step {
  readonly actor: string;
  readonly role: string;
  readonly event: MachineEvent;
  readonly from: string;
  readonly to: string;
  readonly effects: readonly { readonly type: string; readonly params: unknown }[];
}

/** An actor's id: the name of its role, or that and what tells it from others. */
export type ActorId<Name extends string> = Name | `${Name}/${string}`;

/** The roles that a host may know, and what the actors of each take and name. */
type Table<R> = { readonly [Name in keyof R]: Role };
type NameIn<R> = keyof R & string;

export type AnswerOf<R extends Role, E> = E extends keyof R["answers"]
  ? Extract<R["event"], { readonly type: R["answers"][E] }>
  : never;

/** What the host of an effect adds to the event that the effect becomes inside the process; never: it becomes none. */
type FactsInside<Name, E> = {
  [W in WiredEvent]: Wires[W] extends { readonly from: Name; readonly effect: E; readonly way: "process" }
    ? FactsOf<W>
    : never;
}[WiredEvent];

/** The effects whose answer the host waits for (H2). A promise of their handlers never rejects. */
type Awaited<E> = Extract<E, `store.${string}` | `read.${string}`>;

export type EffectHandler<Name extends string, R extends Role, E extends keyof R["effects"]> = [
  AnswerOf<R, E>,
] extends [never]
  ? [FactsInside<Name, E>] extends [never]
    ? (params: R["effects"][E]) => void
    : (params: R["effects"][E]) => FactsInside<Name, E>
  : [Awaited<E>] extends [never]
    ? (params: R["effects"][E], answer: (event: AnswerOf<R, E>) => void) => void
    : (params: R["effects"][E]) => Promise<AnswerOf<R, E>>;

/** One handler per effect of a role, except those that the host itself performs (timers, tells). */
export type HandlersOf<Name extends string, R extends Role> = {
  readonly [E in keyof R["effects"] as E extends `timer.${string}` | `tell.${string}`
    ? never
    : E]: EffectHandler<Name, R, E>;
};

export type EffectHandlers<Name extends keyof Roles> = HandlersOf<Name, Roles[Name]>;

export interface ActorDefinition<Name extends string = string, R extends Role = Role> {
  readonly id: ActorId<Name>;
  readonly machine: AnyStateMachine;
  readonly input: R["input"];
  readonly handlers: HandlersOf<Name, R>;
  /** Which actors a `tell.<name>` effect with these parameters reaches. Default: as the wiring says. */
  readonly siblings?: (name: string, params: unknown) => readonly string[];
  /**
   * Calls `tell` when the actor may hear of its timer. Default: at once. A timer that is canceled meanwhile never
   * fires.
   */
  readonly whenTimerFires?: (tell: () => void) => void;
}

/** A handler as the host calls it, which knows nothing of types. */
type AnyHandler = (params: unknown, answer: (event: MachineEvent) => void) => unknown;

interface Effect {
  readonly type: string;
  readonly params: unknown;
}

interface HostedActor {
  readonly id: string;
  readonly definition: ActorDefinition;
  readonly ref: AnyActorRef;
  readonly named: Effect[];
  readonly timers: Map<string, Timer>;
  readonly deferred: MachineEvent[];
  held: boolean;
  value: string;
}

export interface HostOptions {
  readonly clock: Clock;
  readonly observe?: (step: Step) => void;
  /** Called for an event that the active states do not know: a bug, or a message of another version. */
  readonly onUnhandled?: (actor: string, event: MachineEvent, state: string) => void;
  /** Called when a machine or handler throws: a broken invariant of this project. */
  readonly onCrash: (error: unknown) => void;
}

/** Active states as text: `running.input.processing+running.snapshot.idle`. */
function stateText(value: unknown): string {
  if (typeof value === "string") return value;
  return Object.entries(value as object)
    .map(([key, inner]) => `${key}.${stateText(inner)}`)
    .join("+");
}

/** A machine whose actions only name their effects. */
interface NamingMachine {
  readonly machine: AnyStateMachine;
  /** The effects of the step under way: a transition is synchronous and performs none, so there is one at a time. */
  readonly named: Effect[];
}

/** Making a machine costs far more than starting an actor of it, so each is made once. */
const namingMachines = new WeakMap<AnyStateMachine, NamingMachine>();

function namingEffects(machine: AnyStateMachine): NamingMachine {
  const known = namingMachines.get(machine);
  if (known !== undefined) return known;
  const named: Effect[] = [];
  const actions: Record<string, (_: unknown, params: unknown) => void> = {};
  for (const [name, action] of Object.entries(machine.implementations.actions)) {
    const isAssign = typeof action === "function" && "type" in action;
    if (!isAssign) actions[name] = (_, params) => named.push({ type: name, params });
  }
  const naming = { machine: machine.provide({ actions } as never), named };
  namingMachines.set(machine, naming);
  return naming;
}

const roleOf = (actor: string): string => actor.split("/", 1)[0] ?? actor;

export class Host<R extends Table<R> = Roles> {
  readonly #options: HostOptions;
  readonly #actors = new Map<string, HostedActor>();
  readonly #queue: { readonly actor: string; readonly event: MachineEvent }[] = [];
  #running = false;
  #closed = false;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** Creates the actor and hands out the effects of its first state. A host that is closed starts nothing. */
  start<Name extends NameIn<R>>(typed: ActorDefinition<Name, R[Name]>): void {
    if (this.#closed) return;
    const definition = typed as unknown as ActorDefinition;
    invariant(!this.#actors.has(definition.id), `actor ${definition.id} exists already`);
    const { machine, named } = namingEffects(definition.machine);
    const actor: HostedActor = {
      id: definition.id,
      definition,
      ref: createActor(machine, { input: definition.input }),
      named,
      timers: new Map(),
      deferred: [],
      held: false,
      value: "",
    };
    this.#actors.set(definition.id, actor);
    // What a machine throws is thrown here as well; unheard, XState would throw it a second time, where no code can
    // catch it.
    actor.ref.subscribe({ error() {} });
    const begin = () => this.#step(actor, { type: "actor.started" }, () => actor.ref.start());
    if (this.#running) begin();
    else this.#drain(begin);
  }

  /** Events for actors that do not exist (any more) are dropped. */
  send<Name extends NameIn<R>>(actor: ActorId<Name>, event: R[Name]["event"]): void {
    this.#send(actor, event);
  }

  /** Gives the event to the actors that its wire leads to. */
  tell<W extends WiredEvent>(event: Told<W>): void {
    const living = (role: string) => this.#living(role);
    for (const actor of receiversOf(event.type as W, event, living)) this.#send(actor, event);
  }

  #send(actor: string, event: MachineEvent): void {
    if (this.#closed) return;
    this.#queue.push({ actor, event });
    this.#drain();
  }

  has(actor: string): boolean {
    return this.#actors.has(actor);
  }

  /** Ids of the living actors of a role. */
  idsOf<Name extends NameIn<R>>(role: Name): ActorId<Name>[] {
    return this.#living(role) as ActorId<Name>[];
  }

  #living(role: string): string[] {
    return [...this.#actors.keys()].filter((id) => roleOf(id) === role);
  }

  state(actor: string): string {
    return this.#actors.get(actor)?.value ?? "";
  }

  /** What the machine remembers, for reports. */
  context(actor: string): unknown {
    return this.#actors.get(actor)?.ref.getSnapshot().context;
  }

  /** Ends every actor; promises that are still under way bring nothing any more. */
  close(): void {
    this.#closed = true;
    for (const actor of this.#actors.values()) this.#remove(actor);
  }

  /** Takes what is queued, after `first`. */
  #drain(first?: () => void): void {
    if (this.#running) return;
    this.#running = true;
    try {
      first?.();
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const actor = this.#actors.get(next.actor);
        if (actor === undefined) continue;
        if (actor.held) actor.deferred.push(next.event);
        else this.#take(actor, next.event);
      }
    } catch (error) {
      this.close();
      this.#options.onCrash(error);
    } finally {
      this.#running = false;
    }
  }

  #take(actor: HostedActor, event: MachineEvent): void {
    const before = actor.ref.getSnapshot();
    this.#step(actor, event, () => actor.ref.send(event));
    if (actor.ref.getSnapshot() === before) this.#options.onUnhandled?.(actor.id, event, actor.value);
  }

  #step(actor: HostedActor, event: MachineEvent, advance: () => void): void {
    const from = actor.value;
    // An earlier step may have failed in the middle.
    actor.named.length = 0;
    advance();
    const effects = actor.named.splice(0);
    const snapshot = actor.ref.getSnapshot();
    if (snapshot.status === "error") throw snapshot.error;
    actor.value = stateText(snapshot.value);
    if (from !== actor.value || effects.length > 0)
      this.#options.observe?.({
        actor: actor.id,
        role: actor.definition.machine.id,
        event,
        from,
        to: actor.value,
        effects,
      });
    const answers: MachineEvent[] = [];
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!;
      const answer = this.#perform(actor, effect, answers);
      if (answer === undefined) continue;
      invariant(
        i === effects.length - 1,
        `${actor.id}: "${effect.type}" must be the last effect of its transition`,
      );
      this.#hold(actor, answer);
    }
    this.#queue.unshift(...answers.map((answer) => ({ actor: actor.id, event: answer })));
    if (snapshot.status === "done" && !actor.held) this.#remove(actor);
  }

  #perform(actor: HostedActor, effect: Effect, answers: MachineEvent[]): Promise<MachineEvent> | undefined {
    const dot = effect.type.indexOf(".");
    const verb = effect.type.slice(0, dot);
    if (verb === "timer") this.#time(actor, effect);
    else if (verb === "tell") this.#tell(actor, effect.type.slice(dot + 1), effect.params);
    else return this.#carryOut(actor, effect, answers);
    return undefined;
  }

  #carryOut(
    actor: HostedActor,
    { type, params }: Effect,
    answers: MachineEvent[],
  ): Promise<MachineEvent> | undefined {
    const handler = (actor.definition.handlers as Readonly<Record<string, AnyHandler>>)[type];
    invariant(handler !== undefined, `${actor.id}: no handler for effect "${type}"`);
    let atOnce = true;
    const result = handler(params, (event) => {
      if (atOnce) answers.push(event);
      else this.#send(actor.id, event);
    });
    atOnce = false;
    if (result instanceof Promise) return result;
    const wire = wireInside(roleOf(actor.id), type);
    if (wire === undefined) return undefined;
    const event = madeOf(wire, params as object, result as object);
    for (const target of wire.to) this.#queue.push({ actor: target, event });
    return undefined;
  }

  #tell(actor: HostedActor, name: string, params: unknown): void {
    const targets =
      actor.definition.siblings?.(name, params) ??
      toldActors(roleOf(actor.id), `tell.${name}`, params as object, (role) => this.#living(role));
    const { event } = params as { readonly event: MachineEvent };
    for (const target of targets) this.#queue.push({ actor: target, event });
  }

  #time(actor: HostedActor, effect: Effect): void {
    const { timer, ms } = effect.params as { readonly timer: string; readonly ms: number };
    actor.timers.get(timer)?.cancel();
    actor.timers.delete(timer);
    this.#forgetFired(actor, timer);
    if (effect.type !== "timer.start") return;
    const { whenTimerFires = (tell) => tell() } = actor.definition;
    const running = this.#options.clock.after(ms, () =>
      whenTimerFires(() => {
        if (actor.timers.get(timer) !== running) return;
        actor.timers.delete(timer);
        this.#send(actor.id, { type: "timer.fired", timer } as TimerFired);
      }),
    );
    actor.timers.set(timer, running);
  }

  /** Drops the event of a timer that has fired while the actor was held, or behind other events. */
  #forgetFired(actor: HostedActor, timer: string): void {
    const fired = (event: MachineEvent) =>
      event.type === "timer.fired" && (event as TimerFired).timer === timer;
    remove(actor.deferred, fired);
    remove(this.#queue, (queued) => queued.actor === actor.id && fired(queued.event));
  }

  #hold(actor: HostedActor, answer: Promise<MachineEvent>): void {
    actor.held = true;
    answer.then(
      (event) => {
        if (this.#closed || this.#actors.get(actor.id) !== actor) return;
        actor.held = false;
        this.#queue.unshift(
          { actor: actor.id, event },
          ...actor.deferred.splice(0).map((deferred) => ({ actor: actor.id, event: deferred })),
        );
        this.#drain();
      },
      (error: unknown) => {
        this.close();
        this.#options.onCrash(error);
      },
    );
  }

  #remove(actor: HostedActor): void {
    for (const timer of actor.timers.values()) timer.cancel();
    actor.timers.clear();
    actor.ref.stop();
    this.#actors.delete(actor.id);
  }
}

function remove<T>(from: T[], unwanted: (one: T) => boolean): void {
  for (let i = from.length - 1; i >= 0; i--) if (unwanted(from[i]!)) from.splice(i, 1);
}
