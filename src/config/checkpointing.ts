/** The options of checkpointing together: which combinations are refused, which are tolerated, and what then holds. */
import type { CheckpointingConfig } from "../../machines/protocol.ts";
import { formatDuration } from "./quantity.ts";
import type { Settings } from "./settings.ts";

/**
 * What holds for a job, and what the processes that run it add: the option of the same name says what a field means.
 */
export interface CheckpointingSettings extends CheckpointingConfig {
  readonly inlineThresholdBytes: number;
  /** undefined: workers keep no copies of state. directory: null: they pick it. */
  readonly localRecovery: { readonly directory: string | null } | undefined;
  /** null: no option names one; the process that runs the job decides. */
  readonly storage: StorageConfig | null;
}

export type StorageConfig =
  | { readonly kind: "jetstream" }
  | { readonly kind: "filesystem"; readonly directory: string; readonly writeBufferBytes: number }
  /** The memory of the leader. A state takes at most `stateBytesMax` there, in one subtask. */
  | { readonly kind: "memory"; readonly stateBytesMax: number }
  /** "s3://bucket/prefix". endpoint: of a server that is named. */
  | { readonly kind: "s3"; readonly location: string; readonly endpoint?: string }
  /** A user's own: the absolute path of its module. */
  | { readonly kind: "module"; readonly path: string };

export function checkpointingOf(settings: Settings): CheckpointingSettings {
  const minPauseMs = settings.get("checkpointing.minPause");
  const timeoutMs = settings.get("checkpointing.timeout");
  const unaligned = unalignedOf(settings);
  warnOfWhatAlwaysHolds(settings, unaligned);
  return {
    mode: settings.get("checkpointing.mode"),
    intervalMs: intervalOf(settings, minPauseMs),
    timeoutMs,
    minPauseMs,
    maxConcurrent: maxConcurrentOf(settings, minPauseMs, unaligned),
    tolerableFailures: tolerableFailuresOf(settings),
    retention: settings.get("checkpointing.retention"),
    retained: retainedOf(settings),
    unaligned,
    alignedTimeoutMs: settings.get("checkpointing.alignedTimeout"),
    incremental: settings.get("checkpointing.incremental"),
    afterTasksFinish: settings.get("checkpointing.afterTasksFinish"),
    savepointDirectory: settings.get("checkpointing.savepointDirectory") ?? null,
    savepointTimeoutMs: savepointTimeoutOf(settings, timeoutMs),
    iterations: settings.get("checkpointing.iterations"),
    readyTimeoutMs: settings.get("checkpointing.readyTimeout"),
    localRecovery: settings.get("checkpointing.localRecovery")
      ? { directory: settings.get("checkpointing.localDirectory") ?? null }
      : undefined,
    inlineThresholdBytes: settings.get("checkpointing.inlineThreshold"),
    storage: storageOf(settings),
  };
}

/** Flink's switches for what is always so here. */
function warnOfWhatAlwaysHolds(settings: Settings, unaligned: boolean): void {
  const isOff = (key: "checkpointing.forceUnaligned" | "checkpointing.preferCheckpointForRecovery") =>
    settings.isSet(key) && !settings.get(key);
  if (unaligned && isOff("checkpointing.forceUnaligned"))
    settings.warn("checkpointing.forceUnaligned", "has no effect: barriers may overtake on every edge");
  if (isOff("checkpointing.preferCheckpointForRecovery"))
    settings.warn(
      "checkpointing.preferCheckpointForRecovery",
      "has no effect: a job never recovers from a savepoint by itself",
    );
}

/** The job's record names each of them, and is written anew with every checkpoint (P10). */
const RETAINED_MAX = 1_000;

function retainedOf(settings: Settings): number {
  const asked = settings.get("checkpointing.retained");
  if (asked <= RETAINED_MAX) return asked;
  return settings.overrule(
    "checkpointing.retained",
    RETAINED_MAX,
    "the record of a job, which names each of them, holds no more",
  );
}

function savepointTimeoutOf(settings: Settings, timeoutMs: number): number {
  const asked = settings.get("checkpointing.savepointTimeout");
  if (asked !== undefined) return asked;
  settings.adjust("checkpointing.savepointTimeout", timeoutMs, "as checkpointing.timeout");
  return timeoutMs;
}

function intervalOf(settings: Settings, minPauseMs: number): number | null {
  const intervalMs = settings.get("checkpointing.interval");
  if (intervalMs === null || intervalMs >= minPauseMs) return intervalMs;
  // Flink raises it, too.
  const because = `raised to checkpointing.minPause, ${formatDuration(minPauseMs)}`;
  return settings.overrule("checkpointing.interval", minPauseMs, because);
}

/** Barriers that overtake records are of no use to a job whose subtasks do not wait for barriers. */
function unalignedOf(settings: Settings): boolean {
  const asked = settings.get("checkpointing.unaligned");
  if (asked && settings.get("checkpointing.mode") === "at-least-once")
    return settings.overrule(
      "checkpointing.unaligned",
      false,
      'checkpointing.mode is "at-least-once", which waits for no barrier anyway',
    );
  if (!asked) {
    const without = "has no effect without checkpointing.unaligned";
    if (settings.get("checkpointing.alignedTimeout") > 0)
      settings.warn("checkpointing.alignedTimeout", without);
    if (settings.get("checkpointing.forceUnaligned")) settings.warn("checkpointing.forceUnaligned", without);
  }
  return asked;
}

function maxConcurrentOf(settings: Settings, minPauseMs: number, unaligned: boolean): number {
  const asked = settings.get("checkpointing.maxConcurrent");
  if (asked === 1) return 1;
  if (unaligned)
    settings.refuse(
      "checkpointing.maxConcurrent",
      `${asked} checkpoints at a time, but ${settings.said("checkpointing.unaligned")} is true: unaligned checkpoints are ` +
        "taken one at a time; leave one of the two out",
    );
  if (minPauseMs === 0) return asked;
  const because = `checkpointing.minPause, ${formatDuration(minPauseMs)}, lies between any two checkpoints`;
  return settings.overrule("checkpointing.maxConcurrent", 1, because);
}

/** An explicit number wins over the alias, in whatever layer the two are. */
function tolerableFailuresOf(settings: Settings): number | null {
  const failOnErrors = settings.get("checkpointing.failOnErrors");
  const asked = settings.get("checkpointing.tolerableFailures");
  if (failOnErrors === undefined) return asked;
  const alias = failOnErrors ? 0 : null;
  if (!settings.isSet("checkpointing.tolerableFailures"))
    return settings.adjust(
      "checkpointing.tolerableFailures",
      alias,
      `${settings.said("checkpointing.failOnErrors")} is ${failOnErrors}`,
    );
  if (asked !== alias)
    settings.warn(
      "checkpointing.failOnErrors",
      `${failOnErrors} has no effect: ${settings.said("checkpointing.tolerableFailures")} is ${asked ?? "unlimited"}, and wins`,
    );
  return asked;
}

/** The higher layer of `storage` and `directory` wins; in one layer they must not contradict each other. */
export function storageOf(settings: Settings): StorageConfig | null {
  const directory = settings.get("checkpointing.directory");
  const asked = settings.get("checkpointing.storage");
  const writeBufferBytes = writeBufferOf(settings);
  if (directory === undefined) {
    if (asked === "filesystem")
      settings.refuse("checkpointing.storage", '"filesystem" needs a checkpointing.directory');
    return asked === undefined ? null : withoutDirectory(settings, asked);
  }
  if (asked !== undefined && asked !== "filesystem") {
    const [of, at] = [settings.layerOf("checkpointing.directory"), settings.layerOf("checkpointing.storage")];
    if (of === at)
      settings.refuse(
        "checkpointing.directory",
        `${settings.said("checkpointing.storage")} is "${asked}", which has no directory; leave one of the two out`,
      );
    if (at > of) {
      settings.warn(
        "checkpointing.directory",
        `has no effect: ${settings.said("checkpointing.storage")} is "${asked}", and wins`,
      );
      return withoutDirectory(settings, asked);
    }
  }
  const isS3 = directory.startsWith(S3);
  settings.adjust("checkpointing.storage", isS3 ? directory : "filesystem", "checkpointing.directory is set");
  if (isS3) return withoutDirectory(settings, directory);
  return { kind: "filesystem", directory, writeBufferBytes };
}

const S3 = "s3://";

function withoutDirectory(settings: Settings, asked: string): StorageConfig {
  if (asked === "jetstream") return { kind: asked };
  if (asked === "memory") return { kind: asked, stateBytesMax: settings.get("checkpointing.memoryStateMax") };
  if (!asked.startsWith(S3)) return { kind: "module", path: asked };
  const endpoint = settings.get("checkpointing.s3Endpoint");
  return { kind: "s3", location: asked, ...(endpoint === undefined ? {} : { endpoint }) };
}

/** What goes into the manifest is never written in pieces, so a smaller buffer would have no use. */
function writeBufferOf(settings: Settings): number {
  const inline = settings.get("checkpointing.inlineThreshold");
  const asked = settings.get("checkpointing.writeBuffer");
  if (asked >= inline) return asked;
  return settings.adjust("checkpointing.writeBuffer", inline, "not less than checkpointing.inlineThreshold");
}
