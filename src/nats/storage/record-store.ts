/**
 * Durable records in a KV bucket (P7, P8, P11). Any NATS tool reads it as a KV bucket; a revision is the sequence
 * number in the stream below it.
 *
 * - RS1 Every read goes to the leader (STREAM.MSG.GET, never direct get), whatever the bucket allows.
 * - RS2 `refused` is said only after the leader has named another revision. In a cluster a write can also be refused
 *   because an earlier one, perhaps our own, is still under way: that is an unknown outcome.
 * - RS3 A delete marker is an absent record, and it has a revision: a create takes its place by comparing with it.
 */
import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import {
  DisconnectedError,
  describeError,
  InvariantError,
  invariant,
  MessageTooLargeError,
  NoRespondersError,
  RecordsUnavailableError,
  RequestTimeoutError,
  TidemarkError,
  UnknownOutcomeError,
} from "../../errors.ts";
import type { CompareAndSet, RecordStore, StoredRecord } from "../../runtime/record-store.ts";
import { shellCommand } from "../../shell-command.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { inOneSentence, lacksRoom, refusalCode } from "../connection/jetstream-refusal.ts";
import { isPassing, NatsLink } from "../connection/link.ts";
import { natsCommand } from "../connection/nats-command.ts";
import {
  type BucketSettings,
  type BucketShape,
  bucketCreation,
  diagnoseBucket,
  hasBucket,
  hasCode,
  openBucket,
} from "./bucket.ts";

export type NatsRecordStoreOptions = Omit<BucketSettings, "maxBytes">;

/** Short, because an answer that an election has swallowed never comes and the question may be asked again. */
const answerTimeoutMs = 2_000;
/** The most bytes of the headers of a compare-and-set. */
const HEADER_BYTES_MAX = 128;
/** Ample for the records of all jobs: each has one, mostly of a few KiB. */
const maxBytesIfRequired = 32 * 1024 * 1024;
/** A bucket that takes smaller messages only does not even take the record of a small job. */
const recordBytesMin = 4096;
/** JetStream error codes. */
const FULL = 10077;
const MESSAGE_TOO_LARGE = 10054;
const legalKey = /^[-/=\w]+(\.[-/=\w]+)*$/;

/** @throws EnvironmentError when JetStream is not there or the bucket cannot be trusted with records */
export async function openNatsRecordStore(
  environment: NatsEnvironment,
  options: NatsRecordStoreOptions,
): Promise<NatsRecordStore> {
  const { bucket } = options;
  const manager = await managerOf(environment);
  await openBucket(environment, manager, options, shapeOf(bucket));
  return new NatsRecordStore(environment, manager, bucket);
}

function shapeOf(bucket: string): BucketShape {
  return {
    what: `KV bucket ${bucket}`,
    stream: { name: streamOf(bucket), subjects: [`$KV.${bucket}.>`], max_msgs_per_subject: 1 },
    maxBytesIfRequired,
    addCommand: shellCommand("nats", "kv", "add", bucket, "--max-bucket-size=…"),
    purges: false,
    messageBytesMax: recordBytesMin,
  };
}

/** The store for a reader, which makes and changes nothing; undefined when there is no such bucket. */
export async function findNatsRecordStore(
  environment: NatsEnvironment,
  bucket: string,
): Promise<NatsRecordStore | undefined> {
  const manager = await managerOf(environment);
  const link = NatsLink.of(environment.connection);
  const found = await hasBucket(link, manager, `KV bucket ${bucket}`, streamOf(bucket));
  return found ? new NatsRecordStore(environment, manager, bucket) : undefined;
}

/** What tells the bucket from all others of its name; undefined: there is none. @throws what `NatsLink.call` throws */
export async function recordStoreIdentity(
  environment: NatsEnvironment,
  bucket: string,
): Promise<string | undefined> {
  return await bucketCreation(environment, await managerOf(environment), streamOf(bucket));
}

function managerOf(environment: NatsEnvironment): Promise<JetStreamManager> {
  return environment.patientManager(answerTimeoutMs);
}

const streamOf = (bucket: string): string => `KV_${bucket}`;

export class NatsRecordStore implements RecordStore {
  readonly #environment: NatsEnvironment;
  readonly #link: NatsLink;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly bucket: string;
  readonly #stream: string;
  readonly #subjectPrefix: string;

  constructor(environment: NatsEnvironment, manager: JetStreamManager, bucket: string) {
    this.#environment = environment;
    this.#link = NatsLink.of(environment.connection);
    this.#client = environment.client(answerTimeoutMs);
    this.#manager = manager;
    this.bucket = bucket;
    this.#stream = streamOf(bucket);
    this.#subjectPrefix = `$KV.${bucket}.`;
  }

  async read(key: string): Promise<StoredRecord | undefined> {
    const message = await this.#last(key);
    return message === undefined || isDeleteMarker(message)
      ? undefined
      : { value: message.data, revision: message.seq };
  }

  async compareAndSet(key: string, value: Uint8Array, expectedRevision: number): Promise<CompareAndSet> {
    const first = await this.#write(key, value, expectedRevision);
    if (first.outcome === "stored") return first;
    const present = await this.#last(key).catch((error: unknown) => {
      if (!isPassing(error)) throw error;
      throw new UnknownOutcomeError(`${this.#named(key)}: refused, but by which revision is unknown`, {
        cause: error,
      });
    });
    const revision = present?.seq ?? 0;
    if (revision === expectedRevision) {
      throw new UnknownOutcomeError(
        `${this.#named(key)}: an earlier write at revision ${revision} is under way`,
      );
    }
    const replacesMarker = expectedRevision === 0 && present !== undefined && isDeleteMarker(present);
    return replacesMarker ? await this.#write(key, value, revision) : { outcome: "refused" };
  }

  async keys(prefix: string): Promise<string[]> {
    const what = `keys of KV bucket ${this.bucket}`;
    // The server filters by whole tokens, the rest of the prefix is ours to compare.
    const tokens = prefix.slice(0, prefix.lastIndexOf(".") + 1);
    const info = await this.#ask(what, () =>
      this.#manager.streams.info(this.#stream, { subjects_filter: `${this.#subjectPrefix}${tokens}>` }),
    );
    const keys = Object.keys(info.state.subjects ?? {})
      .map((subject) => subject.slice(this.#subjectPrefix.length))
      // What another program has put there under a key that none of ours can have is no record.
      .filter((key) => key.startsWith(prefix) && legalKey.test(key));
    const records = await Promise.all(keys.map((key) => this.read(key)));
    return keys.filter((_, index) => records[index] !== undefined).sort();
  }

  async #write(key: string, value: Uint8Array, expectedRevision: number): Promise<CompareAndSet> {
    const what = this.#named(key);
    try {
      const ack = await this.#link.call(what, () =>
        this.#client.publish(this.#environment.publishSubject(this.#subject(key)), value, {
          expect: { lastSubjectSequence: expectedRevision },
        }),
      );
      return { outcome: "stored", revision: ack.seq };
    } catch (error) {
      if (hasCode(error, JetStreamApiCodes.StreamWrongLastSequence)) return { outcome: "refused" };
      const { said, cause } = await this.#refusal(what, error);
      // The server's own failures (5xx: a full disk, an election) do not say how far the write came.
      const serverFailed = error instanceof JetStreamApiError && error.status >= 500;
      if (isPassing(error) || serverFailed || lacksRoom(error))
        throw new UnknownOutcomeError(said, { cause });
      if (error instanceof MessageTooLargeError) {
        throw new RecordsUnavailableError(
          `${what} has ${value.length} bytes, and ${this.#link.payload.inWords(value.length + HEADER_BYTES_MAX)}`,
          { cause: error },
        );
      }
      if (error instanceof TidemarkError) throw error;
      if (isRefusal(error)) throw new RecordsUnavailableError(said, { cause });
      throw new InvariantError(`${what}, ${value.length} bytes: ${describeError(error)}`, { cause: error });
    }
  }

  /** The last message of a key, delete markers included. */
  async #last(key: string): Promise<StoredMsg | undefined> {
    const query = { last_by_subj: this.#subject(key) };
    return (
      (await this.#ask(this.#named(key), () => this.#manager.streams.getMessage(this.#stream, query))) ??
      undefined
    );
  }

  async #ask<T>(what: string, send: () => Promise<T>): Promise<T> {
    try {
      return await this.#link.call(what, send);
    } catch (error) {
      if (isRefusal(error) && !isPassing(error)) {
        const { said, cause } = await this.#refusal(what, error);
        throw new RecordsUnavailableError(said, { cause });
      }
      if (!isPassing(error) || error instanceof DisconnectedError) throw error;
      throw new RequestTimeoutError(describeError(error), { cause: error });
    }
  }

  /**
   * The refusal in words: what a user has changed, if the settings of the bucket tell it, which needs no cause; else
   * what was answered.
   */
  async #refusal(what: string, error: unknown): Promise<{ said: string; cause?: unknown }> {
    const mayBeSettings =
      isRefusal(error) || error instanceof NoRespondersError || error instanceof RequestTimeoutError;
    const shape = shapeOf(this.bucket);
    const changed = mayBeSettings ? await diagnoseBucket(this.#environment, this.#manager, shape) : undefined;
    if (changed !== undefined) return { said: `${what}: ${changed}` };
    const edit = (flag: string) =>
      natsCommand(this.#environment, "stream", "edit", this.#stream, flag, "--force");
    const room = /messages/.test(describeError(error)) ? "--max-msgs=-1" : "--max-bytes=-1";
    const advice = {
      [FULL]: `the bucket is full, raise its limit: ${edit(room)}`,
      [MESSAGE_TOO_LARGE]: `raise the limit of the bucket: ${edit("--max-msg-size=-1")}`,
    };
    return { said: describeError(inOneSentence(what, error, advice)), cause: error };
  }

  #subject(key: string): string {
    invariant(legalKey.test(key), `"${key}" is no key of a record`);
    return this.#subjectPrefix + key;
  }

  #named(key: string): string {
    return `record "${key}" of KV bucket ${this.bucket}`;
  }
}

/** JetStream, or its account, has answered that it does not do it. */
function isRefusal(error: unknown): boolean {
  return refusalCode(error) !== undefined;
}

function isDeleteMarker(message: StoredMsg): boolean {
  const { header } = message;
  return header.get("KV-Operation") !== "" || header.get("Nats-Marker-Reason") !== "";
}
