/**
 * The directory of a file sink: names of its files, and the durable things that are done to them.
 *
 * Owns: every path, every fsync, and what an error of the file system means. Decides nothing; file-sink.ts does.
 */
import { constants, type Stats } from "node:fs";
import type * as nodeFiles from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { crc32 } from "node:zlib";
import { makeDirectories } from "../directories.ts";
import { CommitRefusedError, ConfigurationError, EnvironmentError } from "../errors.ts";
import {
  encodeMarker,
  parseMarker,
  type TransactionMarker,
} from "../formats/transactions/transaction-marker.ts";
import { shellCommand } from "../shell-command.ts";

/** The calls that the sink makes; tests put faults in between. */
export type SinkFiles = Pick<
  typeof nodeFiles,
  "mkdir" | "open" | "readdir" | "readFile" | "rename" | "rmdir" | "stat" | "unlink"
>;

const CHUNK_BYTES = 256 * 1024;
/** What is there is written over, unless it is a FIFO, which would wait for its reader, or a link. */
const FOR_WRITING =
  constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NONBLOCK | constants.O_NOFOLLOW;
const LINE_FEED = 10;
/** Behind the name of an open file that a savepoint names. */
const KEPT = ".kept";

/** What a fork notes beside the other job's marker: it may rename a transaction now, or has renamed it (FK5). */
export type TransactionNote = "publishing" | "published";

export interface WriterName {
  readonly incarnation: string;
  readonly operator: string;
  readonly writer: number;
}

/** The directory: names of files, and what is done to them durably. */
export class SinkFolder {
  readonly files: SinkFiles;
  /** Absolute. */
  readonly directory: string;
  /** The first part of every file's name. */
  readonly name: string;
  readonly #hidden: string;

  constructor(directory: string, name: string, files: SinkFiles) {
    this.files = files;
    this.directory = resolve(directory);
    this.#hidden = join(this.directory, ".tidemark");
    this.name = name;
  }

  /** @throws ConfigurationError when it is no directory, EnvironmentError when it cannot be written */
  async provide(): Promise<void> {
    try {
      const made = await makeDirectories(this.#hidden, this.files);
      if (made !== undefined) await this.#syncDownFrom(dirname(made));
      await this.#probe();
    } catch (cause) {
      throw this.#unprovidable(cause);
    }
  }

  /**
   * Checks what `provide` does and makes nothing: whether it can write is tried in the nearest directory that exists.
   */
  async assertProvidable(): Promise<void> {
    try {
      let path = this.#hidden;
      while ((await this.#look(path)) === undefined) path = dirname(path);
      if (path === this.#hidden) return await this.#probe();
      const trial = join(path, `.tidemark-${probeName()}`);
      await this.files.mkdir(trial);
      await this.files.rmdir(trial);
    } catch (cause) {
      throw this.#unprovidable(cause);
    }
  }

  async #probe(): Promise<void> {
    const probe = this.hiddenPath(probeName());
    await (await this.files.open(probe, "w")).close();
    await this.files.unlink(probe);
  }

  #unprovidable(cause: unknown): ConfigurationError | EnvironmentError {
    const code = codeOf(cause);
    return code === "EEXIST" || code === "ENOTDIR"
      ? new ConfigurationError("directory", `${this.directory} is a file, or lies below one`, { cause })
      : new EnvironmentError(`the file sink cannot write to ${this.directory} (${code})`, { cause });
  }

  openPath(at: WriterName, generation: number, counter: number): string {
    return `${prefixOf(at)},${generation},${counter}.open`;
  }

  hiddenPath(file: string): string {
    return join(this.#hidden, file);
  }

  finalPath(at: WriterName, checkpointId: number): string {
    const writer = String(at.writer).padStart(3, "0");
    const transaction = String(checkpointId).padStart(10, "0");
    const file = `${this.name}-${encodeURIComponent(at.operator)}-${encodeURIComponent(at.incarnation)}-${writer}-${transaction}`;
    return join(this.directory, file);
  }

  /** Generations that have left a marker for this writer, ascending. */
  async markerGenerations(at: WriterName): Promise<number[]> {
    const found = await this.#hiddenFiles(`${prefixOf(at)},`, ".marker");
    return found.map((file) => Number(file.split(",")[3]!.replace(".marker", ""))).sort((a, b) => a - b);
  }

  /** The markers of all writers, of any job; what is no marker is left out. */
  async markers(): Promise<TransactionMarker[]> {
    if ((await this.#look(this.#hidden)) === undefined) return [];
    const found: TransactionMarker[] = [];
    for (const file of await this.#hiddenFiles("", ".marker"))
      try {
        found.push(await this.#markerIn(this.hiddenPath(file)));
      } catch (error) {
        if (!(error instanceof CommitRefusedError) && codeOf(error) !== "ENOENT") throw error;
      }
    return found;
  }

  async readMarker(at: WriterName, generation: number): Promise<TransactionMarker> {
    return await this.#markerIn(this.#markerPath(at, generation));
  }

  async #markerIn(path: string): Promise<TransactionMarker> {
    assertFile(path, await this.files.stat(path));
    return parseMarker(await this.files.readFile(path, "utf8"), basename(path), path);
  }

  /** Writes the marker durably: all of it or nothing. */
  async writeMarker(at: WriterName, marker: TransactionMarker): Promise<void> {
    const path = this.#markerPath(at, marker.generation);
    const draft = `${path}.draft`;
    const file = await this.files.open(draft, FOR_WRITING);
    try {
      await file.writeFile(encodeMarker(marker, basename(path)));
      await file.sync();
    } finally {
      await file.close();
    }
    await this.files.rename(draft, path);
    await this.#syncFolder(this.#hidden);
  }

  removeMarker(at: WriterName, generation: number): Promise<void> {
    return this.remove(this.#markerPath(at, generation));
  }

  /** Writes a note on transaction `checkpointId` durably (FK5). The same note once more changes nothing. */
  async note(at: WriterName, checkpointId: number, note: TransactionNote): Promise<void> {
    const file = await this.files.open(this.notePath(at, checkpointId, note), FOR_WRITING);
    await file.close();
    await this.#syncFolder(this.#hidden);
  }

  /** The newest transaction that has such a note; 0: none has. */
  async noted(at: WriterName, note: TransactionNote): Promise<number> {
    const end = `.${note}`;
    const found = await this.#hiddenFiles(`${prefixOf(at)},`, end);
    return Math.max(0, ...found.map((file) => Number(file.split(",")[3]!.slice(0, -end.length))));
  }

  notePath(at: WriterName, checkpointId: number, note: TransactionNote): string {
    return this.hiddenPath(`${prefixOf(at)},${checkpointId}.${note}`);
  }

  /** Renames `file` to `finalPath` durably. Answers false when `file` is not there. */
  async publish(file: string, finalPath: string): Promise<boolean> {
    try {
      await this.files.rename(this.hiddenPath(file), finalPath);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return false;
      throw error;
    }
    await this.syncVisible();
    return true;
  }

  syncVisible(): Promise<void> {
    return this.#syncFolder(this.directory);
  }

  syncHidden(): Promise<void> {
    return this.#syncFolder(this.#hidden);
  }

  /**
   * The size of a file in bytes; undefined: the file does not exist.
   * @throws CommitRefusedError when what is there is no file
   */
  async sizeOf(path: string): Promise<number | undefined> {
    const found = await this.#look(path);
    if (found === undefined) return undefined;
    assertFile(path, found);
    return found.size;
  }

  /** CRC-32 of a file that is there. */
  async checksumOf(path: string): Promise<number> {
    const file = await this.files.open(path, "r");
    try {
      const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
      let checksum = 0;
      for (;;) {
        const { bytesRead } = await file.read(chunk, 0, chunk.length, null);
        if (bytesRead === 0) return checksum;
        checksum = crc32(chunk.subarray(0, bytesRead), checksum);
      }
    } finally {
      await file.close();
    }
  }

  async #look(path: string): Promise<Stats | undefined> {
    try {
      return await this.files.stat(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Removes a file, if it is there. */
  async remove(path: string): Promise<void> {
    try {
      await this.files.unlink(path);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }

  /** Notes that a savepoint names these files, so that `leftOver` does not. Durable. */
  async keep(files: readonly string[]): Promise<void> {
    for (const file of files)
      await (await this.files.open(this.hiddenPath(file + KEPT), FOR_WRITING)).close();
    if (files.length > 0) await this.#syncFolder(this.#hidden);
  }

  /** Takes that back: the file has its final name. */
  dropKept(file: string): Promise<void> {
    return this.remove(this.hiddenPath(file + KEPT));
  }

  /** The names of open files that older generations have left and no savepoint names, and of notes about none. */
  async leftOver(at: WriterName, generation: number): Promise<string[]> {
    const prefix = `${prefixOf(at)},`;
    const isOlder = (file: string) => Number(file.split(",")[3]) < generation;
    const open = (await this.#hiddenFiles(prefix, ".open")).filter(isOlder);
    const kept = (await this.#hiddenFiles(prefix, KEPT)).filter(isOlder);
    const named = new Set(kept.map((file) => file.slice(0, -KEPT.length)));
    const over = kept.filter((file) => !open.includes(file.slice(0, -KEPT.length)));
    return [...open.filter((file) => !named.has(file)), ...over];
  }

  /** The writers of the sink that have left open files or notes about such, and are not among its `parallelism` now. */
  async goneWriters(
    { incarnation, operator }: Omit<WriterName, "writer">,
    parallelism: number,
  ): Promise<number[]> {
    const prefix = `${encodeURIComponent(operator)},${encodeURIComponent(incarnation)},`;
    const left = [...(await this.#hiddenFiles(prefix, ".open")), ...(await this.#hiddenFiles(prefix, KEPT))];
    return [...new Set(left.map((file) => Number(file.split(",")[2])))].filter(
      (writer) => writer >= parallelism,
    );
  }

  describeMarker(at: WriterName): string {
    return `marker of writer ${at.writer} of sink ${at.operator} in ${this.#hidden}`;
  }

  async #hiddenFiles(start: string, end: string): Promise<string[]> {
    const files = await this.files.readdir(this.#hidden);
    return files.filter((file) => file.startsWith(start) && file.endsWith(end));
  }

  #markerPath(at: WriterName, generation: number): string {
    return this.hiddenPath(`${prefixOf(at)},${generation}.marker`);
  }

  /** The names of folders that were made, each in the one above it. */
  async #syncDownFrom(parent: string): Promise<void> {
    for (let folder = dirname(this.#hidden); ; folder = dirname(folder)) {
      await this.#syncFolder(folder);
      if (folder === parent) return;
    }
  }

  async #syncFolder(path: string): Promise<void> {
    const folder = await this.files.open(path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

/**
 * Deletes what a sink has kept in `.tidemark` in one life of its job; to be run in the sink's directory. Transactions
 * of savepoints are among it, and what says that they are committed (FK5), so the user says when nothing more is
 * restored from them.
 */
export function sweepCommand({ operator, incarnation }: Omit<WriterName, "writer">): string {
  const names = `${encodeURIComponent(operator)},${encodeURIComponent(incarnation)},*`;
  return shellCommand("find", ".tidemark", "-name", names, "-delete");
}

const probeName = (): string => `probe-${process.pid}-${Math.random().toString(36).slice(2)}`;

/** Encoded names hold no comma, so the fields of a hidden file's name can be told apart. */
function prefixOf({ operator, incarnation, writer }: WriterName): string {
  return `${encodeURIComponent(operator)},${encodeURIComponent(incarnation)},${writer}`;
}

interface FileEvents {
  readonly onWritten: () => void;
  /** May be called more than once. */
  readonly onFailed: (cause: unknown) => void;
}

/** The file of one transaction: lines go in synchronously, chunks are written behind one another. */
export class TransactionFile {
  readonly name: string;
  bytes = 0;
  /** CRC-32 of the bytes. */
  checksum = 0;
  waitingBytes = 0;
  readonly #handle: Promise<nodeFiles.FileHandle>;
  readonly #folder: SinkFolder;
  readonly #events: FileEvents;
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #used = 0;
  #written: Promise<void>;

  constructor(folder: SinkFolder, name: string, events: FileEvents) {
    this.name = name;
    this.#folder = folder;
    this.#events = events;
    this.#handle = folder.files.open(folder.hiddenPath(name), "wx");
    this.#written = this.#handle.then(() => {});
    this.#written.catch(events.onFailed);
  }

  append(line: string): void {
    const most = line.length * 3 + 1;
    if (this.#used + most > this.#chunk.length) {
      this.#handOver();
      if (most > this.#chunk.length) this.#chunk = Buffer.allocUnsafeSlow(most);
    }
    this.#used += this.#chunk.write(line, this.#used, "utf8");
    this.#chunk[this.#used] = LINE_FEED;
    this.#used += 1;
  }

  /** Resolves when content and name are durable. */
  async finish(): Promise<void> {
    this.#handOver();
    const handle = await this.#handle;
    try {
      await this.#written;
      await handle.sync();
    } finally {
      await handle.close();
    }
    await this.#folder.syncHidden();
  }

  async discard(): Promise<void> {
    await this.#written.catch(() => {});
    await this.#handle.then((handle) => handle.close()).catch(() => {});
    await this.#folder.remove(this.#folder.hiddenPath(this.name));
  }

  #handOver(): void {
    if (this.#used === 0) return;
    const chunk = this.#chunk.subarray(0, this.#used);
    this.bytes += chunk.length;
    this.checksum = crc32(chunk, this.checksum);
    this.waitingBytes += chunk.length;
    this.#chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#used = 0;
    this.#written = this.#written.then(async () => {
      await (await this.#handle).writeFile(chunk);
      this.waitingBytes -= chunk.length;
      this.#events.onWritten();
    });
    this.#written.catch(this.#events.onFailed);
  }
}

/** @throws CommitRefusedError */
function assertFile(path: string, found: Stats): void {
  if (found.isFile()) return;
  const kind = found.isDirectory() ? "a directory" : found.isFIFO() ? "a FIFO" : "a device or socket";
  throw new CommitRefusedError(
    `${path}: ${kind} is in its place; put the file back, then start the job again`,
  );
}

/** ENOENT, ENOSPC, … */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException | undefined)?.code ?? "unknown";
}
