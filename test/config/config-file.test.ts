/** Config files: YAML with our keys or Flink's, and what is said about a wrong one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readConfigFile } from "../../src/config/config-file.ts";
import { flinkSpellings } from "../../src/config/flink-keys.ts";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import { type JobOptions, jobOptions, type OptionKey } from "../../src/config/options.ts";
import { refusal } from "./refusal.ts";

const directory = mkdtempSync(join(tmpdir(), "tidemark-config-"));
afterAll(() => rmSync(directory, { recursive: true }));
const path = join(directory, "cluster.yaml");

function resolved(yaml: string, options: JobOptions = {}) {
  writeFileSync(path, yaml);
  return resolveJobConfig(options, { file: readConfigFile(path) });
}

const said = (yaml: string, options?: JobOptions) =>
  refusal(() => resolved(yaml, options)).message.replaceAll(path, "FILE");

describe("what a file may look like", () => {
  test.each([
    ["flat", "checkpointing.interval: 1 s\ncheckpointing.retained: 3\nparallelism: 2\n"],
    ["nested", "parallelism: 2\ncheckpointing:\n  interval: 1 s\n  retained: 3\n"],
    ["both", "parallelism: 2\ncheckpointing:\n  interval: 1 s\ncheckpointing.retained: 3\n"],
    ["inline", "{ parallelism: 2, checkpointing: { interval: 1000, retained: '3' } }"],
    ["aliased", "parallelism: 2\ncheckpointing: { minPause: &second 1 s, interval: *second, retained: 3 }\n"],
    [
      "as Flink's, flat",
      "parallelism.default: 2\nexecution.checkpointing.interval: 1 s\nstate.checkpoints.num-retained: 3\n",
    ],
    [
      "as Flink's, nested",
      "parallelism:\n  default: 2\nexecution:\n  checkpointing:\n    interval: 1s\n    num-retained: 3\n",
    ],
  ])("%s", (_, yaml) => {
    expect(resolved(yaml).config).toMatchObject({
      parallelism: 2,
      checkpointing: { intervalMs: 1_000, retained: 3 },
    });
  });

  test.each([
    ["empty", ""],
    ["nothing but comments", "# nothing yet\n"],
    ["an empty section", "checkpointing: {}\n"],
  ])("%s", (_, yaml) => {
    expect(resolved(yaml)).toEqual(resolveJobConfig({}));
  });
});

describe("what it is worth", () => {
  test("more than a default, less than the job's code", () => {
    const { config, options } = resolved("checkpointing: { interval: 1 s, retained: 3 }", {
      checkpointing: { interval: "5 s" },
    });
    expect(config.checkpointing).toMatchObject({ intervalMs: 5_000, retained: 3 });
    expect(options.find(({ key }) => key === "checkpointing.retained")?.origin).toEqual({
      layer: "config file",
      place: `${path}:1`,
    });
    expect(options.find(({ key }) => key === "checkpointing.interval")?.origin.layer).toBe("job code");
  });

  test("a restart strategy of the job comes before the cluster's, and the cluster's before the default", () => {
    const cluster = "restart-strategy.type: fixed-delay\nrestart-strategy.fixed-delay.attempts: 7\n";
    expect(resolved(cluster).config.restart).toMatchObject({ strategy: "fixed-delay", attempts: 7 });
    expect(resolved(cluster, { restart: { strategy: "none" } }).config.restart).toEqual({ strategy: "none" });
    // Options without a strategy are those of exponential-delay.
    expect(resolved(cluster, { restart: { maxBackoff: "2 m" } }).config.restart).toMatchObject({
      strategy: "exponential-delay",
      maxBackoffMs: 120_000,
    });
    expect(resolved("").config.restart.strategy).toBe("exponential-delay");
    expect(resolved("", { checkpointing: { interval: "1 s" } }).config.restart.strategy).toBe(
      "exponential-delay",
    );
  });

  test("its warnings name the file and the line", () => {
    expect(resolved("\nexecution.checkpointing.aligned-checkpoint-timeout: 10 s\n").warnings).toEqual([
      `execution.checkpointing.aligned-checkpoint-timeout (from ${path}:2): has no effect without checkpointing.unaligned`,
    ]);
  });
});

describe("Flink's keys", () => {
  /** Values as Flink writes them, and what they come to. */
  const values: { readonly [Key in OptionKey]?: readonly [flink: string, ours: unknown] } = {
    parallelism: ["4", 4],
    maxParallelism: ["256", 256],
    "checkpointing.mode": ["AT_LEAST_ONCE", "at-least-once"],
    "checkpointing.interval": ["10 min", 600_000],
    "checkpointing.timeout": ["1 h", 3_600_000],
    "checkpointing.minPause": ["500 ms", 500],
    "checkpointing.maxConcurrent": ["2", 2],
    "checkpointing.tolerableFailures": ["3", 3],
    "checkpointing.retention": ["RETAIN_ON_CANCELLATION", "retain-on-cancellation"],
    "checkpointing.retained": ["5", 5],
    "checkpointing.unaligned": ["true", true],
    "checkpointing.alignedTimeout": ["30 s", 30_000],
    "checkpointing.forceUnaligned": ["true", true],
    "checkpointing.afterTasksFinish": ["false", false],
    "checkpointing.preferCheckpointForRecovery": ["true", true],
    "checkpointing.storage": ["jobmanager", "memory"],
    "checkpointing.directory": ["file:///flink/checkpoints", "/flink/checkpoints"],
    "checkpointing.localDirectory": ["/flink/local", "/flink/local"],
    "checkpointing.savepointDirectory": ["file:///flink/savepoints", "/flink/savepoints"],
    "checkpointing.s3Endpoint": ["http://minio:9000", "http://minio:9000"],
    "checkpointing.inlineThreshold": ["20kb", 20_480],
    "checkpointing.writeBuffer": ["1 mb", 1_048_576],
    "checkpointing.iterations": ["true", "force"],
    "checkpointing.incremental": ["false", false],
    "checkpointing.localRecovery": ["false", false],
    "checkpointing.async": ["true", true],
    "state.backend": ["rocksdb", "disk"],
    "state.directory": ["/flink/rocksdb", "/flink/rocksdb"],
    "restart.strategy": ["failure-rate", "failure-rate"],
    "restart.initialBackoff": ["2 s", 2_000],
    "restart.maxBackoff": ["5 min", 300_000],
    "restart.backoffMultiplier": ["2.0", 2],
    "restart.jitterFactor": ["0.2", 0.2],
    "restart.resetBackoffThreshold": ["10 min", 600_000],
    "restart.attemptsBeforeResetBackoff": ["2147483647", 2_147_483_647],
    "restart.attempts": ["3", 3],
    "restart.delay": ["10 s", 10_000],
    "restart.maxFailuresPerInterval": ["4", 4],
    "restart.failureRateInterval": ["5 min", 300_000],
  };
  const spelt = Object.entries(flinkSpellings).flatMap(([key, spellings]) =>
    spellings.map((spelling) => [spelling, key as OptionKey] as const),
  );

  test.each(spelt)("%s is %s", (spelling, key) => {
    const [flink, ours] = values[key]!;
    const strategy = /^restart-strategy\.(.+)\./.exec(spelling)?.[1];
    const { options } = resolved(
      `${spelling}: ${flink}\n${strategy === undefined ? "" : `restart-strategy: ${strategy}\n`}`,
    );
    expect(options.find((option) => option.key === key)).toMatchObject({
      value: ours,
      origin: { layer: "config file", place: `${path}:1` },
      spelling,
    });
    const flag = { [spelling]: flink, ...(strategy === undefined ? {} : { "restart-strategy": strategy }) };
    const flagged = resolveJobConfig({}, { flags: flag });
    expect(flagged.options.find((option) => option.key === key)).toMatchObject({ value: ours, spelling });
  });

  test("every option that Flink has is here, by its present name first", () => {
    const ours = [
      "operatorParallelism",
      "scaling.min",
      "scaling.max",
      "scaling.target",
      "scaling.window",
      "scaling.cooldown",
      "checkpointing.failOnErrors",
      "checkpointing.memoryStateMax",
      "checkpointing.savepointTimeout",
      "checkpointing.readyTimeout",
      "heartbeat.pingInterval",
      "heartbeat.timeout",
      "state.cacheSize",
      "channels.window",
      "channels.flush",
      "cancelTimeout",
      "checks",
    ];
    expect(Object.keys(jobOptions).filter((key) => !(key in flinkSpellings))).toEqual(ours);
  });

  test.each([
    ["none", "none"],
    ["off", "none"],
    ["disable", "none"],
    ["fixeddelay", "fixed-delay"],
    ["fixed-delay", "fixed-delay"],
    ["failurerate", "failure-rate"],
    ["exponentialdelay", "exponential-delay"],
  ])("restart-strategy: %s", (flink, strategy) => {
    expect(resolved(`restart-strategy: ${flink}`).config.restart.strategy).toBe(strategy);
    expect(resolved(`restart-strategy:\n  type: ${flink}`).config.restart.strategy).toBe(strategy);
  });

  test("of another restart strategy are refused, although ours has one name for both", () => {
    expect(said("restart-strategy.type: fixed-delay\nrestart-strategy.failure-rate.delay: 5 s\n")).toBe(
      'restart-strategy.failure-rate.delay (from FILE:2): not an option of strategy "fixed-delay"; it has restart.attempts, ' +
        "restart.delay",
    );
  });

  test("that ask for what is done anyway are taken", () => {
    expect(resolved("state.backend.type: hashmap\nstate.backend.async: true\n").config).toEqual(
      resolveJobConfig({}).config,
    );
  });
});

describe("what is not there yet is refused by each of its names, saying what is done instead", () => {
  const refusedAs = (because: string, value: string, keys: readonly string[]): void => {
    for (const key of keys)
      expect(said(`${key}: ${value}`)).toBe(
        `${key} (from FILE:1): ${value} is not supported yet: ${because}`,
      );
  };

  test("another interval during backlog", () => {
    refusedAs("the interval is the same whether a source lags behind or not", "0", [
      "execution.checkpointing.interval-during-backlog",
    ]);
  });
});

describe("what is refused names the file, the line and the key as it is written", () => {
  test.each([
    [
      "\ncheckpointing:\n  intervall: 1 s\n",
      'checkpointing.intervall (from FILE:3): no such option; did you mean "checkpointing.interval"?',
    ],
    [
      "execution.checkpointing.intervall: 1 s",
      'execution.checkpointing.intervall (from FILE:1): no such option; did you mean "execution.checkpointing.interval"?',
    ],
    ["interval: 1 s", 'interval (from FILE:1): no such option; did you mean "checkpointing.interval"?'],
    ["a: 1", 'a (from FILE:1): no such option; "tidemark config print" lists them all'],
    [
      "taskmanager:\n  memory:\n    process:\n      size: 4g\n",
      'taskmanager.memory.process.size (from FILE:4): no such option; "tidemark config print" lists them all',
    ],
    [
      "channels.colour: red",
      "channels.colour (from FILE:1): no such option; known: channels.window, channels.flush",
    ],
    [
      "execution.checkpointing.timeout: 5 ms",
      'execution.checkpointing.timeout (from FILE:1): must be from 10 ms to 365 d, got "5 ms"',
    ],
    [
      "checkpointing:\n  retained:\n    - 1\n",
      "checkpointing.retained (from FILE:2): must be a whole number from 1 to 2147483647, got an array",
    ],
    [
      "checkpointing.interval:\n",
      'checkpointing.interval (from FILE:1): must be a duration ("10 s", "500ms" or a number of milliseconds), got null; ' +
        '"off" is allowed too',
    ],
    [
      "checkpointing.interval: 1 s\nexecution.checkpointing.interval: 2 s\n",
      'checkpointing.interval (from FILE:1) is "1 s", but execution.checkpointing.interval (from FILE:2) is "2 s", and both ' +
        "are checkpointing.interval; leave one of them out",
    ],
    [
      "state.backend.type: forst",
      'state.backend.type (from FILE:1): must be "heap" or "disk", or a module such as "./my-backend.ts", got "forst"',
    ],
    [
      "execution.checkpointing.interval-during-backlog: 0",
      "execution.checkpointing.interval-during-backlog (from FILE:1): 0 is not supported yet: the interval is the same " +
        "whether a source lags behind or not",
    ],
    [
      "execution.checkpointing.dir: hdfs://nn/checkpoints",
      "execution.checkpointing.dir (from FILE:1): must be a directory of the file system, or s3://bucket/prefix, got " +
        '"hdfs://nn/checkpoints"; ' +
        "mount it, and give the directory where it is mounted",
    ],
    [
      "execution.checkpointing.data-inline-threshold: 2mb",
      'execution.checkpointing.data-inline-threshold (from FILE:1): must be from 0 bytes to 1 MiB, got "2MiB"',
    ],
  ])("%j", (yaml, message) => {
    expect(said(yaml)).toBe(message);
  });
});

describe("a file that is none", () => {
  test("is not there", () => {
    expect(refusal(() => readConfigFile("no/such/file.yaml"))).toEqual({
      key: "config-file",
      message: "config file no/such/file.yaml: no such file",
    });
  });

  test("is a directory", () => {
    expect(refusal(() => readConfigFile(directory)).message).toBe(`config file ${directory}: is a directory`);
  });

  test.each([
    ["a: [1, 2\nb: 3\n", /^config file FILE:\d: not YAML: /],
    ["a: 1\n\tb: 2\n", /^config file FILE:2: not YAML: /],
    ["parallelism: 1\nparallelism: 2\n", /^config file FILE:2: not YAML: Map keys must be unique/],
    ["parallelism: 1\n---\nparallelism: 2\n", /^config file FILE:\d: not YAML: /],
    ["- parallelism\n", /^config file FILE:1: must hold options as "key: value", and does not$/],
    ["parallelism\n", /^config file FILE:1: must hold options as "key: value", and does not$/],
  ])("%j", (yaml, message) => {
    expect(said(yaml)).toMatch(message);
  });
});
