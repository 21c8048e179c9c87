/**
 * One file of lines, read ahead by pieces of 256 KiB.
 *
 * - XE1 `position` is behind exactly the lines that `next` has given.
 * - XE2 At most two pieces and one line are in memory: the next piece is read while one is given out.
 */
import { isUtf8 } from "node:buffer";
import { type FileHandle, open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { describeError, EnvironmentError, SourcePositionError } from "../../errors.ts";
import type { FilePosition, FileSplit } from "../../formats/positions/file-position.ts";
import { startTimer } from "../../timer.ts";

export const fileReading = { pieceBytes: 256 * 1024, lineBytesMax: 64 * 1024 * 1024, lookAgainMs: 200 };

/** So many of the first bytes tell one file from another. */
const HEAD_BYTES = 1024;
const BREAK = 10;
const MARK = "\ufeff";
const NOTHING = Buffer.alloc(0);

export class LineFile {
  readonly path: string;
  lines: number;
  /** Called when lines have come, or the file has ended. */
  onLines: () => void = () => {};
  readonly #end: number | undefined;
  readonly #restored: FilePosition | undefined;
  readonly #fail: (error: unknown) => void;
  #handle: FileHandle | undefined;
  #opening: Promise<void> | undefined;
  #reading: Promise<void> | undefined;
  /** What was read and not given out, from `#at` on. */
  #piece: Buffer = NOTHING;
  #at = 0;
  /** Bytes of lines that were given out, and those that were read. */
  #offset: number;
  #read: number;
  /** The first bytes of the file, as far as they were given out. */
  #head: Buffer = NOTHING;
  #isAtEnd = false;
  #isClosed = false;
  #cancelLook: () => void = () => {};

  /** @param fail the file cannot be read on */
  constructor({ id, end }: FileSplit, position: FilePosition | undefined, fail: (error: unknown) => void) {
    this.path = id;
    this.#end = end;
    this.#restored = position;
    this.#fail = fail;
    this.#offset = position?.offset ?? 0;
    this.#read = this.#offset;
    this.lines = position?.lines ?? 0;
  }

  get isBegun(): boolean {
    return this.#offset > 0;
  }

  get hasEnded(): boolean {
    return this.#end !== undefined && this.#offset >= this.#end;
  }

  /** Whether `next` has a line now. */
  get hasLines(): boolean {
    return this.#piece.indexOf(BREAK, this.#at) !== -1;
  }

  get position(): FilePosition | undefined {
    if (this.#offset === 0) return undefined;
    return { offset: this.#offset, lines: this.lines, head: crc32(this.#head) };
  }

  /** @throws SourcePositionError when it is another file than the one that was read; EnvironmentError */
  open(): Promise<void> {
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /**
   * The next line, without its line break. undefined: there is none now, and `onLines` tells.
   * @throws Error for what is no line of UTF-8
   */
  next(): string | undefined {
    if (this.#handle === undefined) {
      if (this.#opening === undefined)
        this.open().then(
          () => this.#readOn(),
          (error: unknown) => this.#fail(error),
        );
      else this.#readOn();
      return undefined;
    }
    const to = this.#piece.indexOf(BREAK, this.#at);
    if (to !== -1) return this.#give(to, 1);
    if (this.#isAtEnd && this.#end !== undefined && this.#at < this.#piece.length)
      return this.#give(this.#piece.length, 0);
    this.#readOn();
    return undefined;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelLook();
    await this.#opening?.catch(() => {});
    await this.#reading;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #give(to: number, breakBytes: number): string {
    const line = this.#piece.subarray(this.#at, to);
    const taken = to + breakBytes - this.#at;
    if (this.#head.length < HEAD_BYTES)
      this.#head = Buffer.concat([this.#head, this.#piece.subarray(this.#at, this.#at + taken)]).subarray(
        0,
        HEAD_BYTES,
      );
    const isFirst = this.#offset === 0;
    this.#at += taken;
    this.#offset += taken;
    this.lines += 1;
    if (this.#piece.length - this.#at < fileReading.pieceBytes) this.#readOn();
    return textOf(line, isFirst);
  }

  async #open(): Promise<void> {
    try {
      this.#handle = await open(this.path, "r");
    } catch (cause) {
      throw new EnvironmentError(`${this.path} cannot be read: ${describeError(cause)}`, { cause });
    }
    if (this.#restored === undefined) return;
    const { offset, head } = this.#restored;
    const { size } = await this.#handle.stat();
    const first = Buffer.alloc(Math.min(HEAD_BYTES, offset));
    await this.#handle.read(first, 0, first.length, 0);
    this.#head = first;
    if (size >= offset && crc32(first) === head) return;
    throw new SourcePositionError(
      `${this.path} is not the file that was read up to byte ${offset} (line ${this.lines}): ` +
        (size < offset ? `it has ${size} bytes` : "it begins with something else") +
        ". Bring that file back, or start the job fresh",
    );
  }

  /** Reads the next piece, unless one is being read, enough is there, or there is nothing more. */
  #readOn(): void {
    if (this.#reading !== undefined || this.#isAtEnd || this.#isClosed || this.#handle === undefined) return;
    if (this.#piece.length - this.#at >= 2 * fileReading.pieceBytes && this.hasLines) return;
    this.#reading = this.#readPiece(this.#handle).then(
      () => {
        this.#reading = undefined;
      },
      (error: unknown) => {
        this.#reading = undefined;
        this.#fail(error);
      },
    );
  }

  async #readPiece(handle: FileHandle): Promise<void> {
    const wanted = Math.min(fileReading.pieceBytes, (this.#end ?? Number.POSITIVE_INFINITY) - this.#read);
    const bytes = Buffer.allocUnsafeSlow(wanted);
    const { bytesRead } = wanted === 0 ? { bytesRead: 0 } : await handle.read(bytes, 0, wanted, this.#read);
    if (bytesRead === 0) return this.#noMore();
    this.#read += bytesRead;
    const rest = this.#piece.subarray(this.#at);
    this.#piece =
      rest.length === 0 ? bytes.subarray(0, bytesRead) : Buffer.concat([rest, bytes.subarray(0, bytesRead)]);
    this.#at = 0;
    if (this.#piece.length > fileReading.lineBytesMax && !this.hasLines)
      throw new EnvironmentError(
        `${this.path}: line ${this.lines + 1} has more than ${fileReading.lineBytesMax} bytes; is it a file of lines?`,
      );
    if (this.#read === this.#end) this.#isAtEnd = true;
    this.onLines();
  }

  async #noMore(): Promise<void> {
    if (this.#end === undefined) {
      const { size } = await this.#handle!.stat();
      if (size < this.#read) throw this.#cutOff(size);
      // The file may be given more at any time.
      this.#cancelLook();
      this.#cancelLook = startTimer(fileReading.lookAgainMs, () => this.#readOn(), false);
      return;
    }
    if (this.#read < this.#end) throw this.#cutOff(this.#read);
    this.#isAtEnd = true;
    this.onLines();
  }

  #cutOff(size: number): SourcePositionError {
    return new SourcePositionError(
      `${this.path} was cut off: it has ${size} bytes, and ${this.#end ?? this.#read} were there. Bring it back, or start the job fresh`,
    );
  }
}

function textOf(bytes: Buffer, isFirst: boolean): string {
  const end = bytes.at(-1) === 13 ? bytes.length - 1 : bytes.length;
  const text = bytes.toString("utf8", 0, end);
  if (text.includes("\ufffd") && !isUtf8(bytes)) throw new Error("the line is no UTF-8");
  return isFirst && text.startsWith(MARK) ? text.slice(1) : text;
}
