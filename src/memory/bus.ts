/**
 * Core NATS in memory: one broker, several connections, the semantics of the real bus.
 *
 * - Delivery is asynchronous and in order. A message goes to whoever was subscribed before it was published.
 * - While a connection is down, what it publishes and what is sent to it is lost; requests that it has under way fail
 *   with RequestTimeoutError, new ones with DisconnectedError. Its subscriptions are in place again afterwards.
 * - Bodies are copied, as a wire would.
 *
 * Time and turns come from outside, so that a simulation can own both.
 */
import type { Bus, MessageHandler, Reply, Subscription } from "../dataflow/channel/bus.ts";
import { DisconnectedError, invariant, NoRespondersError, RequestTimeoutError } from "../errors.ts";
import { startTimer } from "../timer.ts";

export interface MemoryBrokerOptions {
  /** Bytes, default 1 MiB as in nats-server. */
  readonly payloadBytesMax?: number;
  /** True loses the message; the subject of an answer is "_INBOX". Default: nothing is lost. */
  readonly drop?: (subject: string, body: Uint8Array) => boolean;
  /** Runs `turn` later, never at once. Default `setImmediate`. */
  readonly later?: (turn: () => void) => void;
  /** Calls `fire` after `ms`; returns how to cancel that. Default `setTimeout`. */
  readonly startTimer?: (ms: number, fire: () => void) => () => void;
  /** Milliseconds on a clock that never goes back. Default `performance.now()`. */
  readonly now?: () => number;
}

interface Message {
  readonly subject: string;
  readonly body: Uint8Array;
  readonly order: number;
  readonly request: PendingRequest | undefined;
}

interface PendingRequest {
  answer(body: Uint8Array): void;
  fail(error: Error): void;
}

/** What happens at the broker, in order: a message to route, an answer to hand over, a flush to confirm. */
type Turn = () => void;

export class MemoryBroker {
  readonly payloadBytesMax: number;
  readonly now: () => number;
  readonly startTimer: (ms: number, fire: () => void) => () => void;
  readonly #drop: (subject: string, body: Uint8Array) => boolean;
  readonly #later: (turn: () => void) => void;
  readonly #buses = new Set<MemoryBus>();
  #turns: Turn[] = [];
  #order = 0;

  constructor(options: MemoryBrokerOptions = {}) {
    this.payloadBytesMax = options.payloadBytesMax ?? 1024 * 1024;
    this.now = options.now ?? (() => performance.now());
    this.startTimer = options.startTimer ?? startTimer;
    this.#drop = options.drop ?? (() => false);
    this.#later = options.later ?? ((turn) => void setImmediate(turn));
  }

  connect(): MemoryBus {
    const bus = new MemoryBus(this);
    this.#buses.add(bus);
    return bus;
  }

  forget(bus: MemoryBus): void {
    this.#buses.delete(bus);
  }

  nextOrder(): number {
    return ++this.#order;
  }

  send(subject: string, body: Uint8Array, request: PendingRequest | undefined): void {
    if (this.#drop(subject, body)) return;
    const message = { subject, body: body.slice(), order: this.nextOrder(), request };
    this.enqueue(() => this.#route(message));
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
      request.fail(new NoRespondersError(`request to "${message.subject}": nobody answers there`));
    }
    for (const { bus, handler } of handlers) {
      const reply =
        request === undefined ? undefined : (body: Uint8Array): void => this.#answer(bus, request, body);
      try {
        handler(message.body, reply, message.subject);
      } catch (error) {
        // As on NATS: other subscribers get the message all the same, and the error ends up where nobody catches it.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #answer(responder: MemoryBus, request: PendingRequest, body: Uint8Array): void {
    if (!responder.connected || this.#drop("_INBOX", body)) return;
    const copy = body.slice();
    this.enqueue(() => request.answer(copy));
  }
}

export class MemoryBus implements Bus {
  readonly #broker: MemoryBroker;
  readonly #subscriptions = new Map<
    Subscription,
    { matches: Matcher; handler: MessageHandler; since: number }
  >();
  readonly #requests = new Set<PendingRequest>();
  readonly #listeners = new Set<() => void>();
  #connectedSince: number | undefined;
  #closed = false;

  /** By `MemoryBroker.connect`. */
  constructor(broker: MemoryBroker) {
    this.#broker = broker;
    this.#connectedSince = broker.now();
  }

  get connected(): boolean {
    return this.#connectedSince !== undefined && !this.#closed;
  }

  get payloadBytesMax(): number {
    return this.#broker.payloadBytesMax;
  }

  publish(subject: string, body: Uint8Array): void {
    this.#checkSize(subject, body);
    if (this.connected) this.#broker.send(subject, body, undefined);
  }

  async request(
    subject: string,
    body: Uint8Array,
    timeoutMs: number,
    isAnswer: (reply: Reply) => boolean = () => true,
  ): Promise<Uint8Array> {
    this.#checkSize(subject, body);
    const what = `request to "${subject}"`;
    if (!this.connected) throw new DisconnectedError(`${what}: not connected`);
    return await new Promise((resolve, reject) => {
      const settle = (act: () => void): void => {
        if (!this.#requests.delete(request)) return;
        cancelTimer();
        act();
      };
      const request: PendingRequest = {
        answer: (answer) => {
          if (!this.#requests.has(request) || !isAnswer({ body: answer, header: noHeader })) return;
          settle(() => resolve(answer));
        },
        fail: (error) => settle(() => reject(error)),
      };
      const cancelTimer = this.#broker.startTimer(timeoutMs, () =>
        request.fail(new RequestTimeoutError(`${what}: no answer in time`)),
      );
      this.#requests.add(request);
      this.#broker.send(subject, body, request);
    });
  }

  subscribe(subject: string, handler: MessageHandler): Subscription {
    if (this.#closed) throw new DisconnectedError(`subscribe to "${subject}": the bus is closed`);
    const subscription = { close: () => void this.#subscriptions.delete(subscription) };
    this.#subscriptions.set(subscription, {
      matches: matcher(subject),
      handler,
      since: this.#broker.nextOrder(),
    });
    return subscription;
  }

  /** For the broker: who of this connection gets a message that was published as number `order`. */
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
      this.#broker.enqueue(() =>
        this.connected
          ? resolve()
          : reject(new RequestTimeoutError("flush: the connection was lost before the answer came")),
      );
    });
  }

  connectedForMs(): number {
    return this.#connectedSince === undefined || this.#closed ? 0 : this.#broker.now() - this.#connectedSince;
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

  /** For tests: the connection breaks. */
  disconnect(): void {
    this.#connectedSince = undefined;
    this.#failRequests();
  }

  /** For tests: the connection is back. */
  reconnect(): void {
    if (this.connected || this.#closed) return;
    this.#connectedSince = this.#broker.now();
    this.#broker.enqueue(() => {
      if (!this.connected) return;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  #failRequests(): void {
    for (const request of [...this.#requests]) {
      request.fail(new RequestTimeoutError("request: the connection was lost before the answer came"));
    }
  }

  #checkSize(subject: string, body: Uint8Array): void {
    invariant(
      body.length <= this.payloadBytesMax,
      `message of ${body.length} bytes to "${subject}", the bus takes ${this.payloadBytesMax}`,
    );
  }
}

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
