/** Checkpoint storage in the memory of this process: tests, simulation, and jobs whose state may die with it. */
import { type Content, digestText, newDigest, untilAborted } from "../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../checkpoint/storage.ts";
import { ObjectCorruptError, ObjectMissingError, StorageRefusedError } from "../errors.ts";

export interface MemoryStorageOptions {
  /** Largest object in bytes. Default: no limit. Flink's coordinator memory takes 5 MiB per state. */
  readonly objectBytesMax?: number;
}

interface Kept {
  readonly content: Uint8Array;
  readonly digest: string;
}

export class MemoryStorage implements CheckpointStorage {
  readonly description = "memory of this process";
  readonly #objects = new Map<string, Kept>();
  readonly #objectBytesMax: number;

  constructor(options: MemoryStorageOptions = {}) {
    this.#objectBytesMax = options.objectBytesMax ?? Number.POSITIVE_INFINITY;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const hash = newDigest();
    const pieces: Uint8Array[] = [];
    let bytes = 0;
    for await (const piece of untilAborted(content, signal)) {
      hash.update(piece);
      pieces.push(piece);
      bytes += piece.length;
      if (bytes > this.#objectBytesMax) {
        throw new StorageRefusedError(
          `object "${name}" is larger than the ${this.#objectBytesMax} bytes that memory storage takes; ` +
            "use another checkpoint storage",
        );
      }
    }
    const digest = digestText(hash);
    const present = this.#objects.get(name);
    if (present !== undefined && present.digest !== digest) {
      throw new StorageRefusedError(`writing "${name}" to memory: the name is taken by other content`);
    }
    this.#objects.set(name, { content: new Uint8Array(Buffer.concat(pieces)), digest });
    return { name, bytes, digest };
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    return this.#kept(handle).content.slice();
  }

  async assertPresent(handle: ObjectHandle): Promise<void> {
    this.#kept(handle);
  }

  #kept(handle: ObjectHandle): Kept {
    const kept = this.#objects.get(handle.name);
    if (kept === undefined)
      throw new ObjectMissingError(handle.name, `object "${handle.name}" is not in memory`);
    if (kept.digest !== handle.digest || kept.content.length !== handle.bytes) {
      throw new ObjectCorruptError(
        handle.name,
        `object "${handle.name}" in memory is another one: ${kept.digest}, expected ${handle.digest}`,
      );
    }
    return kept;
  }

  async delete(name: string): Promise<void> {
    this.#objects.delete(name);
  }

  async *listUnfinished(): AsyncGenerator<StoredObject> {}

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    for (const [name, { content }] of [...this.#objects]) {
      if (name.startsWith(prefix)) yield { name, bytes: content.length };
    }
  }
}
