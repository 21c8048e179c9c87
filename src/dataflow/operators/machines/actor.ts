/** One actor while an event is worked off. */
import type { AnyMachineSnapshot, AnyStateNode, EventObject } from "xstate";
import type { Key } from "../../../state/descriptor.ts";
import type { TimerSet } from "../../../state/timers/timer-set.ts";
import { Delays, IDLE } from "./delays.ts";
import type { MachineAction, MachineStep, PureMachine } from "./pure-machine.ts";
import type { StoredDelay } from "./stored-actor.ts";

interface Raised {
  readonly event: EventObject;
  readonly id?: string;
  readonly delay?: number;
}

export class Actor {
  readonly key: Key;
  /** By which its delays are measured: event time of the event, or the clock; NO_TIMESTAMP: the event has none. */
  readonly nowMs: number;
  /** Event time of what it puts out. */
  readonly timestamp: number;
  /** What it has put out, in order: emitted events and named actions. */
  readonly actions: MachineAction[] = [];
  /** The machine had a transition for the last event. */
  isHandled = true;
  delays: Delays;
  private readonly machine: PureMachine;
  private readonly timers: TimerSet;
  private now: AnyMachineSnapshot | undefined;
  private before: AnyMachineSnapshot | undefined;

  constructor(machine: PureMachine, key: Key, nowMs: number, timestamp: number, timers: TimerSet) {
    this.machine = machine;
    this.key = key;
    this.nowMs = nowMs;
    this.timestamp = timestamp;
    this.timers = timers;
    this.delays = new Delays(timers, nowMs, []);
  }

  get snapshot(): AnyMachineSnapshot {
    return this.now!;
  }

  get isDone(): boolean {
    return this.now!.status === "done";
  }

  /** It is not as it was stored, or has put something out. */
  get isChanged(): boolean {
    return this.now !== this.before || this.delays.isChanged || this.actions.length > 0;
  }

  start(input: unknown): void {
    this.apply(this.machine.start(input));
  }

  restore(snapshot: AnyMachineSnapshot, delays: readonly StoredDelay[] | null): void {
    this.now = snapshot;
    this.before = snapshot;
    if (delays !== null) this.delays = new Delays(this.timers, this.nowMs, delays);
  }

  /**
   * Delays that the machine still names go on; `after` of its states that are new begin now, and others are over.
   *
   * @param snapshot of this version of the machine
   */
  migrate(snapshot: AnyMachineSnapshot, delays: readonly StoredDelay[] | null): void {
    this.restore(snapshot, delays);
    this.before = undefined;
    const named = new Map(snapshot._nodes.flatMap(delaysOf));
    for (const { id, event } of this.delays.list)
      if (event === null && id !== IDLE && !named.has(String(id))) this.delays.end(id);
    const { context } = snapshot;
    for (const [id, delay] of named) {
      if (this.delays.list.some((one) => one.id === id)) continue;
      const given: unknown =
        typeof delay === "number" ? delay : this.machine.machine.implementations.delays[delay];
      const event = { type: id };
      const delayMs: unknown = typeof given === "function" ? given({ context, event }, undefined) : given;
      this.delays.begin(id, Number(delayMs), null);
    }
  }

  step(event: EventObject): void {
    const step = this.machine.step(this.snapshot, event);
    this.isHandled = step.isHandled;
    this.apply(step);
  }

  private apply({ snapshot, actions }: MachineStep): void {
    this.now = snapshot;
    for (const action of actions) {
      const { type, params } = action;
      if (type === "xstate.cancel") this.delays.end((params as { readonly sendId: string }).sendId);
      else if (type === "xstate.raise") this.raised(params as Raised);
      else this.actions.push(action);
    }
  }

  private raised({ event, id, delay }: Raised): void {
    // One without delay was taken in the same step.
    if (delay === undefined) return;
    this.delays.begin(id, delay, event.type === id ? null : event);
  }
}

/** The `after`s of a state: the type of their event, and the number or name of the delay. */
function delaysOf(node: AnyStateNode): [string, number | string][] {
  return node.after.map(({ eventType, delay }) => [eventType, delay as number | string]);
}
