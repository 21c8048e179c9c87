/**
 * The server that belongs to a directory, at the same address whenever it runs.
 *
 * Owns: which port, and which process has it when it is taken. Does not own: the server itself (server.ts).
 *
 * - The first start takes a port that follows from the directory's path, the next free one if it is taken, and writes
 *   it down beside the store. So servers of different directories run at the same time, and addresses in a terminal's
 *   history stay true.
 * - From then on that port, or none. A port that the user names is written down likewise.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { EnvironmentError } from "../../errors.ts";
import { startTimer } from "../../timer.ts";
import {
  type NatsServer,
  type NatsServerOptions,
  PortTakenError,
  StoreInUseError,
  startNatsServer,
} from "./server.ts";

const host = "127.0.0.1";
/** Below the ports that tests and outgoing connections use. */
const PORT_MIN = 10_000;
const PORTS = 10_000;
const ATTEMPTS = 20;
const GREETING_TIMEOUT_MS = 2_000;
const OWNER_PREFIX = "tidemark-run:";

export interface LastingServerOptions extends Omit<NatsServerOptions, "configuration" | "port"> {
  /** Default: the one of the last time. */
  readonly port?: number | undefined;
}

/** @throws EnvironmentError, which says which process has the port when it is taken */
export async function startLastingServer(options: LastingServerOptions): Promise<NatsServer> {
  const storeDir = resolve(options.storeDir);
  const portFile = join(storeDir, "port");
  const configuration = `server_name: ${JSON.stringify(OWNER_PREFIX + encodeURI(storeDir))}`;
  const known = options.port ?? (await readPort(portFile));
  const preferred = hashOf(storeDir);
  for (let attempt = 0; ; attempt++) {
    const port = known ?? PORT_MIN + ((preferred + attempt) % PORTS);
    try {
      const server = await startNatsServer({ ...options, port, configuration });
      await writeFile(portFile, `${port}\n`);
      return server;
    } catch (error) {
      if (error instanceof StoreInUseError) throw await usedBeside(portFile, error);
      if (!(error instanceof PortTakenError)) throw error;
      if (known !== undefined) throw await takenBy(known, error);
      if (attempt === ATTEMPTS - 1) throw error;
    }
  }
}

function hashOf(storeDir: string): number {
  return createHash("sha256").update(storeDir).digest().readUInt32BE(0);
}

async function readPort(file: string): Promise<number | undefined> {
  const port = Number(await readFile(file, "utf8").catch(() => ""));
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined;
}

/** Another job of this directory runs: two jobs may share its server. */
async function usedBeside(portFile: string, error: StoreInUseError): Promise<EnvironmentError> {
  const port = await readPort(portFile);
  if (port === undefined) return error;
  return new EnvironmentError(
    `${error.message}; another job may use that server, with --server nats://${host}:${port}`,
    { cause: error },
  );
}

async function takenBy(port: number, cause: unknown): Promise<EnvironmentError> {
  const url = `nats://${host}:${port}`;
  const greeting = await greetingOf(port);
  const { server_name: name, version } = greeting ?? {};
  const other = "choose another port with --port";
  if (name?.startsWith(OWNER_PREFIX)) {
    const directory = decodeURI(name.slice(OWNER_PREFIX.length));
    return new EnvironmentError(
      `port ${port} is taken by the nats-server of another "tidemark run", whose store is ${directory}: end that run, ` +
        `use its server with --server ${url}, or ${other}`,
      { cause },
    );
  }
  return new EnvironmentError(
    greeting === undefined
      ? `port ${port} of ${host} is taken by a process that is no nats-server: stop it, or ${other}`
      : `port ${port} is taken by a nats-server ${version ?? ""} that no "tidemark run" has started: use it with ` +
          `--server ${url}, or ${other}`,
    { cause },
  );
}

/** What a nats-server says to each client that connects; undefined: nothing of the kind is said. */
function greetingOf(
  port: number,
): Promise<{ readonly server_name?: string; readonly version?: string } | undefined> {
  return new Promise((done) => {
    let said = "";
    const socket = connect({ host, port });
    const end = () => {
      cancel();
      socket.destroy();
      const info = /^INFO (\{.*\})/.exec(said)?.[1];
      try {
        done(info === undefined ? undefined : (JSON.parse(info) as { server_name?: string }));
      } catch {
        done(undefined);
      }
    };
    const cancel = startTimer(GREETING_TIMEOUT_MS, end);
    socket.on("error", end).on("close", end);
    socket.on("data", (data) => {
      said += data.toString();
      if (said.includes("\n")) end();
    });
  });
}
