/** Loops as their authors write them: types, what is refused, and what graph, plan and fingerprints know of them. */

import { describe, expect, expectTypeOf, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import type { JobOptions } from "../../src/config/options.ts";
import { ConfigurationError } from "../../src/errors.ts";
import { defineJob, type JobBuilder } from "../../src/job/builder.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import { codeFingerprint, graphFingerprint, planDifferences } from "../../src/job/fingerprint.ts";
import { buildGraph, checkIterations } from "../../src/job/graph.ts";
import { describePlan, planOf, promisesOf } from "../../src/job/plan.ts";
import type { Iteration, Stream } from "../../src/job/stream.ts";
import { valueState } from "../../src/state/descriptor.ts";
import { testSink, testSource } from "./connectors.ts";

type Build = (job: JobBuilder) => void;

const numbers = (job: JobBuilder) => job.source("numbers", testSource<number>());

/** The loop alone, its output read. */
const loopOf =
  (step: (loop: Stream<number>, job: JobBuilder) => Iteration<number, unknown>): Build =>
  (job) =>
    numbers(job)
      .iterate("loop", (loop) => step(loop, job))
      .sink("out", testSink());

const half = (loop: Stream<number>) => loop.map("half", (n) => n / 2);

const halving = loopOf((loop) => {
  const halved = half(loop);
  return {
    feedback: halved.filter("more", (n) => n > 1).keyBy((n) => n),
    output: halved.filter("done", (n) => n <= 1),
  };
});

function refusalOf(build: Build, options: JobOptions = {}): ConfigurationError {
  try {
    const job = defineJob("job", options, build);
    const { config } = resolveJobConfig(options);
    buildGraph(job, config);
    checkIterations(job, config);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return error as ConfigurationError;
  }
  throw new Error("nothing was refused");
}

const graphOf = (build: Build, options: JobOptions = {}) =>
  buildGraph(defineJob("job", options, build), resolveJobConfig(options).config);

test("types: what comes back has the loop's type, what leaves it any", () => {
  defineJob("types", {}, (job) => {
    const source = numbers(job);
    const texts = source.iterate("loop", (loop) => {
      expectTypeOf(loop).toEqualTypeOf<Stream<number>>();
      const text = loop.map("text", (n) => `${n}`);
      return { feedback: text.map("number", Number), output: text };
    });
    expectTypeOf(texts).toEqualTypeOf<Stream<string>>();
    texts.sink("out", testSink());
    // @ts-expect-error texts do not go back into a loop of numbers
    const mixed: Iteration<number, string>["feedback"] = texts;
    expect(mixed).toBe(texts);
  });
});

describe("the graph", () => {
  test("a loop begins a vertex, and an edge leads back to it", () => {
    const { vertices, edges } = graphOf(halving, { parallelism: 2 });
    expect(vertices.map(({ id, operators }) => [id, operators.map(({ operator }) => operator.id)])).toEqual([
      ["numbers", ["numbers"]],
      ["loop", ["loop", "half", "more", "done", "out"]],
    ]);
    expect(edges).toEqual([
      { id: "numbers-loop", from: "numbers", to: "loop", port: 0, partitioner: { kind: "forward" } },
      {
        id: "more-loop",
        from: "loop",
        to: "loop",
        port: 0,
        partitioner: expect.objectContaining({ kind: "hash" }),
        feedback: true,
        loop: "loop",
      },
    ]);
  });

  test("edges on a way round are the loop's, those that lead in or out are not", () => {
    const { edges } = graphOf((job) => {
      const aside = job.source("aside", testSource<number>());
      const output = numbers(job).iterate("loop", (loop) => {
        const a = loop.rebalance().map("a", (n) => n);
        const b = a.union(aside).map("b", (n) => n);
        return { feedback: b.union(a.rebalance()), output: a.rebalance().map("c", (n) => n) };
      });
      output.iterate("next", (loop) => ({ feedback: half(loop), output: loop })).sink("out", testSink());
    });
    expect(edges.map(({ id, loop, feedback }) => [id, loop, feedback])).toEqual([
      ["numbers-loop", undefined, undefined],
      ["loop-a", "loop", undefined],
      ["a-b", "loop", undefined],
      ["aside-b", undefined, undefined],
      ["a-c", undefined, undefined],
      ["c-next", undefined, undefined],
      ["b-loop", "loop", true],
      ["a-loop", "loop", true],
      ["half-next", "next", true],
    ]);
  });

  test("plan and fingerprints know what is fed back", () => {
    const plan = planOf(graphOf(halving));
    const loop = plan.vertices.flatMap(({ operators }) => operators).find(({ id }) => id === "loop");
    expect(loop).toEqual({ id: "loop", kind: "iterate", inputs: [{ from: "numbers" }], feedback: ["more"] });
    const otherwise = loopOf((body) => {
      const halved = half(body);
      const more = halved.filter("more", (n) => n > 1);
      return { feedback: halved, output: more.union(halved.filter("done", (n) => n <= 1)) };
    });
    const other = planOf(graphOf(otherwise));
    expect(graphFingerprint(other)).not.toBe(graphFingerprint(plan));
    expect(planDifferences(plan, other)).toContain('operator "loop": feedback was more, is half');
    const code = (keyed: boolean) => {
      const feedback = (body: Stream<number>) => (keyed ? half(body).keyBy((n) => n) : half(body));
      const loop = defineJob("job", {}, (job) =>
        numbers(job)
          .iterate("loop", (body) => ({ feedback: feedback(body), output: body }))
          .sink("out", testSink()),
      );
      return codeFingerprint(loop, NO_PROJECT);
    };
    expect(code(true)).not.toBe(code(false));
  });

  test("printed, with what becomes of records on their way back", () => {
    const print = (iterations: "force" | "exact") => {
      const { config } = resolveJobConfig({ parallelism: 2, checkpointing: { interval: "1s", iterations } });
      return describePlan(planOf(graphOf(halving, { parallelism: 2 })), config);
    };
    expect(`\n${print("exact")}\n`).toBe(`
2 vertices, 4 subtasks, 128 key groups

numbers (2 subtasks)
  numbers   source (test, bounded)

loop (2 subtasks)
  loop   iterate (fed back by more)   <- numbers
  half   map                          <- loop
  more   filter                       <- half
  done   filter                       <- half
  out    sink (test, at-least-once)   <- done

edges
  numbers-loop   numbers -> loop   forward
  more-loop      loop -> loop      hash, feedback

guarantees
  out   at-least-once: the test sink may write a record again after a failure

checkpoints every 1 s

feedback
  more-loop   its records are stored with each checkpoint
`);
    const { config } = resolveJobConfig({ checkpointing: { unaligned: true, iterations: "exact" } });
    expect(describePlan(planOf(graphOf(halving)), config)).toContain(
      "more-loop      hash, feedback   barriers may overtake records",
    );
    expect(print("force")).toContain("more-loop   its records are lost in a failure");
  });

  test("force lowers the guarantee of the sinks behind the loop, of no other", () => {
    const plan = planOf(
      graphOf((job) => {
        const source = numbers(job);
        source.sink("before", testSink({ guarantee: "exactly-once" }));
        source
          .iterate("loop", (loop) => ({ feedback: half(loop), output: loop }))
          .sink("behind", testSink({ guarantee: "exactly-once" }));
      }),
    );
    const guarantees = (iterations: "force" | "exact") =>
      promisesOf(plan, "exactly-once", iterations).map(({ sink, guarantee }) => [sink, guarantee]);
    expect(guarantees("exact").sort()).toEqual([
      ["before", "exactly-once"],
      ["behind", "exactly-once"],
    ]);
    expect(guarantees("force").sort()).toEqual([
      ["before", "exactly-once"],
      ["behind", "at-most-once"],
    ]);
  });
});

describe("refused", () => {
  const streamOfAnotherJob = (): Stream<number> => {
    let stream: Stream<number> | undefined;
    defineJob("other", {}, (job) => {
      stream = numbers(job);
      stream.sink("out", testSink());
    });
    return stream!;
  };
  const noStreams = /the function must answer \{ feedback, output \}, two streams of this job; /;

  test.each<[string, Build, string, RegExp]>([
    [
      "no feedback",
      loopOf((loop) => ({ output: half(loop) }) as Iteration<number, number>),
      "loop",
      new RegExp(`${noStreams.source}feedback is undefined`),
    ],
    [
      "no output",
      loopOf((loop) => ({ feedback: half(loop) }) as Iteration<number, number>),
      "loop",
      new RegExp(`${noStreams.source}output is undefined`),
    ],
    ["nothing", loopOf(() => undefined as unknown as Iteration<number, number>), "loop", noStreams],
    [
      "a stream of another job",
      loopOf((loop) => ({ feedback: streamOfAnotherJob(), output: half(loop) })),
      "loop",
      noStreams,
    ],
    [
      "an async function",
      loopOf((async () => {}) as unknown as () => Iteration<number, number>),
      "loop",
      /must not be async/,
    ],
    [
      "the loop itself",
      loopOf((loop) => ({ feedback: loop, output: half(loop) })),
      "loop",
      /the feedback is the loop itself/,
    ],
    [
      "feedback from elsewhere",
      loopOf((loop, job) => ({ feedback: job.source("aside", testSource<number>()), output: half(loop) })),
      "loop",
      /the feedback comes from operator "aside", which gets no record from this loop/,
    ],
    [
      "feedback that is partly from elsewhere",
      loopOf((loop, job) => {
        const halved = half(loop);
        return { feedback: halved.union(job.source("aside", testSource<number>())), output: halved };
      }),
      "loop",
      /the feedback comes from operator "aside"/,
    ],
    [
      "a loop in a loop",
      loopOf((loop) => {
        const inner = loop.iterate("inner", (again) => ({ feedback: half(again), output: again }));
        return { feedback: inner, output: inner };
      }),
      "inner",
      /loops cannot be nested, and loop "loop" is not closed yet/,
    ],
    [
      "a keyed output",
      loopOf((loop) => {
        const halved = half(loop);
        const output = halved.keyBy((n) => n) as unknown as Stream<number>;
        return { feedback: halved, output };
      }),
      "loop",
      /output must be a stream, not one that keyBy gave/,
    ],
    [
      "an operator with onEnd on the way round",
      loopOf((loop) => {
        const last = loop
          .keyBy((n) => n)
          .process("last", {
            state: { n: valueState(0) },
            onRecord: (n) => n / 2,
            onEnd: ({ state }) => state.n.get(),
          });
        return { feedback: last.filter("more", (n) => n > 1), output: last };
      }),
      "last",
      /operator "last": emits at the end of input .* and lies inside loop "loop"/,
    ],
    [
      "an operator with timers on the way round",
      loopOf((loop) => {
        const last = loop
          .keyBy((n) => n)
          .process("last", { state: {}, onRecord: (n) => n / 2, onTimer: ({ time }) => time });
        return { feedback: last.filter("more", (n) => n > 1), output: last };
      }),
      "last",
      /operator "last": emits at the end of input .* and lies inside loop "loop"/,
    ],
    [
      "an id that is taken",
      (job) => {
        numbers(job)
          .iterate("numbers", (loop) => ({ feedback: half(loop), output: loop }))
          .sink("out", testSink());
      },
      "numbers",
      /used twice/,
    ],
    [
      "an output that no operator reads",
      (job) => {
        const source = numbers(job);
        source.sink("out", testSink());
        source.iterate("loop", (loop) => ({
          feedback: half(loop),
          output: loop.filter("big", (n) => n > 9),
        }));
      },
      "big",
      /ends nowhere/,
    ],
    [
      "a limit that is none",
      (job) => {
        numbers(job)
          .iterate("loop", (loop) => ({ feedback: half(loop), output: loop }), { waitingMax: 0 })
          .sink("out", testSink());
      },
      "loop",
      /waitingMax must be a whole number of at least 1, got 0/,
    ],
    [
      "rescale to another parallelism",
      loopOf((loop) => {
        const halved = loop.rescale().map("half", (n) => n / 2, { parallelism: 3 });
        return { feedback: halved.rebalance(), output: halved };
      }),
      "half",
      /"half": takes records by rescale from 1 subtasks in 3, inside loop "loop".*use rebalance/,
    ],
    [
      "another parallelism on a forward way back",
      loopOf((loop) => {
        const halved = loop.map("half", (n) => n / 2, { parallelism: 3 });
        return { feedback: halved, output: halved };
      }),
      "loop",
      /has parallelism 1, and its feedback comes from operator "half" with parallelism 3/,
    ],
  ])("%s", (_, build, key, message) => {
    const refusal = refusalOf(build);
    expect(refusal.key).toBe(key);
    expect(refusal.message).toMatch(message);
  });

  test("not: onEnd behind the loop's output, another parallelism by key", () => {
    const build = loopOf((loop) => {
      const halved = loop.map("half", (n) => n / 2, { parallelism: 3 });
      const output = halved
        .keyBy((n) => n)
        .process("last", { state: { n: valueState(0) }, onRecord() {}, onEnd: ({ state }) => state.n.get() });
      return { feedback: halved.rebalance(), output };
    });
    expect(graphOf(build, { parallelism: 2 }).edges.at(-1)).toMatchObject({ feedback: true });
  });

  test.each<[string, JobOptions["checkpointing"], string, RegExp]>([
    [
      "checkpoints, unless something is said about loops",
      { interval: "1s" },
      "checkpointing.iterations",
      /is "refuse", and operator "loop" makes a loop.*Set it to "exact".*"force"/,
    ],
    [
      "at-least-once checkpoints that should hold what is on its way back",
      { interval: "1s", iterations: "exact", mode: "at-least-once" },
      "checkpointing.mode",
      /is "at-least-once".*Use "exactly-once", or set checkpointing.iterations to "force"/,
    ],
    [
      "several of them at a time",
      { interval: "1s", iterations: "exact", maxConcurrent: 2 },
      "checkpointing.maxConcurrent",
      /2 checkpoints at a time, but .* loop "loop" are stored for one at a time/,
    ],
  ])("%s", (_, checkpointing, key, message) => {
    const refusal = refusalOf(halving, { checkpointing });
    expect(refusal.key).toBe(key);
    expect(refusal.message).toMatch(message);
  });

  test.each<JobOptions["checkpointing"]>([
    {},
    { interval: "1s", iterations: "exact" },
    { interval: "1s", iterations: "exact", unaligned: true },
    { interval: "1s", iterations: "force", mode: "at-least-once" },
    { interval: "1s", iterations: "force", maxConcurrent: 2 },
  ])("not: %j", (checkpointing) => {
    expect(() => refusalOf(halving, { checkpointing })).toThrow("nothing was refused");
  });
});
