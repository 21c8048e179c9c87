/**
 * What both ends of a remote channel share: the subscription, the tick, and failing once.
 *
 * Owns: when the other end is told where this one stands. Does not own: what it is told (remote-channel.ts).
 */
import { ChannelError } from "../../errors.ts";
import type { Bus, Subscription } from "./bus.ts";
import { type ChannelId, describeChannel } from "./frame.ts";
import { kindOf } from "./frame-codec.ts";
import type { ChannelSubjects } from "./subjects.ts";

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
  readonly timers: Timers;
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
  #cancelTick: () => void;
  #over = false;

  constructor(options: RemoteChannelOptions, listenTo: string, handlers: LineHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#subscriptions = [
      options.bus.subscribe(listenTo, (body) => {
        if (!this.#over) this.#receive(body);
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

  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTick();
    for (const subscription of this.#subscriptions) subscription.close();
    this.#handlers.stopped();
  }

  #receive(message: Uint8Array): void {
    const kind = kindOf(message);
    if (kind === undefined || !this.#handlers.receive(kind, message)) {
      this.fail(`a message of ${message.length} bytes that does not belong here`);
    }
  }

  readonly #tick = (): void => {
    // Announcements would only pile up without a connection; a reconnect announces at once.
    if (this.#options.bus.connectedForMs() > 0) this.#handlers.announce();
    this.#cancelTick = this.#options.timers.after(ANNOUNCE_EVERY_MS, this.#tick);
  };
}
