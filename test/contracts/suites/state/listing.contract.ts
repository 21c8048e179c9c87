/** What every keyed state backend lists, and in which order (KS7 of `src/state/contract.ts`). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InvariantError } from "../../../../src/errors.ts";
import type { Namespace, StateRow, StateTable } from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { keyGroupOf, keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import { bytesOf, drained, type OpenBackendUnderTest } from "./backend.ts";

const MAX_PARALLELISM = 4;

interface Step {
  readonly do: "write" | "remove" | "removeKey";
  readonly key: Key;
  readonly namespace: Namespace;
}

const key: fc.Arbitrary<Key> = fc.constantFrom(1, "1", "key of some length", 2, -0, true, 1n);
const namespace: fc.Arbitrary<Namespace> = fc.oneof(
  fc.constantFrom(undefined, "", "1", 1, Number.NaN, 0, -1, Number.NEGATIVE_INFINITY, "\ud800", "a"),
  fc.integer({ min: -50, max: 50 }),
  fc.string({ maxLength: 2 }),
);
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    do: fc.oneof(
      { weight: 8, arbitrary: fc.constant("write" as const) },
      { weight: 4, arbitrary: fc.constant("remove" as const) },
      { weight: 1, arbitrary: fc.constant("removeKey" as const) },
    ),
    key,
    namespace,
  }),
  { maxLength: 120 },
);

/** The order of the contract, by other means: undefined, numbers with NaN at their end, texts. */
function inOrder(namespaces: Iterable<Namespace>): Namespace[] {
  const all = [...namespaces];
  const numbers = all.filter((one): one is number => typeof one === "number");
  return [
    ...all.filter((one) => one === undefined),
    ...numbers.filter((one) => !Number.isNaN(one)).sort((a, b) => (a === b ? 0 : a < b ? -1 : 1)),
    ...numbers.filter((one) => Number.isNaN(one)),
    ...all.filter((one): one is string => typeof one === "string").sort(),
  ];
}

export function describeListingContract(name: string, open: OpenBackendUnderTest): void {
  function opened() {
    const { backend, close } = open({
      operator: "count",
      keyGroups: keyGroupRangeOf(0, 1, MAX_PARALLELISM),
      maxParallelism: MAX_PARALLELISM,
    });
    const table = backend.openTable("listed", { listsNamespaces: true });
    const at = (key: Key, namespace: Namespace = undefined): StateTable => {
      backend.setCurrentKey(key);
      table.setCurrentNamespace(namespace);
      return table;
    };
    return { backend, table, at, close };
  }

  /** The rows of the table in another backend, after their way through a snapshot. */
  function restored(from: ReturnType<typeof opened>): ReturnType<typeof opened> {
    const to = opened();
    const bytes = bytesOf(drained(from.backend.snapshot()[0]!.cursor));
    const restorer = to.backend.restorer("listed", { object: "state.0", bytes });
    while (restorer.next());
    return to;
  }

  const numbered = ({ key, namespace }: StateRow): string =>
    `${typeof key} ${key} / ${typeof namespace} ${String(namespace)}`;

  describe(`what the keyed state backend ${name} lists`, () => {
    it("lists the namespaces of a key in order, as a Map of Sets would, also after a restore (KS7)", () => {
      fc.assert(
        fc.property(steps, fc.nat(5), (story, readEvery) => {
          const live = opened();
          const model = new Map<Key, Set<Namespace>>();
          const look = ({ at, table }: typeof live, key: Key): void => {
            at(key);
            const expected = model.get(key) ?? new Set();
            expect(table.countNamespaces()).toBe(expected.size);
            expect(table.namespaces()).toEqual(inOrder(expected));
          };
          for (const [i, { do: act, key, namespace }] of story.entries()) {
            live.at(key, namespace);
            const known = model.get(key) ?? new Set();
            model.set(key, known);
            if (act === "write") {
              live.table.write(i);
              known.add(namespace);
            } else if (act === "remove") {
              live.table.remove();
              known.delete(namespace);
            } else {
              live.table.removeKey();
              model.delete(key);
            }
            if (readEvery > 0 && i % readEvery === 0) look(live, key);
          }
          const later = restored(live);
          for (const key of model.keys()) {
            look(live, key);
            look(later, key);
          }
          live.close();
          later.close();
        }),
        { numRuns: 150 },
      );
    });

    it("lists thousands of namespaces in order when few and when many of them have changed", () => {
      const { at, table, close } = opened();
      const known = new Set<Namespace>();
      const change = (count: number, stride: number) => {
        for (let i = 0; i < count; i++) {
          const number = (i * stride) % 5003;
          const namespace = number % 3 === 0 ? `n${number}` : number;
          if (known.delete(namespace)) at("k", namespace).remove();
          else {
            at("k", namespace).write(i);
            known.add(namespace);
          }
        }
        expect(table.countNamespaces()).toBe(known.size);
        expect(table.namespaces()).toEqual(inOrder(known));
      };
      for (const count of [4000, 1, 7, 40, 2500, 3, 5003, 100]) change(count, 7919 + count);
      close();
    });

    it("hands out a list that stays as it is, and stays in its namespace when a key is removed", () => {
      const { at, table, close } = opened();
      at("k", 2).write("two");
      at("k", 1).write("one");
      const before = table.namespaces();
      at("k", 3).write("three");
      expect(before).toEqual([1, 2]);
      expect(table.namespaces()).toEqual([1, 2, 3]);
      table.removeKey();
      expect(table.namespaces()).toEqual([]);
      table.write("again");
      expect(table.namespaces()).toEqual([3]);
      expect(at("other").namespaces()).toEqual([]);
      close();
    });

    it("lists rows and keys in one order, whatever has been there before, also after restores (KS7)", () => {
      const grown = opened();
      for (let i = 0; i < 20_000; i++) grown.at(`gone-${i}`).write(i);
      for (let i = 0; i < 6000; i++)
        grown.at(i % 3 === 0 ? `k${i}` : i, i % 7 === 0 ? i : undefined).write(i);
      for (let i = 0; i < 20_000; i++) grown.at(`gone-${i}`).remove();
      const rows = [...grown.table.rows()];
      expect(rows).toHaveLength(6000);
      expect(new Set(rows.map(({ value }) => value)).size).toBe(6000);
      for (const { key, namespace, value } of rows) expect(grown.at(key, namespace).read()).toBe(value);
      for (const { key, keyGroup } of rows) expect(keyGroup).toBe(keyGroupOf(key, MAX_PARALLELISM));
      const groups = rows.map(({ keyGroup }) => keyGroup);
      expect(groups).toEqual([...groups].sort((a, b) => a - b));

      const later = restored(grown);
      expect([...later.table.rows()]).toEqual(rows);
      expect([...later.backend.keys()]).toEqual([...grown.backend.keys()]);
      expect([...grown.backend.keys(grown.table.name)]).toEqual([...grown.backend.keys()]);
      const again = restored(later);
      expect([...again.table.rows()]).toEqual(rows);
      const backwards = opened();
      for (const { key, namespace, value } of rows.reverse()) backwards.at(key, namespace).write(value);
      expect([...backwards.table.rows()].reverse()).toEqual(rows);
      for (const { close } of [grown, later, again, backwards]) close();
    });

    it("gives each row that stays once while others come and go, and none that is gone", () => {
      fc.assert(
        fc.property(fc.nat(1500), fc.nat(3), fc.boolean(), (count, pace, emptied) => {
          const { at, table, close } = opened();
          for (let i = 0; i < count; i++) at(i, i % 2 === 0 ? "w" : undefined).write(i);
          const gone = new Set<string>();
          const seen = new Map<string, number>();
          let fresh = 0;
          for (const row of table.rows()) {
            const name = numbered(row);
            if (gone.has(name)) expect.fail(`${name} was removed before its turn`);
            seen.set(name, (seen.get(name) ?? 0) + 1);
            for (let n = 0; n < pace && fresh < 5000; n++) at(`new-${fresh}`).write(fresh++);
            if (!emptied && Number(row.key) % 3 !== 0) continue;
            for (const dead of emptied ? [Number(row.key)] : [Number(row.key), Number(row.key) + 3]) {
              if (Number.isNaN(dead) || dead >= count) continue;
              const namespace = dead % 2 === 0 ? "w" : undefined;
              at(dead, namespace).remove();
              gone.add(numbered({ ...row, key: dead, namespace }));
            }
          }
          for (let i = 0; i < count; i++) {
            const namespace = i % 2 === 0 ? "w" : undefined;
            const times = seen.get(numbered({ keyGroup: 0, key: i, namespace, value: i }));
            const stays = at(i, namespace).read() === i;
            if (stays ? times !== 1 : (times ?? 0) > 1) expect.fail(`row ${i} was given ${times} times`);
          }
          close();
        }),
        { numRuns: 25 },
      );
    });

    it("refuses to list what was not to be listed, and what has no key yet", () => {
      const { backend, table, close } = opened();
      expect(() => table.namespaces()).toThrow(/state "listed" was used without a key/);
      backend.setCurrentKey("k");
      const plain = backend.openTable("plain");
      expect(() => plain.namespaces()).toThrow(InvariantError);
      close();
    });
  });
}
