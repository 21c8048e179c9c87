/**
 * The user's XState machine over keyed state: one actor for each key.
 *
 * Owns: which actor gets an event, what becomes of the actions of a step, when an actor begins and ends. Does not own:
 * the step (pure-machine.ts), the form of an actor in state (stored-actor.ts), when timers fire.
 *
 * - AC1 An actor is a row. It is read when an event comes for it and written behind it, so all that it is, is cut and
 *   restored as keyed state is (P85).
 * - AC2 A delay is an entry of the row and a timer of its key: both are there, or none. Leaving the state takes both
 *   away, and a timer without its entry does nothing.
 * - AC3 What a step puts out is handed on behind the write, in the order of its actions.
 * - AC4 An event for another actor is a record on an edge back to this operator (P41), so it is in each cut, and counts
 *   once.
 */
import type { EventObject } from "xstate";
import { ABSENT, type Namespace, type StateTable } from "../../../state/contract.ts";
import { describeValue } from "../../../state/described.ts";
import { type Key, stateTable } from "../../../state/descriptor.ts";
import { checkGiven } from "../../../state/handles/given.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import { type Collect, NO_TIMESTAMP } from "../../source.ts";
import type { OpenOperator, OperatorKind, OperatorServices, Outputs } from "../contract.ts";
import { failureAtKey } from "../failure.ts";
import { stableKey } from "../keyed/key-selector.ts";
import { OperatorTimers, type TimerKind, timerStates } from "../keyed/operator-timers.ts";
import { Actor } from "./actor.ts";
import {
  type ActorView,
  type EventOrigin,
  type MachineOperator,
  REFUSED,
  type RefusedEvent,
  SENT,
  type SentEvent,
} from "./definition.ts";
import { IDLE } from "./delays.ts";
import { type MachineAction, PureMachine } from "./pure-machine.ts";
import { ActorForms, type StoredActor } from "./stored-actor.ts";

/** Name of the state that holds the actors. */
export const ACTORS = "actors of the machine";

const WITHOUT_TIMESTAMPS = {
  missing: "what comes of a delay by the clock",
  remedy: 'let the delays go by event time (time: "event")',
};

export const machineKind: OperatorKind<MachineOperator> = {
  name: "machine",
  describe: ({ plan, time, hasDelays, mayHaveDelays, endOfInput, replayClock, addressee, waitingMax }) => ({
    states: { [ACTORS]: stateTable(), ...timerStates },
    ownStates: true,
    actors: plan,
    needsWatermarks: hasDelays && time === "event",
    ...(hasDelays && time === "event" && { needsTimestamps: true }),
    ...(mayHaveDelays && time === "processing" && { timestamps: WITHOUT_TIMESTAMPS }),
    emitsAtEnd: mayHaveDelays && endOfInput === "fire",
    tags: addressee === undefined ? [REFUSED] : [REFUSED, SENT],
    ...(replayClock && { replayClock }),
    ...(addressee !== undefined && { loop: { waitingMax }, ports: ["in", "sent"] }),
  }),
  open: (definition, services, outputs) => new Actors(definition, services, outputs).opened(),
};

/** What a step hands on. */
interface Out {
  readonly to: Collect<unknown>;
  readonly value: unknown;
}

class Actors {
  private readonly definition: MachineOperator;
  private readonly id: string;
  private readonly checks: boolean;
  private readonly nowMs: () => number;
  private readonly keyOf: (record: unknown) => Key;
  private readonly machine: PureMachine;
  private readonly forms: ActorForms;
  private readonly state: KeyedState;
  private readonly table: StateTable;
  private readonly timers: OperatorTimers;
  private readonly main: Collect<unknown>;
  private readonly refused: Collect<unknown>;
  private readonly sent: Collect<unknown> | undefined;
  private readonly counts = { unknownKey: 0, unhandled: 0, done: 0, expired: 0 };
  private outs: Out[] = [];

  constructor(definition: MachineOperator, services: OperatorServices, outputs: Outputs) {
    const { key, machine, plan, migrate, addressee } = definition;
    const { id, checks, keyedState, processingTime } = services;
    this.definition = definition;
    this.id = id;
    this.checks = checks;
    this.nowMs = () => processingTime.nowMs();
    this.keyOf = stableKey(id, key, checks);
    this.machine = new PureMachine(machine, checks);
    this.forms = new ActorForms(machine, plan.version, migrate);
    this.state = keyedState();
    this.table = this.state.table(ACTORS);
    this.timers = new OperatorTimers({
      state: this.state,
      processingTime,
      atEnd: definition.endOfInput,
      onTimer: (kind, key, time, namespace) => this.onTimer(kind, key, time, namespace),
    });
    this.main = outputs.main;
    this.refused = outputs.tagged(REFUSED);
    this.sent = addressee && outputs.tagged(SENT);
  }

  opened(): OpenOperator {
    const { timers, definition } = this;
    const letGo = definition.endOfInput === "drop";
    const inputs: Collect<unknown>[] = [(record, timestamp) => this.take(record, timestamp)];
    if (this.sent !== undefined)
      inputs.push((sent, timestamp) => this.takeSent(sent as SentEvent, timestamp));
    return {
      state: this.state,
      inputs,
      figures: () => ({ ...this.counts, ...timers.figures() }),
      restored: () => timers.restored(),
      advance: (time) =>
        letGo && time === Number.POSITIVE_INFINITY ? timers.event.clear() : timers.advance(time),
      advanceProcessingTime: (timeMs) => timers.advanceProcessingTime(timeMs),
      finish: () => timers.finish(),
    };
  }

  private take(record: unknown, timestamp: number): void {
    let key: Key | undefined;
    try {
      key = this.keyOf(record);
      const event = this.definition.event(record, { key, timestamp });
      if (event === undefined) return;
      this.state.setCurrentKey(key);
      this.receive(key, checkEvent(event, "event answered"), timestamp, "record");
    } catch (error) {
      throw this.failed(error, key);
    }
    this.handOn(timestamp);
  }

  private takeSent({ key, event }: SentEvent, timestamp: number): void {
    try {
      this.state.setCurrentKey(key);
      this.receive(key, event, timestamp, "actor");
    } catch (error) {
      throw this.failed(error, key);
    }
    this.handOn(timestamp);
  }

  private onTimer(kind: TimerKind, key: Key, time: number, namespace: Namespace): void {
    const timestamp = kind === "event" ? time : NO_TIMESTAMP;
    try {
      const row = this.table.read();
      if (row === ABSENT) return;
      const actor = this.actorOf(key, row as StoredActor, time, timestamp);
      const delay = actor.delays.over(namespace as string | number, time);
      if (delay === undefined) return;
      if (namespace === IDLE) this.lookAtIdle(actor, row as StoredActor, time);
      else if (!actor.isDone) {
        actor.step(delay.event ?? { type: String(delay.id) });
        this.settle(actor);
      }
    } catch (error) {
      throw this.failed(error, key);
    }
    this.handOn(timestamp);
  }

  private receive(key: Key, event: EventObject, timestamp: number, from: EventOrigin): void {
    const stored = this.table.read();
    const { idleMs, unknownKey, input, time } = this.definition;
    const nowMs = time === "event" ? timestamp : this.nowMs();
    if (stored === ABSENT) {
      const answer: unknown = unknownKey(event, from);
      if (answer === "refuse") {
        this.refuse(key, event, "unknownKey");
        return;
      }
      if (answer !== "start")
        throw new Error(`unknownKey answered ${describeValue(answer)}; "start" or "refuse" is needed`);
      const actor = new Actor(this.machine, key, nowMs, timestamp, this.timersInUse());
      actor.start(input?.(event, key));
      if (idleMs !== undefined) actor.delays.begin(IDLE, idleMs, null);
      // One that its first state does not know has done its part: it gave the input.
      if (!actor.isDone) actor.step(event);
      this.settle(actor);
      return;
    }
    const row = stored as StoredActor;
    if (row.isDone) {
      this.refuse(key, event, "done");
      return;
    }
    const actor = this.actorOf(key, row, nowMs, timestamp);
    actor.step(event);
    if (!actor.isHandled) this.refuse(key, event, "unhandled");
    if (actor.isChanged || idleMs !== undefined) this.settle(actor);
  }

  private actorOf(key: Key, stored: StoredActor, nowMs: number, timestamp: number): Actor {
    const actor = new Actor(this.machine, key, nowMs, timestamp, this.timersInUse());
    const { forms } = this;
    if (stored.version === forms.version) actor.restore(forms.snapshotOf(stored), stored.delays);
    else {
      const row = forms.migrated(stored);
      actor.migrate(forms.snapshotOf(row), stored.delays);
    }
    return actor;
  }

  private timersInUse() {
    return this.definition.time === "event" ? this.timers.event : this.timers.processing;
  }

  /** An actor gets no timer anew with each event: the one that it has looks when the last event came. */
  private lookAtIdle(actor: Actor, { seenMs }: StoredActor, time: number): void {
    const { idleMs = 0, expired } = this.definition;
    const leftMs = seenMs + idleMs - time;
    if (leftMs > 0) {
      actor.delays.begin(IDLE, leftMs, null);
      this.write(actor, seenMs);
      return;
    }
    this.counts.expired++;
    actor.delays.endAll();
    this.table.remove();
    if (expired !== undefined) this.put(this.main, "expired", expired(this.viewOf(actor)));
  }

  /** Writes the actor, or lets it go, and collects what it has put out. */
  private settle(actor: Actor): void {
    const { final, done, idleMs } = this.definition;
    const view = actor.actions.length > 0 || actor.isDone ? this.viewOf(actor) : undefined;
    for (const action of actor.actions) this.putOut(action, view!);
    const seenMs = idleMs === undefined ? 0 : actor.nowMs;
    if (!actor.isDone) {
      this.write(actor, seenMs);
      return;
    }
    if (done !== undefined) this.put(this.main, "done", done(actor.snapshot.output, view!));
    actor.delays.endAll(final === "keep" ? IDLE : undefined);
    if (final === "evict") this.table.remove();
    else this.write(actor, seenMs);
  }

  private write(actor: Actor, seenMs: number): void {
    const row = this.forms.storedOf(actor.snapshot, seenMs, actor.delays.list);
    if (this.checks) checkGiven(ACTORS, row);
    this.table.write(row);
  }

  private viewOf({ key, snapshot, timestamp }: Actor): ActorView {
    return { key, value: snapshot.value, context: snapshot.context, timestamp };
  }

  private putOut({ type, params }: MachineAction, view: ActorView): void {
    const { emit, effect, addressee } = this.definition;
    if (type !== "xstate.emit") {
      this.put(this.main, "effect", effect(params === undefined ? { type } : { type, params }, view));
      return;
    }
    const event = checkEvent((params as { readonly event: unknown }).event, "emit was given");
    const key = addressee?.(event, view);
    if (key === undefined) this.put(this.main, "emit", emit(event, view));
    else this.outs.push({ to: this.sent!, value: { key: checkKey(key), event } satisfies SentEvent });
  }

  private put(to: Collect<unknown>, what: string, value: unknown): void {
    if (value === undefined) return;
    if (!isAnswer(value)) refuseAnswer(this.id, `${what} answered`, value);
    this.outs.push({ to, value });
  }

  private refuse(key: Key, event: EventObject, reason: RefusedEvent["reason"]): void {
    this.counts[reason]++;
    this.outs.push({ to: this.refused, value: { key, event, reason } satisfies RefusedEvent });
  }

  private handOn(timestamp: number): void {
    const { outs } = this;
    if (outs.length === 0) return;
    this.outs = [];
    for (const { to, value } of outs) to(value, timestamp);
  }

  private failed(error: unknown, key: Key | undefined): unknown {
    this.outs = [];
    return failureAtKey(this.id, error, this.state, key, [ACTORS]);
  }
}

/** @throws Error when it is none that a user may give to an actor */
function checkEvent(event: unknown, did: string): EventObject {
  const type: unknown =
    typeof event === "object" && event !== null ? (event as { readonly type?: unknown }).type : undefined;
  if (typeof type !== "string")
    throw new Error(`${did} ${describeValue(event)}; an event is needed, an object like { type: "PAID" }`);
  if (type.startsWith("xstate."))
    throw new Error(`${did} an event whose type begins with "xstate.": that is XState's own`);
  return event as EventObject;
}

function checkKey(key: unknown): Key {
  if (
    typeof key === "string" ||
    typeof key === "number" ||
    typeof key === "boolean" ||
    typeof key === "bigint"
  )
    return key;
  throw new Error(
    `addressee answered ${describeValue(key)}; the key of an actor is needed (a text, number, boolean or bigint), or ` +
      "undefined for an event that leaves as a record",
  );
}
