/** How late records come: what `status` says of them, and that the lateness which it advises would have taken them. */
import { describe, expect, test } from "vitest";
import { latenessLines, latenessOf } from "../../../src/cli/output/lateness.ts";
import { randomOf } from "../../../src/connectors/seeded-random.ts";
import type { LateExample } from "../../../src/dataflow/time/lateness.ts";
import {
  continuousEventTimeTrigger,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowOptions,
} from "../../../src/index.ts";
import { describeRecord } from "../../../src/state/described.ts";
import { WindowChain, windowOperator } from "./window-chain.ts";

const RECORDS = 3000;

/** Records that come up to some hours late, most of them by little; watermarks are later by `graceMs`. */
function run(windows: WindowAssigner, options: WindowOptions<never>, graceMs = 0): WindowChain {
  const chain = new WindowChain(
    windowOperator((items) => items.window(windows, options).reduce("windows", (first) => first)),
  );
  const random = randomOf(7, 0);
  let latest = 0;
  for (let i = 0; i < RECORDS; i++) {
    const now = 20_000_000 + i * 997;
    const time = now - Math.floor(2 ** (random() * 24));
    chain.record(`key ${i % 5}`, i, time);
    if (time <= latest) continue;
    latest = time;
    chain.watermark(time - graceMs - 1);
  }
  return chain;
}

const summaryOf = (chain: WindowChain) => latenessOf([{ operators: chain.operators }])[0];

const cases: [string, WindowAssigner, WindowOptions<never>][] = [
  ["tumbling windows", tumblingWindows({ size: "1 min" }), {}],
  ["tumbling windows with some lateness", tumblingWindows({ size: "1 min" }), { allowedLateness: "20 s" }],
  ["sliding windows", slidingWindows({ size: "10 min", slide: "1 min" }), {}],
  [
    "windows with a trigger",
    tumblingWindows({ size: "1 min" }),
    { trigger: continuousEventTimeTrigger(5000) },
  ],
];

describe.each(cases)("%s", (_, windows, options) => {
  const before = run(windows, options);
  const late = summaryOf(before)!;
  const notTaken = () => {
    const { late: dropped = 0, partlyLate = 0 } = before.figures;
    return dropped + partlyLate;
  };

  test("tell each record that came behind the end of a window, and those that were not taken whole", () => {
    expect(late.notTaken).toBe(notTaken());
    expect(late.notTaken).toBeGreaterThan(500);
    expect(late.records).toBeGreaterThanOrEqual(late.notTaken);
    expect(late.p50Ms).toBeLessThan(late.p99Ms);
    expect(late.p99Ms).toBeLessThanOrEqual(late.maxMs);
  });

  test("take 99 % with the allowed lateness that is advised, and no less than with a fifth less", () => {
    const takenWith = (ms: number) => {
      const { records, notTaken: left } = summaryOf(run(windows, { ...options, allowedLateness: ms }))!;
      expect(records).toBe(late.records);
      return 1 - left / records;
    };
    expect(takenWith(late.p99Ms)).toBeGreaterThanOrEqual(0.99);
    expect(takenWith(Math.floor(late.p99Ms * 0.8))).toBeLessThan(0.99);
    expect(takenWith(late.maxMs)).toBe(1);
  });

  test("take 99 % with watermarks that are so much later", () => {
    const { notTaken: left = 0 } = summaryOf(run(windows, options, late.p99Ms)) ?? {};
    expect(left).toBeLessThanOrEqual(late.records * 0.01);
  });
});

test("a session that is over counts from its end, and one that has fired takes what comes within its lateness", () => {
  const chain = new WindowChain(
    windowOperator((items) =>
      items.window(sessionWindows({ gap: 10 }), { allowedLateness: 5 }).reduce("windows", (first) => first),
    ),
  );
  chain.record("a", 1, 100);
  chain.watermark(110);
  chain.record("a", 2, 100);
  expect(summaryOf(chain)).toEqual({
    operator: "windows",
    records: 1,
    notTaken: 0,
    p50Ms: 2,
    p99Ms: 2,
    maxMs: 2,
    allowedMs: 5,
  });
  chain.watermark(200);
  chain.record("a", 3, 100);
  expect(summaryOf(chain)).toMatchObject({ records: 2, notTaken: 1, maxMs: 92 });
  chain.record("b", 3, 150);
  expect(summaryOf(chain)).toMatchObject({ records: 3, notTaken: 2, maxMs: 92 });
});

describe("in words", () => {
  const lineOf = (notTaken: number, allowedMs: number | undefined, ...buckets: [number, number][]) => {
    const records = buckets.reduce((sum, [, count]) => sum + count, 0);
    const maxMs = buckets.at(-1)![0];
    const lateness = { records, notTaken, maxMs, buckets, ...(allowedMs !== undefined && { allowedMs }) };
    return latenessLines([{ operators: [{ operator: "count", figures: {}, lateness }] }])[0];
  };

  test("what would have taken them is said, and what takes them already", () => {
    expect(lineOf(200, 0, [10, 150], [41_234, 49], [90_000, 1])).toBe(
      "lateness     count: 200 too late, 200 of them not taken or in part only; by p50 10 ms, p99 42 s, max 1.5 m; " +
        'allowedLateness "42 s", or watermarks 42 s later, would have taken 99 % of them whole',
    );
    expect(lineOf(50, 10_000, [10, 150], [41_234, 50])).toContain(
      'allowedLateness "42 s", or watermarks 32 s later, would',
    );
    expect(lineOf(1, 50_000, [10, 150], [90_000, 1])).toContain('allowedLateness "50 s" takes 99 % of them');
    expect(lineOf(0, 50_000, [10, 150])).toMatch(/max 10 ms$/);
  });

  test("a join has no allowed lateness", () => {
    expect(lineOf(2, undefined, [700, 2])).toContain(
      "; watermarks 700 ms later would have taken 99 % of them",
    );
  });

  test("subtasks count together", () => {
    const of = (upToMs: number, count: number) => ({
      operators: [
        {
          operator: "count",
          figures: {},
          lateness: { records: count, notTaken: count, maxMs: upToMs, buckets: [[upToMs, count] as const] },
        },
      ],
    });
    expect(latenessOf([of(8, 98), of(500, 1), of(2000, 1), of(8, 1)])[0]).toMatchObject({
      records: 101,
      p50Ms: 8,
      p99Ms: 500,
      maxMs: 2000,
    });
  });
});

describe("examples", () => {
  const late = (chain: WindowChain, value: number) => chain.record("a", value, 5);

  test("are told with the first record, once a minute, and with the last one at the end", () => {
    const told: LateExample[] = [];
    let nowMs = 1000;
    const chain = new WindowChain(
      windowOperator((items) => items.window(tumblingWindows({ size: 10 })).reduce("windows", (one) => one)),
      128,
      { elapsedMs: () => nowMs, late: (example) => told.push(example) },
    );
    chain.watermark(30);
    late(chain, 1);
    late(chain, 2);
    expect(told).toEqual([
      {
        operator: "windows",
        records: 1,
        value: { key: "a", value: 1 },
        timestamp: 5,
        watermark: 30,
        neededMs: 22,
        keyGroup: expect.any(Number),
      },
    ]);
    nowMs += 60_000;
    late(chain, 3);
    late(chain, 4);
    expect(told.map(({ records }) => records)).toEqual([1, 3]);
    chain.close();
    expect(told.map(({ records, value }) => [records, value])).toEqual([
      [1, { key: "a", value: 1 }],
      [3, { key: "a", value: 3 }],
      [4, { key: "a", value: 4 }],
    ]);
  });

  test("a key that cannot be told does not fail the job", () => {
    const told: LateExample[] = [];
    const chain = new WindowChain(
      windowOperator((items) => items.window(tumblingWindows({ size: 10 })).reduce("windows", (one) => one)),
      128,
      { late: (example) => told.push(example) },
    );
    chain.watermark(30);
    chain.anything(undefined, 5);
    expect(told).toMatchObject([{ records: 1, value: undefined, keyGroup: undefined }]);
  });

  test("show names of fields and kinds, and nothing that a record holds", () => {
    const secret = { user: "alice", paid: { amount: 12, card: { number: "4111" } }, at: 7, tags: ["x"] };
    expect(describeRecord(secret)).toBe(
      "{ user: a text of 5 characters, paid: { amount: a number, card: an object }, at: a number, tags: an array }",
    );
    expect(describeRecord("alice")).toBe("a text of 5 characters");
    const wide = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`${"field ".repeat(20)}${i}`, i]));
    expect(describeRecord(wide).length).toBeLessThanOrEqual(400);
    const throwing = {
      get user() {
        throw new Error("looked at");
      },
    };
    expect(describeRecord(throwing)).toBe("{ user: a getter }");
    const hidden = new Proxy({}, { ownKeys: () => ["user", "user"] });
    expect(describeRecord(hidden)).toBe("an object");
  });
});
