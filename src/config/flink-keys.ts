/** Flink's names for our options, so that a configuration written for Flink can be taken over as it is. */
import type { StorageWord } from "./option-kinds.ts";
import { isRestartDetail, type OptionKey } from "./options.ts";

/** The present spelling first, then older ones. What is not here has no counterpart in Flink. */
export const flinkSpellings: { readonly [Key in OptionKey]?: readonly string[] } = {
  parallelism: ["parallelism.default"],
  maxParallelism: ["pipeline.max-parallelism"],
  "checkpointing.mode": ["execution.checkpointing.mode"],
  "checkpointing.interval": ["execution.checkpointing.interval"],
  "checkpointing.timeout": ["execution.checkpointing.timeout"],
  "checkpointing.minPause": ["execution.checkpointing.min-pause"],
  "checkpointing.maxConcurrent": ["execution.checkpointing.max-concurrent-checkpoints"],
  "checkpointing.tolerableFailures": ["execution.checkpointing.tolerable-failed-checkpoints"],
  "checkpointing.retention": ["execution.checkpointing.externalized-checkpoint-retention"],
  "checkpointing.retained": ["execution.checkpointing.num-retained", "state.checkpoints.num-retained"],
  "checkpointing.unaligned": [
    "execution.checkpointing.unaligned.enabled",
    "execution.checkpointing.unaligned",
  ],
  "checkpointing.alignedTimeout": [
    "execution.checkpointing.aligned-checkpoint-timeout",
    "execution.checkpointing.alignment-timeout",
  ],
  "checkpointing.forceUnaligned": ["execution.checkpointing.unaligned.forced"],
  "checkpointing.afterTasksFinish": [
    "execution.checkpointing.checkpoints-after-tasks-finish",
    "execution.checkpointing.checkpoints-after-tasks-finish.enabled",
  ],
  "checkpointing.preferCheckpointForRecovery": ["execution.checkpointing.prefer-checkpoint-for-recovery"],
  "checkpointing.storage": ["execution.checkpointing.storage", "state.checkpoint-storage"],
  "checkpointing.directory": [
    "execution.checkpointing.dir",
    "state.checkpoints.dir",
    "state.backend.fs.checkpointdir",
  ],
  "checkpointing.savepointDirectory": [
    "execution.checkpointing.savepoint-dir",
    "state.savepoints.dir",
    "savepoints.state.backend.fs.dir",
  ],
  "checkpointing.s3Endpoint": ["s3.endpoint", "fs.s3a.endpoint"],
  "checkpointing.inlineThreshold": [
    "execution.checkpointing.data-inline-threshold",
    "state.storage.fs.memory-threshold",
    "state.backend.fs.memory-threshold",
  ],
  "checkpointing.writeBuffer": [
    "execution.checkpointing.write-buffer-size",
    "state.storage.fs.write-buffer-size",
    "state.backend.fs.write-buffer-size",
  ],
  "checkpointing.iterations": ["execution.checkpointing.force"],
  "checkpointing.incremental": ["execution.checkpointing.incremental", "state.backend.incremental"],
  "checkpointing.localRecovery": [
    "execution.state-recovery.from-local",
    "execution.checkpointing.local-backup.enabled",
    "state.backend.local-recovery",
  ],
  "checkpointing.localDirectory": [
    "execution.checkpointing.local-backup.dirs",
    "taskmanager.state.local.root-dirs",
  ],
  "checkpointing.async": ["state.backend.async"],
  // "state.backend" is Flink's older name, and ours.
  "state.backend": ["state.backend.type"],
  "state.directory": ["state.backend.rocksdb.localdir"],
  "restart.strategy": ["restart-strategy.type", "restart-strategy"],
  "restart.initialBackoff": ["restart-strategy.exponential-delay.initial-backoff"],
  "restart.maxBackoff": ["restart-strategy.exponential-delay.max-backoff"],
  "restart.backoffMultiplier": ["restart-strategy.exponential-delay.backoff-multiplier"],
  "restart.jitterFactor": ["restart-strategy.exponential-delay.jitter-factor"],
  "restart.resetBackoffThreshold": ["restart-strategy.exponential-delay.reset-backoff-threshold"],
  "restart.attemptsBeforeResetBackoff": ["restart-strategy.exponential-delay.attempts-before-reset-backoff"],
  "restart.attempts": ["restart-strategy.fixed-delay.attempts"],
  "restart.delay": ["restart-strategy.fixed-delay.delay", "restart-strategy.failure-rate.delay"],
  "restart.maxFailuresPerInterval": ["restart-strategy.failure-rate.max-failures-per-interval"],
  "restart.failureRateInterval": ["restart-strategy.failure-rate.failure-rate-interval"],
};

const keyOf: ReadonlyMap<string, OptionKey> = new Map(
  Object.entries(flinkSpellings).flatMap(([key, spellings]) =>
    spellings.map((spelling) => [spelling, key as OptionKey] as const),
  ),
);

/** Keys without an option of ours, and why. */
const withoutOption: Readonly<Record<string, string>> = {
  "execution.checkpointing.interval-during-backlog":
    "the interval is the same whether a source lags behind or not",
};

export const flinkKeys: readonly string[] = [...keyOf.keys(), ...Object.keys(withoutOption)];

/** Flink's older backends, by their words and by the names of their classes: each came with a storage. */
const backendsWithStorage: readonly {
  readonly names: RegExp;
  readonly backend: string;
  readonly storage: StorageWord;
}[] = [
  {
    names: /^(filesystem|org\.apache\.flink\.runtime\.state\.filesystem\.FsStateBackend(Factory)?)$/i,
    ...{ backend: "heap", storage: "filesystem" },
  },
  {
    names: /^(jobmanager|org\.apache\.flink\.runtime\.state\.memory\.MemoryStateBackend(Factory)?)$/i,
    ...{ backend: "heap", storage: "memory" },
  },
  {
    names: /^org\.apache\.flink\.contrib\.streaming\.state\.RocksDBStateBackend(Factory)?$/i,
    ...{ backend: "disk", storage: "filesystem" },
  },
];

/** An option, and what is asked of it. */
export interface Meaning {
  readonly key: OptionKey;
  readonly value: unknown;
}

/** What a state backend of Flink means that came with a storage; undefined: this is none. */
export function backendWithStorage(key: OptionKey, value: unknown): readonly Meaning[] | undefined {
  if (key !== "state.backend" || typeof value !== "string") return undefined;
  const found = backendsWithStorage.find(({ names }) => names.test(value));
  if (found === undefined) return undefined;
  return [
    { key, value: found.backend },
    { key: "checkpointing.storage", value: found.storage },
  ];
}

export type FlinkReading = Meaning | { readonly unsupported: string };

/** What a key of Flink asks for; undefined: it is none that we know. */
export function readFlinkKey(spelling: string, value: unknown): FlinkReading | undefined {
  const key = keyOf.get(spelling);
  if (key !== undefined) return { key, value: inOurWords(key, value) };
  if (!Object.hasOwn(withoutOption, spelling)) return undefined;
  return { unsupported: withoutOption[spelling]! };
}

/** The strategy whose detail this is; undefined for our own spellings, which several strategies share. */
export function strategyOfSpelling(spelling: string): string | undefined {
  const key = keyOf.get(spelling);
  return key !== undefined && isRestartDetail(key) ? spelling.split(".")[1] : undefined;
}

/** Our spelling of a value that means something else in Flink. Words are read by the option itself. */
function inOurWords(key: OptionKey, value: unknown): unknown {
  if (key === "checkpointing.iterations" && typeof value === "boolean") return value ? "force" : "refuse";
  if (key !== "checkpointing.inlineThreshold" && key !== "checkpointing.writeBuffer") return value;
  // Flink counts in powers of 1024 only.
  return typeof value === "string"
    ? value.replace(/(?<=\d\s*)(k|m)(i?b)?$/i, (_unit, letter: string) => `${letter.toUpperCase()}iB`)
    : value;
}
