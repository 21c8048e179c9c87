import { describe, expect, expectTypeOf, test } from "vitest";
import {
  type ConfigOverrides,
  type JobConfig,
  resolveJobConfig as resolve,
} from "../../src/config/job-config.ts";
import { environmentName, type JobOptions, type OptionKey } from "../../src/config/options.ts";
import { checkpointingConfig } from "../support/job-record.ts";
import { refusal as refusalOf } from "./refusal.ts";

const resolveJobConfig = (options: JobOptions, overrides?: ConfigOverrides) =>
  resolve(options, overrides).config;

const refusal = (options: unknown, overrides?: ConfigOverrides) =>
  refusalOf(() => resolve(options as JobOptions, overrides));

const defaults: JobConfig = {
  parallelism: 1,
  maxParallelism: 128,
  fixesMaxParallelism: false,
  operators: {},
  checkpointing: {
    ...checkpointingConfig({ intervalMs: null }),
    localRecovery: undefined,
    inlineThresholdBytes: 20_480,
    storage: null,
  },
  restart: {
    strategy: "exponential-delay",
    initialBackoffMs: 1_000,
    maxBackoffMs: 60_000,
    backoffMultiplier: 1.5,
    jitterFactor: 0.1,
    resetBackoffThresholdMs: 3_600_000,
    attemptsBeforeResetBackoff: null,
  },
  heartbeat: { pingIntervalMs: 250, timeoutMs: 10_000 },
  state: { backend: "heap" },
  channels: { windowFrames: 64, flushMs: 5 },
  cancelTimeoutMs: 10_000,
};

describe("defaults", () => {
  test("are there without any option", () => {
    expect(resolveJobConfig({})).toStrictEqual(defaults);
    expect(resolveJobConfig({ parallelism: undefined, restart: { maxBackoff: undefined } })).toStrictEqual(
      defaults,
    );
  });

  test("survive the job record", () => {
    expect(JSON.parse(JSON.stringify(resolveJobConfig({})))).toEqual(defaults);
  });

  test.each<[JobOptions["restart"], JobConfig["restart"]]>([
    [{ strategy: "none" }, { strategy: "none" }],
    [{ strategy: "fixed-delay" }, { strategy: "fixed-delay", attempts: 1, delayMs: 1_000 }],
    [
      { strategy: "fixed-delay", attempts: "unlimited" },
      { strategy: "fixed-delay", attempts: Number.MAX_SAFE_INTEGER, delayMs: 1_000 },
    ],
    [
      { strategy: "failure-rate" },
      { strategy: "failure-rate", maxFailuresPerInterval: 1, failureRateIntervalMs: 60_000, delayMs: 1_000 },
    ],
    [{ strategy: "exponential-delay" }, defaults.restart],
    [
      { initialBackoff: "2 m" },
      { ...defaults.restart, initialBackoffMs: 120_000, maxBackoffMs: 120_000 } as never,
    ],
  ])("of restart %j", (restart, resolved) => {
    expect(resolveJobConfig({ restart }).restart).toStrictEqual(resolved);
  });
});

describe("without checkpoints", () => {
  const repeats = 'write everything again to sink "out"';
  const strategyOf = (options: JobOptions, overrides?: ConfigOverrides, what: string | undefined = repeats) =>
    resolve(options, overrides, { repeats: what }).config.restart.strategy;

  test("no restart by default where it would write or lose something again", () => {
    expect(strategyOf({})).toBe("none");
    expect(strategyOf({ checkpointing: { interval: "off" } })).toBe("none");
    const shown = resolve({}, {}, { repeats }).options;
    expect(shown.find(({ key }) => key === "restart.strategy")).toMatchObject({
      text: "none",
      origin: { layer: "default" },
      because: `there are no checkpoints, and a restart would ${repeats}`,
    });
    expect(shown.some(({ key }) => key.startsWith("restart.") && key !== "restart.strategy")).toBe(false);
  });

  test("a restart where it repeats nothing, and with checkpoints", () => {
    expect(resolve({}, {}, {}).config.restart.strategy).toBe("exponential-delay");
    expect(strategyOf({ checkpointing: { interval: "1 s" } })).toBe("exponential-delay");
  });

  test("a restart when a strategy is asked for, in any layer, by any of its options", () => {
    expect(strategyOf({ restart: { strategy: "exponential-delay" } })).toBe("exponential-delay");
    expect(strategyOf({ restart: { initialBackoff: "1 s" } })).toBe("exponential-delay");
    expect(strategyOf({ restart: { strategy: "fixed-delay" } })).toBe("fixed-delay");
    expect(strategyOf({}, { flags: { "restart-strategy.type": "failure-rate" } })).toBe("failure-rate");
    expect(strategyOf({}, { environment: { TIDEMARK_RESTART_STRATEGY: "fixed-delay" } })).toBe("fixed-delay");
  });
});

describe("what Flink takes is taken", () => {
  test("a number of retained checkpoints beyond what a record holds, with a warning", () => {
    const flags = (n: number) => resolve({}, { flags: { "execution.checkpointing.num-retained": n } });
    expect(flags(101)).toMatchObject({ config: { checkpointing: { retained: 101 } }, warnings: [] });
    expect(flags(1_000)).toMatchObject({ config: { checkpointing: { retained: 1_000 } }, warnings: [] });
    expect(flags(2_147_483_647)).toMatchObject({
      config: { checkpointing: { retained: 1_000 } },
      warnings: [expect.stringMatching(/num-retained.*2147483647 becomes 1000: /)],
    });
  });

  test("no attempt at all, and more checkpoints at a time than any job takes", () => {
    const flags = {
      "restart-strategy.type": "fixed-delay",
      "restart-strategy.fixed-delay.attempts": 0,
      "execution.checkpointing.max-concurrent-checkpoints": 2_147_483_647,
    };
    expect(resolveJobConfig({}, { flags })).toMatchObject({
      restart: { strategy: "fixed-delay", attempts: 0 },
      checkpointing: { maxConcurrent: 2_147_483_647 },
    });
  });

  test.each(["state.backend.type", "state.backend"])("%s: Flink's words and classes, in any case", (key) => {
    const names = {
      heap: ["heap", "hashmap", "HashMap", "org.apache.flink.runtime.state.hashmap.HashMapStateBackend"],
      disk: [
        "disk",
        "rocksdb",
        "RocksDB",
        "org.apache.flink.contrib.streaming.state.EmbeddedRocksDBStateBackendFactory",
        "org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend",
      ],
    };
    for (const [backend, words] of Object.entries(names))
      for (const word of words) {
        const { config, warnings } = resolve({}, { flags: { [key]: word } });
        expect([config.state.backend, warnings]).toEqual([backend, []]);
      }
    for (const word of ["forst", "org.example.Backend", 1])
      expect(() => resolve({}, { flags: { [key]: word } })).toThrow(
        /must be "heap" or "disk", or a module such as .*, got/,
      );
  });

  test.each(["state.backend.type", "state.backend"])(
    "%s: those that meant a storage, too, still do",
    (key) => {
      const old = "org.apache.flink.runtime.state";
      const rocks = "org.apache.flink.contrib.streaming.state.RocksDBStateBackend";
      const rows = [
        ["heap", "filesystem", ["filesystem", "FileSystem", `${old}.filesystem.FsStateBackendFactory`]],
        ["heap", "memory", ["jobmanager", "JobManager", `${old}.memory.MemoryStateBackend`]],
        ["disk", "filesystem", [rocks, `${rocks}Factory`]],
      ] as const;
      for (const [backend, storage, words] of rows)
        for (const word of words) {
          const flags = { [key]: word, ...(storage === "filesystem" && { "state.checkpoints.dir": "/c" }) };
          const { config } = resolve({}, { flags });
          expect([config.state.backend, config.checkpointing.storage?.kind]).toEqual([backend, storage]);
        }
      expect(() => resolve({}, { flags: { [key]: "filesystem" } })).toThrow(
        `${key} (from the command line): "filesystem" needs a checkpointing.directory`,
      );
      expect(() =>
        resolve({}, { flags: { [key]: "jobmanager", "state.checkpoint-storage": "filesystem" } }),
      ).toThrow("and both are checkpointing.storage; leave one of them out");
      expect(resolve({}, { flags: { [key]: "hashmap" } }).config.checkpointing.storage).toBe(null);
    },
  );

  test("the directory and the memory of a state backend mean something on disk only, and a warning says so", () => {
    const state = { directory: "/var/state", cacheSize: "64 MiB" } as const;
    const { config, warnings } = resolve({ state: { backend: "disk", ...state } });
    expect(config.state).toEqual({ backend: "disk", directory: "/var/state", cacheBytes: 64 * 1024 ** 2 });
    expect(warnings).toEqual([]);
    expect(resolve({ state }).warnings).toEqual([
      'state.directory: means nothing with state.backend "heap"',
      'state.cacheSize: means nothing with state.backend "heap"',
    ]);
    expect(() => resolve({ state: { cacheSize: 1000 } })).toThrow(/state.cacheSize: must be from 1 KiB to/);
  });
});

describe("limits", () => {
  test("an interval of 10 ms is the shortest; a longer pause raises it", () => {
    expect(resolveJobConfig({ checkpointing: { interval: 10 } }).checkpointing.intervalMs).toBe(10);
    const paused = resolveJobConfig({ checkpointing: { interval: "100ms", minPause: "500ms" } });
    expect(paused.checkpointing).toMatchObject({ intervalMs: 500, minPauseMs: 500 });
    expect(resolveJobConfig({ checkpointing: { minPause: "1s" } }).checkpointing.intervalMs).toBeNull();
  });

  test.each<[unknown, string, string]>([
    [
      { checkpointing: { interval: "9 ms" } },
      "checkpointing.interval",
      'must be from 10 ms to 365 d, got "9 ms"; "off" is allowed too',
    ],
    [
      { checkpointing: { timeout: "1 ms" } },
      "checkpointing.timeout",
      'must be from 10 ms to 365 d, got "1 ms"',
    ],
    [
      { checkpointing: { timeout: "soon" } },
      "checkpointing.timeout",
      'must be a duration ("10 s", "500ms" or a number of milliseconds), got "soon"',
    ],
    [
      { checkpointing: { retained: 0 } },
      "checkpointing.retained",
      "must be a whole number from 1 to 2147483647, got 0",
    ],
    [
      { checkpointing: { retained: 1.5 } },
      "checkpointing.retained",
      "must be a whole number from 1 to 2147483647, got 1.5",
    ],
    [
      { checkpointing: { inlineThreshold: "2 MiB" } },
      "checkpointing.inlineThreshold",
      'must be from 0 bytes to 1 MiB, got "2 MiB"',
    ],
    [
      { parallelism: "4" },
      "parallelism",
      'must be a whole number from 1 to 32768, got "4"; "auto" is allowed too',
    ],
    [
      { parallelism: null },
      "parallelism",
      'must be a whole number from 1 to 32768, got null; "auto" is allowed too',
    ],
    [
      { parallelism: "auto", scaling: { min: 4, max: 2 } },
      "scaling.max",
      "must not be less than scaling.min, 4",
    ],
    [{ scaling: { target: 2 } }, "scaling.target", "must be a number from 0.1 to 1, got 2"],
    [
      { parallelism: 200, maxParallelism: 128 },
      "parallelism",
      "200 subtasks, but maxParallelism is 128; a keyed operator needs at least one key group for each subtask",
    ],
    [
      { restart: { strategy: "sometimes" } },
      "restart.strategy",
      'must be "exponential-delay" or "fixed-delay" or "failure-rate" or "none", got "sometimes"',
    ],
    [{ restart: { jitterFactor: 2 } }, "restart.jitterFactor", "must be a number from 0 to 1, got 2"],
    [
      { restart: { attemptsBeforeResetBackoff: 0 } },
      "restart.attemptsBeforeResetBackoff",
      'must be a whole number from 1 to 2147483647, got 0; "unlimited" is allowed too',
    ],
    [
      { restart: { maxBackoff: "1 ms" } },
      "restart.maxBackoff",
      "must not be less than restart.initialBackoff",
    ],
    [
      { restart: { strategy: "none", attempts: 3 } },
      "restart.attempts",
      'not an option of strategy "none"; it has no options',
    ],
    [
      { restart: { strategy: "fixed-delay", jitterFactor: 0.5 } },
      "restart.jitterFactor",
      'not an option of strategy "fixed-delay"; it has restart.attempts, restart.delay',
    ],
    [
      { heartbeat: { timeout: "100ms" } },
      "heartbeat.timeout",
      "must not be less than heartbeat.pingInterval",
    ],
    [{ channels: { window: 1 } }, "channels.window", "must be a whole number from 2 to 4096, got 1"],
  ])("%j", (options, key, problem) => {
    expect(refusal(options)).toEqual({ key, message: `${key}: ${problem}` });
  });
});

describe("unknown options", () => {
  test.each<[unknown, string, string]>([
    [{ paralelism: 2 }, "paralelism", 'no such option; did you mean "parallelism"?'],
    [{ checkpoint: {} }, "checkpoint", 'no such option; did you mean "checkpointing"?'],
    [
      { checkpointing: { intervall: "1s" } },
      "checkpointing.intervall",
      'no such option; did you mean "checkpointing.interval"?',
    ],
    [
      { checkpointing: { "min-pause": "1s" } },
      "checkpointing.min-pause",
      'no such option; did you mean "checkpointing.minPause"?',
    ],
    [{ interval: "1s" }, "interval", 'no such option; did you mean "checkpointing.interval"?'],
    [
      { channels: { colour: "red" } },
      "channels.colour",
      "no such option; known: channels.window, channels.flush",
    ],
    [
      { checkpointing: "1s" },
      "checkpointing",
      expect.stringMatching(/^must be an object with mode, interval, timeout, .*, async, got "1s"$/) as never,
    ],
    [
      { constructor: 1 },
      "constructor",
      expect.stringContaining("no such option; known: parallelism") as never,
    ],
  ])("%j", (options, key, problem) => {
    const refused = refusal(options);
    expect(refused.key).toBe(key);
    expect(refused.message.slice(key.length + 2)).toEqual(problem);
  });
});

describe("layers", () => {
  test("flags win over the environment, which wins over the code", () => {
    const options: JobOptions = {
      parallelism: 2,
      checkpointing: { interval: "1s", timeout: "1m", retained: 3 },
    };
    const config = resolveJobConfig(options, {
      environment: {
        TIDEMARK_CHECKPOINTING_INTERVAL: "2 s",
        TIDEMARK_CHECKPOINTING_TIMEOUT: "2000",
        PATH: "/bin",
      },
      flags: { "checkpointing.interval": "3 s", parallelism: "4", maxParallelism: undefined },
    });
    expect(config).toMatchObject({
      parallelism: 4,
      checkpointing: { intervalMs: 3_000, timeoutMs: 2_000, retained: 3 },
    });
  });

  test("a later layer may switch off", () => {
    const overridden = resolveJobConfig(
      { checkpointing: { interval: "1s" } },
      { environment: { TIDEMARK_CHECKPOINTING_INTERVAL: "off" } },
    );
    expect(overridden.checkpointing.intervalMs).toBeNull();
  });

  test("an error says which layer it is in, and an earlier layer's error is not hidden by a later value", () => {
    expect(refusal({}, { environment: { TIDEMARK_PARALLELISM: "many" } })).toEqual({
      key: "parallelism",
      message:
        'parallelism (from TIDEMARK_PARALLELISM): must be a whole number from 1 to 32768, got "many"; "auto" is allowed too',
    });
    expect(refusal({}, { flags: { "checkpointing.interval": "1 week" } }).message).toBe(
      'checkpointing.interval (from the command line): must be a duration: unknown unit "week" in "1 week"; units are ms, s, m, ' +
        'h, d; "off" is allowed too',
    );
    expect(refusal({ maxParallelism: 4 }, { environment: { TIDEMARK_PARALLELISM: "8" } }).message).toMatch(
      /^parallelism \(from TIDEMARK_PARALLELISM\): 8 subtasks, but maxParallelism is 4/,
    );
    expect(refusal({ parallelism: 0 }, { flags: { parallelism: 1 } }).key).toBe("parallelism");
  });

  test("a job that scales by itself begins with the least number; without that its bounds mean nothing", () => {
    const scaling = { min: 2, window: "10 s" };
    const { config } = resolve({ parallelism: 3, scaling }, { flags: { "--parallelism": "auto" } });
    expect(config).toMatchObject({
      parallelism: 2,
      scaling: { min: 2, max: null, target: 0.7, windowMs: 10_000, cooldownMs: 60_000 },
    });
    const fixed = resolve({ parallelism: 3, scaling });
    expect(fixed.config.scaling).toBeUndefined();
    expect(fixed.warnings.join("\n")).toContain('means nothing without parallelism: "auto"');
  });

  test("another restart strategy does away with the options of the one below, the same one keeps them", () => {
    const options: JobOptions = { restart: { strategy: "fixed-delay", attempts: 7, delay: "3 s" } };
    const restart = (flags: Record<string, unknown>) => resolveJobConfig(options, { flags }).restart;
    expect(restart({ "restart.strategy": "none" })).toEqual({ strategy: "none" });
    expect(restart({ "restart.strategy": "exponential-delay" })).toEqual(defaults.restart);
    expect(restart({ "restart.strategy": "fixed-delay" })).toMatchObject({ attempts: 7, delayMs: 3_000 });
    expect(restart({ "restart.delay": "1 s" })).toMatchObject({ attempts: 7, delayMs: 1_000 });
    expect(() => restart({ "restart.jitterFactor": 0 })).toThrow(
      'restart.jitterFactor (from the command line): not an option of strategy "fixed-delay"',
    );
  });
});

describe("environment", () => {
  test("names follow from keys", () => {
    expect(environmentName("parallelism")).toBe("TIDEMARK_PARALLELISM");
    expect(environmentName("checkpointing.minPause")).toBe("TIDEMARK_CHECKPOINTING_MIN_PAUSE");
  });

  test("an empty variable is not set, other variables of the engine are none of ours", () => {
    const environment = {
      TIDEMARK_PARALLELISM: "",
      TIDEMARK_CANCEL_TIMEOUT: " ",
      TIDEMARK_SERVER: "nats://a:4222",
    };
    expect(resolveJobConfig({}, { environment })).toEqual(defaults);
  });

  test("variables of the connection are none, whatever they resemble", () => {
    const others = [
      "CREDS",
      "NKEY",
      "USER",
      "PASSWORD",
      "TOKEN",
      "TLS",
      "TLS_KEY",
      "DOMAIN",
      "SERVER",
      "SLOTS",
      "PREFIX",
    ];
    const environment = Object.fromEntries(others.map((name) => [`TIDEMARK_${name}`, "x"]));
    expect(() => resolveJobConfig({}, { environment })).not.toThrow();
  });

  test("what can only be a misspelt option is refused", () => {
    expect(refusal({}, { environment: { TIDEMARK_CHECKPOINTING_INTERVALL: "1s" } })).toEqual({
      key: "TIDEMARK_CHECKPOINTING_INTERVALL",
      message:
        'TIDEMARK_CHECKPOINTING_INTERVALL: no such option; did you mean "TIDEMARK_CHECKPOINTING_INTERVAL"?',
    });
    expect(refusal({}, { environment: { TIDEMARK_PARALELISM: "2" } }).message).toContain(
      'did you mean "TIDEMARK_PARALLELISM"?',
    );
  });
});

describe("types", () => {
  type Keys<T> = T extends unknown ? keyof T & string : never;
  type Leaf<K extends keyof JobOptions & string> =
    Exclude<JobOptions[K], undefined> extends infer Section
      ? [Extract<Section, object>] extends [never]
        ? K
        : string extends keyof Section
          ? K
          : `${K}.${Keys<Section>}`
      : never;
  type WrittenKeys = { [K in keyof JobOptions & string]: Leaf<K> }[keyof JobOptions & string];

  test("the options that may be written are the options that are checked", () => {
    expectTypeOf<WrittenKeys>().toEqualTypeOf<OptionKey>();
  });
});

describe("the number of key groups that no one has said", () => {
  test.each<[keyGroups: number, options: JobOptions]>([
    [128, {}],
    [128, { parallelism: 85 }],
    [256, { parallelism: 86 }],
    [256, { parallelism: 171 }],
    [512, { parallelism: 172 }],
    [32_768, { parallelism: 32_768 }],
    [1_024, { parallelism: 2, operatorParallelism: { count: 500 } }],
    [256, { parallelism: "auto", scaling: { max: 100 } }],
    [128, { parallelism: "auto" }],
  ])("is %d, as Flink derives it: %j", (keyGroups, options) => {
    const { config, warnings } = resolve(options);
    expect(config).toMatchObject({ maxParallelism: keyGroups, fixesMaxParallelism: false });
    expect(warnings).toEqual([]);
  });

  test("is shown with its reason, and what was said is not changed", () => {
    const shown = (options: JobOptions) =>
      resolve(options).options.find(({ key }) => key === "maxParallelism");
    expect(shown({ parallelism: 86 })).toMatchObject({
      value: 256,
      because: "it leaves room above 86 subtasks",
    });
    expect(shown({ parallelism: 1, maxParallelism: 7 })).toMatchObject({
      value: 7,
      origin: { layer: "job code" },
    });
  });
});
