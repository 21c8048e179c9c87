/** A partitioner of the user's own: each record goes where it says, and an answer that is no subtask is refused. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { OutputChannel } from "../../../src/dataflow/channel/channel.ts";
import { createEdgeOutput } from "../../../src/dataflow/output.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { defineJob } from "../../../src/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

describe("an answer that is no subtask", () => {
  const channel = { recordsPerFrame: 10, hasRoom: () => true } as OutputChannel;
  test.each<[string, unknown, string]>([
    ["too large", 2, "2"],
    ["negative", -1, "-1"],
    ["no whole number", 0.5, "0.5"],
    ["NaN", Number.NaN, "NaN"],
    ["a text", "0", "a text of 1 character"],
    ["nothing", undefined, "undefined"],
    ["a promise", Promise.resolve(0), "a promise"],
  ])("%s is refused by the name of the operator behind it", (_, answer, said) => {
    const output = createEdgeOutput({
      partitioner: { kind: "custom", partition: () => answer as number },
      channels: [channel, channel],
      subtaskIndex: 0,
      maxParallelism: 128,
      receiver: "placed",
    });
    expect(String(failureOf(() => output.collect("a", 0)))).toContain(
      `operator "placed" failed: partitionCustom in front of it answered ${said}, and the number of one of its subtasks, 0 to 1, is needed`,
    );
  });
});

test("what is no function is refused", () => {
  const define = () =>
    defineJob("job", {}, (job) =>
      job
        .source("words", testSource<string>())
        .partitionCustom(1 as never)
        .sink("out", testSink()),
    );
  expect(define).toThrow(ConfigurationError);
  expect(define).toThrow('partitionCustom after "words": a function is needed, got 1');
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  afterEach(() => world.close());

  test("each record goes where it is sent, once, with a worker lost on the way", async () => {
    const target = new MemorySinkTarget<readonly [string, number]>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 2000,
      build: (builder, world) =>
        builder
          .source("log", world.paced(memorySource(world.logs, { until: "end" })))
          .partitionCustom((word, count) => Number(word.slice(1)) % count)
          .map("placed", {
            open: ({ subtaskIndex }) => subtaskIndex,
            map: (word, index) => [word, index] as const,
          })
          .sink("out", memorySink(target)),
    });
    const first = await world.begins(10_000);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    const written = world.logs.flatMap((log) => Array.from({ length: log.length }, (_, i) => log.at(i)!));
    expect(target.committed.map(([word]) => word).sort()).toEqual(written.sort());
    for (const [word, index] of target.committed) expect(index).toBe(Number(word.slice(1)) % 2);
  });
});
