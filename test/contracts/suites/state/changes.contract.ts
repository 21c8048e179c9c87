/** What cuts with a base give: what has changed since, so that both together are what was cut (KS4 of contract.ts). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ABSENT,
  type KeyedBackend,
  type Namespace,
  RESTORED_CUT,
  type SnapshotCursor,
  type StateTable,
} from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { keyGroupOf, keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import type { OpenBackendUnderTest } from "./backend.ts";

const GROUPS = 8;
const own = keyGroupRangeOf(0, 2, GROUPS);
const keys: readonly Key[] = Array.from({ length: 3000 }, (_, i) => (i % 4 === 0 ? `key ${i}` : i)).filter(
  (key) => keyGroupOf(key, GROUPS) <= own.last,
);
const NAMESPACES: readonly Namespace[] = [undefined, 60_000, 120_000, "a"];
const TABLES = ["fixed", "listed", "apart"] as const;
type TableName = (typeof TABLES)[number];

/** Namespace -> key -> value. */
type Model = Map<Namespace, Map<Key, unknown>>;

const copyOf = (model: Model): Model => new Map([...model].map(([of, rows]) => [of, new Map(rows)]));

const range = {
  table: fc.constantFrom(...TABLES),
  namespace: fc.constantFrom(...NAMESPACES),
  from: fc.nat(keys.length - 1),
  count: fc.oneof({ weight: 3, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(keys.length) }),
  value: fc.constantFrom<unknown>(1, 2.5, -0, "text", { n: 1, s: "x" }, { n: 2 ** 40, s: "y" }, [1]),
};
const steps = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant("write" as const), ...range }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("remove" as const), ...range }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("drop" as const),
        namespace: range.namespace,
        group: fc.integer({ min: own.first, max: own.last }),
      }),
    },
    { weight: 5, arbitrary: fc.record({ do: fc.constant("cut" as const), base: fc.nat(3) }) },
    {
      weight: 5,
      arbitrary: fc.record({ do: fc.constant("read" as const), cut: fc.nat(2), calls: fc.nat(3) }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("finish" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("cancel" as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("restore" as const), cut: fc.nat(3) }) },
  ),
  { minLength: 15, maxLength: 60 },
);

/** One table at a cut that may still be read. */
interface OpenCut {
  readonly number: number;
  readonly cursor: SnapshotCursor;
  readonly read: Uint8Array[];
  /** What has to be restored in front of it. */
  readonly front: readonly Uint8Array[];
  readonly expected: Model;
}

/** What can be restored, as the pieces of each table, and be a base. */
interface ReadCut {
  readonly number: number;
  readonly pieces: Record<TableName, readonly Uint8Array[]>;
  readonly expected: Record<TableName, Model>;
}

interface Run {
  readonly backend: KeyedBackend;
  readonly tables: Record<TableName, StateTable>;
  readonly namespacesApart: boolean;
  readonly close: () => void;
}

export function describeChangesContract(name: string, open: OpenBackendUnderTest): void {
  /** `namespacesApart`: false restores the rows of a table that lay apart into one where they do not. */
  function begin(from?: ReadCut, namespacesApart = true): Run {
    const options = { operator: "count", keyGroups: own, maxParallelism: GROUPS, keepsChanges: true };
    const { backend, close } = open(options);
    const tables = {
      fixed: backend.openTable("fixed"),
      listed: backend.openTable("listed", { listsNamespaces: true }),
      apart: backend.openTable("apart", { namespacesApart }),
    };
    for (const table of from === undefined ? [] : TABLES) {
      for (const [i, bytes] of from!.pieces[table].entries()) {
        if (bytes.byteLength === 0) continue;
        const restorer = backend.restorer(table, { object: `${table}.${i}`, bytes });
        while (restorer.next());
      }
    }
    if (from !== undefined) backend.restored();
    return { backend, tables, namespacesApart, close };
  }

  function expectContent(run: Run, expected: Record<TableName, Model>): void {
    for (const table of TABLES) {
      const found: Model = new Map();
      for (const { key, namespace, value } of run.tables[table].rows()) {
        if (!found.has(namespace)) found.set(namespace, new Map());
        found.get(namespace)!.set(key, value);
      }
      const rows = new Map([...expected[table]].filter(([, of]) => of.size > 0));
      expect(found).toEqual(rows);
      expect(run.tables[table].rowCount).toBe([...rows.values()].reduce((sum, of) => sum + of.size, 0));
    }
    if (!run.namespacesApart) return;
    const open = [...expected.apart].filter(([, of]) => of.size > 0).map(([of]) => of);
    expect(new Set(run.tables.apart.openNamespaces())).toEqual(new Set(open));
  }

  describe(`changes since a cut of ${name}`, () => {
    it("make of the base what was cut, whatever happens meanwhile", () => {
      const seen = { changes: 0, all: 0, restored: 0 };
      fc.assert(
        fc.property(steps, (story) => {
          let run = begin();
          let live: Record<TableName, Model> = { fixed: new Map(), listed: new Map(), apart: new Map() };
          let cuts: Record<TableName, OpenCut>[] = [];
          let read: ReadCut[] = [];

          const rowsOf = (table: TableName, namespace: Namespace): Map<Key, unknown> => {
            const rows = live[table].get(namespace) ?? new Map<Key, unknown>();
            live[table].set(namespace, rows);
            return rows;
          };
          const each = (
            {
              table,
              namespace: given,
              from,
              count,
            }: { table: TableName; namespace: Namespace; from: number; count: number },
            act: (table: StateTable, rows: Map<Key, unknown>, key: Key, i: number) => void,
          ): void => {
            const namespace = table === "fixed" ? undefined : given;
            run.tables[table].setCurrentNamespace(namespace);
            const rows = rowsOf(table, namespace);
            for (let i = 0; i < count; i++) {
              const key = keys[(from + i) % keys.length]!;
              run.backend.setCurrentKey(key);
              act(run.tables[table], rows, key, i);
            }
          };
          const finish = (one: Record<TableName, OpenCut>): void => {
            const pieces = {} as Record<TableName, readonly Uint8Array[]>;
            const expected = {} as Record<TableName, Model>;
            for (const table of TABLES) {
              const { cursor, read: bytes, front } = one[table];
              while (cursor.seek());
              for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next())
                bytes.push(chunk.bytes);
              pieces[table] = [...front, Buffer.concat(bytes)];
              expected[table] = one[table].expected;
              seen[cursor.base === undefined ? "all" : "changes"]++;
            }
            const done = { number: one.fixed.number, pieces, expected };
            for (const namespacesApart of [true, false]) {
              const restored = begin(done, namespacesApart);
              expectContent(restored, expected);
              restored.close();
            }
            read = [...read, done].sort((a, b) => a.number - b.number).slice(-4);
          };

          for (const step of story) {
            switch (step.do) {
              case "write":
                each(step, (table, rows, key) => {
                  table.write(step.value);
                  rows.set(key, step.value);
                });
                break;
              case "remove":
                each(step, (table, rows, key, i) => {
                  if (i % 3 === 1) return;
                  table.remove();
                  rows.delete(key);
                });
                break;
              case "drop":
                run.tables.apart.setCurrentNamespace(step.namespace);
                run.tables.apart.dropGroup(step.group);
                for (const key of [...rowsOf("apart", step.namespace).keys()])
                  if (keyGroupOf(key, GROUPS) === step.group) rowsOf("apart", step.namespace).delete(key);
                break;
              case "cut": {
                if (cuts.length === 3) finish(cuts.shift()!);
                const base = step.base === 0 ? undefined : read.at(-step.base);
                const named = run.backend.snapshot(() => base?.number);
                const cut = {} as Record<TableName, OpenCut>;
                for (const { state, cut: number, cursor } of named) {
                  const table = state as TableName;
                  const front = cursor.base === undefined ? [] : base!.pieces[table];
                  if (cursor.base !== undefined) expect(cursor.base).toBe(base!.number);
                  cut[table] = { number, cursor, read: [], front, expected: copyOf(live[table]) };
                }
                cuts.push(cut);
                break;
              }
              case "read": {
                const one = cuts[step.cut];
                for (const table of one === undefined ? [] : TABLES) {
                  for (let i = 0; i < step.calls; i++) {
                    if (one![table].cursor.seek()) continue;
                    const chunk = one![table].cursor.next();
                    if (chunk !== undefined) one![table].read.push(chunk.bytes);
                  }
                }
                break;
              }
              case "finish":
                if (cuts.length > 0) finish(cuts.shift()!);
                break;
              case "cancel": {
                const newest = cuts.pop();
                for (const table of TABLES) newest?.[table].cursor.cancel();
                break;
              }
              case "restore": {
                const from = read.at(-1 - step.cut);
                if (from === undefined) break;
                run.close();
                run = begin(from);
                live = Object.fromEntries(
                  TABLES.map((table) => [table, copyOf(from.expected[table])]),
                ) as typeof live;
                cuts = [];
                read = [{ ...from, number: RESTORED_CUT }];
                seen.restored++;
              }
            }
          }
          for (const one of cuts) finish(one);
          expectContent(run, live);
          run.close();
        }),
        { numRuns: 150 },
      );
      // The stories are random; these say that they are about something.
      expect(seen.changes).toBeGreaterThan(200);
      expect(seen.all).toBeGreaterThan(100);
      expect(seen.restored).toBeGreaterThan(10);
    });

    it("are as many as rows were changed or removed, however many rows there are", () => {
      const { backend, tables, close } = begin();
      const write = (key: Key, value: number): void => {
        backend.setCurrentKey(key);
        tables.fixed.write(value);
      };
      const entriesSince = (base: number | undefined): number => {
        let entries = 0;
        const [fixed] = backend.snapshot(() => base);
        for (let chunk = fixed!.cursor.next(); chunk !== undefined; chunk = fixed!.cursor.next())
          entries += chunk.entries;
        expect(fixed!.cursor.base).toBe(base);
        return entries;
      };
      for (const key of keys) write(key, 1);
      expect(entriesSince(undefined)).toBe(keys.length);
      for (const key of keys.slice(0, 7)) write(key, 2);
      for (const key of keys.slice(3, 10)) write(key, 3);
      expect(entriesSince(1)).toBe(10);
      expect(entriesSince(2)).toBe(0);
      backend.setCurrentKey(keys[0]!);
      tables.fixed.remove();
      backend.setCurrentKey(keys[500]!);
      tables.fixed.remove();
      // Not seen by any cut: there is nothing to tell.
      backend.setCurrentKey(keys[500]!);
      tables.fixed.write(4);
      tables.fixed.remove();
      expect(entriesSince(3)).toBe(2);
      expect(entriesSince(1)).toBe(11);
      expect(tables.fixed.read()).toBe(ABSENT);
      close();
    });

    it("are forgotten when more rows were removed than there are, and all rows are given instead", () => {
      const { backend, tables, close } = begin();
      const cutSince = (base: number | undefined) => {
        const [fixed] = backend.snapshot(() => base);
        while (fixed!.cursor.next() !== undefined) {}
        return fixed!;
      };
      let cut = cutSince(undefined).cut;
      let forgotten = 0;
      for (let round = 0; round < 20; round++) {
        for (const key of keys) {
          backend.setCurrentKey(key);
          tables.fixed.write(round);
        }
        const written = cutSince(cut);
        for (const key of keys) {
          backend.setCurrentKey(key);
          tables.fixed.remove();
        }
        const removed = cutSince(written.cut);
        if (written.cursor.base === undefined || removed.cursor.base === undefined) forgotten++;
        cut = removed.cut;
      }
      expect(forgotten).toBeGreaterThan(1);
      expect(forgotten).toBeLessThan(12);
      close();
    });
  });
}
