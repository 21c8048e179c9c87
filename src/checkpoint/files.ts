/**
 * The calls to a file system by which a directory serves as a storage, each bounded (`bounded-calls.ts`): a directory
 * may lie on a server that is gone, and a call to it then never ends.
 */
import * as nodeFiles from "node:fs/promises";
import type { BoundedCalls } from "./bounded-calls.ts";

/** An open file. */
export type OpenFile = Pick<nodeFiles.FileHandle, "writeFile" | "read" | "stat" | "sync" | "close">;

/** The calls, as Node has them. */
export interface Files
  extends Pick<typeof nodeFiles, "lstat" | "mkdir" | "readdir" | "rename" | "rm" | "rmdir" | "stat"> {
  open(path: string, flags: string | number): Promise<OpenFile>;
}

/** @param place as `BoundedCalls` takes it @param files what is called */
export function boundedFiles(calls: BoundedCalls, place: string, files: Files = nodeFiles): Files {
  const bounded =
    <Arguments extends unknown[], T>(call: (...given: Arguments) => Promise<T>) =>
    (...given: Arguments): Promise<T> =>
      calls.run(place, () => call(...given));
  return {
    lstat: bounded(files.lstat) as Files["lstat"],
    mkdir: bounded(files.mkdir) as Files["mkdir"],
    readdir: bounded(files.readdir) as Files["readdir"],
    rename: bounded(files.rename),
    rm: bounded(files.rm),
    rmdir: bounded(files.rmdir) as Files["rmdir"],
    stat: bounded(files.stat) as Files["stat"],
    async open(path, flags) {
      const closeLate = (file: OpenFile) => void file.close().catch(() => undefined);
      const file = await calls.run(place, () => files.open(path, flags), { onLate: closeLate });
      return new BoundedFile(calls, place, file) as unknown as OpenFile;
    },
  };
}

class BoundedFile {
  readonly #calls: BoundedCalls;
  readonly #place: string;
  readonly #file: OpenFile;
  /** Written and not synced yet. */
  #bytes = 0;

  constructor(calls: BoundedCalls, place: string, file: OpenFile) {
    this.#calls = calls;
    this.#place = place;
    this.#file = file;
  }

  writeFile(piece: Uint8Array | string): Promise<void> {
    this.#bytes += piece.length;
    return this.#run(() => this.#file.writeFile(piece), piece.length);
  }

  read(buffer: Uint8Array, offset: number, length: number, position: number) {
    return this.#run(() => this.#file.read(buffer, offset, length, position), length);
  }

  stat() {
    return this.#run(() => this.#file.stat());
  }

  async sync(): Promise<void> {
    await this.#run(() => this.#file.sync(), this.#bytes);
    this.#bytes = 0;
  }

  /** Where the place does not answer it is closed once it does. */
  close(): Promise<void> {
    return this.#calls.runOnceAnswering(this.#place, () => this.#file.close(), this.#bytes);
  }

  #run<T>(work: () => Promise<T>, bytes = 0): Promise<T> {
    return this.#calls.run(this.#place, work, { bytes });
  }
}
