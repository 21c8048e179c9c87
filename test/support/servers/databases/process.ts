/**
 * A database server as a process of a test: in a directory of its own, as a user without rights when the test is root,
 * as most of them refuse to run as root.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { chownSync, cpSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { GiveUpError, until } from "../../until.ts";

const NOBODY = 65534;
const asNobody = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

export interface DatabaseProcess {
  readonly port: number;
  /** A crash: the server and all processes that it has started. */
  crash(): Promise<void>;
  /** SIGSTOP and SIGCONT of all of them. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  restart(): Promise<void>;
  /** Ends it and removes its files. */
  stop(): Promise<void>;
}

/** An empty directory that the server may write to. */
export function serverDirectory(name: string): string {
  const directory = mkdtempSync(join(tmpdir(), `tidemark-${name}-`));
  if (asNobody.uid !== undefined) chownSync(directory, NOBODY, NOBODY);
  return directory;
}

/**
 * The directory, or a copy of it where its programs cannot be run by the user without rights: a clone of the project
 * may lie in a home directory that is closed to others.
 *
 * @param program below it, which answers to --version
 */
export function openTo(directory: string, program: string): string {
  const run = spawnSync(join(directory, program), ["--version"], { ...asNobody, cwd: "/", stdio: "ignore" });
  if (run.status === 0) return directory;
  const copy = join(serverDirectory("programs"), "copy");
  cpSync(directory, copy, { recursive: true, verbatimSymlinks: true });
  process.once("exit", () => rmSync(dirname(copy), { recursive: true, force: true }));
  return copy;
}

/** Runs a command of the server to its end. @throws Error with what it has said */
export function runAsServer(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = "",
): void {
  const run = spawnSync(command, args, { ...asNobody, cwd: "/", env, input, encoding: "utf8" });
  if (run.status === 0) return;
  throw new Error(`${command}: ${run.error ?? ""} ${run.stderr?.slice(-2000)} ${run.stdout?.slice(-500)}`);
}

export interface DatabaseLaunch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  readonly port: number;
  /** Said in its log when it takes connections. */
  readonly readyText: string;
}

export async function startDatabase(launch: DatabaseLaunch): Promise<DatabaseProcess> {
  const { command, args, env, directory, port, readyText } = launch;
  let child: ChildProcess;
  let exited: Promise<unknown>;
  let starts = 0;
  const logOf = (start: number) => join(directory, `log-${start}`);
  const read = (): string => readFileSync(logOf(starts), "utf8");
  const start = async () => {
    starts += 1;
    const log = openSync(logOf(starts), "a");
    child = spawn(command, args, { ...asNobody, cwd: "/", env, stdio: ["ignore", log, log] });
    exited = new Promise((resolve) => child.once("exit", resolve));
    const endWithUs = () => killAll("SIGKILL");
    process.once("exit", endWithUs);
    void exited.then(() => process.off("exit", endWithUs));
    await until(
      `${command} is ready`,
      () => {
        if (child.exitCode !== null) throw new GiveUpError(`${command} has ended: ${read().slice(-2000)}`);
        return read().includes(readyText);
      },
      { describe: read },
    );
  };
  const killAll = (signal: NodeJS.Signals): number[] => {
    const pids = child.pid === undefined ? [] : [child.pid, ...descendants(child.pid)];
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended by itself.
      }
    }
    return pids;
  };
  const crash = async () => {
    const pids = killAll("SIGKILL");
    await exited;
    // The next start refuses while a process of this one is attached to its memory.
    await until(`all processes of ${command} are gone`, () => !pids.some(isAlive));
  };
  await start();
  return {
    port,
    crash,
    signal: (signal) => void killAll(signal),
    restart: start,
    async stop() {
      if (child.exitCode === null && child.signalCode === null) await crash();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

interface ProcessStatus {
  readonly state: string;
  readonly parent: number;
}

function statusOf(pid: number): ProcessStatus | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state = "", parent] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state, parent: Number(parent) };
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  const status = statusOf(pid);
  return status !== undefined && status.state !== "Z";
}

function descendants(pid: number): number[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const children = all.filter((one) => statusOf(one)?.parent === pid);
  return children.flatMap((child) => [child, ...descendants(child)]);
}
