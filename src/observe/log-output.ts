/**
 * The output of a log: standard error or a file.
 *
 * Owns: that a log neither ends nor holds up its process, whatever becomes of the disk or of the process that reads it.
 *
 * - LO1 A line that cannot be written is counted. The next one that can says how many are missing, and why.
 * - LO2 What waits for a reader is bounded.
 */
import { openSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { dirname } from "node:path";
import { makeDirectoriesNow } from "../directories.ts";
import { ConfigurationError, describeError } from "../errors.ts";

const WAITING_BYTES_MAX = 1024 * 1024;
const STANDARD_ERROR = 2;

/** Tries to write a text once. Answers why that failed; undefined: it is written, or on its way. */
export type LogWrite = (text: string) => string | undefined;

export class LogOutput {
  readonly #write: LogWrite;
  readonly #gap: (missing: number, reason: string) => string;
  #missing = 0;
  #reason = "";

  /** @param gap the line that tells of missing ones */
  constructor(write: LogWrite, gap: (missing: number, reason: string) => string) {
    this.#write = write;
    this.#gap = gap;
  }

  /** @param line with its end */
  write(line: string): void {
    const text = this.#missing === 0 ? line : `${this.#gap(this.#missing, this.#reason)}\n${line}`;
    const reason = this.#write(text);
    if (reason === undefined) {
      this.#missing = 0;
      return;
    }
    this.#missing++;
    this.#reason = reason;
  }
}

export function logToStandardError(): LogWrite {
  return process.stderr instanceof Socket ? toReader(process.stderr) : toDescriptor(STANDARD_ERROR);
}

/** @throws ConfigurationError when it cannot be opened */
export function logToFile(file: string): LogWrite {
  return toDescriptor(open(file));
}

function open(file: string): number {
  try {
    makeDirectoriesNow(dirname(file));
    return openSync(file, "a");
  } catch (cause) {
    throw new ConfigurationError(
      "log-file",
      `--log-file ${file} cannot be written (${describeError(cause)}); name another file`,
      { cause },
    );
  }
}

function toDescriptor(descriptor: number): LogWrite {
  let broken = false;
  return (text) => {
    // What a full disk has taken of a line stays there.
    const bytes = Buffer.from(broken ? `\n${text}` : text);
    let written = 0;
    try {
      while (written < bytes.length) written += writeSync(descriptor, bytes, written);
      broken = false;
      return undefined;
    } catch (error) {
      broken ||= written > 0;
      return describeError(error);
    }
  };
}

/** Writes to a terminal, or to another process that reads. */
function toReader(stream: NodeJS.WriteStream): LogWrite {
  const write = stream.write.bind(stream);
  return (text) => {
    if (stream.destroyed) return "its reader has gone";
    if (stream.writableLength > WAITING_BYTES_MAX) return "its reader takes nothing";
    write(text);
    return undefined;
  };
}
