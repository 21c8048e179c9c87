/**
 * Which answers of a key selector are keys, which keys are one, and what is said of the others; the same after a
 * restore.
 */
import { describe, expect, test } from "vitest";
import { buildChain } from "../../src/dataflow/chain.ts";
import type { OutputChannel } from "../../src/dataflow/channel/channel.ts";
import { createEdgeOutput } from "../../src/dataflow/output.ts";
import type { SinkWriter } from "../../src/dataflow/sink.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { OperatorError } from "../../src/errors.ts";
import { type Key, valueState } from "../../src/state/descriptor.ts";
import { inRow, process } from "../support/graphs/operators.ts";

const ask = (record: unknown) => (record as () => Key)();

const counting = process("count", ask, {
  state: { count: valueState(0) },
  onRecord(_, { state, emit, key }) {
    state.count.set(state.count.get() + 1);
    emit([typeof key, state.count.get()]);
  },
});

function chainOf() {
  const out: unknown[] = [];
  const chain = buildChain(
    { id: "count", parallelism: 1, operators: inRow([counting], ["out"]) },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: () => (value) => void out.push(value),
      writer: () => ({}) as SinkWriter<unknown>,
    },
  );
  return { chain, out };
}

/** How often each has come: groups of keys that are one, over a snapshot and a restore between their members. */
const one: readonly (readonly [string, readonly Key[]])[] = [
  ["0 and -0", [0, -0, 0]],
  ["every NaN", [Number.NaN, Number.NaN, 0 / 0]],
  ["the empty text", ["", "", ""]],
  ["a very long text", ["k".repeat(200_000), "k".repeat(200_000)]],
  ["half a surrogate pair", ["\ud83d", "\ud83d"]],
  ["a bigint beyond 64 bits", [2n ** 70n, 2n ** 70n]],
  ["infinity", [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]],
];

/** Alike to the eye, and two keys. */
const two: readonly (readonly [string, Key, Key])[] = [
  ["a text and a number", "1", 1],
  ["a number and a bigint", 1, 1n],
  ["a number and true", 1, true],
  ["a text and true", "true", true],
  ["composed and decomposed letters", "é".normalize("NFC"), "é".normalize("NFD")],
  ["two halves of surrogate pairs", "\ud83d", "\ud83e"],
  ["half a pair and what UTF-8 makes of it", "\ud83d", "\ufffd"],
  ["with and without a space", "a", "a "],
  ["with and without NUL", "a", "a\u0000"],
  ["texts that begin alike", "k".repeat(300), `${"k".repeat(300)}x`],
];

/** Feeds the keys one by one; between any two of them the state goes through a snapshot. */
function countsOf(keys: readonly Key[]): unknown[] {
  const counts: unknown[] = [];
  let { chain, out } = chainOf();
  for (const key of keys) {
    chain.heads[0]!(() => key, NO_TIMESTAMP);
    counts.push((out.at(-1) as unknown[])[1]);
    const [cut] = chain.snapshot();
    const next = chainOf();
    for (let chunk = cut!.cursor.next(); chunk !== undefined; chunk = cut!.cursor.next()) {
      const restorer = next.chain.restorer(cut!, { object: "test", bytes: chunk.bytes });
      while (restorer.next()) {}
    }
    ({ chain, out } = next);
  }
  return counts;
}

/** The receiver of a record with this key, one of seven subtasks. */
function receiverOf(key: Key): number {
  let found = -1;
  const channels = Array.from(
    { length: 7 },
    (_, i) =>
      ({ recordsPerFrame: 1, hasRoom: () => true, send: () => (found = i) }) as unknown as OutputChannel,
  );
  const partitioner = { kind: "hash", key: ask } as const;
  const output = createEdgeOutput({
    partitioner,
    channels,
    subtaskIndex: 0,
    maxParallelism: 128,
    receiver: "count",
  });
  output.collect(() => key, NO_TIMESTAMP);
  return found;
}

describe("one key", () => {
  test.each(one)("%s", (_, keys) => {
    expect(countsOf(keys)).toEqual(keys.map((_key, i) => i + 1));
    expect(new Set(keys.map(receiverOf)).size).toBe(1);
  });
});

describe("two keys", () => {
  test.each(two)("%s", (_, a, b) => {
    expect(countsOf([a, b, a, b])).toEqual([1, 1, 2, 2]);
  });
});

describe("no key", () => {
  test.each<[string, unknown, string]>([
    [
      "undefined",
      undefined,
      "a key selector returned undefined; keys are strings, numbers, booleans or bigints",
    ],
    ["null", null, "returned null"],
    ["an object", { id: 1 }, "returned an object"],
    ["an array", ["a", 1], "returned an array"],
    ["a date", new Date(0), "returned a Date"],
    ["a symbol", Symbol("k"), "returned a symbol"],
    ["a function", () => "k", "returned a function"],
    ["a promise", Promise.resolve("k"), "returned a promise"],
    ["a boxed text", Object("k"), "returned a String"],
    ["bytes", new Uint8Array(2), "returned a Uint8Array"],
  ])("%s: the operator is named, at the sender and in the chain", (_, answer, words) => {
    const acts = [
      () => receiverOf(answer as Key),
      () => chainOf().chain.heads[0]!(() => answer, NO_TIMESTAMP),
    ];
    for (const act of acts) {
      expect(act).toThrow(OperatorError);
      expect(act).toThrow('operator "count" failed: ');
      expect(act).toThrow(words);
    }
  });
});
