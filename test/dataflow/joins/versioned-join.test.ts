/** Versioned join: which version a record meets, when it leaves, what is late, what stays; across restores, too. */
import { expect, test } from "vitest";
import { randomOf } from "../../../src/connectors/seeded-random.ts";
import { defineOperator } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { OperatorError } from "../../../src/errors.ts";
import { failureOf } from "../../support/graphs/chains.ts";
import { rowsOf, run, type Step } from "./cuts.ts";

interface Item {
  readonly key: string;
  readonly name: string;
}

const keyOf = (value: unknown) => (value as Item).key;

const rated = defineOperator(kinds.versionedJoin, "rated", {
  probe: { key: keyOf, lateTag: "lateProbe" },
  build: { key: keyOf, lateTag: "lateBuild" },
  join: (probe, version, { rightTimestamp }) => {
    if ((probe as Item).name === "boom") throw new TypeError("boom");
    return `${(probe as Item).name} ${version === undefined ? "none" : `${(version as Item).name}@${rightTimestamp}`}`;
  },
});

const probe = (name: string, time: number, key = "a"): Step => ({ port: 0, value: { key, name }, time });
const version = (name: string, time: number, key = "a"): Step => ({ port: 1, value: { key, name }, time });
const watermark = (time: number): Step => ({ watermark: time });

test("a record waits for the watermark and meets the newest version of its time, whichever came first", () => {
  const steps = [
    probe("p5", 5),
    probe("p20", 20),
    version("v10", 10),
    probe("p10", 10),
    version("other", 9, "b"),
    version("v20", 20),
    version("again", 20),
    version("v30", 30),
    probe("p15", 15),
    probe("second", 10),
    watermark(19),
    probe("p29", 29),
    watermark(40),
  ];
  const expected = [
    ["p5 none", 5],
    ["p10 v10@10", 10],
    ["second v10@10", 10],
    ["p15 v10@10", 15],
    ["p20 again@20", 20],
    ["p29 again@20", 29],
  ];
  for (let cut = 0; cut <= steps.length; cut++) expect(run(rated, steps, [cut]).out.out).toEqual(expected);
});

test("late records of both sides are had by their outputs, and take no part", () => {
  const steps = [
    version("v1", 1),
    watermark(10),
    probe("late", 10),
    version("old", 10),
    probe("p", 11),
    watermark(11),
  ];
  const { out, chain } = run(rated, steps);
  expect(out.out).toEqual([["p v1@1", 11]]);
  expect(chain.figures()).toMatchObject([
    { figures: { lateProbe: 1, lateBuild: 1 }, lateness: { records: 2, notTaken: 2, maxMs: 1 } },
  ]);
  const late = (name: string) => [
    { value: { key: "a", name }, timestamp: 10, cause: "late", operator: "rated", watermark: 10 },
    10,
  ];
  expect(out.lateProbe).toEqual([late("late")]);
  expect(out.lateBuild).toEqual([late("old")]);
});

test("of each key the newest version that the watermark has reached stays, and those that are newer", () => {
  const steps = [1000, 2000, 3000, 90_000].map((time) => version(`v${time}`, time));
  const kept = (time: number) => rowsOf(run(rated, [...steps, watermark(time)]).chain).versions;
  expect(kept(1999)).toBe(4);
  expect(kept(10_000)).toBe(2);
  expect(kept(100_000)).toBe(1);
  const last = run(rated, [...steps, watermark(50_000), probe("p", 60_000), watermark(70_000)], [5]);
  expect(last.out.out).toEqual([["p v3000@3000", 60_000]]);
  expect(rowsOf(last.chain)).toMatchObject({ probes: 0, "probe times": 0 });
});

test("beside the definition, with cuts at any point", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = randomOf(seed, 0);
    const whole = (max: number) => Math.floor(random() * max);
    let reached = 0;
    const steps = Array.from({ length: 120 }, (_, i): Step => {
      if (whole(5) === 0) {
        reached += whole(800);
        return watermark(reached);
      }
      const value = { key: "ab"[whole(2)]!, name: `#${i}` };
      return { port: whole(2), value, time: reached - 200 + whole(2000) };
    });
    steps.push(watermark(Number.POSITIVE_INFINITY));
    let judged = Number.NEGATIVE_INFINITY;
    const taken: { readonly port: number; readonly value: Item; readonly time: number }[] = [];
    for (const step of steps) {
      if ("watermark" in step) judged = step.watermark;
      else if (step.time > judged) taken.push(step as (typeof taken)[number]);
    }
    const versions = taken.filter(({ port }) => port === 1).sort((a, b) => a.time - b.time);
    const expected = taken
      .filter(({ port }) => port === 0)
      .map(({ value, time }) => {
        const valid = versions.filter((one) => one.value.key === value.key && one.time <= time).at(-1);
        return [`${value.name} ${valid === undefined ? "none" : `${valid.value.name}@${valid.time}`}`, time];
      });
    const plain = run(rated, steps).out;
    expect([...plain.out!].sort()).toEqual(expected.sort());
    const times = plain.out!.map(([, time]) => time);
    const places = steps.map((_, place) => place).filter(() => whole(8) === 0);
    expect(run(rated, steps, places).out).toEqual(plain);
    expect(times.length).toBeGreaterThan(10);
  }
});

test("a function that fails names the operator", () => {
  const failure = failureOf(() => run(rated, [probe("boom", 1), watermark(1)]));
  expect(failure).toBeInstanceOf(OperatorError);
  expect((failure as OperatorError).message).toContain('operator "rated" failed: boom');
});
