/** A throw-away nats-server on a free port of 127.0.0.1. */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NatsConnection } from "@nats-io/transport-node";
import { findFreePort, startNatsServer } from "../../../src/nats/server/server.ts";
import { provideNatsServer } from "../../../src/nats/server/server-binary.ts";
import { until } from "../until.ts";

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  readonly storeDir: string;
  /**
   * Ends the process as it is; the store stays. SIGSTOP and SIGCONT only suspend (it answers nothing more) and resume
   * it.
   */
  kill(signal?: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and store; with other settings when some are given. */
  restart(options?: Pick<TestServerOptions, "configuration" | "jetStream">): Promise<void>;
  /** It goes on with other lines of configuration (SIGHUP). Rejects when it does not take them. */
  reload(configuration: string): Promise<void>;
  /**
   * Resolves when the streams that were deleted are gone from its disk. One that is deleted again before that comes
   * back with its messages (fileStore.Delete in server/filestore.go).
   */
  forgotten(): Promise<void>;
  /** Ends it and removes the store. */
  stop(): Promise<void>;
}

export interface TestServerOptions {
  /** Further lines of nats-server configuration. */
  readonly configuration?: string;
  /** Further settings of its JetStream: "domain: hub", "limits { … }"; "disabled": it has none. */
  readonly jetStream?: string;
  /** Default false: no fsync, for speed. */
  readonly syncAlways?: boolean;
}

export const freePort = findFreePort;

export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { path: binary } = await provideNatsServer();
  const storeDir = await mkdtemp(join(tmpdir(), "tidemark-nats-"));
  await keepsItsStreams(storeDir);
  let settings: Pick<TestServerOptions, "configuration" | "jetStream"> = options;
  let onLine: (line: string) => void = () => {};
  const start = async (port: number) => {
    const pidFile = join(storeDir, "nats-server.pid");
    // The last server's pid may be another process's by now.
    await rm(pidFile, { force: true });
    const watch = killWhenThisProcessEnds(pidFile);
    try {
      const server = await startNatsServer({
        binary,
        storeDir,
        port,
        configuration: configurationOf(storeDir, settings),
        syncInterval: options.syncAlways ? "always" : "2m",
        log: (line) => onLine(line),
      });
      void server.exited.then(() => watch.kill("SIGKILL"));
      return server;
    } catch (error) {
      watch.kill("SIGKILL");
      throw error;
    }
  };
  let server = await start(0);
  return {
    url: server.url,
    port: server.port,
    get pid() {
      return server.pid;
    },
    storeDir,
    async kill(signal = "SIGKILL") {
      server.kill(signal);
      if (signal === "SIGSTOP") await isSuspended(server.pid);
      else if (signal !== "SIGCONT") await server.exited;
    },
    async restart(changed = settings) {
      settings = changed;
      server.kill();
      await server.exited;
      server = await start(server.port);
    },
    async reload(configuration) {
      const file = join(storeDir, "nats-server.conf");
      const before = configurationOf(storeDir, settings);
      settings = { ...settings, configuration };
      const text = readFileSync(file, "utf8");
      writeFileSync(
        file,
        text.replace(before, () => configurationOf(storeDir, settings)),
      );
      const reloaded = new Promise<void>((resolve, reject) => {
        onLine = (line) => {
          if (line.includes("Reloaded server configuration")) resolve();
          if (line.includes("Failed to reload")) reject(new Error(line));
        };
      });
      server.kill("SIGHUP");
      await reloaded;
    },
    async forgotten() {
      const deleted = () => readdirSync(streamsOf(storeDir)).filter((name) => name.startsWith("."));
      await until("deleted streams are gone", async () => deleted().length === 0);
    },
    async stop() {
      server.kill();
      await server.exited;
      await rm(storeDir, { recursive: true, force: true });
    },
  };
}

function configurationOf(
  storeDir: string,
  { jetStream, configuration }: Pick<TestServerOptions, "configuration" | "jetStream">,
): string {
  return `${jetStreamBlock(storeDir, jetStream)}\n${configuration ?? ""}`;
}

/** Takes the place of the block that stands above it in the configuration. */
function jetStreamBlock(storeDir: string, more: string | undefined): string {
  if (more === undefined) return "";
  if (more === "disabled") return "jetstream: disabled";
  return `jetstream { store_dir: ${JSON.stringify(storeDir)}, sync_interval: 2m, ${more} }`;
}

/** On a busy machine the threads of a process run on for a while after its SIGSTOP. */
async function isSuspended(pid: number): Promise<void> {
  const threads = `/proc/${pid}/task`;
  const stateOf = (thread: string) =>
    readFileSync(`${threads}/${thread}/stat`, "utf8").split(") ").at(-1)?.[0];
  await until(
    "every thread of the server is suspended",
    async () => readdirSync(threads).every((thread) => stateOf(thread) === "T"),
    { everyMs: 1 },
  );
}

/**
 * A shell whose standard input only we hold: it wakes up when we are gone, however we ended. Started before the server,
 * so that there is no moment without it.
 */
function killWhenThisProcessEnds(pidFile: string): ChildProcess {
  const script = 'read -r _; [ -s "$0" ] || sleep 1; kill -9 "$(cat "$0")"';
  const watch = spawn("/bin/sh", ["-c", script, pidFile], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  watch.unref();
  return watch;
}

/**
 * Some time after the last stream was deleted nats-server removes the directory of all streams, if it is empty, and so
 * pulls it away under a client that creates one just then: "error creating store for stream" (stream.stop in
 * server/stream.go).
 */
async function keepsItsStreams(storeDir: string): Promise<void> {
  await mkdir(join(streamsOf(storeDir), "kept"), { recursive: true });
}

const streamsOf = (storeDir: string): string => join(storeDir, "jetstream", "$G", "streams");

/** Whether the server answers this connection now. */
export async function answers(connection: NatsConnection): Promise<boolean> {
  return await connection.flush().then(
    () => true,
    () => false,
  );
}
