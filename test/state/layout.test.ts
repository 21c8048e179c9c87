/**
 * Whatever is set comes back equal (LY1 to LY3), also when a block has begun with smaller numbers or with another
 * shape.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { valueState } from "../../src/state/descriptor.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { KeyedState } from "../../src/state/keyed-state.ts";

const descriptors = { value: valueState<unknown>("initial") };
const KEY_GROUPS = { first: 0, last: 0 };
const ROWS = 20;
/** From so many updates on, a table looks closely at samples only. */
const TRUSTED_FROM = 1100;

function opened(): KeyedState<typeof descriptors> {
  return new KeyedState((options) => new HeapBackend(options), {
    operator: "o",
    descriptors,
    keyGroups: KEY_GROUPS,
    maxParallelism: 1,
  });
}

/** A state whose rows all hold `value`, and whose next updates are trusted. */
function filled(value: unknown): KeyedState<typeof descriptors> {
  const state = opened();
  for (let i = 0; i < TRUSTED_FROM; i++) set(state, i % ROWS, value);
  return state;
}

function set(state: KeyedState<typeof descriptors>, key: number, value: unknown): void {
  state.setCurrentKey(key);
  state.handles.value.set(value as object);
}

function valuesOf(state: KeyedState<typeof descriptors>): unknown[] {
  return Array.from({ length: ROWS }, (_, key) => {
    state.setCurrentKey(key);
    return state.handles.value.get();
  });
}

function restoredFrom(state: KeyedState<typeof descriptors>): KeyedState<typeof descriptors> {
  const [{ cursor }] = state.snapshot() as [ReturnType<KeyedState["snapshot"]>[number]];
  const chunks: Uint8Array[] = [];
  for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
  const restored = opened();
  const restorer = restored.restorer("value", { object: "state.0", bytes: Buffer.concat(chunks) });
  while (restorer.next());
  return restored;
}

/** JavaScript's own order of fields, and -0, are part of equality here. */
function shown(values: readonly unknown[]): string[] {
  return values.map((value) =>
    typeof value === "object" && value !== null
      ? Object.entries(value)
          .map(([name, field]) => `${name}=${shownField(field)}`)
          .join(" ")
      : shownField(value),
  );
}

function shownField(field: unknown): string {
  return `${typeof field} ${Object.is(field, -0) ? "-0" : String(field)}`;
}

const numbers = fc.oneof(
  fc.integer(),
  fc.double(),
  fc.constantFrom(
    0,
    -0,
    Number.NaN,
    2 ** 31,
    -(2 ** 31),
    2 ** 31 - 1,
    -(2 ** 31) - 1,
    0.5,
    Number.POSITIVE_INFINITY,
  ),
);
const fields = fc.oneof(
  { weight: 4, arbitrary: numbers },
  fc.constantFrom<unknown>(undefined, null, true, "7", 7n, ""),
);
const values = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fields, fields).map(([count, sum]) => ({ count, sum })) },
  numbers,
  fc.tuple(fields, fields).map(([count, sum]) => ({ sum, count })),
  fc.tuple(fields, fields).map(([count, more]) => ({ count, sum: 1, more })),
  fields.map((count) => ({ count })),
  fc.constantFrom<unknown>({}, "text", false, 5n),
);
const firsts: readonly unknown[] = [
  { count: 1, sum: 2 },
  { count: 0.5, sum: 2 },
  { count: 1, sum: "a" },
  1,
  0.5,
  "text",
];

describe("values of a table", () => {
  test("come back equal whatever the rows began with, before and after a restore (LY3)", () => {
    const updates = fc.array(fc.tuple(fc.nat(ROWS - 1), values), { maxLength: 40 });
    fc.assert(
      fc.property(fc.constantFrom(...firsts), updates, (first, changes) => {
        const state = filled(first);
        const held = new Array<unknown>(ROWS).fill(first);
        for (const [key, value] of changes) {
          set(state, key, value);
          held[key] = value;
        }
        expect(shown(valuesOf(state))).toEqual(shown(held));
        expect(shown(valuesOf(restoredFrom(state)))).toEqual(shown(held));
      }),
      { numRuns: 150 },
    );
  });

  test("of a cut stay what they were when the rows become wider behind it (HT2)", () => {
    for (const wide of [0.5, -0, 2 ** 40, Number.NaN]) {
      const state = filled({ count: 1, sum: 2 });
      const before = shown(valuesOf(state));
      const [{ cursor }] = state.snapshot() as [ReturnType<KeyedState["snapshot"]>[number]];
      for (let key = 0; key < ROWS; key++) set(state, key, { count: key, sum: wide });
      const restored = opened();
      const restorer = restored.restorer("value", { object: "state.0", bytes: cursor.next()!.bytes });
      while (restorer.next());
      expect(shown(valuesOf(restored))).toEqual(before);
      expect(shown(valuesOf(state))).toEqual(
        shown(Array.from({ length: ROWS }, (_, key) => ({ count: key, sum: wide }))),
      );
    }
  });

  test("of 1 to 70 fields, and of names that mean something to an object, have their fields in order", () => {
    const names = ["constructor", "toString", "valueOf", 'a "b"', "</script>", "\u2028", "hasOwnProperty"];
    for (const count of [1, 2, 8, 9, 64, 65, 70]) {
      const value = Object.fromEntries(
        Array.from({ length: count }, (_, i) => [names[i] ?? `field${i}`, i % 3 === 2 ? `text ${i}` : i]),
      );
      const state = filled(value);
      const [got] = valuesOf(state);
      expect(got).toEqual(value);
      expect(Object.keys(got as object)).toEqual(Object.keys(value));
      expect(shown(valuesOf(restoredFrom(state)))).toEqual(shown(new Array(ROWS).fill(value)));
    }
  });

  test("are not asked for their numbers: what is no number stays what it is", () => {
    const state = filled({ count: 1, sum: 2 });
    const asked = { valueOf: () => expect.unreachable("a value was converted to a number") };
    set(state, 3, { count: asked, sum: 2 });
    set(state, 4, { count: 7n, sum: 2 });
    expect(valuesOf(state).slice(2, 5)).toEqual([
      { count: 1, sum: 2 },
      { count: asked, sum: 2 },
      { count: 7n, sum: 2 },
    ]);
  });
});
