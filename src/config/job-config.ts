/**
 * One resolved, checked configuration of a job: defaults < config file < the job's code < environment < flags.
 *
 * The result is plain data: it travels in the job record, and workers use it as it is.
 */
import type { ScalingConfig } from "../../machines/protocol.ts";
import {
  type CheckpointingSettings,
  checkpointingOf,
  type StorageConfig,
  storageOf,
} from "./checkpointing.ts";
import { codeEntries, type Entry, environmentEntries, flagEntries, type Layer, layerOf } from "./layers.ts";
import type { JobOptions } from "./options.ts";
import { type RestartConfig, restartOf } from "./restart.ts";
import { type EffectiveOption, Settings } from "./settings.ts";

/** Meaning, limits and defaults of each field: the option of the same name in `JobOptions`. */
export interface JobConfig {
  readonly parallelism: number;
  /** Left out: the numbers of subtasks stay until a user asks for others. */
  readonly scaling?: ScalingConfig;
  readonly maxParallelism: number;
  /** The user has said it: state with another number is refused, rather than its number taken. */
  readonly fixesMaxParallelism: boolean;
  /** The subtasks of single operators, whatever their own code says. */
  readonly operators: { readonly [operator: string]: number };
  readonly checkpointing: CheckpointingSettings;
  readonly restart: RestartConfig;
  readonly heartbeat: { readonly pingIntervalMs: number; readonly timeoutMs: number };
  readonly state: {
    /** "heap", "disk", or the absolute path of a module. */
    readonly backend: string;
    readonly directory?: string | undefined;
    readonly cacheBytes?: number | undefined;
  };
  readonly channels: { readonly windowFrames: number; readonly flushMs: number };
  readonly cancelTimeoutMs: number;
  /** undefined: as the command has it that runs the job. */
  readonly checks?: boolean | undefined;
}

export interface ConfigOverrides {
  /** The entries that `readConfigFile` found. This is the one place that the job's code wins over. */
  readonly file?: readonly Entry[] | undefined;
  /** Usually `process.env`. Only the options' variables are read; an empty one counts as not set. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** The flags by dotted key, values as text or typed: `{ "checkpointing.interval": "1 s", "--parallelism": 4 }`. */
  readonly flags?: Readonly<Record<string, unknown>> | undefined;
}

/** What the options depend on that is not an option. */
export interface JobFacts {
  /** What a restart from the beginning would do again or lose, in words; undefined: nothing. */
  readonly repeats?: string | undefined;
}

export interface Resolution {
  readonly config: JobConfig;
  /** What was written and will not hold as it was written, one sentence each. */
  readonly warnings: readonly string[];
  /** Every option that holds, with its origin. */
  readonly options: readonly EffectiveOption[];
}

/** @throws ConfigurationError naming the key as it was written, and its place */
export function resolveJobConfig(
  options: JobOptions,
  overrides: ConfigOverrides = {},
  { repeats }: JobFacts = {},
): Resolution {
  const settings = new Settings(layersOf(options, overrides));
  const checkpointing = checkpointingOf(settings);
  const config: JobConfig = {
    parallelism: settings.get("parallelism") ?? settings.get("scaling.min"),
    ...scalingOf(settings),
    maxParallelism: keyGroupsOf(settings),
    fixesMaxParallelism: settings.isSet("maxParallelism"),
    operators: settings.get("operatorParallelism"),
    checkpointing,
    restart: restartOf(settings, checkpointing.intervalMs, repeats),
    heartbeat: {
      pingIntervalMs: settings.get("heartbeat.pingInterval"),
      timeoutMs: settings.get("heartbeat.timeout"),
    },
    state: stateOf(settings),
    channels: {
      windowFrames: settings.get("channels.window"),
      flushMs: settings.get("channels.flush"),
    },
    cancelTimeoutMs: settings.get("cancelTimeout"),
    ...(settings.isSet("checks") && { checks: settings.get("checks") }),
  };
  checkTogether(config, settings);
  return { config, warnings: settings.warnings, options: settings.effective() };
}

/** Checks what other layers cannot mend: each option by itself, and that it belongs to its restart strategy. */
export function checkJobOptions(options: JobOptions): void {
  const settings = new Settings([layerOf(codeEntries(options))]);
  settings.refuseOptionsOfOtherStrategies(settings.get("restart.strategy"));
}

/** The storage of a process that has no job, or many. null: no option names one. */
export function resolveStorage(overrides: ConfigOverrides): StorageConfig | null {
  return storageOf(new Settings(layersOf({}, overrides)));
}

/** The place of savepoints, of a process that has no job, or many. undefined: no option names one. */
export function resolveSavepointDirectory(overrides: ConfigOverrides): string | undefined {
  return new Settings(layersOf({}, overrides)).get("checkpointing.savepointDirectory");
}

function layersOf(options: JobOptions, { file, environment, flags }: ConfigOverrides): Layer[] {
  return [
    layerOf(file ?? []),
    layerOf(codeEntries(options)),
    layerOf(environmentEntries(environment ?? {})),
    layerOf(flagEntries(flags ?? {})),
  ];
}

const KEY_GROUPS_MAX = 32_768;

/**
 * The number of key groups. Where none is said, it leaves room to grow, and follows from the most subtasks that options
 * ask for (Flink's KeyGroupRangeAssignment.computeDefaultMaxParallelism, there of each operator).
 */
function keyGroupsOf(settings: Settings): number {
  const standard = settings.get("maxParallelism");
  if (settings.isSet("maxParallelism")) return standard;
  const fixed = settings.get("parallelism");
  const most = Math.max(
    fixed ?? Math.max(settings.get("scaling.min"), settings.get("scaling.max") ?? 1),
    ...Object.values(settings.get("operatorParallelism")),
  );
  const roomy = 2 ** Math.ceil(Math.log2(most + Math.floor(most / 2)));
  const keyGroups = Math.min(Math.max(roomy, standard), KEY_GROUPS_MAX);
  return settings.adjust("maxParallelism", keyGroups, `it leaves room above ${most} subtasks`);
}

function scalingOf(settings: Settings): Pick<JobConfig, "scaling"> {
  if (settings.get("parallelism") !== null) {
    for (const key of ["min", "max", "target", "window", "cooldown"] as const)
      if (settings.isSet(`scaling.${key}`))
        settings.warn(`scaling.${key}`, 'means nothing without parallelism: "auto"');
    return {};
  }
  const min = settings.get("scaling.min");
  const max = settings.get("scaling.max") ?? null;
  if (max !== null && max < min) settings.refuse("scaling.max", `must not be less than scaling.min, ${min}`);
  const target = settings.get("scaling.target");
  const windowMs = settings.get("scaling.window");
  return { scaling: { min, max, target, windowMs, cooldownMs: settings.get("scaling.cooldown") } };
}

function stateOf(settings: Settings): JobConfig["state"] {
  const backend = settings.get("state.backend");
  const directory = settings.get("state.directory");
  const cacheBytes = settings.get("state.cacheSize");
  for (const key of ["state.directory", "state.cacheSize"] as const) {
    if (backend !== "disk" && settings.isSet(key))
      settings.warn(key, `means nothing with state.backend "${backend}"`);
  }
  return {
    backend,
    ...(directory !== undefined && { directory }),
    ...(cacheBytes !== undefined && { cacheBytes }),
  };
}

/** What concerns options of several sections. */
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
}
