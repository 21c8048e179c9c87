/** A look at a key leaves the current key, and the lack of one, as it is. */
import { expect, test } from "vitest";
import { listState, mapState, valueState } from "../../src/index.ts";
import { lookIntoState } from "../../src/runtime/worker/subtask/live-state.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { keyGroupOf, keyGroupRangeOf } from "../../src/state/key-groups.ts";
import { KeyedState } from "../../src/state/keyed-state.ts";

const GROUPS = 128;
const descriptors = { value: valueState(0), list: listState<number>(), map: mapState<string, number>() };

/** The second of two subtasks, and a key of each. */
const range = keyGroupRangeOf(1, 2, GROUPS);
const isOwn = (key: number) => keyGroupOf(key, GROUPS) >= range.first;
const [own = -1, other = -1] = Array.from({ length: 100 }, (_, key) => key).filter(isOwn);
const foreign = Array.from({ length: 100 }, (_, key) => key).find((key) => !isOwn(key))!;

function open() {
  const state = new KeyedState((options) => new HeapBackend(options), {
    ...{ operator: "op", descriptors, keyGroups: range, maxParallelism: GROUPS },
  });
  const { value, list, map } = state.handles;
  state.setCurrentKey(own);
  value.set(7);
  for (let i = 0; i < 40; i++) list.add(i);
  map.set("a", 1);
  map.set("b", 2);
  return { state, handles: state.handles };
}

const peeked = (state: KeyedState<typeof descriptors>, key: number) =>
  (["value", "list", "map"] as const).map((name) => state.peek(name, key));

test("all kinds are read whole, and a key without values has none", () => {
  const { state } = open();
  expect(peeked(state, own)).toEqual([
    [{ value: 7 }],
    [{ value: Array.from({ length: 40 }, (_, i) => i) }],
    [
      { entry: "a", value: 1 },
      { entry: "b", value: 2 },
    ],
  ]);
  expect(peeked(state, other)).toEqual([[], [], []]);
  expect(state.peek("none", own)).toBe(undefined);
  expect(peeked(state, foreign)).toEqual([undefined, undefined, undefined]);
});

test("the function that comes next has its own key", () => {
  const { state, handles } = open();
  state.setCurrentKey(other);
  handles.value.set(3);
  handles.list.add(1);
  peeked(state, own);
  handles.list.add(2);
  handles.map.set("c", 3);
  expect([handles.value.get(), handles.list.get(), [...handles.map]]).toEqual([3, [1, 2], [["c", 3]]]);
  expect(state.currentKey).toBe(other);
});

test("where there was no key, there is none", () => {
  const { state, handles } = open();
  state.leaveCurrentKey();
  peeked(state, own);
  expect(() => handles.value.get()).toThrow();
  expect(() => handles.map.get("a")).toThrow();
});

test("a key group is read key by key, also in the middle of a function, and one of another subtask is not", () => {
  const { state, handles } = open();
  state.setCurrentKey(other);
  handles.map.set("c", 3);
  const inGroups = (name: string) => {
    const found: unknown[] = [];
    for (let group = range.first; group <= range.last; group++)
      expect(
        state.peekGroup(name, group, (key, values) => {
          found.push([key, values]);
          return true;
        }),
      ).toBe(true);
    return found.sort();
  };
  const pair = [
    { entry: "a", value: 1 },
    { entry: "b", value: 2 },
  ];
  expect(inGroups("map")).toEqual(
    [
      [own, pair],
      [other, [{ entry: "c", value: 3 }]],
    ].sort(),
  );
  expect(inGroups("value")).toEqual([[own, [{ value: 7 }]]]);
  expect(state.peekGroup("value", range.first - 1, () => true)).toBe(undefined);
  expect(state.peekGroup("none", range.first, () => true)).toBe(undefined);
  expect([state.currentKey, handles.map.get("c")]).toEqual([other, 3]);
});

test("a worker tells of a key group with more than a message holds that there is more, and tells none of it", () => {
  const { state, handles } = open();
  const states = { keyedStates: new Map([["op", state]]), operatorStates: new Map() };
  const look = { kind: "group", operator: "op", state: "map", keyGroup: keyGroupOf(own, GROUPS) } as const;
  expect(lookIntoState(states as never, look)?.rows).toHaveLength(2);
  state.setCurrentKey(own);
  for (let i = 0; i < 40_000; i++) handles.map.set(`entry ${i}`, i);
  expect(lookIntoState(states as never, look)).toEqual({ more: true });
});
