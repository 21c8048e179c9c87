/**
 * Shows in stock NATS tools how far a job has come: a durable consumer that no client pulls from. It is moved after a
 * completed checkpoint, so `nats consumer info` tells the lag, and an interest stream frees what was read.
 *
 * Positions in checkpoints are what counts; this is display. Moving it is best effort: rate limited, never throws, and
 * what is missed comes with the next checkpoint. Only `ensure` on an interest stream matters, because there the
 * consumer holds the messages until they are read: it is made before reading begins, and is deleted only by the leader
 * or `tidemark dispose`, once the job has ended for good.
 *
 * A consumer says in its description whose progress it shows. One of the same name that says something else belongs to
 * another owner: it is neither moved nor changed nor deleted.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamManager,
  type RetentionPolicy,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import type { Logger } from "../../dataflow/connector.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { describeError, EnvironmentError } from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { NatsLink } from "../connection/link.ts";
import { isAtLeast } from "../server/server-version.ts";
import { filterConfig } from "./subject-filter.ts";

interface ProgressOptions {
  readonly nats: NatsEnvironment;
  readonly logger: Logger;
  /** Name of the job whose progress it is. */
  readonly job: string;
  readonly stream: string;
  readonly retention: RetentionPolicy;
  /** Name of the durable consumer. */
  readonly name: string;
  readonly filters: readonly string[];
  /** The consumer is moved at most once in so many milliseconds. Default 1000. */
  readonly intervalMs?: number;
}

/** Servers from here on can move a consumer; on older ones it is deleted and made anew. */
export const CONSUMER_RESET_SINCE = "2.14.0";

const INTERVAL_MS = 1000;
const CLOSE_WAIT_MS = 500;
const ACK_WAIT_MS = 7 * 24 * 3600 * 1000;
/** JetStream error codes. */
const CONSUMER_NOT_FOUND = 10014;
const STREAM_NOT_FOUND = 10059;
const CONSUMER_EXISTS = 10148;
/**
 * A key of the consumer's metadata: it was made when the stream had come to this sequence, after its job had begun to
 * read.
 */
const UNHELD = "tidemark-unheld";

export class ProgressConsumer {
  readonly #options: ProgressOptions;
  readonly #link: NatsLink;
  /** Everything up to it is in a completed checkpoint. */
  #wanted: number | undefined;
  #shown: number | undefined;
  #moving: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the consumer was there when last seen: a user may delete it. */
  #isThere = false;
  #closed = false;
  #warned = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
    this.#link = NatsLink.of(options.nats.connection);
  }

  /**
   * Makes the consumer if it is not there.
   * @param isResumed whether the job has read before: then what an interest stream has dropped meanwhile may have been
   * input
   * @returns up to which sequence that is so; 0: the consumer has been there since the job began
   * @throws EnvironmentError when it belongs to another owner; what the server answers
   */
  async ensure(isResumed: boolean): Promise<number> {
    const { stream, name, filters, retention } = this.#options;
    const unheld =
      isResumed && retention === "interest"
        ? (await this.#call((manager) => manager.streams.info(stream))).state.last_seq
        : 0;
    const held = retention === "interest" ? { metadata: { [UNHELD]: String(unheld) } } : {};
    try {
      await this.#call((manager) =>
        manager.consumers.add(stream, this.#config({ durable_name: name, ...held })),
      );
      this.#isThere = true;
      return unheld;
    } catch (error) {
      if (!isApiError(error, CONSUMER_EXISTS)) throw error;
    }
    const found = await this.#assertOwn();
    // An earlier version of the job has made it, with other subjects.
    const none = { filter_subject: undefined, filter_subjects: undefined } as unknown as ConsumerConfig;
    const subjects = { ...none, ...filterConfig(filters) };
    await this.#call((manager) => manager.consumers.update(stream, name, subjects));
    this.#isThere = true;
    return Number(found?.config.metadata?.[UNHELD] ?? 0);
  }

  /** A completed checkpoint holds everything up to `sequence`. Returns at once. */
  completed(sequence: number): void {
    this.#wanted = sequence;
    if (this.#closed || this.#timer !== undefined || this.#moving !== undefined) return;
    this.#move();
  }

  /** Shows the last completed checkpoint, if that is quickly possible. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const last = (this.#moving ?? Promise.resolve()).then(() => this.#show());
    let timer: NodeJS.Timeout | undefined;
    const wait = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_WAIT_MS);
    });
    await Promise.race([last, wait]);
    clearTimeout(timer);
  }

  #move(): void {
    this.#moving = this.#show().finally(() => {
      this.#moving = undefined;
      if (this.#closed) return;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        if (this.#wanted !== this.#shown) this.#move();
      }, this.#options.intervalMs ?? INTERVAL_MS);
      this.#timer.unref();
    });
  }

  /** Never rejects. */
  async #show(): Promise<void> {
    const sequence = this.#wanted;
    if (sequence === undefined || sequence === this.#shown) return;
    try {
      if (isAtLeast(this.#options.nats.serverVersion, CONSUMER_RESET_SINCE)) await this.#reset(sequence + 1);
      else await this.#makeAnew(sequence + 1);
      this.#shown = sequence;
    } catch (error) {
      const fields = {
        stream: this.#options.stream,
        consumer: this.#options.name,
        error: describeError(error),
      };
      if (this.#warned) this.#options.logger.debug(fields, "the progress consumer was not moved");
      else this.#options.logger.warn(fields, "the progress consumer was not moved; lag is not shown");
      this.#warned = true;
    }
  }

  async #reset(nextSequence: number): Promise<void> {
    const { stream, name } = this.#options;
    // The server does not answer at all when the consumer to move is not there.
    if (!this.#isThere) await this.ensure(true);
    this.#isThere = false;
    await this.#call((manager) => manager.consumers.reset(stream, name, nextSequence));
    this.#isThere = true;
  }

  async #makeAnew(nextSequence: number): Promise<void> {
    const { stream, name, retention } = this.#options;
    // Elsewhere messages go away with the consumer.
    if (retention !== "limits") return;
    await this.#assertOwn();
    await this.#call((manager) => manager.consumers.delete(stream, name)).catch((error: unknown) => {
      if (!isApiError(error, CONSUMER_NOT_FOUND)) throw error;
    });
    const start = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: nextSequence };
    await this.#call((manager) =>
      manager.consumers.add(stream, this.#config({ durable_name: name, ...start })),
    );
  }

  /** The consumer; undefined: it is not there. @throws EnvironmentError when it belongs to another owner */
  async #assertOwn(): Promise<ConsumerInfo | undefined> {
    const { job, stream, name } = this.#options;
    const found = await this.#call((manager) => manager.consumers.info(stream, name)).catch(
      (error: unknown) => {
        if (!isApiError(error, CONSUMER_NOT_FOUND)) throw error;
        return undefined;
      },
    );
    if (found !== undefined) assertOwn(found, job, stream);
    return found;
  }

  /** The configuration; it starts at the beginning, because a consumer cannot be moved to before its start. */
  #config(more: Partial<ConsumerConfig>): Partial<ConsumerConfig> {
    const { filters, job } = this.#options;
    return {
      description: descriptionOf(job),
      ack_policy: AckPolicy.All,
      ack_wait: nanos(ACK_WAIT_MS),
      max_ack_pending: -1,
      max_deliver: -1,
      deliver_policy: DeliverPolicy.All,
      ...filterConfig(filters),
      ...more,
    };
  }

  async #call<R>(send: (manager: JetStreamManager) => Promise<R>): Promise<R> {
    const { nats, stream, name } = this.#options;
    const manager = await nats.manager();
    return await this.#link.call(`stream "${stream}": progress consumer "${name}"`, () => send(manager));
  }
}

/** A legal consumer name for one split of one source; different splits get different names. */
export function progressName(parts: readonly string[]): string {
  const text = parts.join("-");
  const legal = text.replace(/[^A-Za-z0-9_-]+/g, "_").slice(0, 200);
  return legal === text ? legal : `${legal}-${fingerprint(text)}`;
}

const descriptionOf = (job: string): string => `progress of tidemark job ${job}; do not pull from it`;

function assertOwn({ name, config }: ConsumerInfo, job: string, stream: string): void {
  if (config.description === descriptionOf(job)) return;
  throw new EnvironmentError(
    `consumer "${name}" of stream "${stream}" was not made to show the progress of job ${job}, so it is left alone: give the source ` +
      `another name in "progress", or delete the consumer: ${shellCommand("nats", "consumer", "rm", stream, name)}`,
  );
}

/**
 * Checks that the name of a consumer is free, before it is to show the progress of `job`.
 * @throws EnvironmentError when there is one of this name that belongs to another owner
 */
export async function assertFree(
  nats: NatsEnvironment,
  job: string,
  { stream, name }: ProgressOf,
): Promise<void> {
  const manager = await nats.manager();
  const found = await unlessMissing(manager.consumers.info(stream, name));
  if (found !== undefined) assertOwn(found, job, stream);
}

/** A consumer that shows the progress of a job. */
export interface ProgressOf {
  readonly stream: string;
  readonly name: string;
}

/** What a job's record says of its input. */
interface RecordedInput {
  readonly job: string;
  readonly splits: { readonly [source: string]: readonly object[] };
}

/**
 * The progress consumers of a job's sources, as far as its record names their streams; whether they are there or not.
 */
function progressOf({ job, splits }: RecordedInput): ProgressOf[] {
  return Object.entries(splits).flatMap(([source, some]) =>
    some.flatMap((split) => {
      const { id, stream, progressConsumer } = split as SourceSplit;
      if (typeof stream !== "string") return [];
      return [{ stream, name: progressConsumer ?? progressName(["tidemark", job, source, id]) }];
    }),
  );
}

/**
 * Those of them that are there, and say that they are the job's.
 * @param successor the next run of the job: its consumers are left out
 */
export async function findProgress(
  nats: NatsEnvironment,
  record: RecordedInput,
  successor?: RecordedInput,
): Promise<ProgressOf[]> {
  const kept = new Set((successor === undefined ? [] : progressOf(successor)).map(keyOf));
  const manager = await nats.manager();
  const found: ProgressOf[] = [];
  for (const { stream, name } of progressOf(record)) {
    if (kept.has(keyOf({ stream, name }))) continue;
    const info = await unlessMissing(manager.consumers.info(stream, name));
    if (info?.config.description === descriptionOf(record.job)) found.push({ stream, name });
  }
  return found;
}

const keyOf = ({ stream, name }: ProgressOf): string => `${stream} ${name}`;

export async function deleteProgress(nats: NatsEnvironment, { stream, name }: ProgressOf): Promise<void> {
  const manager = await nats.manager();
  await unlessMissing(manager.consumers.delete(stream, name));
}

/** Deletes what `findProgress` finds. Once `signal` is aborted nothing more is deleted: the job may begin again. */
export async function releaseProgress(
  nats: NatsEnvironment,
  record: RecordedInput,
  signal: AbortSignal,
  successor?: RecordedInput,
): Promise<void> {
  for (const consumer of await findProgress(nats, record, successor))
    if (!signal.aborted) await deleteProgress(nats, consumer);
}

/** undefined: there is no such consumer, or no such stream. */
async function unlessMissing<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (isApiError(error, CONSUMER_NOT_FOUND) || isApiError(error, STREAM_NOT_FOUND)) return undefined;
    throw new EnvironmentError(
      `a progress consumer cannot be looked up or deleted: ${describeError(error)}`,
      {
        cause: error,
      },
    );
  }
}

function fingerprint(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(36);
}

function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
