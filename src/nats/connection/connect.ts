/**
 * Opens the one NATS connection of a process, with the settings that a long-lived engine needs.
 *
 * - The first connect is tried for a bounded time; what waiting cannot mend (credentials, certificates, addresses) is
 *   refused at once.
 * - After that the connection never gives up: it reconnects until its owner closes it. Calls made meanwhile fail, so
 *   every control call needs a retry of its own.
 */
import { accessSync, constants } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, errors, type NatsConnection, type NodeConnectionOptions } from "@nats-io/transport-node";
import type { Logger } from "../../dataflow/connector.ts";
import { ConfigurationError, CredentialsNeededError, describeError, EnvironmentError } from "../../errors.ts";
import { startTimer } from "../../timer.ts";
import { whyEnded } from "../limits/ended-connection.ts";
import { PAYLOAD_BYTES_MIN } from "../limits/payload-limit.ts";
import { isAtLeast } from "../server/server-version.ts";
import { type CredentialOptions, type Credentials, resolveCredentials } from "./credentials.ts";
import { connectDiverting } from "./diverting-transport.ts";
import { NatsEnvironment } from "./environment.ts";
import { NatsLink } from "./link.ts";

const defaultConnectTimeoutMs = 30_000;
/** One attempt with one server, at start and when reconnecting; then the next one is tried. */
const dialTimeoutMs = 5_000;
const retryPauseMs = 200;
/** An error that is reported again in the same words is logged again after so long. */
const REPEATED_MS = 60_000;
const TEXTS_MAX = 100;

export interface NatsConnectOptions extends CredentialOptions {
  /**
   * "nats://host:4222", "tls://host", "nats://user:password@host", "nats://token@host" or "host:4222"; several (an
   * array, or separated by commas) are servers of one cluster.
   */
  readonly servers: string | readonly string[];
  /** How the connection is called in the server's lists and logs. */
  readonly name: string;
  /** Paths of PEM files. When given, even empty, it requires TLS. Default: TLS when the server offers it. */
  readonly tls?: TlsFiles;
  /** Called after each try at start that has failed, with the reason; then comes another one. */
  readonly onFailedTry?: (reason: string) => void;
  /** How long to try at start, in milliseconds. Default 30,000. */
  readonly connectTimeoutMs?: number;
  /** Is told of lost and regained connections. Default none. */
  readonly logger?: Logger;
  /** JetStream's domain ("hub"), when it is not that of the server at `servers`. Default: that server's. */
  readonly domain?: string;
  /** Instead of a domain: first tokens of requests to JetStream, "JS.acme.API", as an account imports them. */
  readonly apiPrefix?: string;
  /** Whether messages can be taken before the library parses them (`diverting-transport.ts`). Default true. */
  readonly divert?: boolean;
}

export interface TlsFiles {
  /** Certificates of the authorities to trust. Default: the system's. */
  readonly caFile?: string;
  /** Our own certificate, for a server that asks for one; needs `keyFile`. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

/**
 * Throws ConfigurationError for options that cannot work, EnvironmentError when the servers refuse us or cannot be
 * reached in time.
 */
export async function connectNats(options: NatsConnectOptions): Promise<NatsEnvironment> {
  const servers = parseServers(options.servers);
  const apiPrefix = apiPrefixOf(options);
  const credentials = resolveCredentials({ ...servers.credentials, ...options });
  const tls = options.tls ?? (servers.requireTls ? {} : undefined);
  if (tls) checkTlsFiles(tls);

  const connectionOptions: NodeConnectionOptions = {
    servers: [...servers.addresses],
    name: options.name,
    ...(tls && { tls }),
    ...(credentials.authenticator && { authenticator: credentials.authenticator }),
    timeout: dialTimeoutMs,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 150,
    reconnectJitter: 100,
    reconnectJitterTLS: 100,
    // A later attempt may find rotated credentials; by default two refusals close the connection for good.
    ignoreAuthErrorAbort: true,
    // A half-open link is noticed after 20 to 30 s instead of minutes.
    pingInterval: 10_000,
    // Tracing asynchronous calls costs up to half of the publishing rate.
    noAsyncTraces: true,
  };
  const environment = await connectInTime(
    options,
    servers.addresses,
    credentials,
    apiPrefix,
    connectionOptions,
  );
  const { connection } = environment;
  await assertMessages(connection);
  NatsLink.of(connection).payload.askWith(() => payloadLimitAt(connection.getServer(), connectionOptions));
  if (options.logger) void logStatus(connection, options.logger);
  return environment;
}

/**
 * Throws EnvironmentError when the connected server is older than `minimum` ("2.12.0"). `what` needs it: "the
 * exactly-once sink".
 */
export function requireServerVersion(environment: NatsEnvironment, minimum: string, what: string): void {
  const version = environment.serverVersion;
  if (isAtLeast(version, minimum)) return;
  throw new EnvironmentError(
    `nats-server ${version} at ${environment.connection.getServer()} is too old for ${what}: it needs ${minimum} or newer`,
  );
}

/** The limit as the server says it to a connection that begins now. */
async function payloadLimitAt(server: string, options: NodeConnectionOptions): Promise<number> {
  const asking = await connect({
    ...options,
    servers: [server],
    name: `${options.name}, which asks for max_payload`,
    reconnect: false,
  });
  try {
    return asking.info?.max_payload ?? 0;
  } finally {
    await asking.close();
  }
}

/** @throws EnvironmentError when the server takes smaller messages than the engine needs, or none with headers */
async function assertMessages(connection: NatsConnection): Promise<void> {
  const { max_payload: most = PAYLOAD_BYTES_MIN, headers = true } = connection.info ?? {};
  const problem = !headers
    ? "takes no message with headers, and they are needed; take no_header_support out of its configuration and start it again"
    : most < PAYLOAD_BYTES_MIN
      ? `takes messages of at most ${most} bytes, and ${PAYLOAD_BYTES_MIN} are needed; raise max_payload in its ` +
        "configuration and reload it"
      : undefined;
  if (problem === undefined) return;
  const server = connection.getServer();
  await connection.close();
  throw new EnvironmentError(`nats-server at ${server} ${problem}`);
}

/** The prefix of requests to JetStream; undefined: JetStream's own. */
function apiPrefixOf({ domain, apiPrefix }: NatsConnectOptions): string | undefined {
  if (domain !== undefined && apiPrefix !== undefined) {
    throw new ConfigurationError(
      "apiPrefix",
      "apiPrefix and domain say the same in two ways; give one of them",
    );
  }
  if (domain !== undefined) {
    if (/^[^\s.*>$]+$/.test(domain)) return `$JS.${domain}.API`;
    throw new ConfigurationError("domain", `"${domain}" is no JetStream domain: one word such as "hub"`);
  }
  if (apiPrefix === undefined || /^[^\s.*>]+(\.[^\s.*>]+)*$/.test(apiPrefix)) return apiPrefix;
  throw new ConfigurationError(
    "apiPrefix",
    `"${apiPrefix}" is no API prefix: tokens of a subject with dots between them, such as "JS.acme.API"`,
  );
}

interface Servers {
  /** host:port */
  readonly addresses: readonly string[];
  readonly requireTls: boolean;
  /** The credentials of the first address that carries some. */
  readonly credentials: CredentialOptions;
}

function parseServers(servers: string | readonly string[]): Servers {
  const texts = [servers].flat().flatMap((text) => text.split(","));
  const urls = texts.filter((text) => text.trim() !== "").map(parseServer);
  if (urls.length === 0)
    throw new ConfigurationError("servers", 'no NATS server is named; "nats://host:4222" is one');
  const withCredentials = urls.find((url) => url.username !== "");
  return {
    addresses: urls.map((url) => url.host),
    requireTls: urls.some((url) => url.protocol === "tls:"),
    credentials: withCredentials ? credentialsIn(withCredentials) : {},
  };
}

function parseServer(text: string): URL {
  const address = text.trim();
  const full = address.includes("://") ? address : `nats://${address}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url && ["nats:", "tls:"].includes(url.protocol) && url.hostname !== "") return url;
  // The part that may be a password is left out.
  const shown = address.replace(/\/\/.*@/, "//***@");
  throw new ConfigurationError(
    "servers",
    `"${shown}" is no address of a NATS server; "nats://host:4222" is one`,
  );
}

function credentialsIn(url: URL): CredentialOptions {
  const user = decodeURIComponent(url.username);
  return url.password === "" ? { token: user } : { user, password: decodeURIComponent(url.password) };
}

function checkTlsFiles(tls: TlsFiles): void {
  if ((tls.certFile === undefined) !== (tls.keyFile === undefined)) {
    const missing = tls.certFile === undefined ? "certFile" : "keyFile";
    throw new ConfigurationError(
      `tls.${missing}`,
      `tls: certFile and keyFile go together; ${missing} is missing`,
    );
  }
  for (const [key, file] of Object.entries(tls)) {
    try {
      accessSync(file, constants.R_OK);
    } catch (error) {
      throw new ConfigurationError(
        `tls.${key}`,
        `tls.${key}: ${file} cannot be read: ${describeError(error)}`,
        {
          cause: error,
        },
      );
    }
  }
}

async function connectInTime(
  options: NatsConnectOptions,
  addresses: readonly string[],
  credentials: Credentials,
  apiPrefix: string | undefined,
  connectionOptions: NodeConnectionOptions,
): Promise<NatsEnvironment> {
  const where = `NATS at ${addresses.join(", ")}`;
  const timeoutMs = options.connectTimeoutMs ?? defaultConnectTimeoutMs;
  const deadline = Date.now() + timeoutMs;
  let ended: string | undefined;
  let told: string | undefined;
  for (;;) {
    let failure: unknown;
    try {
      return await openBefore(deadline, connectionOptions, options.divert ?? true, apiPrefix);
    } catch (error) {
      failure = error;
    }
    const refusal = refusalOf(failure, credentials);
    if (refusal !== undefined) throw refused(`${where} ${refusal}`, failure, credentials);
    // The last attempt may just have been cut off.
    ended = whyEnded(failure) ?? (failure instanceof errors.TimeoutError ? ended : undefined);
    if (Date.now() + retryPauseMs >= deadline) {
      throw new EnvironmentError(
        ended === undefined
          ? `${where} could not be reached within ${timeoutMs} ms: ${describeError(failure)}; ` +
              `is a nats-server running there, and is the address right?${hintFor(failure, options)}`
          : `${where} has taken no connection for ${timeoutMs} ms: ${ended}`,
        ended === undefined ? { cause: failure } : {},
      );
    }
    options.onFailedTry?.(ended ?? describeError(failure));
    const problem = ended === undefined ? "cannot be reached yet" : `takes no connection yet: ${ended}`;
    if (problem !== told) {
      options.logger?.warn(
        { servers: addresses, ...(ended !== undefined && { reason: ended }) },
        `${where} ${problem}; trying for ${timeoutMs / 1000} s`,
      );
      told = problem;
    }
    await sleep(retryPauseMs);
  }
}

function refused(text: string, cause: unknown, { authenticator }: Credentials): EnvironmentError {
  const isUnproven = cause instanceof errors.AuthorizationError && authenticator === undefined;
  return isUnproven ? new CredentialsNeededError(text, { cause }) : new EnvironmentError(text, { cause });
}

/** A server that verifies certificates just says nothing more to a client that has none. */
function hintFor(failure: unknown, options: NatsConnectOptions): string {
  const silent = failure instanceof errors.TimeoutError && options.tls?.certFile === undefined;
  return silent ? " If it verifies the certificates of its clients, give tls.certFile and tls.keyFile." : "";
}

async function openBefore(
  deadline: number,
  connectionOptions: NodeConnectionOptions,
  divert: boolean,
  apiPrefix: string | undefined,
): Promise<NatsEnvironment> {
  const opening = open(connectionOptions, divert, apiPrefix);
  let cancel = () => {};
  const late = new Promise<undefined>((resolve) => {
    cancel = startTimer(deadline - Date.now(), () => resolve(undefined));
  });
  const opened = await Promise.race([opening, late]).finally(cancel);
  if (opened) return opened;
  opening.then(
    ({ connection }) => connection.close(),
    () => {},
  );
  throw new errors.TimeoutError();
}

async function open(
  connectionOptions: NodeConnectionOptions,
  divert: boolean,
  apiPrefix: string | undefined,
): Promise<NatsEnvironment> {
  const { connection, diverter, sendCommands } = await connectDiverting(connectionOptions, divert);
  return new NatsEnvironment(connection, diverter, sendCommands, apiPrefix);
}

/** Why waiting would not help, as the rest of a sentence; undefined when it might. */
function refusalOf(failure: unknown, credentials: Credentials): string | undefined {
  if (!(failure instanceof Error)) return undefined;
  const { code } = failure as NodeJS.ErrnoException;
  // A busy server refuses a client that was too slow to prove itself with the same class, but in words of its own.
  const authorization = failure instanceof errors.AuthorizationError && !/timeout/i.test(failure.message);
  if (authorization || failure instanceof errors.UserAuthenticationExpiredError) {
    return credentials.authenticator === undefined
      ? "asks for credentials, and none are given; give a credentials file, an nkey file, user and password, or a token"
      : `refused ${credentials.description} (${failure.message}); check them against the server's accounts`;
  }
  if (/^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_)/.test(code ?? "")) {
    return `cannot be trusted, or does not trust us: ${failure.message} (${code}); check the certificate files in "tls"`;
  }
  if (failure.message.includes("does not support 'tls'")) {
    return 'offers no TLS, and TLS is required; leave out "tls" and "tls://", or configure the server';
  }
  return undefined;
}

/** Logs the loss and the return of the connection, until it is closed. */
async function logStatus(connection: NatsConnection, logger: Logger): Promise<void> {
  const isNews = onceInAWhile();
  let isUp = true;
  for await (const status of connection.status()) {
    switch (status.type) {
      case "disconnect":
        // A server that refuses us ends each new connection, too.
        if (isUp) logger.warn({ server: status.server }, "connection to NATS lost; reconnecting");
        isUp = false;
        break;
      case "reconnect":
        isUp = true;
        logger.info({ server: status.server }, "connected to NATS again");
        break;
      case "staleConnection":
        logger.warn({}, "NATS does not answer pings; the connection is given up");
        break;
      case "ldm":
        logger.info({ server: status.server }, "this NATS server is going away; moving to another one");
        break;
      case "error":
        if (isNews(status.error.message))
          logger.error({ error: status.error.message }, "NATS reports an error");
        break;
    }
  }
}

/**
 * Lets a text through once a minute. Some repeat themselves word for word: each message of a batch is refused on its
 * own.
 */
function onceInAWhile(): (text: string) => boolean {
  const told = new Map<string, number>();
  return (text) => {
    const nowMs = performance.now();
    const toldMs = told.get(text);
    if (toldMs !== undefined && nowMs - toldMs < REPEATED_MS) return false;
    if (told.size >= TEXTS_MAX) told.clear();
    told.set(text, nowMs);
    return true;
  };
}
