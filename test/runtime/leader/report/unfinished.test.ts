/** What a drain would cut short: over all subtasks of an operator, and in words. */
import { expect, test } from "vitest";
import type { OpenWindows } from "../../../../src/dataflow/operators/contract.ts";
import {
  cutShort,
  unfinishedInWords,
  unfinishedOf,
} from "../../../../src/runtime/leader/report/unfinished.ts";

const subtask = (operator: string, figures: Record<string, number>, openWindows?: OpenWindows) => ({
  operators: [{ operator, figures, ...(openWindows && { openWindows }) }],
});

test("over all subtasks: keys are added up, stretches of time are the same, and who has none is left out", () => {
  const found = unfinishedOf([
    subtask("count", { late: 7 }, { windows: 5, of: "keys", lastEndMs: 100 }),
    subtask("count", { late: 0 }, { windows: 6, of: "keys", lastEndMs: 300 }),
    subtask("slide", {}, { windows: 4, of: "time", lastEndMs: 50 }),
    subtask("slide", {}, { windows: 5, of: "time", lastEndMs: null }),
    subtask("fired", {}, { windows: 0, of: "keys", lastEndMs: null }),
    subtask("remind", { eventTimers: 2, processingTimers: 1 }),
    subtask("remind", { eventTimers: 4, processingTimers: 0 }),
    subtask("map", { outside: 3 }),
  ]);
  expect(found).toEqual([
    { operator: "count", windows: 11, of: "keys", lastEndMs: 300, timers: 0 },
    { operator: "slide", windows: 5, of: "time", lastEndMs: 50, timers: 0 },
    { operator: "remind", windows: 0, of: "keys", lastEndMs: null, timers: 7 },
  ]);
});

test.each([
  [
    { windows: 1, of: "keys", lastEndMs: 0, timers: 0 },
    "operator o (1 window of keys, the last one until 1970-01-01T00:00:00.000Z)",
  ],
  [{ windows: 1200, of: "time", lastEndMs: null, timers: 0 }, "operator o (1,200 windows)"],
  [{ windows: 0, of: "keys", lastEndMs: null, timers: 3000 }, "operator o (3,000 timers)"],
  [
    { windows: 2, of: "time", lastEndMs: 9e15, timers: 1 },
    "operator o (2 windows, the last one until 9000000000000000; 1 timer)",
  ],
] as const)("%j in words", (counts, words) => {
  expect(unfinishedInWords({ operator: "o", ...counts })).toBe(words);
  expect(cutShort([{ operator: "o", ...counts }])).toBe(`; windows and timers were cut short in ${words}`);
});

test("nothing is said of nothing", () => {
  expect(cutShort([])).toBe("");
});
