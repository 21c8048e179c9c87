/**
 * What an option can be: a number, a duration, a word, …, each with its check, its limits and how people write it.
 *
 * A check turns what was written into what the engine works with: milliseconds, bytes, null for "off" and "unlimited".
 */
import { isAbsolute, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { formatDuration, formatSize, type Reading, readDuration, readSize, show } from "./quantity.ts";

export interface Kind<Value> {
  readonly check: z.ZodType<Value>;
  /** What it may be, for the documentation: "10 ms to 365 d". */
  readonly limits: string;
  /** The value as users write it. */
  readonly format: (value: Value) => string;
  readonly unit?: "ms" | "bytes";
}

export interface Option<Value> extends Kind<Value> {
  readonly default: Value;
  /** The default in words, for the documentation: it may depend on other options. */
  readonly defaultText: string;
}

export function option<Value>(kind: Kind<Value>, standard: Value): Option<Value> {
  return { ...kind, default: standard, defaultText: kind.format(standard) };
}

/** An option without a default of its own; `defaultText` says what holds then. */
export function derived<Value>(kind: Kind<Value>, defaultText: string): Option<Value | undefined> {
  return {
    ...kind,
    format: (value) => (value === undefined ? defaultText : kind.format(value)),
    default: undefined,
    defaultText,
  };
}

function number(min: number, max: number, what: "a whole number" | "a number"): Kind<number> {
  const error = (issue: { input?: unknown }) =>
    `must be ${what} from ${min} to ${max}, got ${show(issue.input)}`;
  const base = what === "a number" ? z.number({ error }) : z.int({ error });
  return {
    check: base.min(min, { error }).max(max, { error }),
    limits: `${min} to ${max}`,
    format: String,
  };
}

export const whole = (min: number, max: number): Kind<number> => number(min, max, "a whole number");
export const fraction = (min: number, max: number): Kind<number> => number(min, max, "a number");

export const truth: Kind<boolean> = {
  check: z.boolean({ error: (issue) => `must be true or false, got ${show(issue.input)}` }),
  limits: "true, false",
  format: String,
};

const NUMBER_MAX = 32_768;

/** A number for each of some ids: `{ count: 3 }`, or "count=3, lines=1" where only text can be written. */
export const numbersById: Kind<Readonly<Record<string, number>>> = {
  check: z.unknown().transform((value, context) => {
    const pairs = typeof value === "string" ? pairsIn(value) : Object.entries(value ?? {});
    const isNumber = (n: unknown) => Number.isInteger(n) && Number(n) >= 1 && Number(n) <= NUMBER_MAX;
    if (!Array.isArray(value) && pairs.every(([id, n]) => id !== "" && isNumber(n)))
      return Object.fromEntries(pairs) as Record<string, number>;
    context.addIssue({
      code: "custom",
      message: `must be ID=N, or several of them with commas, with whole numbers from 1 to ${NUMBER_MAX}, got ${show(value)}`,
    });
    return z.NEVER;
  }),
  limits: `ID=N, …; N from 1 to ${NUMBER_MAX}`,
  format: (numbers) =>
    Object.entries(numbers)
      .map(([id, n]) => `${id}=${n}`)
      .join(", ") || "none",
};

function pairsIn(text: string): [string, number][] {
  if (text.trim() === "none") return [];
  return text
    .split(",")
    .filter((pair) => pair.trim() !== "")
    .map((pair) => {
      const at = pair.lastIndexOf("=");
      return [pair.slice(0, Math.max(at, 0)).trim(), Number(pair.slice(at + 1))];
    });
}

/** A kind of which only one value is built yet; the others are refused. */
export function onlyYet<T extends boolean | string>(kind: Kind<T>, only: T, because: string): Kind<T> {
  return {
    ...kind,
    check: kind.check.refine((value) => value === only, {
      error: (issue) => `${show(issue.input)} is not supported yet: ${because}`,
    }),
    limits: String(only),
  };
}

/** @param aliases other words for one, in lower case with dashes */
export function oneOf<const Value extends string>(
  values: readonly Value[],
  aliases: Readonly<Record<string, Value>> = {},
): Kind<Value> {
  // Flink writes its words as EXACTLY_ONCE.
  const bare = (input: unknown) =>
    typeof input === "string" ? input.toLowerCase().replaceAll("_", "-") : input;
  const check = z.unknown().transform((input, context): Value => {
    const word = bare(input);
    const found = values.find((value) => value === word);
    if (found !== undefined) return found;
    if (typeof word === "string" && Object.hasOwn(aliases, word)) return aliases[word]!;
    const message = `must be ${values.map((value) => `"${value}"`).join(" or ")}, got ${show(input)}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  });
  return { check, limits: values.join(", "), format: String };
}

/** A quantity in its smallest unit, within limits that the message states as people write them. */
function quantity(
  readInput: (input: unknown) => Reading,
  limits: { readonly min: number; readonly max: number },
  format: (value: number) => string,
): Kind<number> {
  const range = `${format(limits.min)} to ${format(limits.max)}`;
  const check = z.unknown().transform((input, context) => {
    const reading = readInput(input);
    const problem =
      "problem" in reading
        ? reading.problem
        : reading.value < limits.min || reading.value > limits.max
          ? `must be from ${range}, got ${show(input)}`
          : undefined;
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
    return "value" in reading ? reading.value : 0;
  });
  return { check, limits: range, format };
}

export const duration = (min: number, max: number): Kind<number> => ({
  ...quantity(readDuration, { min, max }, formatDuration),
  unit: "ms",
});

export const size = (min: number, max: number): Kind<number> => ({
  ...quantity(readSize, { min, max }, formatSize),
  unit: "bytes",
});

/** -1 is how Flink says "none of it". */
export function minusOneIsZero(kind: Kind<number>): Kind<number> {
  return { ...kind, check: z.preprocess((input) => (input === -1 ? 0 : input), kind.check) };
}

/** A word that stands for "no such limit" is null from here on: undefined would not survive the job record. */
export function orNone<Value>(word: string, kind: Kind<Value>): Kind<Value | null> {
  const check = z.unknown().transform((input, context): Value | null => {
    if (input === word) return null;
    const parsed = kind.check.safeParse(input);
    if (parsed.success) return parsed.data;
    context.addIssue({
      code: "custom",
      message: `${parsed.error.issues[0]!.message}; "${word}" is allowed too`,
    });
    return z.NEVER;
  });
  return {
    ...kind,
    check,
    limits: `${kind.limits}, "${word}"`,
    format: (value) => (value === null ? word : kind.format(value)),
  };
}

/** A directory, made absolute, because it travels to processes that work elsewhere; or a place on an S3 server. */
export const directory: Kind<string> = {
  check: z.unknown().transform((input, context): string => {
    const reading = readDirectory(input);
    if ("value" in reading) return reading.value;
    context.addIssue({ code: "custom", message: reading.problem });
    return z.NEVER;
  }),
  limits: "path, file:// or s3:// URI",
  format: String,
};

/** A directory of the machine, made absolute. */
export const localDirectory: Kind<string> = {
  check: z.unknown().transform((input, context): string => {
    const isElsewhere = typeof input === "string" && isS3(schemeOf(input));
    const reading = isElsewhere
      ? { problem: `must be a directory of the machine, got ${show(input)}` }
      : readDirectory(input);
    if ("value" in reading) return reading.value;
    context.addIssue({ code: "custom", message: reading.problem });
    return z.NEVER;
  }),
  limits: "path, or file:// URI",
  format: String,
};

/** The storages that have a word of their own. */
export const storageWords = ["jetstream", "filesystem", "memory"] as const;
export type StorageWord = (typeof storageWords)[number];

/** Flink's classes for two of them. */
const STORAGE_CLASS =
  /^org\.apache\.flink\.runtime\.state\.storage\.(FileSystem|JobManager)CheckpointStorage(Factory)?$/;

/** A word, a place on an S3 server, or the path of a module, made absolute. */
export const storage: Kind<string> = {
  check: z.unknown().transform((input, context): string => {
    const reading = readStorage(input);
    if ("value" in reading) return reading.value;
    context.addIssue({ code: "custom", message: reading.problem });
    return z.NEVER;
  }),
  limits: [...storageWords, "s3://bucket/prefix", "./module.ts"].join(", "),
  format: String,
};

/** Flink's classes for two of the backends. */
const BACKEND_CLASS =
  /^org\.apache\.flink\.(runtime\.state\.hashmap\.HashMap|(?:contrib\.streaming\.state|state\.rocksdb)\.EmbeddedRocksDB)StateBackend(Factory)?$/i;

/** A word, or the path of a module, made absolute. */
export const stateBackend: Kind<string> = {
  check: z.unknown().transform((input, context): string => {
    const text = typeof input === "string" ? input.trim() : "";
    const ofFlink = BACKEND_CLASS.exec(text)?.[1];
    const word = (ofFlink === undefined ? text : /hashmap/i.test(ofFlink) ? "heap" : "disk").toLowerCase();
    if (word === "heap" || word === "hashmap") return "heap";
    if (word === "disk" || word === "rocksdb") return "disk";
    if (/^\.{1,2}[/\\]/.test(text) || isAbsolute(text)) return resolve(text);
    const message = `must be "heap" or "disk", or a module such as "./my-backend.ts", got ${show(input)}`;
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  }),
  limits: "heap, disk, ./module.ts",
  format: String,
};

type Read = { readonly value: string } | { readonly problem: string };

function readStorage(input: unknown): Read {
  const words = storageWords.map((word) => `"${word}"`).join(" or ");
  const problem = `must be ${words}, "s3://bucket/prefix", or a module such as "./my-storage.ts", got ${show(input)}`;
  if (typeof input !== "string") return { problem };
  const text = input.trim();
  const ofFlink = STORAGE_CLASS.exec(text)?.[1];
  const word = ofFlink === "FileSystem" ? "filesystem" : (ofFlink ?? text).toLowerCase();
  if (word === "jobmanager") return { value: "memory" };
  if (storageWords.some((each) => each === word)) return { value: word };
  const scheme = schemeOf(text);
  if (isS3(scheme)) return readS3(text);
  if (scheme !== undefined && scheme !== "file")
    return {
      problem: `${problem}; mount it, and give the directory where it is mounted as checkpointing.directory`,
    };
  // A word with a letter wrong is no module: a path begins as one.
  return /^(\.{1,2}[/\\]|file:)/.test(text) || isAbsolute(text) ? readDirectory(text) : { problem };
}

/** Flink's names of its three clients for S3 come to the same. */
function isS3(scheme: string | undefined): boolean {
  return scheme !== undefined && /^s3[anp]?$/.test(scheme);
}

/** One spelling for each place, without a slash at the end. */
function readS3(text: string): Read {
  const [, bucket = "", path = ""] = /^[^:]+:\/\/([^/]*)\/?(.*)$/.exec(text) ?? [];
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    return {
      problem: `${show(bucket)} cannot be the name of an S3 bucket, got ${show(text)}; write s3://bucket/prefix`,
    };
  const parts = path.replace(/\/+$/, "").split("/");
  if (parts.length > 1 && parts.some((part) => /^\.{0,2}$/.test(part)))
    return { problem: `${show(text)} has a part that is empty or leads elsewhere; write s3://bucket/prefix` };
  return { value: ["s3:/", bucket, ...parts.filter((part) => part !== "")].join("/") };
}

/** Where a server that speaks HTTP is. */
export const httpUrl: Kind<string> = {
  check: z.unknown().transform((input, context): string => {
    if (typeof input === "string" && /^https?:\/\/[^/]+/i.test(input)) return input;
    context.addIssue({
      code: "custom",
      message: `must be a URL like http://127.0.0.1:9000, got ${show(input)}`,
    });
    return z.NEVER;
  }),
  limits: "http:// or https:// URL",
  format: String,
};

function schemeOf(text: string): string | undefined {
  return /^([a-z][\w+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
}

function readDirectory(input: unknown): Read {
  if (typeof input !== "string") return { problem: `must be the path of a directory, got ${show(input)}` };
  if (input.trim() === "") return { problem: "must not be empty" };
  const scheme = schemeOf(input);
  if (scheme === undefined) return { value: resolve(input.replace(/^file:/, "")) };
  if (isS3(scheme)) return readS3(input.trim());
  if (scheme !== "file")
    return {
      problem: `must be a directory of the file system, or s3://bucket/prefix, got ${show(input)}; mount it, and give the directory where it is mounted`,
    };
  try {
    return { value: resolve(fileURLToPath(input)) };
  } catch {
    return { problem: `must be a path or a URI like file:///var/checkpoints, got ${show(input)}` };
  }
}
