/**
 * Provides a nats-server executable that is new enough, without asking the user for more than is needed:
 * the path that they name, else PATH, else what an earlier call has fetched, else fetch it from the machine's mirror.
 *
 * A path that the user names is used or refused, never skipped; everything found without being asked for is skipped
 * when it does not fit.
 */
import { execFile } from "node:child_process";
import { access, constants, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { promisify } from "node:util";
import { ConfigurationError, describeError, EnvironmentError } from "../../errors.ts";
import { fetchDebianPackage } from "./debian-package.ts";
import { isAtLeast } from "./server-version.ts";

/** The exactly-once sink needs atomic batches, which came with 2.12. */
const defaultMinimumVersion = "2.12.0";
const pathVariable = "TIDEMARK_NATS_SERVER";
const packageName = "nats-server";
const fileInPackage = "usr/sbin/nats-server";
const versionTimeoutMs = 10_000;
/** Longer than any fetch takes: what is older was left by a process that was killed. */
const abandonedFetchMs = 60 * 60 * 1000;

export interface ProvideNatsServerOptions {
  /** Use this executable. Default: the environment variable TIDEMARK_NATS_SERVER, and without it, search. */
  readonly path?: string;
  /** Default "2.12.0". */
  readonly minimumVersion?: string;
  /** The variables of which PATH, HOME, XDG_CACHE_HOME and TIDEMARK_NATS_SERVER are read. Default `process.env`. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Whether to fetch one when none is there. Default true. */
  readonly fetch?: boolean;
  /** Gets a line for every slow step. */
  readonly log?: (line: string) => void;
}

export interface ProvidedNatsServer {
  /** Absolute. */
  readonly path: string;
  /** "2.15.1" */
  readonly version: string;
  readonly origin: "option" | "environment" | "path" | "cache" | "fetched";
}

/** Throws ConfigurationError for a bad explicit path, EnvironmentError when there is none to be had. */
export async function provideNatsServer(options: ProvideNatsServerOptions = {}): Promise<ProvidedNatsServer> {
  const environment = options.environment ?? process.env;
  const minimum = options.minimumVersion ?? defaultMinimumVersion;

  if (options.path !== undefined) {
    return { ...(await checkExplicit("natsServer", options.path, minimum)), origin: "option" };
  }
  const named = environment[pathVariable];
  if (named) return { ...(await checkExplicit(pathVariable, named, minimum)), origin: "environment" };

  const tried: string[] = [];
  const fits = async (path: string): Promise<Executable | undefined> => {
    const checked = await check(path, minimum);
    if ("refusal" in checked) tried.push(`${path} ${checked.refusal}`);
    else return checked;
  };

  const onPath = await executablesOnPath(environment.PATH ?? "");
  if (onPath.length === 0) tried.push("no nats-server on PATH");
  for (const path of onPath) {
    const found = await fits(path);
    if (found) return { ...found, origin: "path" };
  }

  const cacheDir = cacheDirOf(environment);
  // A home directory may be shared by machines of several kinds.
  const cached = join(cacheDir, `nats-server-${process.platform}-${process.arch}`);
  const inCache = await fits(cached);
  if (inCache) return { ...inCache, origin: "cache" };

  if (options.fetch ?? true) {
    try {
      await fetchInto(cacheDir, cached, minimum, options.log ?? (() => {}));
      const fetched = await fits(cached);
      if (fetched) return { ...fetched, origin: "fetched" };
    } catch (error) {
      tried.push(`fetching the Debian package: ${describeError(error)}`);
    }
  }
  throw new EnvironmentError(
    [
      `no nats-server ${minimum} or newer is at hand. Tried:`,
      ...tried.map((line) => `  - ${line}`),
      "Install one (`brew install nats-server`, an official release archive of nats-server, or the nats container image)",
      `and put it on PATH or name it in ${pathVariable}; or connect to a running one with --server.`,
    ].join("\n"),
  );
}

interface Executable {
  readonly path: string;
  readonly version: string;
}

async function checkExplicit(key: string, path: string, minimum: string): Promise<Executable> {
  const checked = await check(resolve(path), minimum);
  if (!("refusal" in checked)) return checked;
  throw new ConfigurationError(
    key,
    `${key} names ${path}, which ${checked.refusal}; name a nats-server ${minimum} or newer, or leave it out to search`,
  );
}

async function check(path: string, minimum: string): Promise<Executable | { readonly refusal: string }> {
  let output: string;
  try {
    output = (await promisify(execFile)(path, ["--version"], { timeout: versionTimeoutMs })).stdout;
  } catch (error) {
    return { refusal: whyNotRun(error as NodeJS.ErrnoException) };
  }
  const version = /nats-server: v?(\d+\.\d+\.\d+)/.exec(output)?.[1];
  if (version === undefined) return { refusal: "is no nats-server (by its answer to --version)" };
  if (!isAtLeast(version, minimum)) return { refusal: `is version ${version}, older than ${minimum}` };
  return { path, version };
}

function whyNotRun(error: NodeJS.ErrnoException & { readonly killed?: boolean }): string {
  if (error.code === "ENOENT") return "does not exist";
  if (error.code === "EACCES") return "is not an executable file";
  if (error.killed) return `did not answer --version within ${versionTimeoutMs} ms`;
  return `cannot be run: ${error.message.split("\n")[0]}`;
}

async function executablesOnPath(path: string): Promise<string[]> {
  const found: string[] = [];
  for (const dir of path.split(delimiter).filter(isAbsolute)) {
    const file = join(dir, "nats-server");
    await access(file, constants.X_OK).then(
      () => found.push(file),
      () => undefined,
    );
  }
  return found;
}

function cacheDirOf(environment: Readonly<Record<string, string | undefined>>): string {
  const named = environment.XDG_CACHE_HOME;
  const base = named && isAbsolute(named) ? named : join(environment.HOME ?? homedir(), ".cache");
  return join(base, "tidemark", "nats-server");
}

/** Several processes may do this at once: each works in a directory of its own, and the last rename wins. */
async function fetchInto(
  cacheDir: string,
  cached: string,
  minimumVersion: string,
  log: (line: string) => void,
): Promise<void> {
  await mkdir(cacheDir, { recursive: true });
  await removeAbandonedFetches(cacheDir);
  const workDir = await mkdtemp(join(cacheDir, "fetch-"));
  try {
    const unpacked = await fetchDebianPackage({ name: packageName, minimumVersion, workDir, log });
    await rename(join(unpacked, fileInPackage), cached);
    log(`nats-server is now at ${cached}`);
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function removeAbandonedFetches(cacheDir: string): Promise<void> {
  for (const entry of await readdir(cacheDir)) {
    if (!entry.startsWith("fetch-")) continue;
    const dir = join(cacheDir, entry);
    const made = await stat(dir).catch(() => undefined);
    if (made && Date.now() - made.mtimeMs > abandonedFetchMs) await rm(dir, { recursive: true, force: true });
  }
}
