/**
 * What a job's code consists of (P51): the files of its own project that the job file loads, and the packages that
 * these ask for.
 *
 * Owns: what counts, and under which name, so that machines and architectures agree. Does not own: how imports are seen
 * (module-graph.ts).
 *
 * 1. A file counts by its bytes and by its path below its own package, never by where the package lies.
 * 2. A package in `node_modules` counts by name and version, with those that it needs; optional ones depend on the
 * machine.
 * 3. Tidemark counts by its version.
 */
import { createHash } from "node:crypto";
import { readFileSync, realpathSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, dirname, extname, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describeError, EnvironmentError } from "../../errors.ts";
import { lazySpecifiers, relativeModule } from "./lazy-imports.ts";
import { moduleGraph } from "./module-graph.ts";
import { installedPackageOf, neededBy, type Package, packageAbove, packageNamed } from "./packages.ts";

export interface ProjectCode {
  /** Sorted by path, with slashes; a file of another package of the workspace has that package's name in front. */
  readonly files: readonly { readonly path: string; readonly digest: string }[];
  /** `name@version`, sorted. */
  readonly packages: readonly string[];
}

/** The code of a job that was not loaded from a file. */
export const NO_PROJECT: ProjectCode = { files: [], packages: [] };

/** Modules of this package that are loaded natively, dist/src/. */
const ownModules = fileURLToPath(new URL("../../", import.meta.url));

/**
 * @param jobFile after it has been loaded, and its imports were observed
 * @throws EnvironmentError when a file that was loaded can no longer be read
 */
export function projectCodeOf(jobFile: string): ProjectCode {
  return new Walk(realpathSync(jobFile)).take();
}

class Walk {
  readonly #jobFile: string;
  readonly #root: string;
  readonly #graph: ReadonlyMap<string, ReadonlySet<string>>;
  readonly #files = new Map<string, string>();
  readonly #seen = new Set<string>();
  readonly #packages = new Set<string>();

  constructor(jobFile: string) {
    this.#jobFile = jobFile;
    this.#root = packageAbove(jobFile, false)?.directory ?? dirname(jobFile);
    this.#graph = moduleGraph(jobFile);
  }

  take(): ProjectCode {
    const own = packageAbove(ownModules, true);
    if (own !== undefined) this.#packages.add(nameOf(own));
    this.#visit(this.#jobFile, false);
    return {
      files: [...this.#files]
        .map(([path, digest]) => ({ path, digest }))
        .sort((a, b) => byText(a.path, b.path)),
      packages: [...this.#packages].sort(byText),
    };
  }

  /** @param lazily it is not loaded yet */
  #visit(file: string, lazily: boolean): void {
    if (this.#seen.has(file) || this.#isOwn(file)) return;
    this.#seen.add(file);
    const installed = installedPackageOf(file);
    if (installed !== undefined) {
      this.#add(installed);
      return;
    }
    const bytes = contentOf(file);
    this.#files.set(this.#pathOf(file), bytes === undefined ? "native" : digestOf(bytes));
    const asked = this.#graph.get(file);
    for (const path of asked ?? []) this.#visit(path, false);
    if (bytes === undefined || extname(file) === ".json") return;
    for (const specifier of lazySpecifiers(bytes.toString(), lazily && asked === undefined))
      this.#visitLazily(specifier, file);
  }

  #visitLazily(specifier: string, from: string): void {
    if (specifier.startsWith(".")) {
      const file = relativeModule(specifier, from);
      if (file !== undefined) this.#visit(realpathSync(file), true);
      return;
    }
    if (isBuiltin(specifier)) return;
    const name = /^(?:@[^/]+\/)?[^/:@#]+/.exec(specifier)?.[0];
    const found = name === undefined ? undefined : packageNamed(name, from);
    if (found !== undefined && installedPackageOf(`${found.directory}${sep}package.json`) !== undefined)
      this.#add(found);
  }

  #isOwn(file: string): boolean {
    return file.startsWith(ownModules) && !file.startsWith(dirname(this.#jobFile) + sep);
  }

  #add(found: Package): void {
    const name = nameOf(found);
    if (this.#packages.has(name) || this.#isOwnPackage(found)) return;
    this.#packages.add(name);
    for (const needed of neededBy(found)) {
      const other = packageNamed(needed, resolve(found.directory, "package.json"));
      if (other !== undefined) this.#add(other);
    }
  }

  #isOwnPackage({ directory }: Package): boolean {
    return ownModules.startsWith(directory + sep);
  }

  #pathOf(file: string): string {
    const owner = packageAbove(file, true);
    const elsewhere =
      owner !== undefined && owner.directory !== this.#root && !holds(owner.directory, this.#root);
    const path = relative(elsewhere ? owner.directory : this.#root, file).replaceAll(sep, "/");
    return elsewhere ? `${String(owner.manifest.name)}:${path}` : path;
  }
}

/** undefined: it is compiled for one architecture, and counts by its path. */
function contentOf(file: string): Buffer | undefined {
  if (extname(file) === ".node") return undefined;
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new EnvironmentError(
      `${relative(".", file)} belongs to the job and was loaded, but cannot be read again: ${describeError(cause)}`,
      { cause },
    );
  }
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

const nameOf = ({ directory, manifest }: Package): string =>
  `${typeof manifest.name === "string" ? manifest.name : basename(directory)}@${String(manifest.version)}`;

const holds = (directory: string, other: string): boolean => other.startsWith(directory + sep);

/** Not localeCompare: the order must be the same on every machine. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
