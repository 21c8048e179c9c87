/**
 * Checkpoint storage in a bucket of an S3 server.
 *
 * - UO1 An object is written only where none is (`If-None-Match: *`): of two puts of one name one is refused by the
 *   server, and taken for a retry where the content is the same. Servers that do not know the header store the last.
 * - UO2 An object that fits in one part is one request. A larger one is an upload of parts, which is no object before
 *   it is completed. Of the parts of one put so many are in memory as are on their way.
 * - UO3 A put that was aborted or has failed waits for what is on its way, and takes back what has come of it.
 * - UO4 An object is missing only while the bucket is there.
 */
import { type Content, digestText, inPieces, newDigest, untilAborted } from "../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../checkpoint/storage.ts";
import {
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "../errors.ts";
import {
  assertBucket,
  connectS3,
  parseS3Location,
  type S3Connection,
  s3Reason,
  statusOf,
} from "./s3-client.ts";
import { S3Upload } from "./s3-upload.ts";

/** The least that S3 takes for a part is 5 MiB, and it takes 10,000 parts. */
const PART_BYTES = 8 * 1024 * 1024;
const NOT_FOUND = 404;
const PRECONDITION_FAILED = 412;

/**
 * @param location "s3://bucket/prefix"
 * @param endpoint as `connectS3` takes it
 * @throws ConfigurationError when the client is not installed, EnvironmentError when the bucket cannot be used
 */
export async function openS3Storage(location: string, endpoint: string | undefined): Promise<S3Storage> {
  const connection = await connectS3(location, endpoint);
  await assertBucket(connection, location);
  return new S3Storage(connection, location);
}

export class S3Storage implements CheckpointStorage {
  readonly description: string;
  readonly #connection: S3Connection;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(connection: S3Connection, location: string) {
    const { bucket, prefix } = parseS3Location(location);
    this.#connection = connection;
    this.#bucket = bucket;
    this.#prefix = prefix;
    this.description = S3Storage.describe(location);
  }

  /** `description` of the storage at this location. */
  static describe(location: string): string {
    const { bucket, prefix } = parseS3Location(location);
    return `S3 bucket ${bucket}${prefix === "" ? "" : `, prefix ${prefix}`}`;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const hash = newDigest();
    let bytes = 0;
    let produced: unknown;
    const counted = async function* (given: AsyncIterable<Uint8Array>) {
      try {
        for await (const piece of given) {
          hash.update(piece);
          bytes += piece.length;
          yield piece;
        }
      } catch (error) {
        produced = error;
        throw error;
      }
    };
    const parts = inPieces(counted(untilAborted(content, signal)), PART_BYTES);
    try {
      const first = await parts.next();
      const next = first.done === true ? first : await parts.next();
      const handle = () => ({ name, bytes, digest: digestText(hash) });
      if (next.done === true) return await this.#putWhole(first.value ?? new Uint8Array(), handle(), signal);
      const upload = await S3Upload.begin(this.#connection, this.#at(name), signal);
      return await this.#putParts(upload, [first.value!, next.value], parts, handle, signal);
    } catch (error) {
      if (error === produced || error instanceof TidemarkError) throw error;
      if (signal?.aborted === true) throw signal.reason;
      throw this.#refused(`writing "${name}" to`, error);
    } finally {
      void parts.return(undefined).catch(() => undefined);
    }
  }

  async #putWhole(body: Uint8Array, handle: ObjectHandle, signal: AbortSignal | undefined) {
    const { sdk, client } = this.#connection;
    const input = { ...this.#at(handle.name), Body: body, ContentLength: body.length, IfNoneMatch: "*" };
    return await this.#created(handle, signal, () => client.send(new sdk.PutObjectCommand(input)));
  }

  async #putParts(
    upload: S3Upload,
    begun: readonly Uint8Array[],
    rest: AsyncIterable<Uint8Array>,
    handleOf: () => ObjectHandle,
    signal: AbortSignal | undefined,
  ): Promise<ObjectHandle> {
    try {
      for (const part of begun) await upload.add(part);
      for await (const part of rest) await upload.add(part);
      await upload.stored();
    } catch (error) {
      await upload.abort();
      throw error;
    }
    return await this.#created(handleOf(), signal, () => upload.complete());
  }

  /** Makes the object. The outcome is waited for: a request that is cut off may still have made it (UO3). */
  async #created(
    handle: ObjectHandle,
    signal: AbortSignal | undefined,
    make: () => Promise<unknown>,
  ): Promise<ObjectHandle> {
    try {
      await make();
    } catch (error) {
      await this.#assertRetried(handle, error);
      return handle;
    }
    if (signal?.aborted !== true) return handle;
    await this.delete(handle.name).catch(() => undefined);
    throw signal.reason;
  }

  /**
   * The same name with the same content is a retry, maybe the client's own, whose first try had done it: an upload is
   * gone then.
   * @throws StorageRefusedError when something else is there; `error` when it says nothing of that
   */
  async #assertRetried(handle: ObjectHandle, error: unknown): Promise<void> {
    const status = statusOf(error);
    if (status !== PRECONDITION_FAILED && status !== NOT_FOUND) throw error;
    try {
      await this.get(handle);
    } catch (failure) {
      if (failure instanceof ObjectMissingError) throw error;
      if (!(failure instanceof ObjectCorruptError)) throw failure;
      const reason = "the name is taken by other content";
      throw new StorageRefusedError(`writing "${handle.name}" to ${this.description}: ${reason}`, { reason });
    }
  }

  async get({ name, bytes, digest }: ObjectHandle): Promise<Uint8Array> {
    const { sdk, client } = this.#connection;
    const content = await this.#found(name, async () => {
      const { Body, ContentLength } = await client.send(new sdk.GetObjectCommand(this.#at(name)));
      if (ContentLength === bytes) return (await Body?.transformToByteArray()) ?? new Uint8Array();
      // An object of another size is not read: it may be of any size.
      (Body as { destroy?: () => void } | undefined)?.destroy?.();
      throw this.#corrupt(name, `${ContentLength} bytes; expected ${bytes} bytes, ${digest}`);
    });
    const found = digestText(newDigest().update(content));
    if (found === digest) return content;
    throw this.#corrupt(name, `${content.length} bytes, ${found}; expected ${bytes} bytes, ${digest}`);
  }

  async assertPresent({ name, bytes }: ObjectHandle): Promise<void> {
    const { sdk, client } = this.#connection;
    const { ContentLength } = await this.#found(name, () =>
      client.send(new sdk.HeadObjectCommand(this.#at(name))),
    );
    if (ContentLength !== bytes) throw this.#corrupt(name, `${ContentLength} bytes; expected ${bytes} bytes`);
  }

  async delete(name: string): Promise<void> {
    const { sdk, client } = this.#connection;
    try {
      await client.send(new sdk.DeleteObjectCommand(this.#at(name)));
      for await (const { key, uploadId } of this.#uploads(name))
        if (key === this.#prefix + name) await S3Upload.abortOf(this.#connection, this.#at(name), uploadId);
    } catch (error) {
      throw this.#refused(`deleting "${name}" from`, error);
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    const { sdk, client } = this.#connection;
    let token: string | undefined;
    do {
      const page = await this.#listed("listing", () =>
        client.send(
          new sdk.ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        ),
      );
      // Some servers and tools make an object of no bytes for a directory.
      for (const { Key, Size } of page.Contents ?? [])
        if (Key !== undefined && !Key.endsWith("/"))
          yield { name: Key.slice(this.#prefix.length), bytes: Size ?? 0 };
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    } while (token !== undefined);
  }

  async *listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    for await (const { key, uploadId } of this.#uploads(prefix)) {
      const name = key.slice(this.#prefix.length);
      const bytes = await this.#listed("listing unfinished objects of", () =>
        S3Upload.bytesOf(this.#connection, this.#at(name), uploadId),
      );
      if (bytes !== undefined) yield { name, bytes };
    }
  }

  async *#uploads(prefix: string): AsyncGenerator<{ readonly key: string; readonly uploadId: string }> {
    const { sdk, client } = this.#connection;
    let after: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (after !== undefined) {
      const markers: { KeyMarker?: string; UploadIdMarker?: string } = after;
      const page = await this.#listed("listing unfinished objects of", () =>
        client.send(
          new sdk.ListMultipartUploadsCommand({
            Bucket: this.#bucket,
            Prefix: this.#prefix + prefix,
            ...markers,
          }),
        ),
      );
      for (const { Key, UploadId } of page.Uploads ?? [])
        if (Key !== undefined && UploadId !== undefined && Key.startsWith(this.#prefix + prefix))
          yield { key: Key, uploadId: UploadId };
      after =
        page.IsTruncated === true && page.NextKeyMarker !== undefined
          ? {
              KeyMarker: page.NextKeyMarker,
              ...(page.NextUploadIdMarker === undefined ? {} : { UploadIdMarker: page.NextUploadIdMarker }),
            }
          : undefined;
    }
  }

  #at(name: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#prefix + name };
  }

  async #found<T>(name: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
      const isMissing = statusOf(error) === NOT_FOUND && (await this.#isBucketThere());
      if (isMissing)
        throw new ObjectMissingError(name, `object "${name}" is not in ${this.description}`, {
          cause: error,
        });
      throw this.#stalled(`reading "${name}" from`, error);
    }
  }

  async #isBucketThere(): Promise<boolean> {
    const { sdk, client } = this.#connection;
    return await client.send(new sdk.HeadBucketCommand({ Bucket: this.#bucket })).then(
      () => true,
      () => false,
    );
  }

  async #listed<T>(act: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#stalled(act, error);
    }
  }

  #corrupt(name: string, found: string): ObjectCorruptError {
    return new ObjectCorruptError(name, `object "${name}" in ${this.description} is corrupt: ${found}`);
  }

  #refused(act: string, cause: unknown): TidemarkError {
    if (cause instanceof TidemarkError) return cause;
    const reason = s3Reason(cause);
    return new StorageRefusedError(`${act} ${this.description}: ${reason}`, { cause, reason });
  }

  #stalled(act: string, cause: unknown): StorageStalledError {
    const reason = s3Reason(cause);
    return new StorageStalledError(`${act} ${this.description}: ${reason}`, { cause, reason });
  }
}
