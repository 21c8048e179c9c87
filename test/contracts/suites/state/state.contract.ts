/** What every keyed state backend does (`src/state/contract.ts`). */
import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ConfigurationError,
  InvariantError,
  ObjectCorruptError,
  OperatorError,
} from "../../../../src/errors.ts";
import {
  ABSENT,
  type EncodedChunk,
  type Namespace,
  type SnapshotCursor,
  type StateTable,
} from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { keyGroupOf, keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import { encodeChunk } from "../../../../src/state/snapshot/chunk.ts";
import { ColumnEncoder } from "../../../../src/state/snapshot/columns.ts";
import { bytesOf, drained, type OpenBackendUnderTest } from "./backend.ts";

/** One row of a table: its address as text, and its value. */
type Content = Map<string, unknown>;

const addressOf = (key: Key, namespace: Namespace): string =>
  `${typeof key} ${String(key)} / ${typeof namespace} ${String(namespace)}`;

/** Fields in the same order, too. */
function same(rows: Content, expected: Content): void {
  deepStrictEqual(rows, expected);
  const fields = (held: unknown) => (typeof held === "object" && held !== null ? Object.keys(held) : []);
  for (const [address, held] of rows) deepStrictEqual(fields(held), fields(expected.get(address)));
}

/** Values that are of one shape as a rule, with whatever may be hard about them. */
const oddNumber = fc.oneof(
  fc.nat(),
  fc.double(),
  fc.constantFrom(-0, Number.NaN, Number.NEGATIVE_INFINITY, 2 ** 53 + 2, Number.MIN_VALUE),
);
const leaf = fc.oneof(
  fc.constantFrom(undefined, null, true, "", "\ud800"),
  fc.string(),
  oddNumber,
  fc.bigInt(),
  fc.array(fc.nat(), { maxLength: 2 }),
  fc.date({ noInvalidDate: true }),
);
const plain = { noNullPrototype: true } as const;
const row = fc.record({ count: oddNumber, name: fc.string(), sum: oddNumber }, plain);
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: row },
  { weight: 1, arbitrary: fc.record({ count: leaf, name: leaf, sum: leaf }, plain) },
  { weight: 1, arbitrary: row.map(({ count, name, sum }) => ({ sum, name, count })) },
  { weight: 1, arbitrary: row.map(({ count, sum }) => ({ count, sum })) },
  { weight: 1, arbitrary: fc.record({ count: oddNumber, name: leaf, sum: oddNumber, more: leaf }, plain) },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.constantFrom("1", "0", "toString", "constructor", "a"), leaf, plain),
  },
  { weight: 1, arbitrary: leaf },
);

type Step =
  | {
      readonly do: "write";
      readonly values: readonly unknown[];
      readonly from: number;
      readonly count: number;
    }
  | { readonly do: "remove"; readonly from: number; readonly count: number }
  | { readonly do: "cut" }
  | { readonly do: "next" | "cancel"; readonly cut: number };

const KEYS = 240;
const NAMESPACES: readonly Namespace[] = [undefined, "", "window", 7];
const range = { from: fc.nat(KEYS - 1), count: fc.nat(90) };
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant("write" as const),
        values: fc.array(value, { minLength: 1, maxLength: 4 }),
        ...range,
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), ...range }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("next" as const), cut: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const), cut: fc.nat(3) }) },
  ),
  { minLength: 10, maxLength: 40 },
);

export function describeStateContract(name: string, open: OpenBackendUnderTest): void {
  const MAX_PARALLELISM = 16;

  /** The tables `a` and `b` of a subtask. */
  function opened(maxParallelism = MAX_PARALLELISM, subtask = 0, parallelism = 1) {
    const { backend, close } = open({
      operator: "count",
      keyGroups: keyGroupRangeOf(subtask, parallelism, maxParallelism),
      maxParallelism,
    });
    const a = backend.openTable("a");
    const b = backend.openTable("b");
    const at = (table: StateTable, key: Key, namespace: Namespace = undefined): StateTable => {
      backend.setCurrentKey(key);
      table.setCurrentNamespace(namespace);
      return table;
    };
    const content = (table: StateTable): Content => {
      const rows: Content = new Map();
      for (const key of backend.keys()) {
        for (const namespace of NAMESPACES) {
          const found = at(table, key, namespace).read();
          if (found !== ABSENT) rows.set(addressOf(key, namespace), found);
        }
      }
      return rows;
    };
    const restore = (table: string, bytes: Uint8Array): void => {
      const restorer = backend.restorer(table, { object: "state.0", bytes });
      while (restorer.next());
    };
    return { backend, close, a, b, at, content, restore };
  }

  function restored(bytes: Uint8Array, maxParallelism = MAX_PARALLELISM): Content {
    const { a, content, restore, close } = opened(maxParallelism);
    restore("a", bytes);
    const rows = content(a);
    close();
    return rows;
  }

  describe(`the keyed state backend ${name}`, () => {
    it("holds what a Map of copies would, and each cut what it would have held then (KS2, KS4, KS5)", () => {
      let together = 0;
      fc.assert(
        fc.property(steps, fc.constantFrom(1, 3, MAX_PARALLELISM), (story, maxParallelism) => {
          const { backend, a, at, content, close } = opened(maxParallelism);
          const live: Content = new Map();
          let cuts: { cursor: SnapshotCursor; chunks: EncodedChunk[]; expected: Content }[] = [];
          const addresses = (from: number, count: number) =>
            Array.from({ length: count }, (_, n) => {
              const i = (from + n) % KEYS;
              const key: Key = i % 3 === 0 ? i : `key-${i}`;
              // Most rows are of the fixed namespace.
              return [key, NAMESPACES[i % 5 === 0 ? n % NAMESPACES.length : 0]] as const;
            });
          for (const step of story) {
            switch (step.do) {
              case "write":
                for (const [i, [key, namespace]] of addresses(step.from, step.count).entries()) {
                  const given = step.values[i % step.values.length];
                  at(a, key, namespace).write(given);
                  live.set(addressOf(key, namespace), structuredClone(given));
                }
                break;
              case "remove":
                for (const [key, namespace] of addresses(step.from, step.count)) {
                  at(a, key, namespace).remove();
                  live.delete(addressOf(key, namespace));
                }
                break;
              case "cut": {
                const [ofA, ofB] = backend.snapshot();
                ofB!.cursor.cancel();
                cuts.push({ cursor: ofA!.cursor, chunks: [], expected: new Map(live) });
                together = Math.max(together, cuts.length);
                break;
              }
              case "next": {
                const one = cuts[step.cut];
                const chunk = one?.cursor.next();
                if (chunk !== undefined) one!.chunks.push(chunk);
                break;
              }
              case "cancel":
                cuts[step.cut]?.cursor.cancel();
                cuts = cuts.filter((_, i) => i !== step.cut);
                break;
            }
          }
          same(content(a), live);
          for (const { cursor, chunks, expected } of cuts.reverse()) {
            chunks.push(...drained(cursor));
            expect(chunks.reduce((sum, { entries }) => sum + entries, 0)).toBe(expected.size);
            same(restored(bytesOf(chunks), maxParallelism), expected);
          }
          close();
        }),
        { numRuns: 60 },
      );
      expect(together).toBeGreaterThan(2);
    });

    it("keeps rows of many blocks apart while some are removed and three cuts are read at a time", () => {
      const { backend, a, at, close } = opened(1);
      const live = new Map<Key, unknown>();
      const cuts: { cursor: SnapshotCursor; chunks: EncodedChunk[]; expected: Map<Key, unknown> }[] = [];
      const rows = 6000;
      for (let round = 0; round < 4; round++) {
        for (let i = 0; i < rows; i++) {
          if ((i * 7 + round) % 5 === 0) {
            at(a, i).remove();
            live.delete(i);
          } else if (round === 0 || i % (round + 1) === 0) {
            const held = (i + round) % 97 === 0 ? `text ${i}` : { count: i, round };
            at(a, i).write(held);
            live.set(i, held);
          }
          if (i % 500 !== 0) continue;
          for (const { cursor, chunks } of cuts) {
            const chunk = cursor.next();
            if (chunk !== undefined) chunks.push(chunk);
          }
        }
        const [ofA, ofB] = backend.snapshot();
        ofB!.cursor.cancel();
        cuts.push({ cursor: ofA!.cursor, chunks: [], expected: new Map(live) });
      }
      for (const { cursor, chunks, expected } of cuts) {
        chunks.push(...drained(cursor));
        const content = [...restored(bytesOf(chunks), 1)];
        expect(new Map(content)).toStrictEqual(
          new Map([...expected].map(([key, held]) => [addressOf(key, undefined), held])),
        );
      }
      close();
    });

    it("answers what was there when it was read, whatever is written then (KS2)", () => {
      const { a, at, close } = opened();
      at(a, "k").write({ count: 1, sum: 0.5 });
      const before = a.read();
      a.write({ count: 2, sum: 1.5 });
      at(a, "other").write({ count: 9, sum: 9 });
      expect(before).toStrictEqual({ count: 1, sum: 0.5 });
      expect(at(a, "k").read()).toStrictEqual({ count: 2, sum: 1.5 });
      close();
    });

    it("keeps tables, keys of any type and namespaces apart (KS1)", () => {
      const { backend, a, b, at, close } = opened();
      const keys: Key[] = ["1", 1, 1n, true, "", Number.NaN, 0.5, "\ud800", "\udc00", 0];
      const namespaces: Namespace[] = [undefined, "1", 1, "undefined", Number.NaN];
      for (const [i, key] of keys.entries())
        for (const [j, namespace] of namespaces.entries()) at(a, key, namespace).write(i * 10 + j);
      at(a, -0).write("zero");
      for (const [i, key] of keys.entries())
        for (const [j, namespace] of namespaces.entries())
          expect(at(a, key, namespace).read()).toBe(
            Object.is(key, 0) && namespace === undefined ? "zero" : i * 10 + j,
          );
      expect(at(b, "1").read()).toBe(ABSENT);
      expect(b.isInUse).toBe(true);
      at(b, "2");
      expect(b.isInUse).toBe(false);
      expect(new Set(backend.keys())).toEqual(new Set(keys));
      expect(backend.tableNames).toEqual(["a", "b"]);
      close();
    });

    it("tells the current key, and its key group among those of the job", () => {
      const { backend, a, close } = opened(MAX_PARALLELISM, 1, 3);
      const { first, last } = keyGroupRangeOf(1, 3, MAX_PARALLELISM);
      const keys: Key[] = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? i : `key ${i}`));
      const own = keys.filter((key) => {
        const group = keyGroupOf(key, MAX_PARALLELISM);
        return group >= first && group <= last;
      });
      expect(own.length).toBeGreaterThan(4);
      for (const key of own) {
        backend.setCurrentKey(key);
        expect([backend.currentKey, backend.currentKeyGroup]).toEqual([
          key,
          keyGroupOf(key, MAX_PARALLELISM),
        ]);
        a.write(1);
      }
      const groups = Array.from({ length: last - first + 1 }, (_, i) => first + i);
      // A backend may give more than those of the group.
      const given = groups.flatMap((group) =>
        [...backend.keys("a", group)].filter((key) => keyGroupOf(key, MAX_PARALLELISM) === group),
      );
      expect(given).toEqual([...backend.keys("a")]);
      expect(new Set(given)).toEqual(new Set(own));
      close();
    });

    it("stays in a namespace until another one is set", () => {
      const { backend, a, close } = opened();
      a.setCurrentNamespace("w");
      backend.setCurrentKey("k");
      a.write(1);
      backend.setCurrentKey("l");
      a.write(2);
      a.setCurrentNamespace(undefined);
      expect(a.read()).toBe(ABSENT);
      a.setCurrentNamespace("w");
      expect(a.read()).toBe(2);
      close();
    });

    it("lists each key once, and lets its rows go meanwhile", () => {
      const { backend, a, b, at, close } = opened();
      for (let i = 0; i < 500; i++) {
        at(a, i).write(i);
        at(a, i, "w").write(i);
        if (i % 2 === 0) at(b, i).write(i);
      }
      const seen: Key[] = [];
      for (const key of backend.keys()) {
        seen.push(key);
        at(a, key).remove();
        at(a, key, "w").remove();
        at(b, key).remove();
      }
      expect(seen.sort((x, y) => Number(x) - Number(y))).toEqual(Array.from({ length: 500 }, (_, i) => i));
      expect([...backend.keys()]).toEqual([]);
      close();
    });

    it("gives each subtask the rows of its key groups, and forgets deleted ones (KS5)", () => {
      const keys = Array.from({ length: 3000 }, (_, i) => `key-${i}`);
      const source = opened();
      for (const key of keys) source.at(source.a, key, key.endsWith("7") ? "w" : undefined).write({ n: 1 });
      const bytes = bytesOf(drained(source.backend.snapshot()[0]!.cursor));
      const whole = source.content(source.a);
      source.close();
      const merged: Content = new Map();
      for (let subtask = 0; subtask < 3; subtask++) {
        const { a, content, restore, close } = opened(MAX_PARALLELISM, subtask, 3);
        restore("a", bytes);
        for (const [address, held] of content(a)) {
          expect(merged.has(address)).toBe(false);
          merged.set(address, held);
        }
        close();
      }
      expect(merged).toStrictEqual(whole);

      const later = opened();
      later.restore("a", bytes);
      const gone = keys.filter((key) => key.endsWith("7") && keyGroupOf(key, MAX_PARALLELISM) === 5);
      const { bytes: deletions } = encodeChunk(
        {
          keys: [...gone, gone[0]!],
          namespaces: [...gone.map(() => "w"), undefined],
          groups: [{ keyGroup: 5, entries: gone.length + 1 }],
          deleted: new Set(gone.keys()),
          values: ["new"],
        },
        new ColumnEncoder(),
      );
      later.restore("a", deletions);
      for (const key of gone) whole.delete(addressOf(key, "w"));
      whole.set(addressOf(gone[0]!, undefined), "new");
      expect(later.content(later.a)).toStrictEqual(whole);
      later.close();
    });

    it("refuses keys of other subtasks, state of other key groups, and values that cannot be stored (KS6)", () => {
      const { backend, a, at, restore, close } = opened(128, 1, 2);
      const [foreign, own] = [63, 64].map(
        (group) =>
          Array.from({ length: 5000 }, (_, i) => `k${i}`).find((key) => keyGroupOf(key, 128) === group)!,
      );
      expect(() => backend.setCurrentKey(foreign!)).toThrow(OperatorError);
      expect(() => backend.setCurrentKey(null as never)).toThrow(ConfigurationError);
      at(a, own!).write({ count: 1 });
      a.write({ count: 1, [Symbol("hidden")]: 1 });
      const [ofA] = backend.snapshot();
      expect(() => ofA!.cursor.next()).toThrow(
        /state "a" holds a value that cannot be stored: the value of a key \(a text of \d+ characters\) cannot be carried: it has a field whose name is Symbol\(hidden\)/,
      );
      ofA!.cursor.cancel();
      expect(() => restore("a", new Uint8Array(0))).toThrow(InvariantError);
      close();
      const other = opened(64);
      const source = opened(128);
      source.at(source.a, own!).write(1);
      const bytes = bytesOf(drained(source.backend.snapshot()[0]!.cursor));
      expect(() => other.restore("a", bytes)).toThrow(ObjectCorruptError);
      source.close();
      other.close();
    });

    it("cancels the cuts that are open when it is closed", () => {
      const { backend, a, at, close } = opened();
      at(a, "k").write(1);
      const [ofA] = backend.snapshot();
      close();
      expect(ofA!.cursor.next()).toBeUndefined();
    });
  });
}
