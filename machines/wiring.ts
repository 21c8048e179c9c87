/**
 * How machines are wired, as data: which effect of a machine becomes which event of which other one.
 *
 * The hosts (src/runtime), the model (test/model), the stories (test/machines) and the drawing of who tells whom read
 * it. It does not own when an effect is named and what an event changes (the machines), nor how a message is
 * delivered (src/control).
 *
 * V1  The event of a wire is made of parameters of its effect, and of facts that only the effect's host knows.
 * V2  Inside a process the event is taken as that of a `tell.` is (H4). Between processes it is a message, which is
 *     repeated until it is answered.
 * V3  An effect with answers is answered by one of them and by no other event.
 */

import type { RoleName, Roles } from "./roles.ts";

/* ------------------------------------------------------------------ wires */

/**
 * Receivers of an event: the one actor of a role, each living one of it, or those that a field of the event names.
 */
export type Receiver = RoleName | `${RoleName}/*` | `${RoleName}/$${string}`;

/**
 * `process`: the host itself makes the event as soon as the effect is named. `message`: to another process.
 * `channel`: as a frame, behind the records. `later`: when the host has done what the effect orders.
 */
export type Way = "process" | "message" | "channel" | "later";

export interface Wire {
  readonly from: RoleName;
  readonly effect: string;
  readonly to: readonly Receiver[];
  readonly event: string;
  readonly way: Way;
  /** Parameters of the effect that the event says, too. */
  readonly carries: readonly string[];
  /** What the host adds. */
  readonly facts: readonly string[];
}

type RoleOf<To> = To extends `${infer R}/${string}` ? R : To;
type EventOf<To, Type> =
  RoleOf<To> extends infer R extends RoleName ? Extract<Roles[R]["event"], { readonly type: Type }> : never;
type KeysOf<T> = T extends unknown ? keyof T : never;
/** An effect for several generations is one event of each. */
type Given<P> = KeysOf<P> | (P extends { readonly generations: unknown } ? "generation" : never);

/** Does not compile if the event says something that is neither a parameter nor a fact. */
function wire<
  const From extends RoleName,
  const Effect extends keyof Roles[From]["effects"] & string,
  const To extends Receiver,
  const Type extends Roles[RoleOf<To> & RoleName]["event"]["type"],
  const Carries extends KeysOf<EventOf<To, Type>> & Given<Roles[From]["effects"][Effect]> & string,
  const Facts extends Exclude<KeysOf<EventOf<To, Type>>, "type" | Carries> & string,
  const By extends Way,
>(
  from: From,
  effect: Effect,
  to: readonly To[],
  event: Type,
  more: {
    readonly way: By;
    readonly carries: readonly Carries[];
    readonly facts: readonly Facts[];
  } & (Exclude<RequiredKeys<EventOf<To, Type>>, "type" | Carries | Facts> extends never
    ? unknown
    : { readonly missing: Exclude<RequiredKeys<EventOf<To, Type>>, "type" | Carries | Facts> }),
): Wire & {
  readonly from: From;
  readonly effect: Effect;
  readonly to: readonly To[];
  readonly event: Type;
  readonly way: By;
  readonly carries: readonly Carries[];
  readonly facts: readonly Facts[];
} {
  return { from, effect, to, event, way: more.way, carries: more.carries, facts: more.facts };
}

type RequiredKeys<T> = T extends unknown
  ? { [K in keyof T]-?: object extends Pick<T, K> ? never : K }[keyof T]
  : never;

const message = <const C extends string>(...carries: readonly C[]) =>
  ({ way: "message", carries, facts: [] }) as const;

const later = <const C extends string, const F extends string>(carries: readonly C[], facts: readonly F[]) =>
  ({ way: "later", carries, facts }) as const;

/** By event: each has one wire. */
export const wires = {
  /* inside the leader */
  "failure.reported": wire("job", "report.failure", ["restart"], "failure.reported", {
    way: "process",
    carries: ["recoverable"],
    facts: ["atMs", "chance"],
  }),
  "job.recovered": wire("job", "report.recovery", ["restart"], "job.recovered", {
    way: "process",
    carries: [],
    facts: ["atMs"],
  }),
  /* from the leader to workers */
  "generation.started": wire("job", "send.start", ["subtask"], "generation.started", message("generation")),
  "drain.requested": wire("job", "send.drain", ["subtask"], "drain.requested", message("generation")),
  "generation.ended": wire("job", "send.teardown", ["subtask"], "generation.ended", message("generation")),
  "checkpoint.triggered": wire("checkpoint", "send.trigger", ["subtask"], "checkpoint.triggered", {
    way: "message",
    carries: ["generation", "checkpointId"],
    facts: ["options"],
  }),
  "checkpoint.completed": wire(
    "checkpoint",
    "send.completed",
    ["subtask"],
    "checkpoint.completed",
    message("generation", "checkpointId"),
  ),
  "checkpoint.aborted": wire(
    "checkpoint",
    "send.aborted",
    ["alignment", "subtask"],
    "checkpoint.aborted",
    message("generation", "checkpointId"),
  ),
  /* inside the leader, to the requests of clients */
  "request.begun": wire(
    "checkpointing",
    "start.checkpoint",
    ["request/$request"],
    "request.begun",
    later([], ["request"]),
  ),
  "request.aborted": wire(
    "checkpoint",
    "send.aborted",
    ["request/$request"],
    "request.aborted",
    later(["reason"], ["request", "detail", "completed", "phase", "settleTo"]),
  ),
  "checkpoint.decided": wire(
    "checkpoint",
    "store.decision",
    ["request/$request"],
    "checkpoint.decided",
    later(["checkpointId"], ["request", "location"]),
  ),
  "savepoint.recorded": wire(
    "checkpoint",
    "store.savepointEntry",
    ["request/$request"],
    "savepoint.recorded",
    later(["checkpointId"], ["request", "location", "completed"]),
  ),
  "job.failed": wire("job", "report.failure", ["request/*"], "job.failed", later(["where", "reason"], [])),
  "job.ended": wire("job", "release.job", ["request/*"], "job.ended", later(["status"], [])),
  /* from subtasks to the leader */
  "subtask.restored": wire(
    "subtask",
    "send.restored",
    ["job"],
    "subtask.restored",
    message("generation", "subtask"),
  ),
  "subtask.ended": wire("subtask", "send.ended", ["job"], "subtask.ended", message("generation", "subtask")),
  "subtask.failed": wire(
    "subtask",
    "send.failure",
    ["job"],
    "subtask.failed",
    message("generation", "subtask", "reason", "retry"),
  ),
  "subtask.committed": wire(
    "subtask",
    "send.committed",
    ["checkpoint/*", "job"],
    "subtask.committed",
    message("generation", "subtask", "upTo"),
  ),
  "subtask.acknowledged": wire(
    "subtask",
    "send.acknowledgement",
    ["checkpoint/$checkpointId"],
    "subtask.acknowledged",
    message("generation", "checkpointId", "subtask", "finished"),
  ),
  "subtask.declined": wire(
    "subtask",
    "send.decline",
    ["checkpoint/$checkpointId"],
    "subtask.declined",
    message("generation", "checkpointId", "subtask", "reason"),
  ),
  /* from a subtask to those behind it */
  "barrier.announced": wire("subtask", "emit.barrier", ["alignment"], "barrier.announced", {
    way: "channel",
    carries: ["checkpointId", "options"],
    facts: ["channel", "remainingMs"],
  }),
  "barrier.received": wire("subtask", "emit.barrier", ["alignment", "barrier-tracker"], "barrier.received", {
    way: "channel",
    carries: ["checkpointId", "options"],
    facts: ["channel"],
  }),
  "marker.received": wire(
    "subtask",
    "emit.cancelMarker",
    ["alignment", "barrier-tracker"],
    "marker.received",
    { way: "channel", carries: ["checkpointId"], facts: ["channel"] },
  ),
  "round.received": wire("loop", "send.round", ["loop"], "round.received", {
    way: "channel",
    carries: ["round", "dirty"],
    facts: ["channel", "taken"],
  }),
  /* inside a subtask */
  "channels.stored": wire(
    "alignment",
    "end.collection",
    ["subtask"],
    "channels.stored",
    later(["checkpointId"], []),
  ),
  "barrier.reached": wire(
    "subtask",
    "cut.transactions",
    ["transaction/$transaction"],
    "barrier.reached",
    later([], ["transaction"]),
  ),
} as const;

export type Wires = typeof wires;
export type WiredEvent = keyof Wires;

/** The event of a wire, as its receivers take it. */
export type Told<W extends WiredEvent> = EventOf<Wires[W]["to"][number], W>;
type Carried<W extends WiredEvent> = Pick<Told<W>, Wires[W]["carries"][number] & keyof Told<W>>;
export type FactsOf<W extends WiredEvent> = Pick<Told<W>, Wires[W]["facts"][number] & keyof Told<W>>;

/** V1 */
export function eventOf<W extends WiredEvent>(
  name: W,
  ...parts: object extends FactsOf<W>
    ? readonly [carried: Carried<W>]
    : readonly [carried: Carried<W>, facts: FactsOf<W>]
): Told<W> {
  const [carried, facts] = parts as readonly [carried: object, facts?: object];
  return madeOf(wires[name], carried, facts) as Told<W>;
}

/** The same where types are not known. */
export function madeOf(
  { event, carries, facts }: Pick<Wire, "event" | "carries" | "facts">,
  carried: object,
  added: object = {},
): { readonly type: string } {
  const made: Record<string, unknown> = { type: event };
  for (const name of carries) if (name in carried) made[name] = carried[name as keyof typeof carried];
  for (const name of facts) if (name in added) made[name] = added[name as keyof typeof added];
  return made as { readonly type: string };
}

type Living = (role: string) => readonly string[];

/** The actors that take the event, of those that live: in the order of the wire. */
export function receiversOf(name: WiredEvent, event: object, living: Living): readonly string[] {
  const to: readonly Receiver[] = wires[name].to;
  return to.flatMap((receiver) => actorsOf(receiver, event, living));
}

function actorsOf(receiver: Receiver, facts: object, living: Living): readonly string[] {
  const [role = "", which] = receiver.split("/");
  if (which === undefined) return [role];
  if (which === "*") return living(role);
  const named: unknown = facts[which.slice(1) as keyof typeof facts];
  return (Array.isArray(named) ? named : [named]).map((name) => `${role}/${name}`);
}

/** The wire over which the host of this role itself tells what the effect says. */
export function wireInside(role: string, effect: string): Wire | undefined {
  return all.find((one) => one.way === "process" && one.from === role && one.effect === effect);
}

/** The message that the effect becomes. */
export function messageOf(role: string, effect: string): Wire | undefined {
  return all.find((one) => one.way === "message" && one.from === role && one.effect === effect);
}

const all: readonly Wire[] = Object.values(wires);

/* ------------------------------------------------------------------ tells */

/**
 * What `tell.<name>` of a role says to whom. The events are the machines' own: a test holds this list against their
 * traces.
 */
export interface Tell {
  readonly from: RoleName;
  readonly name: string;
  readonly to: Receiver;
  readonly events: readonly string[];
}

function tell<
  From extends RoleName,
  Name extends keyof Roles[From]["effects"] & `tell.${string}`,
  const To extends Receiver,
>(from: From, name: Name, to: To, ...events: readonly Roles[RoleOf<To> & RoleName]["event"]["type"][]): Tell {
  return { from, name, to, events };
}

export const tells: readonly Tell[] = [
  tell(
    "job",
    "tell.checkpointing",
    "checkpointing",
    "generation.running",
    "generation.stopped",
    "generation.draining",
    "checkpoint.requested",
    "subtask.ended",
  ),
  tell("restart", "tell.job", "job", "restart.granted", "restart.denied"),
  tell("checkpointing", "tell.job", "job", "checkpoints.failed", "requests.refused"),
  tell("checkpointing", "tell.requests", "request/$requests", "request.refused"),
  tell("request", "tell.job", "job", "stop.requested", "cancel.requested"),
  tell("request", "tell.checkpointing", "checkpointing", "checkpoint.requested"),
  tell("checkpointing", "tell.checkpoints", "checkpoint/*", "checkpoint.canceled", "checkpoint.subsumed"),
  tell("checkpoint", "tell.checkpointing", "checkpointing", "checkpoint.completed", "checkpoint.aborted"),
  tell("checkpoint", "tell.job", "job", "checkpoint.completed", "stop.failed"),
  tell("alignment", "tell.subtask", "subtask", "barrier.aligned", "barrier.declined", "barrier.canceled"),
  tell("barrier-tracker", "tell.subtask", "subtask", "barrier.aligned", "barrier.declined"),
  tell("loop", "tell.subtask", "subtask", "input.ended"),
  tell("subtask", "tell.transaction", "transaction/$transaction", "commit.due"),
  tell(
    "transaction",
    "tell.subtask",
    "subtask",
    "transaction.prepared",
    "transaction.committed",
    "subtask.broke",
  ),
];

/** The actors that a tell of these parameters reaches; one of its own if the list does not have it. */
export function toldActors(role: string, effect: string, params: object, living: Living): readonly string[] {
  const known = tells.find(({ from, name }) => from === role && name === effect);
  return actorsOf(known?.to ?? (effect.slice("tell.".length) as RoleName), params, living);
}

/* ------------------------------------------------------------------ starts */

/** What an actor begins with: parameters of the effect that starts it, and facts of the host. */
function start<
  const From extends RoleName,
  const Effect extends keyof Roles[From]["effects"] & string,
  const Role extends RoleName,
  const Carries extends keyof Roles[Role]["input"] & KeysOf<Roles[From]["effects"][Effect]> & string,
>(from: From, effect: Effect, role: Role, carries: readonly Carries[]) {
  return { from, effect, role, carries };
}

export const starts = {
  restart: start("job", "start.policies", "restart", []),
  checkpointing: start("job", "start.policies", "checkpointing", ["reservedCheckpointId"]),
  checkpoint: start("checkpointing", "start.checkpoint", "checkpoint", ["checkpointId", "request"]),
} as const;

type Starts = typeof starts;
type Taken<R extends keyof Starts> = Pick<
  Roles[R]["input"],
  Starts[R]["carries"][number] & keyof Roles[R]["input"]
>;

/** The input of an actor that an effect with these parameters starts. */
export function inputOf<R extends keyof Starts>(
  role: R,
  params: Taken<R>,
  facts: Omit<Roles[R]["input"], keyof Taken<R>>,
): Roles[R]["input"] {
  const carries: readonly string[] = starts[role].carries;
  const taken = carries.map((name) => [name, params[name as keyof typeof params]]);
  return { ...facts, ...Object.fromEntries(taken) };
}
