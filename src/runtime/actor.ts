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
 * H4  A `tell.` reaches its sibling after the effects of the present transition, in order.
 */
import { type AnyActorRef, type AnyStateMachine, createActor } from "xstate";
import type { TimerFired } from "../../machines/protocol.ts";
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

/** A handler either acts at once or answers with the event that its outcome is. It never rejects. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that answers nothing is the common case
export type EffectHandler<P> = (params: P) => void | Promise<MachineEvent>;

/** One handler per effect of a machine, except those that the host itself performs (timers, tells). */
export type EffectHandlers<E> = {
  readonly [K in keyof E as K extends `timer.${string}` | `tell.${string}` ? never : K]: EffectHandler<E[K]>;
};

export interface ActorDefinition {
  readonly id: string;
  readonly machine: AnyStateMachine;
  readonly input: unknown;
  readonly handlers: { readonly [effect: string]: EffectHandler<never> };
  /** Which actors a `tell.<name>` effect with these parameters reaches. Default: the actor of that name. */
  readonly siblings?: (name: string, params: unknown) => readonly string[];
  /** Tells a timer when the actor can bear it. Default: at once. One that is canceled meanwhile never fires. */
  readonly whenTimerFires?: (tell: () => void) => void;
}

interface Effect {
  readonly type: string;
  readonly params: unknown;
}

interface HostedActor {
  readonly id: string;
  readonly definition: ActorDefinition;
  readonly ref: AnyActorRef;
  readonly timers: Map<string, Timer>;
  readonly deferred: MachineEvent[];
  held: boolean;
  value: string;
}

export interface HostOptions {
  readonly clock: Clock;
  readonly observe?: (step: Step) => void;
  /** An event that the active states do not know: a bug, or a message from another world. */
  readonly onUnhandled?: (actor: string, event: MachineEvent, state: string) => void;
  /** A machine or handler threw: a broken invariant of this project. */
  readonly onCrash: (error: unknown) => void;
}

/** Active states as text: `running.input.processing+running.snapshot.idle`. */
function stateText(value: unknown): string {
  if (typeof value === "string") return value;
  return Object.entries(value as object)
    .map(([key, inner]) => `${key}.${stateText(inner)}`)
    .join("+");
}

/** Of the step that is under way: a transition is synchronous and performs none of its effects, so there is one at a time. */
let outbox: Effect[] = [];

/** Making a machine costs far more than starting an actor of it, so each is made once. */
const namingMachines = new WeakMap<AnyStateMachine, AnyStateMachine>();

/** The machine whose actions only name their effect. */
function namingEffects(machine: AnyStateMachine): AnyStateMachine {
  const known = namingMachines.get(machine);
  if (known !== undefined) return known;
  const actions: Record<string, (_: unknown, params: unknown) => void> = {};
  for (const [name, action] of Object.entries(machine.implementations.actions)) {
    const isAssign = typeof action === "function" && "type" in action;
    if (!isAssign) actions[name] = (_, params) => outbox.push({ type: name, params });
  }
  const naming = machine.provide({ actions } as never);
  namingMachines.set(machine, naming);
  return naming;
}

export class Host {
  readonly #options: HostOptions;
  readonly #actors = new Map<string, HostedActor>();
  readonly #queue: { readonly actor: string; readonly event: MachineEvent }[] = [];
  #running = false;
  #closed = false;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** Creates the actor and hands out the effects of its first state. */
  start(definition: ActorDefinition): void {
    invariant(!this.#actors.has(definition.id), `actor ${definition.id} exists already`);
    const actor: HostedActor = {
      id: definition.id,
      definition,
      ref: createActor(namingEffects(definition.machine), { input: definition.input }),
      timers: new Map(),
      deferred: [],
      held: false,
      value: "",
    };
    this.#actors.set(definition.id, actor);
    // What a machine throws is thrown here as well; unheard, XState would throw it a second time, out of anybody's reach.
    actor.ref.subscribe({ error() {} });
    const begin = () => this.#step(actor, { type: "actor.started" }, () => actor.ref.start());
    if (this.#running) begin();
    else this.#drain(begin);
  }

  /** Events for actors that do not exist (any more) are dropped. */
  send(actor: string, event: MachineEvent): void {
    if (this.#closed) return;
    this.#queue.push({ actor, event });
    this.#drain();
  }

  has(actor: string): boolean {
    return this.#actors.has(actor);
  }

  /** Ids of the living actors that begin with `prefix`. */
  ids(prefix: string): string[] {
    return [...this.#actors.keys()].filter((id) => id.startsWith(prefix));
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
    const effects: Effect[] = [];
    outbox = effects;
    advance();
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
    for (let i = 0; i < effects.length; i++) {
      const effect = effects[i]!;
      const answer = this.#perform(actor, effect);
      if (answer === undefined) continue;
      invariant(
        i === effects.length - 1,
        `${actor.id}: "${effect.type}" must be the last effect of its transition`,
      );
      this.#hold(actor, answer);
    }
    if (snapshot.status === "done" && !actor.held) this.#remove(actor);
  }

  #perform(actor: HostedActor, effect: Effect): Promise<MachineEvent> | undefined {
    const dot = effect.type.indexOf(".");
    const verb = effect.type.slice(0, dot);
    if (verb === "timer") this.#time(actor, effect);
    else if (verb === "tell") this.#tell(actor, effect.type.slice(dot + 1), effect.params);
    else {
      const handler = actor.definition.handlers[effect.type];
      invariant(handler !== undefined, `${actor.id}: no handler for effect "${effect.type}"`);
      const answer = handler(effect.params as never);
      if (answer instanceof Promise) return answer;
    }
    return undefined;
  }

  #tell(actor: HostedActor, name: string, params: unknown): void {
    const targets = actor.definition.siblings?.(name, params) ?? [name];
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
        this.send(actor.id, { type: "timer.fired", timer } as MachineEvent);
      }),
    );
    actor.timers.set(timer, running);
  }

  /** It may have fired while the actor was held, or behind other events: that one is over, too. */
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
