/**
 * Imports a file of a user's own: a job file, a module of theirs.
 *
 * TypeScript goes through jiti: unlike tsx it does not wrap every function in a helper (15 to 40 times slower
 * closures), and it imports packages natively, so the file's "tidemark" is this very copy. JavaScript is imported by
 * Node itself.
 */
import { execFile } from "node:child_process";
import { readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { createJiti, type Jiti } from "jiti";
import { nearest } from "../../config/suggestion.ts";
import { ConfigurationError, describeError } from "../../errors.ts";
import { makeCommonJsStrict } from "./strict-code.ts";

const typeScript = [".ts", ".mts", ".cts"];
const javaScript = [".js", ".mjs", ".cjs"];

/** The directory of this package's own modules; a stack that ends in them goes on to the user's line. */
const ownModules = fileURLToPath(new URL("../../", import.meta.url));

/**
 * @param kind what the file is to its user, in messages: "job file"
 * @param key of the errors
 * @param path from the working directory
 * @throws ConfigurationError: there is no such file, or it throws while it loads (`cause` is what was thrown, the
 *   message names file and line). What is refused in it keeps its own key.
 */
export async function importOwn(kind: string, key: string, path: string): Promise<Record<string, unknown>> {
  const file = resolve(path);
  await checkFile(kind, key, path, file);
  makeCommonJsStrict();
  try {
    return await importFile(file);
  } catch (error) {
    throw await loadError(kind, key, path, file, error);
  }
}

async function checkFile(kind: string, key: string, path: string, file: string): Promise<void> {
  const refuse = (problem: string) => new ConfigurationError(key, `${kind} ${path}: ${problem}`);
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) throw refuse(`no such file (looked for ${file})${await similarFile(path, file)}`);
  if (!found.isFile()) throw refuse("is not a file");
  const extensions = [...typeScript, ...javaScript];
  if (!extensions.includes(extname(file))) throw refuse(`must be one of ${extensions.join(", ")}`);
}

async function similarFile(path: string, file: string): Promise<string> {
  const names = await readdir(dirname(file)).catch(() => []);
  const sameStem = names.find((name) => basename(name, extname(name)) === basename(file, extname(file)));
  const near = sameStem ?? nearest(basename(file), names);
  return near === undefined ? "" : `; did you mean ${join(dirname(path), near)}?`;
}

async function importFile(file: string): Promise<Record<string, unknown>> {
  if (javaScript.includes(extname(file))) return await import(pathToFileURL(file).href);
  // No cache on disk: compiling one file takes milliseconds, and containers are often read-only.
  const options = { interopDefault: false, fsCache: false };
  let unread: unknown;
  let jiti: Jiti;
  try {
    // The parent is the job file: the tsconfig.json whose "paths" count is the nearest one above it.
    jiti = createJiti(file, { ...options, tsconfigPaths: true });
  } catch (error) {
    // What it extends may be a development dependency, and not installed here. Without aliases nothing is missing.
    unread = error;
    jiti = createJiti(file, options);
  }
  try {
    return await jiti.import<Record<string, unknown>>(file);
  } catch (error) {
    if (unread === undefined || !isMissingModule(error)) throw error;
    const note = `${error.message} (path aliases do not hold: tsconfig.json cannot be read: ${describeError(unread)})`;
    throw new Error(note, { cause: error });
  }
}

function isMissingModule(error: unknown): error is Error {
  return error instanceof Error && /^Cannot find (module|package) /.test(error.message);
}

async function loadError(
  kind: string,
  key: string,
  path: string,
  file: string,
  error: unknown,
): Promise<ConfigurationError> {
  const message = error instanceof Error ? error.message : String(error);
  const place = error instanceof Error ? await placeOf(error, file) : undefined;
  const concerned = error instanceof ConfigurationError ? error.key : key;
  const text = `${kind} ${place ?? path}: ${message}${hintFor(message, kind)}`;
  return new ConfigurationError(concerned, text, { cause: error });
}

/**
 * `jobs/count.ts:12`, from the innermost line of the stack that is the user's: not a package's, not ours. Without the
 * column, because jiti keeps lines and not columns.
 */
async function placeOf(error: Error, file: string): Promise<string | undefined> {
  const text = error.stack ?? error.message;
  const place = placeIn(text, file);
  if (place !== undefined || !(error instanceof SyntaxError)) return place;
  // Node keeps the place of a syntax error to itself, unless it prints the error.
  const check = promisify(execFile)(process.execPath, ["--check", file]);
  return await check.then(
    () => undefined,
    (failed: { stderr?: string }) => placeIn(failed.stderr ?? "", file),
  );
}

/** `jobs/count.ts:12`: the first line of a stack that is in this file, or in a module of its own folder. */
export function placeIn(text: string, file: string): string | undefined {
  const isTheirs = (source: string) =>
    source === file ||
    (source.startsWith(dirname(file) + sep) &&
      !source.includes("node_modules") &&
      !source.startsWith(ownModules));
  for (const line of text.split("\n")) {
    const found = /^\s*(?:at )?(?:.*\()?(?:async )?(.+?):(\d+)(?::\d+)?\)?$/.exec(line);
    if (found === null) continue;
    const [, where, row] = found;
    const source = where!.startsWith("file://") ? fileURLToPath(where!) : where!;
    if (isTheirs(source)) return `${relative(".", source)}:${row}`;
  }
  return undefined;
}

function hintFor(message: string, kind: string): string {
  if (/Cannot find (module|package) 'tidemark'/.test(message))
    return `\nInstall it beside the ${kind}: npm install tidemark`;
  if (/^(Cannot use import statement outside a module|Unexpected token 'export')/.test(message))
    return `\nThis folder's package.json says that .js is CommonJS: set "type": "module" there (npm pkg set type=module), or name the file .mjs`;
  return "";
}
