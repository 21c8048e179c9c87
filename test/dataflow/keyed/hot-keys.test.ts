/** Hot keys of a subtask: what a sample of its records tells, beside their true counts. */
import { describe, expect, test } from "vitest";
import { hotKeyLines } from "../../../src/cli/output/hot-keys.ts";
import { randomOf } from "../../../src/connectors/seeded-random.ts";
import { HotKeys } from "../../../src/dataflow/operators/keyed/hot-keys.ts";
import type { Key } from "../../../src/state/descriptor.ts";
import { keyGroupOf } from "../../../src/state/key-groups.ts";

interface Click {
  readonly user: string;
  readonly id: bigint;
}

const itself = (value: unknown): Key => value as Key;

/** Records in slices of up to 128, as the gate takes them. */
function take(hot: HotKeys, records: readonly unknown[], channel = 0): void {
  for (let from = 0; from < records.length; from += 128)
    hot.took(channel, records, from, Math.min(from + 128, records.length));
}

function hotKeysOf(records: readonly unknown[]): HotKeys {
  const hot = new HotKeys([itself], 128);
  take(hot, records);
  return hot;
}

const drawn = (count: number, keyAt: (random: () => number) => Key): Key[] => {
  const random = randomOf(3, 0);
  return Array.from({ length: count }, () => keyAt(random));
};

describe("found are", () => {
  test("keys with more than a tenth of the records, by their share, among very many others", () => {
    const records = drawn(400_000, (random) => {
      const part = random();
      if (part < 0.3) return "third";
      if (part < 0.5) return 42;
      return `other ${Math.floor(random() * 1e6)}`;
    });
    const found = hotKeysOf(records).figures();
    expect(found.map(({ key, keyGroup }) => [key, keyGroup])).toEqual([
      ["third", keyGroupOf("third", 128)],
      [42, keyGroupOf(42, 128)],
    ]);
    // The sample is of thousands, and what is told is what is certain.
    expect(found[0]!.share).toBeGreaterThan(0.25);
    expect(found[0]!.share).toBeLessThan(0.33);
    expect(found[1]!.share).toBeGreaterThan(0.15);
    expect(found[1]!.share).toBeLessThan(0.23);
  });

  test("none where all keys have about as much", () => {
    expect(hotKeysOf(drawn(200_000, (random) => Math.floor(random() * 50))).figures()).toEqual([]);
    expect(hotKeysOf(drawn(200_000, (random) => Math.floor(random() * 1e6))).figures()).toEqual([]);
  });

  test.each([16, 64, 256, 1000])("none where %i keys take turns", (keys) => {
    expect(hotKeysOf(Array.from({ length: 300_000 }, (_, i) => i % keys)).figures()).toEqual([]);
  });

  test("at most three, and none in too few records", () => {
    const hot = new HotKeys([itself], 128);
    const records = drawn(500, (random) => Math.floor(random() * 5));
    take(hot, records);
    expect(hot.figures()).toEqual([]);
    take(
      hot,
      drawn(100_000, (random) => Math.floor(random() * 5)),
    );
    expect(hot.figures().length).toBe(3);
  });

  test("those of the latest records: one that was hot is forgotten, one that is new is found", () => {
    const hot = hotKeysOf(drawn(500_000, () => "before"));
    expect(hot.figures()).toMatchObject([{ key: "before", share: 1 }]);
    for (let i = 0; i < 4; i++)
      take(
        hot,
        drawn(1_000_000, (random) => (random() < 0.5 ? "now" : Math.floor(random() * 1e6))),
      );
    expect(hot.figures().map(({ key }) => key)).toEqual(["now"]);
  });
});

test("each channel has its own selector, or none, and one that throws is the operator's to tell", () => {
  const fails = (): never => {
    throw new Error("no key");
  };
  const hot = new HotKeys([(one) => (one as Click).user, (one) => (one as Click).id, undefined, fails], 128);
  const records = drawn(100_000, () => "x").map(() => ({ user: "a", id: 7n }));
  for (const channel of [2, 3]) take(hot, records, channel);
  expect(hot.figures()).toEqual([]);
  for (const channel of [0, 1]) take(hot, records, channel);
  const found = hot.figures();
  expect(new Set(found.map(({ key }) => key))).toEqual(new Set(["a", 7n]));
  expect(found[0]!.share + found[1]!.share).toBeCloseTo(1, 5);
});

describe("status", () => {
  const keys = [{ key: '"alice"', keyGroup: 17, perMille: 344 }];

  test("shows a key only to one who asks, and says how", () => {
    const hidden = keys.map(({ keyGroup, perMille }) => ({ keyGroup, perMille }));
    expect(
      hotKeyLines("job", [{ subtask: "count/1", hotKeys: { mayCombine: false, keys: hidden } }]),
    ).toEqual([
      'hot keys     count/1: 34 % one key of key group 17 of its latest records; "tidemark status job --keys" shows it',
    ]);
    expect(hotKeyLines("job", [{ subtask: "count/1", hotKeys: { mayCombine: false, keys } }])).toEqual([
      'hot keys     count/1: 34 % key "alice" of key group 17 of its latest records',
    ]);
  });

  test("advises combine where the operator could have it", () => {
    expect(hotKeyLines("job", [{ subtask: "count/1", hotKeys: { mayCombine: true, keys } }])[0]).toContain(
      "; give count { combine: true }, and they are joined before they are sent",
    );
    expect(hotKeyLines("job", [{ subtask: "count/0" }])).toEqual([]);
  });
});
