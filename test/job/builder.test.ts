import { describe, expect, test, vi } from "vitest";
import { ConfigurationError } from "../../src/errors.ts";
import { defineJob, type JobBuilder } from "../../src/job/builder.ts";
import { emitReturned } from "../../src/job/functions/process.ts";
import { Job } from "../../src/job/job.ts";
import {
  aggregatingState,
  listState,
  mapState,
  reducingState,
  type StateDescriptors,
  valueState,
} from "../../src/state/descriptor.ts";
import { testSink, testSource } from "./connectors.ts";

const words = (job: JobBuilder) => job.source("words", testSource<string>());

function refusal(run: () => unknown): ConfigurationError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigurationError);
    return error as ConfigurationError;
  }
  throw new Error("nothing was refused");
}

const refusalOf = (build: (job: JobBuilder) => void) => refusal(() => defineJob("job", {}, build));

describe("a job", () => {
  test("lists its operators in order, with their inputs", () => {
    const job = defineJob("word-count", { parallelism: 2 }, (job) => {
      words(job)
        .map("upper", (word) => word.toUpperCase())
        .keyBy((word) => word)
        .reduce("longest", (a) => a, { parallelism: 3 })
        .sink("out", testSink());
    });
    expect(job).toBeInstanceOf(Job);
    expect(job.name).toBe("word-count");
    expect(job.options).toEqual({ parallelism: 2 });
    expect(
      job.operators.map(({ definition, inputs, parallelism }) => [
        definition.kind,
        definition.id,
        inputs.map((input) => `${input.exchange.kind} ${input.from}`),
        parallelism,
      ]),
    ).toEqual([
      ["source", "words", [], undefined],
      ["map", "upper", ["forward words"], undefined],
      ["reduce", "longest", ["hash upper"], 3],
      ["sink", "out", ["forward longest"], undefined],
    ]);
  });

  test("a keyed operator carries the selector of the exchange in front of it", () => {
    const key = (word: string) => word.length;
    const job = defineJob("job", {}, (job) => {
      words(job)
        .union(job.source("more", testSource<string>()))
        .keyBy(key)
        .process("p", { state: {}, onRecord: (word) => word })
        .sink("out", testSink());
    });
    const keyed = job.operators.find((operator) => operator.definition.id === "p")!;
    expect(keyed.definition).toMatchObject({ id: "p", kind: "process" });
    expect(keyed.inputs).toEqual([
      { from: "words", exchange: { kind: "hash", key } },
      { from: "more", exchange: { kind: "hash", key } },
    ]);
  });
});

describe("process", () => {
  const processOf = (definition: Parameters<ReturnType<typeof keyed>["process"]>[1]) => {
    defineJob("job", {}, (job) => {
      keyed(job).process("p", definition).sink("out", testSink());
    });
    return emitReturned("p", definition);
  };
  const keyed = (job: JobBuilder) => words(job).keyBy((word) => word);
  const contextWith = (emit: (value: unknown) => void) => ({
    key: "a",
    timestamp: 0,
    state: {},
    emit,
    sideOutput: () => {},
    resource: undefined,
    timers: {} as never,
    currentWatermark: Number.NEGATIVE_INFINITY,
    currentProcessingTime: 0,
  });

  test("emits what is returned, after what was emitted, and nothing for undefined", () => {
    const process = processOf({
      state: {},
      onRecord(word, { emit }) {
        emit(`${word}1`);
        return word === "quiet" ? undefined : `${word}2`;
      },
      onTimer: ({ time }, { key }) => `${key} at ${time}`,
      onEnd: ({ key }) => `end of ${key}`,
    });
    const emit = vi.fn();
    process.onRecord("a", contextWith(emit));
    process.onRecord("quiet", contextWith(emit));
    process.onTimer?.({ time: 5, kind: "event", namespace: undefined }, contextWith(emit));
    process.onEnd?.(contextWith(emit));
    expect(emit.mock.calls.flat()).toEqual(["a1", "a2", "quiet1", "a at 5", "end of a"]);
  });

  test("falsy values are values", () => {
    const process = processOf({ state: {}, onRecord: (word) => (word === "" ? 0 : null) });
    const emit = vi.fn();
    process.onRecord("", contextWith(emit));
    process.onRecord("a", contextWith(emit));
    expect(emit.mock.calls.flat()).toEqual([0, null]);
  });

  test("has onEnd only when it was given: not every operator is asked at the end of input", () => {
    expect(processOf({ state: {}, onRecord: () => {} }).onEnd).toBeUndefined();
  });

  test("a promise never becomes a record", () => {
    const process = processOf({ state: {}, onRecord: async () => {}, onEnd: async () => {} });
    const emit = vi.fn();
    expect(refusal(() => process.onRecord("a", contextWith(emit)))).toMatchObject({
      key: "p",
      message: expect.stringContaining("onRecord must not be async, it returned a promise: "),
    });
    expect(refusal(() => process.onEnd?.(contextWith(emit))).message).toContain("onEnd must not be async");
    expect(emit).not.toHaveBeenCalled();
  });

  class Counter {
    readonly state = { count: valueState(0) };
    readonly step = 1;
    helper() {
      return this.step;
    }
    onRecord() {
      return this.helper();
    }
  }
  class Remembering extends Counter {
    onRecrod() {}
  }

  test.each<[string, unknown, string]>([
    [
      "onTimer that is none",
      { state: {}, onRecord() {}, onTimer: 5 },
      'operator "p": onTimer must be a function, got 5',
    ],
    [
      "timers without onTimer",
      { state: {}, onRecord() {}, endOfInput: "fire" },
      'operator "p": endOfInput says what becomes of pending timers, and there is no onTimer',
    ],
    [
      "an end that is none",
      { state: {}, onRecord() {}, onTimer() {}, endOfInput: "flush" },
      'operator "p": endOfInput must be "fire" or "drop", is the text "flush"',
    ],
    [
      "a mistyped member",
      { state: {}, onRecord() {}, onend() {} },
      'operator "p": no member "onend"; did you mean "onEnd"?',
    ],
    ["a mistyped handler of a class", new Remembering(), 'no member "onRecrod"; did you mean "onRecord"?'],
    ["states for state", { states: {}, onRecord() {} }, 'no member "states"; did you mean "state"?'],
    [
      "nothing",
      undefined,
      'operator "p": an object with state, output, sideOutputs, timestamps, open, onRecord, onTimer, onExpire, endOfInput, replayClock, onEnd, onFinish, close is needed, got undefined',
    ],
    ["a function", () => {}, "is needed, got a function"],
  ])("refuses as definition: %s", (_, definition, message) => {
    expect(refusal(() => processOf(definition as never)).message).toContain(message);
  });

  test("may be an instance of a class, with fields and helpers of its own", () => {
    const emit = vi.fn();
    processOf(new Counter() as never).onRecord("a", contextWith(emit));
    expect(emit).toHaveBeenCalledWith(1);
  });

  test("may be an instance of a class with timers", () => {
    class Ticking extends Counter {
      readonly endOfInput = "fire";
      onTimer({ time }: { readonly time: number }) {
        return time + this.helper();
      }
    }
    const emit = vi.fn();
    const process = processOf(new Ticking() as never);
    process.onTimer?.({ time: 5, kind: "event", namespace: undefined }, contextWith(emit));
    expect(emit).toHaveBeenCalledWith(6);
    expect(process.endOfInput).toBe("fire");
  });

  class Money {
    readonly cents = 0;
  }

  test.each([
    [
      "an unknown kind",
      { a: { kind: "lists" } },
      'state "a": no kind of state "lists"; did you mean "list"?',
    ],
    [
      "an unknown option",
      { a: { kind: "value", initial: 0, tll: 5 } },
      'state "a": no option "tll"; did you mean "ttl"?',
    ],
    [
      "a reserved name",
      { valueOf: valueState(0) },
      'state "valueOf": is a name that JavaScript keeps for itself',
    ],
    ["a prototype", { __proto__: valueState(0) }, 'no state can be named "__proto__"'],
    [
      "names that differ by case",
      { a: valueState(0), A: valueState(0) },
      'states "a" and "A" differ only in',
    ],
    [
      "an initial value that cannot be stored",
      { total: valueState({ sum: new Money() }) },
      'state "total": its initial value cannot be stored: field "sum" is an object of class Money',
    ],
    ["no object", null, "state must be an object like { count: valueState(0) }, got null"],
    ["a plain value", { count: 0 }, 'state "count" must be made by valueState(initial) or listState() or'],
    [
      "no function",
      { a: reducingState(5 as never) },
      'state "a": reduce must be a function, got the number 5',
    ],
    [
      "a function that is missing",
      { a: aggregatingState({ createAccumulator: () => 0, add: (n: number) => n } as never) },
      'state "a": getResult must be a function, got undefined',
    ],
    ["no functions", { a: aggregatingState(undefined as never) }, "takes an object of functions"],
    [
      "an option of a list",
      { a: { kind: "list", size: 5 } },
      'state "a": no option "size"; known: kind, ttl',
    ],
    ["an illegal name", { "a.b": valueState(0) }, 'operator "p": state "a.b": may contain letters'],
  ])("refuses as state: %s", (_, state, message) => {
    const error = refusal(() => processOf({ state: state as StateDescriptors, onRecord: () => {} }));
    expect(error.message).toContain(message);
  });
});

describe("refused by id", () => {
  test.each<[string, (job: JobBuilder) => void, string, string]>([
    [
      "the same id twice",
      (job) => words(job).map("words", (word) => word),
      "words",
      'operator "words": used twice in job "job"; each operator needs an id of its own, its state is found by it',
    ],
    [
      "an id that is no subject token",
      (job) => words(job).sink("a.b", testSink()),
      "a.b",
      'operator id "a.b": may contain letters A to Z, digits, underscore and dash, and must not begin with a dash',
    ],
    [
      "an empty id",
      (job) => words(job).sink("", testSink()),
      "operator id",
      'operator id "": must not be empty',
    ],
    [
      "a dash in front",
      (job) => words(job).sink("-a", testSink()),
      "-a",
      'operator id "-a": may contain letters A to Z, digits, underscore and dash, and must not begin with a dash',
    ],
    [
      "an id that is too long",
      (job) => words(job).sink("a".repeat(49), testSink()),
      "a".repeat(49),
      `operator id "${"a".repeat(49)}": must have at most 48 characters, has 49`,
    ],
    [
      "no id",
      (job) => words(job).map(((word: string) => word) as never, undefined as never),
      "operator id",
      "operator id a function: must be text; the first argument of every operator is its stable id",
    ],
    [
      "no function",
      (job) => words(job).filter("f", undefined as never),
      "f",
      'operator "f": filter must be a function, got undefined',
    ],
    [
      "a sink where a source belongs",
      (job) => job.source("s", testSink() as never),
      "s",
      'operator "s": a source is needed, got an object',
    ],
    [
      "a source where a sink belongs",
      (job) => words(job).sink("s", testSource() as never),
      "s",
      'operator "s": a sink is needed, got an object',
    ],
    [
      "an unknown option",
      (job) => words(job).sink("s", testSink(), { paralelism: 2 } as never),
      "s",
      'operator "s": no option "paralelism"; did you mean "parallelism"?',
    ],
    [
      "options that are no object",
      (job) => words(job).sink("s", testSink(), null as never),
      "s",
      'operator "s": an object with parallelism is needed, got null',
    ],
    [
      "a name that JavaScript keeps for itself",
      (job) => words(job).sink("constructor", testSink()),
      "constructor",
      'operator id "constructor": is a name that JavaScript keeps for itself; choose another one',
    ],
    [
      "two ids that differ only by case",
      (job) => words(job).sink("Words", testSink()),
      "Words",
      'operator "Words": differs from operator "words" only in upper and lower case, which some file systems do not tell ' +
        "apart; give it another id",
    ],
    [
      "an unknown member of a loop",
      (job) => {
        words(job)
          .iterate("loop", (loop) => ({ feedback: loop.filter("back", () => false), outputs: loop }) as never)
          .sink("out", testSink());
      },
      "loop",
      'iterate "loop": no member "outputs"; did you mean "output"?',
    ],
    [
      "an async loop",
      (job) => void words(job).iterate("loop", (async () => {}) as never),
      "loop",
      'iterate "loop": the function that builds the loop must not be async',
    ],
    [
      "a parallelism below one",
      (job) => words(job).sink("s", testSink(), { parallelism: 0 }),
      "s",
      'operator "s": parallelism must be a whole number of at least 1, got 0',
    ],
    ["no source", () => {}, "job", 'job "job" has no source; begin with job.source(id, source)'],
    ["no sink", (job) => void words(job), "job", 'job "job" has no sink; end with .sink(id, sink)'],
    [
      "a stream that no operator reads",
      (job) => {
        const stream = words(job);
        stream.sink("out", testSink());
        stream.map("upper", (word) => word.toUpperCase());
      },
      "upper",
      'the stream of operator "upper" ends nowhere: an operator or a sink must follow',
    ],
    [
      "keyBy that nothing follows",
      (job) => {
        const stream = words(job);
        stream.sink("out", testSink());
        stream.keyBy((word) => word);
      },
      "words",
      'keyBy after "words" ends nowhere: process or reduce must follow',
    ],
    [
      "keyBy without a function",
      (job) => void words(job).keyBy("word" as never),
      "words",
      'keyBy after "words": a function is needed, got "word"',
    ],
    [
      "a definition without its function",
      (job) => void words(job).map("geo", { open: () => 1 } as never),
      "geo",
      'operator "geo": map must be a function, got undefined',
    ],
    [
      "a definition with a mistyped member",
      (job) => void words(job).map("geo", { opne: () => 1, map: (word: string) => word } as never),
      "geo",
      'operator "geo": no member "opne"; did you mean "open"?',
    ],
    [
      "an open that is no function",
      (job) => void words(job).filter("geo", { open: "client", filter: () => true } as never),
      "geo",
      'operator "geo": open must be a function, got "client"',
    ],
    [
      "a bound for an open that is not there",
      (job) => void words(job).map("geo", { map: (word) => word }, { openTimeout: "1 s" }),
      "geo",
      'operator "geo": openTimeout is "1 s", and there is no open for it to bound: give an object with open',
    ],
    [
      "a bound that a deployment cannot wait for",
      (job) => void words(job).map("geo", { open: () => 1, map: (word) => word }, { openTimeout: "2 m" }),
      "geo",
      'operator "geo": openTimeout is 2 m, and at most 1.5 m is possible, because a deployment is given up soon after; do what takes longer in front of the job',
    ],
    [
      "a bound that is no duration",
      (job) => void words(job).map("geo", { map: (word) => word, close() {} }, { closeTimeout: 0 }),
      "geo",
      'operator "geo": closeTimeout: must be at least 1 ms',
    ],
    [
      "union with itself",
      (job) => {
        const stream = words(job);
        stream.union(stream).sink("out", testSink());
      },
      "words",
      'union after "words": the records of operator "words" would come twice',
    ],
  ])("%s", (_, build, key, message) => {
    expect(refusalOf(build)).toMatchObject({ key, message });
  });

  test("union of nothing, and of streams of two jobs", () => {
    expect(
      refusalOf((job) => {
        const stream = words(job);
        (stream.union as () => void).call(stream);
      }).message,
    ).toBe('union after "words": needs at least one other stream');
    let stolen: ReturnType<typeof words> | undefined;
    defineJob("first", {}, (job) => {
      stolen = words(job);
      stolen.sink("out", testSink());
    });
    expect(refusalOf((job) => void words(job).union(stolen!)).message).toContain(
      "takes streams of the same job",
    );
    expect(refusal(() => stolen?.sink("late", testSink())).message).toBe(
      'operator "late": job "first" is already defined; add it inside defineJob',
    );
  });
});

describe("refused as a whole", () => {
  const build = (job: JobBuilder) => words(job).sink("out", testSink());

  test("job names", () => {
    expect(refusal(() => defineJob("a b", {}, build))).toMatchObject({ key: "a b" });
    expect(refusal(() => defineJob("a/b", {}, build)).message).toMatch(/^job name "a\/b": may contain/);
  });

  test("a name that is a subject of the engine", () => {
    expect(refusal(() => defineJob("workers", {}, build)).message).toBe(
      'job name "workers": is reserved for the engine\'s own subjects',
    );
  });

  test("options, at once and by their key", () => {
    expect(refusal(() => defineJob("a", { checkpointing: { interval: "9 ms" } }, build))).toMatchObject({
      key: "checkpointing.interval",
      message: 'checkpointing.interval: must be from 10 ms to 365 d, got "9 ms"; "off" is allowed too',
    });
    expect(refusal(() => defineJob("a", { paralelism: 2 } as never, build)).message).toBe(
      'paralelism: no such option; did you mean "parallelism"?',
    );
  });

  test("a generator", () => {
    expect(
      refusal(() =>
        defineJob("a", {}, function* (job) {
          yield build(job);
        }),
      ).message,
    ).toBe(
      'job "a": the function that builds the job must not be a generator (function*): nothing of it has run',
    );
  });

  describe("options of state", () => {
    const makers = {
      valueState: (...more: never[]) => valueState(0, ...more),
      listState,
      mapState,
      reducingState: (...more: never[]) => reducingState((n: number) => n, ...more),
      aggregatingState: (...more: never[]) => aggregatingState({} as never, ...more),
    };

    test.each(Object.entries(makers))("of %s", (name, make) => {
      const made = make as (...given: unknown[]) => unknown;
      const refused = (...given: unknown[]) => refusal(() => made(...given));
      const { key, message } = refused({ ttl: { after: "1 h" } }, 1);
      expect(key).toBe(name);
      expect(message).toContain("and nothing else");
      expect(refused("1 h").message).toContain("an object with ttl, version, migrate is needed");
      expect(refused({ tll: 1 }).message).toBe(`${name}: no option "tll"; did you mean "ttl"?`);
      expect(refused({ ttl: "1 h" }).message).toContain(`${name}: ttl: an object with after`);
      expect(refused({ ttl: {} }).message).toContain(`${name}: ttl: after must be a duration`);
    });

    test.each([
      [{ after: 0 }, "after must be at least 1 ms, is the number 0"],
      [{ after: "-1 h" }, "after must not be negative"],
      [{ after: "1 hr" }, 'after must be a duration: unknown unit "hr"'],
      [{ after: Number.POSITIVE_INFINITY }, "after must be a duration that ends"],
      [{ after: 1, time: "evnt" }, 'time must be "processing" or "event", is the text "evnt"'],
      [{ after: 1, updateOn: "read" }, 'updateOn must be "write" or "readAndWrite"'],
      [{ after: 1, downtime: true }, 'downtime must be "count" or "pause", is true'],
      [{ after: 1, time: "event", downtime: "pause" }, "downtime is of processing time only"],
      [{ after: 1, onExpire() {} }, 'no option "onExpire"'],
    ])("a time to live of %j", (ttl, problem) => {
      expect(refusal(() => valueState(0, { ttl } as never)).message).toContain(`valueState: ttl: ${problem}`);
    });

    test("a descriptor with a time to live that valueState has not seen", () => {
      expect(
        refusalOf(
          (job) =>
            void words(job)
              .keyBy((word) => word)
              .process("count", {
                state: { n: { kind: "value", initial: 0, ttl: { after: "1 h" } } as never },
                onRecord() {},
              }),
        ).message,
      ).toContain('operator "count": state "n": its ttl was not given to');
    });

    test("onExpire where nothing expires", () => {
      expect(
        refusalOf(
          (job) =>
            void words(job)
              .keyBy((word) => word)
              .process("count", { state: { n: valueState(0) }, onRecord() {}, onExpire() {} }),
        ).message,
      ).toContain(
        'operator "count": onExpire is called for values that expire, and no state has a time to live',
      );
    });

    test("a time to live by event time behind a source without watermarks", () => {
      expect(
        refusalOf(
          (job) =>
            void words(job)
              .keyBy((word) => word)
              .process("count", {
                state: { n: valueState(0, { ttl: { after: "1 h", time: "event" } }) },
                onRecord() {},
              })
              .sink("out", testSink()),
        ).message,
      ).toMatch(/^operator "count": works by event time, and source .* no watermarks.*no value would expire/);
    });
  });

  test("an async function, or none", () => {
    expect(refusal(() => defineJob("a", {}, async (job) => build(job))).message).toContain(
      "must not be async",
    );
    expect(refusal(() => defineJob("a", build as never, undefined as never)).message).toBe(
      'job "a": the second argument must be the options, got a function',
    );
    expect(refusal(() => defineJob("a", {}, undefined as never)).message).toContain("third argument");
    expect(refusal(() => defineJob("a", undefined as never, build)).message).toContain("second argument");
  });

  test("what the function itself throws comes through as it is", () => {
    const thrown = new Error("no such file: words.txt");
    expect(() =>
      defineJob("a", {}, () => {
        throw thrown;
      }),
    ).toThrow(thrown);
  });
});
