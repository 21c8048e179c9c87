/** Side outputs: declared by a process, taken from its stream by tag, and exact like the main output. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import { ConfigurationError, OperatorError } from "../../../src/errors.ts";
import { defineJob, type JobBuilder, type } from "../../../src/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf, failureOf } from "../../support/graphs/chains.ts";
import { leadingTo, process, sink } from "../../support/graphs/operators.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

const messageOf = (run: () => void): string => {
  const failure = failureOf(run);
  expect(failure).toBeInstanceOf(OperatorError);
  return (failure as OperatorError).message;
};

const ofWord = (value: unknown) => value as string;

describe("in one subtask", () => {
  const sorting = process("sorted", ofWord, {
    state: {},
    sideOutputs: ["late", "odd", "unread"],
    onRecord(word, { emit, sideOutput }) {
      if (word === "wrong") sideOutput("lat", word);
      if (word === "promise") sideOutput("late", Promise.resolve(1));
      if (word === "none") return;
      sideOutput("unread", word);
      if ((word as string).length % 2 === 1) sideOutput("odd", `${word}!`);
      emit(word);
      sideOutput("late", word);
    },
  });
  const chain = () =>
    chainOf([
      {
        operator: sorting,
        outputs: [
          { tag: null, next: [{ operator: 1, port: 0 }], edges: [] },
          { tag: "late", next: [{ operator: 2, port: 0 }], edges: ["e1"] },
          { tag: "odd", next: [], edges: ["e2"] },
        ],
      },
      leadingTo(sink("main"), []),
      leadingTo(sink("late"), []),
    ]);

  test("each tag leads to its own readers, with the record's timestamp; what is not read is dropped", () => {
    const { chain: built, out } = chain();
    built.heads[0]!("four", 10);
    built.heads[0]!("three", 20);
    built.heads[0]!("none", 30);
    expect(out.main).toEqual([
      ["four", 10],
      ["three", 20],
    ]);
    expect(out.late).toEqual(out.main);
    expect(out.e1).toEqual(out.main);
    expect(out.e2).toEqual([["three!", 20]]);
  });

  test("a tag that the operator does not declare, and a value that none can mean, fail it by name", () => {
    const { chain: built } = chain();
    expect(messageOf(() => built.heads[0]!("wrong", 0))).toBe(
      'operator "sorted" failed: it has no side output "lat"; declared: late, odd, unread (key group 88)',
    );
    expect(messageOf(() => built.heads[0]!("promise", 0))).toContain(
      'operator "sorted" failed: sideOutput "late" was given a promise',
    );
  });

  test("without a declaration there is nothing to emit to", () => {
    const { chain: built } = chainOf([
      process("plain", ofWord, { state: {}, onRecord: (word, { sideOutput }) => sideOutput("late", word) }),
    ]);
    expect(messageOf(() => built.heads[0]!("a", 0))).toBe(
      'operator "plain" failed: it has no side output "late"; none is declared (sideOutputs) (key group 26)',
    );
  });
});

describe("in a job's description", () => {
  const refused = (build: (job: JobBuilder) => void): string => {
    try {
      defineJob("job", {}, build);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      return (error as ConfigurationError).message;
    }
    throw new Error("nothing was refused");
  };
  const processed = (job: JobBuilder, sideOutputs: unknown = { late: type<string>() }) =>
    job
      .source("words", testSource<string>())
      .keyBy((word) => word)
      .process("sorted", { state: {}, sideOutputs: sideOutputs as never, onRecord: (word) => word });

  test.each<[string, (job: JobBuilder) => void, string]>([
    [
      "an unknown tag",
      (job) => void processed(job).sideOutput("latte" as never),
      'operator "sorted": no side output "latte"; did you mean "late"?',
    ],
    [
      "a tag that is no text",
      (job) => void processed(job).sideOutput(undefined as never),
      'operator "sorted": no side output undefined; known: late',
    ],
    [
      "a stream without side outputs",
      (job) =>
        void processed(job)
          .rebalance()
          .sideOutput("late" as never),
      'operator "sorted": has no side outputs, and sideOutput("late") asks for one',
    ],
    [
      "a side output that is taken and leads nowhere",
      (job) => {
        const stream = processed(job);
        stream.sideOutput("late" as never);
        stream.sink("out", testSink());
      },
      'side output "late" of operator "sorted" ends nowhere: an operator or a sink must follow',
    ],
    [
      "no object",
      (job) => void processed(job, ["late"]),
      'operator "sorted": sideOutputs must be an object like { late: type<Reading>() }, got an array',
    ],
    [
      "no witness",
      (job) => void processed(job, { late: true }),
      'operator "sorted": side output "late" must be made by type<…>(), got true',
    ],
    [
      "a tag that is no name",
      (job) => void processed(job, { "to late": type<string>() }),
      'operator "sorted": side output "to late": may contain letters A to Z, digits, underscore and dash, and must not begin with a dash',
    ],
  ])("%s is refused", (_, build, message) => {
    expect(refused(build)).toBe(message);
  });

  test("the main output may be left unread when a side output is read", () => {
    defineJob("job", {}, (job) =>
      processed(job)
        .sideOutput("late" as never)
        .sink("out", testSink()),
    );
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;

  afterEach(() => world.close());

  test("main and side outputs are exact, with a worker lost on the way", async () => {
    const side = new MemorySinkTarget<string>();
    const main = new MemorySinkTarget<Count>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 2000,
      build(builder, world) {
        const counted = builder
          .source("log", world.paced(memorySource(world.logs, { until: "end" })))
          .keyBy((word) => word)
          .process("sorted", {
            state: {},
            sideOutputs: { even: type<string>() },
            onRecord(word, { sideOutput }) {
              if (word.length % 2 === 0) return sideOutput("even", word);
              return { word, count: 1 };
            },
          });
        counted.sink("main", memorySink(main));
        counted.sideOutput("even").rebalance().sink("side", memorySink(side));
      },
    });
    const first = await world.begins(10_000);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    const written = world.logs.flatMap((log) => Array.from({ length: log.length }, (_, i) => log.at(i)!));
    const isEven = (word: string) => word.length % 2 === 0;
    expect([...side.committed].sort()).toEqual(written.filter(isEven).sort());
    expect(main.committed.map(({ word }) => word).sort()).toEqual(
      written.filter((word) => !isEven(word)).sort(),
    );
    expect(side.committed.length).toBeGreaterThan(0);
    expect(main.committed.length).toBeGreaterThan(0);
  });
});
