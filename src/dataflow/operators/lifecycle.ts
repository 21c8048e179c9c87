/**
 * What a user's function needs for as long as its subtask runs: a client, a pool, a model. `open` makes it before the
 * first record, the function is given it with each record, and `close` lets go of it.
 *
 * Owns: when both are called, their bounds in time, the names in their failures. Does not own: when a subtask opens
 * (runtime/worker/subtask/restore.ts) and closes (open-parts.ts).
 *
 * - UF1 A function runs only between an `open` that has succeeded and `close`. `close` runs once for each such `open`,
 *   also for one that succeeds after its time is over or after the generation has ended.
 * - UF2 Neither is waited for longer than its bound. A failure names operator, function and subtask.
 *
 * Flink: RichFunction.open and close.
 */
import type { Clock } from "../../clock.ts";
import { OperatorError } from "../../errors.ts";
import type { Opening, OpenOperator } from "./contract.ts";

/** What `open` is told of its subtask. */
export interface OpenContext {
  /** Id of the operator. */
  readonly operator: string;
  /** The number of the subtask, from 0. */
  readonly subtaskIndex: number;
  /** The number of subtasks of the operator. */
  readonly parallelism: number;
  /** Aborts when the generation ends or the time is over: `open` need not go on then. */
  readonly signal: AbortSignal;
}

export interface Lifecycle {
  /** Answers the resource, or a promise of it. The context has what `resourceOf` was given, too. */
  readonly open?: ((context: OpenContext) => unknown) | undefined;
  /** May answer a promise, which is waited for. */
  readonly close?: ((resource: unknown) => unknown) | undefined;
  readonly openTimeoutMs: number;
  readonly closeTimeoutMs: number;
}

/** The resource of one operator in one subtask. */
export class Resource {
  /** The answer of `open`; undefined: it has not come yet, or there is no `open`. */
  value: unknown;
  /** What an opened operator adds to its own. */
  readonly hooks: Required<Pick<OpenOperator, "open" | "close">>;
  readonly #operator: string;
  readonly #lifecycle: Lifecycle;
  readonly #states: object | undefined;
  #opened:
    | { readonly clock: Clock; readonly subtaskIndex: number; readonly answer: Promise<unknown> }
    | undefined;

  /** @param states members of the context of `open` besides those of `OpenContext` */
  constructor(operator: string, lifecycle: Lifecycle, states?: object) {
    this.#operator = operator;
    this.#lifecycle = lifecycle;
    this.#states = states;
    this.hooks = { open: (opening) => this.#open(opening), close: () => this.#close() };
  }

  async #open({ clock, signal, subtaskIndex, parallelism }: Opening): Promise<void> {
    const { open, openTimeoutMs } = this.#lifecycle;
    const time = new AbortController();
    const context: OpenContext = {
      ...this.#states,
      operator: this.#operator,
      subtaskIndex,
      parallelism,
      signal: AbortSignal.any([signal, time.signal]),
    };
    const answer = (async () => await open?.(context))();
    this.#opened = { clock, subtaskIndex, answer };
    try {
      this.value = await bounded(answer, "openTimeout", openTimeoutMs, clock, signal);
    } catch (error) {
      time.abort(error);
      throw this.#failure("open", subtaskIndex, error);
    }
  }

  async #close(): Promise<void> {
    const { close, closeTimeoutMs } = this.#lifecycle;
    if (close === undefined || this.#opened === undefined) return;
    const { clock, subtaskIndex, answer } = this.#opened;
    const closed = answer.then(close, () => undefined);
    try {
      await bounded(closed, "closeTimeout", closeTimeoutMs, clock);
    } catch (error) {
      throw this.#failure("close", subtaskIndex, error);
    }
  }

  #failure(what: "open" | "close", subtaskIndex: number, error: unknown): OperatorError {
    const said = error instanceof Error ? error.message : String(error);
    const cause = new Error(`${what} of subtask ${subtaskIndex}: ${said}`, { cause: error });
    return new OperatorError(this.#operator, cause);
  }
}

/**
 * @param lifecycle undefined: the user's function needs nothing
 * @param states what `open` may read or change of the subtask's state, by the name of the member of its context
 */
export function resourceOf(
  operator: string,
  lifecycle: Lifecycle | undefined,
  states?: object,
): Resource | undefined {
  return lifecycle && new Resource(operator, lifecycle, states);
}

/** A function that gets the resource behind its value; one without is called as it is. */
export function withResource<R>(
  call: (value: unknown, resource?: unknown) => R,
  resource: Resource | undefined,
): (value: unknown) => R {
  return resource === undefined ? call : (value) => call(value, resource.value);
}

/** What `work` comes to, unless `ms` have passed before, or `signal` aborts. */
async function bounded<T>(
  work: Promise<T>,
  option: string,
  ms: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<T> {
  let forget = () => {};
  const end = new Promise<never>((_, reject) => {
    const late = () => reject(new Error(`has not ended within ${ms} ms (${option})`));
    const timer = clock.after(ms, late, false);
    const aborted = () => reject(signal?.reason);
    signal?.addEventListener("abort", aborted);
    forget = () => {
      timer.cancel();
      signal?.removeEventListener("abort", aborted);
    };
    if (signal?.aborted) aborted();
  });
  try {
    return await Promise.race([work, end]);
  } finally {
    forget();
  }
}
