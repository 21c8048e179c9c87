/**
 * Second copies of the state that subtasks of this process store, on a disk of its machine (P102): what a restore reads
 * there it need not ask the storage for.
 *
 * Owns: the directory of copies, and who has it. Does not own: which state is needed (worker/snapshots), the storage,
 * whose objects alone count.
 *
 * - LB1 A copy is taken only for the very object that is asked for: same name, size and digest. One that is damaged,
 *   or missing, is passed over, with a warning, and the storage is read.
 * - LB2 Nothing waits for a copy. A copy that cannot be written, or not as fast as the object, is given up with a
 *   warning.
 * - LB3 Each process has a directory of its own below the root, `<job>-<number>`. One whose process is gone is taken by
 *   the next worker of the job, with all copies in it. It is gone when its machine has no such process; one of another
 *   machine, when it has not said for two minutes that it lives.
 */
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import { makeDirectoriesNow } from "../directories.ts";
import { describeError, EnvironmentError } from "../errors.ts";
import type { Content } from "./content.ts";
import { FileStorage } from "./file-storage.ts";
import type { CheckpointStorage, ObjectHandle } from "./storage.ts";

const OWNER = "owner.json";
const SAYS_EVERY_MS = 30_000;
const GONE_AFTER_MS = 120_000;
/** More workers of one job than a machine has. */
const NUMBERS = 1000;
/** So much of an object may wait for the disk. */
const WAITING_BYTES_MAX = 16 * 1024 * 1024;
const WARNED_EVERY_MS = 10_000;

export interface LocalCopiesOptions {
  readonly root: string;
  readonly job: string;
  readonly clock: Clock;
  readonly warn: (facts: Readonly<Record<string, unknown>>, message: string) => void;
}

/** What a restore has read. */
export interface ReadBytes {
  local: number;
  stored: number;
}

/** Where copies lie. `get` answers the very object that is asked for, or rejects (LB1). */
export type CopyFiles = Pick<CheckpointStorage, "put" | "get" | "delete">;

interface CopiesInDirectory extends Pick<LocalCopiesOptions, "clock" | "warn"> {
  readonly directory: string;
  readonly files: CopyFiles;
  /** The names of all that lies there. */
  readonly names: Iterable<string>;
  /** The directory is free for another process. */
  readonly release: () => void;
}

export class LocalCopies {
  readonly directory: string;
  readonly #options: CopiesInDirectory;
  readonly #files: CopyFiles;
  readonly #names: Set<string>;
  #lastWarningMs = Number.NEGATIVE_INFINITY;

  constructor(options: CopiesInDirectory) {
    this.directory = options.directory;
    this.#options = options;
    this.#files = options.files;
    this.#names = new Set(options.names);
  }

  /** @throws EnvironmentError, ConfigurationError: the directory cannot be made or written */
  static async open(options: LocalCopiesOptions): Promise<LocalCopies> {
    const owned = new OwnedDirectory(options);
    const { directory } = owned;
    const files = new FileStorage(join(directory, "objects"), {
      configurationKey: "checkpointing.localDirectory",
      syncs: false,
    });
    const names: string[] = [];
    for await (const { name } of files.list("")) names.push(name);
    return new LocalCopies({ ...options, directory, files, names, release: () => owned.release() });
  }

  /** The names of all objects that have a copy. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** The content for the storage; what is read of it is written here, too. */
  copying(name: string, content: Content): Content {
    const copy = new Copy();
    void this.#write(name, copy);
    return copy.passing(content);
  }

  /** @param stored reads it from the storage */
  async read(
    handle: ObjectHandle,
    read: ReadBytes,
    stored: (handle: ObjectHandle) => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    if (this.#names.has(handle.name)) {
      try {
        const content = await this.#files.get(handle);
        read.local += handle.bytes;
        return content;
      } catch (error) {
        this.#warn(handle.name, error, "a local copy of state cannot be used; it is read from the storage");
        await this.#forget(handle.name);
      }
    }
    const content = await stored(handle);
    read.stored += handle.bytes;
    void this.#write(handle.name, [content]);
    return content;
  }

  /** Removes the copies that this is true of. */
  remove(isSuperfluous: (name: string) => boolean): void {
    for (const name of this.#names) if (isSuperfluous(name)) void this.#forget(name);
  }

  /** The copies stay for the next process. */
  close(): void {
    this.#options.release();
  }

  async #write(name: string, content: Content): Promise<void> {
    try {
      await this.#files.put(name, content);
      this.#names.add(name);
    } catch (error) {
      if (!(error instanceof GivenUpError))
        this.#warn(name, error, "state has no local copy: a restore would read it from the storage");
    }
  }

  async #forget(name: string): Promise<void> {
    this.#names.delete(name);
    await this.#files.delete(name).catch(() => undefined);
  }

  #warn(object: string, error: unknown, message: string): void {
    const nowMs = this.#options.clock.elapsedMs();
    if (nowMs - this.#lastWarningMs < WARNED_EVERY_MS) return;
    this.#lastWarningMs = nowMs;
    this.#options.warn({ object, directory: this.directory, reason: describeError(error) }, message);
  }
}

/** The object did not come to its end, so there is nothing to copy. */
class GivenUpError extends Error {}

/** The pieces of one object on their way to its copy. */
class Copy implements AsyncIterable<Uint8Array> {
  #pieces: Uint8Array[] = [];
  #bytes = 0;
  #end: "open" | "complete" | Error = "open";
  #wake = (): void => {};

  async *passing(content: Content): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of content) {
        this.#add(piece);
        yield piece;
      }
      if (this.#end === "open") this.#end = "complete";
    } finally {
      if (this.#end === "open") this.#end = new GivenUpError("the object was given up");
      this.#wake();
    }
  }

  #add(piece: Uint8Array): void {
    if (this.#end !== "open") return;
    this.#pieces.push(piece);
    this.#bytes += piece.byteLength;
    if (this.#bytes > WAITING_BYTES_MAX) {
      this.#pieces = [];
      this.#end = new Error("the local disk is slower than the checkpoint storage");
    }
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const pieces = this.#pieces;
      this.#pieces = [];
      for (const piece of pieces) {
        yield piece;
        this.#bytes -= piece.byteLength;
      }
      if (this.#pieces.length > 0) continue;
      if (this.#end === "complete") return;
      if (this.#end !== "open") throw this.#end;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** A directory that this process has claimed; says now and then that the process lives (LB3). */
class OwnedDirectory {
  readonly directory: string;
  readonly #clock: Clock;
  #isOpen = true;

  constructor(options: LocalCopiesOptions) {
    this.directory = claim(options);
    this.#clock = options.clock;
    this.#sayAlive();
  }

  release(): void {
    this.#isOpen = false;
    rmSync(join(this.directory, OWNER), { force: true });
  }

  #sayAlive(): void {
    if (!this.#isOpen) return;
    try {
      const now = new Date(this.#clock.nowMs());
      utimesSync(join(this.directory, OWNER), now, now);
    } catch {
      // Without the file the next worker takes the directory, whose objects are checked one by one (LB1).
    }
    this.#clock.after(SAYS_EVERY_MS, () => this.#sayAlive(), false);
  }
}

interface Owner {
  readonly pid: number;
  readonly host: string;
}

function claim({ root, job, clock }: LocalCopiesOptions): string {
  try {
    for (let number = 0; number < NUMBERS; number++) {
      const path = join(root, `${job}-${number}`);
      makeDirectoriesNow(path);
      if (takes(path, clock)) return path;
    }
  } catch (error) {
    const why = describeError(error);
    throw new EnvironmentError(
      `the directory of local copies ${root} on host ${hostname()} cannot be used: ${why}; give one where this user may ` +
        "write (checkpointing.localDirectory), or leave checkpointing.localRecovery out",
      { cause: error },
    );
  }
  throw new EnvironmentError(
    `the directory of local copies ${root} on host ${hostname()} has ${NUMBERS} directories of job "${job}", and each ` +
      "belongs to a process that lives: give another one (checkpointing.localDirectory)",
  );
}

/** false: it belongs to another process that lives. */
function takes(path: string, clock: Clock): boolean {
  const place = join(path, OWNER);
  const owner = readOwner(place);
  if (owner !== undefined) {
    if (lives(owner, place, clock)) return false;
    try {
      // Two workers may find the same one abandoned: one of them moves it.
      renameSync(place, `${place}.${process.pid}`);
      rmSync(`${place}.${process.pid}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }
  try {
    const self: Owner = { pid: process.pid, host: hostname() };
    writeFileSync(place, JSON.stringify(self), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readOwner(place: string): Owner | undefined {
  try {
    const { pid, host } = JSON.parse(readFileSync(place, "utf8"));
    return { pid, host };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    return { pid: 0, host: "" };
  }
}

function lives({ pid, host }: Owner, place: string, clock: Clock): boolean {
  if (host === hostname()) return pid !== process.pid && isAlive(pid);
  const saidMs = statSync(place, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return clock.nowMs() - saidMs < GONE_AFTER_MS;
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
