/** The bus on core NATS. It borrows the connection: closing the bus ends its subscriptions, not the connection. */
import {
  createInbox,
  type NatsConnection,
  type Subscription as NatsSubscription,
  TimeoutError,
} from "@nats-io/transport-node";
import { anyAnswer, type Bus, type MessageHandler, type Subscription } from "../../dataflow/channel/bus.ts";
import { DisconnectedError, MessageTooLargeError } from "../../errors.ts";
import { denialIn } from "./denials.ts";
import type { NatsEnvironment } from "./environment.ts";
import { inboxPrefixOf, NatsLink } from "./link.ts";

export class NatsBus implements Bus {
  readonly #connection: NatsConnection;
  readonly #link: NatsLink;
  readonly #subscriptions = new Set<NatsSubscription>();
  readonly #listeners = new Set<Subscription>();
  #closed = false;

  constructor(environment: NatsEnvironment) {
    this.#connection = environment.connection;
    this.#link = NatsLink.of(this.#connection);
  }

  get payloadBytesMax(): number {
    return this.#link.payload.bytesMax;
  }

  tooLarge(bytes: number): void {
    this.#link.payload.fits(bytes);
  }

  publish(subject: string, body: Uint8Array): void {
    if (!this.#link.payload.fits(body.length)) this.#link.payload.dropped(body.length, subject);
    else if (this.#usable()) this.#connection.publish(subject, body);
  }

  async request(
    subject: string,
    body: Uint8Array,
    timeoutMs: number,
    isAnswer = anyAnswer,
  ): Promise<Uint8Array> {
    const what = `request to "${subject}"`;
    const { payload } = this.#link;
    if (!payload.fits(body.length))
      throw new MessageTooLargeError(
        `${what}: it has ${body.length} bytes, and ${payload.inWords(body.length)}`,
      );
    if (!this.#usable()) throw new DisconnectedError(`${what}: the bus is closed`);
    return await this.#link.call(what, async () => {
      const replies = await this.#connection.requestMany(subject, body, {
        maxWait: timeoutMs,
        strategy: "timer",
      });
      for await (const { data, headers } of replies)
        if (isAnswer({ body: data, header: (name) => headers?.get(name) ?? "" })) return data;
      throw new TimeoutError();
    });
  }

  subscribe(subject: string, handler: MessageHandler): Subscription {
    if (!this.#usable()) throw new DisconnectedError(`subscribe to "${subject}": the bus is closed`);
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) return this.#subscriptionFailed(subscription, error);
        const { reply } = message;
        const answer = reply
          ? (body: Uint8Array): void => {
              this.publish(reply, body);
            }
          : undefined;
        try {
          handler(message.data, answer, message.subject);
        } catch (thrown) {
          crash(thrown);
        }
      },
    });
    this.#subscriptions.add(subscription);
    return {
      close: () => {
        if (this.#subscriptions.delete(subscription)) subscription.unsubscribe();
      },
    };
  }

  newInbox(): string {
    return createInbox(inboxPrefixOf(this.#connection));
  }

  async flush(): Promise<void> {
    if (!this.#usable()) throw new DisconnectedError("flush: the bus is closed");
    await this.#link.call("flush", () => this.#connection.flush());
  }

  connectedForMs(): number {
    return this.#link.connectedForMs();
  }

  lossLately(): string {
    return this.#link.lossLately();
  }

  onReconnect(listener: () => void): Subscription {
    const remove = this.#link.onBack(listener);
    const subscription = {
      close: () => {
        this.#listeners.delete(subscription);
        remove();
      },
    };
    this.#listeners.add(subscription);
    return subscription;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const listener of [...this.#listeners]) listener.close();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#subscriptions.clear();
  }

  #usable(): boolean {
    return !this.#closed && !this.#connection.isClosed();
  }

  /** The server refused the subscription (permissions). A caller that waits on it would wait for ever. */
  #subscriptionFailed(subscription: NatsSubscription, error: Error): void {
    this.#subscriptions.delete(subscription);
    crash(denialIn(error) ?? error);
  }
}

/** An error of a handler must not reach nats.js, whose reader would end and leave a dead connection behind. */
function crash(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
