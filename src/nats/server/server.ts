/**
 * Runs a nats-server as a child: on 127.0.0.1, with JetStream in a directory of its own, every write synced (P34).
 *
 * - The child runs in its own process group (P30): Ctrl-C in the terminal reaches only us, and we decide when it ends.
 * - `guarded`: it ends with us even when we are killed by SIGKILL (`server-guardian.ts`).
 * - One server at a time owns a store. nats-server does not lock it, so the pid file of the last one is looked at
 *   first; that also covers the server of a run that was killed a moment ago and is still shutting down.
 *
 * Finding the binary is the business of `server-binary.ts`.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { extname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describeError, EnvironmentError } from "../../errors.ts";
import { startTimer } from "../../timer.ts";
import type { GuardianReport } from "./server-guardian.ts";

const host = "127.0.0.1";
const logLinesKept = 20;
/** Longer than a guardian gives its server to shut down before it kills it. */
const defaultStoreTimeoutMs = 15_000;

const freePortAttempts = 20;
/**
 * Below the range from which systems take the ports of outgoing connections: a client that keeps trying to reach a
 * port of that range while the server is away can be given this very port and connect to itself.
 */
const freePortMin = 20_000;
const freePortMax = 29_999;

export interface NatsServerOptions {
  /** The nats-server executable, as `provideNatsServer` finds it. */
  readonly binary: string;
  /** Directory for streams, generated configuration and pid file; made when it is missing. */
  readonly storeDir: string;
  /** The port on 127.0.0.1. Default 0: a free one is picked. */
  readonly port?: number;
  /** True: the server ends when this process does, however that happens. Default false: the caller has to stop it. */
  readonly guarded?: boolean;
  /** nats-server's own `sync_interval`. Default "always": an acknowledged write survives a power loss. */
  readonly syncInterval?: string;
  /** Further lines of nats-server configuration: accounts, TLS, limits. Default none. */
  readonly configuration?: string;
  /** How long to wait for the end of a server that still uses the store, in milliseconds. Default 15,000. */
  readonly storeTimeoutMs?: number;
  /** How long it may take until it is ready, in milliseconds; reading a large store takes long. Default 60,000. */
  readonly startTimeoutMs?: number;
  /** Gets every line that the server logs, and one of ours when the store is still in use. */
  readonly log?: (line: string) => void;
}

export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The last lines of its log, oldest first. */
  readonly lastLines: readonly string[];
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Resolves when the server process is gone, whatever ended it. Never rejects. */
  readonly exited: Promise<ServerExit>;
  /** SIGTERM, then SIGKILL when it is still there after `timeoutMs` (default 10,000). Resolves when it is gone. */
  stop(timeoutMs?: number): Promise<void>;
  /** Sends a signal (default SIGKILL) and does not wait. A server that is gone gets none. */
  kill(signal?: NodeJS.Signals): void;
}

/** Resolves when the server accepts clients. When it throws (EnvironmentError), no server is left running. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const store = await openStore(options);
  const port = options.port ?? 0;
  if (port !== 0) return await startOnPort(options, store, port);
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnPort(options, store, await findFreePort());
    } catch (error) {
      if (!(error instanceof PortTakenError) || attempt === freePortAttempts) throw error;
    }
  }
}

/** A port of 127.0.0.1 on which nothing listens now. It is not reserved: another process may take it meanwhile. */
export async function findFreePort(): Promise<number> {
  for (let attempt = 0; attempt < freePortAttempts; attempt++) {
    const port = freePortMin + Math.floor(Math.random() * (freePortMax - freePortMin + 1));
    if (await isFree(port)) return port;
  }
  throw new EnvironmentError(
    `${freePortAttempts} ports of ${host} between ${freePortMin} and ${freePortMax} are all taken; name a free one`,
  );
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    // A client of a server that is gone may try this port just now, and would keep the probe open.
    const probe = createServer((socket) => socket.destroy());
    probe.once("error", () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

export class PortTakenError extends EnvironmentError {}

export class StoreInUseError extends EnvironmentError {}

interface Store {
  readonly dir: string;
  readonly configFile: string;
  readonly pidFile: string;
}

function storeIn(storeDir: string): Store {
  const dir = resolve(storeDir);
  return { dir, configFile: join(dir, "nats-server.conf"), pidFile: join(dir, "nats-server.pid") };
}

/** Whether a nats-server that was started here, by whichever process, runs on this store. */
export async function runsOnStore(storeDir: string): Promise<boolean> {
  return (await serverOn(storeIn(storeDir))) !== undefined;
}

/** The pid of the nats-server that runs on the store. */
async function serverOn({ pidFile, configFile }: Store): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, "utf8").catch(() => ""));
  // The number alone proves nothing: after a reboot it belongs to another process.
  return pid > 0 && (await commandLineOf(pid)).includes(configFile) ? pid : undefined;
}

async function openStore(options: NatsServerOptions): Promise<Store> {
  const store = storeIn(options.storeDir);
  try {
    // Records of the user's lie in it.
    await mkdir(store.dir, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unusableStore(store, error);
  }
  await awaitEndOfPreviousServer(store, options);
  return store;
}

function unusableStore(store: Store, cause: unknown): EnvironmentError {
  return new EnvironmentError(
    `${store.dir} cannot be the store directory of a nats-server; name a directory that this user may write ` +
      `(${describeError(cause)})`,
    { cause },
  );
}

async function awaitEndOfPreviousServer(store: Store, options: NatsServerOptions): Promise<void> {
  const pid = await serverOn(store);
  if (pid === undefined) return;
  options.log?.(`waiting for the nats-server with pid ${pid}, which still uses ${store.dir}`);
  const deadline = Date.now() + (options.storeTimeoutMs ?? defaultStoreTimeoutMs);
  while ((await serverOn(store)) !== undefined) {
    if (Date.now() > deadline) {
      throw new StoreInUseError(
        `the store directory ${store.dir} is in use by the nats-server with pid ${pid}; ` +
          `stop the run it belongs to, or name another directory`,
      );
    }
    await sleep(50);
  }
}

/** The command line of a process; empty when there is none, or it has ended and only waits for its parent. */
async function commandLineOf(pid: number): Promise<string> {
  try {
    if (process.platform === "linux") return await readFile(`/proc/${pid}/cmdline`, "utf8");
    return (await promisify(execFile)("ps", ["-o", "command=", "-p", String(pid)], { timeout: 5_000 }))
      .stdout;
  } catch {
    return "";
  }
}

async function startOnPort(options: NatsServerOptions, store: Store, port: number): Promise<NatsServer> {
  await writeConfiguration(options, store, port);
  const lines = new LogLines(options.log);
  const spawnServer = options.guarded ? spawnGuarded : spawnDirectly;
  const server = spawnServer(options.binary, ["-c", store.configFile], lines);
  try {
    const pid = await server.spawned;
    await awaitReady(options, store, port, server, lines);
    return {
      url: `nats://${host}:${port}`,
      port,
      pid,
      exited: server.exited,
      stop: (timeoutMs = 10_000) => stopServer(server, timeoutMs),
      kill: (signal = "SIGKILL") => server.signal(signal),
    };
  } catch (error) {
    server.signal("SIGKILL");
    throw error;
  }
}

async function writeConfiguration(options: NatsServerOptions, store: Store, port: number): Promise<void> {
  const lines = [
    "# Written at every start by Tidemark; changes are lost.",
    `listen: "${host}:${port}"`,
    `pid_file: ${JSON.stringify(store.pidFile)}`,
    `jetstream { store_dir: ${JSON.stringify(store.dir)}, sync_interval: ${options.syncInterval ?? "always"} }`,
    options.configuration ?? "",
  ];
  try {
    // It may hold passwords.
    await writeFile(store.configFile, `${lines.join("\n")}\n`, { mode: 0o600 });
    await chmod(store.configFile, 0o600);
  } catch (error) {
    throw unusableStore(store, error);
  }
}

async function awaitReady(
  options: NatsServerOptions,
  store: Store,
  port: number,
  server: ServerProcess,
  lines: LogLines,
): Promise<void> {
  const startTimeoutMs = options.startTimeoutMs ?? 60_000;
  let cancel = () => {};
  const late = new Promise<"timeout">((resolve) => {
    cancel = startTimer(startTimeoutMs, () => resolve("timeout"));
  });
  const outcome = await Promise.race([lines.ready.then(() => "ready" as const), server.exited, late]).finally(
    cancel,
  );
  if (outcome === "timeout") {
    throw new EnvironmentError(
      `nats-server (${options.binary}) was not ready after ${startTimeoutMs} ms with the store ${store.dir}; ` +
        `a large store needs a longer start timeout${lines.quote()}`,
    );
  }
  if (outcome === "ready") return;
  if (outcome.lastLines.some((line) => line.includes("address already in use"))) {
    throw new PortTakenError(
      `port ${port} of ${host} is taken; name another one, or stop the process that listens there`,
    );
  }
  throw new EnvironmentError(
    `nats-server (${options.binary}) ended with ${outcome.signal ?? `exit code ${outcome.code}`} ` +
      `while it started with the store ${store.dir}${lines.quote()}`,
  );
}

async function stopServer(server: ServerProcess, timeoutMs: number): Promise<void> {
  const cancel = startTimer(timeoutMs, () => server.signal("SIGKILL"));
  server.signal("SIGTERM");
  await server.exited;
  cancel();
}

/** The lines that the server logs: handed on, watched for readiness, and the last ones kept for error messages. */
class LogLines {
  readonly last: string[] = [];
  readonly ready: Promise<void>;
  readonly #log: ((line: string) => void) | undefined;
  #becameReady: () => void = () => {};

  constructor(log: ((line: string) => void) | undefined) {
    this.#log = log;
    this.ready = new Promise((resolve) => {
      this.#becameReady = resolve;
    });
  }

  add(line: string): void {
    this.last.push(line);
    if (this.last.length > logLinesKept) this.last.shift();
    // Logged when it listens: from here on it accepts clients.
    if (line.includes("Server is ready")) this.#becameReady();
    this.#log?.(line);
  }

  addFrom(child: ChildProcess): void {
    if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => this.add(line));
  }

  quote(): string {
    return this.last.length === 0 ? "; it logged nothing" : `; its last lines:\n  ${this.last.join("\n  ")}`;
  }
}

/** The running server, as our own child or as our guardian's. */
interface ServerProcess {
  /** Resolves with the server's pid; rejects when it could not be started. */
  readonly spawned: Promise<number>;
  readonly exited: Promise<ServerExit>;
  signal(signal: NodeJS.Signals): void;
}

function notStarted(binary: string, why: string): EnvironmentError {
  return new EnvironmentError(`nats-server could not be started from ${binary}: ${why}`);
}

function spawnDirectly(binary: string, args: readonly string[], lines: LogLines): ServerProcess {
  const child = spawn(binary, args, { detached: true, stdio: ["ignore", "ignore", "pipe"] });
  lines.addFrom(child);
  return {
    spawned: new Promise((resolve, reject) => {
      child.once("spawn", () => resolve(child.pid!));
      child.once("error", (error) => reject(notStarted(binary, error.message)));
    }),
    exited: new Promise((resolve) => {
      child.once("close", (code, signal) => resolve({ code, signal, lastLines: lines.last }));
    }),
    signal: (signal) => void child.kill(signal),
  };
}

function spawnGuarded(binary: string, args: readonly string[], lines: LogLines): ServerProcess {
  const self = fileURLToPath(import.meta.url);
  const script = fileURLToPath(new URL(`./server-guardian${extname(self)}`, import.meta.url));
  const guardian = spawn(process.execPath, [script, binary, ...args], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  lines.addFrom(guardian);

  let running: number | undefined;
  const whenReported = (then: (report: GuardianReport) => void) => void guardian.on("message", then);
  whenReported((report) => {
    if (report.type === "logged") lines.add(report.line);
    else running = report.type === "spawned" ? report.pid : undefined;
  });
  return {
    spawned: new Promise((resolve, reject) => {
      whenReported((report) => {
        if (report.type === "spawned") resolve(report.pid);
        if (report.type === "failed") reject(notStarted(binary, report.message));
      });
      guardian.once("error", (error) => reject(notStarted(binary, `its guardian: ${error.message}`)));
      guardian.once("close", () => reject(notStarted(binary, `its guardian ended${lines.quote()}`)));
    }),
    exited: new Promise((resolve) => {
      whenReported((report) => {
        if (report.type !== "exited") return;
        resolve({ code: report.code, signal: report.signal, lastLines: lines.last });
      });
      guardian.once("close", () => {
        if (running === undefined) return;
        // The guardian was killed, and the server is left to us.
        sendSignal(running, "SIGKILL");
        running = undefined;
        resolve({ code: null, signal: "SIGKILL", lastLines: lines.last });
      });
    }),
    signal: (signal) => {
      if (running !== undefined) sendSignal(running, signal);
    },
  };
}

/** Sends a signal to a process that is not our child: it may be gone without our knowing. */
function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
