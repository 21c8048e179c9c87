/**
 * What an object hides is refused in every mode, on every way out of a function, also when some ordinary ones went
 * before.
 */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { fileSink } from "../../src/connectors/file-sink.ts";
import { jsonText } from "../../src/connectors/json-text.ts";
import { buildChain } from "../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../src/dataflow/operators/contract.ts";
import type { SinkWriter } from "../../src/dataflow/sink.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { OperatorError } from "../../src/errors.ts";
import { valueState } from "../../src/state/descriptor.ts";
import { prepareTransaction, sinkEnvironment } from "../../src/testing/sink-environment.ts";
import { inRow, map, process, reduce, sink } from "../support/graphs/operators.ts";

const ordinary = () => ({ id: 1, tags: ["a", "b"] });

const odd: Readonly<Record<string, readonly [value: () => unknown, words: string, json: boolean]>> = {
  "a getter": [
    () => ({
      ...ordinary(),
      get id() {
        return 1;
      },
    }),
    'has a getter, "id"',
    true,
  ],
  "a proxy": [() => new Proxy(ordinary(), {}), "is a proxy", true],
  "a field named by a symbol": [() => ({ ...ordinary(), [Symbol("trace")]: 1 }), "Symbol(trace)", false],
  "a hidden field": [() => Object.defineProperty(ordinary(), "secret", { value: 1 }), '"secret"', true],
  "a hidden field of its shape": [
    () => Object.defineProperty(ordinary(), "id", { enumerable: false }),
    '"id"',
    true,
  ],
  "an array with a name": [() => ({ id: 1, tags: Object.assign(["a", "b"], { sum: 1 }) }), '"sum"', false],
  "a match": [() => ({ id: 1, tags: /(a)b/.exec("ab") }), '"index"', false],
  "an instance of a class": [() => Object.assign(new (class Order {})(), ordinary()), "class Order", false],
  "no prototype": [() => Object.assign(Object.create(null), ordinary()), "without prototype", true],
};

const make = map("make", (value: () => unknown) => value());
const keep = process("keep", () => "k", {
  state: { last: valueState<unknown>(null) },
  onRecord: (value: () => unknown, { state }) => state.last.set(value() as object),
});
const latest = reduce(
  "latest",
  () => "k",
  (_, value) => value,
);

/** Each takes functions that make values; what it does at the end is what a checkpoint does. */
const ways: Readonly<
  Record<string, { operators: readonly OperatorDefinition[]; out: boolean; blamed: string }>
> = {
  "over an edge": { operators: [make], out: true, blamed: 'operator "make"' },
  "to a keyed operator of the chain": { operators: [make, latest], out: false, blamed: 'operator "make"' },
  "into state": { operators: [keep], out: false, blamed: 'operator "keep"' },
};

describe.each([false, true])("with checks: %s", (checks) => {
  describe.each(Object.entries(ways))("%s", (_, { operators, out, blamed }) => {
    test.each(Object.entries(odd))("%s is refused by name", (_, [value, words]) => {
      const chain = buildChain(
        { id: "vertex", parallelism: 1, operators: inRow(operators, out ? ["out"] : []) },
        {
          subtaskIndex: 0,
          maxParallelism: 128,
          output: () => () => {},
          writer: () => ({}) as SinkWriter<unknown>,
          checks,
        },
      );
      const checkpoint = () => {
        for (const { cursor } of chain.snapshot()) while (cursor.next() !== undefined) {}
      };
      for (let i = 0; i < 50; i++) chain.heads[0]!(ordinary, NO_TIMESTAMP);
      checkpoint();
      const act = () => {
        chain.heads[0]!(value, NO_TIMESTAMP);
        checkpoint();
      };
      let refusal: unknown;
      try {
        act();
      } catch (error) {
        refusal = error;
      }
      expect(refusal).toBeInstanceOf(OperatorError);
      expect(String(refusal)).toContain(blamed);
      expect(String(refusal)).toContain(words);
    });
  });
});

test("a stream of odd records is found out soon, also behind very many ordinary ones and without checks", () => {
  const chain = buildChain(
    { id: "vertex", parallelism: 1, operators: inRow([make], ["out"]) },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: () => () => {},
      writer: () => ({}) as SinkWriter<unknown>,
    },
  );
  for (let i = 0; i < 100_000; i++) chain.heads[0]!(ordinary, NO_TIMESTAMP);
  const [getter] = odd["a getter"]!;
  expect(() => {
    for (let i = 0; i < 64; i++) chain.heads[0]!(getter, NO_TIMESTAMP);
  }).toThrow('has a getter, "id"');
});

describe("as JSON, by a sink", () => {
  test.each(Object.entries(odd))(
    "%s is written as JSON knows it, or refused",
    (_, [value, words, isJson]) => {
      expect(jsonText(ordinary())).toBe('{"id":1,"tags":["a","b"]}');
      if (isJson) expect(jsonText(value())).toBe(JSON.stringify(value()));
      else expect(() => jsonText(value())).toThrow(words);
    },
  );
});

describe("in a file, by a file sink", () => {
  const lineBefore = '{"id":1,"tags":["a","b"]}';

  async function opened(encode: "json" | "text") {
    const directory = await mkdtemp(join(tmpdir(), "tidemark-odd-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const writer = await fileSink({ directory, encode }).open(sinkEnvironment({}));
    const chain = buildChain(
      { id: "vertex", parallelism: 1, operators: inRow([make, sink("lines")]) },
      { subtaskIndex: 0, maxParallelism: 128, output: () => () => {}, writer: () => writer },
    );
    /** What a reader finds once the transaction is committed. */
    const committed = async () => {
      await writer.commit(await prepareTransaction(writer, 1, []));
      const files = (await readdir(directory)).filter((name) => !name.startsWith("."));
      const texts = await Promise.all(files.map((name) => readFile(join(directory, name), "utf8")));
      return texts.join("");
    };
    return { take: (value: () => unknown) => chain.heads[0]!(value, NO_TIMESTAMP), committed };
  }

  test.each(Object.entries(odd))(
    "%s is one line as JSON knows it, or is refused and leaves no part of a line",
    async (_, [value, words, isJson]) => {
      const { take, committed } = await opened("json");
      take(ordinary);
      if (isJson) take(value);
      else {
        expect(() => take(value)).toThrow(/^operator "lines".*a record cannot be written as JSON/);
        expect(() => take(value)).toThrow(words);
      }
      const lines = isJson ? [lineBefore, JSON.stringify(value())] : [lineBefore];
      expect(await committed()).toBe(`${lines.join("\n")}\n`);
    },
  );

  test.each(Object.entries(odd))("%s is no text", async (_, [value]) => {
    const { take, committed } = await opened("text");
    take(() => lineBefore);
    expect(() => take(value)).toThrow(/^operator "lines".*encode answered an? \w+.*, and text is needed/);
    expect(await committed()).toBe(`${lineBefore}\n`);
  });
});
