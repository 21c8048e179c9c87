/**
 * Makes the consumers of one reader, and says what it means when none can be made.
 *
 * Owns: what a consumer is configured with, the limits of the stream that it has to keep. Does not own: when one is
 * made, trying again.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamManager,
  type StreamInfo,
} from "@nats-io/jetstream";
import { nanos, nuid } from "@nats-io/transport-node";
import {
  DisconnectedError,
  describeError,
  EnvironmentError,
  MessageTooLargeError,
  PermissionDeniedError,
} from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isPassing, NatsLink } from "../connection/link.ts";
import { missingStream } from "./positions/stream-position.ts";
import { filterConfig } from "./subject-filter.ts";

const CONSUMER_INACTIVE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 2000;
/** A server that has just started may answer before it knows all of its streams. */
export const MISSING_STREAM_CONFIRMED_MS = 1000;
/** JetStream error codes. */
const CONSUMERS_LIMIT_REACHED = 10026;
const ACCOUNT_CONSUMERS_LIMIT_REACHED = 10002;
const STREAM_NOT_FOUND = 10059;

interface MakerOptions {
  readonly nats: NatsEnvironment;
  readonly stream: string;
  /** The job and its source, for messages. */
  readonly job: string;
  readonly operator: string;
  readonly filters: readonly string[];
}

interface MadeConsumer {
  readonly name: string;
  readonly consumer: ConsumerInfo;
  /** Asked for after the consumer was made. */
  readonly info: StreamInfo;
}

export class ConsumerMaker {
  readonly #options: MakerOptions;
  readonly #link: NatsLink;
  #manager: JetStreamManager | undefined;
  #inactiveMs = CONSUMER_INACTIVE_MS;

  constructor(options: MakerOptions) {
    this.#options = options;
    this.#link = NatsLink.of(options.nats.connection);
  }

  async open(): Promise<void> {
    this.#manager = await this.#options.nats.patientManager(REQUEST_TIMEOUT_MS);
  }

  /** Makes a consumer that begins after this sequence. @throws what the server answers, or that it does not */
  async make(after: number): Promise<MadeConsumer> {
    const { stream } = this.#options;
    const name = `tidemark_${nuid.next()}`;
    const consumer = await this.#call("make a consumer", (manager) =>
      manager.consumers.add(stream, this.#config(name, after)),
    );
    // Asked after the consumer was made: were the stream made anew in between, the consumer would be gone (P32).
    const info = await this.#call("read the stream's state", (manager) => manager.streams.info(stream)).catch(
      (error: unknown) => {
        void this.delete(name);
        throw error;
      },
    );
    return { name, consumer, info };
  }

  async info(name: string): Promise<ConsumerInfo> {
    return await this.#call("read a consumer's state", (manager) =>
      manager.consumers.info(this.#options.stream, name),
    );
  }

  /** Deletes a consumer. Never rejects: the server forgets it by itself after a while. */
  async delete(name: string): Promise<void> {
    await this.#call("delete a consumer", (manager) =>
      manager.consumers.delete(this.#options.stream, name),
    ).catch(() => undefined);
  }

  #config(name: string, after: number): Partial<ConsumerConfig> {
    const { filters } = this.#options;
    return {
      name,
      description: "tidemark source; reads ahead, positions are in the job's checkpoints",
      ack_policy: AckPolicy.None,
      ...(after === 0
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: after + 1 }),
      ...filterConfig(filters),
      inactive_threshold: nanos(this.#inactiveMs),
      mem_storage: true,
      num_replicas: 1,
    };
  }

  /** Why no consumer can ever be made; undefined: try again. `reached`: how far the stream was read. */
  async failureOf(error: unknown, missingMs: number, reached: number): Promise<Error | undefined> {
    const { stream, nats } = this.#options;
    if (isStreamNotFound(error)) {
      if (missingMs < MISSING_STREAM_CONFIRMED_MS) return undefined;
      return missingStream(this.#options, reached, error);
    }
    if (nats.connection.isClosed()) {
      return new DisconnectedError(`stream "${stream}": the NATS connection was closed`, { cause: error });
    }
    if (isPassing(error) || error instanceof PermissionDeniedError || error instanceof MessageTooLargeError)
      return undefined;
    if (error instanceof EnvironmentError) return error;
    if (!(error instanceof JetStreamApiError) || error.status !== 400 || isConsumersLimit(error))
      return undefined;
    if (await this.#learnLimits()) return undefined;
    return new EnvironmentError(
      `stream "${stream}": the server refuses a consumer: ${error.message}; see what it allows: ${shellCommand("nats", "stream", "info", stream)}`,
      { cause: error },
    );
  }

  /** true: the stream limits its consumers in a way that was not known. */
  async #learnLimits(): Promise<boolean> {
    const { stream } = this.#options;
    const info = await this.#call("read the stream's state", (manager) => manager.streams.info(stream)).catch(
      () => undefined,
    );
    const inactiveMs = Math.floor((info?.config.consumer_limits?.inactive_threshold ?? 0) / 1e6);
    if (inactiveMs <= 0 || inactiveMs >= this.#inactiveMs) return false;
    this.#inactiveMs = inactiveMs;
    return true;
  }

  reasonOf(error: unknown): unknown {
    if (!isConsumersLimit(error)) return error;
    const { stream } = this.#options;
    return (
      `${describeError(error)}: stream or account allows no further consumer, and each split needs one; ` +
      `delete one (${shellCommand("nats", "consumer", "rm", stream)}) or raise the limit (${shellCommand("nats", "stream", "info", stream)}, nats account info)`
    );
  }

  async #call<R>(what: string, send: (manager: JetStreamManager) => Promise<R>): Promise<R> {
    const manager = this.#manager as JetStreamManager;
    return await this.#link.call(`stream "${this.#options.stream}": ${what}`, () => send(manager));
  }
}

export function isStreamNotFound(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND;
}

function isConsumersLimit(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === CONSUMERS_LIMIT_REACHED || error.code === ACCOUNT_CONSUMERS_LIMIT_REACHED)
  );
}
