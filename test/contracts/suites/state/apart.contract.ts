/** What a table does whose namespaces lie apart: they are read and removed by key group, as a whole. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantError } from "../../../../src/errors.ts";
import type { EncodedChunk, SnapshotCursor, StateTable } from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { keyGroupOf, keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import { compareNames } from "../../../../src/state/name-order.ts";
import { bytesOf, drained, type OpenBackendUnderTest } from "./backend.ts";

const GROUPS = 8;
/** The second of three subtasks. */
const own = keyGroupRangeOf(1, 3, GROUPS);
const keys: readonly Key[] = Array.from({ length: 4000 }, (_, i) => (i % 3 === 0 ? `key ${i}` : i)).filter(
  (key) => keyGroupOf(key, GROUPS) >= own.first && keyGroupOf(key, GROUPS) <= own.last,
);
const PANES = [0, 60_000, 120_000] as const;

/** Pane -> key -> value. */
type Model = Map<number, Map<Key, number>>;

const copyOf = (model: Model): Model => new Map([...model].map(([pane, rows]) => [pane, new Map(rows)]));

const pane = fc.constantFrom(...PANES);
const range = { pane, from: fc.nat(keys.length - 1), count: fc.nat(keys.length) };
const group = fc.integer({ min: own.first, max: own.last });
const steps = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ do: fc.constant("write" as const), ...range }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("remove" as const), ...range }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("drop" as const), pane, group }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("dropAll" as const), pane }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("cut" as const) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant("next" as const), cut: fc.nat(2) }) },
  ),
  { minLength: 5, maxLength: 30 },
);

/** The same for all reads: what is behind the rows that were read is of no meaning. */
const columns: { keys: Key[]; values: unknown[] } = { keys: [], values: [] };

export function describeApartContract(name: string, open: OpenBackendUnderTest): void {
  function opened() {
    const { backend, close } = open({ operator: "count", keyGroups: own, maxParallelism: GROUPS });
    return { backend, close, table: backend.openTable("panes", { namespacesApart: true }) };
  }

  function groupOf(table: StateTable, of: number, keyGroup: number): Map<Key, unknown> {
    table.setCurrentNamespace(of);
    const count = table.readGroup(keyGroup, columns.keys, columns.values);
    const found = columns.keys.slice(0, count);
    const values = columns.values.slice(0, count);
    expect(values).toHaveLength(found.length);
    const rows = new Map(found.map((key, i) => [key, values[i]]));
    expect(rows.size).toBe(found.length);
    return rows;
  }

  function expectContent(table: StateTable, model: Model): void {
    expect(table.openNamespaces()).toEqual([...model.keys()].sort((a, b) => a - b));
    expect(table.rowCount).toBe([...model.values()].reduce((sum, rows) => sum + rows.size, 0));
    for (const of of PANES) {
      for (let keyGroup = own.first; keyGroup <= own.last; keyGroup++) {
        const expected = [...(model.get(of) ?? [])].filter(([key]) => keyGroupOf(key, GROUPS) === keyGroup);
        expect(groupOf(table, of, keyGroup)).toEqual(new Map(expected));
      }
    }
  }

  describe(`namespaces that lie apart in ${name}`, () => {
    it("are what a Map of each would be, and in each cut what that held then", () => {
      let dropped = 0;
      fc.assert(
        fc.property(steps, (story) => {
          const { backend, table, close } = opened();
          const live: Model = new Map();
          const cuts: { cursor: SnapshotCursor; chunks: EncodedChunk[]; expected: Model }[] = [];
          const drop = (of: number, keyGroup: number): void => {
            table.setCurrentNamespace(of);
            table.dropGroup(keyGroup);
            const rows = live.get(of);
            for (const key of rows?.keys() ?? []) {
              if (keyGroupOf(key, GROUPS) !== keyGroup) continue;
              rows!.delete(key);
              if (cuts.length > 0) dropped++;
            }
            if (rows?.size === 0) live.delete(of);
          };
          for (const [number, step] of story.entries()) {
            switch (step.do) {
              case "write":
              case "remove":
                for (let i = 0; i < step.count; i++) {
                  const key = keys[(step.from + i) % keys.length]!;
                  backend.setCurrentKey(key);
                  table.setCurrentNamespace(step.pane);
                  const rows = live.get(step.pane) ?? new Map<Key, number>();
                  if (step.do === "write") {
                    table.write(number + i / 2);
                    live.set(step.pane, rows.set(key, number + i / 2));
                  } else {
                    table.remove();
                    if (rows.delete(key) && rows.size === 0) live.delete(step.pane);
                  }
                }
                break;
              case "drop":
                drop(step.pane, step.group);
                break;
              case "dropAll":
                for (let keyGroup = own.first; keyGroup <= own.last; keyGroup++) drop(step.pane, keyGroup);
                break;
              case "cut":
                cuts.push({ cursor: backend.snapshot()[0]!.cursor, chunks: [], expected: copyOf(live) });
                break;
              case "next": {
                const chunk = cuts[step.cut]?.cursor.next();
                if (chunk !== undefined) cuts[step.cut]!.chunks.push(chunk);
                break;
              }
            }
          }
          expectContent(table, live);
          for (const { cursor, chunks, expected } of cuts.reverse()) {
            chunks.push(...drained(cursor));
            const groups = chunks.flatMap(({ keyGroups }) => [keyGroups.first, keyGroups.last]);
            expect(groups).toEqual([...groups].sort((a, b) => a - b));
            const restored = opened();
            const restorer = restored.backend.restorer("panes", {
              object: "state.0",
              bytes: bytesOf(chunks),
            });
            while (restorer.next());
            expectContent(restored.table, expected);
            restored.close();
          }
          close();
        }),
        { numRuns: 60 },
      );
      expect(dropped).toBeGreaterThan(1000);
    });

    it("go when they hold nothing, and come again", () => {
      const { backend, table, close } = opened();
      const key = keys[0]!;
      backend.setCurrentKey(key);
      for (const removed of [() => table.remove(), () => table.dropGroup(keyGroupOf(key, GROUPS))]) {
        table.setCurrentNamespace(1);
        table.write("one");
        expect(table.openNamespaces()).toEqual([1]);
        removed();
        expect(table.openNamespaces()).toEqual([]);
        table.write("again");
        expect(table.read()).toBe("again");
        expect([...table.rows()].map(({ namespace, value }) => [namespace, value])).toEqual([[1, "again"]]);
        table.remove();
      }
      close();
    });

    it("are listed with their rows key group by key group, each by its namespace (KS7)", () => {
      const { backend, table, close } = opened();
      for (const of of [...PANES].reverse()) {
        table.setCurrentNamespace(of);
        for (const key of keys) {
          backend.setCurrentKey(key);
          table.write(of);
        }
      }
      const rows = [...table.rows()];
      expect(rows).toHaveLength(keys.length * PANES.length);
      for (const [i, { keyGroup, key, namespace, value }] of rows.entries()) {
        expect([keyGroup, namespace]).toEqual([keyGroupOf(key, GROUPS), value]);
        const before = rows[i - 1];
        if (before?.keyGroup === keyGroup)
          expect(compareNames(before.namespace, namespace)).toBeLessThanOrEqual(0);
        else expect(before?.keyGroup ?? -1).toBeLessThan(keyGroup);
      }
      close();
    });

    it("are read so only where the table was opened for it", () => {
      const { backend, close } = opened();
      const plain = backend.openTable("plain");
      expect(() => plain.openNamespaces()).toThrow(InvariantError);
      expect(() => plain.dropGroup(own.first)).toThrow(InvariantError);
      expect(() => plain.readGroup(own.first, [], [])).toThrow(InvariantError);
      close();
    });
  });
}
