/** What members of a user's own source or sink answer that nothing can mean is refused, by operator and member. */
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import { checkSink, type OpenWriter, openWriter } from "../../src/dataflow/guards/guarded-sink.ts";
import { discoverSplits, openReader } from "../../src/dataflow/guards/guarded-source.ts";
import type { Sink, SinkEnvironment } from "../../src/dataflow/sink.ts";
import type { Collect, Source, SourceReader, SplitPosition } from "../../src/dataflow/source.ts";
import { CommitRefusedError, ConfigurationError, OperatorError } from "../../src/errors.ts";
import { defineJob, NO_TIMESTAMP } from "../../src/index.ts";
import { MemoryWorld } from "../support/memory-world.ts";

const failures: unknown[] = [];
const environment = {
  subtaskIndex: 3,
  fail: (error: unknown) => void failures.push(error),
} as unknown as SinkEnvironment;
const splits: SplitPosition[] = [{ split: { id: "a" }, position: 7 }];
const rejected = () => Promise.reject(new Error("of its own"));

type Members = Readonly<Record<string, unknown>>;

function sourceOf(reader: unknown, members: Members = {}): Source<unknown> {
  return {
    kind: "mine",
    bounded: true,
    replayable: true,
    discover: async () => [{ id: "a" }],
    open: async () => reader,
    ...members,
  } as unknown as Source<unknown>;
}

const goodReader: Members = {
  poll: () => "idle",
  onAvailable() {},
  describePosition: () => "line 12",
  snapshot: () => splits,
  checkpointCompleted() {},
  close: async () => {},
};

const readerWith = (members: Members) =>
  openReader("numbers", sourceOf({ ...goodReader, ...members }), environment, splits);

const goodWriter: Members = {
  write() {},
  blocked: () => false,
  onAvailable() {},
  cut: () => undefined,
  snapshot: () => undefined,
  commit: async () => {},
  flush: async () => {},
  close: async () => {},
};

function sinkOf(writer: unknown, members: Members = {}): Sink<unknown> {
  return {
    kind: "mine",
    guarantee: "exactly-once",
    check: async () => {},
    open: async () => writer,
    ...members,
  } as unknown as Sink<unknown>;
}

const writerWith = (members: Members) =>
  openWriter("totals", sinkOf({ ...goodWriter, ...members }), environment);

const committable = { checkpointId: 5, writer: 3, staged: [], detail: null };
const transaction = (prepared: unknown, checkpointId = 5) => ({ cut: () => ({ checkpointId, prepared }) });

async function refusal(act: () => unknown): Promise<Error> {
  try {
    await act();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    return error as Error;
  }
  throw new Error("nothing was refused");
}

describe("a source of its author's own", () => {
  const poll = (reader: SourceReader<unknown>) => reader.poll(() => {}, 10);
  const ask: Record<string, (reader: SourceReader<unknown>) => unknown> = {
    poll,
    onAvailable: (reader) => reader.onAvailable(() => {}),
    snapshot: (reader) => reader.snapshot(),
    checkpointCompleted: (reader) => reader.checkpointCompleted(splits),
    skipped: (reader) => reader.skipped?.(),
    splitPending: (reader) => reader.splitPending?.(0),
    splitMayWait: (reader) => reader.splitMayWait?.(0),
  };
  const odd: readonly (readonly [string, unknown, string])[] = [
    [
      "poll",
      async () => "more",
      'poll answered a promise, and "more", "idle" or "ended" is needed; the functions',
    ],
    ["poll", rejected, "poll answered a promise"],
    ["poll", () => undefined, 'poll answered undefined, and "more"'],
    ["poll", () => "done", "poll answered a text of 4 characters"],
    ["poll", function* () {}, "poll answered a generator"],
    ["onAvailable", async () => {}, "onAvailable answered a promise, and no answer is needed"],
    ["onAvailable", () => () => {}, "onAvailable answered a function"],
    ["snapshot", async () => splits, "snapshot answered a promise"],
    ["snapshot", () => undefined, "snapshot answered undefined, and an array"],
    ["snapshot", () => [undefined], "snapshot answered undefined, which is no"],
    ["snapshot", () => [], 'no position of split "a", which would not be read any more'],
    ["snapshot", () => [...splits, ...splits], 'split "a" twice'],
    ["snapshot", () => [{ split: { id: "b" }, position: 1 }], 'split "b", which this reader was not given'],
    [
      "snapshot",
      () => [{ split: { id: "a" }, position: new URL("http://a") }],
      'field "[0].position" is an URL',
    ],
    ["snapshot", () => [{ split: { id: "a" }, position: -0 }], "cannot be stored as it is: it holds -0"],
    [
      "snapshot",
      () => {
        throw new TypeError("lost the file");
      },
      'operator "numbers" failed: snapshot: lost the file',
    ],
    ["checkpointCompleted", rejected, "checkpointCompleted answered a promise"],
    ["skipped", () => 3, "skipped answered a number, and { ranges, sequences }"],
    [
      "splitPending",
      () => -1,
      "splitPending answered a number, and a number of records, 0 or more, is needed",
    ],
    ["splitPending", () => Number.NaN, "splitPending answered the number NaN"],
    ["splitPending", async () => 3, "splitPending answered a promise"],
    ["splitMayWait", () => undefined, "splitMayWait answered undefined, and true or false is needed"],
  ];
  test.each(odd)("%s that answers what nothing can mean (%#)", async (member, answer, words) => {
    const reader = await readerWith({ [member]: answer });
    const error = await refusal(() => ask[member]!(reader));
    expect(error).toBeInstanceOf(OperatorError);
    expect(error.message).toContain('operator "numbers" failed: ');
    expect(error.message).toContain(words);
  });

  test("snapshot that hides something is refused as often as it is asked, and later ones are looked at, too", async () => {
    let hides = true;
    const answer = () => {
      const position = { read: 1 };
      if (hides) Object.defineProperty(position, "hidden", { value: 2 });
      return [{ split: { id: "a" }, position }];
    };
    const reader = await readerWith({ snapshot: answer });
    for (let i = 0; i < 3; i++)
      expect((await refusal(() => reader.snapshot())).message).toContain("has a hidden field");
    hides = false;
    expect(reader.snapshot()).toHaveLength(1);
    hides = true;
    const later = async () => {
      for (let i = 0; i < 100; i++) reader.snapshot();
    };
    expect((await refusal(later)).message).toContain("has a hidden field");
  });

  test.each([
    ["nothing", undefined, "open answered undefined, and a reader with poll, "],
    [
      "a reader without close",
      { ...goodReader, close: undefined },
      "the reader that open answered has no function close",
    ],
  ])("open that answers %s", async (_, reader, words) => {
    const error = await refusal(() => openReader("numbers", sourceOf(reader), environment, splits));
    expect(error.message).toContain(words);
  });

  test.each<[string, unknown, string]>([
    ["nothing", undefined, "discover answered undefined, and an array of splits is needed"],
    ["a split without id", [{}], "a split without id"],
    ["no object", [null], "a split without id (null)"],
    ["one id twice", [{ id: "x" }, { id: "x" }], 'two splits with the id "x"'],
    ["unknown gaps", [{ id: "x", gaps: "ignore" }], 'whose gaps are the text "ignore"'],
    [
      "a function",
      [{ id: "x", open() {} }],
      'split "x", which cannot be stored as it is: field "open" is a function',
    ],
  ])("discover that answers %s", async (_, answered, words) => {
    const source = sourceOf(goodReader, { discover: async () => answered });
    const error = await refusal(() => discoverSplits("numbers", source, environment));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain(`operator "numbers": discover answered `);
    expect(error.message).toContain(words);
  });

  test.each<[string, unknown, number, string]>([
    ["a promise", Promise.resolve(1), 0, "collect was given a promise"],
    [
      "a timestamp that is none",
      1,
      Number.NaN,
      "collect was given as timestamp the number NaN; needed is a whole",
    ],
    ["a timestamp beyond all", 1, Number.MIN_SAFE_INTEGER, "more than 250,000 years away"],
    ["no timestamp", 1, undefined as unknown as number, "or NO_TIMESTAMP where none is known"],
  ])("collect that is given %s", async (_, value, timestamp, words) => {
    const reader = await readerWith({
      poll: (collect: (value: unknown, timestamp: number) => void) => {
        collect(value, timestamp);
        return "more";
      },
    });
    expect((await refusal(() => poll(reader))).message).toContain(words);
  });

  test("a reader that swallows what failed behind collect loses no record by it", async () => {
    const reader = await readerWith({
      poll: (collect: (value: unknown, timestamp: number) => void) => {
        try {
          collect(1, NO_TIMESTAMP);
        } catch {}
        return "more";
      },
    });
    const act = () =>
      reader.poll(() => {
        throw new OperatorError("next", new Error("behind it"));
      }, 10);
    expect((await refusal(act)).message).toBe('operator "next" failed: behind it');
  });

  test("what is collected outside poll fails the subtask, also when the reader catches the error", async () => {
    failures.length = 0;
    let late: (() => void) | undefined;
    const reader = await readerWith({
      poll: (collect: (value: unknown, timestamp: number) => void) => {
        late = () => collect(2, NO_TIMESTAMP);
        return "idle";
      },
    });
    poll(reader);
    expect(() => late?.()).toThrow("collect was called while poll was not running");
    expect(String(failures[0])).toContain("(at line 12)");
  });

  test("a position that cannot be told hides no failure", async () => {
    const reader = await readerWith({ describePosition: () => rejected() });
    expect(reader.describePosition()).toBe("a position that its reader does not tell");
  });
});

describe("a sink of its author's own", () => {
  const cut = (writer: OpenWriter) => writer.cut(5);
  const prepare = (writer: OpenWriter) => writer.cut(5)?.prepared();
  const commit = (writer: OpenWriter) => writer.commit(committable);
  const odd: readonly (readonly [string, Members, (writer: OpenWriter) => unknown, string])[] = [
    ["blocked", { blocked: async () => true }, (writer) => writer.hasRoom(), "blocked answered a promise"],
    ["blocked", { blocked: () => undefined }, (writer) => writer.hasRoom(), "and true or false is needed"],
    ["onAvailable", { onAvailable: rejected }, (writer) => writer.onRoom(() => {}), "answered a promise"],
    [
      "cut",
      { cut: async () => undefined },
      cut,
      "the transaction that cut answered has no function prepared",
    ],
    ["cut", { cut: () => true }, cut, "cut answered true, and a transaction with prepared is needed"],
    ["cut", transaction(async () => committable, 4), cut, "checkpointId: the number 4, and 5 is needed"],
    [
      "prepared",
      transaction(() => committable),
      prepare,
      "prepared answered an object, and a promise is needed",
    ],
    [
      "prepared",
      transaction(async () => undefined),
      prepare,
      "prepared answered undefined, and a committable",
    ],
    [
      "prepared",
      transaction(async () => ({ ...committable, writer: 0 })),
      prepare,
      "writer: the number 0, and 3",
    ],
    ["prepared", transaction(async () => ({ ...committable, staged: "x" })), prepare, "staged: a text"],
    [
      "prepared",
      transaction(async () => ({ ...committable, detail: { run() {} } })),
      prepare,
      'cannot be stored as it is: field "detail.run" is a function',
    ],
    ["snapshot", { snapshot: () => new WeakMap() }, (writer) => writer.snapshot(), "it is a WeakMap"],
    ["snapshot", { snapshot: async () => 1 }, (writer) => writer.snapshot(), "it is a promise"],
    [
      "flush",
      { flush: () => undefined },
      (writer) => writer.flush(),
      "flush answered undefined, and a promise",
    ],
    [
      "flush",
      { flush: async () => false },
      (writer) => writer.flush(),
      "flush answered false, and no answer",
    ],
    ["commit", { commit: () => undefined }, commit, "commit answered undefined, and a promise is needed"],
    [
      "commit",
      { commit: async () => false },
      commit,
      "commit answered false, and no answer (an error when it has",
    ],
  ];
  test.each(odd)("%s that answers what nothing can mean (%#)", async (_, members, act, words) => {
    const writer = await writerWith(members);
    const error = await refusal(() => act(writer));
    expect(error.message).toContain('operator "totals"');
    expect(error.message).toContain(words);
  });

  test("a commit that could never succeed ends the job, one that fails is tried again", async () => {
    const never = await writerWith({ commit: () => true });
    expect(await refusal(() => commit(never))).toBeInstanceOf(CommitRefusedError);
    const later = await writerWith({ commit: rejected });
    expect((await refusal(() => commit(later))).message).toBe("of its own");
  });

  test("check that answers false, as if that refused the job", async () => {
    const sink = sinkOf(goodWriter, { check: async () => false });
    const error = await refusal(() => checkSink("totals", sink, environment));
    expect(error.message).toContain('operator "totals": check answered false, and no answer is needed');
  });

  test("open that answers no writer", async () => {
    const error = await refusal(() => openWriter("totals", sinkOf(Promise.resolve()), environment));
    expect(error.message).toContain("open answered undefined, and a writer with write, blocked");
  });
});

describe("what a source or sink says of itself", () => {
  test.each<[string, Members, Members, string]>([
    [
      "not whether it ends",
      { bounded: undefined },
      {},
      'operator "in": bounded of its source must be true or false',
    ],
    [
      "not whether it is replayable",
      { replayable: 1 },
      {},
      "replayable of its source must be true or false, is the number 1",
    ],
    ["no kind", { kind: undefined }, {}, "kind of its source must be a text that names it"],
    ["an unknown guarantee", {}, { guarantee: "exactly_once" }, "one of exactly-once, at-least-once, none"],
    [
      "a target that is none",
      {},
      { target: { stream: 1 } },
      "target of its sink must be { stream, subject }",
    ],
  ])("%s", (_, source, sink, words) => {
    const define = () =>
      defineJob("odd", {}, (job) => {
        job.source("in", sourceOf(goodReader, source)).sink("out", sinkOf(goodWriter, sink));
      });
    expect(define).toThrow(words);
  });
});

describe("in a job", () => {
  let world: MemoryWorld;

  afterEach(async () => {
    await world.close();
  });

  async function failureOf(change: (reader: SourceReader<string>) => SourceReader<string>): Promise<string> {
    world = new MemoryWorld({
      build: (builder, { logs, target }) => {
        const source = memorySource(logs, { until: "end" });
        builder
          .source("words", {
            ...source,
            open: async (opening, positions) => change(await source.open(opening, positions)),
          })
          .map("one", (word) => ({ word, count: 1 }))
          .sink("counts", memorySink(target));
      },
    });
    await world.begins(4);
    const report = await world.comesTo("a failure", ({ failures: told }) => told.length > 0);
    return report.failures[0]!.reason;
  }

  const changed = (reader: SourceReader<string>, members: Partial<SourceReader<string>>) =>
    Object.assign(Object.create(reader) as SourceReader<string>, {
      onAvailable: (wake: () => void) => reader.onAvailable(wake),
      poll: reader.poll.bind(reader),
      describePosition: () => reader.describePosition(),
      snapshot: () => reader.snapshot(),
      close: () => reader.close(),
      ...members,
    });

  test("a poll that is a promise fails it with operator and position", async () => {
    const reason = await failureOf((reader) =>
      changed(reader, {
        poll: ((collect: Collect<string>, most: number) =>
          Promise.resolve(reader.poll(collect, most))) as unknown as SourceReader<string>["poll"],
      }),
    );
    expect(reason).toMatch(/operator "words" failed: poll answered a promise.*\(at record 1 of log [01]\)/);
  });

  test("a snapshot that forgets a split fails it, rather than reading less after a restore", async () => {
    const reason = await failureOf((reader) => changed(reader, { poll: () => "idle", snapshot: () => [] }));
    expect(reason).toMatch(/operator "words" failed: snapshot answered no position of split "[01]"/);
  });
});
