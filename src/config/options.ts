/**
 * What a user may set, and what each setting may be: the options as they are written, and their checks.
 *
 * One option is one dotted key. The same key is used in the job's code (nested), in the environment
 * (`checkpointing.minPause` is `TIDEMARK_CHECKPOINTING_MIN_PAUSE`), by flags, and in every message.
 */
import { z } from "zod";
import {
  type Duration,
  formatDuration,
  type Reading,
  readDuration,
  readSize,
  type Size,
  show,
} from "./quantity.ts";

/** Second argument of `defineJob`. All optional; environment and flags win over what the code says. */
export interface JobOptions {
  /** Subtasks of every operator that does not name its own. Default 1, limit 1 to `maxParallelism`. */
  readonly parallelism?: number | undefined;
  /** Number of key groups; fixed for the life of the job's state. Default 128, limit 1 to 32768. */
  readonly maxParallelism?: number | undefined;
  readonly checkpointing?: CheckpointingOptions | undefined;
  readonly restart?: RestartOptions | undefined;
  readonly heartbeat?: HeartbeatOptions | undefined;
  readonly channels?: ChannelOptions | undefined;
  /** A worker whose subtasks are not torn down after this ends its process. Default 10 s, limit 100 ms to 1 h. */
  readonly cancelTimeout?: Duration | undefined;
}

export interface CheckpointingOptions {
  /** The only mode so far: barriers are aligned. */
  readonly mode?: "exactly-once" | undefined;
  /**
   * Time from one trigger to the next. Default "off", limit 10 ms to 365 d. Raised to `minPause` when that is longer.
   * An unbounded job with an exactly-once sink needs one.
   */
  readonly interval?: Duration | "off" | undefined;
  /** A checkpoint that is not complete this long after its trigger is aborted. Default 10 m, limit 10 ms to 365 d. */
  readonly timeout?: Duration | undefined;
  /** Least time between the completion of a checkpoint and the next periodic trigger. Default 0, limit 365 d. */
  readonly minPause?: Duration | undefined;
  /** Completed checkpoints that are kept. Default 1, limit 1 to 100. */
  readonly retained?: number | undefined;
  /** State up to this size travels inside the manifest. Default 20 KiB, limit 0 to 1 MiB. */
  readonly inlineThreshold?: Size | undefined;
}

/** What happens after a failure. Default: exponential-delay, without a limit of attempts. */
export type RestartOptions =
  | {
      readonly strategy?: "exponential-delay" | undefined;
      /** Before the first restart. Default 1 s, limit 1 ms to 1 d. */
      readonly initialBackoff?: Duration | undefined;
      /** Delays grow up to here. Default 1 m, limit `initialBackoff` to 1 d. */
      readonly maxBackoff?: Duration | undefined;
      /** Growth from one attempt to the next. Default 1.5, limit 1 to 100. */
      readonly backoffMultiplier?: number | undefined;
      /** Share of the delay that is random, both ways. Default 0.1, limit 0 to 1. */
      readonly jitterFactor?: number | undefined;
      /** After running this long without a failure, delays begin at `initialBackoff` again. Default 1 h, limit 1 ms to 365 d. */
      readonly resetBackoffThreshold?: Duration | undefined;
      /** Restarts before the job fails for good; counted anew after `resetBackoffThreshold`. Default "unlimited", least 1. */
      readonly attemptsBeforeResetBackoff?: number | "unlimited" | undefined;
    }
  | {
      readonly strategy: "fixed-delay";
      /** Restarts before the job fails for good; never counted anew. Default 1, least 1. */
      readonly attempts?: number | "unlimited" | undefined;
      /** Before each restart. Default 1 s, limit 0 to 1 d. */
      readonly delay?: Duration | undefined;
    }
  | {
      readonly strategy: "failure-rate";
      /** One more failure than this within `failureRateInterval` fails the job for good. Default 1, least 1. */
      readonly maxFailuresPerInterval?: number | undefined;
      /** Default 1 m, limit 1 ms to 365 d. */
      readonly failureRateInterval?: Duration | undefined;
      /** Before each restart. Default 1 s, limit 0 to 1 d. */
      readonly delay?: Duration | undefined;
    }
  /** The first failure is final. */
  | { readonly strategy: "none" };

export interface HeartbeatOptions {
  /** Time between two pings of the coordinator to a worker. Default 250 ms, limit 10 ms to 1 m. */
  readonly pingInterval?: Duration | undefined;
  /** A worker that has not answered for this long is lost. Default 10 s, limit `pingInterval` to 1 h. */
  readonly timeout?: Duration | undefined;
}

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

const numberBetween = (min: number, max: number, kind: "a whole number" | "a number") => {
  const error = (issue: { input?: unknown }) =>
    `must be ${kind} from ${min} to ${max}, got ${show(issue.input)}`;
  const base = kind === "a number" ? z.number({ error }) : z.int({ error });
  return base.min(min, { error }).max(max, { error });
};

const whole = (min: number, max: number) => numberBetween(min, max, "a whole number");
const fraction = (min: number, max: number) => numberBetween(min, max, "a number");

const oneOf = <const Values extends readonly string[]>(values: Values) =>
  z.enum(values, {
    error: (issue) => `must be ${values.map((value) => `"${value}"`).join(" or ")}, got ${show(issue.input)}`,
  });

/** A quantity in its smallest unit, within limits that the message states as people write them. */
const quantity = (
  readInput: (input: unknown) => Reading,
  limits: { min: number; max: number; format: (value: number) => string },
) =>
  z.unknown().transform((input, context) => {
    const reading = readInput(input);
    const problem =
      "problem" in reading
        ? reading.problem
        : reading.value < limits.min || reading.value > limits.max
          ? `must be from ${limits.format(limits.min)} to ${limits.format(limits.max)}, got ${show(input)}`
          : undefined;
    if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
    return "value" in reading ? reading.value : 0;
  });

const duration = (min: number, max: number) => quantity(readDuration, { min, max, format: formatDuration });
const size = (min: number, max: number) =>
  quantity(readSize, { min, max, format: (value) => `${value} bytes` });

/** A word that stands for "no such limit" is null from here on: undefined would not survive the job record. */
const orNone = <Schema extends z.ZodType>(word: string, schema: Schema) =>
  z.unknown().transform((input, context): z.output<Schema> | null => {
    if (input === word) return null;
    const parsed = schema.safeParse(input);
    if (parsed.success) return parsed.data;
    context.addIssue({
      code: "custom",
      message: `${parsed.error.issues[0]!.message}; "${word}" is allowed too`,
    });
    return z.NEVER;
  });

/** Every option by its key. */
export const jobOptions = {
  parallelism: whole(1, 32_768),
  maxParallelism: whole(1, 32_768),
  "checkpointing.mode": oneOf(["exactly-once"]),
  "checkpointing.interval": orNone("off", duration(10, YEAR)),
  "checkpointing.timeout": duration(10, YEAR),
  "checkpointing.minPause": duration(0, YEAR),
  "checkpointing.retained": whole(1, 100),
  "checkpointing.inlineThreshold": size(0, 1_048_576),
  "restart.strategy": oneOf(["exponential-delay", "fixed-delay", "failure-rate", "none"]),
  "restart.initialBackoff": duration(1, DAY),
  "restart.maxBackoff": duration(1, DAY),
  "restart.backoffMultiplier": fraction(1, 100),
  "restart.jitterFactor": fraction(0, 1),
  "restart.resetBackoffThreshold": duration(1, YEAR),
  "restart.attemptsBeforeResetBackoff": orNone("unlimited", whole(1, 1_000_000_000)),
  "restart.attempts": orNone("unlimited", whole(1, 1_000_000_000)),
  "restart.delay": duration(0, DAY),
  "restart.maxFailuresPerInterval": whole(1, 1_000),
  "restart.failureRateInterval": duration(1, YEAR),
  "heartbeat.pingInterval": duration(10, MINUTE),
  "heartbeat.timeout": duration(10, HOUR),
  "channels.window": whole(2, 4_096),
  "channels.flush": duration(1, SECOND),
  cancelTimeout: duration(100, HOUR),
} as const;

export type OptionKey = keyof typeof jobOptions;

/** What the check of an option answers: durations in ms, sizes in bytes, null for "off" and "unlimited". */
export type OptionValue<K extends OptionKey> = z.output<(typeof jobOptions)[K]>;

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

/** `checkpointing.minPause` -> `TIDEMARK_CHECKPOINTING_MIN_PAUSE`. */
export function environmentName(key: OptionKey): string {
  return `TIDEMARK_${key.replace(".", "_").replace(/[A-Z]/g, "_$&").toUpperCase()}`;
}
