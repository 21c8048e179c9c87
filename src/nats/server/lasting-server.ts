/**
 * The server that belongs to a directory, at the same address and with the same token whenever it runs.
 *
 * Owns: which port and token, and which process has the port when it is taken. Does not own: the server itself
 * (server.ts), the file that keeps both (server-context.ts).
 *
 * - The first start takes a port that follows from the directory's path, the next free one if it is taken, and writes
 *   it down beside the store. So servers of different directories run at the same time, and addresses in a terminal's
 *   history stay true.
 * - From then on that port, or none. A port that the user names is written down likewise.
 * - Only clients with the token are let in. It is random, and stands in files that only the user can read.
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { EnvironmentError } from "../../errors.ts";
import {
  type NatsServer,
  type NatsServerOptions,
  PortTakenError,
  StoreInUseError,
  startNatsServer,
} from "./server.ts";
import {
  contextFileOf,
  greetingOf,
  newToken,
  portOf,
  readContext,
  serverNameOf,
  storeOf,
  writeContext,
} from "./server-context.ts";

const host = "127.0.0.1";
/** Below the ports that tests and outgoing connections use. */
const PORT_MIN = 10_000;
const PORTS = 10_000;
const ATTEMPTS = 20;

export interface LastingServerOptions extends Omit<NatsServerOptions, "configuration" | "port"> {
  /** Default: the one of the last time. */
  readonly port?: number | undefined;
}

/** What a client of the server needs. */
export interface LastingServer extends NatsServer {
  readonly token: string;
  /** The absolute path of the file that holds address and token, as the `nats` tool takes it. */
  readonly contextFile: string;
}

/** @throws EnvironmentError, which says which process has the port when it is taken */
export async function startLastingServer(options: LastingServerOptions): Promise<LastingServer> {
  const storeDir = resolve(options.storeDir);
  const kept = await readContext(storeDir);
  const token = kept?.token ?? newToken();
  const configuration =
    `server_name: ${JSON.stringify(serverNameOf(storeDir))}\n` +
    `authorization { token: ${JSON.stringify(token)} }`;
  const known = options.port ?? (kept && portOf(kept));
  const preferred = hashOf(storeDir);
  for (let attempt = 0; ; attempt++) {
    const port = known ?? PORT_MIN + ((preferred + attempt) % PORTS);
    try {
      const server = await startNatsServer({ ...options, port, configuration });
      await keep(server, storeDir, token);
      return { ...server, token, contextFile: contextFileOf(storeDir) };
    } catch (error) {
      if (error instanceof StoreInUseError) throw await usedBeside(storeDir, error);
      if (!(error instanceof PortTakenError)) throw error;
      if (known !== undefined) throw await takenBy(known, error);
      if (attempt === ATTEMPTS - 1) throw error;
    }
  }
}

async function keep(server: NatsServer, storeDir: string, token: string): Promise<void> {
  try {
    await writeContext(storeDir, { url: server.url, token });
  } catch (error) {
    await server.stop();
    throw error;
  }
}

function hashOf(storeDir: string): number {
  return createHash("sha256").update(storeDir).digest().readUInt32BE(0);
}

/** Another job of this directory runs: two jobs may share its server. */
async function usedBeside(storeDir: string, error: StoreInUseError): Promise<EnvironmentError> {
  const context = await readContext(storeDir);
  if (context === undefined) return error;
  return new EnvironmentError(
    `${error.message}; another job may use that server, with --server ${context.url}`,
    { cause: error },
  );
}

async function takenBy(port: number, cause: unknown): Promise<EnvironmentError> {
  const url = `nats://${host}:${port}`;
  const greeting = await greetingOf(host, port);
  const directory = greeting && storeOf(greeting);
  const other = "choose another port with --port";
  if (directory !== undefined) {
    return new EnvironmentError(
      `port ${port} is taken by the nats-server of another "tidemark run", whose store is ${directory}: end that run, ` +
        `use its server with --server ${url}, or ${other}`,
      { cause },
    );
  }
  return new EnvironmentError(
    greeting === undefined
      ? `port ${port} of ${host} is taken by a process that is no nats-server: stop it, or ${other}`
      : `port ${port} is taken by a nats-server ${greeting.version ?? ""} that no "tidemark run" has started: use it with ` +
          `--server ${url}, or ${other}`,
    { cause },
  );
}
