/** What a user says of a machine whose actors are keyed state, and what is checked of it before anything runs. */
import type {
  AnyStateMachine,
  ContextFrom,
  EmittedFrom,
  EventFrom,
  InputFrom,
  OutputFrom,
  StateValue,
} from "xstate";
import { checkMembers } from "../../config/members.ts";
import { type Duration, parseDuration, show } from "../../config/quantity.ts";
import type { KeySelector } from "../../dataflow/operators/keyed/key-selector.ts";
import {
  type AboutRecord,
  type ActorView,
  type EventOrigin,
  type MachineEffect,
  type MachineOperator,
  type RefusedEvent,
  SENT,
  SENT_PORT,
  type SentEvent,
} from "../../dataflow/operators/machines/definition.ts";
import { prepared } from "../../dataflow/operators/machines/pure-machine.ts";
import type { Migrations } from "../../dataflow/operators/machines/stored-actor.ts";
import { ConfigurationError } from "../../errors.ts";
import { describeOption } from "../../state/described.ts";
import type { Key } from "../../state/descriptor.ts";
import { checkFunction, checkReplayClock, type IterateOptions } from "../definition.ts";
import type { OperatorInput } from "../job.ts";
import { checkName } from "../name.ts";
import { checkMachine, hasDelays, hidesActions } from "./checks.ts";
import { machineStatesOf } from "./shape.ts";

/**
 * One XState 5 machine; each key of the stream has an actor of it, which is keyed state.
 *
 * The machine may have guards, `assign`, `raise`, `cancel`, `emit`, `enqueueActions`, `after`, named actions,
 * history and final states. Named actions are not run: each leaves the operator as a record.
 *
 * `E`, `F`, `D`, `I`: what `emit`, `effect`, `done` and `expired` answer.
 */
export interface MachineDefinition<T, K extends Key, M extends AnyStateMachine, E, F, D, I> {
  readonly machine: M;
  /** The event that a record is for the actor of its key; undefined: none. Default: the record itself. */
  readonly event?: ((record: T, about: AboutRecord<K>) => EventFrom<M> | undefined) | undefined;
  /** The input of a new actor. */
  readonly input?: ((event: EventFrom<M>, key: K) => InputFrom<M>) | undefined;
  /**
   * What an event does whose key has no actor. `start`: it begins one, and is its first event. `refuse`: an event of
   * another actor begins none and goes to `sideOutput("refused")`; records do begin one. A function decides for each.
   * Default `start`.
   */
  readonly unknownKey?:
    | "start"
    | "refuse"
    | ((event: EventFrom<M>, from: EventOrigin) => "start" | "refuse")
    | undefined;
  /**
   * By which `after`, delays of `raise` and `idle` are measured: event time, from the timestamp of the event on, or the
   * clock of the worker. Default `event`.
   */
  readonly time?: "event" | "processing" | undefined;
  /** The record of an emitted event; undefined: none. Default: the event itself. */
  readonly emit?: ((event: EmittedFrom<M>, actor: ViewOf<K, M>) => E) | undefined;
  /** The record of a named action; undefined: none. Default: `{ type, params }`. */
  readonly effect?: ((effect: MachineEffect, actor: ViewOf<K, M>) => F) | undefined;
  /** The record of an actor that has come to its final state, of its output; undefined: none. Default: none. */
  readonly done?: ((output: OutputFrom<M>, actor: ViewOf<K, M>) => D) | undefined;
  /**
   * The key of the actor that an emitted event is for; undefined: it leaves as a record. The event comes to that actor
   * exactly once, over a loop: checkpoints need `checkpointing.iterations: "exact"`.
   */
  readonly addressee?: ((event: EmittedFrom<M>, actor: ViewOf<K, M>) => Key | undefined) | undefined;
  /**
   * What becomes of an actor in its final state. `evict`: it goes, and its key is unknown again. `keep`: it stays, and
   * events for it are refused. Default `evict`.
   */
  readonly final?: "evict" | "keep" | undefined;
  /** An actor that has had no event for so long goes, also one that is kept. Default: none does. */
  readonly idle?: Duration | undefined;
  /** The record of an actor that goes by `idle`; undefined: none. Default: none. */
  readonly expired?: ((actor: ViewOf<K, M>) => I) | undefined;
  /**
   * What becomes of delays that are under way when the input ends. Default: those of event time `fire`, those of
   * processing time are `drop`ped. With `addressee` only `drop` is possible, and is to be said.
   */
  readonly endOfInput?: "fire" | "drop" | undefined;
  /**
   * What the clock is after a restore, with `time: "processing"`. "resume": it goes on from the checkpoint, and catches
   * up with event time while events are read again. Default: it is that of the worker, and delays that have ended
   * meanwhile end at once.
   */
  readonly replayClock?: "resume" | undefined;
  /** Names the machine's present form. Another name is needed when a state of stored actors is gone. Default "1". */
  readonly version?: string | undefined;
  /** By version: what becomes of an actor that it has stored. Runs when the actor gets its next event. */
  readonly migrate?:
    | Readonly<
        Record<
          string,
          (actor: { readonly value: StateValue; readonly context: never }) => {
            readonly value: StateValue;
            readonly context: ContextFrom<M>;
          }
        >
      >
    | undefined;
}

export type ViewOf<K, M extends AnyStateMachine> = ActorView<K, ContextFrom<M>>;

/** What a user may say of a machine's operator besides. `waitingMax` is about events from actor to actor. */
export type MachineOptions = IterateOptions;

/** The side output for events that no actor took. */
export interface MachineSideOutputs<K, M extends AnyStateMachine> {
  readonly refused: RefusedEvent<K, EventFrom<M>>;
}

const MEMBERS = [
  "machine",
  "event",
  "input",
  "unknownKey",
  "time",
  "emit",
  "effect",
  "done",
  "addressee",
  "final",
  "idle",
  "expired",
  "endOfInput",
  "replayClock",
  "version",
  "migrate",
];

const FUNCTIONS = ["event", "input", "emit", "effect", "done", "addressee", "expired"];
const WAITING_MAX = 1_000_000;

/** @throws ConfigurationError */
export function machineOf(
  id: string,
  given: unknown,
  key: KeySelector,
  waitingMax = WAITING_MAX,
): MachineOperator {
  checkName(id, "operator id");
  checkMembers(given, MEMBERS, `operator "${id}"`, "member", id);
  const written = given as Readonly<Record<string, unknown>> & Partial<MachineOperator>;
  const { machine, idle, version = "1", migrate = {}, addressee, done, expired, input } = written as Written;
  checkMachine(id, machine);
  for (const name of FUNCTIONS) if (written[name] !== undefined) checkFunction(id, name, written[name]);
  const time = oneOf(id, "time", written["time"], ["event", "processing"]);
  const { replayClock } = written;
  checkReplayClock(id, replayClock);
  if (replayClock !== undefined && time === "event")
    refuse(id, 'replayClock is for a machine with time: "processing": this one goes by event time');
  const final = oneOf(id, "final", written["final"], ["evict", "keep"]);
  const idleMs = idle === undefined ? undefined : parseDuration(idle, `operator "${id}": idle`);
  if (idleMs === 0) refuse(id, "idle must be at least 1 ms");
  if (expired !== undefined && idleMs === undefined)
    refuse(id, "expired is given, and idle is not: no actor expires");
  if (typeof version !== "string" || version === "")
    refuse(id, `version must be a text, is ${describeOption(version)}`);
  checkMigrations(id, migrate, version);
  const waits = idleMs !== undefined || hasDelays(machine);
  const atEnd = written["endOfInput"];
  const endOfInput =
    atEnd === undefined
      ? time === "event"
        ? "fire"
        : "drop"
      : oneOf(id, "endOfInput", atEnd, ["fire", "drop"]);
  if (addressee !== undefined && waits && endOfInput === "fire")
    refuse(
      id,
      "its actors have delays, which end with the input, and send events to each other, which they cannot do any more " +
        'then: say endOfInput: "drop", and what is under way at the end stays undone',
    );
  return {
    key,
    machine: prepared(machine),
    plan: { version, machineStates: machineStatesOf(machine), migrates: Object.keys(migrate).sort() },
    migrate,
    event: written.event ?? ((record) => record),
    input,
    unknownKey: unknownKeyOf(id, written["unknownKey"]),
    emit: written.emit ?? ((event) => event),
    effect: written.effect ?? ((effect) => effect),
    done,
    expired,
    addressee,
    time: time as MachineOperator["time"],
    final: final as MachineOperator["final"],
    idleMs,
    // What cannot be seen to have delays may still have some.
    endOfInput: addressee === undefined ? (endOfInput as MachineOperator["endOfInput"]) : "drop",
    replayClock,
    hasDelays: waits,
    mayHaveDelays: waits || hidesActions(machine),
    waitingMax,
  };
}

type Written = Partial<Pick<MachineOperator, "addressee" | "done" | "expired" | "input">> & {
  readonly machine: unknown;
  readonly idle?: Duration;
  readonly version?: string;
  readonly migrate?: Migrations;
};

/** The way from actor to actor, which leads back to the operator. */
export function waysToActors(id: string): OperatorInput[] {
  const key: KeySelector = (sent) => (sent as SentEvent).key;
  return [{ from: id, output: SENT, port: SENT_PORT, exchange: { kind: "hash", key } }];
}

function unknownKeyOf(id: string, given: unknown): MachineOperator["unknownKey"] {
  if (typeof given === "function") return given as MachineOperator["unknownKey"];
  const said = oneOf(id, "unknownKey", given, ["start", "refuse"]);
  return said === "start" ? () => "start" : (_, from) => (from === "actor" ? "refuse" : "start");
}

function checkMigrations(id: string, migrate: unknown, version: string): void {
  if (typeof migrate !== "object" || migrate === null || Array.isArray(migrate))
    refuse(id, `migrate must be an object like { "1": ({ value, context }) => ... }, got ${show(migrate)}`);
  for (const [from, one] of Object.entries(migrate)) {
    checkFunction(id, `migrate["${from}"]`, one);
    if (from === version)
      refuse(id, `migrate["${from}"] is for actors of this very version: give the machine a new version`);
  }
}

/** The first of `known` if nothing is given. */
function oneOf(id: string, name: string, given: unknown, known: readonly [string, string]): string {
  if (given === undefined) return known[0];
  if (typeof given === "string" && known.includes(given)) return given;
  return refuse(id, `${name} must be "${known.join('" or "')}", is ${describeOption(given)}`);
}

function refuse(id: string, why: string): never {
  throw new ConfigurationError(id, `operator "${id}": ${why}`);
}
