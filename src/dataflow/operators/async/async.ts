/**
 * An operator that asks the outside world for each record, and goes on meanwhile.
 *
 * Owns: what becomes of an answer and of a failure, how many requests are under way. Does not own: their order
 * (queue.ts), attempts and time (call.ts), what is stored (stored-requests.ts), turns
 * (runtime/worker/subtask/turns.ts).
 *
 * - QA1 At most `capacity` requests are under way. The subtask takes no input while so many records are here; what a
 *   slice of a frame, or a restore, brings beyond that waits for its call. A step begins one, so a restore that brings
 *   thousands gives the event loop back in between, and barriers pass.
 * - QA2 What comes of a record goes out in one step, with the record's timestamp, and takes the record out of the
 *   state: no cut falls in between. So each request is made at least once, and its results count exactly once.
 * - QA3 A failure that ends the job does so at once, whatever is in front of it. One that goes to the side output keeps
 *   its place.
 * - QA4 A service that gives no answers is a trouble, which the user sees while attempts are made.
 */
import { AsyncTimeoutError, OperatorError } from "../../../errors.ts";
import { describeValue, isThenable, silence } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { isChangeRefused } from "../../../state/frozen.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { isAnswer } from "../../guards/answers.ts";
import type { Collect } from "../../source.ts";
import type { TroubleWatch } from "../../trouble.ts";
import type {
  HeldRecords,
  HeldReport,
  Opening,
  OpenOperator,
  OperatorKind,
  OperatorServices,
  Outputs,
} from "../contract.ts";
import { failureAtKey, failureOf, neverInPlace } from "../failure.ts";
import { type KeySelector, stableKey } from "../keyed/key-selector.ts";
import { type Lifecycle, type Resource, resourceOf } from "../lifecycle.ts";
import { Call, type RequestContext, type Retries, saidBy } from "./call.ts";
import { type QueuedMark, type QueuedRequest, type RequestOrder, RequestQueue } from "./queue.ts";
import {
  nameOfRequest,
  ownKeyOf,
  requestStates,
  type StoredRequest,
  StoredRequests,
} from "./stored-requests.ts";

export interface AsyncOperator {
  /** undefined: the stream has no keys. */
  readonly key?: KeySelector | undefined;
  readonly request: (value: unknown, context: RequestContext) => unknown;
  readonly order: RequestOrder;
  /** Records. */
  readonly capacity: number;
  readonly timeoutMs: number;
  readonly retries: Retries;
  readonly onFailure: "fail" | "sideOutput";
  readonly lifecycle?: Lifecycle | undefined;
}

/** The tag of the side output for failures. */
const FAILED = "failed";

/** A record whose request has failed. */
export interface FailedRequest<T = unknown> {
  readonly value: T;
  /** The message of the last attempt's error. */
  readonly reason: string;
  /** The calls that were made. */
  readonly attempts: number;
  /** `RequestContext.id` of the calls. */
  readonly id: string;
}

export const asyncKind: OperatorKind<AsyncOperator> = {
  name: "async",
  describe: ({ onFailure }) => ({
    states: requestStates,
    ownStates: true,
    holdsRecords: true,
    ...(onFailure === "sideOutput" && { tags: [FAILED] }),
  }),
  open: (definition, services, outputs) => new OpenAsync(definition, services, outputs).opened,
};

interface Request extends QueuedRequest {
  readonly stored: StoredRequest;
  call: Call | undefined;
  results: readonly unknown[];
  failure: FailedRequest | undefined;
}

const NOTHING_TOLD = { watermark: Number.NEGATIVE_INFINITY, isIdle: false };

class OpenAsync implements HeldRecords {
  readonly opened: OpenOperator;
  readonly #id: string;
  readonly #definition: AsyncOperator;
  readonly #outputs: Outputs;
  readonly #failed: Collect<unknown> | undefined;
  readonly #state: KeyedState;
  readonly #stored: StoredRequests;
  readonly #queue: RequestQueue<Request>;
  readonly #resource: Resource | undefined;
  readonly #underWay = new Set<Request>();
  /** Those of them of which an attempt has failed. */
  readonly #retried = new Set<Request>();
  #trouble: TroubleWatch | undefined;
  #opening: Opening | undefined;
  /** What ends the job. */
  #failure: OperatorError | undefined;
  #wake: () => void = () => {};
  /** The mark that went out last. */
  #told: { readonly watermark: number; readonly isIdle: boolean } = NOTHING_TOLD;

  constructor(definition: AsyncOperator, { id, checks, keyedState }: OperatorServices, outputs: Outputs) {
    const { key, order, onFailure, lifecycle } = definition;
    const state = keyedState();
    this.#id = id;
    this.#definition = definition;
    this.#outputs = outputs;
    this.#failed = onFailure === "sideOutput" ? outputs.tagged(FAILED) : undefined;
    this.#state = state;
    this.#stored = new StoredRequests(state);
    this.#queue = new RequestQueue(order);
    this.#resource = resourceOf(id, lifecycle);
    const ownKey = key === undefined ? ownKeyOf(state) : undefined;
    const keyOf = key && stableKey(id, key, checks);
    this.opened = {
      state,
      inputs: [(value, timestamp) => this.#take(keyOf, ownKey, value, timestamp)],
      held: this,
      open: (opening) => this.#open(opening),
      figures: () => this.#figures(),
      close: () => this.#close(),
    };
  }

  /** Requests under way, records that wait for theirs or with their results, and requests that are tried again. */
  #figures(): Readonly<Record<string, number>> {
    const inFlight = this.#underWay.size;
    return { inFlight, waiting: this.#queue.size - inFlight, retrying: this.#retried.size };
  }

  /* ------------------------------------------------------------------ what is held */

  get isEmpty(): boolean {
    return this.#queue.isEmpty && this.#failure === undefined;
  }

  hasRoom(): boolean {
    return this.#queue.size < this.#definition.capacity;
  }

  onReady(wake: () => void): void {
    this.#wake = wake;
  }

  mark(watermark: number, isIdle: boolean): void {
    this.#queue.mark(watermark, isIdle);
    if (this.#queue.isReady) this.#wake();
  }

  step(): boolean {
    if (this.#failure !== undefined) throw this.#failure;
    const begun = this.#begin();
    const next = this.#queue.next();
    if (next === undefined) return begun;
    if (next.kind === "mark") this.#tell(next);
    else this.#sendOut(next);
    return true;
  }

  report(): HeldReport {
    const { watermark, isIdle } = this.#told;
    return { watermark, isIdle, records: this.#queue.size };
  }

  #tell(mark: QueuedMark): void {
    this.#told = mark;
    this.#outputs.mark(mark.watermark, mark.isIdle);
  }

  #sendOut({ stored, results, failure }: Request): void {
    this.#stored.remove(stored);
    const { timestamp } = stored;
    if (failure !== undefined) this.#failed!(failure, timestamp);
    for (let i = 0; i < results.length; i++) this.#outputs.main(results[i], timestamp);
  }

  /* ------------------------------------------------------------------ requests */

  async #open(opening: Opening): Promise<void> {
    this.#opening = opening;
    this.#trouble = opening.troubles.watch(`requests of operator "${this.#id}"`);
    for (const { behind, ...stored } of this.#stored.restored()) {
      if (behind > this.#queue.watermark) this.#queue.mark(behind, false);
      this.#queue.add(requestOf(stored));
    }
    await this.#resource?.hooks.open(opening);
  }

  #take(keyOf: KeySelector | undefined, ownKey: Key | undefined, value: unknown, timestamp: number): void {
    try {
      const key = keyOf === undefined ? ownKey! : keyOf(value);
      this.#queue.add(requestOf(this.#stored.add(key, value, timestamp, this.#queue.watermark)));
    } catch (error) {
      throw failureOf(this.#id, error);
    }
    this.#begin();
  }

  /** Begins the next request, if there is one and a place for it. */
  #begin(): boolean {
    if (this.#underWay.size >= this.#definition.capacity) return false;
    const request = this.#queue.begin();
    if (request === undefined) return false;
    this.#call(request);
    return true;
  }

  #call(request: Request): void {
    const { timeoutMs, retries } = this.#definition;
    this.#underWay.add(request);
    request.call = new Call({
      clock: this.#opening!.clock,
      timeoutMs,
      retries,
      call: (attempt, signal) =>
        this.#definition.request(request.stored.value, this.#contextOf(request, attempt, signal)),
      onRetry: (error) => {
        this.#retried.add(request);
        this.#trouble?.failed(error);
      },
      onAnswer: (answer) => this.#answered(request, answer),
      onFailure: (error, attempts) => this.#requestFailed(request, error, attempts),
    });
  }

  #contextOf({ stored }: Request, attempt: number, signal: AbortSignal): RequestContext {
    const operator = this.#id;
    const { key } = this.#definition;
    return {
      // Few functions ask for it, and it costs a digest.
      get id() {
        return nameOfRequest(operator, stored);
      },
      attempt,
      signal,
      key: key === undefined ? undefined : stored.key,
      resource: this.#resource?.value,
    };
  }

  #answered(request: Request, answer: unknown): void {
    const { stored } = request;
    this.#retried.delete(request);
    this.#trouble?.passed();
    try {
      request.results = resultsOf(this.#id, answer);
    } catch (error) {
      this.#fail(error as OperatorError, stored);
      return;
    }
    this.#ended(request);
  }

  #requestFailed(request: Request, error: unknown, attempts: number): void {
    const { stored } = request;
    this.#retried.delete(request);
    if (this.#retried.size === 0) this.#trouble?.forget();
    if (this.#definition.onFailure === "sideOutput") {
      const reason = this.#reasonOf(error);
      request.failure = { value: stored.value, reason, attempts, id: nameOfRequest(this.#id, stored) };
      this.#ended(request);
      return;
    }
    const { retries } = this.#definition;
    const attempt = `attempt ${attempts} of ${retries.attempts}`;
    const what = `the request for ${describeValue(stored.value)} failed in ${attempt}: ${this.#reasonOf(error)}`;
    this.#fail(new OperatorError(this.#id, new Error(what, { cause: error })), stored);
  }

  #reasonOf(error: unknown): string {
    if (error instanceof AsyncTimeoutError)
      return `there was no answer within ${this.#definition.timeoutMs} ms (timeout)`;
    return isChangeRefused(error) ? `${error.message}. ${neverInPlace()}` : saidBy(error);
  }

  #ended(request: Request): void {
    this.#underWay.delete(request);
    this.#queue.answered(request);
    this.#wake();
  }

  #fail(error: OperatorError, { key }: StoredRequest): void {
    const ofUser = this.#definition.key === undefined ? undefined : key;
    this.#failure ??= failureAtKey(this.#id, error, this.#state, ofUser) as OperatorError;
    this.#wake();
  }

  async #close(): Promise<void> {
    for (const { call } of this.#underWay) call?.cancel(new Error(`operator "${this.#id}" is being closed`));
    this.#underWay.clear();
    this.#trouble?.forget();
    await this.#resource?.hooks.close();
  }
}

const requestOf = (stored: StoredRequest): Request => ({
  kind: "request",
  key: stored.key,
  stored,
  hasAnswer: false,
  call: undefined,
  results: [],
  failure: undefined,
});

/** @throws OperatorError for what no function can mean */
function resultsOf(operator: string, answer: unknown): readonly unknown[] {
  const results: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
  const promises = results.filter(isThenable);
  if (promises.length > 0) {
    for (const promise of promises) silence(promise);
    const what = "request answered an array with promises in it: await Promise.all of them first";
    throw new OperatorError(operator, new Error(what));
  }
  for (const result of results) {
    if (result !== undefined && result !== null && isAnswer(result)) continue;
    const what = `${describeValue(result)}${results === answer ? " in an array" : ""}`;
    const needed = "a record is needed, or an array of records, [] for none";
    throw new OperatorError(operator, new Error(`request answered ${what}: ${needed}`));
  }
  return results;
}
