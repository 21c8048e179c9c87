/** Installed packages: where they lie, what they are called, and what they need. */
import { readFileSync, realpathSync } from "node:fs";
import { dirname, join, parse, sep } from "node:path";

export interface Package {
  readonly directory: string;
  readonly manifest: Manifest;
}

interface Manifest {
  readonly name?: unknown;
  readonly version?: unknown;
  readonly dependencies?: Readonly<Record<string, unknown>>;
  readonly optionalDependencies?: Readonly<Record<string, unknown>>;
  readonly peerDependencies?: Readonly<Record<string, unknown>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: unknown } | undefined>>;
}

const INSTALLED = `${sep}node_modules${sep}`;

/** The package in `node_modules` that holds the file; undefined: the file is in none, or the package has no version. */
export function installedPackageOf(file: string): Package | undefined {
  const at = file.lastIndexOf(INSTALLED);
  if (at < 0) return undefined;
  const [first = "", second = ""] = file.slice(at + INSTALLED.length).split(sep);
  const name = first.startsWith("@") ? join(first, second) : first;
  const found = packageAt(file.slice(0, at + INSTALLED.length) + name);
  return found !== undefined && typeof found.manifest.version === "string" ? found : undefined;
}

/** The nearest package.json above the file. @param named without those that say no name, which only set a `type` */
export function packageAbove(file: string, named: boolean): Package | undefined {
  for (const directory of directoriesAbove(file)) {
    const found = packageAt(directory);
    if (found !== undefined && (!named || typeof found.manifest.name === "string")) return found;
  }
  return undefined;
}

/** The package that Node finds by this name from the file. */
export function packageNamed(name: string, from: string): Package | undefined {
  for (const directory of directoriesAbove(from)) {
    const found = packageAt(join(directory, "node_modules", name));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names of the packages that a package cannot do without. Optional ones depend on the machine. */
export function neededBy({ manifest }: Package): string[] {
  const { dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta } = manifest;
  const peers = Object.keys(peerDependencies ?? {}).filter(
    (name) => peerDependenciesMeta?.[name]?.optional !== true,
  );
  const own = Object.keys(dependencies ?? {}).filter((name) => !(name in (optionalDependencies ?? {})));
  return [...own, ...peers];
}

function packageAt(directory: string): Package | undefined {
  try {
    const manifest: unknown = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
    if (typeof manifest !== "object" || manifest === null) return undefined;
    return { directory: realpathSync(directory), manifest };
  } catch {
    // None is there, or one that Node cannot read either.
    return undefined;
  }
}

function* directoriesAbove(file: string): Generator<string> {
  const { root } = parse(file);
  for (let directory = dirname(file); ; directory = dirname(directory)) {
    yield directory;
    if (directory === root) return;
  }
}
