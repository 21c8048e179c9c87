/** What a job says of joins: what is refused before anything runs, and what the plan shows. */
import { describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import { ConfigurationError } from "../../src/errors.ts";
import {
  ascendingTimestamps,
  type Duration,
  defineJob,
  type JobBuilder,
  type KeyedStream,
  type Stream,
  valueState,
} from "../../src/index.ts";
import { graphFingerprint, planDifferences } from "../../src/job/fingerprint.ts";
import { buildGraph } from "../../src/job/graph.ts";
import { describePlan, planOf } from "../../src/job/plan.ts";
import { testSink, testSource } from "./connectors.ts";

function refused(build: (job: JobBuilder) => void): string {
  try {
    defineJob("job", {}, build);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return (error as ConfigurationError).message;
  }
  throw new Error("nothing was refused");
}

const words = (job: JobBuilder, id = "words"): KeyedStream<string, string> =>
  job.source(id, testSource<string>(), { watermarks: ascendingTimestamps() }).keyBy((word) => word);

test("a job does not go on with another interval of its pairs", () => {
  const planFor = (lower: Duration, upper: Duration, options: { readonly upperExclusive?: boolean } = {}) => {
    const job = defineJob("job", {}, (builder) =>
      words(builder)
        .intervalJoin(words(builder, "others"))
        .between(lower, upper, options)
        .process("pairs", (left) => left)
        .sink("out", testSink()),
    );
    return planOf(buildGraph(job, resolveJobConfig({}).config));
  };
  const before = planFor("-5 min", "1 h");
  expect(describePlan(before)).toContain("intervalJoin (an interval from -5 m to 1 h)");
  expect(graphFingerprint(planFor(-300_000, "60 min"))).toBe(graphFingerprint(before));
  const wider = planFor("-5 min", "2 h");
  expect(graphFingerprint(wider)).not.toBe(graphFingerprint(before));
  expect(planDifferences(before, wider)).toEqual([
    'operator "pairs": windows was an interval from -5 m to 1 h, is an interval from -5 m to 2 h',
  ]);
  const exclusive = planFor("-5 min", "1 h", { upperExclusive: true });
  expect(graphFingerprint(exclusive)).not.toBe(graphFingerprint(before));
});

describe("interval join", () => {
  const joined = (job: JobBuilder) => words(job).intervalJoin(words(job, "others"));
  const same = (left: string) => left;
  test.each<[string, (job: JobBuilder) => void, string]>([
    [
      "bounds the wrong way round",
      (job) => void joined(job).between("5 min", "-5 min").process("j", same),
      'operator "j": no time lies between "5 min" and "-5 min": the lower bound comes first',
    ],
    [
      "an interval that its exclusive bounds leave empty",
      (job) =>
        void joined(job).between(0, 1, { lowerExclusive: true, upperExclusive: true }).process("j", same),
      'operator "j": no time lies between 0 (exclusive) and 1 (exclusive): the lower bound comes first',
    ],
    [
      "a bound that is no duration",
      (job) => void joined(job).between("-five min", 0).process("j", same),
      'operator "j": the lower bound of between must be a duration ("10 s", "500ms" or a number of milliseconds), got "five min"',
    ],
    [
      "a bound without end",
      (job) => void joined(job).between(0, Number.POSITIVE_INFINITY).process("j", same),
      'operator "j": the upper bound of between must be a duration that ends, got Infinity',
    ],
    [
      "an option with a slip",
      (job) =>
        void joined(job)
          .between(0, 1, { lowerExclusiv: true } as never)
          .process("j", same),
      'operator "j": no option "lowerExclusiv"; did you mean "lowerExclusive"?',
    ],
    [
      "one late output for both sides",
      (job) =>
        void joined(job)
          .between(0, 1, { lateLeftOutput: "late", lateRightOutput: "late" })
          .process("j", same),
      'operator "j": side output "late" cannot be that of both sides: give each a tag of its own',
    ],
    [
      "a source without watermarks",
      (job) => {
        const others = job.source("others", testSource<string>()).keyBy((word) => word);
        words(job).intervalJoin(others).between(0, 1).process("j", same).sink("out", testSink());
      },
      'operator "j": works by event time, and source "others" in front of it has no watermarks',
    ],
    [
      "no function",
      (job) =>
        void joined(job)
          .between(0, 1)
          .process("j", undefined as never),
      'operator "j": process must be a function, got undefined',
    ],
    [
      "a stream that is not keyed",
      (job) => void words(job).intervalJoin(job.source("others", testSource<string>()) as never),
      'intervalJoin after "words": takes a stream of the same job behind keyBy, got an object',
    ],
    [
      "a join without a function behind it",
      (job) => {
        joined(job).between(0, 1);
        job.source("more", testSource<string>()).sink("out", testSink());
      },
      'keyBy after "words" ends nowhere: process or reduce must follow',
    ],
  ])("%s is refused", (_, build, message) => {
    expect(refused(build)).toContain(message);
  });

  test("durations may be negative in every form", () => {
    for (const bound of [-300_000, "-5 min", " -5m", "-0.5 min"])
      defineJob("job", {}, (job) => joined(job).between(bound, 0).process("j", same).sink("out", testSink()));
  });
});

describe("connect", () => {
  const connected = (job: JobBuilder) => words(job).connect(words(job, "others"));
  const functions = { state: { seen: valueState(0) }, onFirst: () => 1, onSecond: () => "two" };
  test.each<[string, (job: JobBuilder) => void, string]>([
    [
      "a process with one function only",
      (job) => void connected(job).process("c", { state: {}, onFirst: () => 1 } as never),
      'operator "c": onSecond must be a function, got undefined',
    ],
    [
      "the function of a plain process",
      (job) => void connected(job).process("c", { ...functions, onRecord: () => 1 } as never),
      'operator "c": no member "onRecord"',
    ],
    [
      "timers that none takes",
      (job) => void connected(job).process("c", { ...functions, endOfInput: "fire" }),
      'operator "c": endOfInput says what becomes of pending timers, and there is no onTimer',
    ],
    [
      "a stream of another job",
      (job) => {
        let other: KeyedStream<string, string> | undefined;
        refused((another) => {
          other = words(another);
        });
        words(job).connect(other!);
      },
      'connect after "words": takes a stream of the same job behind keyBy, got an object',
    ],
  ])("%s is refused", (_, build, message) => {
    expect(refused(build)).toContain(message);
  });

  test("the plan shows the ports and their keys' edges, and the types of both functions come out", () => {
    const job = defineJob("job", { parallelism: 2 }, (builder) => {
      const stream = connected(builder).process("both", functions);
      const typed: { map(id: string, map: (value: string | number) => string): Stream<string> } = stream;
      typed.map("text", String).sink("texts", testSink());
      stream.sink("out", testSink());
    });
    const graph = buildGraph(job, resolveJobConfig({ parallelism: 2 }).config);
    expect(describePlan(planOf(graph))).toContain(
      "coProcess (state seen)       <- words (first), others (second)",
    );
    expect(graph.edges.filter(({ to }) => to === "both").map(({ partitioner }) => partitioner.kind)).toEqual([
      "hash",
      "hash",
    ]);
  });
});
