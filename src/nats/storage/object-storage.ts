/**
 * Checkpoint storage in a JetStream object store bucket.
 *
 * The layout is the object store's own, so that every NATS tool can list and read what is here: chunks on
 * `$O.<bucket>.C.<nuid>`, then one info message on `$O.<bucket>.M.<name in base64url>`. Reading and writing are ours:
 * the client library waits for each chunk, cannot be aborted, and its get waits for ever when chunks are missing.
 * Our nuids begin with the name, `<name in base64url>.<random>`, so that chunks tell whose they are.
 *
 * - OS1 An object exists from the moment its info message is stored, and that happens only after the acknowledgement of
 *   all its chunks. A broken put leaves chunks that no get can see; `listUnfinished` finds them, `delete` frees them.
 * - OS2 A name is written once: the info message is created by compare-and-set. When the name is there already, the
 *   put succeeds if content and chunks are those of the object, and fails as a bug if the content is another one.
 * - OS3 Chunks are thrown away only while their info message cannot have been stored.
 * - OS4 Missing is what the leader says (P20): the info message by STREAM.MSG.GET, chunks by STREAM.INFO. A consumer
 *   that delivers nothing proves nothing, in a cluster it may live on a replica that lags behind.
 * - OS5 A read or the last step of a write that makes no progress for `stallTimeoutMs` ends as StorageStalledError. A
 *   lost connection in the middle of the chunks ends a put at once: only the caller can give its content again.
 * - OS6 A delete removes the chunks first. Cut short, it leaves an object that is listed and can be deleted again.
 * - OS7 A put that fails waits until its chunks under way are stored or never will be, then throws them away. A chunk
 *   without an acknowledgement is behind us once the stream has answered what was sent after it.
 */
import type { Hash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AckPolicy,
  type Consumer,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  type StoredMsg,
} from "@nats-io/jetstream";
import { headers, nanos, nuid } from "@nats-io/transport-node";
import {
  abortable,
  type Content,
  digestText,
  inPieces,
  newDigest,
  untilAborted,
} from "../../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../../checkpoint/storage.ts";
import {
  describeError,
  describeReason,
  InvariantError,
  NoRespondersError,
  ObjectCorruptError,
  ObjectMissingError,
  PermissionDeniedError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isPassing, NatsLink } from "../connection/link.ts";
import { PAYLOAD_BYTES_MIN } from "../limits/payload-limit.ts";
import {
  type BucketSettings,
  type BucketShape,
  diagnoseBucket,
  hasCode,
  moreRoom,
  objectStoreShape,
  openBucket,
} from "./bucket.ts";
import {
  nameOfSubject,
  nameOfToken,
  type ObjectInfo,
  type StoredInfo,
  storedDigest,
  tokenOf,
} from "./object-names.ts";

export interface NatsObjectStorageOptions extends BucketSettings {
  /** How long a read or write may make no progress, in milliseconds. Default 10,000. */
  readonly stallTimeoutMs?: number;
  /** true for a reader: nothing is made or changed, and a bucket that is not there is an empty one. */
  readonly readOnly?: boolean;
}

const chunkBytesMax = 512 * 1024;
/** The limit of one put: bounds what it holds in memory to 4 MiB, and hides the round trip. */
const chunksInFlightMax = 8;
/** The limit of one pull of a get: 16 MiB, well below the 64 MiB at which a server drops a slow reader. */
const chunksPerPull = 32;
/** The client adds an empty header to each chunk, which counts as payload. */
const headerBytesMax = 1024;
/** JetStream's error code for a write that the store did not take; above all, because the bucket is full. */
const storeFailed = 10077;
const retryAfterMs = 100;
const listConcurrency = 16;
/** A reader's consumer whose process died goes away by itself after this time. */
const consumerLifetimeMs = 60_000;

/** @throws EnvironmentError when JetStream is not there or the bucket cannot be trusted with checkpoints */
export async function openNatsObjectStorage(
  environment: NatsEnvironment,
  options: NatsObjectStorageOptions,
): Promise<NatsObjectStorage> {
  const { bucket, stallTimeoutMs = 10_000, readOnly = false } = options;
  const manager = await environment.patientManager(stallTimeoutMs);
  if (!readOnly) await openBucket(environment, manager, options, shapeOf(environment, bucket));
  return new NatsObjectStorage(environment, manager, bucket, stallTimeoutMs);
}

function shapeOf(environment: NatsEnvironment, bucket: string): BucketShape {
  return objectStoreShape(describeBucket(bucket), bucket, chunkBytesOf(environment) + headerBytesMax);
}

/** `description` of the storage in this bucket. */
export function describeBucket(bucket: string): string {
  return `object store bucket ${bucket}`;
}

export class NatsObjectStorage implements CheckpointStorage {
  readonly description: string;
  readonly #environment: NatsEnvironment;
  readonly #link: NatsLink;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #bucket: string;
  readonly #stream: string;
  readonly #stallTimeoutMs: number;

  constructor(
    environment: NatsEnvironment,
    manager: JetStreamManager,
    bucket: string,
    stallTimeoutMs: number,
  ) {
    this.description = describeBucket(bucket);
    this.#environment = environment;
    this.#link = NatsLink.of(environment.connection);
    this.#client = environment.client(stallTimeoutMs);
    this.#manager = manager;
    this.#bucket = bucket;
    this.#stream = `OBJ_${bucket}`;
    this.#stallTimeoutMs = stallTimeoutMs;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const id = `${tokenOf(name)}.${nuid.next()}`;
    const written = await this.#writeChunks(name, id, content, signal);
    const info: ObjectInfo = {
      name,
      bucket: this.#bucket,
      nuid: id,
      size: written.bytes,
      chunks: written.chunks,
      digest: storedDigest(written.digest),
      mtime: new Date().toISOString(),
      deleted: false,
      options: { max_chunk_size: chunkBytesOf(this.#environment) },
    };
    const publishing = this.#publishInfo(info);
    try {
      await abortable(publishing, signal);
    } catch (error) {
      if (signal?.aborted) await this.#undo(info, publishing);
      throw error;
    }
    return { name, bytes: written.bytes, digest: written.digest };
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const { name } = handle;
    const what = `reading "${name}" from ${this.description}`;
    const info = await this.#untilStalled(what, () => this.#infoOf(handle));
    const hash = newDigest();
    const bytes = await this.#readChunks(what, info, hash);
    const digest = digestText(hash);
    if (digest !== handle.digest) {
      throw new ObjectCorruptError(
        name,
        `object "${name}" in ${this.description} is corrupt: its chunks give ${digest}, expected ${handle.digest}`,
      );
    }
    return bytes;
  }

  async assertPresent(handle: ObjectHandle): Promise<void> {
    const what = `looking for "${handle.name}" in ${this.description}`;
    await this.#untilStalled(what, async () => this.#refuseMissingChunks(await this.#infoOf(handle)));
  }

  async delete(name: string): Promise<void> {
    const what = `deleting "${name}" from ${this.description}`;
    await this.#untilStalled(what, async () => {
      const stored = await this.#readInfo(name);
      // The chunks of every put of this name; what other tools have written has a nuid of their own.
      await this.#purge(this.#chunkSubject(`${tokenOf(name)}.>`));
      if (stored === undefined) return;
      await this.#purge(this.#chunkSubject(stored.info.nuid));
      await this.#purge(this.#infoSubject(name));
    });
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const what = `listing ${this.description}`;
    const subjects = await this.#untilStalled(what, () => this.#subjects(`$O.${this.#bucket}.M.>`));
    const names = [...subjects.keys()].map(nameOfSubject).filter((name) => name.startsWith(prefix));
    for (let at = 0; at < names.length; at += listConcurrency) {
      const some = names.slice(at, at + listConcurrency);
      const infos = await Promise.all(
        some.map((name) => this.#untilStalled(what, () => this.#readInfo(name))),
      );
      for (const stored of infos) {
        if (stored === undefined || stored.info.deleted === true) continue;
        yield { name: stored.info.name, bytes: stored.info.size };
      }
    }
  }

  async *listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    const what = `listing unfinished objects of ${this.description}`;
    // Chunks first: the info message of a put that ends meanwhile is then seen.
    const chunks = await this.#untilStalled(what, () => this.#subjects(this.#chunkSubject(">")));
    const found = [...chunks].flatMap(([subject, count]) => {
      const [token, random] = subject.slice(this.#chunkSubject("").length).split(".");
      const name = random === undefined ? undefined : nameOfToken(token!);
      return name?.startsWith(prefix) ? [{ name, subject, count }] : [];
    });
    for (let at = 0; at < found.length; at += listConcurrency) {
      const some = found.slice(at, at + listConcurrency);
      const infos = await Promise.all(
        some.map(({ name }) => this.#untilStalled(what, () => this.#readInfo(name))),
      );
      for (const [index, { name, subject, count }] of some.entries()) {
        const stored = infos[index];
        if (stored !== undefined && this.#chunkSubject(stored.info.nuid) === subject) continue;
        yield { name, bytes: count * chunkBytesOf(this.#environment) };
      }
    }
  }

  async #writeChunks(
    name: string,
    id: string,
    content: Content,
    signal: AbortSignal | undefined,
  ): Promise<{ bytes: number; chunks: number; digest: string }> {
    const subject = this.#chunkSubject(id);
    const hash = newDigest();
    const inFlight = new Set<Promise<unknown>>();
    let bytes = 0;
    let chunks = 0;
    try {
      for await (const chunk of inPieces(untilAborted(content, signal), chunkBytesOf(this.#environment))) {
        hash.update(chunk);
        bytes += chunk.length;
        chunks++;
        const sent = this.#call(() => this.#client.publish(subject, chunk));
        inFlight.add(sent);
        // The code below that waits for `sent` meets its failure; this branch only keeps the books.
        sent.then(
          () => inFlight.delete(sent),
          () => undefined,
        );
        if (inFlight.size >= chunksInFlightMax) await abortable(Promise.race(inFlight), signal);
      }
      await abortable(Promise.all(inFlight), signal);
    } catch (error) {
      await this.#dropChunks(subject, inFlight);
      throw await this.#failure(`writing "${name}" to ${this.description}`, error);
    }
    return { bytes, chunks, digest: digestText(hash) };
  }

  /** Stores the info message (OS2), again and again until its outcome is known or it is stalled. */
  async #publishInfo(info: ObjectInfo): Promise<void> {
    const what = `writing "${info.name}" to ${this.description}`;
    const subject = this.#infoSubject(info.name);
    const body = new TextEncoder().encode(JSON.stringify(info));
    const options = headers();
    options.set("Nats-Rollup", "sub");
    let replaced = 0;
    let perhapsStored = false;
    const winner = await this.#untilStalled(what, async (): Promise<ObjectInfo> => {
      try {
        const expect = { lastSubjectSequence: replaced };
        await this.#call(() => this.#client.publish(subject, body, { headers: options, expect }));
        return info;
      } catch (error) {
        perhapsStored ||= isPassing(error);
        if (!hasCode(error, JetStreamApiCodes.StreamWrongLastSequence)) {
          if (!perhapsStored) void this.#dropChunks(this.#chunkSubject(info.nuid), []);
          throw error;
        }
      }
      const present = await this.#readInfo(info.name);
      if (present?.info.nuid === info.nuid) return info;
      if (present !== undefined && (await this.#isWhole(present.info))) return present.info;
      // A tombstone, or the rest of a delete that was cut short.
      replaced = present?.revision ?? 0;
      throw stalled(what, "a name is being freed");
    });
    if (winner === info) return;
    void this.#dropChunks(this.#chunkSubject(info.nuid), []);
    if (winner.digest !== info.digest || winner.size !== info.size) {
      throw new InvariantError(
        `${what}: the name is taken by other content, ${winner.size} bytes, ${winner.digest}`,
      );
    }
  }

  /** Undoes a put that was aborted at its last step, which may still succeed. Best effort, as the sweep comes later. */
  async #undo(info: ObjectInfo, publishing: Promise<void>): Promise<void> {
    try {
      await publishing;
      if ((await this.#readInfo(info.name))?.info.nuid === info.nuid) await this.delete(info.name);
    } catch {
      // The put had failed by itself, or the server is away.
    }
  }

  /** Tells an object from a tombstone and from one whose delete was cut short. */
  async #isWhole(info: ObjectInfo): Promise<boolean> {
    if (info.deleted === true) return false;
    const subject = this.#chunkSubject(info.nuid);
    return ((await this.#subjects(subject)).get(subject) ?? 0) === info.chunks;
  }

  /** OS7. Best effort: what stays is found by its name. */
  async #dropChunks(subject: string, inFlight: Iterable<Promise<unknown>>): Promise<void> {
    const sent = await Promise.allSettled(inFlight);
    try {
      if (sent.some(({ status }) => status === "rejected")) await this.#untilBehind(subject);
      await this.#purge(subject);
    } catch {
      // The server is away, or does not answer.
    }
  }

  /** Nothing that was sent to this subject before is on its way any more. */
  async #untilBehind(subject: string): Promise<void> {
    try {
      const never = { lastSequence: Number.MAX_SAFE_INTEGER };
      await this.#call(() => this.#client.publish(subject, undefined, { expect: never }));
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
    }
  }

  async #readChunks(what: string, info: ObjectInfo, hash: Hash): Promise<Uint8Array> {
    const bytes = new Uint8Array(info.size);
    let chunks = 0;
    let filled = 0;
    let nextSequence = 1;
    const take = (data: Uint8Array, sequence: number): void => {
      if (filled + data.length > bytes.length) {
        throw new ObjectCorruptError(
          info.name,
          `object "${info.name}" has chunks of more than ${info.size} bytes`,
        );
      }
      bytes.set(data, filled);
      hash.update(data);
      filled += data.length;
      nextSequence = sequence + 1;
      chunks++;
    };
    while (chunks < info.chunks) {
      await this.#untilStalled(what, async () => {
        const before = chunks;
        try {
          await this.#pullChunks(info, nextSequence, info.chunks - chunks, take);
        } catch (error) {
          if (chunks === before || error instanceof ObjectCorruptError) throw error;
        }
        if (chunks === before) throw stalled(what, "no chunk came");
      });
    }
    return bytes;
  }

  /** Reads `wanted` chunks from `sequence` on with a consumer of its own. Ends early when a pull brings fewer. */
  async #pullChunks(
    info: ObjectInfo,
    sequence: number,
    wanted: number,
    take: (data: Uint8Array, sequence: number) => void,
  ): Promise<void> {
    const consumerInfo = await this.#call(() =>
      this.#manager.consumers.add(this.#stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartSequence,
        opt_start_seq: sequence,
        filter_subject: this.#chunkSubject(info.nuid),
        inactive_threshold: nanos(consumerLifetimeMs),
        mem_storage: true,
        num_replicas: 1,
      }),
    );
    try {
      if (consumerInfo.num_pending < wanted) await this.#refuseMissingChunks(info);
      const consumer = this.#client.consumers.getConsumerFromInfo(consumerInfo);
      for (let taken = 0; taken < wanted; ) {
        const asked = Math.min(chunksPerPull, wanted - taken);
        const came = await this.#pull(consumer, asked, taken, take);
        // What comes after the end of a pull is lost to us: the next consumer starts behind what we have.
        if (came < asked) return;
        taken += came;
      }
    } finally {
      void this.#manager.consumers.delete(this.#stream, consumerInfo.name).catch(() => undefined);
    }
  }

  /** @param delivered how many messages this consumer has delivered before */
  async #pull(
    consumer: Consumer,
    asked: number,
    delivered: number,
    take: (data: Uint8Array, sequence: number) => void,
  ): Promise<number> {
    // Half of the stall timeout, so that there is time for a second look when nothing comes. 1 s is the least.
    const expires = Math.max(1_000, this.#stallTimeoutMs / 2);
    const messages = await consumer.fetch({ max_messages: asked, expires });
    let came = 0;
    let givenUp = false;
    const reading = async (): Promise<void> => {
      for await (const message of messages) {
        if (givenUp || message.info.deliverySequence !== delivered + came + 1) return;
        take(message.data, message.seq);
        came++;
      }
    };
    try {
      await this.#call(reading);
      return came;
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      throw new StorageStalledError(describeError(error), { cause: error });
    } finally {
      givenUp = true;
      messages.stop();
    }
  }

  async #refuseMissingChunks(info: ObjectInfo): Promise<void> {
    const subject = this.#chunkSubject(info.nuid);
    const present = (await this.#subjects(subject)).get(subject) ?? 0;
    if (present >= info.chunks) return;
    throw new ObjectMissingError(
      info.name,
      `object "${info.name}" in ${this.description} has lost ${info.chunks - present} of its ${info.chunks} chunks`,
    );
  }

  /** @throws ObjectMissingError, ObjectCorruptError when the object of this name is another one */
  async #infoOf({ name, bytes, digest }: ObjectHandle): Promise<ObjectInfo> {
    const stored = await this.#readInfo(name);
    if (stored === undefined || stored.info.deleted === true) {
      throw new ObjectMissingError(name, `object "${name}" is not in ${this.description}`);
    }
    const { info } = stored;
    if (info.digest === storedDigest(digest) && info.size === bytes) return info;
    throw new ObjectCorruptError(
      name,
      `object "${name}" in ${this.description} is another one: ${info.size} bytes, ${info.digest}; ` +
        `expected ${bytes} bytes, ${digest}`,
    );
  }

  async #readInfo(name: string): Promise<StoredInfo | undefined> {
    const message = await this.#lastMessage(this.#infoSubject(name));
    return message === undefined ? undefined : { info: message.json<ObjectInfo>(), revision: message.seq };
  }

  async #lastMessage(subject: string): Promise<StoredMsg | undefined> {
    const query = { last_by_subj: subject };
    return (await this.#ifThere(() => this.#manager.streams.getMessage(this.#stream, query))) ?? undefined;
  }

  /** Subjects that hold messages, with their number, as the leader knows them. */
  async #subjects(filter: string): Promise<Map<string, number>> {
    const info = await this.#ifThere(() =>
      this.#manager.streams.info(this.#stream, { subjects_filter: filter }),
    );
    return new Map(Object.entries(info?.state.subjects ?? {}));
  }

  /** `undefined` when the bucket itself is gone: there is nothing in it. */
  async #ifThere<T>(ask: () => Promise<T>): Promise<T | undefined> {
    try {
      return await this.#call(ask);
    } catch (error) {
      if (hasCode(error, JetStreamApiCodes.StreamNotFound)) return undefined;
      throw error;
    }
  }

  async #purge(subject: string): Promise<void> {
    await this.#call(() => this.#manager.streams.purge(this.#stream, { filter: subject }));
  }

  #call<T>(send: () => Promise<T>): Promise<T> {
    return this.#link.call("JetStream", send);
  }

  /** Repeats what failed for a passing reason until it works or has failed for `stallTimeoutMs` (OS5). */
  async #untilStalled<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const deadline = performance.now() + this.#stallTimeoutMs;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const passing = isPassing(error) || error instanceof StorageStalledError;
        const left = deadline - performance.now();
        if (!passing || left <= 0) throw await this.#failure(what, error);
        await this.#link.untilUp(left);
        await sleep(Math.min(retryAfterMs, left));
      }
    }
  }

  async #failure(what: string, error: unknown): Promise<unknown> {
    // The names of objects are none that a permission would be given for.
    if (error instanceof PermissionDeniedError && error.subject.startsWith(`$O.${this.#bucket}.`))
      return new PermissionDeniedError("publish", `$O.${this.#bucket}.>`, { cause: error, what });
    const refused = error instanceof JetStreamApiError && !isPassing(error);
    if (!refused && !isPassing(error)) return error;
    const shape = shapeOf(this.#environment, this.#bucket);
    const changed = await diagnoseBucket(this.#environment, this.#manager, shape);
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
    if (!hasCode(error, storeFailed)) return "";
    return `; raise its limit (${moreRoom(this.#environment, this.#stream, error)}) or keep fewer checkpoints`;
  }

  #chunkSubject(id: string): string {
    return `$O.${this.#bucket}.C.${id}`;
  }

  #infoSubject(name: string): string {
    return `$O.${this.#bucket}.M.${tokenOf(name)}`;
  }
}

function chunkBytesOf({ connection }: NatsEnvironment): number {
  const { bytesMax } = NatsLink.of(connection).payload;
  return Math.min(chunkBytesMax, Math.max(bytesMax, PAYLOAD_BYTES_MIN) - headerBytesMax);
}

function stalled(what: string, reason: string, cause?: unknown): StorageStalledError {
  return new StorageStalledError(`${what}: ${reason}`, { cause, reason });
}
