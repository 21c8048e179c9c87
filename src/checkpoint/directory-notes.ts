/**
 * Notes that the processes of a job leave for each other in the checkpoint directory, to find out whether it is one and
 * the same for all (P53): two hosts may call different directories by one name, and one directory by different names.
 *
 * A note is no object: its name begins with a dot, so `list` never shows it. A killed process leaves its notes, and the
 * next process that leaves one deletes them, once they are old. Other files that begin with a dot are the user's.
 * Whatever has the name of a note and is no file is named, and neither opened nor deleted.
 */
import { constants } from "node:fs";
import { join } from "node:path";
import { describeError, StorageRefusedError, StorageStalledError, TidemarkError } from "../errors.ts";
import type { Files } from "./files.ts";
import { NotReadableError, openPlainFile, plainFileIn, readWhole } from "./plain-file.ts";

/** Errors of a disk that is full or does not answer: they pass, and do not say where the directory is. */
const PASSING = ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE", "EAGAIN", "EINTR"];

/** The beginning of the name of every note's file. The directory may also be the home of other files. */
const START = ".tidemark-note-";

/** Of what other programs write under the name of a note no more is read. */
const NOTE_BYTES_MAX = 4096;

/** A note is written into a file that is there or new: never into a FIFO, a device or what a link leads to. */
const FOR_NOTE =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOFOLLOW;

/** Longer than any proof takes. */
const OLD_MS = 3_600_000;

export class DirectoryNotes {
  /** The absolute path of the directory, as this process names it. */
  readonly path: string;
  readonly #files: Files;

  constructor(path: string, files: Files) {
    this.path = path;
    this.#files = files;
  }

  /**
   * Resolves when the note is on the disk, or on the file server. Leaving it again replaces it.
   * @throws StorageRefusedError, StorageStalledError when the directory does not answer
   */
  async leave(name: string, text: string): Promise<void> {
    await this.#sweep();
    try {
      await this.#assertFile(name);
      const file = await this.#files.open(this.#fileOf(name), FOR_NOTE);
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
      if (cause instanceof TidemarkError) throw cause;
      throw new StorageRefusedError(`directory ${this.path} cannot be written: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /**
   * The text of a note; undefined: there is no such note.
   * @throws StorageStalledError when the directory itself cannot be read
   */
  async read(name: string): Promise<string | undefined> {
    try {
      // Opening a directory makes a network file system ask its server what is in there, instead of its own cache.
      await this.#files.readdir(this.path);
      return await this.#textOf(this.#fileOf(name));
    } catch (cause) {
      if (cause instanceof TidemarkError) throw cause;
      throw new StorageStalledError(`directory ${this.path} cannot be read: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /** Removes a note. Never rejects: what stays is swept later. */
  async remove(name: string): Promise<void> {
    await this.#files.rm(this.#fileOf(name), { force: true }).catch(() => undefined);
  }

  /**
   * Why nothing can be written there at all; undefined: it can, or what is in the way passes.
   * @throws StorageStalledError when the directory does not answer
   */
  async obstacle(): Promise<string | undefined> {
    const name = `writable-${process.pid}`;
    try {
      await this.leave(name, "");
      return undefined;
    } catch (error) {
      if (error instanceof StorageStalledError) throw error;
      const { code = "" } = (error as Error).cause as NodeJS.ErrnoException;
      return PASSING.includes(code) ? undefined : describeError(error);
    } finally {
      await this.remove(name);
    }
  }

  /** Deletes the notes that processes have left that are gone. Never rejects. */
  async #sweep(): Promise<void> {
    const found = await this.#files.readdir(this.path, { withFileTypes: true }).catch(() => []);
    for (const file of found) {
      if (!file.isFile() || !file.name.startsWith(START)) continue;
      const path = join(this.path, file.name);
      const note = await this.#files.stat(path).catch(() => undefined);
      if (note !== undefined && Date.now() - note.mtimeMs > OLD_MS)
        await this.#files.rm(path, { force: true }).catch(() => undefined);
    }
  }

  /** undefined: there is no such file. */
  async #textOf(path: string): Promise<string | undefined> {
    const file = await openPlainFile(path, this.#files).catch(absentIfMissing);
    if (file === undefined) return undefined;
    try {
      const { size } = await file.stat();
      return Buffer.from(await readWhole(file, Math.min(size, NOTE_BYTES_MAX))).toString();
    } finally {
      await file.close();
    }
  }

  async #assertFile(name: string): Promise<void> {
    try {
      await plainFileIn(this.#fileOf(name), this.#files).catch(absentIfMissing);
    } catch (error) {
      if (!(error instanceof NotReadableError)) throw error;
      throw new NotReadableError(`${START}${name}: ${error.message}; delete it`, { cause: error });
    }
  }

  #fileOf(name: string): string {
    return join(this.path, `${START}${name}`);
  }
}

/** A handler for `catch`. */
function absentIfMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
