/**
 * Requests between processes, over the bus.
 *
 * Owns: encoding, repetition until an answer comes, the detour of large messages through storage (P10). Does not own:
 * what is said (messages.ts) and what a repetition means to the handler, which must be idempotent.
 */
import { type CheckpointStorage, type ObjectHandle, objectNames } from "../checkpoint/storage.ts";
import type { Bus, Subscription } from "../dataflow/channel/bus.ts";
import type { TroubleWatch } from "../dataflow/trouble.ts";
import { InvariantError, retryOf } from "../errors.ts";
import { decodeValue, encodeValue } from "../state/codec.ts";
import { pause } from "../timer.ts";

/** Names the object that carries a message too large for the bus. */
export interface Detour {
  readonly storage: CheckpointStorage;
  readonly at: { readonly job: string; readonly incarnation: string; readonly generation: number };
}

/** A message takes the detour when it exceeds this share of what the bus carries. */
const DETOUR_SHARE = 4;

export interface TellOptions {
  /** Ends the repetition: the generation is over. */
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  readonly pauseMs?: number;
  readonly detour?: Detour;
  /** Told of each try. */
  readonly watch?: TroubleWatch;
}

export class ControlLink {
  readonly #bus: Bus;
  /** Storage that incoming large messages are read from. */
  readonly #storage: CheckpointStorage | undefined;
  #messages = 0;
  readonly #id: string;

  constructor(options: { readonly bus: Bus; readonly id: string; readonly storage?: CheckpointStorage }) {
    this.#bus = options.bus;
    this.#id = options.id;
    this.#storage = options.storage;
  }

  get bus(): Bus {
    return this.#bus;
  }

  /** One try. @throws NoRespondersError, RequestTimeoutError, DisconnectedError */
  async ask<A>(subject: string, message: unknown, timeoutMs: number, detour?: Detour): Promise<A> {
    const body = await this.#encode(message, detour);
    return (await this.#decode(await this.#bus.request(subject, body, timeoutMs))) as A;
  }

  /**
   * Again and again until an answer comes; undefined once `signal` has aborted. Failures of any other kind than "try
   * again" are bugs and are thrown.
   */
  async tell<A>(subject: string, message: unknown, options: TellOptions): Promise<A | undefined> {
    const { signal, timeoutMs = 1000, pauseMs = 100, watch } = options;
    while (!signal.aborted) {
      try {
        const answer = await this.ask<A>(subject, message, timeoutMs, options.detour);
        watch?.passed();
        return answer;
      } catch (error) {
        if (retryOf(error) !== "now") throw error;
        watch?.failed(error);
        await pause(pauseMs, signal);
      }
    }
    watch?.forget();
    return undefined;
  }

  /**
   * `handle` may answer at once or later; undefined is no answer, because another one may be asked. What it throws is its
   * own bug and is passed to `onError`.
   */
  serve(
    subject: string,
    handle: (message: unknown, subject: string) => unknown,
    onError: (error: unknown) => void,
  ): Subscription {
    return this.#bus.subscribe(subject, (body, reply, at) => {
      this.#decode(body)
        .then((message) => handle(message, at))
        .then(async (answer) => {
          if (reply !== undefined && answer !== undefined) reply(await this.#encode(answer, undefined));
        })
        .catch(onError);
    });
  }

  async #encode(message: unknown, detour: Detour | undefined): Promise<Uint8Array> {
    const body = encodeValue({ message });
    if (body.length <= this.#bus.payloadBytesMax / DETOUR_SHARE) return body;
    if (detour === undefined) {
      if (body.length <= this.#bus.payloadBytesMax) return body;
      throw new InvariantError(`a message of ${body.length} bytes has no way round the bus's limit`);
    }
    const id = `${this.#id}-${this.#messages++}`;
    const object = await detour.storage.put(objectNames.message({ ...detour.at, id }), [body]);
    return encodeValue({ object });
  }

  async #decode(body: Uint8Array): Promise<unknown> {
    const envelope = decodeValue(body) as { readonly message?: unknown; readonly object?: ObjectHandle };
    if (envelope.object === undefined) return envelope.message;
    if (this.#storage === undefined)
      throw new InvariantError("a large message came to a process without storage");
    return this.#decode(await this.#storage.get(envelope.object));
  }
}
