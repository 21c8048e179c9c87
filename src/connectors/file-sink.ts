/**
 * The file sink: each transaction is one file of lines, which gets its final name when it is committed.
 *
 * Owns: the files in one directory. Everything unfinished lies in its hidden folder `.tidemark`, on the same file
 * system, so that a reader of the directory sees complete files only.
 * Does not own: what a marker means (dataflow/transaction-marker.ts).
 *
 * - FK1 An open transaction is a hidden file named after incarnation, generation, writer and a counter; a cut closes it
 *   after fsync (P13); the commit renames it (C2). The committable names the file.
 * - FK2 A marker file per (incarnation, sink, writer, generation) says which transaction may have been renamed (part 0
 *   of 1), durably before the rename, and that it has been (part 1 of 1), durably after it. Between the two what is
 *   there decides (P54): the hidden file is renamed; where there is only the finished one, it was. Where there is
 *   neither, the job stops by name: that a reader took the finished file away within this moment cannot be told from a
 *   loss, so the user says it.
 * - FK3 Each generation writes only its own marker file; the newest one counts, and fences older generations (P23).
 *   Between a zombie's look at it and its rename a newer generation may have begun: harmless, since both rename the
 *   same decided transaction to the same name.
 * - FK4 Hidden files of older generations are swept only after the first commit of a transaction that this generation
 *   has cut: all recovered ones of this writer, and of those that a rescale has left none of and that it stands for,
 *   were committed before it (P17). Those that a savepoint names stay, which is said beside them before the savepoint
 *   is complete: the job may go back behind it, and a new one be restored.
 * - FK5 A fork says in files of its own which transaction of another job it is renaming, and has renamed, as durably
 *   and in the same order, and leaves that job's marker alone. Both read both, so that each finds done what the other
 *   has done, and that job cannot go back behind it.
 * - FK6 What a job has kept here when it ends stays: a savepoint, of whose end the sink knows nothing, may name a
 *   hidden file, and a job that is restored from it asks the marker what is committed. A later life of the job cannot
 *   sweep it either, for an incarnation in the same directory may be that of another job. `tidemark dispose job:JOB`
 *   prints the command that does.
 * - FK7 A marker's file has a check sum over its content and its name, and a committable has that of its file. What an
 *   older process has left is read before it is renamed, so neither a changed file nor another one is published.
 * - FK8 A fork says that it is renaming, then looks whether the job has a newer generation than its leader knows of;
 *   that generation writes its marker, then looks what forks have said. So one of the two sees the other: either the
 *   fork renames nothing, or the job does not go back behind what it has renamed (TM6).
 */
import * as nodeFiles from "node:fs/promises";
import { checkMembers } from "../config/members.ts";
import { show } from "../config/quantity.ts";
import type { ConnectorEnvironment } from "../dataflow/connector.ts";
import type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  Sink,
  SinkEnvironment,
  SinkWriter,
} from "../dataflow/sink.ts";
import {
  assertKnownOwner,
  assertNotBeyond,
  memoryOf,
  missingMarker,
  partsCommitted,
  signature,
  takeOver,
  unknownLife,
} from "../dataflow/transaction-marker.ts";
import {
  CommitRefusedError,
  ConfigurationError,
  FencedError,
  RecordRefusedError,
  StorageRefusedError,
} from "../errors.ts";
import {
  type FileTransactionDetail,
  parseFileTransaction,
} from "../formats/transactions/transaction-detail.ts";
import {
  type MarkerMemory,
  parseMarkerMemory,
  type TransactionMarker,
} from "../formats/transactions/transaction-marker.ts";
import { shellCommand } from "../shell-command.ts";
import { describeValue, silence } from "../state/described.ts";
import { jsonText } from "./json-text.ts";
import { codeOf, type SinkFiles, SinkFolder, TransactionFile, type WriterName } from "./sink-folder.ts";

/** The options of `fileSink`. */
export interface FileSinkOptions<T> {
  /** Is created when it does not exist. Every process that runs this sink must see the same one. */
  readonly directory: string;
  /** How a record becomes a line. Default "json". */
  readonly encode?: "json" | "text" | ((value: T) => string);
  /** What the names of files begin with: letters, digits, underscores. Default "part". */
  readonly name?: string;
}

const WAITING_BYTES_MAX = 4 * 1024 * 1024;
const DECIDED_MAX = 2;

/**
 * Writes each record exactly once, as a line of a file that appears when its checkpoint commits. @throws
 * ConfigurationError
 */
export function fileSink<T>(options: FileSinkOptions<T>, files: SinkFiles = nodeFiles): Sink<T> {
  checkMembers(options, ["directory", "encode", "name"], "fileSink", "option");
  const { directory, encode = "json", name = "part" } = options;
  if (encode !== "json" && encode !== "text" && typeof encode !== "function") {
    throw new ConfigurationError(
      "encode",
      `fileSink: encode must be "json", "text" or a function, got ${show(encode)}`,
    );
  }
  if (typeof directory !== "string" || directory === "")
    throw new ConfigurationError("directory", `fileSink: directory must be a path, got ${show(directory)}`);
  if (!/^\w+$/.test(name)) {
    throw new ConfigurationError(
      "name",
      `fileSink: name must be letters, digits and underscores, got ${show(name)}`,
    );
  }
  const folder = new SinkFolder(directory, name, files);
  return {
    kind: "file",
    guarantee: "exactly-once",
    async check({ dryRun, unrecorded, job }: ConnectorEnvironment) {
      await (dryRun ? folder.assertProvidable() : folder.provide());
      if (unrecorded === undefined) return;
      const refusal = unknownLife(await folder.markers(), job, folder.directory, unrecorded);
      if (refusal !== undefined) throw refusal;
    },
    async open(environment) {
      await folder.provide();
      const writer = new FileWriter(folder, lineOf(encode), environment);
      await writer.takeOver(
        environment.subtaskIndex,
        parseMarkerMemory(environment.restoredState, environment.operator),
      );
      return writer;
    },
  };
}

function lineOf<T>(encode: NonNullable<FileSinkOptions<T>["encode"]>): (value: T) => string {
  if (typeof encode === "function") return encode;
  return encode === "json" ? jsonText : (value) => value as string;
}

class FileWriter<T> implements SinkWriter<T> {
  readonly #folder: SinkFolder;
  readonly #lineOf: (value: T) => string;
  readonly #environment: SinkEnvironment;
  readonly #markers = new Map<number, TransactionMarker>();
  /** By checkpoint, the files that this generation has cut. */
  readonly #uncommitted = new Map<number, string>();
  #open: TransactionFile | undefined;
  #counter = 0;
  #committing = false;
  #swept = false;
  #closed = false;
  #wake: () => void = () => {};

  constructor(folder: SinkFolder, toLine: (value: T) => string, environment: SinkEnvironment) {
    this.#folder = folder;
    this.#lineOf = toLine;
    this.#environment = environment;
  }

  async takeOver(writer: number, memory: MarkerMemory | undefined): Promise<TransactionMarker> {
    const folder = this.#folder;
    const at = this.#nameOf(writer);
    const { restoredCheckpointId } = this.#environment;
    const generations = await folder.markerGenerations(at);
    const newest = generations.at(-1);
    const found = newest === undefined ? undefined : await this.#standing(at, newest);
    const owner = signature(this.#environment);
    const wanted = takeOver(found, owner, { restoredCheckpointId, memory }, folder.describeMarker(at));
    if (wanted !== found) {
      await folder.writeMarker(at, wanted);
      // What a fork has said before it could see this marker (FK8).
      const standing = await withNotes(wanted, at, folder);
      assertNotBeyond(standing, restoredCheckpointId, folder.describeMarker(at));
    }
    // Older markers go only now, so that there is one at every moment.
    for (const generation of generations) {
      if (generation < this.#environment.generation) await folder.removeMarker(at, generation);
    }
    this.#markers.set(writer, wanted);
    return wanted;
  }

  write(value: T): void {
    const line = this.#lineOf(value);
    if (typeof line !== "string") {
      silence(line);
      throw new RecordRefusedError(
        `a record cannot be written as a line: encode answered ${describeValue(line)}, and text is needed`,
      );
    }
    if (!line.isWellFormed()) {
      throw new RecordRefusedError(
        "a record cannot be written as a line: its text holds half a surrogate pair",
      );
    }
    if (line.includes("\n")) {
      throw new RecordRefusedError(
        `a record cannot be written as a line: it holds a line break at character ${line.indexOf("\n")}`,
      );
    }
    this.#open ??= this.#newFile();
    this.#open.append(line);
  }

  blocked(): boolean {
    const waiting = this.#open?.waitingBytes ?? 0;
    return waiting > WAITING_BYTES_MAX || (this.#committing && this.#uncommitted.size > DECIDED_MAX);
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  cut(checkpointId: number): PreparingTransaction | undefined {
    const file = this.#open;
    if (file === undefined) return undefined;
    this.#open = undefined;
    this.#uncommitted.set(checkpointId, file.name);
    const finished = file.finish();
    finished.catch((cause: unknown) => this.#failed(file.name, cause));
    const writer = this.#environment.subtaskIndex;
    const prepared = async (): Promise<Committable> => {
      await finished;
      const { directory, name } = this.#folder;
      const detail: FileTransactionDetail = {
        version: 1,
        file: file.name,
        bytes: file.bytes,
        checksum: file.checksum,
        directory,
        name,
      };
      return { checkpointId, writer, staged: [], detail };
    };
    return { checkpointId, prepared };
  }

  snapshot(): MarkerMemory {
    return memoryOf(this.#markers.get(this.#environment.subtaskIndex)!);
  }

  async commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void> {
    if (inheritedFrom !== undefined) return this.#commitInherited(transaction, inheritedFrom);
    this.#committing = true;
    try {
      await this.#commitFile(transaction);
      await this.#sweepAfter(transaction);
      this.#uncommitted.delete(transaction.checkpointId);
    } finally {
      this.#committing = false;
      this.#wake();
    }
  }

  async flush(): Promise<void> {}

  keep(): Promise<void> {
    return this.#folder.keep([...this.#uncommitted.values()]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    // The open transaction was never cut, so no committable names it.
    await this.#open?.discard();
    this.#open = undefined;
  }

  async #commitFile({ checkpointId, writer, detail }: Committable): Promise<void> {
    const folder = this.#folder;
    const at = this.#nameOf(writer);
    const marker =
      this.#markers.get(writer) ?? (await this.takeOver(writer, { markerExists: true, checkpointId: 0 }));
    await this.#assertNotFenced(at);
    const say = async (part: number): Promise<void> => {
      const next: TransactionMarker = { ...marker, checkpointId, part, parts: 1 };
      await folder.writeMarker(at, next);
      this.#markers.set(writer, next);
    };
    const standing = await withNotes(marker, at, folder);
    const parsed = parseFileTransaction(detail);
    const isOwn = this.#uncommitted.get(checkpointId) === parsed.file;
    await publish({ folder, at, checkpointId, standing, detail: parsed, isOwn, say });
    await folder.dropKept(parsed.file);
  }

  /** Commits in the directory of the other job, whose marker is left alone (FK5). */
  async #commitInherited(
    { checkpointId, writer, detail }: Committable,
    inheritedFrom: InheritedFrom,
  ): Promise<void> {
    const at = { ...this.#nameOf(writer), incarnation: inheritedFrom.incarnation };
    const parsed = parseFileTransaction(detail);
    const folder = new SinkFolder(parsed.directory, parsed.name, this.#folder.files);
    const look = async (): Promise<TransactionMarker> => {
      const newest = (await folder.markerGenerations(at)).at(-1);
      if (newest === undefined) throw missingMarker(folder.describeMarker(at));
      const found = await this.#standing(at, newest, folder);
      assertKnownOwner(found, inheritedFrom, folder.describeMarker(at));
      return found;
    };
    const standing = await look();
    const say = async (part: number): Promise<void> => {
      await folder.note(at, checkpointId, part === 0 ? "publishing" : "published");
      if (part === 0) await look();
    };
    await publish({ folder, at, checkpointId, standing, detail: parsed, isOwn: false, say });
  }

  async #standing(at: WriterName, newest: number, folder = this.#folder): Promise<TransactionMarker> {
    return withNotes(await folder.readMarker(at, newest), at, folder);
  }

  async #assertNotFenced(at: WriterName): Promise<void> {
    const newest = (await this.#folder.markerGenerations(at)).at(-1);
    if (newest !== undefined && newest > this.#environment.generation) {
      const place = this.#folder.describeMarker(at);
      throw new FencedError(`${place} was taken over by generation ${newest}`);
    }
  }

  /** Deletes, once, the hidden files that older generations have left (FK4). */
  async #sweepAfter(transaction: Committable): Promise<void> {
    if (this.#swept || !this.#uncommitted.has(transaction.checkpointId)) return;
    this.#swept = true;
    const { subtaskIndex, parallelism, generation } = this.#environment;
    const gone = await this.#folder.goneWriters(this.#environment, parallelism);
    // What writers had decided that a rescale has left none of was dealt out so, and was committed before.
    const inherited = gone.filter((writer) => writer % parallelism === subtaskIndex);
    for (const writer of [subtaskIndex, ...inherited])
      for (const file of await this.#folder.leftOver(this.#nameOf(writer), generation))
        await this.#folder.remove(this.#folder.hiddenPath(file));
  }

  #newFile(): TransactionFile {
    this.#counter += 1;
    const at = this.#nameOf(this.#environment.subtaskIndex);
    const name = this.#folder.openPath(at, this.#environment.generation, this.#counter);
    return new TransactionFile(this.#folder, name, {
      onWritten: () => this.#wake(),
      onFailed: (cause) => this.#failed(name, cause),
    });
  }

  #failed(file: string, cause: unknown): void {
    if (this.#closed) return;
    const path = this.#folder.hiddenPath(file);
    this.#environment.fail(
      new StorageRefusedError(`the file sink cannot write ${path} (${codeOf(cause)})`, { cause }),
    );
  }

  #nameOf(writer: number): WriterName {
    const { incarnation, operator } = this.#environment;
    return { incarnation, operator, writer };
  }
}

/** The marker, with what others have committed of this writer's transactions (FK5). */
async function withNotes(
  marker: TransactionMarker,
  at: WriterName,
  folder: SinkFolder,
): Promise<TransactionMarker> {
  const publishing = await folder.noted(at, "publishing");
  const published = await folder.noted(at, "published");
  let furthest = marker;
  for (const [checkpointId, part] of [
    [publishing, 0],
    [published, 1],
  ] as const) {
    const isFurther =
      checkpointId > furthest.checkpointId ||
      (checkpointId === furthest.checkpointId && part > furthest.part);
    if (checkpointId > 0 && isFurther) furthest = { ...furthest, checkpointId, part, parts: 1 };
  }
  return furthest;
}

interface Publication {
  readonly folder: SinkFolder;
  readonly at: WriterName;
  readonly checkpointId: number;
  readonly standing: TransactionMarker;
  readonly detail: FileTransactionDetail;
  /** This writer has written the file; what an older process has left is read before it counts. */
  readonly isOwn: boolean;
  /** Stores durably that the file may be renamed (part 0), or has been renamed (part 1). */
  readonly say: (part: number) => Promise<void>;
}

/** Renames one hidden file, with the marker before and after it (FK2). @throws CommitRefusedError */
async function publish(publication: Publication): Promise<void> {
  const { folder, at, checkpointId, standing, detail, say } = publication;
  if (partsCommitted(standing, checkpointId, 1) === 1) return;
  const finalPath = folder.finalPath(at, checkpointId);
  let isHidden = await assertThere(publication, finalPath);
  if (standing.checkpointId < checkpointId) await say(0);
  // A file that is gone was published by another process, and this one came too late (FK3); or it is lost.
  while (isHidden && !(await folder.publish(detail.file, finalPath)))
    isHidden = await assertThere(publication, finalPath);
  if (!isHidden) await folder.syncVisible();
  await say(1);
}

/** Whether the hidden file is there; false: it has been renamed already. @throws CommitRefusedError */
async function assertThere(
  { folder, at, checkpointId, standing, isOwn, detail: { file, bytes, checksum } }: Publication,
  finalPath: string,
): Promise<boolean> {
  const what = transactionName(at, checkpointId);
  const path = folder.hiddenPath(file);
  const size = await folder.sizeOf(path);
  if (size === bytes) {
    if (isOwn || (await folder.checksumOf(path)) === checksum) return true;
    throw new CommitRefusedError(
      `${what}: ${path} was changed: its check sum is not that of what was prepared. Put the whole file back, then start the job again`,
    );
  }
  if (size !== undefined) {
    throw new CommitRefusedError(
      `${what}: ${path} has ${size} bytes, and was prepared with ${bytes}. Put the whole file back, then start the job again`,
    );
  }
  if ((await folder.sizeOf(finalPath)) === bytes) return false;
  const gone = `${what}: neither ${path} nor ${finalPath} exists, or it has another size`;
  if (standing.checkpointId < checkpointId) {
    throw new CommitRefusedError(
      `${gone}. Was the directory cleaned, or does this process see another one? Put the file back, then start the job again`,
    );
  }
  const say = shellCommand("touch", folder.notePath(at, checkpointId, "published"));
  throw new CommitRefusedError(
    `${gone}. The process died while it was given its name. If a reader of the directory has taken the finished file away, ` +
      `say so with ${say}; else the file is lost: put it back. Then start the job again`,
  );
}

function transactionName(at: WriterName, checkpointId: number): string {
  return `transaction ${checkpointId} of writer ${at.writer} of sink ${at.operator}`;
}

/** @throws CommitRefusedError */
