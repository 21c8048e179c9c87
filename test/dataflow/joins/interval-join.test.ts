/** Interval join: which pairs there are, what is late, what stays; beside a naive model, and across restores. */
import { describe, expect, test } from "vitest";
import { randomOf } from "../../../src/connectors/seeded-random.ts";
import { defineOperator, type OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { OperatorError } from "../../../src/errors.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { finishAll, restored, rowsOf, run, type Step } from "./cuts.ts";

interface Item {
  readonly key: string;
  readonly name: string;
}

const keyOf = (value: unknown) => (value as Item).key;

function joinOf(lowerMs: number, upperMs: number): OperatorDefinition {
  return defineOperator(kinds.intervalJoin, "joined", {
    left: { key: keyOf, lateTag: "lateLeft" },
    right: { key: keyOf, lateTag: "lateRight" },
    lowerMs,
    upperMs,
    description: "an interval",
    join: (left, right, { key, leftTimestamp, rightTimestamp }) =>
      `${String(key)}: ${(left as Item).name}@${leftTimestamp} ${(right as Item).name}@${rightTimestamp}`,
  });
}

const left = (time: number, name = `l${time}`, key = "a"): Step => ({ port: 0, value: { key, name }, time });
const right = (time: number, name = `r${time}`, key = "a"): Step => ({ port: 1, value: { key, name }, time });
const watermark = (time: number): Step => ({ watermark: time });

test("both bounds count, keys meet their own, and a pair has the time of its later record", () => {
  const { out } = run(joinOf(-5, 10), [
    right(94),
    right(95),
    right(100, "other", "b"),
    left(100),
    right(110),
    right(111),
    left(116),
  ]);
  expect(out.out).toEqual([
    ["a: l100@100 r95@95", 100],
    ["a: l100@100 r110@110", 110],
    ["a: l116@116 r111@111", 116],
  ]);
});

test("partners come by their time, and at one time in the order in which they came", () => {
  const { out } = run(joinOf(-50, 50), [
    right(30),
    right(10, "first"),
    right(20),
    right(10, "second"),
    left(20),
  ]);
  expect(out.out!.map(([value]) => value)).toEqual([
    "a: l20@20 first@10",
    "a: l20@20 second@10",
    "a: l20@20 r20@20",
    "a: l20@20 r30@30",
  ]);
});

test("a record at the watermark is late on both sides: counted, had by its output, and meets none", () => {
  const steps = [
    left(10),
    right(10),
    watermark(20),
    left(20),
    right(20),
    right(5, "old"),
    left(21),
    right(21),
  ];
  const { out, chain } = run(joinOf(-100, 100), steps);
  expect(out.out!.map(([value]) => value)).toEqual([
    "a: l10@10 r10@10",
    "a: l21@21 r10@10",
    "a: l10@10 r21@21",
    "a: l21@21 r21@21",
  ]);
  const late = (name: string, timestamp: number) => [
    { value: { key: "a", name }, timestamp, cause: "late", operator: "joined", watermark: 20 },
    timestamp,
  ];
  expect(chain.figures()).toMatchObject([
    {
      operator: "joined",
      figures: { lateLeft: 1, lateRight: 2 },
      lateness: { records: 3, notTaken: 3, maxMs: 16 },
    },
  ]);
  expect(out.lateLeft).toEqual([late("l20", 20)]);
  expect(out.lateRight).toEqual([late("r20", 20), late("old", 5)]);
});

test("what no record can meet any more goes, and not before", () => {
  // A record on the left stays for 60 s, one on the right goes with its own time; both up to 4 s longer.
  const minute = joinOf(0, 60_000);
  const kept = (time: number) => rowsOf(run(minute, [left(1000), right(1000), watermark(time)]).chain);
  expect(kept(999)).toEqual({ left: 1, right: 1 });
  expect(kept(6000)).toEqual({ left: 1, right: 0 });
  expect(kept(60_999)).toEqual({ left: 1, right: 0 });
  expect(kept(66_000)).toEqual({ left: 0, right: 0 });
  const last = run(minute, [left(1000), watermark(60_999), right(61_000)]);
  expect(last.out.out).toEqual([["a: l1000@1000 r61000@61000", 61_000]]);
});

test("a record for which all partners have been is not kept", () => {
  const steps = [watermark(100), left(120), right(125)];
  expect(rowsOf(run(joinOf(-50, -20), steps).chain)).toEqual({ left: 0, right: 1 });
});

test("removing many rows is done in slices, and a cut in between holds what is left", () => {
  const join = joinOf(0, 0);
  const many = Array.from({ length: 1000 }, (_, i) => left(i, `l${i}`, `k${i % 7}`));
  const { chain } = run(join, many);
  const slices = chain.advance(5000, 1)!;
  expect(slices.step()).toBe(true);
  const between = rowsOf(chain).left!;
  expect(between).toBeGreaterThan(0);
  expect(between).toBeLessThan(1000);
  const after = restored(chain, join);
  expect(after.unfinishedTime()).toBe(5000);
  finishAll(after.advance(5000, 1));
  expect(rowsOf(after)).toEqual({ left: 0, right: 0 });
});

/** All pairs of records that are not late, by the definition. */
function expectedOf(steps: readonly Step[], lowerMs: number, upperMs: number): string[] {
  let reached = Number.NEGATIVE_INFINITY;
  const taken: { readonly port: number; readonly value: Item; readonly time: number }[] = [];
  for (const step of steps) {
    if ("watermark" in step) reached = step.watermark;
    else if (step.time > reached) taken.push(step as (typeof taken)[number]);
  }
  const pairs: string[] = [];
  for (const l of taken.filter(({ port }) => port === 0))
    for (const r of taken.filter(({ port }) => port === 1))
      if (l.value.key === r.value.key && r.time - l.time >= lowerMs && r.time - l.time <= upperMs)
        pairs.push(`${l.value.key}: ${l.value.name}@${l.time} ${r.value.name}@${r.time}`);
  return pairs.sort();
}

describe("beside all pairs by the definition, with cuts on the way", () => {
  const intervals: [number, number][] = [
    [0, 0],
    [-3, 5],
    [4, 9],
    [-9, -4],
    [-4000, 3000],
  ];
  test.each(intervals)("from %i to %i", (lowerMs, upperMs) => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = randomOf(seed, 0);
      const whole = (max: number) => Math.floor(random() * max);
      const spread = upperMs - lowerMs > 100 ? 5000 : 20;
      let reached = -10;
      const steps = Array.from({ length: 150 }, (_, i): Step => {
        if (whole(4) === 0) {
          reached += whole(spread / 4);
          return watermark(reached);
        }
        const value = { key: "abc"[whole(3)]!, name: `#${i}` };
        return { port: whole(2), value, time: reached - whole(spread / 4) + whole(spread) };
      });
      const cuts = steps.map((_, place) => place).filter(() => whole(10) === 0);
      const expected = expectedOf(steps, lowerMs, upperMs);
      const plain = run(joinOf(lowerMs, upperMs), steps).out;
      expect(plain.out!.map(([value]) => value as string).sort()).toEqual(expected);
      const cut = run(joinOf(lowerMs, upperMs), steps, cuts).out;
      expect(cut).toEqual(plain);
    }
  });
});

test("a record without timestamp, and a function that fails, name the operator", () => {
  const messageOf = (act: () => void) => {
    const failure = failureOf(act);
    expect(failure).toBeInstanceOf(OperatorError);
    return (failure as OperatorError).message;
  };
  expect(messageOf(() => run(joinOf(0, 1), [left(Number.NEGATIVE_INFINITY)]))).toBe(
    'operator "joined" failed: a record has no timestamp, and a join by event time needs one: give the source a timestamp and watermarks',
  );
  const failing = (join: () => unknown) =>
    defineOperator(kinds.intervalJoin, "joined", {
      left: { key: keyOf },
      right: { key: keyOf },
      lowerMs: 0,
      upperMs: 0,
      description: "an interval",
      join,
    });
  const boom = failing(() => {
    throw new TypeError("boom");
  });
  expect(messageOf(() => run(boom, [left(1), right(1)]))).toContain('operator "joined" failed: boom');
  expect(
    messageOf(() =>
      run(
        failing(async () => 1),
        [left(1), right(1)],
      ),
    ),
  ).toContain('operator "joined" failed: the function answered a promise');
});
