/**
 * A storage of a user's own, as the engine takes it: whatever it throws is an error that the engine can act on, and
 * what it answers is looked at before it is believed (P20).
 *
 * - US1 An error that is none of the contract's counts as a passing fault of the storage, with its text as the reason.
 *   What the producer of the content has thrown, and the reason of an abort, pass as they are.
 * - US2 The bytes of a get are those of the handle, or the object is corrupt, also where the storage does not look.
 */
import {
  describeError,
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "../errors.ts";
import { type Content, digestText, newDigest } from "./content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "./storage.ts";

type Failure = typeof StorageRefusedError | typeof StorageStalledError;

export class GuardedStorage implements CheckpointStorage {
  readonly description: string;
  readonly #storage: CheckpointStorage;

  constructor(storage: CheckpointStorage) {
    this.#storage = storage;
    this.description = storage.description;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const given = new WatchedContent(content);
    try {
      const handle = await this.#storage.put(name, given, signal);
      if (handle?.name === name && handle.bytes === given.bytes && typeof handle.digest === "string")
        // Only what the contract names: the handle goes into the manifest.
        return { name, bytes: handle.bytes, digest: handle.digest };
      const reason = `its put answers ${JSON.stringify(handle)}, which is no handle of the ${given.bytes} bytes given`;
      throw new StorageRefusedError(`writing "${name}" to ${this.description}: ${reason}`, { reason });
    } catch (error) {
      if (given.failed?.error === error || (signal?.aborted === true && error === signal.reason)) throw error;
      throw this.#meaning(error, StorageRefusedError, `writing "${name}" to`, name);
    }
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const { name, bytes, digest } = handle;
    const content = await this.#call(StorageStalledError, `reading "${name}" from`, name, () =>
      this.#storage.get(handle),
    );
    const isBytes = content instanceof Uint8Array;
    const found = isBytes ? digestText(newDigest().update(content)) : typeof content;
    if (isBytes && content.length === bytes && found === digest) return content;
    throw new ObjectCorruptError(
      name,
      `object "${name}" in ${this.description} is corrupt: ${isBytes ? `${content.length} bytes, ` : ""}${found}; ` +
        `expected ${bytes} bytes, ${digest}`,
    );
  }

  assertPresent(handle: ObjectHandle): Promise<void> {
    const { name } = handle;
    return this.#call(StorageStalledError, `looking for "${name}" in`, name, () =>
      this.#storage.assertPresent(handle),
    );
  }

  delete(name: string): Promise<void> {
    return this.#call(StorageRefusedError, `deleting "${name}" from`, name, () => this.#storage.delete(name));
  }

  list(prefix: string): AsyncGenerator<StoredObject> {
    return this.#listed("listing", () => this.#storage.list(prefix));
  }

  listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    return this.#listed("listing unfinished objects of", () => this.#storage.listUnfinished(prefix));
  }

  async *#listed(act: string, list: () => AsyncIterable<StoredObject>): AsyncGenerator<StoredObject> {
    try {
      for await (const { name, bytes } of list()) {
        if (typeof name !== "string" || !Number.isSafeInteger(bytes))
          throw new TypeError(`it lists ${JSON.stringify({ name, bytes })}, which has no name or no size`);
        yield { name, bytes };
      }
    } catch (error) {
      throw this.#meaning(error, StorageStalledError, act, "");
    }
  }

  async #call<T>(failure: Failure, act: string, name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#meaning(error, failure, act, name);
    }
  }

  #meaning(cause: unknown, failure: Failure, act: string, object: string): TidemarkError {
    if (cause instanceof TidemarkError) return cause;
    const reason = describeError(cause);
    const text = `${act} ${this.description}: ${reason}`;
    // The module may have been given another copy of this package, whose classes are others.
    const kind = cause instanceof Error ? cause.name : undefined;
    if (kind === ObjectMissingError.name) return new ObjectMissingError(object, reason, { cause });
    if (kind === ObjectCorruptError.name) return new ObjectCorruptError(object, reason, { cause });
    return new failure(text, { cause, reason });
  }
}

/** The content, counted, with what its producer has thrown. */
class WatchedContent implements AsyncIterable<Uint8Array> {
  readonly #content: Content;
  bytes = 0;
  failed: { readonly error: unknown } | undefined;

  constructor(content: Content) {
    this.#content = content;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of this.#content) {
        this.bytes += piece.length;
        yield piece;
      }
    } catch (error) {
      this.failed = { error };
      throw error;
    }
  }
}
