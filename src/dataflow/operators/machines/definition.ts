/** What the author of a job says of actors, as the engine runs them. */
import type { AnyStateMachine, EventObject, StateValue } from "xstate";
import type { ActorPlan } from "../../../../machines/protocol.ts";
import type { Key } from "../../../state/descriptor.ts";
import type { KeySelector } from "../keyed/key-selector.ts";
import type { TimersAtEnd } from "../keyed/operator-timers.ts";
import type { Migrations } from "./stored-actor.ts";

/** The actor that puts something out, as it is behind the event. Made for each call. */
export interface ActorView<K = Key, Context = unknown, Value = StateValue> {
  readonly key: K;
  readonly value: Value;
  readonly context: Context;
  /** Event time in ms, or NO_TIMESTAMP: of the record, or of the delay that is over. */
  readonly timestamp: number;
}

/** A named action: it leaves the operator as a record. `params` is there if the machine gives some. */
export interface MachineEffect {
  readonly type: string;
  readonly params?: unknown;
}

/** An event on its way from one actor to another. */
export interface SentEvent {
  readonly key: Key;
  readonly event: EventObject;
}

/** An event that no actor took. */
export interface RefusedEvent<K = Key, Event = EventObject> {
  readonly key: K;
  readonly event: Event;
  /**
   * `unknownKey`: the key has no actor, and the event starts none. `unhandled`: the actor's state has no transition for
   * it. `done`: the actor has ended, and is kept.
   */
  readonly reason: "unknownKey" | "unhandled" | "done";
}

/** Where an event comes from: a record of the stream, or another actor. */
export type EventOrigin = "record" | "actor";

/** What is known of a record besides. */
export interface AboutRecord<K = Key> {
  readonly key: K;
  /** Event time in ms, or NO_TIMESTAMP. */
  readonly timestamp: number;
}

export interface MachineOperator {
  readonly key: KeySelector;
  /** One that is `prepared`. */
  readonly machine: AnyStateMachine;
  readonly plan: ActorPlan;
  readonly migrate: Migrations;
  /** undefined: the record is for no actor. */
  readonly event: (record: unknown, about: AboutRecord) => unknown;
  readonly input: ((event: EventObject, key: Key) => unknown) | undefined;
  readonly unknownKey: (event: EventObject, from: EventOrigin) => "start" | "refuse";
  /** They answer records; undefined: none. */
  readonly emit: (event: EventObject, actor: ActorView) => unknown;
  readonly effect: (effect: MachineEffect, actor: ActorView) => unknown;
  readonly done: ((output: unknown, actor: ActorView) => unknown) | undefined;
  readonly expired: ((actor: ActorView) => unknown) | undefined;
  /** The key of the actor that an emitted event is for; undefined: it leaves as a record. */
  readonly addressee: ((event: EventObject, actor: ActorView) => unknown) | undefined;
  readonly time: "event" | "processing";
  readonly final: "evict" | "keep";
  /** undefined: an actor stays until it ends. */
  readonly idleMs: number | undefined;
  readonly endOfInput: TimersAtEnd;
  /** undefined: the clock is that of the worker. */
  readonly replayClock: "resume" | undefined;
  /** Its actors may have to wait for a time. */
  readonly hasDelays: boolean;
  /** Some may show only when it runs. */
  readonly mayHaveDelays: boolean;
  /** Records that may wait where events of actors come in. */
  readonly waitingMax: number;
}

/** Tag of the output for events that no actor took. */
export const REFUSED = "refused";
/** Tag of the way to other actors. No user's tag has a blank in it. */
export const SENT = "sent events";
/** The port that sent events come in at. */
export const SENT_PORT = 1;
