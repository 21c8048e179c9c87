import { describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import type { JobOptions } from "../../src/config/options.ts";
import type { JobGraph } from "../../src/dataflow/graph.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { defineJob, type JobBuilder } from "../../src/job/builder.ts";
import { buildGraph } from "../../src/job/graph.ts";
import type { Job } from "../../src/job/job.ts";
import { testSink, testSource } from "./connectors.ts";

function graphOf(options: JobOptions, build: (job: JobBuilder) => void): JobGraph {
  return buildGraph(defineJob("job", options, build), resolveJobConfig(options).config);
}

/** `vertex xN: operator>next,next|edge,edge ...` and `edge: from -> to, partitioner` */
function text(graph: JobGraph): string[] {
  return [
    ...graph.vertices.map(({ id, parallelism, operators }) => {
      const chained = operators.map(({ operator, outputs }) => {
        const next = outputs.flatMap((output) => output.next.map((input) => input.operator));
        return `${operator.id}>${next.join(",")}|${outputs.flatMap(({ edges }) => edges).join(",")}`;
      });
      return `${id} x${parallelism}: ${chained.join(" ")}`;
    }),
    ...graph.edges.map(({ id, from, to, partitioner }) => `${id}: ${from} -> ${to}, ${partitioner.kind}`),
  ];
}

const wordCount = (job: JobBuilder) =>
  job
    .source("lines", testSource<string>())
    .flatMap("words", (line) => line.split(" "))
    .keyBy((word) => word)
    .reduce("count", (a) => a)
    .sink("counts", testSink());

describe("chaining", () => {
  test("what needs no exchange is one vertex; a key begins another", () => {
    expect(text(graphOf({ parallelism: 2 }, wordCount))).toEqual([
      "lines x2: lines>1| words>|words-count",
      "count x2: count>1| counts>|",
      "words-count: lines -> count, hash",
    ]);
  });

  test("one subtask on both sides of a key needs no exchange", () => {
    const graph = graphOf({}, wordCount);
    expect(text(graph)).toEqual(["lines x1: lines>1| words>2| count>3| counts>|"]);
  });

  test("several readers are a tree inside the vertex, and get their own edges out of it", () => {
    const graph = graphOf({ parallelism: 2 }, (job) => {
      const words = job.source("words", testSource<string>());
      const upper = words.map("upper", (word) => word.toUpperCase());
      upper.sink("all", testSink());
      upper
        .keyBy((word) => word)
        .reduce("count", (a) => a)
        .sink("counts", testSink());
      words.filter("long", (word) => word.length > 3).sink("long-words", testSink());
      words
        .keyBy((word) => word.length)
        .reduce("lengths", (a) => a)
        .sink("by-length", testSink());
    });
    expect(text(graph)).toEqual([
      "words x2: words>1,3|words-lengths upper>2|upper-count all>| long>4| long-words>|",
      "count x2: count>1| counts>|",
      "lengths x2: lengths>1| by-length>|",
      "upper-count: words -> count, hash",
      "words-lengths: words -> lengths, hash",
    ]);
  });

  test("every operator that reads a union begins a vertex, with an edge for each stream", () => {
    const graph = graphOf({}, (job) => {
      const a = job.source("a", testSource<string>());
      const b = job.source("b", testSource<string>());
      const both = a.map("upper", (word) => word.toUpperCase()).union(b);
      both.sink("out", testSink());
      both.map("length", (word) => word.length).sink("lengths", testSink());
    });
    expect(text(graph)).toEqual([
      "a x1: a>1| upper>|upper-out,upper-length",
      "b x1: b>|b-out,b-length",
      "out x1: out>|",
      "length x1: length>1| lengths>|",
      "upper-out: a -> out, forward",
      "b-out: b -> out, forward",
      "upper-length: a -> length, forward",
      "b-length: b -> length, forward",
    ]);
  });

  test("a diamond: two branches of one vertex meet in another by two edges", () => {
    const graph = graphOf({}, (job) => {
      const a = job.source("a", testSource<string>());
      a.map("left", (x) => x)
        .union(a.map("right", (x) => x))
        .sink("out", testSink());
    });
    expect(text(graph)).toEqual([
      "a x1: a>1,2| left>|left-out right>|right-out",
      "out x1: out>|",
      "left-out: a -> out, forward",
      "right-out: a -> out, forward",
    ]);
  });

  test("a parallelism of its own ends the chain, and forward becomes rebalance", () => {
    const graph = graphOf({ parallelism: 2 }, (job) => {
      job
        .source("a", testSource<string>(), { parallelism: 1 })
        .map("b", (x) => x)
        .map("c", (x) => x)
        .sink("d", testSink(), { parallelism: 1 });
    });
    expect(text(graph)).toEqual([
      "a x1: a>|a-b",
      "b x2: b>1| c>|c-d",
      "d x1: d>|",
      "a-b: a -> b, rebalance",
      "c-d: b -> d, rebalance",
    ]);
  });

  test("rebalance always gives the next operator subtasks of its own", () => {
    const graph = graphOf({}, (job) => {
      job.source("a", testSource<string>()).rebalance().sink("b", testSink());
    });
    expect(text(graph)).toEqual(["a x1: a>|a-b", "b x1: b>|", "a-b: a -> b, rebalance"]);
  });

  test("rescale does so, too, and leaves the parallelism of both sides", () => {
    const graph = graphOf({}, (job) => {
      job
        .source("a", testSource<string>(), { parallelism: 2 })
        .rescale()
        .sink("b", testSink(), { parallelism: 6 });
    });
    expect(text(graph)).toEqual(["a x2: a>|a-b", "b x6: b>|", "a-b: a -> b, rescale"]);
  });

  test("edges whose names read alike are told apart", () => {
    const graph = graphOf({ parallelism: 2 }, (job) => {
      job.source("a-b", testSource<string>()).rebalance().sink("c", testSink());
      job.source("a", testSource<string>()).rebalance().sink("b-c", testSink());
    });
    expect(graph.edges.map(({ id, from, to }) => [id, from, to])).toEqual([
      ["a-b-c", "a-b", "c"],
      ["a-b-c-2", "a", "b-c"],
    ]);
  });

  test("the same job gives the same graph", () => {
    expect(text(graphOf({ parallelism: 3 }, wordCount))).toEqual(
      text(graphOf({ parallelism: 3 }, wordCount)),
    );
  });
});

describe("job and configuration together", () => {
  const job = (about: { bounded: boolean; guarantee: "exactly-once" | "at-least-once" }) =>
    defineJob("job", {}, (job) => {
      job
        .source("lines", testSource<string>({ bounded: about.bounded }))
        .sink("out", testSink({ guarantee: about.guarantee }), { parallelism: 4 });
    });

  test("an exactly-once sink in an unbounded job needs an interval (P19)", () => {
    const unbounded = job({ bounded: false, guarantee: "exactly-once" });
    expect(() => buildGraph(unbounded, resolveJobConfig({}).config)).toThrow(
      expect.objectContaining({
        constructor: ConfigurationError,
        key: "checkpointing.interval",
        message: expect.stringMatching(/is off, but sink "out" is exactly-once .* source "lines" never ends/),
      }),
    );
    buildGraph(unbounded, resolveJobConfig({}, { flags: { "checkpointing.interval": "1s" } }).config);
  });

  test("one whose checkpoints end with its first source needs them to go on (P19)", () => {
    const mixed = (guarantee: "exactly-once" | "at-least-once", second: boolean) =>
      defineJob("job", {}, (builder) => {
        const first = builder.source("short", testSource<string>({ bounded: true }));
        first
          .union(builder.source("long", testSource<string>({ bounded: second })))
          .sink("out", testSink({ guarantee }));
      });
    const flags = { "checkpointing.interval": "1s", "checkpointing.afterTasksFinish": false };
    const build = (built: Job, some: Record<string, unknown> = flags) =>
      buildGraph(built, resolveJobConfig({}, { flags: some }).config);
    expect(() => build(mixed("exactly-once", false))).toThrow(
      expect.objectContaining({
        constructor: ConfigurationError,
        key: "checkpointing.afterTasksFinish",
        message: expect.stringMatching(
          /source "short" ends, source "long" never does, and sink "out" is exactly-once/,
        ),
      }),
    );
    build(mixed("exactly-once", false), { "checkpointing.interval": "1s" });
    build(mixed("exactly-once", true));
    build(mixed("at-least-once", false));
  });

  test("with a bounded source the final checkpoint commits, and at-least-once sinks do not wait for one", () => {
    buildGraph(job({ bounded: true, guarantee: "exactly-once" }), resolveJobConfig({}).config);
    buildGraph(job({ bounded: false, guarantee: "at-least-once" }), resolveJobConfig({}).config);
  });

  test("an operator's parallelism is limited by maxParallelism", () => {
    const bounded = job({ bounded: true, guarantee: "exactly-once" });
    expect(() => buildGraph(bounded, resolveJobConfig({ maxParallelism: 3 }).config)).toThrow(
      'operator "out": parallelism 4 is above the job\'s maxParallelism 3',
    );
  });
});
