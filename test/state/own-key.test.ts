import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import { valueState } from "../../src/state/descriptor.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { KeyedState } from "../../src/state/keyed-state.ts";
import { ownKey } from "../../src/state/snapshot/own-key.ts";

describe("ownKey", () => {
  it.each([
    ["short", "bidder-1"],
    ["Latin-1", "bidder-0000001-é-ÿ"],
    ["wide", "bidder-0000001-Ω-日本"],
    ["with a lone surrogate", "bidder-0000001-\ud800"],
    ["with a zero", "bidder-0000001-\0"],
  ])("gives back the same key: %s", (_, key) => {
    expect(ownKey(key)).toBe(key);
  });

  it.each([1, -0, Number.NaN, 10n, true])("leaves other types as they are: %s", (key) => {
    expect(Object.is(ownKey(key), key)).toBe(true);
  });
});

describe("a key in state", () => {
  it("does not keep the text alive that it was cut out of", () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    const state = new KeyedState((options) => new HeapBackend(options), {
      operator: "count",
      descriptors: { count: valueState(0) },
      keyGroups: { first: 0, last: 127 },
      maxParallelism: 128,
    });
    collectGarbage();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 500; i++) {
      const frame = Buffer.alloc(100_000, `bidder-${i} `).toString("latin1");
      state.setCurrentKey(frame.slice(0, 20));
      (state.handles.count as { set(value: number): void }).set(i);
    }
    collectGarbage();
    // The frames are 50 MB.
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(5_000_000);
  });
});
