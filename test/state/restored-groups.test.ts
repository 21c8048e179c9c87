/** Groups of many rows after a restore: they begin with as many blocks as they need, and go on like any other. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ABSENT, type KeyedBackend, type StateTable } from "../../src/state/contract.ts";
import type { Key } from "../../src/state/descriptor.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";

const GROUPS = 4;

function begin(): { backend: KeyedBackend; table: StateTable } {
  const options = { operator: "count", keyGroups: { first: 0, last: GROUPS - 1 }, maxParallelism: GROUPS };
  const backend = new HeapBackend(options);
  return { backend, table: backend.openTable("table") };
}

const contentOf = (table: StateTable) => new Map([...table.rows()].map(({ key, value }) => [key, value]));

/** In objects of so many chunks, as an upload cuts them. */
function restoredFrom({ backend }: { backend: KeyedBackend }, chunksPerObject: number) {
  const restored = begin();
  const { cursor } = backend.snapshot()[0]!;
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
  for (let at = 0; at < chunks.length; at += chunksPerObject) {
    const bytes = Buffer.concat(chunks.slice(at, at + chunksPerObject));
    const restorer = restored.backend.restorer("table", { object: `object ${at}`, bytes });
    while (restorer.next());
  }
  restored.backend.restored();
  return restored;
}

test("restored rows are there, and rows come and go behind them, whatever the size of groups and objects", () => {
  const sizes = fc.constantFrom(0, 1, 3000, 3300, 6500, 6600, 20_000);
  const kinds = fc.constantFrom<(i: number) => Key>(
    (i) => i,
    (i) => `a key of more than 13 characters, ${i}`,
    (i) => (i % 2 === 0 ? i : `${i}`),
  );
  fc.assert(
    fc.property(sizes, kinds, fc.constantFrom(1, 7, 1000), (size, keyOf, chunksPerObject) => {
      const first = begin();
      const expected = new Map<Key, unknown>();
      const write = ({ backend, table }: typeof first, i: number, value: unknown): void => {
        backend.setCurrentKey(keyOf(i));
        table.write(value);
        expected.set(keyOf(i), value);
      };
      for (let i = 0; i < size; i++) write(first, i, { count: i, name: `name ${i}` });
      const second = restoredFrom(first, chunksPerObject);
      expect(contentOf(second.table)).toEqual(expected);
      expect(second.table.rowCount).toBe(size);
      for (let i = 0; i < size; i += 3) {
        second.backend.setCurrentKey(keyOf(i));
        second.table.remove();
        expected.delete(keyOf(i));
      }
      for (let i = 1; i < 2 * size + 10; i += 2) write(second, i, { count: -i, name: "again" });
      expect(contentOf(second.table)).toEqual(expected);
      second.backend.setCurrentKey(keyOf(3 * size + 20));
      expect(second.table.read()).toBe(ABSENT);
      expect(contentOf(restoredFrom(second, 3).table)).toEqual(expected);
    }),
    { numRuns: 25 },
  );
});
