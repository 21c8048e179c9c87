/** A harness that goes on with a changed job refuses what a restore of the job would, in the same words. */
import { expect, test } from "vitest";
import {
  ascendingTimestamps,
  defineJob,
  listState,
  mapState,
  operatorListState,
  operatorUnionState,
  type StateOptions,
  type Stream,
  valueState,
} from "../../src/index.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}

type Build = (items: Stream<Item>) => Stream<unknown, never>;

const jobOf = (build: Build) =>
  defineJob("changing", {}, (job) => {
    const items = job.source<Item>("items", testSource(), {
      timestamp: ({ at }) => at,
      watermarks: ascendingTimestamps(),
    });
    build(items).sink("out", testSink());
  });

const keyed = (items: Stream<Item>) => items.keyBy(({ key }) => key);
const counted: Build = (items) =>
  keyed(items).process("p", {
    state: { seen: valueState(0) },
    onRecord(_, { state }) {
      state.seen.set(state.seen.get() + 1);
      return state.seen.get();
    },
  });
const listed = (ttl?: "1 h"): Build => {
  const seen = listState<number>(ttl && { ttl: { after: ttl } });
  return (items) =>
    keyed(items).process("p", {
      state: { seen },
      onRecord(item, { state }) {
        state.seen.add(item.at);
        return state.seen.get().length;
      },
    });
};
const paired = (upper: string): Build => {
  return (items) =>
    keyed(items)
      .intervalJoin(keyed(items))
      .between(0, upper)
      .process("p", (left, right) => [left.at, right.at]);
};
const buffered = (kind: typeof operatorListState | typeof operatorUnionState): Build => {
  const seen = kind<number>() as ReturnType<typeof operatorListState<number>>;
  return (items) =>
    items.process("p", { state: { seen }, onRecord: (item, { state }) => state.seen.add(item.at) });
};

async function restored(before: Build, after: Build): Promise<unknown[]> {
  const first = await createTestHarness(jobOf(before));
  await first.push("items", { key: "a", at: 1 });
  const snapshot = first.snapshot();
  await first.close();
  const second = await createTestHarness(jobOf(after), { restore: snapshot });
  await second.push("items", { key: "a", at: 2 });
  const out = second.output("out");
  await second.close();
  return out;
}

const versioned =
  (options: StateOptions): Build =>
  (items) =>
    keyed(items).process("p", {
      state: { seen: valueState({ n: 0 }, options) },
      onRecord(_, { state }) {
        state.seen.set({ n: state.seen.get().n + 1 });
        return state.seen.get();
      },
    });

test("values of an older version are migrated, as by a restore of the job", async () => {
  const second = versioned({ version: "2", migrate: { "1": (n: number) => ({ n: n * 10 }) } });
  expect(await restored(counted, second)).toEqual([{ n: 11 }]);
  expect(await restored(second, second)).toEqual([{ n: 2 }]);
});

test("a state of the same kind goes on", async () => {
  expect(await restored(counted, counted)).toEqual([2]);
});

test.each<[string, Build, Build, string]>([
  [
    "a value that becomes a list",
    counted,
    listed(),
    'state "seen" of operator p is of kind list now and was of kind value: give it another name',
  ],
  [
    "a value that becomes a map",
    counted,
    (items) =>
      keyed(items).process("p", { state: { seen: mapState<string, number>() }, onRecord: ({ at }) => at }),
    'state "seen" of operator p is of kind map now and was of kind value',
  ],
  [
    "a list that gets a time to live",
    listed(),
    listed("1 h"),
    'list state "seen" of operator p has a time to live now and had none, and such lists are stored in another way',
  ],
  [
    "a state that is not declared any more",
    counted,
    (items) => keyed(items).process("p", { onRecord: ({ at }) => at }),
    'operator p has no state "seen" any more: declare it',
  ],
  [
    "values of another version",
    counted,
    versioned({ version: "2" }),
    'state "seen" of operator p is stored in version "1" and has version "2" now: give it migrate: { "1": (value) => ... }',
  ],
  [
    "another operator of the same name",
    counted,
    (items) => keyed(items).reduce("p", (first) => first),
    "operator p is a reduce now and was a process: give it another id",
  ],
  [
    "other bounds of a join, which no option migrates",
    paired("1 min"),
    paired("2 min"),
    "what these hold would come to results in parts: leave them as they were, or begin without its state",
  ],
  [
    "state of the subtask that becomes a union",
    buffered(operatorListState),
    buffered(operatorUnionState),
    'operator p has "seen" as a union state now and had it as a list state',
  ],
])("is refused: %s", async (_, before, after, message) => {
  await expect(restored(before, after)).rejects.toThrow(message);
});

test("a list without key is refused in another version, and migrated where that is said", async () => {
  const kept = (options: Parameters<typeof operatorListState>[0], read: (value: never) => unknown): Build => {
    const seen = operatorListState<unknown>(options);
    return (items) =>
      items.process("p", {
        state: { seen },
        onRecord(_, { state }) {
          const all = state.seen.get() as never[];
          state.seen.add(1);
          return all.map(read);
        },
      });
  };
  const before = kept(undefined, (value) => value);
  const words = /state "seen" of operator p is stored in version "1" and has version "2" now/;
  await expect(
    restored(
      before,
      kept({ version: "2" }, (value) => value),
    ),
  ).rejects.toThrow(words);
  const migrate = { "1": (value: number) => ({ n: value * 10 }) };
  const after = kept({ version: "2", migrate }, (value: { n: number }) => value.n);
  expect(await restored(before, after)).toEqual([[10]]);
});
