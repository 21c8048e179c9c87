import { describe, expect, expectTypeOf, test } from "vitest";
import { regionsOf } from "../../machines/leader/regions.ts";
import type * as protocol from "../../machines/protocol.ts";
import { type JobConfig, resolveJobConfig } from "../../src/config/job-config.ts";
import type { JobOptions } from "../../src/config/options.ts";
import type { SinkGuarantee } from "../../src/dataflow/sink.ts";
import { defineJob, type JobBuilder } from "../../src/job/builder.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import { codeFingerprint, graphFingerprint, planDifferences } from "../../src/job/fingerprint.ts";
import { buildGraph } from "../../src/job/graph.ts";
import { describePlan, type GraphPlan, planOf, promisesOf } from "../../src/job/plan.ts";
import { repeatedByRestart } from "../../src/job/repeats.ts";
import { listState, valueState } from "../../src/state/descriptor.ts";
import { testSink, testSource } from "./connectors.ts";

function planFrom(options: JobOptions, build: (job: JobBuilder) => void): GraphPlan {
  return planOf(buildGraph(defineJob("job", options, build), resolveJobConfig(options).config));
}

const counting = (job: JobBuilder) =>
  job
    .source("lines", testSource<string>({ bounded: false }))
    .flatMap("words", (line) => line.split(" "))
    .keyBy((word) => word)
    .process("count", { state: { count: valueState(0) }, onRecord: (word) => word })
    .sink("counts", testSink({ guarantee: "exactly-once" }));

const everySecond: JobOptions = { parallelism: 2, checkpointing: { interval: "1s" } };

describe("plan", () => {
  test("is the graph as plain data", () => {
    const plan = planFrom(everySecond, counting);
    expect(plan).toEqual({
      vertices: [
        {
          id: "lines",
          parallelism: 2,
          operators: [
            { id: "lines", kind: "source", inputs: [], connector: "test", bounded: false, replayable: true },
            { id: "words", kind: "flatMap", inputs: [{ from: "lines" }] },
          ],
        },
        {
          id: "count",
          parallelism: 2,
          operators: [
            { id: "count", kind: "process", inputs: [{ from: "words" }], states: ["count"] },
            {
              id: "counts",
              kind: "sink",
              inputs: [{ from: "count" }],
              connector: "test",
              guarantee: "exactly-once",
              transactional: true,
            },
          ],
        },
      ],
      edges: [{ id: "words-count", from: "lines", to: "count", partitioner: "hash" }],
      maxParallelism: 128,
    });
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  test("says which parts start again alone", () => {
    const copies = planFrom({ ...everySecond, parallelism: 3 }, (job) =>
      job
        .source("in", testSource<string>({ bounded: false }))
        .sink("out", testSink({ guarantee: "exactly-once" })),
    );
    expect(describePlan(copies, undefined, regionsOf(copies))).toMatch(
      /3 regions: each fails and starts again alone\n\s+in\/0\s*\n\s+in\/1\s*\n\s+in\/2/,
    );
    const counts = planFrom(everySecond, counting);
    expect(describePlan(counts, undefined, regionsOf(counts))).not.toMatch("region");
  });

  test("names timers among the states, where an operator may have some", () => {
    const planWith = (timers: object) =>
      planFrom({}, (job) =>
        job
          .source("a", testSource<string>())
          .keyBy((word) => word)
          .process("late", { state: { seen: valueState(0) }, onRecord() {}, ...timers })
          .sink("out", testSink()),
      );
    const statesOf = ({ vertices }: GraphPlan) =>
      vertices.flatMap(({ operators }) => operators).find(({ id }) => id === "late")!.states;
    expect(statesOf(planWith({}))).toEqual(["seen"]);
    const timers = planWith({ onTimer() {} });
    expect([...(statesOf(timers) ?? [])].sort()).toEqual(["event timers", "processing timers", "seen"]);
  });

  test("names every input of a union", () => {
    const plan = planFrom({}, (job) => {
      const a = job.source("a", testSource<string>());
      a.union(
        job.source("b", testSource<string>()),
        a.map("c", (x) => x),
      ).sink("out", testSink());
    });
    expect(plan.vertices.at(-1)!.operators[0]!.inputs.map(({ from }) => from)).toEqual(["a", "c", "b"]);
  });
});

test("is what the coordinator's machines take", () => {
  expectTypeOf<GraphPlan>().toExtend<protocol.GraphPlan>();
  expectTypeOf<JobConfig["checkpointing"]>().toExtend<protocol.CheckpointingConfig>();
  expectTypeOf<JobConfig["restart"]>().toExtend<protocol.RestartStrategy>();
});

describe("guarantees", () => {
  const promise = (replayable: boolean, guarantee: SinkGuarantee) =>
    promisesOf(
      planFrom({}, (job) => {
        job.source("in", testSource({ replayable })).sink("out", testSink({ guarantee }));
      }),
    )[0]!;

  test("are the sink's own, lowered by the source", () => {
    expect(promise(true, "exactly-once")).toEqual({ sink: "out", guarantee: "exactly-once", because: "" });
    expect(promise(true, "at-least-once").guarantee).toBe("at-least-once");
    expect(promise(false, "exactly-once")).toEqual({
      sink: "out",
      guarantee: "at-most-once",
      because:
        'source "in" (test) cannot replay: what was read since the last completed checkpoint is lost in a failure',
    });
    expect(promise(false, "at-least-once").guarantee).toBe("none");
    expect(promise(true, "none").guarantee).toBe("none");
  });

  test("are lowered by the mode of checkpointing", () => {
    const plan = planFrom({}, (job) => {
      job.source("in", testSource()).sink("out", testSink({ guarantee: "exactly-once" }));
    });
    expect(promisesOf(plan, "at-least-once")).toEqual([
      {
        sink: "out",
        guarantee: "at-least-once",
        because:
          'with checkpointing.mode "at-least-once" a record may count again after a failure where several inputs meet',
      },
    ]);
  });

  test("are each sink's own matter", () => {
    const promises = promisesOf(
      planFrom({}, (job) => {
        const safe = job.source("safe", testSource<string>());
        const lossy = job.source("lossy", testSource<string>({ replayable: false }));
        safe.sink("a", testSink({ guarantee: "exactly-once" }));
        safe.union(lossy).sink("b", testSink({ guarantee: "exactly-once" }));
      }),
    );
    expect(promises.map(({ sink, guarantee }) => [sink, guarantee])).toEqual([
      ["a", "exactly-once"],
      ["b", "at-most-once"],
    ]);
  });
});

describe("printed", () => {
  test("a keyed job", () => {
    expect(
      `\n${describePlan(planFrom(everySecond, counting), resolveJobConfig(everySecond).config)}\n`,
    ).toBe(`
2 vertices, 4 subtasks, 128 key groups

lines (2 subtasks)
  lines   source (test, unbounded)
  words   flatMap                    <- lines

count (2 subtasks)
  count    process (state count)       <- words
  counts   sink (test, exactly-once)   <- count

edges
  words-count   lines -> count   hash

guarantees
  counts   exactly-once

state that stays
  count   count   no time to live, and no timers: keys that do not come again keep it until it is cleared

checkpoints every 1 s
`);
  });

  test("a job with unaligned checkpoints: where its barriers may overtake records", () => {
    const { config } = resolveJobConfig(everySecond);
    const unaligned = { ...config, checkpointing: { ...config.checkpointing, unaligned: true } };
    const plan = planFrom(everySecond, counting);
    const aligned = describePlan(plan, config);
    expect(describePlan(plan, unaligned)).toBe(`${aligned}, unaligned

unaligned checkpoints
  words-count   hash   barriers may overtake records`);
  });

  test("says plainly what is not guaranteed", () => {
    const plan = planFrom({}, (job) => {
      job.source("ticks", testSource({ kind: "clock", replayable: false })).sink("out", testSink());
    });
    expect(`\n${describePlan(plan, resolveJobConfig({}).config)}\n`).toBe(`
1 vertex, 1 subtask, 128 key groups

ticks (1 subtask)
  ticks   source (clock, bounded, cannot replay)
  out     sink (test, at-least-once)               <- ticks

guarantees
  out   none: the test sink may write a record again after a failure, and source "ticks" (clock) cannot replay: what was read since the last completed checkpoint is lost in a failure

checkpoints off: after a failure the job begins again at its start: that will write everything again to sink "out" and lose what source "ticks" has given and cannot replay; one is taken at its end
`);
  });

  test("says what becomes of a job without checkpoints", () => {
    const last = (sink: "exactly-once" | "at-least-once", strategy?: "none" | "fixed-delay") => {
      const job = defineJob("j", {}, (draft) => {
        draft.source("in", testSource()).sink("out", testSink({ guarantee: sink }));
        draft.source("more", testSource()).sink("kept", testSink({ guarantee: "exactly-once" }));
      });
      const flags = strategy === undefined ? {} : { "restart.strategy": strategy };
      const { config } = resolveJobConfig({}, { flags }, { repeats: repeatedByRestart(job) });
      return describePlan(planOf(buildGraph(job, config)), config)
        .split("\n")
        .at(-1);
    };
    const mend =
      "one is taken at its end. Set checkpointing.interval to go on after failures, or restart.strategy to begin again at the start";
    expect(last("at-least-once")).toBe(
      `checkpoints off: the first failure ends the job, since a restart would write everything again to sink "out"; ${mend}`,
    );
    expect(last("at-least-once", "fixed-delay")).toBe(
      'checkpoints off: after a failure the job begins again at its start: that will write everything again to sink "out"; one is taken at its end',
    );
    expect(last("exactly-once")).toBe(
      "checkpoints off: after a failure the job begins again at its start; one is taken at its end",
    );
    expect(last("exactly-once", "none")).toBe(`checkpoints off: the first failure ends the job; ${mend}`);
  });
});

describe("graph fingerprint", () => {
  const original = planFrom(everySecond, counting);
  const changed = (build: (job: JobBuilder) => void, options = everySecond) => planFrom(options, build);

  test("outlives what may change over a resume: parallelism, chaining, order of writing, functions", () => {
    expect(graphFingerprint(original)).toMatch(/^sha256:[0-9a-f]{64}$/);
    for (const parallelism of [1, 3]) {
      const rescaled = changed(counting, { ...everySecond, parallelism });
      expect(graphFingerprint(rescaled)).toBe(graphFingerprint(original));
      expect(planDifferences(original, rescaled)).toEqual([]);
    }
  });

  test.each<[string, GraphPlan, string[]]>([
    [
      "another state",
      changed((job) =>
        job
          .source("lines", testSource<string>({ bounded: false }))
          .flatMap("words", (line) => line.split(" "))
          .keyBy((word) => word)
          .process("count", { state: { total: valueState(0) }, onRecord: (word) => word })
          .sink("counts", testSink({ guarantee: "exactly-once" })),
      ),
      ['operator "count": state was count, is total'],
    ],
    [
      "another kind of state",
      changed((job) =>
        job
          .source("lines", testSource<string>({ bounded: false }))
          .flatMap("words", (line) => line.split(" "))
          .keyBy((word) => word)
          .process("count", { state: { count: listState<number>() }, onRecord: (word) => word })
          .sink("counts", testSink({ guarantee: "exactly-once" })),
      ),
      ['operator "count": state was count, is count (list)'],
    ],
    [
      "another operator and another way",
      changed((job) =>
        job
          .source("lines", testSource<string>({ bounded: false, kind: "file" }))
          .map("words", (line) => line)
          .filter("long", (line) => line.length > 3)
          .keyBy((word) => word)
          .process("count", { state: { count: valueState(0) }, onRecord: (word) => word })
          .sink("out", testSink({ guarantee: "exactly-once" })),
      ),
      [
        'operator "lines": kind was test source, is file source',
        'operator "words": kind was flatMap, is map',
        'operator "count": input was words, is long',
        'operator "counts" (sink) is gone',
        'operator "long" (filter) is new',
        'operator "out" (sink) is new',
      ],
    ],
    [
      "key groups",
      changed(counting, { ...everySecond, maxParallelism: 64 }),
      ["maxParallelism was 128, is 64"],
    ],
    [
      "a sink that no longer commits",
      changed((job) =>
        job
          .source("lines", testSource<string>({ bounded: false }))
          .flatMap("words", (line) => line.split(" "))
          .keyBy((word) => word)
          .process("count", { state: { count: valueState(0) }, onRecord: (word) => word })
          .sink("counts", testSink({ guarantee: "at-least-once" })),
      ),
      ['operator "counts": guarantee was exactly-once, is at-least-once'],
    ],
  ])("tells %s", (_, plan, differences) => {
    expect(graphFingerprint(plan)).not.toBe(graphFingerprint(original));
    expect(planDifferences(original, plan)).toEqual(differences);
  });
});

describe("code fingerprint", () => {
  const of = (options: JobOptions, build: (job: JobBuilder) => void, code = NO_PROJECT) =>
    codeFingerprint(defineJob("job", options, build), code);
  const simple = (id = "m", sink = testSink<string>()) =>
    of({}, (job) => {
      job
        .source("in", testSource<string>())
        .map(id, (x) => x)
        .sink("out", sink);
    });

  test("is the same for the same job, in whatever order options are written", () => {
    expect(of(everySecond, counting)).toBe(
      of({ checkpointing: { interval: "1s" }, parallelism: 2 }, counting),
    );
    expect(of(everySecond, counting)).toMatch(/^sha256:[0-9a-f]{64}$/);
  });

  test("differs with a file, a package, an option, an operator", () => {
    const file = { path: "job.ts", digest: "1" };
    const code = { files: [file], packages: ["lodash@1.0.0"] };
    const changed = [
      { ...code, files: [{ ...file, digest: "2" }] },
      { ...code, files: [{ ...file, path: "main.ts" }] },
      { ...code, packages: ["lodash@1.0.1"] },
    ].map((one) => of({}, counting, one));
    expect(new Set([of({}, counting), of({}, counting, code), ...changed]).size).toBe(5);
    expect(of({ parallelism: 2 }, counting)).not.toBe(of({ parallelism: 3 }, counting));
    expect(simple("m")).not.toBe(simple("n"));
  });

  test("leaves out functions: their text holds paths of the machine once it is compiled", () => {
    const at = (path: string) =>
      of({}, (job) => {
        const map = new Function("x", `return x + ${JSON.stringify(path)}`) as (x: string) => string;
        job.source("in", testSource<string>()).map("m", map).sink("out", testSink());
      });
    expect(at("file:///a/job.ts")).toBe(at("file:///b/job.ts"));
  });

  test("sees initial states", () => {
    const process = (initial: unknown) =>
      of({}, (job) => {
        job
          .source("in", testSource<string>())
          .keyBy((word) => word)
          .process("p", { state: { count: valueState(initial) }, onRecord: (word) => word })
          .sink("out", testSink());
      });
    expect(process(0)).toBe(process(0));
    expect(process(0)).not.toBe(process(1));
    expect(process(new Map([["a", 1n]]))).not.toBe(process(new Map([["a", 2n]])));
  });

  test("leaves out data of connectors: a start time may be computed when the file loads", () => {
    expect(simple("m", { ...testSink(), since: Date.now() } as never)).toBe(
      simple("m", { ...testSink(), since: 1 } as never),
    );
  });
});
