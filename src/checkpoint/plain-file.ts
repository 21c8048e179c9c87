/**
 * Files that are read in a directory in which anything may lie: a directory, a FIFO, a device or a socket in the place
 * of a file is named, and never opened. Opening a FIFO would wait for its other end, and a thread with it.
 */
import { constants, type Stats } from "node:fs";
import { describeError } from "../errors.ts";
import type { Files, OpenFile } from "./files.ts";

/** What is there is no file that this process can read. The message says what it is. */
export class NotReadableError extends Error {}

/** @throws NotReadableError, and the error of the file system where that says nothing about this one file */
export async function plainFileIn(path: string, { stat }: Pick<Files, "stat">): Promise<Stats> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ELOOP") throw error;
    throw new NotReadableError("a symbolic link that leads back to itself is in its place", { cause: error });
  });
  if (found.isFile()) return found;
  throw new NotReadableError(`${kindOf(found)} is in its place`);
}

/** For reading. @throws as `plainFileIn` */
export async function openPlainFile(path: string, files: Pick<Files, "stat" | "open">): Promise<OpenFile> {
  await plainFileIn(path, files);
  try {
    // What takes its place in between is not waited for either.
    return await files.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EPERM") throw error;
    throw new NotReadableError(`this user may not read it: ${describeError(error)}`, { cause: error });
  }
}

/** The first `bytes` bytes, fewer when the file ends before. */
export async function readWhole(file: Pick<OpenFile, "read">, bytes: number): Promise<Uint8Array> {
  const content = Buffer.allocUnsafeSlow(bytes);
  let filled = 0;
  while (filled < bytes) {
    const { bytesRead } = await file.read(content, filled, bytes - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return content.subarray(0, filled);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return "a directory";
  if (found.isFIFO()) return "a FIFO";
  if (found.isSocket()) return "a socket";
  return "a device";
}
