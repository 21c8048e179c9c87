/** Windows that are open, as reports tell them: what the end of the input would make fire, also behind a restore. */
import { describe, expect, test } from "vitest";
import { randomOf } from "../../../../src/connectors/seeded-random.ts";
import {
  continuousEventTimeTrigger,
  countTrigger,
  cumulateWindows,
  globalWindows,
  type KeyedStream,
  purgingTrigger,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowOptions,
} from "../../../../src/index.ts";
import { type Item, WindowChain, windowOperator } from "../window-chain.ts";

interface Result {
  readonly key: string;
  readonly start: number;
  readonly end: number;
}

const countedBy =
  (windows: WindowAssigner, options: WindowOptions<never> = {}) =>
  (items: KeyedStream<Item, string>): Stream<unknown> =>
    items
      .window(windows, options)
      .process("windows", (_, { key, window }): Result => ({ key, start: window.start, end: window.end }));

const MINUTE = 60_000;
const kinds: readonly (readonly [name: string, build: ReturnType<typeof countedBy>])[] = [
  ["tumbling windows", countedBy(tumblingWindows({ size: MINUTE }))],
  ["tumbling windows that stay", countedBy(tumblingWindows({ size: MINUTE }), { allowedLateness: MINUTE })],
  ["sliding windows", countedBy(slidingWindows({ size: 3 * MINUTE, slide: MINUTE }))],
  ["sliding windows with gaps", countedBy(slidingWindows({ size: MINUTE, slide: 3 * MINUTE }))],
  ["cumulating windows", countedBy(cumulateWindows({ size: 5 * MINUTE, step: MINUTE }))],
  ["sessions", countedBy(sessionWindows({ gap: MINUTE }))],
  ["sessions that stay", countedBy(sessionWindows({ gap: MINUTE }), { allowedLateness: MINUTE })],
  [
    "windows that are emptied",
    countedBy(tumblingWindows({ size: MINUTE }), { trigger: purgingTrigger(countTrigger(3)) }),
  ],
  ["windows without an end", countedBy(globalWindows(), { trigger: purgingTrigger(countTrigger(3)) })],
  [
    "windows by count",
    (items) => items.countWindow(3).process("windows", (_, { key }) => ({ key, start: 0, end: 0 })),
  ],
];

/** Some records and watermarks, the same for each seed. */
function run(build: ReturnType<typeof countedBy>, seed: number): WindowChain {
  const chain = new WindowChain(windowOperator(build));
  const random = randomOf(11, seed);
  const records = Math.floor(random() * 60);
  let now = 1_000_000_000;
  for (let i = 0; i < records; i++) {
    now += Math.floor(random() * 15_000);
    chain.record(`key ${Math.floor(random() * 4)}`, i, now - Math.floor(random() * 100_000));
    if (random() < 0.3) chain.watermark(now - 60_000, random() < 0.3);
    if (random() < 0.1) chain.restart();
  }
  return chain;
}

describe.each(kinds)("%s", (_, build) => {
  test("are those that the end of the input would make fire", () => {
    const wrong: unknown[] = [];
    let some = 0;
    for (let seed = 0; seed < 60; seed++) {
      const chain = run(build, seed);
      const told = chain.operators[0]!.openWindows!;
      const before = chain.main.length;
      chain.finish();
      const fired = chain.main.slice(before).map(([value]) => value as Result);
      const ends = fired.map(({ end }) => end).filter((end) => Number.isFinite(end) && end !== 0);
      const results = fired.length;
      const windows = told.of === "time" ? new Set(ends).size : results;
      const lastEndMs = ends.length === 0 ? null : Math.max(...ends);
      if (results > 0) some++;
      if (told.windows !== windows || told.lastEndMs !== lastEndMs)
        wrong.push({ seed, told, windows, lastEndMs });
      const after = chain.operators[0]!.openWindows!;
      if (after.windows !== 0 || after.lastEndMs !== null) wrong.push({ seed, after });
      chain.close();
    }
    expect(wrong).toEqual([]);
    expect(some).toBeGreaterThan(20);
  });
});

test("windows with a trigger are open until their end has come, whatever has fired early", () => {
  const chain = new WindowChain(
    windowOperator(
      countedBy(tumblingWindows({ size: MINUTE }), {
        trigger: continuousEventTimeTrigger(20_000),
        allowedLateness: 5 * MINUTE,
      }),
    ),
  );
  const told = () => chain.operators[0]!.openWindows;
  chain.record("a", 1, 10_000);
  chain.record("b", 2, 20_000);
  chain.record("b", 3, 70_000);
  expect(told()).toEqual({ windows: 3, of: "keys", lastEndMs: 2 * MINUTE });
  chain.watermark(45_000);
  expect(chain.main.length).toBeGreaterThan(0);
  chain.restart();
  expect(told()).toEqual({ windows: 3, of: "keys", lastEndMs: 2 * MINUTE });
  chain.watermark(MINUTE);
  expect(told()).toEqual({ windows: 1, of: "keys", lastEndMs: 2 * MINUTE });
  // A late record opens nothing.
  chain.record("a", 4, 11_000);
  expect(told()).toMatchObject({ windows: 1 });
  chain.watermark(2 * MINUTE - 1);
  expect(told()).toEqual({ windows: 0, of: "keys", lastEndMs: null });
});

test("sessions with a trigger are counted once where they join", () => {
  const chain = new WindowChain(
    windowOperator(
      countedBy(sessionWindows({ gap: MINUTE }), { trigger: continuousEventTimeTrigger(20_000) }),
    ),
  );
  const told = () => chain.operators[0]!.openWindows;
  chain.record("a", 1, 0);
  chain.record("a", 2, 90_000);
  expect(told()).toMatchObject({ windows: 2, lastEndMs: 150_000 });
  chain.record("a", 3, 45_000);
  expect(told()).toMatchObject({ windows: 1, lastEndMs: 150_000 });
  chain.watermark(200_000);
  expect(told()).toMatchObject({ windows: 0, lastEndMs: null });
});

test("windows of processing time are open by the clock", () => {
  const chain = new WindowChain(
    windowOperator(countedBy(tumblingWindows({ size: 1000, time: "processing" }))),
  );
  chain.nowMs = 5_500;
  chain.record("a", 1, 0);
  expect(chain.operators[0]!.openWindows).toEqual({ windows: 1, of: "keys", lastEndMs: 6_000 });
  chain.clock(6_100);
  expect(chain.operators[0]!.openWindows).toEqual({ windows: 0, of: "keys", lastEndMs: null });
});
