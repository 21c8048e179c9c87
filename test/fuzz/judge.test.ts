/** The judge finds what it is there for, and a forgery is never what it was made of. */
import { describe, expect, test } from "vitest";
import { shapes } from "../../src/control/shapes.ts";
import { randomFrom } from "../chaos/random.ts";
import { inputRecords, nextFold } from "../support/graphs/keyed-count.ts";
import { INPUT, judge, LAPS_OUTPUT, lapsOf, OUTPUT } from "./counting.ts";
import { forgedRequest, REQUEST_TYPES, WHOLE_ANSWERS, wholeRequest } from "./forgeries.ts";
import { bytesOf, fieldsIn, MUTATIONS, mutated } from "./mutations.ts";

const input = [...inputRecords(40, 4)];
const folds = new Map<string, number>();
const counts = input.map(({ key, n }) => {
  folds.set(key, nextFold(folds.get(key) ?? 0, n));
  return { key, n, count: n, fold: folds.get(key)! };
});
const finals = [...folds.keys()].map((key) => ({
  ...counts.findLast((count) => count.key === key)!,
  final: true,
}));
const laps = input.map((record) => ({ ...record, laps: lapsOf(record) }));
const stored = (records: readonly unknown[]) =>
  records.map((record, i) => ({
    ...{ subject: "x", sequence: i + 1, storedAtMs: 0 },
    text: typeof record === "string" ? record : JSON.stringify(record),
  }));

function verdictOn(written: readonly unknown[], arrived: readonly unknown[]) {
  const { lost, duplicated, wrong } = judge({
    ...{ [INPUT]: stored(input), [OUTPUT]: stored([...written, ...finals]), [LAPS_OUTPUT]: stored(arrived) },
  });
  return { lost, duplicated, wrong };
}

describe("the judge", () => {
  const nothing = { lost: 0, duplicated: 0, wrong: 0 };

  test("all is right", () => expect(verdictOn(counts, laps)).toEqual(nothing));
  test("a count is lost", () =>
    expect(verdictOn(counts.toSpliced(7, 1), laps)).toEqual({ ...nothing, lost: 1 }));
  test("a lap is lost", () =>
    expect(verdictOn(counts, laps.toSpliced(7, 1))).toEqual({ ...nothing, lost: 1 }));
  test("a record arrives twice", () =>
    expect(verdictOn(counts, [...laps, laps[3]])).toEqual({ ...nothing, duplicated: 1 }));
  test("a record has run too far", () =>
    expect(verdictOn(counts, laps.with(3, { ...laps[3]!, laps: 9 }))).toEqual({ ...nothing, wrong: 1 }));
  test("a record of no input", () =>
    expect(verdictOn(counts, [...laps, { key: "k99", n: 1, laps: 2 }])).toEqual({ ...nothing, wrong: 1 }));
  test("what is no record at all", () =>
    expect(verdictOn(counts, [...laps, "{"])).toEqual({ ...nothing, wrong: 1 }));
});

const known = { job: "fuzzed", generation: 3, checkpointId: 7, worker: "w" };

test.for(REQUEST_TYPES)("a %s is whole before it is spoiled", (type) => {
  const { leaderRequest, standbyRequest, workerRequest, generationRequest, subtaskMessage } = shapes;
  const message = wholeRequest(known, type);
  const problems = [leaderRequest, standbyRequest, workerRequest, generationRequest, subtaskMessage].map(
    (shape) => shape.problem(message),
  );
  expect(problems).toContain(undefined);
});

test.for(WHOLE_ANSWERS.filter(({ answer }) => answer !== "too-large"))(
  "an answer is whole before it is spoiled: %o",
  (answer) => {
    const problems = [shapes.leaderAnswer, shapes.pingAnswer].map((shape) => shape.problem(answer));
    expect(problems).toContain(undefined);
  },
);

test.for(REQUEST_TYPES)("a forged %s is another one each time, and the same for each seed", (type) => {
  const forged = (seed: number) => bytesOf({ message: forgedRequest(randomFrom(seed), known, type) });
  const seen = new Set(Array.from({ length: 50 }, (_, seed) => Buffer.from(forged(seed)).toString("hex")));
  expect(seen.size).toBeGreaterThan(15);
  expect(forged(1)).toEqual(forged(1));
});

test.for(MUTATIONS)("the mutation %s takes whatever was heard", (mutation) => {
  const message = bytesOf({ message: { type: "job.status", job: "fuzzed", generation: 1 } });
  for (const body of [new Uint8Array(0), new Uint8Array(64), message]) {
    for (let seed = 0; seed < 50; seed++) {
      for (const isFrame of [true, false])
        expect(mutated(randomFrom(seed), mutation, body, isFrame)).toBeInstanceOf(Uint8Array);
    }
  }
});

test("a renumbered message is whole, but for its numbers", () => {
  const message = { type: "checkpoint.completed", generation: 4, checkpointId: 7 };
  const body = mutated(randomFrom(1), "renumber", bytesOf({ message }), false);
  expect(fieldsIn(body)).toMatchObject({ type: message.type });
  expect(fieldsIn(body)).not.toEqual(message);
});
