/** Checkpoint storage in the memory of this process: tests, simulation, and jobs whose state may die with it. */
import { type Content, digestText, newDigest, untilAborted } from "../checkpoint/content.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "../checkpoint/storage.ts";
import { ObjectCorruptError, ObjectMissingError, StorageRefusedError } from "../errors.ts";

/** How the memory of a leader is called, by itself and by those who reach it over the bus. */
export const LEADER_MEMORY = "memory of the leader";

export interface MemoryStorageOptions {
  /** Default: "memory of this process". */
  readonly description?: string;
  /** Largest object in bytes. Default: no limit. Flink's coordinator memory takes 5 MiB per state. */
  readonly objectBytesMax?: number;
}

interface Kept {
  readonly content: Uint8Array;
  readonly digest: string;
}

export class MemoryStorage implements CheckpointStorage {
  readonly description: string;
  readonly #objects = new Map<string, Kept>();
  readonly #objectBytesMax: number;

  constructor(options: MemoryStorageOptions = {}) {
    this.description = options.description ?? "memory of this process";
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
    return this.#same(handle).content.slice();
  }

  async assertPresent(handle: ObjectHandle): Promise<void> {
    this.#same(handle);
  }

  /** What is under this name, as it lies here. @throws ObjectMissingError */
  kept(name: string): Kept {
    const kept = this.#objects.get(name);
    if (kept !== undefined) return kept;
    throw new ObjectMissingError(name, `object "${name}" is not in ${this.description}`);
  }

  #same(handle: ObjectHandle): Kept {
    const kept = this.kept(handle.name);
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
