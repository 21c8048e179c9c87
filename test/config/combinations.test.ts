/** What the options of checkpointing come to together: tolerated, refused, over several layers, and told in the end. */
import { describe, expect, test } from "vitest";
import { type ConfigOverrides, resolveJobConfig } from "../../src/config/job-config.ts";
import type { CheckpointingOptions, OptionKey } from "../../src/config/options.ts";
import { refusal } from "./refusal.ts";

const resolved = (checkpointing: CheckpointingOptions, overrides?: ConfigOverrides) =>
  resolveJobConfig({ checkpointing }, overrides);

interface Pair {
  readonly options: CheckpointingOptions;
  readonly becomes: Readonly<Record<string, unknown>>;
  /** The key of each warning, and a part of what it says. */
  readonly warns?: readonly (readonly [key: string, says: string])[];
}

describe("combinations that are tolerated", () => {
  test.each<Pair>([
    { options: { interval: "2 s", minPause: "1 s" }, becomes: { intervalMs: 2_000, minPauseMs: 1_000 } },
    { options: { interval: "1 s", minPause: "1 s" }, becomes: { intervalMs: 1_000, minPauseMs: 1_000 } },
    {
      options: { interval: "1 s", minPause: "2 s" },
      becomes: { intervalMs: 2_000, minPauseMs: 2_000 },
      warns: [["interval", "1 s becomes 2 s: raised to checkpointing.minPause, 2 s"]],
    },
    { options: { minPause: "1 s" }, becomes: { intervalMs: null, minPauseMs: 1_000 } },
    { options: { maxConcurrent: 3 }, becomes: { maxConcurrent: 3 } },
    { options: { maxConcurrent: 1, minPause: 5 }, becomes: { maxConcurrent: 1, minPauseMs: 5 } },
    {
      options: { maxConcurrent: 3, minPause: "1 s" },
      becomes: { maxConcurrent: 1 },
      warns: [["maxConcurrent", "3 becomes 1: checkpointing.minPause, 1 s, lies between"]],
    },
    { options: { unaligned: true }, becomes: { unaligned: true, maxConcurrent: 1 } },
    { options: { unaligned: true, maxConcurrent: 1 }, becomes: { unaligned: true } },
    {
      options: { unaligned: true, alignedTimeout: "1 s", forceUnaligned: true },
      becomes: { unaligned: true, alignedTimeoutMs: 1_000 },
    },
    {
      options: { unaligned: true, forceUnaligned: false },
      becomes: { unaligned: true },
      warns: [["forceUnaligned", "has no effect: barriers may overtake on every edge"]],
    },
    { options: { preferCheckpointForRecovery: true }, becomes: {} },
    {
      options: { preferCheckpointForRecovery: false },
      becomes: {},
      warns: [
        ["preferCheckpointForRecovery", "has no effect: a job never recovers from a savepoint by itself"],
      ],
    },
    {
      options: { unaligned: true, mode: "at-least-once" },
      becomes: { unaligned: false, mode: "at-least-once" },
      warns: [["unaligned", 'true becomes false: checkpointing.mode is "at-least-once"']],
    },
    {
      options: { unaligned: true, mode: "at-least-once", maxConcurrent: 3 },
      becomes: { unaligned: false, maxConcurrent: 3 },
      warns: [["unaligned", "true becomes false"]],
    },
    { options: { mode: "at-least-once" }, becomes: { mode: "at-least-once", unaligned: false } },
    {
      options: { alignedTimeout: "1 s" },
      becomes: { unaligned: false },
      warns: [["alignedTimeout", "has no effect without checkpointing.unaligned"]],
    },
    {
      options: { forceUnaligned: true, unaligned: false },
      becomes: { unaligned: false },
      warns: [["forceUnaligned", "has no effect without checkpointing.unaligned"]],
    },
    { options: { alignedTimeout: 0, forceUnaligned: false }, becomes: { unaligned: false } },
    { options: { failOnErrors: true }, becomes: { tolerableFailures: 0 } },
    { options: { failOnErrors: false }, becomes: { tolerableFailures: null } },
    { options: { failOnErrors: true, tolerableFailures: 0 }, becomes: { tolerableFailures: 0 } },
    {
      options: { failOnErrors: true, tolerableFailures: 5 },
      becomes: { tolerableFailures: 5 },
      warns: [["failOnErrors", "true has no effect: checkpointing.tolerableFailures is 5, and wins"]],
    },
    {
      options: { failOnErrors: true, tolerableFailures: "unlimited" },
      becomes: { tolerableFailures: null },
      warns: [["failOnErrors", "is unlimited, and wins"]],
    },
    { options: { timeout: "1 m" }, becomes: { timeoutMs: 60_000, savepointTimeoutMs: 60_000 } },
    {
      options: { timeout: "1 m", savepointTimeout: "1 h" },
      becomes: { timeoutMs: 60_000, savepointTimeoutMs: 3_600_000 },
    },
    {
      options: { directory: "/c" },
      becomes: { storage: { kind: "filesystem", directory: "/c", writeBufferBytes: 20_480 } },
    },
    {
      options: { directory: "/c", storage: "filesystem", writeBuffer: "1 MiB" },
      becomes: { storage: { kind: "filesystem", directory: "/c", writeBufferBytes: 1_048_576 } },
    },
    {
      options: { directory: "/c", writeBuffer: 100, inlineThreshold: 200 },
      becomes: { storage: { kind: "filesystem", directory: "/c", writeBufferBytes: 200 } },
    },
    {
      options: { directory: "/c", writeBuffer: 100, inlineThreshold: -1 },
      becomes: {
        inlineThresholdBytes: 0,
        storage: { kind: "filesystem", directory: "/c", writeBufferBytes: 100 },
      },
    },
    { options: { storage: "jetstream" }, becomes: { storage: { kind: "jetstream" } } },
    {
      options: { directory: "s3a://bucket/c/", s3Endpoint: "http://minio:9000" },
      becomes: { storage: { kind: "s3", location: "s3://bucket/c", endpoint: "http://minio:9000" } },
    },
    { options: { storage: "s3://bucket" }, becomes: { storage: { kind: "s3", location: "s3://bucket" } } },
    { options: { storage: "/srv/mine.js" }, becomes: { storage: { kind: "module", path: "/srv/mine.js" } } },
    { options: { storage: "memory" }, becomes: { storage: { kind: "memory" } } },
    { options: { savepointDirectory: "/s" }, becomes: { savepointDirectory: "/s", storage: null } },
  ])("$options", ({ options, becomes, warns = [] }) => {
    const { config, warnings } = resolved(options);
    expect(config.checkpointing).toMatchObject(becomes);
    expect(warnings).toHaveLength(warns.length);
    for (const [index, [name, says]] of warns.entries()) {
      expect(warnings[index]).toContain(`checkpointing.${name}: `);
      expect(warnings[index]).toContain(says);
    }
  });
});

describe("combinations that are refused", () => {
  test.each<[CheckpointingOptions, keyof CheckpointingOptions, string]>([
    [
      { unaligned: true, maxConcurrent: 2 },
      "maxConcurrent",
      "2 checkpoints at a time, but checkpointing.unaligned is true",
    ],
    [
      { unaligned: true, maxConcurrent: 2, minPause: "1 s" },
      "maxConcurrent",
      "unaligned checkpoints are taken one at a time",
    ],
    [
      { storage: "jetstream", directory: "/c" },
      "directory",
      'checkpointing.storage is "jetstream", which has no directory',
    ],
    [
      { storage: "memory", directory: "/c" },
      "directory",
      'checkpointing.storage is "memory", which has no directory',
    ],
    [{ storage: "filesystem" }, "storage", '"filesystem" needs a checkpointing.directory'],
  ])("%j", (options, name, says) => {
    const { key, message } = refusal(() => resolved(options));
    expect(key).toBe(`checkpointing.${name}`);
    expect(message).toContain(`checkpointing.${name}: `);
    expect(message).toContain(says);
  });

  test("across layers, naming both places", () => {
    const asked = () =>
      resolved({ maxConcurrent: 4 }, { environment: { TIDEMARK_CHECKPOINTING_UNALIGNED: "true" } });
    expect(refusal(asked).message).toBe(
      "checkpointing.maxConcurrent: 4 checkpoints at a time, but checkpointing.unaligned (from " +
        "TIDEMARK_CHECKPOINTING_UNALIGNED) is true: unaligned checkpoints are taken one at a time; leave one of the two out",
    );
  });
});

describe("layers", () => {
  test("an explicit number of failures wins over its alias, in whatever layer", () => {
    const { config, warnings } = resolved(
      { tolerableFailures: 2 },
      { flags: { "checkpointing.failOnErrors": "true" } },
    );
    expect(config.checkpointing.tolerableFailures).toBe(2);
    expect(warnings).toEqual([
      "checkpointing.failOnErrors (from the command line): true has no effect: checkpointing.tolerableFailures is 2, and wins",
    ]);
  });

  test.each<[CheckpointingOptions, ConfigOverrides, unknown, number]>([
    [{ directory: "/code" }, { flags: { "--checkpoint-dir": "/flag" } }, "/flag", 0],
    [{ storage: "jetstream" }, { flags: { "--checkpoint-dir": "/flag" } }, "/flag", 0],
    [{}, { environment: { TIDEMARK_CHECKPOINT_DIR: "/old" } }, "/old", 0],
    [{}, { environment: { TIDEMARK_CHECKPOINTING_DIRECTORY: "/new" } }, "/new", 0],
    [{ directory: "/code" }, { flags: { "checkpointing.storage": "jetstream" } }, undefined, 1],
    [
      {},
      {
        environment: { TIDEMARK_CHECKPOINTING_STORAGE: "filesystem" },
        flags: { "checkpointing.directory": "/flag" },
      },
      "/flag",
      0,
    ],
  ])("of storage %j and %j the higher one wins", (options, overrides, directory, warned) => {
    const { config, warnings } = resolved(options, overrides);
    expect(config.checkpointing.storage).toMatchObject(
      directory === undefined ? { kind: "jetstream" } : { kind: "filesystem", directory },
    );
    expect(warnings).toHaveLength(warned);
  });

  test("two names of one option in one layer must say the same", () => {
    const twice = (interval: string) => () =>
      resolved(
        {},
        { flags: { "checkpointing.interval": "1 s", "execution.checkpointing.interval": interval } },
      );
    expect(twice("1000 ms")().config.checkpointing.intervalMs).toBe(1_000);
    expect(refusal(twice("2 s")).message).toBe(
      'checkpointing.interval (from the command line) is "1 s", but execution.checkpointing.interval (from the command ' +
        'line) is "2 s", and both are checkpointing.interval; leave one of them out',
    );
    const environment = { TIDEMARK_CHECKPOINT_DIR: "/a", TIDEMARK_CHECKPOINTING_DIRECTORY: "/b" };
    expect(refusal(() => resolved({}, { environment })).message).toContain(
      "checkpointing.directory (from TIDEMARK_CHECKPOINT_DIR)",
    );
  });
});

describe("what holds in the end", () => {
  const optionOf = (key: OptionKey, ...of: Parameters<typeof resolved>) =>
    resolved(...of).options.find((option) => option.key === key);

  test("is told with its origin", () => {
    expect(optionOf("checkpointing.timeout", {})).toEqual({
      key: "checkpointing.timeout",
      value: 600_000,
      unit: "ms",
      text: "10 m",
      origin: { layer: "default" },
    });
    expect(
      optionOf("checkpointing.timeout", {}, { environment: { TIDEMARK_CHECKPOINTING_TIMEOUT: "5 s" } }),
    ).toMatchObject({
      text: "5 s",
      origin: { layer: "environment", place: "TIDEMARK_CHECKPOINTING_TIMEOUT" },
    });
    expect(
      optionOf("checkpointing.timeout", {}, { flags: { "execution.checkpointing.timeout": "5 s" } }),
    ).toMatchObject({ origin: { layer: "command line" }, spelling: "execution.checkpointing.timeout" });
  });

  test("and with what was asked for, where it is something else", () => {
    expect(optionOf("checkpointing.interval", { interval: "1 s", minPause: "2 s" })).toMatchObject({
      text: "2 s",
      origin: { layer: "job code" },
      asked: "1 s",
      because: "raised to checkpointing.minPause, 2 s",
    });
    expect(optionOf("checkpointing.maxConcurrent", { maxConcurrent: 4, minPause: 1 })).toMatchObject({
      value: 1,
      asked: "4",
    });
    expect(optionOf("checkpointing.unaligned", { unaligned: true, mode: "at-least-once" })).toMatchObject({
      value: false,
      asked: "true",
    });
    expect(optionOf("checkpointing.tolerableFailures", { failOnErrors: true })).toMatchObject({
      value: 0,
      origin: { layer: "default" },
      because: "checkpointing.failOnErrors is true",
    });
    expect(optionOf("checkpointing.writeBuffer", {})).toMatchObject({
      value: 20_480,
      because: "not less than checkpointing.inlineThreshold",
    });
    expect(optionOf("checkpointing.storage", { directory: "/c" })).toMatchObject({ value: "filesystem" });
  });

  test("leaves out the options of other restart strategies", () => {
    const keys = resolved({}, { flags: { "restart.strategy": "fixed-delay" } }).options.map(({ key }) => key);
    expect(keys).toContain("restart.attempts");
    expect(keys).not.toContain("restart.jitterFactor");
  });
});
