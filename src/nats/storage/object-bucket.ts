/**
 * One object store bucket, message by message: its subjects, what its leader knows of them, and what a failure means.
 *
 * Owns: the layout of the stream, reads by the leader, the repetition of what fails, the words for what does not work.
 * Does not own: the order in which an object is written (object-writer.ts), its content (object-reader.ts), the stream
 * itself (bucket.ts).
 *
 * - OB1 Missing is what the leader says (P20): the info message by STREAM.MSG.GET, chunks by STREAM.INFO. A consumer
 *   that delivers nothing proves nothing, in a cluster it may live on a replica that lags behind.
 * - OB2 An attempt that makes no progress for `stallTimeoutMs` ends as StorageStalledError, and one that the server
 *   refuses as StorageRefusedError, with the settings that have changed or the limit to raise.
 */
import { setTimeout as sleep } from "node:timers/promises";
import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import {
  describeReason,
  NoRespondersError,
  PermissionDeniedError,
  StorageRefusedError,
  StorageStalledError,
} from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isPassing, NatsLink } from "../connection/link.ts";
import { PAYLOAD_BYTES_MIN } from "../limits/payload-limit.ts";
import { type BucketShape, diagnoseBucket, hasCode, moreRoom, objectStoreShape } from "./bucket.ts";
import { parseInfo, type StoredInfo } from "./object-info.ts";
import { tokenOf } from "./object-names.ts";

const CHUNK_BYTES_MAX = 512 * 1024;
/** The client adds an empty header to each chunk, which counts as payload. */
const HEADER_BYTES_MAX = 1024;
/** JetStream's error code for a write that the store did not take; above all, because the bucket is full. */
const STORE_FAILED = 10077;
const RETRY_AFTER_MS = 100;

export function bucketShape(environment: NatsEnvironment, bucket: string): BucketShape {
  return objectStoreShape(describeBucket(bucket), bucket, chunkBytesOf(environment) + HEADER_BYTES_MAX);
}

/** `description` of the storage in this bucket. */
export function describeBucket(bucket: string): string {
  return `object store bucket ${bucket}`;
}

export class ObjectBucket {
  readonly name: string;
  readonly description: string;
  /** Name of the stream below the bucket. */
  readonly stream: string;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly stallTimeoutMs: number;
  readonly #environment: NatsEnvironment;
  readonly #link: NatsLink;

  constructor(environment: NatsEnvironment, manager: JetStreamManager, name: string, stallTimeoutMs: number) {
    this.name = name;
    this.description = describeBucket(name);
    this.stream = `OBJ_${name}`;
    this.client = environment.client(stallTimeoutMs);
    this.manager = manager;
    this.stallTimeoutMs = stallTimeoutMs;
    this.#environment = environment;
    this.#link = NatsLink.of(environment.connection);
  }

  /** What a chunk may hold now: the payload limit of the server can change with a reconnect. */
  get chunkBytesMax(): number {
    return chunkBytesOf(this.#environment);
  }

  /** How much of the usual a pull may bring (P65). */
  get shareOfPulls(): number {
    return this.#link.silentLosses.shareOfPulls();
  }

  chunkSubject(id: string): string {
    return `$O.${this.name}.C.${id}`;
  }

  infoSubject(name: string): string {
    return `$O.${this.name}.M.${tokenOf(name)}`;
  }

  async readInfo(name: string): Promise<StoredInfo | undefined> {
    const message = await this.#lastMessage(this.infoSubject(name));
    return message === undefined ? undefined : parseInfo(name, message.data, message.seq);
  }

  async #lastMessage(subject: string): Promise<StoredMsg | undefined> {
    const query = { last_by_subj: subject };
    return (await this.#ifThere(() => this.manager.streams.getMessage(this.stream, query))) ?? undefined;
  }

  /** Subjects that hold messages, with their number, as the leader knows them. */
  async subjects(filter: string): Promise<Map<string, number>> {
    const info = await this.#ifThere(() =>
      this.manager.streams.info(this.stream, { subjects_filter: filter }),
    );
    return new Map(Object.entries(info?.state.subjects ?? {}));
  }

  async purge(subject: string): Promise<void> {
    await this.call(() => this.manager.streams.purge(this.stream, { filter: subject }));
  }

  call<T>(send: () => Promise<T>): Promise<T> {
    return this.#link.call("JetStream", send);
  }

  /** What `ask` answers; undefined when the bucket itself is gone: there is nothing in it. */
  async #ifThere<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.call(ask);
    } catch (error) {
      if (hasCode(error, JetStreamApiCodes.StreamNotFound)) return undefined;
      throw error;
    }
  }

  /** Repeats what failed for a passing reason until it works or has failed for `stallTimeoutMs` (OB2). */
  async untilStalled<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.stallTimeoutMs;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const passing = isPassing(error) || error instanceof StorageStalledError;
        const left = deadline - performance.now();
        if (!passing || left <= 0) throw await this.failure(what, error);
        await this.#link.untilUp(left);
        await sleep(Math.min(RETRY_AFTER_MS, left));
      }
    }
  }

  async failure(what: string, error: unknown): Promise<unknown> {
    // A permission is given for the bucket, never for the name of one object.
    if (error instanceof PermissionDeniedError && error.subject.startsWith(`$O.${this.name}.`))
      return new PermissionDeniedError("publish", `$O.${this.name}.>`, { cause: error, what });
    const refused = error instanceof JetStreamApiError && !isPassing(error);
    if (!refused && !isPassing(error)) return error;
    const shape = bucketShape(this.#environment, this.name);
    const changed = await diagnoseBucket(this.#environment, this.manager, shape);
    if (refused) {
      const reason = changed ?? `the server says "${error.message}"${this.#advice(error)}`;
      return new StorageRefusedError(`${what}: ${reason}`, { cause: error, reason });
    }
    const absent =
      error instanceof NoRespondersError
        ? "no server takes it: JetStream is not available"
        : describeReason(error);
    return stalled(what, changed ?? absent, error);
  }

  #advice(error: JetStreamApiError): string {
    if (!hasCode(error, STORE_FAILED)) return "";
    return `; raise its limit (${moreRoom(this.#environment, this.stream, error)}) or keep fewer checkpoints`;
  }
}

export function stalled(what: string, reason: string, cause?: unknown): StorageStalledError {
  return new StorageStalledError(`${what}: ${reason}`, { cause, reason });
}

function chunkBytesOf({ connection }: NatsEnvironment): number {
  const { bytesMax } = NatsLink.of(connection).payload;
  return Math.min(CHUNK_BYTES_MAX, Math.max(bytesMax, PAYLOAD_BYTES_MIN) - HEADER_BYTES_MAX);
}
