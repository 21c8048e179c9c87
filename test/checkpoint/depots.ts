/** Storages of objects, with a hand behind their back: what any program or a broken disk may do to what lies there. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { FileStorage } from "../../src/checkpoint/file-storage.ts";
import type { CheckpointStorage, ObjectHandle } from "../../src/checkpoint/storage.ts";
import type { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { openNatsObjectStorage } from "../../src/nats/storage/object-storage.ts";
import { flipLastBit, replaceLastChunk } from "../support/objects.ts";

export const DAMAGES = ["cut", "flipped", "swapped", "absent", "other"] as const;
export type Damage = (typeof DAMAGES)[number];

export interface Depot {
  readonly storage: CheckpointStorage;
  /**
   * cut: the last byte is gone; flipped: the last bit; swapped: the bytes of `other`, which is one of the same kind;
   * other: what is no object of this storage at all.
   */
  damage(object: ObjectHandle, damage: Damage, other: ObjectHandle): Promise<void>;
  /** The object as it was put. */
  mend(object: ObjectHandle, content: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export async function directoryDepot(): Promise<Depot> {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-depot-"));
  const storage = new FileStorage(directory);
  const pathOf = ({ name }: ObjectHandle) => join(directory, name);
  const changes: Readonly<Record<Damage, (path: string, other: string) => Promise<unknown>>> = {
    cut: async (path) => await writeFile(path, (await readFile(path)).subarray(0, -1)),
    flipped: async (path) => await writeFile(path, flipLastBit(await readFile(path))),
    swapped: async (path, other) => await writeFile(path, await readFile(other)),
    absent: (path) => rm(path),
    other: async (path) => {
      await rm(path);
      await mkdir(join(path, "below"), { recursive: true });
    },
  };
  return {
    storage,
    damage: async (object, damage, other) => void (await changes[damage](pathOf(object), pathOf(other))),
    async mend(object, content) {
      await rm(pathOf(object), { recursive: true, force: true });
      await mkdir(dirname(pathOf(object)), { recursive: true });
      await storage.put(object.name, [content]);
    },
    close: () => rm(directory, { recursive: true, maxRetries: 5 }),
  };
}

/** @param bucket that is not there yet */
export async function bucketDepot(nats: NatsEnvironment, bucket: string): Promise<Depot> {
  const storage = await openNatsObjectStorage(nats, { bucket });
  const manager = await jetstreamManager(nats.connection);
  const infoOf = ({ name }: ObjectHandle) =>
    `$O.${bucket}.M.${Buffer.from(name).toString("base64").replaceAll("+", "-").replaceAll("/", "_")}`;
  const changeChunk = (object: ObjectHandle, change: (chunk: Uint8Array) => Uint8Array) =>
    replaceLastChunk(nats.connection, bucket, object.name, change);
  const changes: Readonly<Record<Damage, (object: ObjectHandle, other: ObjectHandle) => Promise<unknown>>> = {
    cut: (object) => changeChunk(object, (chunk) => chunk.subarray(0, -1)),
    flipped: (object) => changeChunk(object, flipLastBit),
    swapped: async (object, other) =>
      await changeChunk(object, () => Uint8Array.from(contents.get(other.name)!)),
    absent: (object) => storage.delete(object.name),
    other: (object) => manager.jetstream().publish(infoOf(object), "no info"),
  };
  const contents = new Map<string, Uint8Array>();
  return {
    storage,
    async damage(object, damage, other) {
      if (damage === "swapped") contents.set(other.name, await storage.get(other));
      await changes[damage](object, other);
    },
    async mend(object, content) {
      await storage.delete(object.name);
      await storage.put(object.name, [content]);
    },
    close: async () => void (await manager.streams.delete(`OBJ_${bucket}`)),
  };
}
