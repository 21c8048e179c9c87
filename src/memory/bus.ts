/**
 * Core NATS in memory: one broker, several connections, the semantics of the real bus.
 *
 * - Delivery is asynchronous and in order. A message goes to the subscriptions that were there before it was published.
 * - While a connection is down, what it publishes and what is sent to it is lost; requests that it has under way fail
 *   with RequestTimeoutError, new ones with DisconnectedError. Its subscriptions are in place again afterwards.
 * - Bodies are copied, as a wire would.
 *
 * Time and turns come from outside, so that a simulation can own both.
 */
import { anyAnswer, type Bus, type MessageHandler, type Subscription } from "../dataflow/channel/bus.ts";
import {
  DisconnectedError,
  MessageTooLargeError,
  NoRespondersError,
  RequestTimeoutError,
} from "../errors.ts";
import { startTimer } from "../timer.ts";

/** The time of one connection's process. */
export interface BusTime {
  /** Calls `fire` after `ms`; returns how to cancel that. Default `setTimeout`. */
  readonly startTimer?: (ms: number, fire: () => void) => () => void;
  /** Milliseconds on a clock that never goes back. Default `performance.now()`. */
  readonly now?: () => number;
}

/** The time of all connections that have none of their own. */
export interface MemoryBrokerOptions extends BusTime {
  /** Bytes, default 1 MiB as in nats-server. */
  readonly payloadBytesMax?: number;
  /** True loses the message; the subject of an answer is "_INBOX". Default: nothing is lost. */
  readonly drop?: (subject: string, body: Uint8Array) => boolean;
  /** Runs `turn` later, never at once. Default `setImmediate`. */
  readonly later?: (turn: () => void) => void;
  /**
   * Brings what one connection sends to another one, or the broker's word (`from` is `to`), by calling `arrive`. A
   * simulation does that late, not at all or twice. Default: at once, in the broker's turn.
   */
  readonly carry?: (arrive: () => void, from: MemoryBus, to: MemoryBus) => void;
}

interface Message {
  readonly from: MemoryBus;
  readonly subject: string;
  readonly body: Uint8Array;
  readonly order: number;
  readonly request: PendingRequest | undefined;
}

interface PendingRequest {
  readonly bus: MemoryBus;
  answer(body: Uint8Array): void;
  fail(error: Error): void;
}

/** What happens at the broker, in order: a message to route, an answer to hand over, a flush to confirm. */
type Turn = () => void;

export class MemoryBroker {
  readonly payloadBytesMax: number;
  readonly #time: Required<BusTime>;
  readonly #carry: (arrive: () => void, from: MemoryBus, to: MemoryBus) => void;
  readonly #drop: (subject: string, body: Uint8Array) => boolean;
  readonly #later: (turn: () => void) => void;
  readonly #buses = new Set<MemoryBus>();
  #turns: Turn[] = [];
  #order = 0;

  constructor(options: MemoryBrokerOptions = {}) {
    this.payloadBytesMax = options.payloadBytesMax ?? 1024 * 1024;
    this.#time = {
      now: options.now ?? (() => performance.now()),
      startTimer: options.startTimer ?? startTimer,
    };
    this.#carry = options.carry ?? ((arrive) => arrive());
    this.#drop = options.drop ?? (() => false);
    this.#later = options.later ?? ((turn) => void setImmediate(turn));
  }

  connect(time: BusTime = {}): MemoryBus {
    const bus = new MemoryBus(this, { ...this.#time, ...time });
    this.#buses.add(bus);
    return bus;
  }

  forget(bus: MemoryBus): void {
    this.#buses.delete(bus);
  }

  nextOrder(): number {
    return ++this.#order;
  }

  send(from: MemoryBus, subject: string, body: Uint8Array, request: PendingRequest | undefined): void {
    if (this.#drop(subject, body)) return;
    const message = { from, subject, body: body.slice(), order: this.nextOrder(), request };
    this.enqueue(() => this.#route(message));
  }

  /** The broker's word to one connection. */
  tell(bus: MemoryBus, turn: Turn): void {
    this.enqueue(() => this.#carry(turn, bus, bus));
  }

  enqueue(turn: Turn): void {
    this.#turns.push(turn);
    if (this.#turns.length === 1) this.#later(() => this.#run());
  }

  #run(): void {
    const turns = this.#turns;
    this.#turns = [];
    for (const turn of turns) turn();
  }

  #route(message: Message): void {
    const handlers = [...this.#buses].flatMap((bus) => bus.handlersOf(message.subject, message.order));
    const { request } = message;
    if (request !== undefined && handlers.length === 0) {
      const error = new NoRespondersError(`request to "${message.subject}": no process answers there`);
      this.#carry(() => request.fail(error), request.bus, request.bus);
    }
    for (const { bus, handler } of handlers) {
      const reply =
        request === undefined ? undefined : (body: Uint8Array): void => this.#answer(bus, request, body);
      const arrive = () => handler(message.body, reply, message.subject);
      try {
        this.#carry(arrive, message.from, bus);
      } catch (error) {
        // NATS does the same: other subscribers get the message all the same, and the error is left uncaught.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #answer(responder: MemoryBus, request: PendingRequest, body: Uint8Array): void {
    if (!responder.connected || this.#drop("_INBOX", body)) return;
    const copy = body.slice();
    this.enqueue(() => this.#carry(() => request.answer(copy), responder, request.bus));
  }
}

export class MemoryBus implements Bus {
  readonly #broker: MemoryBroker;
  readonly #time: Required<BusTime>;
  readonly #subscriptions = new Map<
    Subscription,
    { subject: string; matches: Matcher; handler: MessageHandler; since: number }
  >();
  readonly #requests = new Set<PendingRequest>();
  readonly #listeners = new Set<() => void>();
  #connectedSince: number | undefined;
  #lostAt = Number.NEGATIVE_INFINITY;
  #closed = false;

  /** Called by `MemoryBroker.connect`. */
  constructor(broker: MemoryBroker, time: Required<BusTime>) {
    this.#broker = broker;
    this.#time = time;
    this.#connectedSince = time.now();
  }

  get connected(): boolean {
    return this.#connectedSince !== undefined && !this.#closed;
  }

  get payloadBytesMax(): number {
    return this.#broker.payloadBytesMax;
  }

  newInbox(): string {
    return `_INBOX.${this.#broker.nextOrder()}`;
  }

  tooLarge(): void {
    // Its limit never changes.
  }

  publish(subject: string, body: Uint8Array): void {
    if (this.connected && body.length <= this.payloadBytesMax)
      this.#broker.send(this, subject, body, undefined);
  }

  async request(
    subject: string,
    body: Uint8Array,
    timeoutMs: number,
    isAnswer = anyAnswer,
  ): Promise<Uint8Array> {
    const what = `request to "${subject}"`;
    if (body.length > this.payloadBytesMax)
      throw new MessageTooLargeError(
        `${what}: it has ${body.length} bytes, and the bus takes ${this.payloadBytesMax}`,
      );
    if (!this.connected) throw new DisconnectedError(`${what}: not connected`);
    return await new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        if (!this.#requests.delete(request)) return;
        cancelTimer();
        act();
      };
      const request: PendingRequest = {
        bus: this,
        answer: (answer) => {
          if (!this.#requests.has(request) || !isAnswer({ body: answer, header: noHeader })) return;
          settle(() => resolve(answer));
        },
        fail: (error) => settle(() => reject(error)),
      };
      const cancelTimer = this.#time.startTimer(timeoutMs, () =>
        request.fail(new RequestTimeoutError(`${what}: no answer in time`)),
      );
      this.#requests.add(request);
      this.#broker.send(this, subject, body, request);
    });
  }

  subscribe(subject: string, handler: MessageHandler): Subscription {
    if (this.#closed) throw new DisconnectedError(`subscribe to "${subject}": the bus is closed`);
    const subscription = { close: () => void this.#subscriptions.delete(subscription) };
    this.#subscriptions.set(subscription, {
      subject,
      matches: matcher(subject),
      handler,
      since: this.#broker.nextOrder(),
    });
    return subscription;
  }

  /** The handlers of this connection that get a message which was published as number `order`. The broker asks. */
  handlersOf(subject: string, order: number): { bus: MemoryBus; handler: MessageHandler }[] {
    if (!this.connected) return [];
    return [...this.#subscriptions.entries()]
      .filter(([, { matches, since }]) => since < order && matches(subject))
      .map(([subscription, { handler }]) => ({
        bus: this,
        // An earlier handler of the same message may have closed this one, or the connection.
        handler: (body, reply, of) => {
          if (this.connected && this.#subscriptions.has(subscription)) handler(body, reply, of);
        },
      }));
  }

  async flush(): Promise<void> {
    if (!this.connected) throw new DisconnectedError("flush: not connected");
    await new Promise<void>((resolve, reject) => {
      this.#broker.tell(this, () =>
        this.connected
          ? resolve()
          : reject(new RequestTimeoutError("flush: the connection was lost before the answer came")),
      );
    });
  }

  connectedForMs(): number {
    return this.#connectedSince === undefined || this.#closed ? 0 : this.#time.now() - this.#connectedSince;
  }

  lossLately(): string {
    const isLate = this.#time.now() - this.#lostAt > LATELY_MS;
    return isLate ? "" : "the connection of this process was lost shortly before";
  }

  onReconnect(listener: () => void): Subscription {
    const own = (): void => listener();
    this.#listeners.add(own);
    return { close: () => void this.#listeners.delete(own) };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#failRequests();
    this.#subscriptions.clear();
    this.#listeners.clear();
    this.#broker.forget(this);
  }

  /** Each subscription, request and listener that is still there, in words; for tests. */
  leftovers(): string[] {
    return [
      ...[...this.#subscriptions.values()].map(({ subject }) => `a subscription to ${subject}`),
      ...[...this.#requests].map(() => "a request"),
      ...[...this.#listeners].map(() => "a listener for reconnects"),
    ];
  }

  /** The connection breaks; for tests. */
  disconnect(): void {
    this.#connectedSince = undefined;
    this.#lostAt = this.#time.now();
    this.#failRequests();
  }

  /** The connection is back; for tests. */
  reconnect(): void {
    if (this.connected || this.#closed) return;
    this.#connectedSince = this.#time.now();
    this.#broker.tell(this, () => {
      if (!this.connected) return;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  #failRequests(): void {
    for (const request of [...this.#requests]) {
      request.fail(new RequestTimeoutError("request: the connection was lost before the answer came"));
    }
  }
}

const LATELY_MS = 10_000;
const noHeader = (): string => "";

type Matcher = (subject: string) => boolean;

/** `*` is one token, `>` at the end one or more. */
function matcher(pattern: string): Matcher {
  if (!pattern.includes("*") && !pattern.includes(">")) return (subject) => subject === pattern;
  const wanted = pattern.split(".");
  return (subject) => {
    const tokens = subject.split(".");
    for (const [index, token] of wanted.entries()) {
      if (token === ">") return tokens.length > index;
      if (token !== "*" && token !== tokens[index]) return false;
    }
    return tokens.length === wanted.length;
  };
}
