/**
 * Each kind of value comes back equal from each road that it can take: into state and out of a snapshot, over a
 * channel, with an unaligned checkpoint, without a key, as JSON. One table, so that no road is forgotten.
 */
import { describe, expect, test } from "vitest";
import { fromJson, toJson } from "../../../src/cli/state/value-json.ts";
import { decodeRecords, FrameEncoder } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { decodeStored, encodeStored } from "../../../src/dataflow/channel/stored-records.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { broadcastState, operatorListState, operatorUnionState } from "../../../src/index.ts";
import {
  aggregatingState,
  type Key,
  listState,
  mapState,
  reducingState,
  type StateDescriptors,
  stateTable,
  valueState,
} from "../../../src/state/descriptor.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { KeyedState } from "../../../src/state/keyed-state.ts";
import { OperatorState } from "../../../src/state/operator-state.ts";
import { ColumnDecoder } from "../../../src/state/snapshot/columns.ts";
import { bytesOf, drained } from "../../contracts/suites/state/backend.ts";

// biome-ignore lint/suspicious/noSparseArray: holes are values, too
const holes = () => [, 1, , "x", ,];

/** Makes the value of row `i`: others of its shape, so that rows can go as columns. */
const VALUES: Readonly<Record<string, (i: number) => unknown>> = {
  numbers: (i) => i - 3,
  "numbers that are none, and -0": (i) => [Number.NaN, -0, Number.POSITIVE_INFINITY, 0.1][i % 4],
  "objects of numbers": (i) => ({ n: i, half: i / 2, zero: -0, not: Number.NaN }),
  texts: (i) => `text ${i} \u00e4\u{1f600}`,
  "texts of any bytes": (i) => String.fromCharCode(0, i, 127, 128, 255),
  "halves of surrogate pairs": (i) => ({ half: `\ud83d${i}`, other: `${i}\ude00` }),
  booleans: (i) => i % 2 === 0,
  bigints: (i) => 2n ** 64n + BigInt(i),
  "objects of bigints": (i) => ({ id: BigInt(i) - 4n, far: -(2n ** 90n) }),
  dates: (i) => new Date(1_700_000_000_123 + i),
  "objects of dates": (i) => ({ at: new Date(i), none: new Date(Number.NaN) }),
  maps: (i) =>
    new Map<unknown, unknown>([
      ["a", i],
      [1, { deep: new Map([[i, undefined]]) }],
    ]),
  sets: (i) => ({ tags: new Set([i, `${i}`]), empty: new Set() }),
  bytes: (i) => new Uint8Array([i, 255]),
  buffers: (i) => ({ body: Buffer.from([i, 1]) }),
  "typed arrays": (i) => ({
    f: new Float64Array([i, 0.5]),
    b: new BigInt64Array([BigInt(i)]),
    s: new Int16Array([-i]),
  }),
  "views and bare memory": (i) => ({
    view: new DataView(new Uint8Array([i, 2]).buffer),
    bare: new Uint8Array([i]).buffer,
  }),
  "fields that are undefined": (i) => ({ a: undefined, b: i, c: i % 2 === 0 ? undefined : 1 }),
  "fields that are null": (i) => ({ a: null, b: i % 2 === 0 ? null : i }),
  "fields that some lack": (i) => (i % 2 === 0 ? { a: i } : { a: i, b: i }),
  "odd names of fields": (i) => ({ constructor: i, toJSON: i, "": i, 1: i, "a.b": i }),
  "a field named __proto__": (i) => JSON.parse(`{"__proto__":${i},"a":1}`),
  "arrays with holes": (i) => (i % 2 === 0 ? holes() : [i]),
  "objects in objects": (i) => ({ a: { b: [{ c: i }, { c: undefined }] } }),
  expressions: (i) => new RegExp(`a${i}\\/"`, "giu"),
  "values of all kinds": (i) => [i, "x", 1n, { a: 1 }, [undefined], new Date(i), new Map([[1, 2]])][i % 7],
};

/** How many rows: too few for columns, and enough. */
const COUNTS = [1, 32];

const GROUPS = 128;
const ALL = { operator: "op", keyGroups: { first: 0, last: GROUPS - 1 }, maxParallelism: GROUPS };
const concat = {
  createAccumulator: (): unknown => undefined,
  add: (_: unknown, value: unknown) => value,
  getResult: (a: unknown) => a,
};

/** A state of any kind. */
// biome-ignore lint/suspicious/noExplicitAny: each road knows its own
type Handle = any;

/** Each value to a key of its own, then a snapshot, then what the restored handle answers. */
function throughState(
  descriptors: StateDescriptors,
  write: (handle: Handle, value: unknown) => void,
  read: (handle: Handle) => unknown,
) {
  const open = () => {
    const state = new KeyedState((options) => new HeapBackend(options), { ...ALL, descriptors });
    return { state, handle: (state.handles as Readonly<Record<string, Handle>>).held ?? state.table("held") };
  };
  return (values: readonly unknown[]): unknown[] => {
    const before = open();
    for (const [key, value] of values.entries()) {
      before.state.setCurrentKey(key);
      write(before.handle, value);
    }
    const after = open();
    for (const { state, cursor } of before.state.snapshot()) {
      const bytes = bytesOf(drained(cursor));
      const restorer = after.state.restorer(state, { object: "snapshot", bytes });
      while (restorer.next());
    }
    return values.map((_, key) => {
      after.state.setCurrentKey(key);
      return read(after.handle);
    });
  };
}

const descriptors = {
  list: operatorListState<unknown>(),
  union: operatorUnionState<unknown>(),
  broadcast: broadcastState<number, unknown>(),
};

function throughOperatorState(name: "list" | "union" | "broadcast") {
  return (values: readonly unknown[]): unknown[] => {
    const [before, after] = [
      new OperatorState("op", descriptors, false),
      new OperatorState("op", descriptors, false),
    ];
    const map = before.broadcast.broadcast!;
    map.isWritable = true;
    if (name === "broadcast") for (const [key, value] of values.entries()) map.set(key, value);
    else before.handles[name]!.addAll(values);
    for (const cut of before.cut()) after.restore(cut);
    return name === "broadcast" ? [...after.broadcast.broadcast!.values()] : after.handles[name]!.get();
  };
}

const frameOf = (values: readonly unknown[]) => ({
  kind: "records" as const,
  values,
  timestamps: values.map((_, i) => (i === 0 ? NO_TIMESTAMP : i)),
  marks: undefined,
});

const ROADS: Readonly<Record<string, (values: readonly unknown[]) => readonly unknown[]>> = {
  "value state": throughState(
    { held: valueState<unknown>(null) },
    (h, v) => h.set(v),
    (h) => h.get(),
  ),
  "list state": throughState(
    { held: listState() },
    (h, v) => h.addAll(Array.from({ length: 40 }, () => v)),
    (h) => (h.size === 40 ? h.get()[39] : h.size),
  ),
  "map state": throughState(
    { held: mapState() },
    (h, v) => h.set("entry", v),
    (h) => h.get("entry"),
  ),
  "reducing state": throughState(
    { held: reducingState((_, v) => v) },
    (h, v) => h.add(v),
    (h) => h.get(),
  ),
  "aggregating state": throughState(
    { held: aggregatingState(concat) },
    (h, v) => h.add(v),
    (h) => h.get(),
  ),
  "a pane of windows": throughState(
    { held: stateTable({ namespacesApart: true }) },
    (table, v) => {
      table.setCurrentNamespace(60_000);
      table.write(v);
    },
    (table) => {
      table.setCurrentNamespace(60_000);
      return table.read();
    },
  ),
  "operator list state": throughOperatorState("list"),
  "operator union state": throughOperatorState("union"),
  "broadcast state": throughOperatorState("broadcast"),
  "a channel between processes": (values) =>
    decodeRecords(new FrameEncoder().records(1, values, undefined), new ColumnDecoder()).values,
  "a channel's records in an unaligned checkpoint": (values) =>
    [...decodeStored(Buffer.concat(encodeStored(frameOf(values), new FrameEncoder())))].flatMap(
      (frame) => frame.values,
    ),
  "records of a channel between processes in an unaligned checkpoint": (values) => {
    const message = new FrameEncoder().records(1, values, undefined);
    return [...decodeStored(Buffer.concat(encodeStored(message, new FrameEncoder())))].flatMap(
      (frame) => frame.values,
    );
  },
  "JSON lines": (values) => values.map((value) => fromJson(JSON.parse(JSON.stringify(toJson(value))))),
};

describe.each(Object.entries(ROADS))("by %s", (_, road) => {
  test.each(Object.entries(VALUES))("%s come back equal", (_, make) => {
    for (const count of COUNTS) {
      const values = Array.from({ length: count }, (_, i) => make(i));
      expect(road(values)).toStrictEqual(values);
    }
  });
});

const KEYS: readonly Key[] = [
  "",
  "a",
  "\u0000\u0001\u00ff",
  "\ud83d",
  "\u{1f600}",
  "x".repeat(300),
  0,
  -1,
  2 ** 31,
  0.1,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.MAX_SAFE_INTEGER,
  0n,
  -(2n ** 70n),
  2n ** 64n,
  true,
  false,
  "1",
  1,
  1n,
  "true",
];

test("keys of each type come back as they were, beside each other", () => {
  const open = () => new HeapBackend(ALL);
  const [before, after] = [open(), open()];
  const table = before.openTable("held");
  for (const [i, key] of KEYS.entries()) {
    before.setCurrentKey(key);
    table.write({ i });
  }
  const restored = after.openTable("held");
  for (const { state, cursor } of before.snapshot()) {
    const restorer = after.restorer(state, { object: "snapshot", bytes: bytesOf(drained(cursor)) });
    while (restorer.next());
  }
  const values = KEYS.map((key) => {
    after.setCurrentKey(key);
    return restored.read();
  });
  expect(values).toEqual(KEYS.map((_, i) => ({ i })));
  expect(new Set([...restored.rows()].map(({ key }) => key))).toEqual(new Set(KEYS));
  expect(KEYS.map((key) => fromJson(JSON.parse(JSON.stringify(toJson(key)))))).toEqual(KEYS);
});
