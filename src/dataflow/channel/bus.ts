/**
 * The message bus below channels and control: core NATS, or its twin in memory.
 *
 * Owns: delivery of bytes to the subscribers of the moment. Does not own: reliability. Messages may be lost (no
 * subscriber, slow consumer, reconnect), never reordered within one connection and subject, never duplicated.
 * A user of the bus that needs more adds sequence numbers (channels) or retries with idempotent handlers (control).
 */

export interface Subscription {
  close(): void;
}

export type MessageHandler = (
  body: Uint8Array,
  /** Present when the sender waits for an answer. */
  reply: ((body: Uint8Array) => void) | undefined,
  subject: string,
) => void;

/** What comes back to a request. Any connection may have sent it. */
export interface Reply {
  readonly body: Uint8Array;
  /** The value of a header; "" when there is none of that name. */
  header(name: string): string;
}

/** Whether a reply is the answer to a request. If it is not, the next one is waited for. */
export type IsAnswer = (reply: Reply) => boolean;

/** The first reply is the answer. */
export const anyAnswer: IsAnswer = () => true;

export interface Bus {
  /** Largest body that one message may carry, as far as is known now. It may change at any time. */
  readonly payloadBytesMax: number;
  /** Tells that a message of this size is needed: the bus looks whether the limit was raised meanwhile. */
  tooLarge(bytes: number): void;
  /**
   * Never blocks and never fails visibly: bounding what is in flight is the sender's job. What is larger than
   * `payloadBytesMax` is lost.
   */
  publish(subject: string, body: Uint8Array): void;
  /**
   * @param isAnswer default: `anyAnswer`
   * @throws NoRespondersError when there is no subscriber, RequestTimeoutError, DisconnectedError, MessageTooLargeError
   */
  request(subject: string, body: Uint8Array, timeoutMs: number, isAnswer?: IsAnswer): Promise<Uint8Array>;
  /** `subject` may hold the wildcards `*` (one token) and, last, `>` (all further tokens). */
  subscribe(subject: string, handler: MessageHandler): Subscription;
  /** A subject that no other process of the account knows or listens on, another one each time. */
  newInbox(): string;
  /** Resolves when the server has processed all that was sent before, subscriptions included. */
  flush(): Promise<void>;
  /** How long the present connection has been up, 0 while there is none (P28). */
  connectedForMs(): number;
  /** What became of a connection a short while ago, in words, for what is found missing now; "" when none was lost. */
  lossLately(): string;
  /** Called after each reconnect, once subscriptions are in place again. */
  onReconnect(listener: () => void): Subscription;
  close(): Promise<void>;
}
