/** YM1: values that an older version of a state has stored are migrated once, whatever kind of state holds them. */
import { describe, expect, test } from "vitest";
import { OperatorError } from "../../../src/errors.ts";
import {
  aggregatingState,
  type Key,
  listState,
  mapState,
  reducingState,
  type StateOptions,
  valueState,
} from "../../../src/index.ts";
import type { UserStateDescriptor } from "../../../src/state/descriptor.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { KeyedState, type StoredVersion } from "../../../src/state/keyed-state.ts";
import { bytesOf, drained } from "../../contracts/suites/state/backend.ts";

const GROUPS = 128;
const KEYS: readonly Key[] = Array.from({ length: 300 }, (_, key) => key);

// biome-ignore lint/suspicious/noExplicitAny: of whatever kind of state
type Handle = any;

function open(descriptor: UserStateDescriptor, checks = false) {
  const options = {
    operator: "op",
    keyGroups: { first: 0, last: GROUPS - 1 },
    maxParallelism: GROUPS,
    checks,
  };
  const state = new KeyedState((given) => new HeapBackend(given), {
    ...options,
    descriptors: { held: descriptor },
  });
  return { state, held: (state.handles as Readonly<Record<string, Handle>>).held };
}

type Opened = ReturnType<typeof open>;

const snapshotOf = ({ state }: Opened) =>
  state.snapshot().map(({ state: name, cursor }) => ({ name, bytes: bytesOf(drained(cursor)) }));

function restore(after: Opened, pieces: ReturnType<typeof snapshotOf>, stored: StoredVersion): void {
  for (const { name, bytes } of pieces) {
    if (bytes.byteLength === 0) continue;
    const restorer = after.state.restorer(name, { object: "snapshot", bytes }, stored);
    while (restorer.next());
  }
  const work = after.state.migrate();
  while (work.step());
}

const migrate = { "1": (value: number) => ({ was: value }) };
const VERSIONED: StateOptions = { version: "2", migrate };

const first = {
  createAccumulator: () => 0,
  add: (_: unknown, value: unknown) => value,
  getResult: (a: unknown) => a,
};
const last = (_: unknown, value: unknown) => value;

const KINDS: readonly (readonly [
  kind: string,
  make: (options: StateOptions) => UserStateDescriptor,
  write: (held: Handle, n: number) => void,
  read: (held: Handle) => unknown[],
])[] = [
  ["a value", (o) => valueState<unknown>(null, o), (h, n) => h.set(n), (h) => [h.get()]],
  ["a short list", (o) => listState(o), (h, n) => h.addAll([n, n]), (h) => h.get()],
  ["a long list", (o) => listState(o), (h, n) => h.addAll(Array(70).fill(n)), (h) => h.get()],
  ["a map", (o) => mapState(o), (h, n) => [1, "a", 2].map((key) => h.set(key, n)), (h) => [...h.values()]],
  ["a reduced value", (o) => reducingState(last, o), (h, n) => h.add(n), (h) => [h.get()]],
  ["an accumulator", (o) => aggregatingState(first, o), (h, n) => h.add(n), (h) => [h.get()]],
];

describe.each(KINDS)("%s", (_, make, write, read) => {
  test.each([true, false])("is migrated once (checks: %s)", (checks) => {
    const before = open(make({}));
    for (const key of KEYS) {
      before.state.setCurrentKey(key);
      write(before.held, key as number);
    }
    const after = open(make(VERSIONED), checks);
    restore(after, snapshotOf(before), {});
    const again = open(make(VERSIONED), checks);
    restore(again, snapshotOf(after), { version: after.state.versionOf("held") });
    for (const one of [after, again])
      for (const key of KEYS) {
        one.state.setCurrentKey(key);
        const values = read(one.held);
        expect(values).toEqual(values.map(() => ({ was: key })));
        expect(values.length).toBeGreaterThan(0);
      }
  });
});

test("only the key groups that an older version had are migrated", () => {
  const [older, newer] = [open(valueState<unknown>(null)), open(valueState<unknown>(null, VERSIONED))];
  for (const one of [older, newer])
    for (const key of KEYS) {
      one.state.setCurrentKey(key);
      one.held.set(one === older ? key : { is: key });
    }
  const after = open(valueState<unknown>(null, VERSIONED));
  const range = { first: 0, last: 60 };
  const inRange = (keyGroup: number) => keyGroup <= range.last;
  // Each subtask stores the key groups that it has.
  for (const [from, keep] of [
    [older, inRange],
    [newer, (group: number) => !inRange(group)],
  ] as const)
    for (const key of KEYS) {
      from.state.setCurrentKey(key);
      if (!keep(from.state.currentKeyGroup)) from.held.clear();
    }
  for (const { name, bytes } of snapshotOf(older)) {
    const restorer = after.state.restorer(
      name,
      { object: "older", bytes },
      { version: "1", keyGroups: range },
    );
    while (restorer.next());
  }
  restore(after, snapshotOf(newer), { version: "2" });
  for (const key of KEYS) {
    after.state.setCurrentKey(key);
    const isOlder = inRange(after.state.currentKeyGroup);
    expect(after.held.get()).toEqual(isOlder ? { was: key } : { is: key });
  }
});

const MIGRATIONS: readonly (readonly [what: string, call: () => unknown, words: string])[] = [
  [
    "throws",
    () => {
      throw new Error("no such form");
    },
    "no such form",
  ],
  ["answers nothing", () => undefined, 'migrate["1"] of state "held" answered undefined'],
  ["answers what is no value", () => Symbol("none"), 'what migrate["1"] of state "held" answers'],
];

test.each(MIGRATIONS)("a migration that %s is told by operator and state", (_, call, words) => {
  const before = open(valueState<unknown>(null));
  before.state.setCurrentKey("k");
  before.held.set(1);
  const after = open(valueState<unknown>(null, { version: "2", migrate: { "1": call } }));
  expect(() => restore(after, snapshotOf(before), {})).toThrow(OperatorError);
  const anew = open(valueState<unknown>(null, { version: "2", migrate: { "1": call } }));
  expect(() => restore(anew, snapshotOf(before), {})).toThrow(words);
});

test.each([
  [{ version: 2 }, "valueState: version must be a text, is the number 2"],
  [{ version: "" }, "valueState: version must be a text"],
  [{ migrate: () => 1 }, "valueState: migrate must be functions by version"],
  [{ version: "2", migrate: { "1": 5 } }, 'valueState: migrate["1"] must be a function'],
  [{ migrate: { "1": () => 1 } }, 'valueState: migrate["1"] is for values of this very version'],
  [{ versoin: "2" }, 'valueState: no option "versoin"; did you mean "version"?'],
])("options %j are refused", (options, words) => {
  expect(() => valueState(0, options as StateOptions)).toThrow(words);
});
