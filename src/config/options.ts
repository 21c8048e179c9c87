/**
 * What a user may set, and what each setting may be: the options as they are written, and their checks.
 *
 * One option is one dotted key. The same key is used in the job's code (nested), in the environment
 * (`checkpointing.minPause` is `TIDEMARK_CHECKPOINTING_MIN_PAUSE`), by flags, and in every message.
 */
import {
  derived,
  directory,
  duration,
  fraction,
  httpUrl,
  localDirectory,
  minusOneIsZero,
  numbersById,
  oneOf,
  onlyYet,
  option,
  orNone,
  type StorageWord,
  size,
  stateBackend,
  storage,
  truth,
  whole,
} from "./option-kinds.ts";
import type { Duration, Size } from "./quantity.ts";

/**
 * Second argument of `defineJob`. All optional; environment and flags win over what the code says, and it over a config
 * file.
 */
export interface JobOptions {
  /**
   * Subtasks of every operator that does not name its own. Default 1, limit 1 to `maxParallelism`. "auto": it begins
   * with `scaling.min`, and is changed as the job's load asks for it.
   */
  readonly parallelism?: number | "auto" | undefined;
  /** Bounds of `parallelism: "auto"`. */
  readonly scaling?: ScalingOptions | undefined;
  /**
   * Number of key groups; fixed for the life of the job's state. Default 128; where options ask for more than 85
   * subtasks, the power of two that is at least one and a half times as many. Limit 1 to 32768.
   */
  readonly maxParallelism?: number | undefined;
  /**
   * Subtasks of single operators by their ids, whatever their own code says: `{ count: 3 }`, in a file or as a flag
   * "count=3, lines=1". Default none, limit 1 to `maxParallelism`.
   */
  readonly operatorParallelism?: Readonly<Record<string, number>> | undefined;
  /** When and how checkpoints are taken, and where they are kept. Default: only those that the job's end needs. */
  readonly checkpointing?: CheckpointingOptions | undefined;
  /** What happens after a failure. Default "exponential-delay". */
  readonly restart?: RestartOptions | undefined;
  /** When a worker that does not answer is given up. */
  readonly heartbeat?: HeartbeatOptions | undefined;
  /** Where keyed state lies. */
  readonly state?: StateBackendOptions | undefined;
  /** How many records may be under way between subtasks. */
  readonly channels?: ChannelOptions | undefined;
  /** A worker whose subtasks are not torn down after this ends its process. Default 10 s, limit 100 ms to 1 h. */
  readonly cancelTimeout?: Duration | undefined;
  /**
   * Finds mistakes where they are made: what is set as state or handed on by an operator is frozen, so that a later
   * change in place throws there; it is looked at closely for what is no plain value; selectors of keys are asked
   * twice. Costs time for each record. Default: true in `tidemark run`, false in `tidemark worker`.
   */
  readonly checks?: boolean | undefined;
}

/** A storage that has a word, a place on an S3 server, or the path of a module. */
export type StoragePlace =
  | StorageWord
  | `s3://${string}`
  | `./${string}`
  | `../${string}`
  | `/${string}`
  | `file:${string}`;

/** When and how checkpoints are taken, where they are kept, and for how long. */
export interface CheckpointingOptions {
  /**
   * "exactly-once": a subtask waits at a barrier until all of its inputs have delivered theirs. "at-least-once": it
   * does not wait, and after a failure some records count twice where several inputs meet. Default "exactly-once".
   */
  readonly mode?: "exactly-once" | "at-least-once" | undefined;
  /**
   * Time from one trigger to the next. Default "off", limit 10 ms to 365 d. Raised to `minPause` when that is longer.
   * An unbounded job with an exactly-once sink needs one.
   */
  readonly interval?: Duration | "off" | undefined;
  /** A checkpoint that is not complete this long after its trigger is aborted. Default 10 m, limit 10 ms to 365 d. */
  readonly timeout?: Duration | undefined;
  /**
   * Least time between the completion of a checkpoint and the next periodic trigger. Default 0, limit 365 d. More than
   * 0 makes `maxConcurrent` 1.
   */
  readonly minPause?: Duration | undefined;
  /**
   * Checkpoints that may be under way at a time. Default 1, limit 1 to 2147483647; 1 with `minPause` and with
   * `unaligned`.
   */
  readonly maxConcurrent?: number | undefined;
  /**
   * Failed checkpoints in a row that a job bears; one more fails the job, and `restart` decides. Default
   * "unlimited": a slow checkpoint storage alone does not stop a healthy job. Least 0.
   */
  readonly tolerableFailures?: number | "unlimited" | undefined;
  /** Older name: true is `tolerableFailures: 0`, false is "unlimited". An explicit `tolerableFailures` wins. */
  readonly failOnErrors?: boolean | undefined;
  /**
   * What of a job's last checkpoints stays when it ends. "delete": nothing. "delete-on-cancellation": they stay when it
   * fails, so that it can be resumed. "retain-on-cancellation": they stay when it is canceled, too. A job that finished
   * needs none. Default "delete-on-cancellation".
   */
  readonly retention?: "delete" | "delete-on-cancellation" | "retain-on-cancellation" | undefined;
  /**
   * Completed checkpoints that are kept. Default 1, limit 1 to 2147483647; more than 1000 becomes 1000, with a warning.
   */
  readonly retained?: number | undefined;
  /**
   * Barriers overtake waiting records, which become part of the checkpoint: its duration no longer depends on
   * backpressure. Default false. Exactly-once only, one checkpoint at a time.
   */
  readonly unaligned?: boolean | undefined;
  /**
   * Only with `unaligned`: barriers align first and overtake once the checkpoint is older than this. Default 0: at
   * once.
   */
  readonly alignedTimeout?: Duration | undefined;
  /** Taken, and always so: barriers may overtake on every edge. Only with `unaligned`. */
  readonly forceUnaligned?: boolean | undefined;
  /**
   * Checkpoints go on when some subtasks have processed all of their input. With false none begins from then on but the
   * one that the job ends with, and savepoints are refused; what sinks have not committed by then waits for the end.
   * Default true.
   */
  readonly afterTasksFinish?: boolean | undefined;
  /** Taken, and always so: a job never recovers from a savepoint by itself. */
  readonly preferCheckpointForRecovery?: boolean | undefined;
  /**
   * The storage of checkpoints. Default "jetstream", an object store bucket; "filesystem" when `directory` is set.
   * "memory" is that of the leading coordinator, and is lost with its process. "s3://bucket/prefix": an S3 server, with
   * the package `@aws-sdk/client-s3`. A path ("./my-storage.ts", from the working directory): the module whose default
   * export opens one (`OpenCheckpointStorage`). A coordinator has one storage for all of its jobs, and refuses a job
   * that asks for another one.
   */
  readonly storage?: StoragePlace | undefined;
  /**
   * Directory of the storage "filesystem", shared by all processes, or an `s3://` place, which is the storage then. No
   * default.
   */
  readonly directory?: string | undefined;
  /** The directory of savepoints that name no other place. No default. */
  readonly savepointDirectory?: string | undefined;
  /**
   * The server of `s3://` places, when it is not Amazon's. Default: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` of the
   * environment, else Amazon's.
   */
  readonly s3Endpoint?: string | undefined;
  /** A larger state of one subtask is declined by the storage "memory". Default 5 MiB, limit 1 KiB to 64 MiB. */
  readonly memoryStateMax?: Size | undefined;
  /** The `timeout` of savepoints. Default: `timeout`, limit 10 ms to 365 d. */
  readonly savepointTimeout?: Duration | undefined;
  /**
   * How long a requested checkpoint or savepoint waits until the job can take one. Default 30 s, limit 10 ms to 1 d.
   */
  readonly readyTimeout?: Duration | undefined;
  /** State up to this size travels inside the manifest. Default 20 KiB, limit 0 to 1 MiB; -1 is 0. */
  readonly inlineThreshold?: Size | undefined;
  /**
   * Storage "filesystem" writes pieces of at least this size. Default 4 KiB, limit 0 to 64 MiB; never below
   * `inlineThreshold`.
   */
  readonly writeBuffer?: Size | undefined;
  /**
   * Checkpoints of jobs with loops (`iterate`). "refuse": there are none, and the job is refused unless `interval` is
   * off. "exact": records on their way back are stored with each checkpoint; one at a time, exactly-once only. "force",
   * as in Flink: they are not stored, and a failure loses them. Default "refuse".
   */
  readonly iterations?: "refuse" | "force" | "exact" | undefined;
  /**
   * A checkpoint stores what has changed since one before it, and lists what it has in common with that. With false,
   * each stores the whole state. Default true (Flink: false).
   */
  readonly incremental?: boolean | undefined;
  /**
   * A worker keeps a second copy of its subtasks' state on a disk of its machine, and is given the same subtasks again
   * when it is started again there: they are restored without the checkpoint storage. Default false.
   */
  readonly localRecovery?: boolean | undefined;
  /** Directory of these copies, for any number of workers. Default: below the directory for temporary files. */
  readonly localDirectory?: string | undefined;
  /** Only true: records go on while state is written. */
  readonly async?: true | undefined;
}

/** When a job with `parallelism: "auto"` gets another number of subtasks, by how busy its workers are. */
export interface ScalingOptions {
  /** Default 1, limit 1 to `maxParallelism`. */
  readonly min?: number | undefined;
  /** Default: as many as the workers have slots. Limit 1 to `maxParallelism`. */
  readonly max?: number | undefined;
  /** The part of its time that a worker should be busy. Default 0.7, limit 0.1 to 1. */
  readonly target?: number | undefined;
  /** More subtasks when it was too busy for so long, fewer after four times this. Default 30 s, limit 1 s to 1 h. */
  readonly window?: Duration | undefined;
  /** The least time between two changes. Default 1 m, limit 1 s to 1 d. */
  readonly cooldown?: Duration | undefined;
}

/**
 * What happens after a failure. Default: exponential-delay, without a limit of attempts, with checkpoints on or off.
 * (Flink does not restart a job without checkpoints. Here nothing of such a job is committed before its end, so
 * beginning again at the start is exact.) The job's code comes before a config file.
 */
export type RestartOptions =
  | {
      readonly strategy?: "exponential-delay" | undefined;
      /** The wait before the first restart. Default 1 s, limit 1 ms to 1 d. */
      readonly initialBackoff?: Duration | undefined;
      /** Delays grow up to here. Default 1 m, limit `initialBackoff` to 1 d. */
      readonly maxBackoff?: Duration | undefined;
      /** Growth from one attempt to the next. Default 1.5, limit 1 to 100. */
      readonly backoffMultiplier?: number | undefined;
      /** Share of the delay that is random, both ways. Default 0.1, limit 0 to 1. */
      readonly jitterFactor?: number | undefined;
      /**
       * After running this long without a failure, delays begin at `initialBackoff` again. Default 1 h, limit 1 ms to
       * 365 d.
       */
      readonly resetBackoffThreshold?: Duration | undefined;
      /**
       * Restarts before the job fails for good; counted anew after `resetBackoffThreshold`. Default "unlimited", least
       * 1.
       */
      readonly attemptsBeforeResetBackoff?: number | "unlimited" | undefined;
    }
  | {
      readonly strategy: "fixed-delay";
      /** Restarts before the job fails for good; never counted anew. Default 1, least 0: as strategy "none". */
      readonly attempts?: number | "unlimited" | undefined;
      /** The wait before each restart. Default 1 s, limit 0 to 1 d. */
      readonly delay?: Duration | undefined;
    }
  | {
      readonly strategy: "failure-rate";
      /** One more failure than this within `failureRateInterval` fails the job for good. Default 1, least 1. */
      readonly maxFailuresPerInterval?: number | undefined;
      /** Default 1 m, limit 1 ms to 365 d. */
      readonly failureRateInterval?: Duration | undefined;
      /** The wait before each restart. Default 1 s, limit 0 to 1 d. */
      readonly delay?: Duration | undefined;
    }
  /** The first failure is final. */
  | { readonly strategy: "none" };

/** Where the workers keep keyed state while the job runs. Checkpoints are the same whatever it is. */
export interface StateBackendOptions {
  /**
   * "heap": in memory, all of it. "disk": in files of the worker, with what is used in memory, for state larger than
   * memory; needs the package lmdb. Else the path of a module, from the working directory, that exports an
   * `OpenBackend` by default. Default "heap".
   */
  readonly backend?: "heap" | "disk" | `./${string}` | `../${string}` | `/${string}` | undefined;
  /**
   * Backend "disk": workers make directories of their own below this one, which go with them. Default: one below the
   * system's directory for temporary files.
   */
  readonly directory?: string | undefined;
  /**
   * Backend "disk": about how much memory a worker uses for rows. Default: a quarter of what Node may use for objects.
   * Limit 1 KiB to 64 GiB.
   */
  readonly cacheSize?: Size | undefined;
}

/** How the leader notices that a worker is gone or hangs. */
export interface HeartbeatOptions {
  /** Time between two pings of the coordinator to a worker. Default 250 ms, limit 10 ms to 1 m. */
  readonly pingInterval?: Duration | undefined;
  /** A worker that has not answered for this long is lost. Default 10 s, limit `pingInterval` to 1 h. */
  readonly timeout?: Duration | undefined;
}

/** The channels between subtasks. */
export interface ChannelOptions {
  /** Frames that may be under way, unconsumed, in one channel. Default 64, limit 2 to 4096. */
  readonly window?: number | undefined;
  /** A frame that is not full is sent at this age. Default 5 ms, limit 1 ms to 1 s. */
  readonly flush?: Duration | undefined;
}

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;
const KIB = 1_024;
const MIB = 1_024 * KIB;
const GIB = 1_024 * MIB;
/** The largest 32-bit integer, with which Flink says "without limit". */
const COUNT_MAX = 2_147_483_647;

/** Every option by its key. */
export const jobOptions = {
  parallelism: option(orNone("auto", whole(1, 32_768)), 1),
  maxParallelism: option(whole(1, 32_768), 128),
  operatorParallelism: option(numbersById, {}),
  "scaling.min": option(whole(1, 32_768), 1),
  "scaling.max": derived(whole(1, 32_768), "as many as the workers have slots"),
  "scaling.target": option(fraction(0.1, 1), 0.7),
  "scaling.window": option(duration(1_000, HOUR), 30 * SECOND),
  "scaling.cooldown": option(duration(1_000, DAY), MINUTE),
  "checkpointing.mode": option(oneOf(["exactly-once", "at-least-once"]), "exactly-once"),
  "checkpointing.interval": option(orNone("off", duration(10, YEAR)), null),
  "checkpointing.timeout": option(duration(10, YEAR), 10 * MINUTE),
  "checkpointing.minPause": option(duration(0, YEAR), 0),
  "checkpointing.maxConcurrent": option(whole(1, COUNT_MAX), 1),
  "checkpointing.tolerableFailures": option(orNone("unlimited", whole(0, COUNT_MAX)), null),
  "checkpointing.failOnErrors": derived(truth, "not set"),
  "checkpointing.retention": option(
    oneOf(["delete", "delete-on-cancellation", "retain-on-cancellation"], {
      "no-externalized-checkpoints": "delete",
    }),
    "delete-on-cancellation",
  ),
  "checkpointing.retained": option(whole(1, COUNT_MAX), 1),
  "checkpointing.unaligned": option(truth, false),
  "checkpointing.alignedTimeout": option(duration(0, YEAR), 0),
  "checkpointing.forceUnaligned": option(truth, false),
  "checkpointing.afterTasksFinish": option(truth, true),
  "checkpointing.preferCheckpointForRecovery": option(truth, false),
  "checkpointing.storage": derived(storage, "jetstream"),
  "checkpointing.directory": derived(directory, "none"),
  "checkpointing.savepointDirectory": derived(directory, "none"),
  "checkpointing.s3Endpoint": derived(httpUrl, "of the environment, else Amazon's"),
  "checkpointing.memoryStateMax": option(size(KIB, 64 * MIB), 5 * MIB),
  "checkpointing.savepointTimeout": derived(duration(10, YEAR), "timeout"),
  "checkpointing.readyTimeout": option(duration(10, DAY), 30 * SECOND),
  "checkpointing.inlineThreshold": option(minusOneIsZero(size(0, MIB)), 20 * KIB),
  "checkpointing.writeBuffer": option(size(0, 64 * MIB), 4 * KIB),
  "checkpointing.iterations": option(oneOf(["refuse", "force", "exact"]), "refuse"),
  "checkpointing.incremental": option(truth, true),
  "checkpointing.localRecovery": option(truth, false),
  "checkpointing.localDirectory": derived(localDirectory, "below the directory for temporary files"),
  "checkpointing.async": option(onlyYet(truth, true, "state is always written while records go on"), true),
  "restart.strategy": option(
    oneOf(["exponential-delay", "fixed-delay", "failure-rate", "none"], {
      exponentialdelay: "exponential-delay",
      fixeddelay: "fixed-delay",
      failurerate: "failure-rate",
      off: "none",
      disable: "none",
    }),
    "exponential-delay",
  ),
  "restart.initialBackoff": option(duration(1, DAY), SECOND),
  "restart.maxBackoff": derived(duration(1, DAY), "1 m, or initialBackoff"),
  "restart.backoffMultiplier": option(fraction(1, 100), 1.5),
  "restart.jitterFactor": option(fraction(0, 1), 0.1),
  "restart.resetBackoffThreshold": option(duration(1, YEAR), HOUR),
  "restart.attemptsBeforeResetBackoff": option(orNone("unlimited", whole(1, COUNT_MAX)), null),
  "restart.attempts": option(orNone("unlimited", whole(0, COUNT_MAX)), 1),
  "restart.delay": option(duration(0, DAY), SECOND),
  "restart.maxFailuresPerInterval": option(whole(1, 1_000), 1),
  "restart.failureRateInterval": option(duration(1, YEAR), MINUTE),
  "heartbeat.pingInterval": option(duration(10, MINUTE), 250),
  "heartbeat.timeout": option(duration(10, HOUR), 10 * SECOND),
  "state.backend": option(stateBackend, "heap"),
  "state.directory": derived(localDirectory, "below the system's directory for temporary files"),
  "state.cacheSize": derived(size(KIB, 64 * GIB), "a quarter of the heap"),
  "channels.window": option(whole(2, 4_096), 64),
  "channels.flush": option(duration(1, SECOND), 5),
  cancelTimeout: option(duration(100, HOUR), 10 * SECOND),
  checks: derived(truth, "true in tidemark run, else false"),
} as const;

export type OptionKey = keyof typeof jobOptions;

/** What the check of an option answers: durations in ms, sizes in bytes, null for "off" and "unlimited". */
export type OptionValue<K extends OptionKey> = (typeof jobOptions)[K]["default"];

export const optionKeys = Object.keys(jobOptions) as OptionKey[];

/** "checkpointing", "restart", …: the keys that hold options instead of being one. */
export const optionSections: readonly string[] = [
  ...new Set(optionKeys.filter((key) => key.includes(".")).map((key) => key.slice(0, key.indexOf(".")))),
];

/** The options that each strategy has besides `restart.strategy`. */
export const restartOptionsOf: Readonly<Record<OptionValue<"restart.strategy">, readonly OptionKey[]>> = {
  "exponential-delay": [
    "restart.initialBackoff",
    "restart.maxBackoff",
    "restart.backoffMultiplier",
    "restart.jitterFactor",
    "restart.resetBackoffThreshold",
    "restart.attemptsBeforeResetBackoff",
  ],
  "fixed-delay": ["restart.attempts", "restart.delay"],
  "failure-rate": ["restart.maxFailuresPerInterval", "restart.failureRateInterval", "restart.delay"],
  none: [],
};

/** An option of one restart strategy. */
export function isRestartDetail(key: OptionKey): boolean {
  return key.startsWith("restart.") && key !== "restart.strategy";
}

/** `checkpointing.minPause` -> `TIDEMARK_CHECKPOINTING_MIN_PAUSE`. */
export function environmentName(key: OptionKey): string {
  return `TIDEMARK_${key.replace(".", "_").replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}
