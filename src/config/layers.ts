/**
 * What was written, where, and what it means: each place that options come from as one checked layer.
 *
 * Every layer is checked by itself, so that an error names the key as it was written and its place, and an earlier
 * layer's mistake is not hidden by a later layer's value.
 */
import { ConfigurationError } from "../errors.ts";
import { backendWithStorage, flinkKeys, type Meaning, readFlinkKey } from "./flink-keys.ts";
import {
  environmentName,
  isRestartDetail,
  type JobOptions,
  jobOptions,
  type OptionKey,
  optionKeys,
  optionSections,
} from "./options.ts";
import { show } from "./quantity.ts";
import { didYouMean, nearest } from "./suggestion.ts";

export interface Origin {
  readonly layer: "default" | "config file" | "job code" | "environment" | "command line";
  /** "cluster.yaml:3", "TIDEMARK_PARALLELISM". */
  readonly place?: string;
}

/** An option as it was written. */
export interface Entry {
  readonly spelling: string;
  readonly value: unknown;
  readonly origin: Origin;
}

/** An option as it is meant: its value, checked and in our units. */
export interface Setting {
  readonly value: unknown;
  readonly entry: Entry;
}

export type Layer = ReadonlyMap<OptionKey, Setting>;

/** Flags that are options of the job under a name of their own. */
const flagNames: ReadonlyMap<string, OptionKey> = new Map([
  ["--parallelism", "parallelism"],
  ["--operator", "operatorParallelism"],
  ["--checkpoint-dir", "checkpointing.directory"],
  ["--storage", "checkpointing.storage"],
]);

/** Variables besides those that are named after their option. */
const variableNames: ReadonlyMap<string, OptionKey> = new Map([
  ["TIDEMARK_CHECKPOINT_DIR", "checkpointing.directory"],
]);

/** Names key and place of a value, for messages. */
export function said({ spelling, origin }: Entry): string {
  if (origin.layer === "job code") return spelling;
  return `${spelling} (from ${origin.place ?? "the command line"})`;
}

/** @throws ConfigurationError */
export function layerOf(entries: Iterable<Entry>): Layer {
  const layer = new Map<OptionKey, Setting>();
  for (const entry of entries) {
    const meant = meaningOf(entry);
    for (const { key, value } of backendWithStorage(meant.key, meant.value) ?? [meant]) {
      const parsed = jobOptions[key].check.safeParse(value);
      if (!parsed.success)
        throw new ConfigurationError(key, `${said(entry)}: ${parsed.error.issues[0]!.message}`);
      const other = layer.get(key);
      if (other !== undefined && other.value !== parsed.data) {
        const [one, two] = [other.entry, entry].map((each) => `${said(each)} is ${show(each.value)}`);
        throw new ConfigurationError(key, `${one}, but ${two}, and both are ${key}; leave one of them out`);
      }
      layer.set(key, { value: parsed.data, entry });
    }
  }
  return layer;
}

/** The option that an entry names. */
function meaningOf(entry: Entry): Meaning {
  const { spelling } = entry;
  const ours = isOption(spelling) ? spelling : flagNames.get(spelling);
  if (ours !== undefined) return { key: ours, value: typed(entry, ours) };
  const flink = readFlinkKey(spelling, typed(entry, undefined));
  if (flink === undefined) throw unknownOption(entry);
  if ("unsupported" in flink)
    throw new ConfigurationError(
      spelling,
      `${said(entry)}: ${show(entry.value)} is not supported yet: ${flink.unsupported}`,
    );
  return flink;
}

function isOption(key: string): key is OptionKey {
  return Object.hasOwn(jobOptions, key);
}

const paths: ReadonlySet<OptionKey> = new Set([
  "checkpointing.directory",
  "checkpointing.savepointDirectory",
  "checkpointing.s3Endpoint",
]);

/** Files, environment and flags are text; a number or a truth in it is meant as one. */
function typed({ value, origin }: Entry, key: OptionKey | undefined): unknown {
  if (origin.layer === "job code" || typeof value !== "string") return value;
  const text = value.trim();
  if (key !== undefined && paths.has(key)) return text;
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (/^(true|false)$/i.test(text)) return text.toLowerCase() === "true";
  return text;
}

function unknownOption(entry: Entry): ConfigurationError {
  const { spelling: key, value, origin } = entry;
  const place = said(entry);
  if (optionSections.includes(key)) {
    const members = optionKeys
      .filter((known) => known.startsWith(`${key}.`))
      .map((known) => known.slice(key.length + 1));
    return new ConfigurationError(
      key,
      `${place}: must be an object with ${members.join(", ")}, got ${show(value)}`,
    );
  }
  const section = optionSections.find((known) => key.startsWith(`${known}.`));
  const candidates = section === undefined ? [...optionKeys, ...optionSections] : optionKeys;
  // A user who writes `interval` at the top most likely means `checkpointing.interval`.
  const elsewhere = key.includes(".") ? undefined : optionKeys.find((known) => known.endsWith(`.${key}`));
  const near = nearest(key, candidates) ?? nearest(key, flinkKeys) ?? elsewhere;
  if (near !== undefined)
    return new ConfigurationError(key, `${place}: no such option; did you mean "${near}"?`);
  const known = candidates.filter((name) => section === undefined || name.startsWith(`${section}.`));
  const hint =
    section === undefined && origin.layer !== "job code"
      ? '"tidemark config print" lists them all'
      : `known: ${known.join(", ")}`;
  return new ConfigurationError(key, `${place}: no such option; ${hint}`);
}

/** Nested sections become dotted keys; what is undefined was not said. */
export function codeEntries(options: JobOptions): Entry[] {
  const entries: Entry[] = [];
  const add = (spelling: string, value: unknown) => {
    if (value !== undefined) entries.push({ spelling, value, origin: { layer: "job code" } });
  };
  for (const [key, value] of Object.entries(options)) {
    if (optionSections.includes(key) && isSection(value)) {
      for (const [name, inner] of Object.entries(value)) add(`${key}.${name}`, inner);
    } else add(key, value);
  }
  const keys = new Set(entries.map(({ spelling }) => spelling));
  // Options without a strategy are those of exponential-delay (their type says so), whatever a config file says.
  if (!keys.has("restart.strategy") && optionKeys.some((key) => isRestartDetail(key) && keys.has(key)))
    add("restart.strategy", jobOptions["restart.strategy"].default);
  return entries;
}

function isSection(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function flagEntries(flags: Readonly<Record<string, unknown>>): Entry[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .map(([spelling, value]) => ({ spelling, value, origin: { layer: "command line" } }));
}

const VARIABLE_PREFIX = "TIDEMARK_";

/**
 * The engine has other variables that begin with TIDEMARK_, so an unknown one is an error only where it can be
 * nothing but an option: in a section, or a letter away from one.
 */
export function environmentEntries(environment: Readonly<Record<string, string | undefined>>): Entry[] {
  const keys = new Map<string, OptionKey>([
    ...optionKeys.map((key) => [environmentName(key), key] as const),
    ...variableNames,
  ]);
  const names = [...keys.keys()];
  // Names are compared without their common prefix: the longer a name, the more letters of it may be wrong.
  const bareNames = names.map((name) => name.slice(VARIABLE_PREFIX.length));
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith(VARIABLE_PREFIX) || value === undefined || value.trim() === "") continue;
    const key = keys.get(name);
    if (key !== undefined) {
      entries.push({ spelling: key, value, origin: { layer: "environment", place: name } });
    } else if (
      optionSections.some((section) => name.startsWith(`TIDEMARK_${section.toUpperCase()}_`)) ||
      nearest(name.slice(VARIABLE_PREFIX.length), bareNames) !== undefined
    ) {
      throw new ConfigurationError(name, `${name}: no such option${didYouMean(name, names)}`);
    }
  }
  return entries;
}
