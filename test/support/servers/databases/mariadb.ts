/**
 * A throw-away MariaDB server on a free port of 127.0.0.1. Its program is found on PATH, or else in a cache, into which
 * it is fetched from Debian's packages where the machine's package sources have them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describeError } from "../../../../src/errors.ts";
import { fetchDebianPackage } from "../../../../src/nats/server/debian-package.ts";
import { freePort } from "../nats.ts";
import { type DatabaseProcess, openTo, runAsServer, serverDirectory, startDatabase } from "./process.ts";

const CACHED = join(homedir(), ".cache/tidemark/mariadb");
const PROGRAM = "usr/sbin/mariadbd";

/** The root below which `usr/sbin/mariadbd` lies; what was missing, in words, where there is none. */
export const mariadbRoot: string | { readonly missing: string } = await findMariadb();
export const MARIADB_MISSING =
  typeof mariadbRoot === "string" ? "" : ` (needs mariadbd on PATH; fetching it: ${mariadbRoot.missing})`;

let root: string | undefined;

export interface MariadbServer extends DatabaseProcess {
  /** Connection of a user who may do everything, without a password. */
  readonly connection: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly database: string;
  };
}

export async function startMariadb(settings: readonly string[] = []): Promise<MariadbServer> {
  if (typeof mariadbRoot !== "string") throw new Error(MARIADB_MISSING);
  root ??= openTo(mariadbRoot, PROGRAM);
  const directory = serverDirectory("mariadb");
  const data = join(directory, "data");
  const share = join(root, "usr/share/mysql");
  const libraries = join(root, "usr/lib", `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`);
  const env = { LD_LIBRARY_PATH: libraries, PATH: "/usr/bin:/bin" };
  const common = [
    "--no-defaults",
    `--datadir=${data}`,
    `--lc-messages-dir=${share}`,
    `--character-sets-dir=${share}/charsets`,
    // What survives a crash of the process is what a test can see; the machine does not crash.
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-log-file-size=96M",
  ];
  runAsServer("/bin/mkdir", [data], env);
  runAsServer(join(root, PROGRAM), [...common, "--bootstrap", "--log-warnings=0"], env, systemTables(share));
  const port = await freePort();
  const server = await startDatabase({
    command: join(root, PROGRAM),
    args: [
      ...common,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      `--socket=${directory}/socket`,
      `--pid-file=${directory}/pid`,
      "--skip-name-resolve",
      "--max-connections=300",
      ...settings,
    ],
    env,
    directory,
    port,
    readyText: "ready for connections",
  });
  return { ...server, connection: { host: "127.0.0.1", port, user: "root", database: "test" } };
}

/** What `mariadb-install-db` would say, which is a script that needs programs of other packages. */
function systemTables(share: string): string {
  const read = (file: string) => readFileSync(join(share, file), "utf8");
  const data = read("mysql_system_tables_data.sql")
    .split("\n")
    .filter((line) => !line.includes("@current_hostname"));
  return [
    "create database mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\nSET @skip_auth_anonymous=1;\n",
    read("mysql_system_tables.sql"),
    read("mysql_performance_tables.sql"),
    ...data,
    read("maria_add_gis_sp_bootstrap.sql"),
    "create database test;\n",
  ].join("\n");
}

async function findMariadb(): Promise<string | { readonly missing: string }> {
  for (const folder of (process.env.PATH ?? "").split(delimiter))
    if (folder.endsWith("usr/sbin") && existsSync(join(folder, "mariadbd"))) return dirname(dirname(folder));
  const isThere = () => existsSync(join(CACHED, PROGRAM));
  if (isThere()) return CACHED;
  mkdirSync(dirname(CACHED), { recursive: true });
  const workDir = mkdtempSync(join(dirname(CACHED), "fetch-"));
  try {
    const suite = execFileSync("sh", ["-c", ". /etc/os-release && echo $VERSION_CODENAME"], {
      encoding: "utf8",
    });
    const unpacked = await fetchDebianPackage({
      name: "mariadb-server-core",
      minimumVersion: "10.5.0",
      suites: [suite.trim()],
      dependencies: /^lib(aio|uring)/,
      workDir,
      log: () => {},
    });
    // Several test files may do this at once: what another one has put there is as good.
    if (!isThere()) renameSync(unpacked, CACHED);
    return CACHED;
  } catch (error) {
    return isThere() ? CACHED : { missing: describeError(error) };
  } finally {
    rmSync(workDir, { recursive: true, force: true });
  }
}
