/**
 * Reads the files of one subtask, line by line.
 *
 * Owns: whose turn it is, positions, and that a file is still the one that was read. Does not own: the bytes
 * (line-file.ts).
 *
 * - XL1 Files that end are read one after the other, so that few are open; files that grow all at once.
 * - XL2 A position is believed only of the same file: it is long enough, and begins with what it began with.
 */
import type { SubtaskEnvironment } from "../../dataflow/connector.ts";
import {
  type Collect,
  NO_TIMESTAMP,
  type PollStatus,
  type SourceReader,
  type SplitPosition,
} from "../../dataflow/source.ts";
import { parseFilePosition } from "../../formats/positions/file-position.ts";
import { LineFile } from "./line-file.ts";

export type DecodeLine<T> = (line: string, path: string) => T;

/** @throws SourcePositionError, EnvironmentError */
export async function openFiles<T>(
  decode: DecodeLine<T>,
  tail: boolean,
  splits: readonly SplitPosition[],
  environment: SubtaskEnvironment,
): Promise<SourceReader<T>> {
  const files = splits.map((found) => {
    const { split, position } = parseFilePosition(found, environment.operator);
    return { split, file: new LineFile(split, position, (error) => environment.fail(error)) };
  });
  const reader = new FileReader(decode, files, tail);
  try {
    // Those that were begun are looked at now, so that a file that is another one stops the job before it reads.
    for (const { file } of files) if (tail || file.isBegun) await file.open();
    return reader;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

interface ReadFile {
  readonly split: SplitPosition["split"];
  readonly file: LineFile;
}

class FileReader<T> implements SourceReader<T> {
  currentSplit = 0;
  readonly #decode: DecodeLine<T>;
  readonly #files: readonly ReadFile[];
  readonly #tail: boolean;
  #isPaused: (split: number) => boolean = () => false;

  constructor(decode: DecodeLine<T>, files: readonly ReadFile[], tail: boolean) {
    this.#decode = decode;
    this.#files = files;
    this.#tail = tail;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    let left = recordsMax;
    let status: PollStatus = "ended";
    for (const [index, { file }] of this.#files.entries()) {
      if (file.hasEnded) continue;
      if (status === "ended") status = "idle";
      if (this.#isPaused(index)) continue;
      this.currentSplit = index;
      for (; left > 0; left -= 1) {
        const line = file.next();
        if (line === undefined) break;
        collect(this.#decode(line, file.path), NO_TIMESTAMP);
      }
      if (left === 0) return "more";
      // The next file's turn comes when this one has ended.
      if (!this.#tail && !file.hasEnded) return status;
    }
    return this.#files.every(({ file }) => file.hasEnded) ? "ended" : status;
  }

  onAvailable(wake: () => void): void {
    for (const { file } of this.#files) file.onLines = wake;
  }

  pauseSplits(isPaused: (split: number) => boolean): void {
    this.#isPaused = isPaused;
  }

  splitStatus(split: number): PollStatus {
    const { file } = this.#files[split]!;
    if (file.hasEnded) return "ended";
    return this.#tail && !file.hasLines ? "idle" : "more";
  }

  describePosition(): string {
    const file = this.#files[this.currentSplit]?.file;
    return file === undefined ? "the beginning" : `line ${file.lines} of ${file.path}`;
  }

  snapshot(): SplitPosition[] {
    return this.#files.map(({ split, file }) => ({ split, position: file.position }));
  }

  checkpointCompleted(): void {}

  async close(): Promise<void> {
    await Promise.all(this.#files.map(({ file }) => file.close()));
  }
}
