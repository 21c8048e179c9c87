/**
 * What both ends of a remote channel share: the subscription, the seals, the tick, and failing once.
 *
 * Owns: which messages are the other end's, and when the other end is told where this one stands. Does not own: what it
 * is told (remote-channel.ts).
 */
import { ChannelError } from "../../../errors.ts";
import type { Bus, Subscription } from "../bus.ts";
import { type ChannelId, describeChannel } from "../frame.ts";
import type { ChannelSubjects } from "../subjects.ts";
import { kindOf, otherVersion } from "./frame-codec.ts";
import { Seal } from "./seal.ts";

export interface Timers {
  /** Calls `fire` once, `ms` from now. The answer cancels; canceling what has fired does nothing. */
  after(ms: number, fire: () => void): () => void;
}

/** Both ends must be given the same one. */
export interface RemoteWindow {
  readonly framesMax: number;
  readonly bytesMax: number;
}

export interface RemoteChannelOptions {
  readonly bus: Bus;
  readonly id: ChannelId;
  readonly subjects: ChannelSubjects;
  /** The generation's (P6). */
  readonly nonce: string;
  /** Whether the edge lies in a loop: rounds travel on no other. */
  readonly inLoop: boolean;
  readonly timers: Timers;
  /** Called for each message on the channel's subjects that its other end has not sent. It is dropped. */
  readonly onStray: (subject: string, why: string) => void;
  /** Called at most once; the generation is to fail. Everything sent or asked for afterwards is ignored. */
  readonly onFailure: (error: ChannelError) => void;
  readonly window?: RemoteWindow;
}

export const ANNOUNCE_EVERY_MS = 1000;

interface LineHandlers {
  /** false: a message of this kind does not belong here. */
  receive(kind: number, message: Uint8Array): boolean;
  /** Tells the other end where this one stands: every second, and after a reconnect. */
  announce(): void;
  /** Called once, when the channel has failed or is closed. */
  stopped(): void;
}

export class Line {
  readonly #options: RemoteChannelOptions;
  readonly #handlers: LineHandlers;
  readonly #subscriptions: Subscription[];
  readonly #sendTo: string;
  readonly #outgoing: Seal;
  readonly #incoming: Seal;
  #cancelTick: () => void;
  #over = false;

  constructor(options: RemoteChannelOptions, end: "writer" | "reader", handlers: LineHandlers) {
    const { data, credit } = options.subjects;
    const [listenTo, sendTo] = end === "reader" ? [data, credit] : [credit, data];
    this.#options = options;
    this.#handlers = handlers;
    this.#sendTo = sendTo;
    this.#outgoing = new Seal(options.nonce, sendTo);
    this.#incoming = new Seal(options.nonce, listenTo);
    this.#subscriptions = [
      options.bus.subscribe(listenTo, (body, _, subject) => {
        if (!this.#over) this.#receive(body, subject);
      }),
      options.bus.onReconnect(() => {
        if (!this.#over) handlers.announce();
      }),
    ];
    this.#cancelTick = options.timers.after(ANNOUNCE_EVERY_MS, this.#tick);
  }

  /** Whether the channel has failed or is closed. */
  get over(): boolean {
    return this.#over;
  }

  fail(what: string, cause?: unknown): void {
    if (this.#over) return;
    this.close();
    const message = `channel broken, ${describeChannel(this.#options.id)}: ${what}`;
    this.#options.onFailure(new ChannelError(message, cause === undefined ? {} : { cause }));
  }

  /** The same for frames that have not come. */
  failMissing(what: string): void {
    const loss = this.#options.bus.lossLately();
    this.fail(loss === "" ? what : `${what}; ${loss}`);
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTick();
    for (const subscription of this.#subscriptions) subscription.close();
    this.#handlers.stopped();
  }

  /** Answers the message's seal. */
  send(message: Buffer): number {
    const seal = this.#outgoing.stamp(message);
    this.#options.bus.publish(this.#sendTo, message);
    return seal;
  }

  #receive(message: Uint8Array, subject: string): void {
    const kind = kindOf(message);
    if (kind === undefined) {
      const other = otherVersion(message);
      this.#stray(
        subject,
        other === undefined
          ? `${message.length} bytes that are no message of a channel`
          : `${other}: run one version everywhere`,
      );
    } else if (!this.#incoming.fits(message)) {
      const what = "a message of a channel without this channel's seal";
      this.#stray(subject, `${what}: of another generation or channel, or changed on its way`);
    } else if (!this.#handlers.receive(kind, message)) {
      this.#stray(subject, `a message of kind ${kind}, which does not travel this way`);
    }
  }

  #stray(subject: string, why: string): void {
    this.#options.onStray(subject, why);
  }

  readonly #tick = (): void => {
    // Announcements would only pile up without a connection; a reconnect announces at once.
    if (this.#options.bus.connectedForMs() > 0) this.#handlers.announce();
    this.#cancelTick = this.#options.timers.after(ANNOUNCE_EVERY_MS, this.#tick);
  };
}
