/**
 * Checkpoint storage in a directory: local, or one that all processes of the job mount.
 *
 * - FS1 An object is written beside its place, synced, then renamed into it, and the directory synced: it is there as
 *   a whole or not at all, also after a power loss.
 * - FS2 `a/b/c` is the file `c` in the directory `a/b`. No part of a name begins with a dot, so unfinished files, which
 *   do, are never taken for objects, and no name leads out of the directory. An unfinished one tells whose it is.
 * - FS3 A file that is not there is missing only while the directory itself is there: an unmounted volume is a stall.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { makeDirectoriesNow } from "../directories.ts";
import {
  ConfigurationError,
  describeError,
  InvariantError,
  invariant,
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "../errors.ts";
import { type Content, digestText, gathered, newDigest, untilAborted } from "./content.ts";
import { DirectoryNotes } from "./directory-notes.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "./storage.ts";

/** A directory that a delete has just emptied can go away between its making and its use. */
const directoryAttempts = 5;

export interface FileStorageOptions {
  /** The option that the error names when the directory cannot be used. */
  readonly configurationKey?: string;
  /** Smaller pieces are gathered before they are written. Default 0: each piece is written as it comes. */
  readonly writeBufferBytes?: number;
}

export class FileStorage implements CheckpointStorage {
  readonly description: string;
  readonly notes: DirectoryNotes;
  readonly #directory: string;
  readonly #writeBufferBytes: number;

  /**
   * Makes the directory when it is not there.
   * @throws ConfigurationError
   */
  constructor(directory: string, options: FileStorageOptions = {}) {
    const { configurationKey = "checkpointing.directory", writeBufferBytes = 0 } = options;
    this.#directory = resolve(directory);
    this.#writeBufferBytes = writeBufferBytes;
    this.description = FileStorage.describe(directory);
    this.notes = new DirectoryNotes(this.#directory);
    try {
      makeDirectoriesNow(this.#directory);
    } catch (error) {
      const why = isOneOf(error, "EEXIST", "ENOTDIR") ? "there is a file of this name" : describeError(error);
      throw new ConfigurationError(
        configurationKey,
        `${configurationKey}: ${this.#directory} cannot be a directory: ${why}`,
        { cause: error },
      );
    }
  }

  /**
   * The storage for a reader, which makes no directory.
   * @throws ConfigurationError when the directory is not there
   */
  static existing(directory: string, configurationKey: string): FileStorage {
    if (existsSync(directory)) return new FileStorage(directory, { configurationKey });
    const path = resolve(directory);
    throw new ConfigurationError(configurationKey, `${configurationKey}: there is no directory ${path}`);
  }

  /** `description` of the storage in this directory. */
  static describe(directory: string): string {
    return `directory ${resolve(directory)}`;
  }

  async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const path = this.#pathOf(name);
    const unfinished = unfinishedPathOf(path);
    try {
      const { file, madeDirectories } = await this.#create(unfinished);
      try {
        const pieces = gathered(untilAborted(content, signal), this.#writeBufferBytes);
        const handle = await writeAll(file, name, pieces);
        await this.#checkPresent(path, handle);
        await rename(unfinished, path);
        await this.#syncDirectories(dirname(path), madeDirectories);
        return handle;
      } catch (error) {
        await rm(unfinished, { force: true }).catch(() => undefined);
        throw error;
      }
    } catch (error) {
      if (error instanceof TidemarkError || !isSystemError(error)) throw error;
      const reason = describeError(error);
      throw new StorageRefusedError(`writing "${name}" to ${this.description}: ${reason}`, {
        cause: error,
        reason,
      });
    }
  }

  async get(handle: ObjectHandle): Promise<Uint8Array> {
    const { name } = handle;
    const bytes = await this.#found(name, readFile(this.#pathOf(name)));
    const digest = digestText(newDigest().update(bytes));
    if (digest !== handle.digest) {
      throw new ObjectCorruptError(
        name,
        `object "${name}" in ${this.description} is corrupt: ${bytes.length} bytes, ${digest}; ` +
          `expected ${handle.bytes} bytes, ${handle.digest}`,
      );
    }
    return bytes;
  }

  async assertPresent({ name, bytes }: ObjectHandle): Promise<void> {
    const { size } = await this.#found(name, stat(this.#pathOf(name)));
    if (size === bytes) return;
    throw new ObjectCorruptError(
      name,
      `object "${name}" in ${this.description} is corrupt: ${size} bytes; expected ${bytes} bytes`,
    );
  }

  async delete(name: string): Promise<void> {
    const path = this.#pathOf(name);
    try {
      await rm(path, { force: true });
      for (const left of await unfinishedIn(dirname(path), basename(path))) await rm(left, { force: true });
      await this.#removeEmpty(dirname(path));
    } catch (error) {
      const reason = describeError(error);
      throw new StorageRefusedError(`deleting "${name}" from ${this.description}: ${reason}`, {
        cause: error,
        reason,
      });
    }
  }

  async *list(prefix: string): AsyncGenerator<StoredObject> {
    yield* this.#listIn(this.#startOf(prefix), prefix, "objects");
  }

  async *listUnfinished(prefix: string): AsyncGenerator<StoredObject> {
    yield* this.#listIn(this.#startOf(prefix), prefix, "unfinished");
  }

  async *#listIn(
    start: string,
    prefix: string,
    wanted: "objects" | "unfinished",
  ): AsyncGenerator<StoredObject> {
    const directory = join(this.#directory, start);
    const entries = await readdir(directory, { withFileTypes: true }).catch(absentIf("ENOENT", "ENOTDIR"));
    for (const entry of entries ?? []) {
      if (entry.isDirectory()) {
        const below = `${start}${entry.name}/`;
        const leads = below.startsWith(prefix) && !entry.name.startsWith(".");
        if (leads) yield* this.#listIn(below, prefix, wanted);
        continue;
      }
      const unfinished = UNFINISHED.exec(entry.name)?.[1];
      if (entry.name.startsWith(".") && (wanted === "objects" || unfinished === undefined)) continue;
      if (!entry.name.startsWith(".") && wanted === "unfinished") continue;
      const name = start + (unfinished ?? entry.name);
      if (!name.startsWith(prefix)) continue;
      const found = await stat(join(directory, entry.name)).catch(absentIf("ENOENT"));
      if (found !== undefined) yield { name, bytes: found.size };
    }
  }

  async #found<T>(name: string, reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      const directory = await stat(this.#directory).catch(() => undefined);
      if (isOneOf(error, "ENOENT", "ENOTDIR") && directory?.isDirectory()) {
        throw new ObjectMissingError(name, `object "${name}" is not in ${this.description}`, {
          cause: error,
        });
      }
      const reason = describeError(error);
      throw new StorageStalledError(`reading "${name}" from ${this.description}: ${reason}`, {
        cause: error,
        reason,
      });
    }
  }

  /** The same name with the same content is a retry, with other content it is a bug. */
  async #checkPresent(path: string, handle: ObjectHandle): Promise<void> {
    const present = await readFile(path).catch(absentIf("ENOENT"));
    if (present === undefined || digestText(newDigest().update(present)) === handle.digest) return;
    throw new InvariantError(
      `writing "${handle.name}" to ${this.description}: the name is taken by other content`,
    );
  }

  async #create(path: string): Promise<{ file: FileHandle; madeDirectories: boolean }> {
    for (let attempt = 1; ; attempt++) {
      const made = await mkdir(dirname(path), { recursive: true });
      try {
        return { file: await open(path, "wx"), madeDirectories: made !== undefined };
      } catch (error) {
        if (!isOneOf(error, "ENOENT") || attempt === directoryAttempts) throw error;
      }
    }
  }

  async #syncDirectories(directory: string, withParents: boolean): Promise<void> {
    const handle = await open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (withParents && directory !== this.#directory) await this.#syncDirectories(dirname(directory), true);
  }

  async #removeEmpty(directory: string): Promise<void> {
    if (directory === this.#directory) return;
    try {
      await rmdir(directory);
    } catch (error) {
      if (isOneOf(error, "ENOTEMPTY", "EEXIST", "ENOTDIR")) return;
      if (!isOneOf(error, "ENOENT")) throw error;
    }
    await this.#removeEmpty(dirname(directory));
  }

  /** The directory that a listing begins in, with a slash at the end where it is not the whole one. */
  #startOf(prefix: string): string {
    const start = prefix.slice(0, prefix.lastIndexOf("/") + 1);
    if (start !== "") this.#pathOf(start.slice(0, -1));
    return start;
  }

  #pathOf(name: string): string {
    const legal = name.split("/").every((part) => /^[^.\0\\/][^\0\\/]*$/.test(part));
    invariant(legal, `"${name}" is no name of an object in a directory`);
    return join(this.#directory, name.split("/").join(sep));
  }
}

/** `.<last part of the name>.<random>` */
const UNFINISHED = /^\.(.+)\.[0-9a-f]{8}$/;

function unfinishedPathOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}`);
}

async function unfinishedIn(directory: string, base: string): Promise<string[]> {
  const files = (await readdir(directory).catch(absentIf("ENOENT", "ENOTDIR"))) ?? [];
  return files.filter((file) => UNFINISHED.exec(file)?.[1] === base).map((file) => join(directory, file));
}

async function writeAll(
  file: FileHandle,
  name: string,
  pieces: AsyncIterable<Uint8Array>,
): Promise<ObjectHandle> {
  const hash = newDigest();
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      await file.writeFile(piece);
      bytes += piece.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return { name, bytes, digest: digestText(hash) };
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && "syscall" in error;
}

function isOneOf(error: unknown, ...codes: string[]): boolean {
  return isSystemError(error) && codes.includes(error.code ?? "");
}

/** A handler for `catch`: these codes mean that there is nothing. */
function absentIf(...codes: string[]): (error: unknown) => undefined {
  return (error) => {
    if (!isOneOf(error, ...codes)) throw error;
    return undefined;
  };
}
