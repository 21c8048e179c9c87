/**
 * The state of a stream, asked for on behalf of all readers that this process has on it.
 *
 * Owns: that at most one request is under way per stream, and that there is a pause between two. Does not own: what an
 * answer means, or trying again after a failure.
 *
 * - SS1 An answer was given after it was asked for: a call that finds a request under way waits for the next one. So a
 *   sequence that was there at the answer was there when the caller received what it asks about.
 */
import type { StreamInfo } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { TroubleWatch } from "../../../dataflow/trouble.ts";
import { pause } from "../../../timer.ts";
import type { NatsEnvironment } from "../../connection/environment.ts";
import { NatsLink } from "../../connection/link.ts";

/** A reader of a busy subject asks after every few hundred records, not after each. */
const PAUSE_MS = 5;

/** What the server said, and when it was asked: it tells of nothing later. */
interface Answer {
  readonly info: StreamInfo;
  readonly askedMs: number;
}

export class StreamState {
  static readonly #known = new WeakMap<NatsConnection, Map<string, StreamState>>();

  static of(nats: NatsEnvironment, stream: string): StreamState {
    let streams = StreamState.#known.get(nats.connection);
    if (streams === undefined) {
      streams = new Map();
      StreamState.#known.set(nats.connection, streams);
    }
    let state = streams.get(stream);
    if (state === undefined) {
      state = new StreamState(nats, stream);
      streams.set(stream, state);
    }
    return state;
  }

  readonly #nats: NatsEnvironment;
  readonly #stream: string;
  #underWay: Promise<unknown> | undefined;
  #next: Promise<StreamInfo> | undefined;
  #sentAtMs = 0;
  #latest: Answer | undefined;

  private constructor(nats: NatsEnvironment, stream: string) {
    this.#nats = nats;
    this.#stream = stream;
  }

  /** @throws what the server answers, or that it does not */
  read(): Promise<StreamInfo> {
    this.#next ??= this.#afterThePresentOne();
    return this.#next;
  }

  /** An answer that was asked for no longer ago, for a look at the settings. @throws as `read` does */
  async recent(ageMsMax: number): Promise<Answer> {
    if (this.#latest !== undefined && performance.now() - this.#latest.askedMs < ageMsMax)
      return this.#latest;
    const askedMs = performance.now();
    return { info: await this.read(), askedMs };
  }

  async #afterThePresentOne(): Promise<StreamInfo> {
    // An answer that was an error is the business of the callers that have asked for it.
    await this.#underWay?.catch(() => undefined);
    const pauseMs = this.#sentAtMs + PAUSE_MS - performance.now();
    if (pauseMs > 0) await pause(pauseMs);
    const answer = this.#send();
    this.#underWay = answer;
    this.#next = undefined;
    return await answer;
  }

  async #send(): Promise<StreamInfo> {
    const askedMs = performance.now();
    this.#sentAtMs = askedMs;
    const manager = await this.#nats.manager();
    const info = await NatsLink.of(this.#nats.connection).call(
      `stream "${this.#stream}": read the stream's state`,
      () => manager.streams.info(this.#stream),
    );
    this.#latest = { info, askedMs };
    return info;
  }
}

/**
 * So many heartbeats of a consumer without a message: a user may have changed the stream so that none comes any more.
 */
const SILENT_HEARTBEATS = 5;
const RECENT_MS = 3000;

export interface SilenceOptions {
  readonly state: StreamState;
  readonly reading: TroubleWatch;
  /** The last sequence that has come by now. */
  readonly reached: () => number;
  /**
   * Answers why nothing more will come; undefined: more may come, or the reader has ended. `received` had come before
   * the server was asked.
   */
  readonly judge: (info: StreamInfo, received: number) => string | undefined;
}

/** A reader to which nothing comes: it looks now and then why that is so, and the user is told. */
export class Silence {
  readonly #options: SilenceOptions;
  #heartbeats = 0;
  #told = false;
  /** What had come at the look before. */
  #before = { atMs: 0, reached: 0 };

  constructor(options: SilenceOptions) {
    this.#options = options;
  }

  /** A heartbeat came in the place of a message. */
  heard(): void {
    if (++this.#heartbeats % SILENT_HEARTBEATS === 0) void this.#look();
  }

  /** Never rejects: where the server does not answer, the consumer finds it out, too. */
  async #look(): Promise<void> {
    const { state, reading, reached, judge } = this.#options;
    const now = { atMs: performance.now(), reached: reached() };
    const before = this.#before;
    this.#before = now;
    const answer = await state.recent(RECENT_MS).catch(() => undefined);
    if (answer === undefined) return;
    const { info, askedMs } = answer;
    const received = [now, before].find(({ atMs }) => atMs <= askedMs)?.reached ?? 0;
    const why = judge(info, received);
    if (why !== undefined) reading.failed(why);
    else if (this.#told) reading.passed();
    this.#told = why !== undefined;
  }
}
