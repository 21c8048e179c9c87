/**
 * Checkpoint storage in a JetStream object store bucket.
 *
 * The layout is the object store's own, so that every NATS tool can list and read what is here: chunks on
 * `$O.<bucket>.C.<nuid>`, then one info message on `$O.<bucket>.M.<name in base64url>`. Reading and writing are ours:
 * the client library waits for each chunk, cannot be aborted, and its get waits for ever when chunks are missing.
 * Our nuids begin with the name, `<name in base64url>.<random>`, so that chunks tell whose they are.
 *
 * Owns: the list of objects, and how an object is deleted. Does not own: how it is written (object-writer.ts) and read
 * (object-reader.ts).
 *
 * - OS1 Chunks without an object are found by `listUnfinished` under the name that they were put for, and freed by
 *   `delete`.
 * - OS2 A delete removes the chunks first. Cut short, it leaves an object that is listed and can be deleted again.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import type { Content } from "../../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../../checkpoint/storage.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { type BucketSettings, openBucket } from "./bucket.ts";
import { bucketShape, ObjectBucket } from "./object-bucket.ts";
import { nameOfSubject, nameOfToken, tokenOf } from "./object-names.ts";
import { ObjectReader } from "./object-reader.ts";
import { ObjectWriter } from "./object-writer.ts";

export interface NatsObjectStorageOptions extends BucketSettings {
  /** How long a read or write may make no progress, in milliseconds. Default 10,000. */
  readonly stallTimeoutMs?: number;
  /** true for a reader: nothing is made or changed, and a bucket that is not there is an empty one. */
  readonly readOnly?: boolean;
}

const LIST_CONCURRENCY = 16;

/** @throws EnvironmentError when JetStream is not there or the bucket cannot be trusted with checkpoints */
export async function openNatsObjectStorage(
  environment: NatsEnvironment,
  options: NatsObjectStorageOptions,
): Promise<NatsObjectStorage> {
  const { bucket, stallTimeoutMs = 10_000, readOnly = false } = options;
  const manager = await environment.patientManager(stallTimeoutMs);
  if (!readOnly) await openBucket(environment, manager, options, bucketShape(environment, bucket));
  return new NatsObjectStorage(environment, manager, bucket, stallTimeoutMs);
}

export class NatsObjectStorage implements CheckpointStorage {
  readonly description: string;
  readonly #bucket: ObjectBucket;
  readonly #writer: ObjectWriter;
  readonly #reader: ObjectReader;

  constructor(
    environment: NatsEnvironment,
    manager: JetStreamManager,
    bucket: string,
    stallTimeoutMs: number,
  ) {
    this.#bucket = new ObjectBucket(environment, manager, bucket, stallTimeoutMs);
    this.description = this.#bucket.description;
    this.#writer = new ObjectWriter(this.#bucket, (name) => this.delete(name));
    this.#reader = new ObjectReader(this.#bucket);
  }

  put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    return this.#writer.put(name, content, signal);
  }

  get(handle: ObjectHandle): Promise<Uint8Array> {
    return this.#reader.get(handle);
  }

  assertPresent(handle: ObjectHandle): Promise<void> {
    return this.#reader.assertPresent(handle);
  }

  async delete(name: string): Promise<void> {
    const what = `deleting "${name}" from ${this.#bucket.description}`;
    await this.#bucket.untilStalled(what, async () => {
      const stored = await this.#bucket.readInfo(name);
      // The chunks of every put of this name; what other tools have written has a nuid of their own.
      await this.#bucket.purge(this.#bucket.chunkSubject(`${tokenOf(name)}.>`));
      if (stored === undefined) return;
      if ("info" in stored) await this.#bucket.purge(this.#bucket.chunkSubject(stored.info.nuid));
      await this.#bucket.purge(this.#bucket.infoSubject(name));
    });
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const what = `listing ${this.#bucket.description}`;
    const subjects = await this.#bucket.untilStalled(what, () =>
      this.#bucket.subjects(`$O.${this.#bucket.name}.M.>`),
    );
    const names = [...subjects.keys()].map(nameOfSubject).filter((name) => name.startsWith(prefix));
    for (let at = 0; at < names.length; at += LIST_CONCURRENCY) {
      const some = names.slice(at, at + LIST_CONCURRENCY);
      const infos = await Promise.all(
        some.map((name) => this.#bucket.untilStalled(what, () => this.#bucket.readInfo(name))),
      );
      for (const [index, stored] of infos.entries()) {
        if (stored === undefined || ("info" in stored && stored.info.deleted === true)) continue;
        // What cannot be read has the name all the same: it can be looked at, and deleted.
        yield { name: some[index]!, bytes: "info" in stored ? stored.info.size : 0 };
      }
    }
  }

  async *listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    const what = `listing unfinished objects of ${this.#bucket.description}`;
    // Chunks first: the info message of a put that ends meanwhile is then seen.
    const chunks = await this.#bucket.untilStalled(what, () =>
      this.#bucket.subjects(this.#bucket.chunkSubject(">")),
    );
    const found = [...chunks].flatMap(([subject, count]) => {
      const [token, random] = subject.slice(this.#bucket.chunkSubject("").length).split(".");
      const name = random === undefined ? undefined : nameOfToken(token!);
      return name?.startsWith(prefix) ? [{ name, subject, count }] : [];
    });
    for (let at = 0; at < found.length; at += LIST_CONCURRENCY) {
      const some = found.slice(at, at + LIST_CONCURRENCY);
      const infos = await Promise.all(
        some.map(({ name }) => this.#bucket.untilStalled(what, () => this.#bucket.readInfo(name))),
      );
      for (const [index, { name, subject, count }] of some.entries()) {
        const stored = infos[index];
        const owned = stored !== undefined && "info" in stored ? stored.info.nuid : undefined;
        if (owned !== undefined && this.#bucket.chunkSubject(owned) === subject) continue;
        yield { name, bytes: count * this.#bucket.chunkBytesMax };
      }
    }
  }
}
