/**
 * Requests between processes, over the bus.
 *
 * Owns: repetition until an answer comes, the detour of large messages through storage (P10), foreign messages: what
 * none of our processes can have sent is dropped, counted and told (P52), and so is what lacks the seal of the one that
 * may send it (P69). Does not own: bytes (wire.ts), how a message is sealed (seal.ts), what is said (messages.ts,
 * shapes.ts) and what a repetition means to the handler, which must be idempotent.
 *
 * - CL1 A reply that is no answer is not taken for one: the next one is waited for. A request that heard nothing else
 *   says so at the end of its wait.
 * - CL2 A handler sees only requests of its shape. What is none is refused, with the reason, where its sender waits.
 * - CL3 An answer that is larger than the bus takes at present is replaced by a refusal that names the limit; `ask`
 *   throws it.
 * - CL4 A request with a secret is sealed with it, and only an answer with the same seal is one.
 */
import { type CheckpointStorage, type ObjectHandle, objectNames } from "../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../clock.ts";
import type { Bus, Subscription } from "../dataflow/channel/bus.ts";
import type { Logger } from "../dataflow/connector.ts";
import type { TroubleWatch } from "../dataflow/trouble.ts";
import {
  ForeignAnswerError,
  InvariantError,
  MessageTooLargeError,
  ObjectCorruptError,
  ObjectMissingError,
  RequestTimeoutError,
  retryOf,
} from "../errors.ts";
import type { Shape } from "../formats/shape.ts";
import { ForeignMessages } from "./foreign-messages.ts";
import { sealOf } from "./seal.ts";
import type { Elsewhere } from "./store-identity.ts";
import {
  bare,
  decodeEnvelope,
  type Envelope,
  encodeDetour,
  encodeMessage,
  encodeSealed,
  type Sealed,
} from "./wire.ts";

/** Names the object that carries a message too large for the bus. */
export interface Detour {
  readonly storage: CheckpointStorage;
  readonly at: { readonly job: string; readonly incarnation: string; readonly generation: number };
}

/** A message takes the detour when it exceeds this share of what the bus carries. */
const DETOUR_SHARE = 4;

export interface AskOptions {
  readonly detour?: Detour;
  /** What the two processes have in common. Default: the request has no seal, nor has the answer. */
  readonly secret?: string;
}

export interface TellOptions extends AskOptions {
  /** Ends the repetition: the generation is over. */
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  readonly pauseMs?: number;
  /** Told of each try. */
  readonly watch?: TroubleWatch;
}

export interface ControlLinkOptions {
  readonly bus: Bus;
  readonly id: string;
  readonly clock: Clock;
  /** Incoming large messages are read from it. */
  readonly storage?: CheckpointStorage;
  /** Told of foreign messages. */
  readonly logger?: Logger;
}

/** The word that stands in the place of an answer that is too large (CL3). */
const TOO_LARGE = "too-large";
interface TooLarge {
  readonly answer: typeof TOO_LARGE;
  readonly reason: string;
}

/**
 * The secret that requests have to be sealed with, or how it is found in one; undefined: any connection may send that.
 */
export type SecretOf<R> = string | ((request: R) => string | undefined);

const none: SecretOf<unknown> = () => undefined;

type Received<T> = { readonly message: T; readonly sealed?: Sealed } | { readonly foreign: string };

/** A sealed message has at most so many bytes more. */
const SEAL_BYTES = 100;
const ELSEWHERE = "a message that names an object in the place of its content";
const UNSEALED = "a message without the seal of the process that may send it";

export class ControlLink {
  readonly #bus: Bus;
  readonly clock: Clock;
  readonly #storage: CheckpointStorage | undefined;
  readonly #foreign: ForeignMessages;
  #messages = 0;
  readonly #id: string;

  constructor(options: ControlLinkOptions) {
    this.#bus = options.bus;
    this.clock = options.clock;
    this.#id = options.id;
    this.#storage = options.storage;
    this.#foreign = new ForeignMessages(options.clock, options.logger);
  }

  get bus(): Bus {
    return this.#bus;
  }

  /** Notes a foreign message that came outside of this link. */
  met(subject: string, why: string): void {
    this.#foreign.met(subject, why);
  }

  /**
   * Asks once. @throws NoRespondersError, RequestTimeoutError, ForeignAnswerError, DisconnectedError,
   * MessageTooLargeError
   */
  async ask<A>(
    subject: string,
    message: unknown,
    answers: Shape<A>,
    timeoutMs: number,
    { detour, secret }: AskOptions = {},
  ): Promise<A> {
    const content = await this.#encode(message, detour);
    const seal = secret === undefined ? undefined : sealOf(secret, subject, content);
    const body = seal === undefined ? content : encodeSealed({ seal, content });
    const isSealed = (received: Received<unknown>) =>
      secret === undefined || fits(received, secret, subject, seal);
    let answer: { readonly message: unknown } | undefined;
    let heard: string | undefined;
    let tooLarge: string | undefined;
    try {
      await this.#bus.request(subject, body, timeoutMs, (reply) => {
        const envelope = decodeEnvelope(reply);
        // An answer is never large.
        const plain = "object" in envelope ? { foreign: ELSEWHERE } : envelope;
        const received = isSealed(plain) ? plain : unsealed(plain);
        tooLarge = tooLargeIn(received);
        if (tooLarge !== undefined) return true;
        const found = checked(received, answers);
        if ("message" in found) {
          answer = found;
          return true;
        }
        heard = found.foreign;
        this.#foreign.met(subject, heard);
        return false;
      });
    } catch (error) {
      if (heard === undefined || !(error instanceof RequestTimeoutError)) throw error;
      throw new ForeignAnswerError(subject, `no answer in time but that of a stranger: ${heard}`, {
        cause: error,
      });
    }
    if (tooLarge !== undefined) throw new MessageTooLargeError(`${subject}: ${tooLarge}`);
    if (answer === undefined) throw new InvariantError(`the answer on ${subject} was taken unseen`);
    return answer.message as A;
  }

  /**
   * Asks again and again until an answer comes; answers undefined once `signal` has aborted. Failures of any other kind
   * than "try again" are bugs and are thrown.
   */
  async tell<A>(
    subject: string,
    message: unknown,
    answers: Shape<A>,
    options: TellOptions,
  ): Promise<A | undefined> {
    const { signal, timeoutMs = 1000, pauseMs = 100, watch } = options;
    while (!signal.aborted) {
      try {
        const answer = await this.ask(subject, message, answers, timeoutMs, options);
        watch?.passed();
        return answer;
      } catch (error) {
        if (retryOf(error) !== "now") throw error;
        watch?.failed(error);
        await pauseOn(this.clock, pauseMs, signal);
      }
    }
    watch?.forget();
    return undefined;
  }

  /**
   * `handle` may answer at once or later; undefined is no answer, because another one may be asked. What it throws is
   * its own bug and is passed to `onError`.
   *
   * @param secretOf default: no request needs a seal
   */
  serve<R>(
    subject: string,
    requests: Shape<R>,
    handle: (request: R) => unknown,
    onError: (error: unknown) => void,
    secretOf: SecretOf<R> = none,
  ): Subscription {
    return this.#bus.subscribe(subject, (body, reply, at) => {
      const answer = async (): Promise<Uint8Array | undefined> => {
        const envelope = decodeEnvelope(bare(body));
        // What a stranger names is not read: only what comes with a seal that is known before may lie elsewhere.
        if (typeof secretOf === "string" && !fits(envelope, secretOf, at)) return this.#refuse(at, UNSEALED);
        if (typeof secretOf !== "string" && "object" in envelope) return this.#refuse(at, ELSEWHERE);
        const received = checked<R>(await this.#receive(envelope), requests);
        if ("foreign" in received) return this.#refuse(at, received.foreign);
        const secret = typeof secretOf === "string" ? secretOf : secretOf(received.message);
        if (secret !== undefined && !fits(received, secret, at)) return this.#refuse(at, UNSEALED);
        const said = await handle(received.message);
        if (said === undefined) return undefined;
        const content = this.#encodeAnswer(said, secret === undefined ? 0 : SEAL_BYTES);
        if (secret === undefined) return content;
        return encodeSealed({ content, seal: sealOf(secret, at, content, received.sealed?.seal) });
      };
      answer()
        .then((said) => {
          if (said !== undefined) reply?.(said);
        })
        .catch(onError);
    });
  }

  #refuse(subject: string, foreign: string): Uint8Array {
    this.#foreign.met(subject, foreign);
    const reason = `this is no request to a process of Tidemark: ${foreign}`;
    return this.#encodeAnswer({ answer: "refused", reason });
  }

  async #encode(message: unknown, detour: Detour | undefined): Promise<Uint8Array> {
    const body = encodeMessage(message);
    if (body.length <= this.#bus.payloadBytesMax / DETOUR_SHARE) return body;
    // What is too large without a way round is refused by the bus, in words.
    if (detour === undefined) return body;
    const id = `${this.#id}-${this.#messages++}`;
    return encodeDetour(await detour.storage.put(objectNames.message({ ...detour.at, id }), [body]));
  }

  /** @param sealBytes what is added to the answer */
  #encodeAnswer(said: unknown, sealBytes = 0): Uint8Array {
    const body = encodeMessage(said);
    const bytes = body.length + sealBytes;
    const { payloadBytesMax } = this.#bus;
    if (bytes <= payloadBytesMax) return body;
    const reason =
      `the answer has ${bytes} bytes, and nats-server takes messages of at most ${payloadBytesMax} bytes: ` +
      `raise max_payload in its configuration to ${bytes} or more and reload it`;
    // What does not fit is told to the bus, which looks for a limit that was raised.
    this.#bus.tooLarge(bytes);
    return encodeMessage({ answer: TOO_LARGE, reason } satisfies TooLarge);
  }

  async #receive(envelope: Envelope): Promise<Received<unknown>> {
    if (!("object" in envelope)) return envelope;
    const content = await this.#read(envelope.object);
    if (content === undefined) return { foreign: `it names an object that cannot be read` };
    const inner = decodeEnvelope(bare(content));
    if ("object" in inner) return { foreign: "it names an object that names another one" };
    // The seal is over the name, which holds the digest of what lies there.
    return "foreign" in inner || envelope.sealed === undefined
      ? inner
      : { ...inner, sealed: envelope.sealed };
  }

  async #read(object: ObjectHandle): Promise<Uint8Array | undefined> {
    try {
      return await this.#storage?.get(object);
    } catch (error) {
      if (error instanceof ObjectMissingError || error instanceof ObjectCorruptError) return undefined;
      throw error;
    }
  }
}

function tooLargeIn(received: Received<unknown>): string | undefined {
  if (!("message" in received)) return undefined;
  const { answer, reason } = (received.message ?? {}) as { answer?: unknown; reason?: unknown };
  return answer === TOO_LARGE && typeof reason === "string" ? reason : undefined;
}

function fits(
  received: Received<unknown> | Envelope,
  secret: string,
  subject: string,
  answered?: string,
): boolean {
  if ("foreign" in received) return true;
  const { sealed } = received;
  return sealed !== undefined && sealed.seal === sealOf(secret, subject, sealed.content, answered);
}

function unsealed(received: Received<unknown>): Received<unknown> {
  if ("foreign" in received) return received;
  return { foreign: `${UNSEALED}${reasonIn(received.message)}` };
}

function checked<T>(received: Received<unknown>, shape: Shape<T>): Received<T> {
  if ("foreign" in received) return received;
  const problem = shape.problem(received.message);
  if (problem === undefined) return received as Received<T>;
  const elsewhere = elsewhereIn(received.message);
  if (elsewhere !== undefined) return { foreign: elsewhere };
  return { foreign: `a message that is not whole (${problem})${reasonIn(received.message)}` };
}

/** What the leader of another cluster says (P71). */
function elsewhereIn(message: unknown): string | undefined {
  const { answer, reason } = (message ?? {}) as Partial<Elsewhere>;
  return answer === "elsewhere" && typeof reason === "string" ? reason.slice(0, 600) : undefined;
}

/** The reason in the answer of a peer that could not read our request. */
function reasonIn(message: unknown): string {
  const { reason } = (message ?? {}) as { reason?: unknown };
  return typeof reason === "string" ? `, which says: ${reason.slice(0, 300)}` : "";
}
