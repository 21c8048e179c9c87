/** Each option of checkpointing by itself: what it may be, and what is said about what it may not. */
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import {
  type CheckpointingOptions,
  jobOptions,
  type OptionKey,
  optionKeys,
} from "../../src/config/options.ts";
import { refusal } from "./refusal.ts";

type Name = keyof CheckpointingOptions;

const resolved = (checkpointing: CheckpointingOptions) => resolveJobConfig({ checkpointing });

const durations = {
  type: ["soon", true, null, {}],
  problem: /must be a duration \("10 s", "500ms" or a number of milliseconds\), got/,
};
const truths = { type: ["yes", 1, null, "on"], problem: /must be true or false, got/ };
const year = 365 * 86_400_000;

/** For each option: values it takes and what they become, values it refuses and what is said. */
const matrix: {
  readonly [K in Name]: {
    readonly takes: readonly (readonly [written: unknown, becomes: unknown])[];
    readonly refuses: readonly (readonly [written: unknown, says: RegExp])[];
  };
} = {
  mode: {
    takes: [
      ["exactly-once", "exactly-once"],
      ["at-least-once", "at-least-once"],
      ["EXACTLY_ONCE", "exactly-once"],
      ["AT_LEAST_ONCE", "at-least-once"],
    ],
    refuses: refused(["sometimes", 1, true, null], /must be "exactly-once" or "at-least-once", got/),
  },
  interval: {
    takes: [
      [10, 10],
      ["1 s", 1_000],
      ["365 d", year],
      ["off", null],
    ],
    refuses: [
      ...refused(durations.type, durations.problem),
      ["1 week", /unknown unit "week" in "1 week"; units are ms, s, m, h, d/],
      [-1, /must not be negative, got -1/],
      [9, /must be from 10 ms to 365 d, got 9/],
      ["366 d", /must be from 10 ms to 365 d/],
      [0, /"off" is allowed too/],
    ],
  },
  timeout: lasting(10, "10 ms to 365 d"),
  savepointTimeout: lasting(10, "10 ms to 365 d"),
  minPause: lasting(0, "0 ms to 365 d"),
  alignedTimeout: lasting(0, "0 ms to 365 d"),
  readyTimeout: {
    takes: [
      [10, 10],
      ["1 d", 86_400_000],
    ],
    refuses: [
      ...refused(durations.type, durations.problem),
      [9, /must be from 10 ms to 1 d/],
      ["2 d", /to 1 d/],
    ],
  },
  maxConcurrent: counting(1, 2_147_483_647),
  // What a job's record does not hold is cut down, with a warning.
  retained: counting(1, 2_147_483_647, 1_000),
  tolerableFailures: {
    takes: [
      [0, 0],
      [3, 3],
      [2_147_483_647, 2_147_483_647],
      ["unlimited", null],
    ],
    refuses: refused(
      [-1, 1.5, "3", "many", true, null, 2_147_483_648],
      /must be a whole number from 0 to 2147483647, got .*; "unlimited" is allowed too/,
    ),
  },
  failOnErrors: switched(),
  unaligned: switched(),
  forceUnaligned: switched(),
  afterTasksFinish: switched(),
  preferCheckpointForRecovery: switched(),
  retention: {
    takes: [
      ["delete", "delete"],
      ["delete-on-cancellation", "delete-on-cancellation"],
      ["retain-on-cancellation", "retain-on-cancellation"],
      ["NO_EXTERNALIZED_CHECKPOINTS", "delete"],
      ["DELETE_ON_CANCELLATION", "delete-on-cancellation"],
      ["RETAIN_ON_CANCELLATION", "retain-on-cancellation"],
    ],
    refuses: refused(
      ["keep", true, 1, null],
      /must be "delete" or "delete-on-cancellation" or "retain-on-cancellation", got/,
    ),
  },
  storage: {
    takes: [
      ["jetstream", "jetstream"],
      ["memory", "memory"],
      ["jobmanager", "memory"],
      ["JobManager", "memory"],
      ["org.apache.flink.runtime.state.storage.JobManagerCheckpointStorage", "memory"],
      ["./my-storage.ts", resolve("my-storage.ts")],
      ["../storages/mine.mjs", resolve("../storages/mine.mjs")],
      ["/srv/mine.js", "/srv/mine.js"],
      ["file:///srv/mine.js", "/srv/mine.js"],
      ["s3://bucket", "s3://bucket"],
      ["s3a://bucket/jobs/checkpoints/", "s3://bucket/jobs/checkpoints"],
    ],
    refuses: [
      ...refused(
        ["s3", "jetsream", "my-storage.ts", "", true, null],
        /must be "jetstream" or "filesystem" or "memory", "s3:\/\/bucket\/prefix", or a module such as/,
      ),
      ["s3://Bucket/x", /"Bucket" cannot be the name of an S3 bucket, got/],
      ["s3:///x", /"" cannot be the name of an S3 bucket, got/],
      ["s3://bucket/a/../b", /has a part that is empty or leads elsewhere; write s3:\/\/bucket\/prefix/],
      ["hdfs://nn/c", /got "hdfs:\/\/nn\/c"; mount it, and give the directory where it is mounted/],
      ["filesystem", /"filesystem" needs a checkpointing.directory/],
    ],
  },
  directory: path(),
  savepointDirectory: path(),
  localDirectory: {
    ...path(),
    refuses: [...path().refuses, ["s3://Bucket/x", /must be a directory of the machine, got "s3:/] as const],
  },
  memoryStateMax: {
    takes: [
      [1_024, 1_024],
      ["10 MiB", 10_485_760],
      ["64 MiB", 67_108_864],
    ],
    refuses: refused([0, "1 B", "65 MiB"], /must be from 1 KiB to 64 MiB, got/),
  },
  s3Endpoint: {
    takes: [
      ["http://127.0.0.1:9000", "http://127.0.0.1:9000"],
      ["https://minio.example", "https://minio.example"],
    ],
    refuses: refused(["127.0.0.1:9000", "", 9000, true], /must be a URL like http:\/\/127.0.0.1:9000, got/),
  },
  inlineThreshold: {
    takes: [
      [0, 0],
      [-1, 0],
      ["1 MiB", 1_048_576],
      ["20 KiB", 20_480],
      ["20kB", 20_000],
    ],
    refuses: [
      ...refused(["large", true, null], /must be a size \("20 KiB" or a number of bytes\), got/),
      ["1 TB", /unknown unit "TB" in "1 TB"; units are B, kB, KiB, MB, MiB, GB, GiB/],
      [-2, /must not be negative, got -2/],
      [1.5, /must come to whole bytes/],
      [1_048_577, /must be from 0 bytes to 1 MiB, got 1048577/],
    ],
  },
  writeBuffer: {
    takes: [
      ["64 MiB", 67_108_864],
      [20_480, 20_480],
    ],
    refuses: [
      ...refused(["large", true, null], /must be a size/),
      [-1, /must not be negative, got -1/],
      ["65 MiB", /must be from 0 bytes to 64 MiB/],
    ],
  },
  iterations: {
    takes: [
      ["refuse", "refuse"],
      ["force", "force"],
      ["exact", "exact"],
    ],
    refuses: refused(["maybe", true, null], /must be "refuse" or "force" or "exact", got/),
  },
  incremental: switched(),
  localRecovery: switched(),
  async: notYet(true),
};

function refused(values: readonly unknown[], says: RegExp): [unknown, RegExp][] {
  return values.map((value) => [value, says]);
}

function lasting(least: number, limits: string) {
  return {
    takes: [
      [least, least],
      ["10 min", 600_000],
      ["365 d", year],
    ] as const,
    refuses: [
      ...refused(durations.type, durations.problem),
      ["1 week", /unknown unit "week"/] as const,
      [-1, /must not be negative, got -1/] as const,
      ["0.5 ms", /must come to whole milliseconds/] as const,
      [year + 1, new RegExp(`must be from ${limits}, got ${year + 1}`)] as const,
      ...(least === 0 ? [] : refused([least - 1], new RegExp(`must be from ${limits}, got ${least - 1}`))),
    ],
  };
}

function counting(min: number, max: number, most = max) {
  return {
    takes: [
      [min, min],
      [max, most],
    ] as const,
    refuses: refused(
      [min - 1, -1, 1.5, max + 1, "1", true, null, Number.NaN],
      new RegExp(`must be a whole number from ${min} to ${max}, got`),
    ),
  };
}

function switched() {
  return {
    takes: [
      [true, true],
      [false, false],
    ] as const,
    refuses: refused(truths.type, truths.problem),
  };
}

function notYet(only: boolean) {
  return {
    takes: [[only, only]] as const,
    refuses: [
      [!only, new RegExp(`${!only} is not supported yet: `)] as const,
      ...refused(truths.type, truths.problem),
    ],
  };
}

function path() {
  return {
    takes: [
      ["/var/checkpoints", "/var/checkpoints"],
      ["checkpoints", resolve("checkpoints")],
      ["file:///var/checkpoints", "/var/checkpoints"],
      ["file:/var/checkpoints", "/var/checkpoints"],
    ] as const,
    refuses: [
      ["", /must not be empty/] as const,
      [" ", /must not be empty/] as const,
      [
        "hdfs://nn/checkpoints",
        /must be a directory .*; mount it, and give the directory where it is mounted/,
      ] as const,
      ["file://elsewhere/checkpoints", /must be a path or a URI like/] as const,
      ...refused([1, true, null, {}], /must be the path of a directory, got/),
    ],
  };
}

const names = Object.keys(matrix) as Name[];
const taken = names.flatMap((name) => matrix[name].takes.map(([from, to]) => [name, from, to] as const));
const denied = names.flatMap((name) =>
  matrix[name].refuses.map(([from, says]) => [name, from, says] as const),
);

describe("each option by itself", () => {
  test.each(taken)("%s takes %j", (name, written, becomes) => {
    const { options } = resolved({ [name]: written });
    const { value, origin } = options.find(({ key }) => key === `checkpointing.${name}`)!;
    expect(value).toBe(becomes);
    expect(origin).toEqual({ layer: "job code" });
  });

  test.each(denied)("%s refuses %j", (name, written, says) => {
    const { key, message } = refusal(() => resolved({ [name]: written }));
    expect(key).toBe(`checkpointing.${name}`);
    expect(message).toMatch(says);
    expect(message.startsWith(`checkpointing.${name}: `)).toBe(true);
  });

  test("there is none that this table leaves out", () => {
    const all = optionKeys.filter((key) => key.startsWith("checkpointing."));
    expect(names.map((name) => `checkpointing.${name}`)).toEqual(expect.arrayContaining(all as string[]));
  });

  test.each(optionKeys)("%s: its default is one of its own values", (key: OptionKey) => {
    const { default: standard, format, check } = jobOptions[key];
    if (standard === undefined) return;
    const written = standard === null ? format(standard as never) : standard;
    expect(check.safeParse(written).data).toEqual(standard);
  });
});
