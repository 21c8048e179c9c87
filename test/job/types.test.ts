/** Types flow through the whole chain. Checked by the compiler; at run time these only describe jobs. */
import { describe, expect, expectTypeOf, test } from "vitest";
import type { Sink } from "../../src/dataflow/sink.ts";
import type { Source } from "../../src/dataflow/source.ts";
import { defineJob, type JobBuilder } from "../../src/job/builder.ts";
import { type } from "../../src/job/functions/type-witness.ts";
import type { KeyedStream } from "../../src/job/keyed-stream.ts";
import type { Stream } from "../../src/job/stream.ts";
import {
  aggregatingState,
  listState,
  mapState,
  reducingState,
  type ValueState,
  type ValueStateDescriptor,
  valueState,
} from "../../src/state/descriptor.ts";
import { testSink, testSource } from "./connectors.ts";

/** Stand-ins with the signatures of the real ones. */
const jetstreamSource = (_options: { stream: string; decode: "text" }): Source<string> =>
  testSource<string>();
const jetstreamSink = <T>(options: { stream: string; subject: (record: T) => string }): Sink<T> =>
  testSink(options);

/** One stream ends nowhere, so that the tests need not bring each of theirs to a sink: only the types are looked at. */
function withWords(use: (words: Stream<string>, job: JobBuilder) => void): void {
  expect(() =>
    defineJob("types", {}, (job) => {
      job.source("open", testSource());
      use(job.source("words", testSource<string>()), job);
    }),
  ).toThrow(/no sink|"open" ends nowhere/);
}

interface Count {
  word: string;
  count: number;
}

describe("the sample of the design", () => {
  test("compiles as it stands", () => {
    defineJob("word-count", { parallelism: 2, checkpointing: { interval: "1s" } }, (job) => {
      job
        .source(
          "lines",
          jetstreamSource({ stream: "LINES", decode: "text" }) /* until: "end" makes it bounded */,
        )
        .flatMap("words", (line) => line.toLowerCase().match(/\p{L}+/gu) ?? [])
        .keyBy((word) => word)
        .process("count", {
          state: { count: valueState(0) },
          onRecord(word, { state, emit }) {
            state.count.set(state.count.get() + 1);
            emit({ word, count: state.count.get() });
          },
        })
        .sink("counts", jetstreamSink({ stream: "COUNTS", subject: (r) => `counts.${r.word}` }));
    });
  });
});

describe("stateless operators", () => {
  test("give the type of what their function answers", () => {
    withWords((words) => {
      expectTypeOf(words.map("length", (word) => word.length)).toEqualTypeOf<Stream<number>>();
      expectTypeOf(words.flatMap("letters", (word) => [...word])).toEqualTypeOf<Stream<string>>();
      expectTypeOf(words.flatMap("matches", (word) => word.match(/a/g) ?? [])).toEqualTypeOf<
        Stream<string>
      >();
      expectTypeOf(words.rebalance()).toEqualTypeOf<Stream<string>>();
      expectTypeOf(words.filter("long", (word) => word.length > 3)).toEqualTypeOf<Stream<string>>();
      const maybe = words.map("maybe", (word) => (word === "" ? undefined : word));
      expectTypeOf(maybe.filter("there", (word) => word !== undefined)).toEqualTypeOf<Stream<string>>();
    });
  });

  test("union joins the types", () => {
    withWords((words, job) => {
      const numbers = job.source("numbers", testSource<number>());
      const flags = job.source("flags", testSource<boolean>());
      expectTypeOf(words.union(numbers, flags)).toEqualTypeOf<Stream<string | number | boolean>>();
    });
  });
});

describe("keyed operators", () => {
  test("know the key, the state and the record", () => {
    withWords((words) => {
      const keyed = words.keyBy((word) => word.length);
      expectTypeOf(keyed).toEqualTypeOf<KeyedStream<string, number>>();
      expectTypeOf(keyed.reduce("longest", (a, b) => (a > b ? a : b))).toEqualTypeOf<Stream<string>>();
      keyed.process("p", {
        state: { count: valueState(0), seen: valueState<string[]>([]) },
        onRecord(word, context) {
          expectTypeOf(word).toEqualTypeOf<string>();
          expectTypeOf(context.key).toEqualTypeOf<number>();
          expectTypeOf(context.state.count).toEqualTypeOf<ValueState<number>>();
          expectTypeOf(context.state.seen).toEqualTypeOf<ValueState<string[]>>();
          // @ts-expect-error no such state
          context.state.other;
        },
        onEnd(context) {
          expectTypeOf(context.key).toEqualTypeOf<number>();
          expectTypeOf(context.state.count.get()).toEqualTypeOf<number>();
        },
      });
      // @ts-expect-error an object is no key
      words.keyBy((word) => ({ word }));
    });
  });

  test("know what each kind of state holds", () => {
    withWords((words) => {
      words
        .keyBy((word) => word)
        .process("p", {
          state: {
            list: listState<Count>(),
            map: mapState<"a" | "b", number>(),
            longest: reducingState((a: string, b) => (a > b ? a : b)),
            mean: aggregatingState({
              createAccumulator: () => [0, 0] as readonly [number, number],
              add: ([sum, count], n: number) => [sum + n, count + 1] as const,
              getResult: ([sum, count]) => `${sum / count}`,
            }),
          },
          onRecord(_, { state }) {
            expectTypeOf(state.list.get()).toEqualTypeOf<Count[]>();
            expectTypeOf(state.map.get("a")).toEqualTypeOf<number | undefined>();
            expectTypeOf([...state.map]).toEqualTypeOf<["a" | "b", number][]>();
            // @ts-expect-error no such key
            state.map.has("c");
            expectTypeOf(state.longest.get()).toEqualTypeOf<string | undefined>();
            expectTypeOf(state.mean.get()).toEqualTypeOf<string | undefined>();
            state.mean.add(1);
            // @ts-expect-error numbers are added
            state.mean.add("1");
          },
        });
      // @ts-expect-error an object is no key of a map
      mapState<Count, number>();
    });
  });

  test("know that a value which may be missing is cleared, and never set to nothing", () => {
    withWords((words) => {
      words
        .keyBy((word) => word)
        .process("p", {
          state: { last: valueState<string | undefined>(undefined) },
          onRecord(word, { state }) {
            expectTypeOf(state.last.get()).toEqualTypeOf<string | undefined>();
            state.last.set(word);
            // @ts-expect-error undefined is no value
            state.last.set(undefined);
            // @ts-expect-error what get answers may be undefined
            state.last.set(state.last.get());
            state.last.clear();
          },
        });
    });
  });

  test("output declares the type, and emit is checked", () => {
    withWords((words) => {
      const counts = words
        .keyBy((word) => word)
        .process("count", {
          state: { count: valueState(0) },
          output: type<Count>(),
          onRecord(word, { state, emit }) {
            emit({ word, count: state.count.get() });
            // @ts-expect-error count is missing
            emit({ word });
          },
        });
      expectTypeOf(counts).toEqualTypeOf<Stream<Count>>();
      counts.sink("counts", jetstreamSink({ stream: "COUNTS", subject: (r) => `counts.${r.word}` }));
      // @ts-expect-error a count has no such field
      counts.sink("wrong", jetstreamSink({ stream: "COUNTS", subject: (r) => r.wrod }));
    });
  });

  test("output also checks what is returned", () => {
    withWords((words) => {
      const keyed = words.keyBy((word) => word);
      const counts = keyed.process("right", {
        state: {},
        output: type<Count>(),
        onRecord: (word) => (word === "" ? undefined : { word, count: 1 }),
      });
      expectTypeOf(counts).toEqualTypeOf<Stream<Count>>();
      keyed.process("wrong", {
        state: {},
        output: type<Count>(),
        // @ts-expect-error not a count
        onRecord: (word) => word.length,
      });
    });
  });

  test("what onRecord returns gives the type without a declaration", () => {
    withWords((words) => {
      const counts = words
        .keyBy((word) => word)
        .process("count", {
          state: { count: valueState(0) },
          onRecord(word, { state }) {
            state.count.set(state.count.get() + 1);
            return { word, count: state.count.get() };
          },
        });
      expectTypeOf(counts).toEqualTypeOf<Stream<Count>>();
      counts.sink("counts", jetstreamSink({ stream: "COUNTS", subject: (r) => `counts.${r.word}` }));
    });
  });

  test("a record for some records only, and one at the end", () => {
    withWords((words) => {
      const keyed = words.keyBy((word) => word);
      const some = keyed.process("some", {
        state: { count: valueState(0) },
        onRecord(word, { state }) {
          if (state.count.get() > 3) return { word, count: state.count.get() };
          return undefined;
        },
      });
      expectTypeOf(some).toEqualTypeOf<Stream<Count>>();
      const atEnd = keyed.process("at-end", {
        state: { count: valueState(0) },
        onRecord(_word, { state }) {
          state.count.set(state.count.get() + 1);
        },
        onEnd: ({ key, state }) => ({ word: key, count: state.count.get() }),
      });
      expectTypeOf(atEnd).toEqualTypeOf<Stream<Count>>();
    });
  });

  test("of timers: what onTimer returns is emitted, and its context is that of its key", () => {
    withWords((words) => {
      const overdue = words
        .keyBy((word) => word.length)
        .process("overdue", {
          state: { count: valueState(0) },
          onRecord(_word, { timers, timestamp }) {
            timers.registerEventTimer(timestamp + 1000, "late");
            // @ts-expect-error a namespace is a text or a number
            timers.registerProcessingTimer(5, {});
          },
          onTimer({ time, kind, namespace }, { key, state }) {
            expectTypeOf(key).toEqualTypeOf<number>();
            expectTypeOf(kind).toEqualTypeOf<"event" | "processing">();
            expectTypeOf(namespace).toEqualTypeOf<string | number | undefined>();
            return { word: `${key}`, count: state.count.get() + time };
          },
          endOfInput: "fire",
        });
      expectTypeOf(overdue).toEqualTypeOf<Stream<Count>>();
    });
  });

  test("without declaration or return the records are any, not something invented", () => {
    withWords((words) => {
      const unknown = words
        .keyBy((word) => word)
        .process("p", {
          state: { count: valueState(0) },
          onRecord(word, { emit }) {
            emit(word);
          },
        });
      // biome-ignore lint/suspicious/noExplicitAny: any is what is tested
      expectTypeOf(unknown).toEqualTypeOf<Stream<any>>();
    });
  });

  test("side outputs have the types that are declared, by tag", () => {
    withWords((words) => {
      const counts = words
        .keyBy((word) => word)
        .process("count", {
          state: {},
          sideOutputs: { late: type<Count>(), length: type<number>() },
          onRecord(word, { sideOutput }) {
            sideOutput("late", { word, count: 1 });
            // @ts-expect-error not a number
            sideOutput("length", word);
            // @ts-expect-error no such tag
            sideOutput("lat", 1);
            return word;
          },
        });
      expectTypeOf(counts.sideOutput("late")).toEqualTypeOf<Stream<Count>>();
      expectTypeOf(counts.sideOutput("length")).toEqualTypeOf<Stream<number>>();
      expectTypeOf(counts.map("same", (word) => word)).toEqualTypeOf<Stream<string>>();
      // @ts-expect-error no such tag
      expect(() => counts.sideOutput("lat")).toThrow('did you mean "late"');
      // @ts-expect-error the source has none
      expect(() => words.sideOutput("late")).toThrow("no side outputs");
      const plain: Stream<string> = counts;
      plain.sink("plain", testSink());
    });
  });

  test("type parameters may be given instead", () => {
    withWords((words) => {
      const counts = words
        .keyBy((word) => word)
        .process<{ count: ValueStateDescriptor<number> }, Count>("count", {
          state: { count: valueState(0) },
          onRecord(word, { state, emit }) {
            emit({ word, count: state.count.get() });
            // @ts-expect-error not a count
            emit(word);
          },
        });
      expectTypeOf(counts).toEqualTypeOf<Stream<Count>>();
    });
  });
});

describe("options", () => {
  test("are checked by the compiler as well", () => {
    const build = (job: JobBuilder) => job.source("a", testSource<string>()).sink("b", testSink());
    // @ts-expect-error misspelt
    expect(() => defineJob("a", { paralelism: 2 }, build)).toThrow();
    // @ts-expect-error no attempts without restarts
    expect(() => defineJob("a", { restart: { strategy: "none", attempts: 1 } }, build)).toThrow();
  });
});
