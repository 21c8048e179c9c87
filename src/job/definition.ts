/** What is checked of one operator's definition, before anything runs: its functions, its states, its options. */
import { checkMembers } from "../config/members.ts";
import { show } from "../config/quantity.ts";
import { didYouMean } from "../config/suggestion.ts";
import type { Partitioner } from "../dataflow/graph.ts";
import type { RequiredTimestamps } from "../dataflow/operators/emitting.ts";
import type { Sink } from "../dataflow/sink.ts";
import type { Source } from "../dataflow/source.ts";
import { ConfigurationError } from "../errors.ts";
import { isJobName } from "../formats/names.ts";
import { describeOption, isThenable, silence } from "../state/described.ts";
import type { UserStateDescriptor } from "../state/descriptor.ts";
import type { StateKind } from "../state/handles/kind.ts";
import { stateKinds } from "../state/handles/kinds.ts";
import { isOperatorState } from "../state/operator-state.ts";
import { problemOfTtl } from "../state/ttl/time-to-live.ts";
import { problemOfVersion } from "../state/versions/state-version.ts";
import { checkSideOutputs } from "./functions/side-outputs.ts";
import { checkName } from "./name.ts";

/** What a user may say of one operator, besides its name and its function. */
export interface OperatorOptions {
  /** Subtasks of this operator. Default: the job's parallelism; limit 1 to maxParallelism. */
  readonly parallelism?: number | undefined;
}

/** What a user may say of a loop. */
export interface IterateOptions extends OperatorOptions {
  /**
   * Records fed back that may wait at one subtask of the loop; more of them fail the job for good. A record that is fed
   * back never waits for room, because the subtask that would make room may be waiting for that record. So only a loop
   * that multiplies its records comes near: long before, nothing new is let in. Default 1,000,000; limit at least 1.
   */
  readonly waitingMax?: number | undefined;
}

/** Checks what `defineJob` was given, but for the options, each of which is checked by itself. */
export function checkArguments(name: string, options: unknown, build: unknown): void {
  checkName(name, "job name");
  if (!isJobName(name)) {
    throw new ConfigurationError(name, `job name "${name}": is reserved for the engine's own subjects`);
  }
  if (typeof options !== "object" || options === null) {
    throw new ConfigurationError(
      name,
      `job "${name}": the second argument must be the options, got ${show(options)}`,
    );
  }
  if (typeof build !== "function") {
    throw new ConfigurationError(
      name,
      `job "${name}": the third argument must be a function that builds the job`,
    );
  }
}

export function checkFunction(id: unknown, what: string, given: unknown): void {
  checkName(id, "operator id");
  if (typeof given !== "function") {
    throw new ConfigurationError(id, `operator "${id}": ${what} must be a function, got ${show(given)}`);
  }
}

/**
 * @throws ConfigurationError when a function that describes something answers a promise: it must describe it at once
 */
export function refuseDeferred(answered: unknown, key: string, what: string): void {
  if (isThenable(answered)) {
    silence(answered);
    throw new ConfigurationError(key, `${what} must not be async`);
  }
  const described = describeOption(answered);
  if (described.endsWith("generator")) {
    throw new ConfigurationError(key, `${what} must not be a generator (function*): nothing of it has run`);
  }
}

/** @param key of the stream that is dealt out */
export function customOf(key: string, partition: unknown): Partitioner {
  if (typeof partition === "function") return { kind: "custom", partition: partition as never };
  throw new ConfigurationError(
    key,
    `partitionCustom after "${key}": a function is needed, got ${show(partition)}`,
  );
}

/** What a source says of itself: a member that is missing would be taken for false. */
export function checkSource(id: string, source: Source<unknown> | undefined): void {
  checkName(id, "operator id");
  if (typeof source?.discover !== "function" || typeof source.open !== "function") {
    throw new ConfigurationError(id, `operator "${id}": a source is needed, got ${show(source)}`);
  }
  checkKind(id, "source", source.kind);
  for (const member of ["replayable", "bounded"] as const) {
    const said: unknown = source[member];
    if (typeof said === "boolean") continue;
    throw new ConfigurationError(
      id,
      `operator "${id}": ${member} of its source must be true or false, is ${describeOption(said)}`,
    );
  }
  const { timestamps = true }: { readonly timestamps?: unknown } = source;
  if (typeof timestamps === "boolean") return;
  throw new ConfigurationError(
    id,
    `operator "${id}": timestamps of its source must be true or false (or left out: true), is ${describeOption(timestamps)}`,
  );
}

const GUARANTEES = ["exactly-once", "at-least-once", "none"];

export function checkSink(id: string, sink: Sink<never> | undefined): void {
  checkName(id, "operator id");
  if (typeof sink?.open !== "function" || typeof sink.guarantee !== "string") {
    throw new ConfigurationError(id, `operator "${id}": a sink is needed, got ${show(sink)}`);
  }
  checkKind(id, "sink", sink.kind);
  const { guarantee, target } = sink;
  if (!GUARANTEES.includes(guarantee)) {
    throw new ConfigurationError(
      id,
      `operator "${id}": guarantee of its sink must be one of ${GUARANTEES.join(", ")}, is ${describeOption(guarantee)}`,
    );
  }
  const { stream, subject }: { readonly stream?: unknown; readonly subject?: unknown } = target ?? {};
  const isTarget = typeof stream === "string" && (subject === undefined || typeof subject === "string");
  if (target === undefined || isTarget) return;
  throw new ConfigurationError(
    id,
    `operator "${id}": target of its sink must be { stream, subject }, two texts, is ${describeOption(target)}`,
  );
}

function checkKind(id: string, what: string, kind: unknown): void {
  if (typeof kind === "string" && kind !== "") return;
  throw new ConfigurationError(
    id,
    `operator "${id}": kind of its ${what} must be a text that names it, is ${describeOption(kind)}`,
  );
}

const PROCESS_MEMBERS = [
  "state",
  "output",
  "sideOutputs",
  "timestamps",
  "open",
  "onRecord",
  "onTimer",
  "onExpire",
  "endOfInput",
  "replayClock",
  "onEnd",
  "onFinish",
  "close",
];

/**
 * @param recordFunctions names of the functions that are given records
 * @param more members that such an operator has besides
 */
export function checkProcess(
  id: string,
  definition: unknown,
  recordFunctions: readonly string[] = ["onRecord"],
  more: readonly string[] = [],
): void {
  const what = `operator "${id}"`;
  const members = PROCESS_MEMBERS.flatMap((member) => (member === "onRecord" ? recordFunctions : member));
  checkMembers(definition, [...members, ...more], what, "member", id);
  // Not by a rest: members of a class may be inherited.
  const given = definition as Readonly<Record<string, unknown>>;
  const { onTimer, onExpire, endOfInput, replayClock, onEnd, onFinish, state, sideOutputs, timestamps } =
    given;
  for (const name of recordFunctions) checkFunction(id, name, given[name]);
  checkTimers(id, onTimer, endOfInput);
  checkReplayClock(id, replayClock);
  if (onEnd !== undefined) checkFunction(id, "onEnd", onEnd);
  if (onFinish !== undefined) checkFunction(id, "onFinish", onFinish);
  if (state !== undefined) checkStates(id, state);
  if (onExpire !== undefined) checkExpiring(id, onExpire, (state ?? {}) as UserStateDescriptors);
  checkSideOutputs(id, sideOutputs);
  checkTimestamps(id, timestamps);
}

/** @throws ConfigurationError when it is neither left out nor "required" */
export function checkTimestamps(
  id: string,
  timestamps: unknown,
): asserts timestamps is RequiredTimestamps | undefined {
  if (timestamps === undefined || timestamps === "required") return;
  throw new ConfigurationError(
    id,
    `operator "${id}": timestamps must be "required" (or left out: what is emitted may have none), is ${describeOption(timestamps)}`,
  );
}

function checkTimers(id: string, onTimer: unknown, endOfInput: unknown): void {
  if (onTimer !== undefined) checkFunction(id, "onTimer", onTimer);
  if (endOfInput === undefined) return;
  if (endOfInput !== "fire" && endOfInput !== "drop") {
    throw new ConfigurationError(
      id,
      `operator "${id}": endOfInput must be "fire" or "drop", is ${describeOption(endOfInput)}`,
    );
  }
  if (onTimer !== undefined) return;
  throw new ConfigurationError(
    id,
    `operator "${id}": endOfInput says what becomes of pending timers, and there is no onTimer`,
  );
}

/** @throws ConfigurationError when it is neither left out nor "resume" */
export function checkReplayClock(
  id: string,
  replayClock: unknown,
): asserts replayClock is "resume" | undefined {
  if (replayClock === undefined || replayClock === "resume") return;
  throw new ConfigurationError(
    id,
    `operator "${id}": replayClock must be "resume" (or left out: the worker's clock), is ${describeOption(replayClock)}`,
  );
}

type UserStateDescriptors = { readonly [name: string]: UserStateDescriptor };

function checkExpiring(id: string, onExpire: unknown, states: UserStateDescriptors): void {
  checkFunction(id, "onExpire", onExpire);
  if (Object.values(states).some(({ ttl }) => ttl !== undefined)) return;
  throw new ConfigurationError(
    id,
    `operator "${id}": onExpire is called for values that expire, and no state has a time to live, such as ` +
      'valueState(0, { ttl: { after: "1 h" } })',
  );
}

/** @param option what the user calls them */
export function checkStates(id: string, states: unknown, option = "state"): void {
  if (typeof states !== "object" || states === null) {
    throw new ConfigurationError(
      id,
      `operator "${id}": ${option} must be an object like { count: valueState(0) }, got ${show(states)}`,
    );
  }
  const prototype: unknown = Object.getPrototypeOf(states);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new ConfigurationError(
      id,
      `operator "${id}": ${option} must be a plain object like { count: valueState(0) }, got ${describeOption(states)}; ` +
        'no state can be named "__proto__"',
    );
  }
  const names = Object.entries(states);
  for (const [name, descriptor] of names) {
    checkName(name, `operator "${id}": ${option}`);
    const what = `operator "${id}": ${option} "${name}"`;
    const kindName: unknown = (descriptor as { readonly kind?: unknown } | null)?.kind;
    if (typeof kindName !== "string") {
      const makers = Object.values(stateKinds).map(({ maker }) => maker);
      throw new ConfigurationError(
        id,
        `${what} must be made by ${makers.join(" or ")}, got ${show(descriptor)}`,
      );
    }
    const kind = new Map<string, StateKind<never>>(Object.entries(stateKinds)).get(kindName);
    if (isOperatorState(descriptor)) {
      throw new ConfigurationError(
        id,
        kindName === "broadcast"
          ? `${what} is broadcast state: declare it in \`broadcast\`, behind connect(rules.broadcast())`
          : `${what} belongs to no key, and this operator is behind keyBy: use state that is kept for each key, or process ` +
              "the stream in front of keyBy",
      );
    }
    if (kind === undefined) {
      throw new ConfigurationError(
        id,
        `${what}: no kind of state "${kindName}"${didYouMean(kindName, Object.keys(stateKinds))}`,
      );
    }
    checkMembers(descriptor, kind.members, what, "option", id);
    const problem =
      kind.problemOf?.(descriptor as never) ??
      problemOfTtl((descriptor as UserStateDescriptor).ttl) ??
      problemOfVersion(descriptor as UserStateDescriptor);
    if (problem !== undefined) throw new ConfigurationError(id, `${what}: ${problem}`);
  }
  const alike = twinOf(names.map(([name]) => name));
  if (alike !== undefined) {
    throw new ConfigurationError(
      id,
      `operator "${id}": states "${alike[0]}" and "${alike[1]}" differ only in upper and lower case`,
    );
  }
}

/** Names become file names, and some file systems do not tell upper from lower case. */
export function twinOf(names: readonly string[]): readonly [string, string] | undefined {
  const seen = new Map<string, string>();
  for (const name of names) {
    const other = seen.get(name.toLowerCase());
    if (other !== undefined && other !== name) return [other, name];
    seen.set(name.toLowerCase(), name);
  }
  return undefined;
}

/** @param more options that operators of this kind have besides those of all */
export function checkOptions(id: string, options: unknown, more: readonly string[]): void {
  checkMembers(options, ["parallelism", ...more], `operator "${id}"`, "option", id);
  for (const [key, value] of Object.entries(options)) {
    if (value !== undefined && !(Number.isInteger(value) && Number(value) >= 1)) {
      throw new ConfigurationError(
        id,
        `operator "${id}": ${key} must be a whole number of at least 1, got ${show(value)}`,
      );
    }
  }
}
