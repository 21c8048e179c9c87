/** The source of files of lines: the files that are there, or one that grows. */
import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { Source, SourceSplit } from "../../dataflow/source.ts";
import { ConfigurationError, describeError, EnvironmentError } from "../../errors.ts";
import { type DecodeLine, openFiles } from "./source-reader.ts";

/** The options of `fileSource`, besides `decode`. */
export interface FileSourceOptions {
  /**
   * Files and directories. Of a directory its files are read, by name, those that are hidden and what lies in folders
   * left out. Relative paths count from where the job is submitted. Every worker must see the same files.
   */
  readonly paths: string | readonly string[];
  /**
   * true: the files grow, and the input never ends. A line is read when its line break is there. Default: the input is
   * what the files hold when the job is submitted.
   */
  readonly tail?: boolean;
}

const OPTIONS = ["paths", "tail", "decode"];

/** Records are lines, parsed by JSON.parse; T is what you know them to be. The default of `decode`. */
export function fileSource<T = unknown>(options: FileSourceOptions & { readonly decode?: "json" }): Source<T>;
/** Records are lines, without their line breaks. */
export function fileSource(options: FileSourceOptions & { readonly decode: "text" }): Source<string>;
/** Records are what `decode` returns for (line, path of the file). */
export function fileSource<T>(
  options: FileSourceOptions & { readonly decode: (line: string, path: string) => T },
): Source<T>;
/**
 * Reads files of lines in UTF-8. Each file is a split, whose position is the number of bytes that were read: after a
 * failure it goes on there. A file that was cut off, or replaced by another one, stops the job by name.
 *
 * @throws ConfigurationError naming the option
 */
export function fileSource<T>(
  options: FileSourceOptions & { readonly decode?: "json" | "text" | ((line: string, path: string) => T) },
): Source<T> {
  checkMembers(options, OPTIONS, "fileSource", "option");
  const { tail = false, decode = "json" } = options;
  const paths = typeof options.paths === "string" ? [options.paths] : options.paths;
  if (
    !Array.isArray(paths) ||
    paths.length === 0 ||
    !paths.every((path) => typeof path === "string" && path !== "")
  )
    throw wrong("paths", `must be a path of a file or directory, or several, got ${show(options.paths)}`);
  if (typeof tail !== "boolean") throw wrong("tail", `must be true or false, got ${show(tail)}`);
  if (decode !== "json" && decode !== "text" && typeof decode !== "function")
    throw wrong("decode", `must be "json", "text" or a function (line, path) => value, got ${show(decode)}`);
  return {
    kind: "file",
    replayable: true,
    bounded: !tail,
    timestamps: false,
    discover: () => splitsOf(paths, tail),
    open: (environment, splits) => openFiles(lineDecoder(decode), tail, splits, environment),
  };
}

function lineDecoder<T>(decode: "json" | "text" | ((line: string, path: string) => T)): DecodeLine<T> {
  if (decode === "json") return (line) => JSON.parse(line) as T;
  return decode === "text" ? (line) => line as T : decode;
}

function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(`fileSource.${option}`, `fileSource: option "${option}": ${problem}`);
}

async function splitsOf(paths: readonly string[], tail: boolean): Promise<SourceSplit[]> {
  const splits: SourceSplit[] = [];
  for (const path of paths) {
    for (const [file, size] of await filesAt(resolve(path))) {
      if (splits.some(({ id }) => id === file))
        throw new ConfigurationError(
          "fileSource.paths",
          `fileSource: ${file} is named twice, and would be read twice`,
        );
      splits.push({ id: file, input: `file ${file}`, ...(tail ? {} : { end: size }) });
    }
  }
  if (splits.length === 0)
    throw new EnvironmentError(
      `fileSource: there is no file in ${paths.join(", ")}, so there is nothing to read`,
    );
  return splits;
}

/** Absolute paths, with their sizes. */
async function filesAt(path: string): Promise<[string, number][]> {
  try {
    const found = await stat(path);
    if (!found.isDirectory()) return [[path, found.size]];
    const entries = await readdir(path, { withFileTypes: true });
    const names = entries
      .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
      .map(({ name }) => name);
    const files = names.sort().map((name) => join(path, name));
    return await Promise.all(
      files.map(async (file): Promise<[string, number]> => [file, (await stat(file)).size]),
    );
  } catch (cause) {
    throw new EnvironmentError(`fileSource: ${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}
