/** The slots of keys against a Map. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { KeySlots } from "../../../../src/dataflow/operators/windows/aligned/key-slots.ts";
import type { Key } from "../../../../src/state/descriptor.ts";

const key: fc.Arbitrary<Key> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -40, max: 40 }) },
  { weight: 2, arbitrary: fc.constantFrom(0, -0, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 0.5, Number.NaN, 1e300) },
  { weight: 1, arbitrary: fc.constantFrom<Key>("1", "", true, false, 1n, -5n) },
);

test("a key that was added is found, and one that was deleted is not", () => {
  let found = 0;
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.boolean()), { minLength: 150, maxLength: 300 }), (steps) => {
      const keys: Key[] = [];
      const slots = new KeySlots(keys);
      const expected = new Map<Key, number>();
      for (const [of, adds] of steps) {
        const slot = expected.get(of);
        expect(slots.get(of)).toBe(slot ?? -1);
        if (slot !== undefined) found++;
        if (adds && slot === undefined) {
          keys.push(of);
          slots.add(of, keys.length - 1);
          expected.set(of, keys.length - 1);
        } else if (!adds && slot !== undefined) {
          slots.delete(of);
          expected.delete(of);
        }
        expect(slots.size).toBe(expected.size);
      }
      for (const [of, slot] of expected) expect(slots.get(of)).toBe(slot);
    }),
  );
  expect(found).toBeGreaterThan(500);
});
