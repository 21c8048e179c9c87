/**
 * Directories, made with those above them.
 *
 * Node's own `recursive` never ends where a file system answers "no such file or directory" for a new one below a
 * directory that is there, as `/proc` does. Here that is an error.
 */
import { mkdirSync, statSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

type Files = Pick<typeof import("node:fs/promises"), "mkdir" | "stat">;

/** @throws the error of the file system; EEXIST and ENOTDIR: a file is in the way */
export function makeDirectoriesNow(path: string): void {
  const make = (directory: string): unknown => {
    try {
      mkdirSync(directory);
      return undefined;
    } catch (error) {
      return isDirectoryNow(directory) ? undefined : error;
    }
  };
  let error = make(path);
  if (isMissing(error) && !isDirectoryNow(dirname(path))) makeDirectoriesNow(dirname(path));
  // Another process may have made the one above meanwhile.
  if (isMissing(error)) error = make(path);
  if (error !== undefined) throw error;
}

/** @returns the topmost directory that was made; undefined: all were there. @throws as `makeDirectoriesNow` */
export async function makeDirectories(
  path: string,
  files: Files = { mkdir, stat },
): Promise<string | undefined> {
  let isMade = false;
  const make = async (): Promise<unknown> => {
    try {
      await files.mkdir(path);
      isMade = true;
      return undefined;
    } catch (error) {
      return (await isDirectory(path, files)) ? undefined : error;
    }
  };
  let above: string | undefined;
  let error = await make();
  if (isMissing(error) && !(await isDirectory(dirname(path), files)))
    above = await makeDirectories(dirname(path), files);
  if (isMissing(error)) error = await make();
  if (error !== undefined) throw error;
  return above ?? (isMade ? path : undefined);
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException | undefined)?.code === "ENOENT";
}

function isDirectoryNow(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** @throws when it cannot be told: what is there may be a directory all the same */
async function isDirectory(path: string, files: Files): Promise<boolean> {
  try {
    return (await files.stat(path)).isDirectory();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}
