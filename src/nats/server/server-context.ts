/**
 * The context file of a provided server: its address and its token, beside its store, for its user alone.
 *
 * It is a context of the `nats` tool (ADR-21), so `nats --context=FILE` takes it. Commands of ours find it by the
 * server's address: such a server greets each client with the directory of its store.
 *
 * - CX1 The file can be read by its user only, and is replaced as a whole.
 * - CX2 A token is read for a server only where a nats-server runs on that very store, at the address that the file
 *   names. So a process that greets like one, on a port that is free now, is not told the token.
 */
import { randomBytes } from "node:crypto";
import { chmod, lstat, readFile, rename, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { describeError, EnvironmentError } from "../../errors.ts";
import { startTimer } from "../../timer.ts";
import { runsOnStore } from "./server.ts";

const GREETING_TIMEOUT_MS = 2_000;
const GREETING_CHARS_MAX = 65_536;
const OWNER_PREFIX = "tidemark-run:";
const TOKEN_BYTES = 24;
const LOOPBACK: ReadonlySet<string> = new Set(["127.0.0.1", "localhost", "[::1]"]);
const NATS_PORT = "4222";

export interface ServerContext {
  /** `nats://127.0.0.1:PORT` */
  readonly url: string;
  readonly token: string;
}

export interface FoundContext extends ServerContext {
  /** The absolute path. */
  readonly file: string;
}

/** What a nats-server says to each client that connects. */
interface Greeting {
  readonly server_name?: string;
  readonly version?: string;
}

export function contextFileOf(storeDir: string): string {
  return join(resolve(storeDir), "context.json");
}

/** The name by which the server of this store greets. */
export function serverNameOf(storeDir: string): string {
  return OWNER_PREFIX + encodeURI(resolve(storeDir));
}

/** The store that a server has by its name; undefined: no `tidemark run` has started it. */
export function storeOf({ server_name: name }: Greeting): string | undefined {
  if (name?.startsWith(OWNER_PREFIX) !== true) return undefined;
  try {
    return decodeURI(name.slice(OWNER_PREFIX.length));
  } catch {
    return undefined;
  }
}

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString("base64url");
}

/** undefined: there is none, or it is damaged, and the next start makes a new one. */
export async function readContext(storeDir: string): Promise<FoundContext | undefined> {
  const file = contextFileOf(storeDir);
  try {
    // A FIFO would wait for its other end.
    if (!(await lstat(file)).isFile()) return undefined;
    const { url, token } = JSON.parse(await readFile(file, "utf8")) as Partial<ServerContext>;
    const isWhole = typeof url === "string" && typeof token === "string" && token !== "";
    return isWhole ? { url, token, file } : undefined;
  } catch {
    return undefined;
  }
}

/** @throws EnvironmentError */
export async function writeContext(storeDir: string, { url, token }: ServerContext): Promise<void> {
  const file = contextFileOf(storeDir);
  const text = JSON.stringify({ description: "nats-server of tidemark run", url, token }, undefined, 2);
  try {
    await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600 });
    await chmod(`${file}.new`, 0o600);
    await rename(`${file}.new`, file);
  } catch (cause) {
    throw new EnvironmentError(
      `${file} cannot be written (${describeError(cause)}); it keeps address and token of the nats-server of this ` +
        "directory: make room, or name a directory that this user may write",
      { cause },
    );
  }
}

/** @param servers as a connection takes them @returns undefined: it is no server that a run of this user provides */
export async function contextOfServer(servers: string): Promise<FoundContext | undefined> {
  const address = servers.includes("://") ? servers : `nats://${servers}`;
  const { hostname, port } = URL.canParse(address) ? new URL(address) : { hostname: "", port: "" };
  if (!LOOPBACK.has(hostname)) return undefined;
  const greeting = await greetingOf(hostname.replace(/^\[|\]$/g, ""), Number(port || NATS_PORT));
  const storeDir = greeting && storeOf(greeting);
  if (storeDir === undefined) return undefined;
  const context = await readContext(storeDir);
  if (context === undefined || portOf(context) !== Number(port || NATS_PORT)) return undefined;
  return (await runsOnStore(storeDir)) ? context : undefined;
}

/** undefined: none is named there. */
export function portOf({ url }: Pick<ServerContext, "url">): number | undefined {
  const port = URL.canParse(url) ? Number(new URL(url).port) : 0;
  return port > 0 ? port : undefined;
}

/** undefined: nothing of the kind is said. */
export function greetingOf(host: string, port: number): Promise<Greeting | undefined> {
  return new Promise((done) => {
    let said = "";
    const socket = connect({ host, port });
    const end = () => {
      cancel();
      socket.destroy();
      const info = /^INFO (\{.*\})/.exec(said)?.[1];
      try {
        done(info === undefined ? undefined : (JSON.parse(info) as Greeting));
      } catch {
        done(undefined);
      }
    };
    const cancel = startTimer(GREETING_TIMEOUT_MS, end);
    socket.on("error", end).on("close", end);
    socket.on("data", (data) => {
      said += data.toString();
      if (said.includes("\n") || said.length > GREETING_CHARS_MAX) end();
    });
  });
}
