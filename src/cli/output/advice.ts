/**
 * Commands in what this process says: they run as they are printed, where the user runs this one.
 *
 * Owns: the options of this command line that say where things are, and that every `tidemark` and `nats` command in a
 * message gets those that it takes. Messages are written without them: they may come from a leader, which was started
 * with options of its own, or from a record. Does not own: the messages.
 *
 * - AD1 What came from the environment is not repeated for `tidemark`: it holds for the next command as well.
 * - AD2 No secret is printed: its place says "…".
 * - AD3 For a provided server `nats` gets the file that holds address and token in the place of the address.
 * - AD4 A `run` leads its job alone, and its server may end with it: what `restore` would do, it does by itself.
 */
import { isAbsolute, relative } from "node:path";
import type { Command, Option } from "commander";
import { shellCommand } from "../../shell-command.ts";

/** Options, as commander calls them, that say where things are: every command that has them needs them. */
const PLACES: ReadonlySet<string> = new Set([
  "server",
  "creds",
  "nkey",
  "user",
  "password",
  "token",
  "tls",
  "tlsCa",
  "tlsCert",
  "tlsKey",
  "domain",
  "apiPrefix",
  "prefix",
  "configFile",
  "checkpointDir",
]);
/** How a job or process was started: for commands that start one again. */
const STARTS: ReadonlySet<string> = new Set([
  "replicas",
  "bucketMaxBytes",
  "parallelism",
  "config",
  "workers",
  "port",
  "skipGaps",
  "acceptStream",
]);
const SECRETS: ReadonlySet<string> = new Set(["password", "token"]);
/** What the `nats` tool calls them. */
const NATS_FLAGS: Readonly<Record<string, string>> = {
  server: "--server",
  creds: "--creds",
  nkey: "--nkey",
  user: "--user",
  password: "--password",
  token: "--token",
  tlsCa: "--tlsca",
  tlsCert: "--tlscert",
  tlsKey: "--tlskey",
  domain: "--js-domain",
  apiPrefix: "--js-api-prefix",
};
/** A job file in a message that does not know its name. */
const FILE = /(?<= )FILE\b/;
/** Words of a shell up to the end of the sentence's part: what closes it, or a comma or stop with a space behind. */
const NATS =
  /\bnats (?:stream|kv|object|consumer|account|server) [a-z]+(?: (?:'[^']*'|\\'|[^\s'"();,.]|[,.](?=[^\s)"']))+)*/g;

/** One option that this process was given. */
interface Given {
  readonly name: string;
  /** The flags as one would type them, values quoted. */
  readonly words: string;
  readonly value: string;
  readonly typed: boolean;
}

/** A command and its options' names. */
interface Verb {
  readonly name: string;
  readonly takes: ReadonlySet<string>;
  readonly needsArgument: boolean;
}

export class Advice {
  readonly #verbs: ReadonlyMap<string, Verb>;
  readonly #mention: RegExp;
  readonly #given: readonly Given[];
  readonly #file: string | undefined;
  readonly #runs: boolean;
  /** The server that a run provides. */
  #provided: string | undefined;
  /** By address: the context file of a server that a run provides. */
  readonly #contexts = new Map<string, string>();

  /** @param command the one that runs */
  constructor(program: Command, command: Command) {
    this.#verbs = new Map(verbsOf(program).map((verb) => [verb.name, verb]));
    const names = [...this.#verbs.keys()].sort((one, other) => other.length - one.length);
    this.#mention = new RegExp(`\\btidemark (${names.join("|")})(?![\\w-])`, "g");
    this.#given = command.options.flatMap((option) => givenOf(command, option));
    this.#file = jobFileOf(command);
    this.#runs = command.name() === "run";
  }

  /** From now on clients reach the job there; `run` itself does not need to be told. */
  serverProvided(url: string): void {
    this.#provided = url;
  }

  /** The server there lets in what has the token in this file. */
  contextFound(url: string, file: string): void {
    this.#contexts.set(url, file);
  }

  complete(text: string): string {
    if (!text.includes("tidemark ") && !text.includes("nats ")) return text;
    const own = this.#runs ? text.replaceAll("tidemark restore FILE", "tidemark run FILE") : text;
    return this.#completeNats(
      own.replace(this.#mention, (found, name: string, at: number) => {
        const verb = this.#verbs.get(name)!;
        const isWhole = !verb.needsArgument || own[at + found.length] === " ";
        return isWhole ? `${found}${this.#wordsFor(verb)}` : found;
      }),
    ).replace(FILE_OF_COMMAND, (found) =>
      this.#file === undefined ? found : found.replace(FILE, this.#file),
    );
  }

  #wordsFor({ name, takes }: Verb): string {
    const starts = takes.has("fresh") || name === "coordinator" || name === "worker";
    const words = this.#given
      .filter((one) => one.typed && takes.has(one.name) && (PLACES.has(one.name) || starts))
      .map((one) => one.words);
    if (this.#provided !== undefined && takes.has("server") && name !== "run")
      words.unshift(shellCommand(`--server=${this.#provided}`));
    return words.map((word) => ` ${word}`).join("");
  }

  #completeNats(text: string): string {
    return text.replace(NATS, (command) => {
      const words = Object.entries(NATS_FLAGS).flatMap(([name, flag]) => {
        const isSaid =
          command.includes(` ${flag}=`) || (name === "domain" && command.includes(" --js-api-prefix="));
        const given = this.#given.find((one) => one.name === name)?.value;
        const value = given ?? (name === "server" ? this.#provided : undefined);
        return isSaid || value === undefined ? [] : [shellCommand(`${flag}=${value}`)];
      });
      return this.#withContext([command, ...words].join(" "));
    });
  }

  #withContext(command: string): string {
    return command.replace(/ --server=(\S+)/g, (found, server: string) => {
      const file = this.#contexts.get(server);
      return file === undefined ? found : ` ${shellCommand(`--context=${shownPath(file)}`)}`;
    });
  }
}

const FILE_OF_COMMAND = /\btidemark (?:run|submit|restore|worker)(?: [^"\n]*?)? FILE\b/g;

let present: Advice | undefined;

/** The one of this process. */
export const advice = {
  /** Once the command line is known. */
  begin(program: Command, command: Command): void {
    present = new Advice(program, command);
  },
  serverProvided(url: string): void {
    present?.serverProvided(url);
  },
  contextFound(url: string, file: string): void {
    present?.contextFound(url, file);
  },
  /** The text with its commands completed. */
  complete: (text: string): string => present?.complete(text) ?? text,
  /** The same for every text in a value that is written as JSON. */
  completeIn: (_key: string, value: unknown): unknown =>
    typeof value === "string" ? advice.complete(value) : value,
};

/** A path as it is typed here: from the working directory on, if it lies below. */
export function shownPath(path: string): string {
  const below = relative(process.cwd(), path);
  return below.startsWith("..") || isAbsolute(below) ? path : below;
}

/** A message to the user of this process, on standard error. */
export function writeMessage(text: string): void {
  process.stderr.write(`tidemark: ${advice.complete(text)}\n`);
}

function verbsOf(program: Command): Verb[] {
  return program.commands.flatMap((command) =>
    command.commands.length > 0
      ? verbsOf(command).map((verb) => ({ ...verb, name: `${command.name()} ${verb.name}` }))
      : [
          {
            name: command.name(),
            takes: new Set(command.options.map((option) => option.attributeName())),
            needsArgument: command.registeredArguments.some(({ required }) => required),
          },
        ],
  );
}

function givenOf(command: Command, option: Option): Given[] {
  const name = option.attributeName();
  const source = command.getOptionValueSource(name);
  if ((source !== "cli" && source !== "env") || !(PLACES.has(name) || STARTS.has(name))) return [];
  const value: unknown = command.getOptionValue(name);
  const values = (Array.isArray(value) ? value : [value]).map((one) => safe(name, String(one)));
  const flag = option.long ?? option.short ?? "";
  const words = values.map((one) => (value === true ? flag : shellCommand(`${flag}=${one}`)));
  return [{ name, words: words.join(" "), value: values.join(","), typed: source === "cli" }];
}

function safe(name: string, value: string): string {
  if (SECRETS.has(name)) return "…";
  return name === "server" ? value.replaceAll(/(\/\/[^:@/,]*):[^@/,]*@/g, "$1:…@") : value;
}

function jobFileOf(command: Command): string | undefined {
  const { description = "" } = command.registeredArguments[0] ?? {};
  const [file] = command.args;
  return file !== undefined && /file that exports a job/.test(description) ? shellCommand(file) : undefined;
}
