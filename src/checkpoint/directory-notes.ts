/**
 * Notes that the processes of a job leave for each other in the checkpoint directory, to find out whether it is one and
 * the same for all (P53): two hosts may call different directories by one name, and one directory by different names.
 *
 * A note is no object: its name begins with a dot, so `list` never shows it. A killed process leaves its notes, and the
 * next process that leaves one deletes them, once they are old. Other files that begin with a dot are the user's.
 */
import { open, readdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { describeError, StorageRefusedError, StorageStalledError } from "../errors.ts";

/** Errors of a disk that is full or does not answer: they pass, and do not say where the directory is. */
const PASSING = ["ENOSPC", "EDQUOT", "EIO", "ESTALE", "ETIMEDOUT", "EMFILE", "ENFILE", "EAGAIN", "EINTR"];

/** The beginning of the name of every note's file. The directory may also be the home of other files. */
const START = ".tidemark-note-";

/** Longer than any proof takes. */
const OLD_MS = 3_600_000;

export class DirectoryNotes {
  /** The absolute path of the directory, as this process names it. */
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /**
   * Resolves when the note is on the disk, or on the file server. Leaving it again replaces it.
   * @throws StorageRefusedError
   */
  async leave(name: string, text: string): Promise<void> {
    await this.#sweep();
    try {
      const file = await open(this.#fileOf(name), "w");
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
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
      await readdir(this.path);
      return await readFile(this.#fileOf(name), "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
    } catch (cause) {
      throw new StorageStalledError(`directory ${this.path} cannot be read: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /** Removes a note. Never rejects: what stays is swept later. */
  async remove(name: string): Promise<void> {
    await rm(this.#fileOf(name), { force: true }).catch(() => undefined);
  }

  /** Why nothing can be written there at all; undefined: it can, or what is in the way passes. */
  async obstacle(): Promise<string | undefined> {
    const name = `writable-${process.pid}`;
    try {
      await this.leave(name, "");
      return undefined;
    } catch (error) {
      const { code = "" } = (error as Error).cause as NodeJS.ErrnoException;
      return PASSING.includes(code) ? undefined : describeError(error);
    } finally {
      await this.remove(name);
    }
  }

  /** Deletes the notes that processes have left that are gone. Never rejects. */
  async #sweep(): Promise<void> {
    const files = await readdir(this.path, { withFileTypes: true }).catch(() => []);
    for (const file of files) {
      if (!file.isFile() || !file.name.startsWith(START)) continue;
      const path = join(this.path, file.name);
      const found = await stat(path).catch(() => undefined);
      if (found !== undefined && Date.now() - found.mtimeMs > OLD_MS)
        await rm(path, { force: true }).catch(() => undefined);
    }
  }

  #fileOf(name: string): string {
    return join(this.path, `${START}${name}`);
  }
}
