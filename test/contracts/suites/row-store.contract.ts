/** What every store under a disk backend does (`src/state/disk/store/row-store.ts`). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { RowStore } from "../../../src/state/disk/store/row-store.ts";

const bytes = fc.uint8Array({ minLength: 1, maxLength: 3 });
const steps = fc.array(
  fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("write" as const),
        puts: fc.array(fc.tuple(bytes, fc.uint8Array({ minLength: 1, maxLength: 5 })), { maxLength: 20 }),
        removes: fc.array(bytes, { maxLength: 5 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("get" as const), key: bytes }) },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("range" as const),
        from: bytes,
        to: bytes,
        limit: fc.oneof(fc.nat(9), fc.constant(Number.POSITIVE_INFINITY)),
      }),
    },
  ),
  { maxLength: 30 },
);

const hex = (key: Uint8Array): string => Buffer.from(key).toString("hex");

export function describeRowStoreContract(name: string, open: () => RowStore): void {
  describe(`the row store ${name}`, () => {
    it("holds what a Map would, and gives parts of it in order (QX1, QX2)", () => {
      fc.assert(
        fc.property(steps, (story) => {
          const store = open();
          const model = new Map<string, string>();
          for (const step of story) {
            if (step.do === "write") {
              store.transaction(() => {
                for (const [key, value] of step.puts) store.put(key, value);
                for (const key of step.removes) store.remove(key);
              });
              for (const [key, value] of step.puts) model.set(hex(key), hex(value));
              for (const key of step.removes) model.delete(hex(key));
            } else if (step.do === "get") {
              const found = store.get(step.key);
              expect(found === undefined ? undefined : hex(found)).toBe(model.get(hex(step.key)));
            } else {
              const rows: string[][] = [];
              store.range(step.from, step.to, step.limit, (key, value) => rows.push([hex(key), hex(value)]));
              const expected = [...model]
                .filter(([key]) => key >= hex(step.from) && key < hex(step.to))
                .sort(([a], [b]) => (a < b ? -1 : 1));
              expect(rows).toEqual(expected.slice(0, step.limit));
            }
          }
          store.close();
        }),
        { numRuns: 40 },
      );
    });

    it("keeps no bytes of its caller's, and passes on what a transaction throws (QX3)", () => {
      const store = open();
      const [key, value] = [Uint8Array.of(1), Uint8Array.of(2)];
      store.transaction(() => store.put(key, value));
      key[0] = 7;
      value[0] = 8;
      expect(store.get(Uint8Array.of(7))).toBeUndefined();
      expect([...store.get(Uint8Array.of(1))!]).toEqual([2]);
      const failing = () => {
        store.put(Uint8Array.of(4), Uint8Array.of(5));
        throw new Error("given up");
      };
      expect(() => store.transaction(failing)).toThrow("given up");
      store.close();
    });
  });
}
