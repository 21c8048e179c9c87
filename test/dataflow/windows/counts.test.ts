/** Each record that a window has not taken is counted once, by its cause, whether or not there is a late output. */
import { expect, test } from "vitest";
import {
  continuousEventTimeTrigger,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowOptions,
} from "../../../src/index.ts";
import { WindowChain, windowOperator } from "./window-chain.ts";

const cases: [string, WindowAssigner, WindowOptions<"late">, object][] = [
  ["a record of a tumbling window that is over", tumblingWindows({ size: 10 }), {}, { late: 1 }],
  ["a record of a session that is over", sessionWindows({ gap: 5 }), {}, { late: 1 }],
  [
    "records that are late and have an output",
    tumblingWindows({ size: 10 }),
    { lateOutput: "late" },
    { late: 1 },
  ],
  [
    "a record that lies between two windows",
    slidingWindows({ size: 2, slide: 20, offset: 8 }),
    {},
    { late: 1, outside: 1 },
  ],
  ["a record of which some windows are over", slidingWindows({ size: 30, slide: 10 }), {}, { partlyLate: 1 }],
  [
    "the same with a trigger",
    slidingWindows({ size: 30, slide: 10 }),
    { trigger: continuousEventTimeTrigger(5) },
    { partlyLate: 1 },
  ],
  ["no record within the allowed lateness", tumblingWindows({ size: 10 }), { allowedLateness: 50 }, {}],
];

test.each(cases)("%s", (_, windows, options, counted) => {
  const chain = new WindowChain(
    windowOperator((items) => items.window(windows, options).reduce("windows", (first) => first)),
  );
  chain.record("a", 1, 8);
  chain.watermark(19);
  chain.record("a", 2, 9);
  chain.record("a", 3, 25);
  expect(chain.figures).toMatchObject({ late: 0, outside: 0, partlyLate: 0, ...counted });
  expect(chain.late.length).toBe(options.lateOutput === undefined ? 0 : 1);
});
