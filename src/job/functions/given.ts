/** What a user may give for a function: the function, or an object with it and with what it needs (`open`, `close`). */
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration, show } from "../../config/quantity.ts";
import type { Lifecycle, OpenContext } from "../../dataflow/operators/lifecycle.ts";
import { ConfigurationError } from "../../errors.ts";
import { checkFunction, type OperatorOptions } from "../definition.ts";
import { checkName } from "../name.ts";

/** What a user may say of an operator that runs functions, besides its name and its function. */
export interface FunctionOptions extends OperatorOptions {
  /** How long `open` may take; longer fails the subtask. Default 30 s; limit 1 ms to 90 s. */
  readonly openTimeout?: Duration | undefined;
  /**
   * How long `close` may take; longer is told in the log, and not waited for. Default 5 s; limit at least 1 ms. Behind
   * a failure the job's `cancelTimeout` bounds it, too: a worker that takes longer is ended.
   */
  readonly closeTimeout?: Duration | undefined;
}

/**
 * Functions around the life of a subtask. `Resource`: what `open` answers, or what its promise comes to. `Context`:
 * what `open` is told.
 */
export interface OpenAndClose<Resource, Context = OpenContext> {
  /**
   * Called once in each subtask and generation, when the state is restored and before the first record: for a client, a
   * pool, a model. May be async. If it fails or takes longer than `openTimeout`, the region starts again. Not called in
   * a subtask that has finished.
   */
  readonly open?: (context: Context) => Resource | Promise<Resource>;
  /** Called when the subtask ends or fails, if `open` has succeeded. May be async. */
  readonly close?: (resource: Resource) => void | Promise<void>;
}

export interface MapDefinition<T, U, Resource> extends OpenAndClose<Resource> {
  readonly map: (value: T, resource: Resource) => U;
}

export interface FilterDefinition<T, Resource> extends OpenAndClose<Resource> {
  readonly filter: (value: T, resource: Resource) => boolean;
}

export interface FlatMapDefinition<T, U, Resource> extends OpenAndClose<Resource> {
  readonly flatMap: (value: T, resource: Resource) => Iterable<U>;
}

export interface ReduceDefinition<T, Resource> extends OpenAndClose<Resource> {
  // A method, so that a stream of cats may stand for a stream of animals.
  reduce(aggregate: T, value: T, resource: Resource): T;
}

/** What was given, in one form. */
export interface GivenFunction<F> {
  readonly call: F;
  readonly lifecycle: Lifecycle | undefined;
  /** The options that every operator has. */
  readonly options: OperatorOptions | undefined;
}

const OPEN_TIMEOUT_MS = 30_000;
const CLOSE_TIMEOUT_MS = 5_000;
/** A deployment is given up after 120 s, and restores state before it opens. */
const OPEN_TIMEOUT_MS_MAX = 90_000;

/** @param what name of the function: "map" */
export function functionOf<F extends (...values: never[]) => unknown>(
  id: string,
  what: string,
  given: unknown,
  options: FunctionOptions | undefined,
): GivenFunction<F> {
  if (typeof given !== "object" || given === null) {
    checkFunction(id, what, given);
    return { call: given as F, ...lifecycleOf(id, {}, options) };
  }
  checkName(id, "operator id");
  checkMembers(given, [what, "open", "close"], `operator "${id}"`, "member", id);
  const definition = given as Readonly<Record<string, F>>;
  checkFunction(id, what, definition[what]);
  const call = ((...values: never[]) => definition[what]!(...values)) as F;
  return { call, ...lifecycleOf(id, definition, options) };
}

/** @param definition whose `open` and `close` they are, so that both find their `this` */
export function lifecycleOf(
  id: string,
  definition: { readonly open?: unknown; readonly close?: unknown },
  options: FunctionOptions | undefined,
): Pick<GivenFunction<unknown>, "lifecycle" | "options"> {
  for (const name of ["open", "close"] as const)
    if (definition[name] !== undefined) checkFunction(id, name, definition[name]);
  const { openTimeout, closeTimeout, ...others } = isObject(options) ? options : {};
  const { open, close } = definition as OpenAndClose<unknown>;
  const openTimeoutMs = timeoutOf(id, "openTimeout", openTimeout, open, OPEN_TIMEOUT_MS);
  const closeTimeoutMs = timeoutOf(id, "closeTimeout", closeTimeout, close, CLOSE_TIMEOUT_MS);
  if (openTimeoutMs > OPEN_TIMEOUT_MS_MAX) {
    throw new ConfigurationError(
      id,
      `operator "${id}": openTimeout is ${formatDuration(openTimeoutMs)}, and at most ${formatDuration(OPEN_TIMEOUT_MS_MAX)} ` +
        "is possible, because a deployment is given up soon after; do what takes longer in front of the job",
    );
  }
  const rest = isObject(options) ? others : options;
  if (open === undefined && close === undefined) return { lifecycle: undefined, options: rest };
  return {
    lifecycle: {
      ...(open && { open: (context: OpenContext) => (definition as OpenAndClose<unknown>).open!(context) }),
      ...(close && { close: (resource: unknown) => (definition as OpenAndClose<unknown>).close!(resource) }),
      openTimeoutMs,
      closeTimeoutMs,
    },
    options: rest,
  };
}

function timeoutOf(
  id: string,
  option: "openTimeout" | "closeTimeout",
  given: Duration | undefined,
  bounded: unknown,
  defaultMs: number,
): number {
  if (given === undefined) return defaultMs;
  if (bounded === undefined) {
    const what = option === "openTimeout" ? "open" : "close";
    throw new ConfigurationError(
      id,
      `operator "${id}": ${option} is ${show(given)}, and there is no ${what} for it to bound: give an object with ${what}`,
    );
  }
  const reading = readDuration(given);
  if ("value" in reading && reading.value >= 1) return reading.value;
  const problem = "problem" in reading ? reading.problem : "must be at least 1 ms";
  throw new ConfigurationError(id, `operator "${id}": ${option}: ${problem}`);
}

function isObject(options: FunctionOptions | undefined): options is FunctionOptions {
  return typeof options === "object" && options !== null;
}
