/** Options that several commands share, and how they become what the assembly takes. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { StorageConfig } from "../config/checkpointing.ts";
import { readConfigFile } from "../config/config-file.ts";
import { type ConfigOverrides, resolveStorage } from "../config/job-config.ts";
import { readSize } from "../config/quantity.ts";
import type { Logger } from "../dataflow/connector.ts";
import { ConfigurationError, CredentialsNeededError, EnvironmentError } from "../errors.ts";
import { isSubjectToken } from "../formats/names.ts";
import { connectNats, type NatsConnectOptions } from "../nats/connection/connect.ts";
import type { NatsEnvironment } from "../nats/connection/environment.ts";
import { contextOfServer } from "../nats/server/server-context.ts";
import { createLogger, createMessages, type LogLevel, logLevels } from "../observe/logger.ts";
import {
  type Cluster,
  type ClusterOptions,
  type ClusterView,
  openCluster,
  viewCluster,
  warnOfCaptures,
} from "./assembly.ts";
import { advice, writeMessage } from "./output/advice.ts";
import { tellParent } from "./process/lifetime.ts";
import { startEnvironment } from "./process/process-state.ts";

export interface ConnectionFlags {
  readonly server?: string;
  readonly creds?: string;
  readonly nkey?: string;
  readonly user?: string;
  readonly password?: string;
  readonly token?: string;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly domain?: string;
  readonly apiPrefix?: string;
  readonly connectTimeout: number;
}

/** What decides, below the job's own options, where checkpoints lie. */
export interface StorageFlags {
  readonly configFile?: string;
  readonly checkpointDir?: string;
  readonly storage?: string;
}

export interface ClusterFlags extends ConnectionFlags, StorageFlags {
  readonly prefix: string;
  readonly replicas?: number;
  readonly bucketMaxBytes?: number;
  readonly logLevel: LogLevel;
  readonly logFile?: string;
}

export function wholeNumber(min: number, max?: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (
      text.trim() !== "" &&
      Number.isSafeInteger(value) &&
      value >= min &&
      (max === undefined || value <= max)
    )
      return value;
    const range = max === undefined ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new InvalidArgumentError(`It must be a whole number ${range}.`);
  };
}

function bucketSize(text: string): number {
  const size = readSize(/^\d+$/.test(text) ? Number(text) : text);
  if ("problem" in size) throw new InvalidArgumentError(`It ${size.problem}.`);
  if (size.value >= BUCKET_BYTES_MIN) return size.value;
  throw new InvalidArgumentError("It must be at least 1 MiB.");
}

const BUCKET_BYTES_MIN = 1024 * 1024;

function prefixTokens(text: string): string {
  if (text.split(".").every(isSubjectToken) && !text.startsWith("$")) return text;
  throw new InvalidArgumentError(
    'It must be tokens of a NATS subject with dots between them, such as "tidemark" or "acme.tidemark".',
  );
}

export function addClusterOptions(command: Command, server: "required" | "optional" = "required"): Command {
  const serverOption = new Option("-s, --server <url>", "NATS server, or several with commas").env(
    "TIDEMARK_SERVER",
  );
  if (server === "required") serverOption.default("nats://127.0.0.1:4222");
  return addStorageOptions(command)
    .addOption(serverOption)
    .addOption(new Option("--creds <file>", "credentials file of a NATS user").env("TIDEMARK_CREDS"))
    .addOption(new Option("--nkey <file>", "file with the seed of a NATS user nkey").env("TIDEMARK_NKEY"))
    .addOption(new Option("--user <name>", "NATS user").env("TIDEMARK_USER"))
    .addOption(new Option("--password <password>", "its password").env("TIDEMARK_PASSWORD"))
    .addOption(new Option("--token <token>", "NATS token").env("TIDEMARK_TOKEN"))
    .addOption(new Option("--tls", "require TLS").env("TIDEMARK_TLS"))
    .addOption(
      new Option("--tls-ca <file>", "certificates of the authorities to trust (PEM)").env("TIDEMARK_TLS_CA"),
    )
    .addOption(new Option("--tls-cert <file>", "our own certificate (PEM)").env("TIDEMARK_TLS_CERT"))
    .addOption(new Option("--tls-key <file>", "its key (PEM)").env("TIDEMARK_TLS_KEY"))
    .addOption(
      new Option("--domain <name>", "JetStream domain, when it is not the server's own").env(
        "TIDEMARK_DOMAIN",
      ),
    )
    .addOption(
      new Option(
        "--api-prefix <tokens>",
        'instead of --domain: prefix of the JetStream API that the account imports, such as "JS.acme.API"',
      ).env("TIDEMARK_API_PREFIX"),
    )
    .addOption(
      new Option(
        "--connect-timeout <seconds>",
        "how long to try to reach the server and, for a request, the leading coordinator",
      )
        .argParser(wholeNumber(1))
        .default(30),
    )
    .addOption(
      new Option("--prefix <tokens>", "first tokens of every subject and bucket")
        .env("TIDEMARK_PREFIX")
        .argParser(prefixTokens)
        .default("tidemark"),
    )
    .addOption(
      new Option(
        "--replicas <n>",
        "replicas of the buckets, on a NATS cluster (default: as they are, 1 for new ones)",
      )
        .env("TIDEMARK_REPLICAS")
        .argParser(wholeNumber(1, 5)),
    )
    .addOption(
      new Option(
        "--bucket-max-bytes <size>",
        'size limit of the buckets with checkpoints and savepoints, "10 GiB" (default: as they are, none for new ones)',
      )
        .env("TIDEMARK_BUCKET_MAX_BYTES")
        .argParser(bucketSize),
    )
    .addOption(
      new Option("--log-level <level>", "least important lines to log")
        .env("TIDEMARK_LOG_LEVEL")
        .choices(logLevels)
        .default("info"),
    )
    .addOption(new Option("--log-file <file>", "log there instead of to standard error"));
}

export function addStorageOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--config-file <file>",
        "options in YAML, with our keys or Flink's; the job's code, the environment and flags win over it",
      ).env("TIDEMARK_CONFIG_FILE"),
    )
    .option(
      "--checkpoint-dir <directory>",
      "checkpoints in this directory, shared by all processes, instead of the JetStream object store " +
        "(env: TIDEMARK_CHECKPOINT_DIR)",
    )
    .option(
      "--storage <storage>",
      'another storage of checkpoints: "s3://bucket/prefix", or "./my-storage.ts", a module that opens one ' +
        "(env: TIDEMARK_CHECKPOINTING_STORAGE)",
    );
}

export function addConfigOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        "-p, --parallelism <n>",
        'subtasks per operator, or "auto" (overrides the job file)',
      ).argParser((text: string) => (text === "auto" ? text : wholeNumber(1)(text))),
    )
    .option(
      "--operator <id=n>",
      "subtasks of one operator, repeatable (overrides the job file)",
      operatorNumber,
    )
    .option(
      "-c, --config <key=value>",
      `any option of the job, repeatable; "tidemark config print" lists them`,
      (pair: string, all: readonly string[]) => [...all, pair],
      [] as readonly string[],
    );
}

/** The numbers of subtasks that `--operator ID=N` has named. */
export type OperatorNumbers = Readonly<Record<string, number>>;

const PARALLELISM_MAX = 32_768;

/** Collects `ID=N`. */
export function operatorNumber(text: string, before: OperatorNumbers = {}): OperatorNumbers {
  const at = text.lastIndexOf("=");
  if (at <= 0) throw new InvalidArgumentError('It must be ID=N, such as "count=3".');
  return { ...before, [text.slice(0, at)]: wholeNumber(1, PARALLELISM_MAX)(text.slice(at + 1)) };
}

export interface ConfigFlags {
  readonly parallelism?: number | "auto";
  readonly operator?: OperatorNumbers;
  readonly config: readonly string[];
}

/** @throws ConfigurationError for a pair without "=", and for a config file that cannot be read */
export function overridesOf(flags: StorageFlags & Partial<ConfigFlags>): ConfigOverrides {
  const values: Record<string, unknown> = {};
  for (const pair of flags.config ?? []) {
    const at = pair.indexOf("=");
    if (at < 1) throw new ConfigurationError("config", `--config ${pair}: write it as key=value`);
    values[pair.slice(0, at)] = pair.slice(at + 1);
  }
  return {
    // A variable that is set to nothing is not set.
    file: flags.configFile ? readConfigFile(flags.configFile) : undefined,
    environment: startEnvironment,
    flags: {
      ...values,
      "--parallelism": flags.parallelism,
      "--operator": flags.operator,
      "--checkpoint-dir": flags.checkpointDir || undefined,
      "--storage": flags.storage || undefined,
    },
  };
}

/** The same options again, for a child process. */
export function configArguments(flags: ConfigFlags): string[] {
  return [
    ...flags.config.flatMap((pair) => ["--config", pair]),
    ...(flags.parallelism === undefined ? [] : ["--parallelism", String(flags.parallelism)]),
    ...Object.entries(flags.operator ?? {}).flatMap(([id, n]) => ["--operator", `${id}=${n}`]),
  ];
}

function connectOptionsOf(
  flags: ConnectionFlags,
  server: string,
  name: string,
  logger: Logger,
): NatsConnectOptions {
  // A variable that is set to nothing is not set.
  const [tlsCa, tlsCert, tlsKey] = [flags.tlsCa, flags.tlsCert, flags.tlsKey].map(
    (file) => file || undefined,
  );
  const wantsTls = flags.tls === true || tlsCa !== undefined || tlsCert !== undefined || tlsKey !== undefined;
  return {
    servers: server,
    name,
    logger,
    connectTimeoutMs: flags.connectTimeout * 1000,
    ...(flags.domain ? { domain: flags.domain } : {}),
    ...(flags.apiPrefix ? { apiPrefix: flags.apiPrefix } : {}),
    ...(flags.creds === undefined ? {} : { credentialsFile: flags.creds }),
    ...(flags.nkey === undefined ? {} : { nkeyFile: flags.nkey }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.password === undefined ? {} : { password: flags.password }),
    ...(flags.token === undefined ? {} : { token: flags.token }),
    ...(wantsTls
      ? {
          tls: {
            ...(tlsCa === undefined ? {} : { caFile: tlsCa }),
            ...(tlsCert === undefined ? {} : { certFile: tlsCert }),
            ...(tlsKey === undefined ? {} : { keyFile: tlsKey }),
          },
        }
      : {}),
  };
}

/** The same flags, with this token and nothing else to prove itself with. */
export function withToken(flags: ClusterFlags, token: string): ClusterFlags {
  const { creds: _creds, nkey: _nkey, user: _user, password: _password, ...others } = flags;
  return { ...others, token };
}

/**
 * The connection flags as environment variables, so that passwords do not show in a process list; undefined: one that
 * the child shall not have.
 */
export function connectionEnvironment(
  flags: ClusterFlags,
  server: string,
): Record<string, string | undefined> {
  return {
    TIDEMARK_SERVER: server,
    TIDEMARK_CREDS: flags.creds,
    TIDEMARK_NKEY: flags.nkey,
    TIDEMARK_USER: flags.user,
    TIDEMARK_PASSWORD: flags.password,
    TIDEMARK_TOKEN: flags.token,
    TIDEMARK_TLS: flags.tls === true ? "true" : undefined,
    TIDEMARK_TLS_CA: flags.tlsCa,
    TIDEMARK_TLS_CERT: flags.tlsCert,
    TIDEMARK_TLS_KEY: flags.tlsKey,
    TIDEMARK_DOMAIN: flags.domain,
    TIDEMARK_API_PREFIX: flags.apiPrefix,
    TIDEMARK_PREFIX: flags.prefix,
    TIDEMARK_CONFIG_FILE: flags.configFile,
    TIDEMARK_REPLICAS: flags.replicas?.toString(),
    TIDEMARK_BUCKET_MAX_BYTES: flags.bucketMaxBytes?.toString(),
    TIDEMARK_LOG_LEVEL: flags.logLevel,
  };
}

/** The storage that was settled on, for child processes which do not see all of the layers. */
export function storageEnvironment(storage: StorageConfig | null): Record<string, string | undefined> {
  return {
    TIDEMARK_CHECKPOINT_DIR: undefined,
    TIDEMARK_CHECKPOINTING_STORAGE: spelt(storage),
    TIDEMARK_CHECKPOINTING_MEMORY_STATE_MAX:
      storage?.kind === "memory" ? String(storage.stateBytesMax) : undefined,
    TIDEMARK_CHECKPOINTING_S3_ENDPOINT: storage?.kind === "s3" ? storage.endpoint : undefined,
    TIDEMARK_CHECKPOINTING_DIRECTORY: storage?.kind === "filesystem" ? storage.directory : undefined,
  };
}

function spelt(storage: StorageConfig | null): string | undefined {
  if (storage?.kind === "module") return storage.path;
  return storage?.kind === "s3" ? storage.location : storage?.kind;
}

export function loggerOf(flags: ClusterFlags, role: string): Logger {
  return createLogger({
    level: flags.logLevel,
    fields: { role, pid: process.pid },
    complete: advice.complete,
    ...(flags.logFile === undefined ? {} : { file: flags.logFile }),
  });
}

/** The messages of a command that a user waits for: text on standard error, unless a log file is wanted. */
export function messagesOf(flags: ClusterFlags, role: string): Logger {
  if (flags.logFile !== undefined) return loggerOf({ ...flags, logLevel: "warn" }, role);
  return createMessages(writeMessage);
}

/** How the options of `connectNats` are called on the command line. */
const FLAG_OF: Readonly<Record<string, string>> = {
  servers: "--server",
  credentialsFile: "--creds",
  nkeyFile: "--nkey",
  user: "--user",
  password: "--password",
  token: "--token",
  "tls.caFile": "--tls-ca",
  "tls.certFile": "--tls-cert",
  "tls.keyFile": "--tls-key",
  domain: "--domain",
  apiPrefix: "--api-prefix",
};

/** Says the flag where the message says the option that it becomes. */
function inWordsOfFlags(error: unknown): unknown {
  if (error instanceof ConfigurationError) {
    const text = flagsIn(error.message);
    const flag = FLAG_OF[error.key] ?? error.key;
    return new ConfigurationError(error.key, text.startsWith(flag) ? text : `${flag}: ${text}`);
  }
  if (!(error instanceof EnvironmentError)) return error;
  return new EnvironmentError(flagsIn(error.message), { cause: error.cause });
}

function flagsIn(message: string): string {
  return message
    .replace(/\btls\.caFile\b/g, "--tls-ca")
    .replace(/\b(tls\.)?certFile\b/g, "--tls-cert")
    .replace(/\b(tls\.)?keyFile\b/g, "--tls-key")
    .replace(/\bcredentialsFile\b/g, "--creds")
    .replace(/\bnkeyFile\b/g, "--nkey")
    .replace("apiPrefix and domain", "--api-prefix and --domain")
    .replace('the certificate files in "tls"', "--tls-ca, --tls-cert and --tls-key")
    .replace('leave out "tls" and "tls://"', 'leave out --tls and "tls://"');
}

/**
 * Connects and opens the cluster's buckets. The caller closes the connection.
 *
 * @param storage what a job's options say; without a job, what config file, environment and flags say
 */
export async function connectCluster(
  flags: ClusterFlags,
  server: string,
  role: string,
  logger: Logger,
  {
    storage = resolveStorage(overridesOf(flags)),
    ...more
  }: Pick<ClusterOptions, "storage" | "savepointPlaces" | "leads"> = {},
): Promise<Cluster> {
  const { prefix, replicas, bucketMaxBytes: maxBytes } = flags;
  const nats = await connect(flags, server, role, logger);
  const cluster = await openCluster(nats, { ...more, prefix, replicas, maxBytes, storage });
  void warnOfCaptures(cluster, logger);
  return cluster;
}

/** Connects, and neither makes nor changes anything. The caller closes the connection. */
export async function connectView(
  flags: ClusterFlags,
  server: string,
  role: string,
  logger: Logger,
  storage: StorageConfig | null = resolveStorage(overridesOf(flags)),
): Promise<ClusterView> {
  const { prefix } = flags;
  return viewCluster(await connect(flags, server, role, logger), { prefix, storage });
}

async function connect(
  flags: ConnectionFlags,
  server: string,
  role: string,
  logger: Logger,
): Promise<NatsEnvironment> {
  const sinceMs = Date.now();
  const told = (reason: string) =>
    tellParent({ type: "troubles", troubles: [{ what: "connecting to NATS", reason, sinceMs }] });
  const options = {
    ...connectOptionsOf(flags, server, `tidemark ${role}`, logger),
    onFailedTry: told,
  };
  try {
    return await connectNats(options).catch(async (error: unknown) => {
      const context = error instanceof CredentialsNeededError ? await contextOfServer(server) : undefined;
      if (context === undefined) throw error;
      for (const url of [server, context.url]) advice.contextFound(url, context.file);
      return await connectNats({ ...options, token: context.token });
    });
  } catch (error) {
    throw inWordsOfFlags(error);
  }
}
