/** What a user says of requests to the outside world, and what is checked of it before anything runs. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, parseDuration, show } from "../../config/quantity.ts";
import { didYouMean } from "../../config/suggestion.ts";
import type { AsyncOperator, FailedRequest } from "../../dataflow/operators/async/async.ts";
import type { RequestContext, Retries } from "../../dataflow/operators/async/call.ts";
import type { RequestOrder } from "../../dataflow/operators/async/queue.ts";
import type { KeySelector } from "../../dataflow/operators/keyed/key-selector.ts";
import { ConfigurationError } from "../../errors.ts";
import { checkFunction } from "../definition.ts";
import type { OpenAndClose } from "../functions/given.ts";

/** When a request that has failed is tried again. (Flink's AsyncRetryStrategy.) */
export interface AsyncRetries {
  /** The most calls for one record, the first included; at least 2. */
  readonly attempts: number;
  /** The pause in front of the second call. Default 100 ms. */
  readonly delay?: Duration | undefined;
  /** Each further pause is so many times as long as the one before; at least 1. Default 2. */
  readonly backoff?: number | undefined;
  /** No pause is longer. Default 30 s. */
  readonly maxDelay?: Duration | undefined;
  /** Whether this failure is worth another attempt. Default: each is. */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/**
 * Requests to the outside world, one for each record, many at a time.
 *
 * Each is made at least once, and its results count exactly once: records whose results have not gone out are in each
 * checkpoint, and asked for again after a failure, in their order and with the same `context.id`.
 */
export interface AsyncDefinition<T, K, Answer, Resource> extends OpenAndClose<Resource> {
  /**
   * Answers the result, or an array of any number of results; they get the timestamp of the record. It must not change
   * the record. What it throws or rejects with is a failure; null and undefined are refused.
   */
  readonly request: (value: T, context: RequestContext<K, Resource>) => Answer | Promise<Answer>;
  /**
   * `ordered`: results go out in the order of the records. `unordered`: as soon as they are there, but none overtakes a
   * watermark. `perKey`: as `unordered`, but a record's request begins when the one before it of the same key has its
   * answer. Default: `perKey` behind keyBy, else `ordered`.
   */
  readonly mode?: RequestOrder | undefined;
  /** The most requests under way in one subtask; it takes no input meanwhile. Default 100. */
  readonly capacity?: number | undefined;
  /** The time for one record, from the first call on and over all attempts. Default 60 s; limit at least 1 ms. */
  readonly timeout?: Duration | undefined;
  /** Default: a request is made once. */
  readonly retries?: AsyncRetries | undefined;
  /**
   * What becomes of a record whose request has failed for good. `fail`: the region starts again from its last
   * checkpoint. `sideOutput`: it goes to `sideOutput("failed")`, with the reason. Default `fail`.
   */
  readonly onFailure?: "fail" | "sideOutput" | undefined;
}

/** The type of the results: of an array its elements'. */
export type ResultOf<Answer> = Answer extends readonly (infer Element)[] ? Element : Answer;

/** The side output of `onFailure: "sideOutput"`. */
export interface AsyncSideOutputs<T> {
  readonly failed: FailedRequest<T>;
}

const CAPACITY = 100;
const TIMEOUT_MS = 60_000;
const DELAY_MS = 100;
const BACKOFF = 2;
const DELAY_MS_MAX = 30_000;
const ONCE: Retries = { attempts: 1, delayMs: 0, backoff: 1, delayMsMax: 0 };

const MEMBERS = ["request", "mode", "capacity", "timeout", "retries", "onFailure", "open", "close"];
const RETRIES_MEMBERS = ["attempts", "delay", "backoff", "maxDelay", "when"];

/**
 * @param key undefined: the stream has no keys
 * @throws ConfigurationError
 */
export function asyncOf(
  id: string,
  definition: unknown,
  key: KeySelector | undefined,
): Omit<AsyncOperator, "lifecycle"> {
  const what = `operator "${id}"`;
  checkFunction(id, "request", (definition as { readonly request?: unknown } | null)?.request);
  checkMembers(definition, MEMBERS, what, "member", id);
  const given = definition as AsyncDefinition<unknown, unknown, unknown, unknown>;
  const { mode = key === undefined ? "ordered" : "perKey", capacity = CAPACITY, onFailure = "fail" } = given;
  checkChoice(id, "mode", mode, ["ordered", "unordered", "perKey"]);
  if (mode === "perKey" && key === undefined) {
    const message = `${what}: mode "perKey" needs keys: put keyBy in front of it, or choose "ordered" or "unordered"`;
    throw new ConfigurationError(id, message);
  }
  checkChoice(id, "onFailure", onFailure, ["fail", "sideOutput"]);
  checkCount(id, "capacity", capacity, 1);
  return {
    key,
    request: (value, context) => given.request(value, context),
    order: mode,
    capacity,
    timeoutMs: atLeast1(id, "timeout", given.timeout, TIMEOUT_MS),
    retries: retriesOf(id, given.retries),
    onFailure,
  };
}

function retriesOf(id: string, given: AsyncRetries | undefined): Retries {
  if (given === undefined) return ONCE;
  checkMembers(given, RETRIES_MEMBERS, `operator "${id}": retries`, "option", id);
  const { attempts, delay, backoff = BACKOFF, maxDelay, when } = given;
  checkCount(id, "retries.attempts", attempts, 2);
  if (typeof backoff !== "number" || !(backoff >= 1) || !Number.isFinite(backoff)) {
    const message = `operator "${id}": retries.backoff must be a number of at least 1, got ${show(backoff)}`;
    throw new ConfigurationError(id, message);
  }
  if (when !== undefined) checkFunction(id, "retries.when", when);
  return {
    attempts,
    delayMs: delay === undefined ? DELAY_MS : parseDuration(delay, `operator "${id}": retries.delay`),
    backoff,
    delayMsMax:
      maxDelay === undefined ? DELAY_MS_MAX : parseDuration(maxDelay, `operator "${id}": retries.maxDelay`),
    when,
  };
}

function checkChoice(id: string, option: string, given: unknown, choices: readonly string[]): void {
  if (typeof given === "string" && choices.includes(given)) return;
  const near = typeof given === "string" ? didYouMean(given, choices) : `; known: ${choices.join(", ")}`;
  throw new ConfigurationError(id, `operator "${id}": no ${option} ${show(given)}${near}`);
}

function checkCount(id: string, option: string, given: unknown, least: number): void {
  if (Number.isSafeInteger(given) && Number(given) >= least) return;
  throw new ConfigurationError(
    id,
    `operator "${id}": ${option} must be a whole number of at least ${least}, got ${show(given)}`,
  );
}

function atLeast1(id: string, option: string, given: Duration | undefined, defaultMs: number): number {
  if (given === undefined) return defaultMs;
  const ms = parseDuration(given, `operator "${id}": ${option}`);
  if (ms >= 1) return ms;
  throw new ConfigurationError(id, `operator "${id}": ${option} must be at least 1 ms, got ${show(given)}`);
}
