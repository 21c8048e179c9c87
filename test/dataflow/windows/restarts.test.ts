/** Many keys of one key group, restarted in the middle of watermarks, also on disk: the same results in order (P79). */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  continuousEventTimeTrigger,
  countTrigger,
  cumulateWindows,
  type KeyedStream,
  purgingTrigger,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  valueState,
  type WindowAssigner,
  type WindowOptions,
} from "../../../src/index.ts";
import type { OpenBackend } from "../../../src/state/keyed-state.ts";
import { onDisk } from "../../support/graphs/on-disk.ts";
import { type Item, WindowChain, windowOperator } from "./window-chain.ts";

const sum = (a: Item, b: Item): Item => ({ key: a.key, value: a.value + b.value });

const cases: [string, WindowAssigner, WindowOptions<"late">][] = [
  ["tumbling", tumblingWindows({ size: 10 }), {}],
  ["tumbling, late", tumblingWindows({ size: 10 }), { allowedLateness: 7 }],
  ["sliding", slidingWindows({ size: 12, slide: 4 }), {}],
  ["sliding, late", slidingWindows({ size: 12, slide: 4 }), { allowedLateness: 7 }],
  ["cumulating", cumulateWindows({ size: 12, step: 4 }), {}],
  ["sessions", sessionWindows({ gap: 5 }), {}],
  ["sessions, late", sessionWindows({ gap: 5 }), { allowedLateness: 7 }],
  ["tumbling, early", tumblingWindows({ size: 10 }), { trigger: continuousEventTimeTrigger(3) }],
  [
    "sliding, count",
    slidingWindows({ size: 12, slide: 4 }),
    { allowedLateness: 7, trigger: countTrigger(3) },
  ],
  [
    "cumulating, purging",
    cumulateWindows({ size: 12, step: 4 }),
    { trigger: purgingTrigger(countTrigger(2)) },
  ],
  [
    "sessions, early",
    sessionWindows({ gap: 5 }),
    { allowedLateness: 7, trigger: continuousEventTimeTrigger(3) },
  ],
];

const steps = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.record({ key: fc.nat(30), at: fc.nat(30) }) },
    { weight: 1, arbitrary: fc.record({ ahead: fc.nat(12) }) },
  ),
  { minLength: 20, maxLength: 150 },
);

type Given = { readonly key: number; readonly at: number } | { readonly ahead: number };

test.each(cases)("%s", (_, windows, options) => {
  const operator = windowOperator((items: KeyedStream<Item, string>) =>
    items
      .window(windows, { ...options, lateOutput: "late" })
      .reduce("windows", sum, (item, { window, firing, index }) => ({ ...item, ...window, firing, index })),
  );
  const told = (given: readonly Given[], cuts: boolean, openBackend?: OpenBackend) => {
    const chain = new WindowChain(operator, 1, { openBackend });
    let watermark = 0;
    for (const step of given) {
      if ("ahead" in step) {
        watermark += step.ahead;
        chain.watermark(watermark, cuts);
      } else chain.record(`k${step.key}`, 1, watermark + step.at - 10);
    }
    chain.watermark(Number.POSITIVE_INFINITY, cuts);
    return { main: chain.main, late: chain.late };
  };
  fc.assert(
    fc.property(steps, (given) => {
      const straight = told(given, false);
      expect(told(given, true)).toEqual(straight);
      expect(told(given, true, onDisk(10))).toEqual(straight);
    }),
    { numRuns: 20 },
  );
});

test.each(cases.filter(([, , { trigger }]) => trigger === undefined))(
  "%s: with states of their own, windows fire as they do without",
  (_, windows, options) => {
    const told = (keyState: { readonly [N in string]: ReturnType<typeof valueState<number>> }) => {
      const operator = windowOperator((items: KeyedStream<Item, string>) =>
        items
          .window(windows, { ...options, lateOutput: "late", keyState })
          .reduce("windows", sum, (item, { window, firing, index }) => ({
            ...item,
            ...window,
            firing,
            index,
          })),
      );
      return (given: readonly ({ key: number; at: number } | { ahead: number })[]) => {
        const chain = new WindowChain(operator, 1);
        let watermark = 0;
        for (const step of given) {
          if ("ahead" in step) {
            watermark += step.ahead;
            chain.watermark(watermark);
          } else chain.record(`k${step.key}`, 1, watermark + step.at - 10);
        }
        chain.watermark(Number.POSITIVE_INFINITY);
        return { main: chain.main, late: chain.late };
      };
    };
    const plain = told({});
    const general = told({ unused: valueState(0) });
    fc.assert(
      fc.property(steps, (given) => {
        expect(general(given)).toEqual(plain(given));
      }),
      { numRuns: 20 },
    );
  },
);
