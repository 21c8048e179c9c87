/** PD1 and PD2: windows of the wall clock, which the test moves. */
import { expect, test } from "vitest";
import { type KeyedStream, sessionWindows, slidingWindows, tumblingWindows } from "../../../src/index.ts";
import { type Item, WindowChain, windowOperator } from "./window-chain.ts";

const sum = (a: Item, b: Item): Item => ({ key: a.key, value: a.value + b.value });
const shown = ({ main }: WindowChain) =>
  main.map(([item, timestamp]) => `${(item as Item).key} ${(item as Item).value} @${timestamp}`);

const chainOf = (windows: (items: KeyedStream<Item, string>) => ReturnType<typeof items.window>) =>
  new WindowChain(windowOperator((items) => windows(items).reduce("windows", sum)));

test("a record has the time at which it comes, whatever its timestamp; a window fires when its last ms is past", () => {
  const chain = chainOf((items) => items.window(tumblingWindows({ size: 10, time: "processing" })));
  chain.nowMs = 3;
  chain.record("a", 1, 1_000_000);
  chain.clock(9);
  chain.record("a", 2, Number.NEGATIVE_INFINITY);
  expect(shown(chain)).toEqual([]);
  chain.clock(10);
  expect(shown(chain)).toEqual(["a 3 @9"]);
  chain.record("a", 4, 0);
  chain.finish();
  expect(shown(chain)).toEqual(["a 3 @9", "a 4 @19"]);
});

test("what is past fires after a restart, in order, and each window once", () => {
  const chain = chainOf((items) => items.window(slidingWindows({ size: 10, slide: 5, time: "processing" })));
  chain.nowMs = 3;
  chain.record("a", 1, 0);
  chain.clock(5);
  chain.record("b", 2, 0);
  chain.wakeAtMs = Number.POSITIVE_INFINITY;
  chain.restart();
  chain.clock(100);
  expect(shown(chain)).toEqual(["a 1 @4", "b 2 @9", "a 1 @9", "b 2 @14"]);
  expect(chain.rows).toBe(0);
});

test("a clock that is set back makes no record late", () => {
  const chain = chainOf((items) => items.window(tumblingWindows({ size: 10, time: "processing" })));
  chain.nowMs = 18;
  chain.record("a", 1, 0);
  chain.clock(20);
  chain.nowMs = 4;
  chain.record("a", 2, 0);
  chain.clock(30);
  expect(shown(chain)).toEqual(["a 1 @19", "a 2 @29"]);
});

test("sessions end when no record has come for the gap", () => {
  const chain = chainOf((items) => items.window(sessionWindows({ gap: 10, time: "processing" })));
  for (const nowMs of [0, 9, 18, 40]) {
    chain.clock(nowMs);
    chain.record("a", 1, 0);
  }
  chain.clock(50);
  expect(shown(chain)).toEqual(["a 3 @27", "a 1 @49"]);
});

test.each(["fire", "drop"] as const)("what has not fired at the end of input: %s", (endOfInput) => {
  const chain = chainOf((items) =>
    items.window(tumblingWindows({ size: 10, time: "processing" }), { endOfInput }),
  );
  chain.record("a", 1, 0);
  chain.finish();
  expect(shown(chain)).toEqual(endOfInput === "fire" ? ["a 1 @9"] : []);
});
