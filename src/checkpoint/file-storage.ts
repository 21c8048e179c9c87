/**
 * Checkpoint storage in a directory: local, or one that all processes of the job mount.
 *
 * - FS1 An object is written beside its place, synced, then renamed into it, and the directory synced: it is there as
 *   a whole or not at all, also after a power loss.
 * - FS2 `a/b/c` is the file `c` in the directory `a/b`. No part of a name begins with a dot, so unfinished files, which
 *   do, are never taken for objects, and no name leads out of the directory. An unfinished one tells whose it is.
 * - FS3 A file that is not there is missing only while the directory itself is there: an unmounted volume is a stall.
 * - FS4 Only a file is an object. What else has its name is corrupt where the object is read, is not listed, and is
 *   neither replaced nor deleted. It is never opened: a FIFO would wait for its other end.
 */
import { randomUUID } from "node:crypto";
import * as nodeFiles from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { makeDirectories, makeDirectoriesNow } from "../directories.ts";
import {
  ConfigurationError,
  describeError,
  invariant,
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
  TidemarkError,
} from "../errors.ts";
import { type Content, digestText, gathered, newDigest, untilAborted } from "./content.ts";
import { DirectoryNotes } from "./directory-notes.ts";
import type { Files, OpenFile } from "./files.ts";
import { NotReadableError, openPlainFile, plainFileIn, readWhole } from "./plain-file.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "./storage.ts";

/** A directory that a delete has just emptied can go away between its making and its use. */
const directoryAttempts = 5;

export interface FileStorageOptions {
  /** The option that the error names when the directory cannot be used. */
  readonly configurationKey?: string;
  /** The directory is there: nothing is looked at, and nothing made, before the first call. Default false. */
  readonly present?: boolean;
  /** The calls to the file system. Default: Node's own, unbounded. */
  readonly files?: Files;
  /** false: what was written may be lost with the machine; FS1 then holds for the process only. Default true. */
  readonly syncs?: boolean;
  /** Smaller pieces are gathered before they are written. Default 0: each piece is written as it comes. */
  readonly writeBufferBytes?: number;
}

export class FileStorage implements CheckpointStorage {
  readonly description: string;
  readonly notes: DirectoryNotes;
  readonly #directory: string;
  readonly #writeBufferBytes: number;
  readonly #syncs: boolean;
  readonly #files: Files;

  /**
   * Makes the directory when it is not there.
   * @throws ConfigurationError
   */
  constructor(directory: string, options: FileStorageOptions = {}) {
    const { configurationKey = "checkpointing.directory", writeBufferBytes = 0, present = false } = options;
    this.#files = options.files ?? nodeFiles;
    this.#directory = resolve(directory);
    this.#writeBufferBytes = writeBufferBytes;
    this.#syncs = options.syncs ?? true;
    this.description = FileStorage.describe(directory);
    this.notes = new DirectoryNotes(this.#directory, this.#files);
    if (present) return;
    try {
      makeDirectoriesNow(this.#directory);
    } catch (error) {
      throw noDirectory(configurationKey, this.#directory, error);
    }
  }

  /**
   * The storage in a directory that is made when it is not there, without a call that blocks.
   * @throws ConfigurationError, StorageStalledError
   */
  static async make(directory: string, options: FileStorageOptions): Promise<FileStorage> {
    const { configurationKey = "checkpointing.directory", files } = options;
    const path = resolve(directory);
    await makeDirectories(path, files).catch((error: unknown) => {
      if (error instanceof TidemarkError) throw error;
      throw noDirectory(configurationKey, path, error);
    });
    return new FileStorage(path, { ...options, present: true });
  }

  /**
   * The storage for a reader, which makes no directory.
   * @throws ConfigurationError when the directory is not there, StorageStalledError
   */
  static async existing(directory: string, options: FileStorageOptions): Promise<FileStorage> {
    const { configurationKey = "checkpointing.directory", files = nodeFiles } = options;
    const path = resolve(directory);
    const found = await files.stat(path).catch((error: unknown) => {
      if (error instanceof TidemarkError) throw error;
      return undefined;
    });
    if (found?.isDirectory()) return new FileStorage(path, { ...options, present: true });
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
        const handle = await writeAll(file, name, pieces, this.#syncs);
        await this.#checkPresent(path, handle);
        await this.#files.rename(unfinished, path);
        if (this.#syncs) await this.#syncDirectories(dirname(path), madeDirectories);
        return handle;
      } catch (error) {
        await this.#files.rm(unfinished, { force: true }).catch(() => undefined);
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

  async get({ name, bytes, digest }: ObjectHandle): Promise<Uint8Array> {
    const opened = await this.#found(name, openPlainFile(this.#pathOf(name), this.#files));
    try {
      const { size } = await this.#found(name, opened.stat());
      // A file of another size is not read: it may be of any size.
      if (size !== bytes) throw this.#corrupt(name, `${size} bytes; expected ${bytes} bytes, ${digest}`);
      const content = await this.#found(name, readWhole(opened, bytes));
      const found = digestText(newDigest().update(content));
      if (found === digest) return content;
      throw this.#corrupt(name, `${content.length} bytes, ${found}; expected ${bytes} bytes, ${digest}`);
    } finally {
      await opened.close().catch(() => undefined);
    }
  }

  async assertPresent({ name, bytes }: ObjectHandle): Promise<void> {
    const { size } = await this.#found(name, plainFileIn(this.#pathOf(name), this.#files));
    if (size !== bytes) throw this.#corrupt(name, `${size} bytes; expected ${bytes} bytes`);
  }

  #corrupt(name: string, found: string, cause?: unknown): ObjectCorruptError {
    const text = `object "${name}" in ${this.description} is corrupt: ${found}`;
    return new ObjectCorruptError(name, text, { cause });
  }

  async delete(name: string): Promise<void> {
    const path = this.#pathOf(name);
    try {
      await this.#removeFile(path);
      for (const left of await this.#unfinishedIn(dirname(path), basename(path)))
        await this.#files.rm(left, { force: true });
      await this.#removeEmpty(dirname(path));
    } catch (error) {
      if (error instanceof TidemarkError) throw error;
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
    const entries = await this.#entriesOf(directory);
    for (const entry of entries) {
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
      const found = await this.#files
        .stat(join(directory, entry.name))
        .catch(absentIf("ENOENT", ...UNREADABLE));
      if (found?.isFile()) yield { name, bytes: found.size };
    }
  }

  async #entriesOf(directory: string) {
    try {
      return (
        (await this.#files
          .readdir(directory, { withFileTypes: true })
          .catch(absentIf("ENOENT", "ENOTDIR"))) ?? []
      );
    } catch (cause) {
      if (cause instanceof TidemarkError) throw cause;
      const reason = describeError(cause);
      throw new StorageStalledError(`listing ${directory} in ${this.description}: ${reason}`, {
        cause,
        reason,
      });
    }
  }

  async #found<T>(name: string, reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      if (error instanceof NotReadableError) throw this.#corrupt(name, error.message, error.cause);
      if (!isSystemError(error)) throw error;
      const directory = await this.#files.stat(this.#directory).catch(() => undefined);
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

  /** The same name with the same content is a retry. @throws StorageRefusedError when something else is there */
  async #checkPresent(path: string, handle: ObjectHandle): Promise<void> {
    const taken = await this.#files.lstat(path).catch(absentIf("ENOENT"));
    if (taken === undefined) return;
    const same = await this.get(handle).then(
      () => true,
      (error: unknown) => {
        if (error instanceof ObjectCorruptError || error instanceof ObjectMissingError) return false;
        throw error;
      },
    );
    if (same) return;
    const reason = `the name is taken by other content: ${path}`;
    throw new StorageRefusedError(`writing "${handle.name}" to ${this.description}: ${reason}`, { reason });
  }

  async #create(path: string): Promise<{ file: OpenFile; madeDirectories: boolean }> {
    for (let attempt = 1; ; attempt++) {
      const made = await makeDirectories(dirname(path), this.#files);
      try {
        return { file: await this.#files.open(path, "wx"), madeDirectories: made !== undefined };
      } catch (error) {
        if (!isOneOf(error, "ENOENT") || attempt === directoryAttempts) throw error;
      }
    }
  }

  async #syncDirectories(directory: string, withParents: boolean): Promise<void> {
    const handle = await this.#files.open(directory, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (withParents && directory !== this.#directory) await this.#syncDirectories(dirname(directory), true);
  }

  async #unfinishedIn(directory: string, base: string): Promise<string[]> {
    const reading = this.#files.readdir(directory, { withFileTypes: true });
    return ((await reading.catch(absentIf("ENOENT", "ENOTDIR"))) ?? [])
      .filter((file) => file.isFile() && UNFINISHED.exec(file.name)?.[1] === base)
      .map(({ name }) => join(directory, name));
  }

  /** Deletes the file, or the link to one. What else is there is none of ours (FS4). */
  async #removeFile(path: string): Promise<void> {
    const found = await this.#files.lstat(path).catch(absentIf("ENOENT", "ENOTDIR"));
    if (found?.isFile() || found?.isSymbolicLink()) await this.#files.rm(path, { force: true });
  }

  async #removeEmpty(directory: string): Promise<void> {
    if (directory === this.#directory) return;
    try {
      await this.#files.rmdir(directory);
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

function noDirectory(key: string, path: string, cause: unknown): ConfigurationError {
  const why = isOneOf(cause, "EEXIST", "ENOTDIR") ? "there is a file of this name" : describeError(cause);
  return new ConfigurationError(key, `${key}: ${path} cannot be a directory: ${why}`, { cause });
}

/** The codes of what has a name and cannot be looked at: it is no object. */
const UNREADABLE = ["ELOOP", "EACCES", "EPERM"];

/** `.<last part of the name>.<random>` */
const UNFINISHED = /^\.(.+)\.[0-9a-f]{8}$/;

function unfinishedPathOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${randomUUID().slice(0, 8)}`);
}

async function writeAll(
  file: OpenFile,
  name: string,
  pieces: AsyncIterable<Uint8Array>,
  syncs: boolean,
): Promise<ObjectHandle> {
  const hash = newDigest();
  let bytes = 0;
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      await file.writeFile(piece);
      bytes += piece.length;
    }
    if (syncs) await file.sync();
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
