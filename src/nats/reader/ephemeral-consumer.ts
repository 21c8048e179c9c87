/**
 * The consumer by which a reader reads: an ephemeral pull consumer that is thrown away and made again at the first sign
 * of trouble, and begins after the last message that is not needed any more.
 *
 * Owns: the consumer, its inbox, its pulls. Does not own: whether it is silent for too long (signs-of-life.ts), what
 * its messages are worth (sequential-reader.ts), what is missing between them (gap-judge.ts).
 *
 * - EC1 What reaches the reader comes without a gap in the consumer's own numbers: a delivery sequence that does not go
 *   up by one throws the consumer away.
 * - EC2 Nothing that a consumer sent counts after it was thrown away: each has its own inbox, and so its own
 *   subscription id.
 * - EC3 The server sends only what was pulled (pull-window.ts). The limits of server and stream are read from what the
 *   server answers when a consumer is made, and kept.
 */
import type { ConsumerInfo, StreamInfo } from "@nats-io/jetstream";
import { createInbox, type Msg, nanos, type Subscription } from "@nats-io/transport-node";
import type { Logger } from "../../dataflow/connector.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { DisconnectedError, EnvironmentError } from "../../errors.ts";
import { pause } from "../../timer.ts";
import type { DivertedMessages } from "../connection/diverting-transport.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { inboxPrefixOf, NatsLink } from "../connection/link.ts";
import { ConsumerMaker, isStreamNotFound } from "./consumer-maker.ts";
import { Delivery, endsWithRandomToken } from "./delivery.ts";
import { PullWindow } from "./pull-window.ts";
import { RETRY_WAIT_FIRST_MS, RETRY_WAIT_MAX_MS, SignsOfLife, TICKS_PER_HEARTBEAT } from "./signs-of-life.ts";

export interface EphemeralConsumerOptions {
  readonly nats: NatsEnvironment;
  readonly logger: Logger;
  /** Told of consumers that cannot be made, and of those that bring nothing. */
  readonly reading: TroubleWatch;
  readonly stream: string;
  readonly job: string;
  readonly operator: string;
  readonly filters: readonly string[];
  readonly mode: "diverting" | "public";
  readonly recordsBufferedMax: number;
  readonly bytesBufferedMax: number;
  readonly heartbeatMs: number;
}

/** What the consumer needs of its reader, and tells it. */
export interface ConsumerReader {
  /** The consumer begins after this sequence. */
  readonly reached: number;
  readonly recordsBuffered: number;
  readonly bytesBuffered: number;
  /**
   * A consumer is there; `stream` was asked for after it was made. Reading begins unless the reader has released it.
   */
  onCreated(stream: StreamInfo, consumer: ConsumerInfo): void;
  /** The next message; positions in `bytes` as in `DivertedMessages`. */
  onDelivered(
    delivery: Delivery,
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    headerStart: number,
    dataStart: number,
    dataEnd: number,
  ): void;
  /** The next message, as the library has parsed it. */
  onDeliveredMessage(delivery: Delivery, message: Msg): void;
  onChunkEnd(): void;
  /** Nothing has come for a while, and the consumer has examined the stream up to this sequence. */
  onHeartbeat(examined: number): void;
  onFailed(error: Error): void;
}

/** creating: none is there, one is being made; reading: there is one; released: none is wanted any more. */
type ConsumerState = "creating" | "reading" | "released";

const PULL_EXPIRES_MS = 30_000;
/** A pull that lasts no longer is refused (consumer.processNextMsgRequest in server/consumer.go). */
const HEARTBEATS_PER_PULL_MIN = 2;
const CLOSE_WAIT_MS = 500;

export class EphemeralConsumer implements DivertedMessages {
  /** How often the consumer was made again. */
  recreations = 0;
  readonly #options: EphemeralConsumerOptions;
  readonly #reader: ConsumerReader;
  readonly #link: NatsLink;
  readonly #window: PullWindow;
  readonly #delivery = new Delivery();
  readonly #maker: ConsumerMaker;
  readonly #life: SignsOfLife;
  #state: ConsumerState = "creating";
  /** Counts consumers: what belongs to an older one is dropped (EC2). */
  #attempt = 0;
  #consumer: string | undefined;
  #subscription: Subscription | undefined;
  #inbox = "";
  #hasRandomToken: boolean | undefined;
  #watchdog: NodeJS.Timeout | undefined;
  #forgetLink: (() => void) | undefined;
  #forgetDenials: (() => void) | undefined;
  #closed = false;

  constructor(options: EphemeralConsumerOptions, reader: ConsumerReader) {
    this.#options = options;
    this.#reader = reader;
    this.#link = NatsLink.of(options.nats.connection);
    this.#maker = new ConsumerMaker(options);
    this.#life = new SignsOfLife(options.reading);
    this.#window = new PullWindow(options.recordsBufferedMax, options.bytesBufferedMax);
  }

  /** Resolves when the reader was told of the first consumer, or of a failure, however long the server is away. */
  async open(): Promise<void> {
    await this.#maker.open();
    this.#forgetDenials = this.#link.denials.onPublish(
      (subject) => subject.startsWith(this.#pullSubjects),
      (error) => this.#life.pullDenied(error),
    );
    this.#forgetLink = this.#link.onBack(() =>
      this.#recreate(this.#link.lossLately() || "the connection to NATS was made again"),
    );
    this.#watchdog = setInterval(() => this.#watch(), this.#options.heartbeatMs / TICKS_PER_HEARTBEAT);
    this.#watchdog.unref();
    await this.#create();
  }

  /** Throws the consumer away for good. The reader is told nothing more. */
  release(): void {
    if (this.#state === "released") return;
    this.#state = "released";
    clearInterval(this.#watchdog);
    this.#forgetLink?.();
    this.#forgetDenials?.();
    this.#options.reading.forget();
    this.#dropConsumer();
  }

  /** Frees the consumer on the server, if that is quickly possible; the server forgets it by itself after a minute. */
  async close(): Promise<void> {
    const consumer = this.#consumer;
    this.#closed = true;
    this.release();
    if (consumer === undefined) return;
    const wait = new AbortController();
    await Promise.race([this.#maker.delete(consumer), pause(CLOSE_WAIT_MS, wait.signal)]);
    wait.abort();
  }

  /** How many messages are left, by what the consumer says now; undefined: it does not say, or is behind. */
  async pending(): Promise<number | undefined> {
    const attempt = this.#attempt;
    const consumer = this.#consumer;
    if (consumer === undefined) return undefined;
    const info = await this.#maker.info(consumer);
    const upToDate = attempt === this.#attempt && info.delivered.consumer_seq === this.#window.delivered;
    return upToDate ? info.num_pending : undefined;
  }

  pullIfRoom(): void {
    if (this.#state !== "reading") return;
    const { connection } = this.#options.nats;
    const share = this.#link.silentLosses.shareOfPulls();
    const pull = this.#window.next(this.#reader.recordsBuffered, this.#reader.bytesBuffered, share);
    if (pull === undefined || connection.isClosed()) return;
    const subject = `${this.#pullSubjects}${this.#consumer}`;
    const request = {
      batch: pull.records,
      max_bytes: pull.bytes,
      expires: nanos(Math.max(PULL_EXPIRES_MS, HEARTBEATS_PER_PULL_MIN * this.#options.heartbeatMs)),
      idle_heartbeat: nanos(this.#options.heartbeatMs),
    };
    connection.publish(subject, JSON.stringify(request), { reply: this.#inbox });
  }

  // Messages

  onMessage(
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    replyStart: number,
    replyEnd: number,
    headerStart: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    this.#hasRandomToken ??= endsWithRandomToken(bytes, replyStart, replyEnd);
    this.#delivery.read(bytes, replyStart, replyEnd, this.#hasRandomToken);
    if (!this.#isNext()) return;
    this.#reader.onDelivered(
      this.#delivery,
      bytes,
      subjectStart,
      subjectEnd,
      headerStart,
      dataStart,
      dataEnd,
    );
  }

  onChunkEnd(): void {
    this.pullIfRoom();
    this.#reader.onChunkEnd();
  }

  /** A message that the library has parsed: a status message, or anything in the public mode. */
  #onLibraryMessage(message: Msg): void {
    const reply = message.reply;
    if (reply === undefined || reply === "") {
      this.#onStatus(message);
      return;
    }
    if (this.#hasRandomToken === undefined) {
      const bytes = Buffer.from(reply, "latin1");
      this.#hasRandomToken = endsWithRandomToken(bytes, 0, bytes.length);
    }
    this.#delivery.readText(reply, this.#hasRandomToken);
    if (!this.#isNext()) return;
    this.#reader.onDeliveredMessage(this.#delivery, message);
    this.onChunkEnd();
  }

  /** Whether the delivery at hand is passed on to the reader (EC1). */
  #isNext(): boolean {
    this.#life.shown();
    if (this.#state !== "reading") return false;
    if (this.#delivery.deliverySequence !== this.#window.delivered + 1) {
      this.#recreate("messages were lost on the way");
      return false;
    }
    this.#window.arrived();
    return true;
  }

  // Status messages

  #onStatus(message: Msg): void {
    this.#life.heard();
    if (this.#state !== "reading") return;
    const headers = message.headers;
    const code = headers?.code ?? 0;
    if (headers === undefined || code === 0) return;
    if (code === 100) {
      this.#life.shown();
      this.#onHeartbeat(Number(headers.get("Nats-Last-Consumer")), Number(headers.get("Nats-Last-Stream")));
      return;
    }
    const { description } = headers;
    const batchMax = /Exceeded MaxRequestBatch of (\d+)/i.exec(description)?.[1];
    if (batchMax !== undefined) this.#window.limit(Number(batchMax));
    // The end of a pull says how much of it is left; where it does not, the consumer itself has a problem.
    const left = headers.get("Nats-Pending-Messages");
    if (code === 503 || left === "") {
      this.#recreate(`the server answered ${code} ${description}`);
      return;
    }
    this.#window.ended(Number(left), code === 409 && /maxbytes/i.test(description));
    this.pullIfRoom();
  }

  /** The server has sent nothing for a while. `delivered`: the consumer's count; `examined`: how far it has looked. */
  #onHeartbeat(delivered: number, examined: number): void {
    if (delivered > this.#window.delivered) {
      this.#recreate("messages were lost on the way");
      return;
    }
    // An older heartbeat that was overtaken by messages says nothing.
    if (delivered === this.#window.delivered) this.#reader.onHeartbeat(examined);
  }

  // Its life

  #watch(): void {
    if (this.#options.nats.connection.isClosed()) {
      this.#fail(new DisconnectedError(`stream "${this.#options.stream}": the NATS connection was closed`));
      return;
    }
    const isAsked = this.#state === "reading" && this.#window.open && this.#link.connectedForMs() > 0;
    if (this.#life.isGone(isAsked)) this.#recreate("the consumer is silent");
  }

  /** The part of the subject before the name of a consumer. */
  get #pullSubjects(): string {
    return `${this.#options.nats.apiPrefix}.CONSUMER.MSG.NEXT.${this.#options.stream}.`;
  }

  #recreate(why: string): void {
    if (this.#state === "released") return;
    this.recreations++;
    const { logger, stream } = this.#options;
    logger.debug({ stream, sequence: this.#reader.reached, why }, "the reader's consumer is made again");
    this.#life.lost(why);
    void this.#create();
  }

  /** Ends as soon as a newer call has taken over. */
  async #create(): Promise<void> {
    this.#dropConsumer();
    this.#state = "creating";
    const attempt = this.#attempt;
    let missingSince: number | undefined;
    const restMs = this.#life.restMs;
    if (restMs > 0) await pause(restMs);
    if (attempt !== this.#attempt) return;
    for (let waitMs = RETRY_WAIT_FIRST_MS; ; waitMs = Math.min(2 * waitMs, RETRY_WAIT_MAX_MS)) {
      try {
        await this.#createOnce(attempt);
        return;
      } catch (error) {
        if (attempt !== this.#attempt) return;
        const now = performance.now();
        if (isStreamNotFound(error)) missingSince ??= now;
        else missingSince = undefined;
        const failure = await this.#maker.failureOf(
          error,
          missingSince !== undefined ? now - missingSince : 0,
          this.#reader.reached,
        );
        if (attempt !== this.#attempt) return;
        if (failure !== undefined) {
          this.#fail(failure);
          return;
        }
        this.#options.reading.failed(this.#maker.reasonOf(error));
        await pause(waitMs);
        if (attempt !== this.#attempt) return;
      }
    }
  }

  async #createOnce(attempt: number): Promise<void> {
    const { stream, nats, mode } = this.#options;
    const { name, consumer, info } = await this.#maker.make(this.#reader.reached);
    if (attempt !== this.#attempt) {
      void this.#maker.delete(name);
      return;
    }
    this.#consumer = name;
    // The limit of the server, where it has one.
    this.#window.limit(consumer.config.max_batch ?? 0);
    this.#reader.onCreated(info, consumer);
    if (attempt !== this.#attempt) return;
    this.#inbox = createInbox(inboxPrefixOf(nats.connection));
    const subscription = nats.connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (attempt !== this.#attempt) return;
        if (error) this.#fail(new EnvironmentError(`stream "${stream}": ${error.message}`, { cause: error }));
        else this.#onLibraryMessage(message);
      },
    });
    this.#subscription = subscription;
    if (mode !== "public") nats.diverter?.divert(subscription.getID(), this);
    this.#state = "reading";
    this.pullIfRoom();
  }

  #fail(error: Error): void {
    if (this.#state === "released") return;
    this.release();
    this.#reader.onFailed(error);
  }

  /** Nothing counts any more that comes from the consumer at hand (EC2). */
  #dropConsumer(): void {
    this.#attempt++;
    if (this.#subscription !== undefined) {
      this.#options.nats.diverter?.release(this.#subscription.getID());
      if (!this.#options.nats.connection.isClosed()) this.#subscription.unsubscribe();
      this.#subscription = undefined;
    }
    if (this.#consumer !== undefined && !this.#closed) void this.#maker.delete(this.#consumer);
    this.#consumer = undefined;
    this.#hasRandomToken = undefined;
    this.#window.reset();
    this.#life.begins();
  }
}
