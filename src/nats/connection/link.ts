/**
 * Whether the connection is up, and calls that do not outlive it.
 *
 * nats.js lets a request that was under way when the connection broke wait for its whole timeout, although its answer
 * can no longer come, and drops what is published while it reconnects. Here a call fails at once in both cases, and
 * its error says what is known:
 *
 * - NL1 DisconnectedError: nothing was sent.
 * - NL2 RequestTimeoutError: it may have been received; also when the connection was lost before the answer.
 * - NL3 NoRespondersError: the server says that no process listens.
 *
 * - NL4 PermissionDeniedError: the server does not let this user do it.
 * - NL5 MessageTooLargeError: nothing was sent, because the server takes no message of this size at present.
 * - NL6 Where the server refuses a subscription, for a limit, the connection is made again until it refuses none: the
 *   library takes the subscription for made, and would wait for ever for what comes on it.
 *
 * There is one link per connection. It ends with it, and reads its status for as long as it lives, because a status
 * iterator that is not read grows.
 */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import {
  AuthorizationError,
  ClosedConnectionError,
  DrainingConnectionError,
  InvalidArgumentError,
  type NatsConnection,
  NoRespondersError as NatsNoRespondersError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import type { TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";
import {
  DisconnectedError,
  MessageTooLargeError,
  NoRespondersError,
  PermissionDeniedError,
  RequestTimeoutError,
} from "../../errors.ts";
import { startTimer } from "../../timer.ts";
import { isSubscriptionRefused, whyEnded } from "../limits/ended-connection.ts";
import { PayloadLimit } from "../limits/payload-limit.ts";
import { SilentLosses } from "../limits/silent-losses.ts";
import { Denials, denialIn } from "./denials.ts";
import { inOneSentence, TEMPORARILY_UNAVAILABLE } from "./jetstream-refusal.ts";

/** A connection that has held for so long is not about to be ended for what ended the one before. */
const KEPT_MS = 2000;
/** The same where the server has said nothing: it takes some work until the connection ends again. */
const KEPT_IN_SILENCE_MS = 15_000;
/** What is found missing so soon after the end of a connection went with it. */
const LATELY_MS = 10_000;

export class NatsLink {
  static readonly #links = new WeakMap<NatsConnection, NatsLink>();

  static of(connection: NatsConnection): NatsLink {
    let link = NatsLink.#links.get(connection);
    if (link === undefined) {
      link = new NatsLink(connection);
      NatsLink.#links.set(connection, link);
    }
    return link;
  }

  readonly #connection: NatsConnection;
  readonly #whenLost = new Set<() => void>();
  readonly #whenBack = new Set<() => void>();
  readonly denials = new Denials();
  readonly payload: PayloadLimit;
  readonly silentLosses = new SilentLosses();
  #connecting: TroubleWatch | undefined;
  /** Why the server refuses or ends the connection; undefined: it says nothing, or has kept it for a while. */
  #ended: string | undefined;
  #keptMs = KEPT_MS;
  /** The last connection that was lost, on the clock of `performance.now()`. */
  #lostMs = Number.NEGATIVE_INFINITY;
  #lostWhy = "";
  #cancelKept: () => void = () => {};
  #cancelRenewal: (() => void) | undefined;
  /** The time of the connection on the clock of `performance.now()`; undefined while there is none. */
  #upSinceMs: number | undefined;

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.payload = new PayloadLimit(connection);
    this.#upSinceMs = connection.isClosed() || connection.info === undefined ? undefined : performance.now();
    void this.#follow();
  }

  /** A lost connection and refused publications are troubles of this process. */
  watchWith(troubles: TroubleWatcher): void {
    this.#connecting = troubles.watch("connecting to NATS");
    this.denials.watchWith(troubles);
    this.payload.watchWith(troubles);
  }

  /** What became of a connection of this process a short while ago; "" when none was lost. */
  lossLately(): string {
    if (performance.now() - this.#lostMs > LATELY_MS) return "";
    return `a connection of this process to NATS was lost shortly before${this.#lostWhy}`;
  }

  /** How long the present connection has been up, or has been known to be; 0 while there is none. */
  connectedForMs(): number {
    return this.#upSinceMs === undefined ? 0 : performance.now() - this.#upSinceMs;
  }

  /** `listener` is called after each reconnect, once the server has our subscriptions again. Returns its removal. */
  onBack(listener: () => void): () => void {
    this.#whenBack.add(listener);
    return () => this.#whenBack.delete(listener);
  }

  /** Resolves when there is a connection again, or after `timeoutMs` in any case. */
  async untilUp(timeoutMs: number): Promise<void> {
    if (this.#upSinceMs !== undefined) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        cancel();
        forget();
        resolve();
      };
      const cancel = startTimer(timeoutMs, done);
      const forget = this.onBack(done);
    });
  }

  /**
   * Makes a call to the server. `what` begins the message of an error.
   * @throws DisconnectedError, RequestTimeoutError, NoRespondersError, PermissionDeniedError, MessageTooLargeError;
   * what the call itself throws (JetStreamApiError) as it is, for callers that look at its code
   */
  async call<T>(what: string, send: () => Promise<T>): Promise<T> {
    if (this.#upSinceMs === undefined)
      throw new DisconnectedError(`${what}: not connected to NATS${this.#why}`);
    let lost: (() => void) | undefined;
    const lose = new Promise<never>((_, reject) => {
      lost = () =>
        reject(
          new RequestTimeoutError(`${what}: the connection was lost before the answer came${this.#why}`),
        );
    });
    this.#whenLost.add(lost as () => void);
    try {
      return await Promise.race([send(), lose]);
    } catch (error) {
      const said = isTooLarge(error) ? this.#tooLarge(what, error) : translated(what, error);
      if (said instanceof PermissionDeniedError) this.denials.answered(said.subject);
      throw said;
    } finally {
      this.#whenLost.delete(lost as () => void);
    }
  }

  /**
   * The same for a caller that looks at no codes: what JetStream's API refuses is an EnvironmentError, in one sentence.
   * @param advice next steps by error code of JetStream, where the caller knows better ones
   */
  async ask<T>(what: string, send: () => Promise<T>, advice?: Readonly<Record<number, string>>): Promise<T> {
    try {
      return await this.call(what, send);
    } catch (error) {
      throw inOneSentence(what, error, advice);
    }
  }

  #tooLarge(what: string, cause: unknown): MessageTooLargeError {
    this.payload.met();
    return new MessageTooLargeError(
      `${what}: a message of it is too large, nats-server takes at most ${this.payload.bytesMax} bytes; raise max_payload in its ` +
        "configuration and reload it",
      { cause },
    );
  }

  get #why(): string {
    return this.#ended === undefined ? "" : `: ${this.#ended}`;
  }

  async #follow(): Promise<void> {
    let isSaid = false;
    let isStale = false;
    for await (const status of this.#connection.status()) {
      if (status.type === "error") {
        const said = refusalIn(status.error) ?? whyEnded(status.error);
        isSaid ||= said !== undefined;
        this.#ended = said ?? this.#ended;
        this.denials.reported(status.error);
      }
      if (status.type === "staleConnection") isStale = true;
      if (status.type === "disconnect") {
        // What ended the connection before has nothing to do with it.
        if (!isSaid) this.#ended = isStale ? undefined : this.silentLosses.lost();
        this.#keptMs = isSaid ? KEPT_MS : KEPT_IN_SILENCE_MS;
        isSaid = false;
        isStale = false;
        this.#lostMs = performance.now();
        this.#lostWhy = this.#why;
      }
      if (status.type === "disconnect" || status.type === "close") this.#down();
      if (status.type === "disconnect" || (status.type === "error" && this.#ended !== undefined))
        this.#connecting?.failed(this.#ended ?? "the connection was lost; it is being made again");
      if (status.type === "error" && isSubscriptionRefused(status.error)) this.#subscribeAgain();
      if (status.type === "reconnect") void this.#up();
    }
    this.#down();
    this.#connecting?.forget();
    this.denials.close();
    this.payload.close();
  }

  #down(): void {
    this.#cancelKept();
    this.#cancelRenewal?.();
    this.#cancelRenewal = undefined;
    this.#upSinceMs = undefined;
    for (const lost of [...this.#whenLost]) lost();
  }

  /** What the server has refused it has forgotten, and the library takes for made: a new connection asks for all. */
  #subscribeAgain(): void {
    this.#cancelKept();
    this.#cancelRenewal ??= startTimer(
      KEPT_MS,
      () => void this.#connection.reconnect().catch(() => undefined),
      false,
    );
  }

  #kept(): void {
    this.#ended = undefined;
    this.#connecting?.passed();
  }

  async #up(): Promise<void> {
    // A server that ends each new connection for a limit takes it first.
    if (this.#ended === undefined) this.#connecting?.passed();
    else this.#cancelKept = startTimer(this.#keptMs, () => this.#kept(), false);
    this.payload.reconnected();
    this.#upSinceMs = performance.now();
    const since = this.#upSinceMs;
    // The subscriptions were sent again, not yet processed. A flush that fails is followed by the next reconnect.
    await this.#connection.flush().catch(() => undefined);
    if (this.#upSinceMs !== since) return;
    for (const listener of [...this.#whenBack]) listener();
  }
}

function refusalIn(error: Error): string | undefined {
  if (!(error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError))
    return undefined;
  return `the server refuses the credentials of this process (${error.message}): allow them again, or run it again with others`;
}

function translated(what: string, error: unknown): unknown {
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  if (error instanceof TimeoutError) {
    return new RequestTimeoutError(`${what}: no answer in time`, { cause: error });
  }
  if (isNoResponders(error) || isNoResponders(inner)) {
    return new NoRespondersError(`${what}: no process answers there`, { cause: error });
  }
  if (error instanceof ClosedConnectionError || error instanceof DrainingConnectionError) {
    return new DisconnectedError(`${what}: ${error.message}`, { cause: error });
  }
  const denied = denialIn(error, what);
  if (denied !== undefined) return denied;
  // Every other end of a request comes from the client giving it up: the connection closed or broke under it.
  if (error instanceof RequestError) {
    return new RequestTimeoutError(`${what}: ${error.message}`, { cause: error });
  }
  return error;
}

/** Refused by the library itself: larger than the server's max_payload. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof InvalidArgumentError && error.message.includes("max_payload");
}

function isNoResponders(error: unknown): boolean {
  return error instanceof NatsNoRespondersError || (error instanceof RequestError && error.isNoResponders());
}

/** An outage, a restart, an election, an earlier write under way: asking again may be answered. */
export function isPassing(error: unknown): boolean {
  return (
    error instanceof DisconnectedError ||
    error instanceof RequestTimeoutError ||
    error instanceof NoRespondersError ||
    (error instanceof JetStreamApiError &&
      (error.code === TEMPORARILY_UNAVAILABLE ||
        error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown))
  );
}

/** A user with narrow permissions has an inbox of their own; the library's interface does not tell it. */
export function inboxPrefixOf(connection: unknown): string | undefined {
  return (connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
}
