/**
 * A bus whose every message the test delivers, loses or repeats by hand, and timers that it turns by hand.
 *
 * The messages of one publisher arrive in order, as in core NATS; nothing arrives by itself.
 */
import type { Bus, MessageHandler, Subscription } from "../../../src/dataflow/channel/bus.ts";
import type { Timers } from "../../../src/dataflow/channel/remote/remote-line.ts";

interface Message {
  readonly subject: string;
  readonly body: Uint8Array;
}

export class FaultyNetwork {
  readonly #subscribers: { readonly subject: string; readonly handler: MessageHandler }[] = [];

  connect(payloadBytesMax = 1024 * 1024): FaultyBus {
    return new FaultyBus(payloadBytesMax, this.#subscribers);
  }
}

export class FaultyBus implements Bus {
  readonly payloadBytesMax: number;
  /** Published, not yet delivered. */
  readonly outbox: Message[] = [];
  connected = true;
  loss = "";
  readonly #subscribers: { readonly subject: string; readonly handler: MessageHandler }[];
  readonly #reconnectListeners = new Set<() => void>();

  constructor(
    payloadBytesMax: number,
    subscribers: { readonly subject: string; readonly handler: MessageHandler }[],
  ) {
    this.payloadBytesMax = payloadBytesMax;
    this.#subscribers = subscribers;
  }

  tooLarge(): void {}

  publish(subject: string, body: Uint8Array): void {
    this.outbox.push({ subject, body });
  }

  newInbox(): string {
    throw new Error("channels have no inbox");
  }

  async request(): Promise<Uint8Array> {
    throw new Error("channels send no requests");
  }

  subscribe(subject: string, handler: MessageHandler): Subscription {
    const entry = { subject, handler };
    this.#subscribers.push(entry);
    return { close: () => void this.#subscribers.splice(this.#subscribers.indexOf(entry), 1) };
  }

  async flush(): Promise<void> {}

  connectedForMs(): number {
    return this.connected ? 1000 : 0;
  }

  lossLately(): string {
    return this.loss;
  }

  onReconnect(listener: () => void): Subscription {
    this.#reconnectListeners.add(listener);
    return { close: () => void this.#reconnectListeners.delete(listener) };
  }

  async close(): Promise<void> {}

  /** The oldest message reaches its subscribers. */
  deliver(): void {
    const message = this.outbox.shift();
    if (message !== undefined) this.#arrive(message);
  }

  deliverAll(): void {
    while (this.outbox.length > 0) this.deliver();
  }

  /** The oldest message is lost. */
  lose(): Message | undefined {
    return this.outbox.shift();
  }

  /** The oldest message arrives, and will arrive again. */
  repeat(): void {
    const message = this.outbox[0];
    if (message !== undefined) this.#arrive(message);
  }

  reconnect(): void {
    for (const listener of [...this.#reconnectListeners]) listener();
  }

  #arrive(message: Message): void {
    for (const { subject, handler } of [...this.#subscribers]) {
      if (subject === message.subject) handler(message.body, undefined, message.subject);
    }
  }
}

export class ManualTimers implements Timers {
  #now = 0;
  #pending: { readonly at: number; readonly fire: () => void }[] = [];

  after(ms: number, fire: () => void): () => void {
    const timer = { at: this.#now + ms, fire };
    this.#pending.push(timer);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== timer);
    };
  }

  get pending(): number {
    return this.#pending.length;
  }

  /** Fires what falls due, in order of time. `between` runs after each. */
  advance(ms: number, between: () => void = () => {}): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#pending.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((timer) => timer !== due);
      this.#now = due.at;
      due.fire();
      between();
    }
    this.#now = end;
  }
}
