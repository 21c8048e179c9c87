/**
 * One resolved, checked configuration of a job: defaults < the job's code < environment < flags.
 *
 * Each layer is checked by itself, so that an error names the key and the place where the value came from. The result
 * is plain data: it travels in the job record, and workers use it as it is.
 */
import { ConfigurationError } from "../errors.ts";
import {
  environmentName,
  type JobOptions,
  jobOptions,
  type OptionKey,
  type OptionValue,
  optionKeys,
  optionSections,
  restartOptionsOf,
} from "./options.ts";
import { show } from "./quantity.ts";
import { didYouMean, nearest } from "./suggestion.ts";

/** Meaning, limits and defaults of each field: the option of the same name in `JobOptions`. */
export interface JobConfig {
  readonly parallelism: number;
  readonly maxParallelism: number;
  readonly checkpointing: {
    readonly mode: "exactly-once";
    /** null: off; only the final checkpoint and savepoints are taken. Never less than `minPauseMs`. */
    readonly intervalMs: number | null;
    readonly timeoutMs: number;
    readonly minPauseMs: number;
    readonly retained: number;
    readonly inlineThresholdBytes: number;
    /** Barriers may overtake records. */
    readonly unaligned?: boolean;
  };
  readonly restart: RestartConfig;
  readonly heartbeat: { readonly pingIntervalMs: number; readonly timeoutMs: number };
  readonly channels: { readonly windowFrames: number; readonly flushMs: number };
  readonly cancelTimeoutMs: number;
}

/** As `machines/restart.ts` takes it. */
export type RestartConfig =
  | {
      readonly strategy: "exponential-delay";
      readonly initialBackoffMs: number;
      readonly maxBackoffMs: number;
      readonly backoffMultiplier: number;
      readonly jitterFactor: number;
      readonly resetBackoffThresholdMs: number;
      /** null: without a limit. */
      readonly attemptsBeforeResetBackoff: number | null;
    }
  /** `attempts` without a limit is Number.MAX_SAFE_INTEGER. */
  | { readonly strategy: "fixed-delay"; readonly attempts: number; readonly delayMs: number }
  | {
      readonly strategy: "failure-rate";
      readonly maxFailuresPerInterval: number;
      readonly failureRateIntervalMs: number;
      readonly delayMs: number;
    }
  | { readonly strategy: "none" };

export interface ConfigOverrides {
  /** Usually `process.env`. Only the options' variables are read; an empty one counts as not set. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** By dotted key, values as text or typed: `{ "checkpointing.interval": "1 s", parallelism: 4 }`. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

/** @throws ConfigurationError naming the key, and the variable or flag when the value came from there */
export function resolveJobConfig(options: JobOptions, overrides: ConfigOverrides = {}): JobConfig {
  const settings = new Settings([
    checkLayer(flatten(options), (key) => key),
    checkLayer(
      fromEnvironment(overrides.environment ?? {}),
      (key) => `${key} (from ${environmentName(key)})`,
    ),
    checkLayer(asTyped(flatten(overrides.flags ?? {})), (key) => `${key} (from the command line)`),
  ]);
  const config: JobConfig = {
    parallelism: settings.get("parallelism") ?? 1,
    maxParallelism: settings.get("maxParallelism") ?? 128,
    checkpointing: checkpointingOf(settings),
    restart: restartOf(settings),
    heartbeat: {
      pingIntervalMs: settings.get("heartbeat.pingInterval") ?? 250,
      timeoutMs: settings.get("heartbeat.timeout") ?? 10_000,
    },
    channels: {
      windowFrames: settings.get("channels.window") ?? 64,
      flushMs: settings.get("channels.flush") ?? 5,
    },
    cancelTimeoutMs: settings.get("cancelTimeout") ?? 10_000,
  };
  checkTogether(config, settings);
  return config;
}

function checkpointingOf(settings: Settings): JobConfig["checkpointing"] {
  const minPauseMs = settings.get("checkpointing.minPause") ?? 0;
  const intervalMs = settings.get("checkpointing.interval") ?? null;
  return {
    mode: settings.get("checkpointing.mode") ?? "exactly-once",
    // A shorter interval is raised, not refused, as in Flink.
    intervalMs: intervalMs === null ? null : Math.max(intervalMs, minPauseMs),
    timeoutMs: settings.get("checkpointing.timeout") ?? 600_000,
    minPauseMs,
    retained: settings.get("checkpointing.retained") ?? 1,
    inlineThresholdBytes: settings.get("checkpointing.inlineThreshold") ?? 20_480,
  };
}

function restartOf(settings: Settings): RestartConfig {
  const strategy = settings.get("restart.strategy") ?? "exponential-delay";
  settings.refuseOptionsOfOtherStrategies(strategy);
  switch (strategy) {
    case "exponential-delay": {
      const initialBackoffMs = settings.get("restart.initialBackoff") ?? 1_000;
      return {
        strategy,
        initialBackoffMs,
        maxBackoffMs: settings.get("restart.maxBackoff") ?? Math.max(60_000, initialBackoffMs),
        backoffMultiplier: settings.get("restart.backoffMultiplier") ?? 1.5,
        jitterFactor: settings.get("restart.jitterFactor") ?? 0.1,
        resetBackoffThresholdMs: settings.get("restart.resetBackoffThreshold") ?? 3_600_000,
        attemptsBeforeResetBackoff: settings.get("restart.attemptsBeforeResetBackoff") ?? null,
      };
    }
    case "fixed-delay": {
      const attempts = settings.get("restart.attempts");
      return {
        strategy,
        attempts: attempts === undefined ? 1 : (attempts ?? Number.MAX_SAFE_INTEGER),
        delayMs: settings.get("restart.delay") ?? 1_000,
      };
    }
    case "failure-rate":
      return {
        strategy,
        maxFailuresPerInterval: settings.get("restart.maxFailuresPerInterval") ?? 1,
        failureRateIntervalMs: settings.get("restart.failureRateInterval") ?? 60_000,
        delayMs: settings.get("restart.delay") ?? 1_000,
      };
    case "none":
      return { strategy };
  }
}

/** What no option can be checked for alone. */
function checkTogether(config: JobConfig, settings: Settings): void {
  if (config.parallelism > config.maxParallelism) {
    settings.refuse(
      "parallelism",
      `${config.parallelism} subtasks, but maxParallelism is ${config.maxParallelism}; a keyed operator needs at least ` +
        "one key group for each subtask",
    );
  }
  if (config.heartbeat.timeoutMs < config.heartbeat.pingIntervalMs) {
    settings.refuse("heartbeat.timeout", `must not be less than heartbeat.pingInterval`);
  }
  if (
    config.restart.strategy === "exponential-delay" &&
    config.restart.maxBackoffMs < config.restart.initialBackoffMs
  ) {
    settings.refuse("restart.maxBackoff", `must not be less than restart.initialBackoff`);
  }
}

/** Values of one layer; `said` names key and place for messages. */
interface Layer {
  readonly values: ReadonlyMap<OptionKey, unknown>;
  readonly said: (key: OptionKey) => string;
}

/** The layers, later ones first asked. */
class Settings {
  readonly #layers: readonly Layer[];

  constructor(layers: readonly Layer[]) {
    this.#layers = withoutOverruledRestartOptions(layers);
  }

  /** undefined: no layer says anything. */
  get<K extends OptionKey>(key: K): OptionValue<K> | undefined {
    return this.#layers[this.#layerOf(key)]?.values.get(key) as OptionValue<K> | undefined;
  }

  refuse(key: OptionKey, problem: string): never {
    const said = this.#layers[this.#layerOf(key)]?.said(key) ?? key;
    throw new ConfigurationError(key, `${said}: ${problem}`);
  }

  refuseOptionsOfOtherStrategies(strategy: OptionValue<"restart.strategy">): void {
    const allowed = restartOptionsOf[strategy];
    for (const key of optionKeys) {
      if (!isRestartDetail(key) || allowed.includes(key) || this.#layerOf(key) === -1) continue;
      const has = allowed.length === 0 ? "it has no options" : `it has ${allowed.join(", ")}`;
      this.refuse(key, `not an option of strategy "${strategy}"; ${has}`);
    }
  }

  #layerOf(key: OptionKey): number {
    return this.#layers.findLastIndex((layer) => layer.values.has(key));
  }
}

/** A layer that names another restart strategy than the ones below it does away with the options of theirs. */
function withoutOverruledRestartOptions(layers: readonly Layer[]): Layer[] {
  const kept: Layer[] = [];
  let strategy: unknown = "exponential-delay";
  for (const layer of layers) {
    const named = layer.values.get("restart.strategy") ?? strategy;
    if (named !== strategy) {
      for (const [index, below] of kept.entries()) {
        kept[index] = {
          ...below,
          values: new Map([...below.values].filter(([key]) => !isRestartDetail(key))),
        };
      }
    }
    strategy = named;
    kept.push(layer);
  }
  return kept;
}

function isRestartDetail(key: OptionKey): boolean {
  return key.startsWith("restart.") && key !== "restart.strategy";
}

function checkLayer(values: ReadonlyMap<string, unknown>, said: (key: OptionKey) => string): Layer {
  const checked = new Map<OptionKey, unknown>();
  for (const [key, value] of values) {
    if (!isOption(key)) throw unknownOption(key, value);
    const parsed = jobOptions[key].safeParse(value);
    if (!parsed.success)
      throw new ConfigurationError(key, `${said(key)}: ${parsed.error.issues[0]!.message}`);
    checked.set(key, parsed.data);
  }
  return { values: checked, said };
}

function isOption(key: string): key is OptionKey {
  return Object.hasOwn(jobOptions, key);
}

function unknownOption(key: string, value: unknown): ConfigurationError {
  if (optionSections.includes(key)) {
    const members = optionKeys
      .filter((known) => known.startsWith(`${key}.`))
      .map((known) => known.slice(key.length + 1));
    return new ConfigurationError(
      key,
      `${key}: must be an object with ${members.join(", ")}, got ${show(value)}`,
    );
  }
  const section = optionSections.find((known) => key.startsWith(`${known}.`));
  const candidates = section === undefined ? [...optionKeys, ...optionSections] : optionKeys;
  // Someone who writes `interval` at the top most likely means `checkpointing.interval`.
  const elsewhere = optionKeys.find((known) => known.endsWith(`.${key.slice(key.lastIndexOf(".") + 1)}`));
  const near = nearest(key, candidates) ?? elsewhere;
  const known = candidates.filter((name) => section === undefined || name.startsWith(`${section}.`));
  const hint = near === undefined ? `; known: ${known.join(", ")}` : `; did you mean "${near}"?`;
  return new ConfigurationError(key, `${key}: no such option${hint}`);
}

/** Nested sections become dotted keys; what is undefined was not said. */
function flatten(options: object): Map<string, unknown> {
  const flat = new Map<string, unknown>();
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined) continue;
    if (
      optionSections.includes(key) &&
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value)
    ) {
      for (const [name, inner] of Object.entries(value)) {
        if (inner !== undefined) flat.set(`${key}.${name}`, inner);
      }
    } else {
      flat.set(key, value);
    }
  }
  return flat;
}

/**
 * The engine has other variables that begin with TIDEMARK_, so an unknown one is an error only where it can be
 * nothing but an option: in a section, or a letter away from one.
 */
function fromEnvironment(environment: Readonly<Record<string, string | undefined>>): Map<string, unknown> {
  const keys = new Map(optionKeys.map((key) => [environmentName(key), key]));
  const names = [...keys.keys()];
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(environment)) {
    if (!name.startsWith("TIDEMARK_") || value === undefined || value.trim() === "") continue;
    const key = keys.get(name);
    if (key !== undefined) {
      found.set(key, value);
    } else if (optionSections.some((section) => name.startsWith(`TIDEMARK_${section.toUpperCase()}_`))) {
      throw new ConfigurationError(name, `${name}: no such option${didYouMean(name, names)}`);
    } else if (nearest(name, names) !== undefined) {
      throw new ConfigurationError(name, `${name}: no such option${didYouMean(name, names)}`);
    }
  }
  return asTyped(found);
}

/** Environment and flags are text; a number in it is meant as one. */
function asTyped(values: ReadonlyMap<string, unknown>): Map<string, unknown> {
  const typed = new Map<string, unknown>();
  for (const [key, value] of values) {
    const text = typeof value === "string" ? value.trim() : undefined;
    typed.set(key, text !== undefined && /^[+-]?\d+(\.\d+)?$/.test(text) ? Number(text) : (text ?? value));
  }
  return typed;
}
