/** UF1 and UF2: `open` and `close` around a user's function, and what becomes of those that fail or hang. */
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { Chain } from "../../../src/dataflow/chain.ts";
import { OperatorError } from "../../../src/errors.ts";
import { defineJob, type OpenContext, type Stream, valueState } from "../../../src/index.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf } from "../../support/graphs/chains.ts";
import { latch } from "../../support/latch.ts";
import { ManualClock, settled } from "../../support/manual-clock.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

/** The chain of the operators that `build` puts behind a source. */
function chainBehind(build: (stream: Stream<string>) => Stream<unknown>): ReturnType<typeof chainOf> {
  const job = defineJob("job", {}, (job) =>
    build(job.source("in", testSource<string>())).sink("out", testSink()),
  );
  return chainOf(job.operators.slice(1, -1).map(({ definition }) => definition));
}

const opening = (clock = new ManualClock(), signal = new AbortController().signal) => ({
  clock,
  signal,
  troubles: new Troubles(clock),
});

const refusal = async (work: Promise<unknown>): Promise<OperatorError> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(OperatorError);
  return error as OperatorError;
};

const log: string[] = [];
afterEach(() => {
  log.length = 0;
});

/** A client for each subtask, which notes what becomes of it. */
const client = {
  open: async ({ operator, subtaskIndex, parallelism }: OpenContext) => {
    log.push(`open ${operator} ${subtaskIndex}/${parallelism}`);
    return { name: `client of ${operator}` };
  },
  close: async ({ name }: { readonly name: string }) => void log.push(`close ${name}`),
};

describe("what open answers", () => {
  test("is given to the function of every kind, and to close", async () => {
    const { chain, out } = chainBehind((words) =>
      words
        .map("map", { ...client, map: (word, { name }) => `${word}, ${name}` })
        .filter("filter", { ...client, filter: (word, { name }) => word !== name })
        .flatMap("flatMap", { ...client, flatMap: (word, { name }) => [word, name] })
        .keyBy(() => "all")
        .reduce("reduce", { ...client, reduce: (all, word, { name }) => `${all} + ${word} by ${name}` })
        .keyBy(() => "all")
        .process("process", {
          ...client,
          state: { n: valueState(0) },
          onRecord: (word, { resource }) => `${word}; ${resource.name}`,
          onEnd: ({ resource }) => `end; ${resource.name}`,
        }),
    );
    expect(log).toEqual([]);
    await chain.open(opening());
    expect(log).toEqual([
      "open map 0/1",
      "open filter 0/1",
      "open flatMap 0/1",
      "open reduce 0/1",
      "open process 0/1",
    ]);
    chain.heads[0]!("a", 1);
    expect(out.out).toEqual([
      ["a, client of map; client of process", 1],
      ["a, client of map + client of flatMap by client of reduce; client of process", 1],
    ]);
    log.length = 0;
    await chain.close();
    expect(log.sort()).toEqual(
      ["filter", "flatMap", "map", "process", "reduce"].map((id) => `close client of ${id}`),
    );
  });

  test("a function by itself gets its value and nothing else", () => {
    const { chain, out } = chainBehind((words) => words.map("args", (...given: unknown[]) => given.length));
    chain.heads[0]!("a", 1);
    expect(out.out).toEqual([[1, 1]]);
  });

  test("the functions of a class find their this", async () => {
    class Shout {
      readonly mark = "!";
      open() {
        return this.mark;
      }
      map(word: string, mark: string) {
        return `${word}${mark}${this.mark}`;
      }
    }
    const { chain, out } = chainBehind((words) => words.map("shout", new Shout()));
    await chain.open(opening());
    chain.heads[0]!("a", 1);
    expect(out.out).toEqual([["a!!", 1]]);
  });
});

describe("a failure", () => {
  const broken = (functions: {
    readonly open?: () => unknown;
    readonly close?: () => void | Promise<void>;
  }): Chain => chainBehind((words) => words.map("geo", { map: (word) => word, ...functions })).chain;
  const boom = () => {
    throw new Error("no route to host");
  };

  test.each<[string, () => unknown]>([
    ["thrown", boom],
    ["rejected", async () => boom()],
  ])("of open (%s) names operator, function and subtask, and nothing is closed", async (_, open) => {
    let closed = 0;
    const chain = broken({ open, close: () => void closed++ });
    expect((await refusal(chain.open(opening()))).message).toBe(
      'operator "geo" failed: open of subtask 0: no route to host',
    );
    await chain.close();
    expect(closed).toBe(0);
  });

  test.each<[string, () => void | Promise<void>]>([
    ["thrown", boom],
    ["rejected", async () => boom()],
  ])("of close (%s) names operator, function and subtask", async (_, close) => {
    const chain = broken({ close });
    await chain.open(opening());
    expect((await refusal(chain.close())).message).toBe(
      'operator "geo" failed: close of subtask 0: no route to host',
    );
  });

  test("open that hangs fails after its time, hears of it, and is closed when it has come to its end", async () => {
    const clock = new ManualClock();
    const answered = latch();
    let signal: AbortSignal | undefined;
    let closed: unknown;
    const { chain } = chainBehind((words) =>
      words.map(
        "geo",
        {
          async open(context) {
            signal = context.signal;
            await answered.opened;
            return "late";
          },
          map: (word) => word,
          close(resource) {
            closed = resource;
          },
        },
        { openTimeout: "2 s" },
      ),
    );
    const opened = refusal(chain.open(opening(clock)));
    clock.advance(1999);
    await settled();
    expect(signal?.aborted).toBe(false);
    clock.advance(1);
    expect((await opened).message).toBe(
      'operator "geo" failed: open of subtask 0: has not ended within 2000 ms (openTimeout)',
    );
    expect(signal?.aborted).toBe(true);
    const closing = chain.close();
    await settled();
    expect(closed).toBeUndefined();
    answered.open();
    await closing;
    expect(closed).toBe("late");
  });

  test("open is not waited for when the generation ends", async () => {
    const life = new AbortController();
    let told: AbortSignal | undefined;
    const { chain } = chainBehind((words) =>
      words.map("geo", {
        open: ({ signal }) => {
          told = signal;
          return new Promise<string>(() => {});
        },
        map: (word) => word,
      }),
    );
    const opened = refusal(chain.open(opening(new ManualClock(), life.signal)));
    life.abort(new Error("the generation is over"));
    expect((await opened).message).toContain("the generation is over");
    expect(told?.aborted).toBe(true);
  });

  test("close that hangs is not waited for longer than its time", async () => {
    const clock = new ManualClock();
    const { chain } = chainBehind((words) =>
      words.map(
        "geo",
        { map: (word) => word, close: () => new Promise<void>(() => {}) },
        { closeTimeout: 100 },
      ),
    );
    await chain.open(opening(clock));
    const closed = refusal(chain.close());
    await clock.pass(100);
    expect((await closed).message).toBe(
      'operator "geo" failed: close of subtask 0: has not ended within 100 ms (closeTimeout)',
    );
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  afterEach(() => world.close());

  test("each generation opens before its first record and closes at its end; an open that fails starts the region again", async () => {
    let attempts = 0;
    let live = 0;
    let opened = 0;
    const indices = new Set<number>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 2000,
      build(builder, world) {
        builder
          .source("log", world.paced(memorySource(world.logs, { until: "end" })))
          .map("counted", {
            async open({ subtaskIndex }) {
              if (++attempts === 1) throw new Error("not yet");
              indices.add(subtaskIndex);
              live++;
              opened++;
              return { isOpen: true };
            },
            map(word, client) {
              if (!client.isOpen) throw new Error("used after close");
              return word;
            },
            close(client) {
              live--;
              client.isOpen = false;
            },
          })
          .keyBy((word) => word)
          .process("count", {
            state: { count: valueState(0) },
            onRecord(word, { state }) {
              state.count.set(state.count.get() + 1);
              return { word, count: state.count.get() };
            },
          })
          .sink("counts", memorySink(world.target));
      },
    });
    const first = await world.begins(10_000);
    await world.checkpoints(2);
    await world.replace(first);
    const report = await world.finished();
    expect(JSON.stringify(world.events)).toContain('operator \\"counted\\" failed: open of subtask');
    world.expectExact();
    expect(report.restarts).toBeGreaterThanOrEqual(2);
    expect([...indices].sort()).toEqual([0, 1]);
    expect(opened).toBeGreaterThanOrEqual(4);
    await world.close();
    expect(live).toBe(0);
  });
});
