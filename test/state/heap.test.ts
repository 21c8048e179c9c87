/** HT1 to HT4: keyed state in the heap against Maps that are copied at the cut. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigurationError, InvariantError, ObjectCorruptError, OperatorError } from "../../src/errors.ts";
import type { EncodedChunk, SnapshotCursor } from "../../src/state/contract.ts";
import { type Key, mapState, stateTable, valueState } from "../../src/state/descriptor.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { hashOf, keyGroupOf, keyGroupRangeOf } from "../../src/state/key-groups.ts";
import { KeyedState } from "../../src/state/keyed-state.ts";
import { SegmentIndex } from "../../src/state/snapshot/segments.ts";

const INITIAL = "initial";
const descriptors = { a: valueState<unknown>(INITIAL), b: valueState<unknown>(INITIAL) };
type Name = "a" | "b";
const NAMES: readonly Name[] = ["a", "b"];

function backendOf(maxParallelism = 128, subtask = 0, parallelism = 1): KeyedState<typeof descriptors> {
  return new KeyedState((options) => new HeapBackend(options), {
    operator: "count",
    descriptors,
    keyGroups: keyGroupRangeOf(subtask, parallelism, maxParallelism),
    maxParallelism,
  });
}

function put(backend: KeyedState<typeof descriptors>, name: Name, key: Key, value: unknown): void {
  backend.setCurrentKey(key);
  backend.handles[name].set(value as object);
}

function remove(backend: KeyedState<typeof descriptors>, name: Name, key: Key): void {
  backend.setCurrentKey(key);
  backend.handles[name].clear();
}

function contentOf(backend: KeyedState<typeof descriptors>, name: Name): Map<Key, unknown> {
  const content = new Map<Key, unknown>();
  for (const key of backend.keys()) {
    backend.setCurrentKey(key);
    const value = backend.handles[name].get();
    if (value !== INITIAL) content.set(key, value);
  }
  return content;
}

function cut(backend: KeyedState<typeof descriptors>): Record<Name, SnapshotCursor> {
  const cursors = backend.snapshot();
  expect(cursors.map(({ state }) => state)).toEqual(["a", "b"]);
  return { a: cursors[0]!.cursor, b: cursors[1]!.cursor };
}

function drain(cursor: SnapshotCursor, chunks: EncodedChunk[] = []): EncodedChunk[] {
  for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk);
  return chunks;
}

function bytesOf(chunks: readonly EncodedChunk[]): Uint8Array {
  return Buffer.concat(chunks.map((chunk) => chunk.bytes));
}

function restore(backend: KeyedState<typeof descriptors>, name: Name, bytes: Uint8Array): void {
  const restorer = backend.restorer(name, { object: "state.0", bytes });
  while (restorer.next());
}

function restoredFrom(
  chunks: readonly EncodedChunk[],
  name: Name,
  maxParallelism: number,
): Map<Key, unknown> {
  const backend = backendOf(maxParallelism);
  restore(backend, name, bytesOf(chunks));
  return contentOf(backend, name);
}

async function collectGarbage(): Promise<void> {
  // What a WeakRef was asked for stays until the turn ends.
  await new Promise(setImmediate);
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
}

describe("values", () => {
  test("answer the initial value until they are set, and after they were cleared", () => {
    const backend = backendOf();
    backend.setCurrentKey("k");
    const { a, b } = backend.handles;
    expect(a.get()).toBe(INITIAL);
    a.set(false);
    expect(a.get()).toBe(false);
    expect(b.get()).toBe(INITIAL);
    a.clear();
    expect(a.get()).toBe(INITIAL);
    a.clear();
    expect([...backend.keys()]).toEqual([]);
  });

  test("belong to their key, of any type", () => {
    const backend = backendOf();
    const keys: Key[] = ["1", 1, 1n, true, "", Number.NaN, 0.5, "\ud800", "\udc00"];
    for (const [i, key] of keys.entries()) put(backend, "a", key, i);
    put(backend, "a", -0, "zero");
    expect(contentOf(backend, "a")).toEqual(
      new Map<Key, unknown>([...keys.map((key, i) => [key, i] as const), [0, "zero"]]),
    );
    const { a } = cut(backend);
    expect(restoredFrom(drain(a), "a", 128)).toEqual(contentOf(backend, "a"));
  });

  test("belong to their key where an integer is the hash of a string", () => {
    const texts = Array.from({ length: 50 }, (_, i) => `text-${i}`);
    const integers = texts.map((text) => hashOf(text) | 0);
    const backend = backendOf();
    for (const integer of integers) put(backend, "a", integer, `of ${integer}`);
    for (const text of texts) {
      backend.setCurrentKey(text);
      expect(backend.handles.a.get()).toBe(INITIAL);
      backend.handles.a.set(`of ${text}`);
    }
    for (const integer of integers.slice(25)) remove(backend, "a", integer);
    for (const text of texts.slice(0, 25)) remove(backend, "a", text);
    const left = [...integers.slice(0, 25), ...texts.slice(25)];
    expect(contentOf(backend, "a")).toEqual(new Map(left.map((key) => [key, `of ${key}`])));
  });

  test("of keys outside the subtask's key groups are refused", () => {
    const backend = backendOf(128, 1, 2);
    const foreign = ["a", "b", "c", "d", "e", "f"].find((key) => keyGroupOf(key, 128) < 64)!;
    // Legal input reaches this: a selector that answers something else each time.
    expect(() => backend.setCurrentKey(foreign)).toThrow(OperatorError);
    expect(() => backend.setCurrentKey(null as never)).toThrow(ConfigurationError);
  });

  test("are not there before the first record", () => {
    expect(() => backendOf().handles.a.get()).toThrow(/state "a" was used without a key/);
  });
});

type Step =
  | { do: "set" | "clear"; name: Name; from: number; count: number; stride: number; heavy: boolean }
  | { do: "cut" | "cancel" }
  | { do: "next"; of: number; name: Name; calls: number };

const KEYS = 1500;
/** How many cuts a story has open at once. */
const OPEN_MAX = 3;
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constantFrom("set" as const, "clear" as const),
        name: fc.constantFrom(...NAMES),
        from: fc.nat(KEYS - 1),
        count: fc.nat(400),
        stride: fc.integer({ min: 1, max: 7 }),
        heavy: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const) }) },
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("next" as const),
        of: fc.nat(OPEN_MAX - 1),
        name: fc.constantFrom(...NAMES),
        calls: fc.integer({ min: 1, max: 4 }),
      }),
    },
  ),
  { minLength: 15, maxLength: 40 },
);

describe("a snapshot", () => {
  test("is the state at its cut, whatever happens meanwhile (HT2)", () => {
    let cutsRead = 0;
    let changedMeanwhile = 0;
    const keyOf = (i: number): Key => (i % 5 === 0 ? i : `key-${i}`);
    fc.assert(
      fc.property(steps, fc.constantFrom(1, 3, 16, 128), (story, maxParallelism) => {
        const backend = backendOf(maxParallelism);
        const live: Record<Name, Map<Key, unknown>> = { a: new Map(), b: new Map() };
        for (let i = 0; i < KEYS; i += 2) {
          put(backend, "a", keyOf(i), i);
          live.a.set(keyOf(i), i);
        }
        type OpenCut = Record<
          Name,
          { cursor: SnapshotCursor; chunks: EncodedChunk[]; expected: Map<Key, unknown> }
        >;
        let open: OpenCut[] = [];
        let version = 0;
        const finishOldest = (): void => {
          const [oldest, ...others] = open;
          for (const name of NAMES) {
            const { cursor, chunks, expected } = oldest![name];
            drain(cursor, chunks);
            expect(restoredFrom(chunks, name, maxParallelism)).toEqual(expected);
            expect(chunks.reduce((sum, chunk) => sum + chunk.entries, 0)).toBe(expected.size);
            cutsRead++;
          }
          open = others;
        };
        for (const step of story) {
          switch (step.do) {
            case "set":
            case "clear":
              if (open.length > 0) changedMeanwhile++;
              for (let n = 0, i = step.from; n < step.count; n++, i = (i + step.stride) % KEYS) {
                const key = keyOf(i);
                if (step.do === "clear") {
                  remove(backend, step.name, key);
                  live[step.name].delete(key);
                } else {
                  const value = step.heavy ? { version, text: "x".repeat(300) } : version + i;
                  put(backend, step.name, key, value);
                  live[step.name].set(key, value);
                }
              }
              version++;
              break;
            case "cut": {
              if (open.length === OPEN_MAX) finishOldest();
              const cursors = cut(backend);
              open.push({
                a: { cursor: cursors.a, chunks: [], expected: new Map(live.a) },
                b: { cursor: cursors.b, chunks: [], expected: new Map(live.b) },
              });
              break;
            }
            case "cancel": {
              const newest = open.pop();
              for (const name of NAMES) {
                newest?.[name].cursor.cancel();
                expect(newest?.[name].cursor.next()).toBe(undefined);
              }
              break;
            }
            case "next": {
              const one = open[step.of % open.length]?.[step.name];
              for (let call = 0; one !== undefined && call < step.calls; call++) {
                const chunk = one.cursor.next();
                if (chunk !== undefined) one.chunks.push(chunk);
              }
              break;
            }
          }
        }
        while (open.length > 0) finishOldest();
        for (const name of NAMES) expect(contentOf(backend, name)).toEqual(live[name]);
      }),
      { numRuns: 80 },
    );
    // The stories are random; these say that they are about something (about 650 and 500 as a rule).
    expect(cutsRead).toBeGreaterThan(50);
    expect(changedMeanwhile).toBeGreaterThan(50);
  });

  test("ends although new keys arrive faster than it reads (HT3)", () => {
    const backend = backendOf(1);
    for (let i = 0; i < 3000; i++) put(backend, "a", `old-${i}`, i);
    const { a } = cut(backend);
    let entries = 0;
    let born = 0;
    for (let chunk = a.next(); chunk !== undefined; chunk = a.next()) {
      entries += chunk.entries;
      for (let i = 0; i < 2000; i++) put(backend, "a", `new-${born++}`, 0);
    }
    expect(entries).toBe(3000);
  });

  test("gives the cut's value of a key that was changed, cleared and set again", () => {
    const backend = backendOf();
    put(backend, "a", "k", 1);
    const first = cut(backend);
    put(backend, "a", "k", 2);
    put(backend, "a", "k", 3);
    remove(backend, "a", "k");
    put(backend, "a", "k", 4);
    expect(restoredFrom(drain(first.a), "a", 128)).toEqual(new Map([["k", 1]]));
    first.b.cancel();
    const second = cut(backend);
    remove(backend, "a", "k");
    expect(restoredFrom(drain(second.a), "a", 128)).toEqual(new Map([["k", 4]]));
    expect(contentOf(backend, "a")).toEqual(new Map());
  });

  test("after a cancelled one does not see what that one kept", () => {
    const backend = backendOf();
    put(backend, "a", "k", 1);
    put(backend, "a", "gone", 1);
    const first = cut(backend);
    put(backend, "a", "k", 2);
    remove(backend, "a", "gone");
    first.a.cancel();
    first.a.cancel();
    first.b.cancel();
    const second = cut(backend);
    put(backend, "a", "k", 3);
    expect(restoredFrom(drain(second.a), "a", 128)).toEqual(new Map([["k", 2]]));
  });

  test("lets go of what it kept for its cut when that has been read", async () => {
    const backend = backendOf();
    const old = (() => {
      const value = { text: "old" };
      put(backend, "a", "k", value);
      return new WeakRef(value);
    })();
    const { a, b } = cut(backend);
    put(backend, "a", "k", { text: "new" });
    await collectGarbage();
    expect(old.deref()).toEqual({ text: "old" });
    drain(a);
    b.cancel();
    await collectGarbage();
    expect(old.deref()).toBeUndefined();
  });

  test("with few keys is one chunk; large groups are split, and never share a chunk (CH2)", () => {
    const small = backendOf();
    for (let i = 0; i < 100; i++) put(small, "a", `k${i}`, i);
    expect(drain(cut(small).a)).toHaveLength(1);

    const large = backendOf(4);
    for (let i = 0; i < 5000; i++) put(large, "a", `k${i}`, i);
    const chunks = drain(cut(large).a);
    for (const chunk of chunks) {
      expect(chunk.keyGroups.first).toBe(chunk.keyGroups.last);
      expect(chunk.entries).toBeLessThanOrEqual(1024);
    }
    expect(chunks.map((chunk) => chunk.keyGroups.first)).toEqual(
      chunks.map((chunk) => chunk.keyGroups.first).sort((x, y) => x - y),
    );
  });

  test("ends a chunk where a split group ends (CH2)", () => {
    const backend = backendOf(2);
    const wanted = [300, 3];
    for (let i = 0; wanted[0]! + wanted[1]! > 0; i++) {
      if (wanted[keyGroupOf(i, 2)]!-- > 0) put(backend, "a", i, i);
      else wanted[keyGroupOf(i, 2)] = 0;
    }
    const chunks = drain(cut(backend).a);
    expect(chunks.map(({ keyGroups, entries }) => [keyGroups.first, keyGroups.last, entries])).toEqual([
      [0, 0, 256],
      [0, 0, 44],
      [1, 1, 3],
    ]);
  });

  test("gives a key once that is cleared and set right after it was read", () => {
    const backend = backendOf(1);
    for (let i = 0; i < 600; i++) put(backend, "a", i, i);
    const { a } = cut(backend);
    const chunks = [a.next()!];
    for (let i = 0; i < 200; i++) remove(backend, "a", i);
    for (let i = 0; i < 100; i++) put(backend, "a", i, -1);
    drain(a, chunks);
    expect(chunks.reduce((sum, chunk) => sum + chunk.entries, 0)).toBe(600);
    expect(restoredFrom(chunks, "a", 1)).toEqual(new Map(Array.from({ length: 600 }, (_, i) => [i, i])));
  });

  test("of large values has few in a chunk", () => {
    const backend = backendOf(1);
    for (let i = 0; i < 600; i++) put(backend, "a", i, { text: "x".repeat(4000) });
    const chunks = drain(cut(backend).a);
    expect(chunks[1]!.entries).toBe(16);
  });

  test("that holds what cannot be encoded names operator and state, and can be given up", () => {
    const backend = backendOf();
    put(backend, "a", "k", { bad: Symbol("s") });
    const { a, b } = cut(backend);
    expect(() => a.next()).toThrow(OperatorError);
    a.cancel();
    b.cancel();
    put(backend, "a", "k", 1);
    expect(restoredFrom(drain(cut(backend).a), "a", 128)).toEqual(new Map([["k", 1]]));
  });
});

describe("restore", () => {
  const source = backendOf();
  for (let i = 0; i < 20_000; i++) put(source, "a", `key-${i}`, { i });
  const chunks = drain(cut(source).a);
  const bytes = bytesOf(chunks);
  const all = contentOf(source, "a");

  test.each([1, 2, 3, 7])("over %i subtasks gives each key to its owner", (parallelism) => {
    const index = new SegmentIndex();
    let offset = 0;
    for (const chunk of chunks) {
      index.add(chunk, offset);
      offset += chunk.bytes.byteLength;
    }
    expect(index.segments().length).toBeGreaterThan(2);
    const merged = new Map<Key, unknown>();
    for (let subtask = 0; subtask < parallelism; subtask++) {
      const backend = backendOf(128, subtask, parallelism);
      for (const segment of index.segments()) {
        restore(backend, "a", bytes.subarray(segment.offset, segment.offset + segment.bytes));
      }
      for (const [key, value] of contentOf(backend, "a")) {
        expect(merged.has(key)).toBe(false);
        merged.set(key, value);
      }
    }
    expect(merged).toEqual(all);
  });

  test("of nothing leaves the state empty", () => {
    const backend = backendOf();
    restore(backend, "a", new Uint8Array(0));
    expect([...backend.keys()]).toEqual([]);
  });

  test("then snapshot gives the same content", () => {
    const backend = backendOf();
    restore(backend, "a", bytes);
    expect(restoredFrom(drain(cut(backend).a), "a", 128)).toEqual(all);
  });

  test("with another number of key groups is refused", () => {
    expect(() => restore(backendOf(64), "a", bytes)).toThrow(ObjectCorruptError);
    expect(() => restore(backendOf(256), "a", bytes)).toThrow(/is not of key group/);
  });

  test("of an unknown state, or after a cut, is a broken invariant", () => {
    const backend = backendOf();
    expect(() => backend.restorer("x", { object: "o", bytes })).toThrow(/has no state "x"/);
    cut(backend);
    expect(() => backend.restorer("a", { object: "o", bytes })).toThrow(InvariantError);
  });
});

describe("keys", () => {
  test("are each given once, although the caller sets and clears while it walks", () => {
    const backend = backendOf(4);
    for (let i = 0; i < 100; i++) put(backend, i % 2 === 0 ? "a" : "b", i, i);
    put(backend, "b", 0, 0);
    const seen: Key[] = [];
    for (const key of backend.keys()) {
      seen.push(key);
      remove(backend, "a", key);
      put(backend, "b", key, 1);
      remove(backend, "b", key);
      put(backend, "b", key, 2);
    }
    expect(seen.sort((x, y) => Number(x) - Number(y))).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });
});

describe("rows whose hashes have the same upper bits", () => {
  const SPREAD = 0x9e3779b1;

  /** The inverse of an odd number among 32 bits, by Newton's method. */
  function inverseOf(odd: number): number {
    let inverse = odd;
    for (let i = 0; i < 5; i++) inverse = Math.imul(inverse, 2 - Math.imul(odd, inverse));
    return inverse;
  }

  /** The inverse of `x ^ (x >>> bits)`. */
  function unshifted(x: number, bits: number): number {
    let inverse = x;
    for (let i = bits; i < 32; i += bits) inverse = x ^ (inverse >>> bits);
    return inverse;
  }

  function unmultiplied(x: number, factor: number): number {
    return Math.imul(x, inverseOf(factor));
  }

  /** The integer whose MurmurHash3 is `hash` (`hashOfInteger` of key-groups.ts). */
  function integerOf(hash: number): number {
    const mixed = unshifted(
      unmultiplied(unshifted(unmultiplied(unshifted(hash, 16), 0xc2b2ae35), 13), 0x85ebca6b),
      16,
    );
    const h = unmultiplied((mixed ^ 4) - 0xe6546b64, 5);
    const k = unmultiplied(((h >>> 13) | (h << 19)) ^ 1, 0x1b873593);
    return unmultiplied((k >>> 15) | (k << 17), 0xcc9e2d51);
  }

  /** Integers whose row hash is below 2^20 (`hashOfKey` of row-hash.ts). */
  const keys = Array.from({ length: 4000 }, (_, i) => {
    const hash = unshifted(unmultiplied(i * 7 + 1, SPREAD), 15);
    const key = integerOf(hash);
    expect(hashOf(key) | 0).toBe(hash);
    return key;
  });

  test("are kept in a block that grows instead of being split, also while a cut is read and after removal", () => {
    const backend = backendOf(1);
    for (const key of keys) put(backend, "a", key, { count: key });
    expect(contentOf(backend, "a").size).toBe(keys.length);
    const { a: cursor, b: other } = cut(backend);
    other.cancel();
    const chunks = [cursor.next()!];
    for (const key of keys.slice(0, 3900)) remove(backend, "a", key);
    const left = new Map(keys.slice(3900).map((key) => [key, { count: key }]));
    expect(contentOf(backend, "a")).toEqual(left);
    const atCut = restoredFrom(drain(cursor, chunks), "a", 1);
    expect(atCut).toEqual(new Map(keys.map((key) => [key, { count: key }])));
  });

  test("the integer whose hash is 0 and the one that has the hash used instead are two keys", () => {
    const FOR_ZERO = 0x5bd1e995;
    const zero = integerOf(0);
    const twin = integerOf(unshifted(unmultiplied(FOR_ZERO, SPREAD), 15));
    expect(hashOf(zero)).toBe(0);
    const backend = backendOf(1);
    for (const [first, second] of [
      [zero, twin],
      [twin, zero],
    ] as const) {
      put(backend, "a", first, "of the first");
      put(backend, "a", second, "of the second");
      expect(contentOf(backend, "a")).toEqual(
        new Map([
          [first, "of the first"],
          [second, "of the second"],
        ]),
      );
      remove(backend, "a", first);
      expect(contentOf(backend, "a")).toEqual(new Map([[second, "of the second"]]));
      remove(backend, "a", second);
    }
  });

  test("0 and -0 are one key", () => {
    const backend = backendOf(1);
    put(backend, "a", 0, "of zero");
    put(backend, "a", -0, "of minus zero");
    expect(contentOf(backend, "a")).toEqual(new Map([[0, "of minus zero"]]));
  });
});

test("a key of 2^32 records ago is not taken for the current one", () => {
  const backend = backendOf(1);
  put(backend, "a", "first", "of the first");
  // The number of a turn comes again after 2^32 keys; here it is set to the last one.
  const { current } = (backend as unknown as { backend: { current: { turn: number } } }).backend;
  const { turn } = current;
  current.turn = -1;
  backend.setCurrentKey("second");
  while (current.turn < turn) backend.setCurrentKey("second");
  expect(backend.handles.a.get()).toBe(INITIAL);
});

test("a table gives the engine's own operators its bare rows, beside the states of the user", () => {
  const state = new KeyedState((options) => new HeapBackend(options), {
    operator: "count",
    descriptors: { count: valueState(0), rows: stateTable({ listsNamespaces: true }) },
    keyGroups: keyGroupRangeOf(0, 1, 128),
    maxParallelism: 128,
  });
  const rows = state.table("rows");
  state.setCurrentKey("k");
  rows.setCurrentNamespace(60_000);
  rows.write("open");
  expect(state.handles.rows.namespaces()).toEqual([60_000]);
  expect([...rows.rows()]).toMatchObject([{ key: "k", namespace: 60_000, value: "open" }]);
  expect(state.statesInUse).toEqual([]);
  expect(() => state.table("count")).toThrow(InvariantError);
});

test("a map whose entries come and go takes no more memory with time, also if it is never iterated", async () => {
  const state = new KeyedState((options) => new HeapBackend(options), {
    operator: "dedupe",
    descriptors: { seen: mapState<number, number>() },
    keyGroups: keyGroupRangeOf(0, 1, 128),
    maxParallelism: 128,
  });
  state.setCurrentKey("k");
  const { seen } = state.handles;
  const churn = (from: number, to: number) => {
    for (let id = from; id < to; id++) {
      seen.set(id, id);
      seen.delete(id - 3);
    }
  };
  churn(0, 10_000);
  await collectGarbage();
  const before = process.memoryUsage().heapUsed;
  churn(10_000, 500_000);
  await collectGarbage();
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000);
  expect([...seen.keys()]).toEqual([499_997, 499_998, 499_999]);
});
