/**
 * Copies of the project whose commands are measured: the one that this bench belongs to, and another one.
 *
 * Owns: where a copy's command is, and the bench's own modules as they run in that copy. The jobs and scripts that are
 * measured import the engine by relative paths, so for another copy they are put into a temporary folder in which
 * `dist/src` is that copy's. Nothing is written into the other copy, and its own bench is not used: it may be older.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { UsageError } from "../arguments.ts";

export interface Copy {
  /** Absolute path of its root. */
  readonly root: string;
  /** Path of the compiled `tidemark` command. */
  readonly command: string;
  /** Path of the job file. */
  readonly job: string;
  /** Its compiled modules, a folder; with a slash at the end. */
  readonly dist: URL;
  /** Path of a compiled module of the bench that runs with this copy's engine: "processes/progress.js". */
  bench(module: string): string;
}

/** Path of a compiled module of this copy: "test/nexmark/jobs/query.js". */
export function ownModule(module: string): string {
  return join(OWN_ROOT, "dist", module);
}

const OWN_ROOT = rootAbove(fileURLToPath(import.meta.url));
const COMMAND = "dist/src/cli/main.js";
const BENCH = "dist/test/bench";

function copyAt(root: string, benchRoot: string): Copy {
  const bench = (module: string) => join(benchRoot, BENCH, module);
  return {
    root,
    command: join(root, COMMAND),
    job: bench("jobs/keyed-count.js"),
    dist: pathToFileURL(join(root, "dist/")),
    bench,
  };
}

export const OWN_COPY: Copy = copyAt(OWN_ROOT, OWN_ROOT);

/**
 * Another copy, built by its own `npm run build`. What is put aside for it goes when this process ends.
 *
 * @param directory its root, from the working directory
 * @param asideIn where that is put
 * @throws UsageError that says what is missing there
 */
export function openCopy(directory: string, asideIn = tmpdir()): Copy {
  const root = rootOfCopy(directory);
  const aside = mkdtempSync(join(asideIn, "tidemark-bench-copy-"));
  process.once("exit", () => rmSync(aside, { recursive: true, force: true, maxRetries: 5 }));
  mkdirSync(join(aside, "dist/test"), { recursive: true });
  for (const linked of ["package.json", "node_modules", "dist/src", "dist/machines"]) {
    symlinkSync(join(root, linked), join(aside, linked));
  }
  cpSync(join(OWN_ROOT, BENCH), join(aside, BENCH), { recursive: true });
  return copyAt(root, aside);
}

/** The real path of another copy's root, if it can be run. */
export function rootOfCopy(directory: string): string {
  const refuse = (problem: string) => new UsageError(`--against ${directory}: ${problem}`);
  const path = resolve(directory);
  if (!isDirectory(path)) {
    throw refuse(`there is no directory ${path}; name the root of another built copy of this project`);
  }
  const root = realpathSync(path);
  if (root === realpathSync(OWN_ROOT)) {
    throw refuse(
      "this is the copy that the bench runs from; name another one, such as a git worktree of an older commit",
    );
  }
  if (nameOfPackage(root) !== nameOfPackage(OWN_ROOT)) {
    throw refuse(
      "its package.json is not that of this project; name the root of another built copy of this project",
    );
  }
  if (!isDirectory(join(root, "node_modules"))) {
    throw refuse("its packages are not installed; run npm ci && npm run build there");
  }
  const missing = [COMMAND, "dist/machines"].find(
    (each) => statSync(join(root, each), { throwIfNoEntry: false }) === undefined,
  );
  if (missing !== undefined) throw refuse(`it is not built (${missing} is missing); run npm run build there`);
  return root;
}

/** The bench's tests run from its sources, the bench from what they are compiled to. */
function rootAbove(file: string): string {
  for (let at = dirname(file); ; at = dirname(at)) if (existsSync(join(at, "package.json"))) return at;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** undefined: none, or not readable. */
function nameOfPackage(root: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly name?: unknown }).name;
  } catch {
    return undefined;
  }
}
