/** Each checker finds what it is there for, and nothing in a run that was right. */
import { describe, expect, test } from "vitest";
import type { TransactionMarker } from "../../src/formats/transactions/transaction-marker.ts";
import { keyGroupOf, ownerOf } from "../../src/state/key-groups.ts";
import {
  type InputRecord,
  inputRecords,
  nextFold,
  type OutputRecord,
} from "../support/graphs/keyed-count.ts";
import { checkMarkers, checkOutput, checkWholeParts, type OutputAt } from "./checkers.ts";
import type { SeenMarker } from "./observer.ts";
import { checkRows, type ExpectedRow, type Row, type RowAt } from "./verdict.ts";
import { actors, expectedActors } from "./workloads/actors.ts";
import { expectedJoins, joins } from "./workloads/joins.ts";
import { checkIds } from "./workloads/requests.ts";
import { expectedRules, rules } from "./workloads/rules.ts";
import { expectedWindows } from "./workloads/windows.ts";
import type { Workload, WorkloadInput } from "./workloads/workload.ts";

const input = [...inputRecords(60, 4)];

function rightOutput(): OutputRecord[] {
  const folds = new Map<string, OutputRecord>();
  const output: OutputRecord[] = [];
  for (const { key, n } of input) {
    const record = { key, n, count: n, fold: nextFold(folds.get(key)?.fold ?? 0, n) };
    folds.set(key, record);
    output.push(record);
  }
  return [...output, ...[...folds.values()].map((record) => ({ ...record, final: true as const }))];
}

const at = (records: readonly OutputRecord[]): OutputAt[] =>
  records.map((record, index) => ({ sequence: index + 1, record }));

const verdictOn = (change: (output: OutputRecord[]) => void) => {
  const output = rightOutput();
  change(output);
  const { lost, duplicated, outOfOrder, wrong } = checkOutput(input, at(output));
  return { lost, duplicated, outOfOrder, wrong };
};

describe("output", () => {
  const nothing = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 };

  test("right", () => expect(verdictOn(() => {})).toEqual(nothing));
  test("a record is lost", () =>
    expect(verdictOn((output) => output.splice(10, 1))).toEqual({ ...nothing, lost: 1 }));
  test("a final count is lost", () =>
    expect(verdictOn((output) => output.pop())).toEqual({ ...nothing, lost: 1 }));
  test("a record is doubled", () =>
    expect(verdictOn((output) => output.splice(20, 0, output[10]!))).toEqual({ ...nothing, duplicated: 1 }));
  test("a final count is doubled", () =>
    expect(verdictOn((output) => output.push(output.at(-1)!))).toEqual({ ...nothing, duplicated: 1 }));
  test("two records of a key change places", () =>
    expect(
      verdictOn((output) => {
        const [first, second] = output.flatMap(({ key }, index) => (key === "k1" ? [index] : []));
        [output[first!], output[second!]] = [output[second!]!, output[first!]!];
      }),
    ).toEqual({ ...nothing, outOfOrder: 1 }));
  test("a count is that of another state", () =>
    expect(
      verdictOn((output) => {
        output[15] = { ...output[15]!, fold: 1 };
      }),
    ).toEqual({ ...nothing, wrong: 1 }));
  test("a key that was never read", () =>
    expect(verdictOn((output) => output.push({ key: "k99", n: 1, count: 1, fold: 1 }))).toEqual({
      ...nothing,
      wrong: 1,
    }));
});

const marker = (sequence: number, change: Partial<TransactionMarker> = {}, writer = 0): SeenMarker => ({
  subject: `tidemark-marker.OUT.x.write.${writer}`,
  sequence,
  storedAtMs: sequence,
  marker: {
    job: "j",
    incarnation: "x",
    generation: 1,
    nonce: "n",
    checkpointId: 0,
    part: 0,
    parts: 0,
    ...change,
  },
});

describe("markers", () => {
  const right = [
    marker(1),
    marker(5, { checkpointId: 1, part: 1, parts: 2 }),
    marker(9, { checkpointId: 1, part: 2, parts: 2 }),
    marker(10, { checkpointId: 1, part: 2, parts: 2, generation: 2, nonce: "m" }),
    marker(12, { checkpointId: 3, part: 1, parts: 1, generation: 2, nonce: "m" }),
  ];

  test("right", () => expect(checkMarkers(right)).toEqual([]));
  test("an older generation writes after a newer one", () =>
    expect(checkMarkers([...right, marker(15, { checkpointId: 4, part: 1, parts: 1 })])).toHaveLength(1));
  test("progress falls", () =>
    expect(
      checkMarkers([...right, marker(15, { checkpointId: 2, part: 1, parts: 1, generation: 3 })]),
    ).toHaveLength(1));
  test("the same part is committed twice", () =>
    expect(checkMarkers([...right, { ...right.at(-1)!, sequence: 15 }])).toHaveLength(1));
});

describe("whole parts", () => {
  const writerOf = (key: string) => ownerOf(keyGroupOf(key, 128), 2, 128);
  const keys = input.map(({ key }: InputRecord) => key);
  const zero = keys.find((key) => writerOf(key) === 0)!;
  const one = keys.find((key) => writerOf(key) === 1)!;
  const message = (sequence: number, subject: string) => ({ sequence, subject, storedAtMs: 0, text: "" });
  const check = (...messages: ReturnType<typeof message>[]) => checkOf([2], messages);
  const checkOf = (parallelisms: readonly number[], messages: ReturnType<typeof message>[]) =>
    checkWholeParts(
      messages,
      [marker(3, { checkpointId: 1 }, 0)],
      (subject) => subject.startsWith("tidemark-marker."),
      ({ subject }) => subject,
      { parallelisms, maxParallelism: 128 },
    );

  test("right: a marker was rolled up at 3, the last one stays", () =>
    expect(
      check(message(1, zero), message(2, zero), message(4, one), message(5, "tidemark-marker.OUT.x.write.1")),
    ).toEqual([]));
  test("a part without its marker at the end of the stream", () =>
    expect(check(message(1, zero), message(2, zero), message(4, one))).toHaveLength(1));
  test("records of two writers in one part", () =>
    expect(
      check(message(4, zero), message(5, one), message(6, "tidemark-marker.OUT.x.write.1")),
    ).toHaveLength(1));
  test("right: the job has had one subtask, too", () =>
    expect(
      checkOf([1, 2], [message(4, zero), message(5, one), message(6, "tidemark-marker.OUT.x.write.0")]),
    ).toEqual([]));
  test("records that one writer has had under no number of subtasks", () =>
    expect(
      checkOf([1, 2], [message(4, zero), message(5, one), message(6, "tidemark-marker.OUT.x.write.1")]),
    ).toHaveLength(1));
  test("a part that another writer's marker closes", () =>
    expect(check(message(1, one), message(2, one), message(4, "tidemark-marker.OUT.x.write.1"))).toHaveLength(
      1,
    ));
});

describe("rows", () => {
  const expected: readonly ExpectedRow[] = [
    { branch: "a", key: "k1", of: 1, value: { count: 2 }, rank: 1 },
    { branch: "a", key: "k1", of: 2, value: { count: 3 }, rank: 2 },
    { branch: "a", key: "k2", of: 1, value: { count: 3 }, rank: 1 },
    { branch: "b", key: "k1", of: 1, value: null },
  ];
  const verdict = (change: (rows: Row[]) => void) => {
    const rows: Row[] = expected.map(({ branch, key, of, value }) => ({ branch, key, of, value }));
    change(rows);
    const written = rows.map((row, index) => ({ sequence: index + 1, row }));
    const { lost, duplicated, outOfOrder, wrong } = checkRows(expected, written);
    return { lost, duplicated, outOfOrder, wrong };
  };
  const nothing = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 };

  test("right", () => expect(verdict(() => {})).toEqual(nothing));
  test("one is lost", () => expect(verdict((rows) => rows.splice(1, 1))).toEqual({ ...nothing, lost: 1 }));
  test("one is doubled", () =>
    expect(verdict((rows) => rows.push(rows[3]!))).toEqual({ ...nothing, duplicated: 1 }));
  test("one has the value of another state", () =>
    expect(
      verdict((rows) => {
        rows[2] = { ...rows[2]!, value: { count: 4 } };
      }),
    ).toEqual({ ...nothing, wrong: 1 }));
  test("the second of two that have the same name has another value", () =>
    expect(verdict((rows) => rows.push({ ...rows[3]!, value: 1 }))).toEqual({
      ...nothing,
      duplicated: 1,
      wrong: 1,
    }));
  test("two of a key change places", () =>
    expect(verdict((rows) => rows.splice(0, 2, rows[1]!, rows[0]!))).toEqual({ ...nothing, outOfOrder: 1 }));
  test("one that was not to come", () =>
    expect(verdict((rows) => rows.push({ ...rows[0]!, of: 3 }))).toEqual({ ...nothing, wrong: 1 }));
});

describe("ids of requests", () => {
  const asked = (...requests: (readonly [string, readonly string[]])[]) =>
    checkIds(new Map(requests.map(([request, ids]) => [request, new Set(ids)])));

  test("right", () => expect(asked(["ordered k1 1", ["x"]], ["ordered k1 2", ["y"]])).toEqual([]));
  test("a record is asked for under two ids", () =>
    expect(asked(["ordered k1 1", ["x", "y"]])).toHaveLength(1));
  test("two records have one id", () =>
    expect(asked(["ordered k1 1", ["x"]], ["ordered k1 2", ["x"]])).toHaveLength(1));
});

test("what is disturbed meets what it is about: records that are late, and such that fire a window again", () => {
  const written = [...expectedWindows({ records: 1000, keys: 40, splits: 4 })];
  const of = (branch: string) => written.filter((row) => row.branch === branch);
  const again = of("strict").filter(({ value }) => (value as { readonly firing: string }).firing === "late");
  expect(of("late").length).toBeGreaterThan(50);
  expect(again.length).toBeGreaterThan(20);
  const lengths = of("sessions").map(({ value }) => (value as { readonly numbers: number[] }).numbers.length);
  expect(lengths.filter((length) => length > 2).length).toBeGreaterThan(20);
});

describe("what came first is told by the output, and all else must follow from that", () => {
  const size: WorkloadInput = { records: 400, keys: 8, splits: 4 };
  const stored = (rows: readonly Row[]): RowAt[] => rows.map((row, index) => ({ sequence: index + 1, row }));
  const { check: checkActors } = actors;
  const verdictOf = (check: Workload["check"], rows: readonly Row[]) => {
    const inOrder = [...rows].sort((a, b) => ((a as ExpectedRow).rank ?? 0) - ((b as ExpectedRow).rank ?? 0));
    const output = inOrder.map(({ branch, key, of, value }, index) => {
      return {
        sequence: index + 1,
        subject: key,
        storedAtMs: 0,
        text: JSON.stringify({ branch, key, of, value }),
      };
    });
    const { lost, duplicated, outOfOrder, wrong } = check(size, output, new Map());
    return { lost, duplicated, outOfOrder, wrong };
  };
  const nothing = { lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 };
  const isRow = (branch: string, key: string, of: string | number) => (row: Row) =>
    row.branch === branch && row.key === key && row.of === of;
  const without = (rows: readonly Row[], ...dropped: Parameters<typeof isRow>): Row[] =>
    rows.filter((row) => !isRow(...dropped)(row));

  describe("stays", () => {
    const begun: Row = { branch: "stay", key: "k1", of: 5, value: null };
    const right = [...expectedActors(size, stored([begun]))];

    test("right", () => expect(verdictOf(checkActors, right)).toEqual(nothing));
    test("one is lost: the one before does not come up to the next", () =>
      expect(verdictOf(checkActors, without(right, "stay", "k1", 5)).wrong).toBe(1));
    test("two have a record in common", () =>
      expect(verdictOf(checkActors, [...right, { ...begun, of: 6 }]).wrong).toBeGreaterThan(0));
  });

  describe("rules", () => {
    const met: Row = { branch: "rules", key: "k1", of: "record 3", value: { version: 7 } };
    const right = [...expectedRules(size, stored([met]))];
    const { check } = rules;

    test("right", () => expect(verdictOf(check, right)).toEqual(nothing));
    test("a rule is not applied to a key", () =>
      expect(verdictOf(check, without(right, "rules", "k1", "rule 9")).lost).toBe(1));
    test("a record meets an older rule than the one before", () => {
      const older = right.map((row) =>
        isRow("rules", "k1", "record 5")(row) ? { ...row, value: { ...Object(row.value), version: 2 } } : row,
      );
      expect(verdictOf(check, older).wrong).toBe(1);
    });
    test("a record does not wait for its first rule", () => {
      const early = right.map((row) =>
        isRow("rules", "k2", "record 1")(row) ? { ...row, value: { ...Object(row.value), version: 0 } } : row,
      );
      expect(verdictOf(check, early).wrong).toBe(1);
    });
    test("the last update of a key is lost", () => {
      const last = right.findLast(({ branch, key }) => branch === "running" && key === "k1")!;
      expect(verdictOf(check, without(right, "running", "k1", last.of)).lost).toBe(1);
    });
  });

  describe("joins", () => {
    const lateIn = (key: string, n: number): Row => ({
      branch: "strict-version-late",
      key,
      of: n,
      value: null,
    });
    const found = (rows: readonly Row[]): Row[] => rows.filter(({ branch }) => branch.endsWith("-late"));
    const keys = Array.from({ length: size.keys }, (_, key) => `k${key}`);
    const all = keys.flatMap((key) => Array.from({ length: size.records }, (_, n) => lateIn(key, n + 1)));
    const possible = found([...expectedJoins(size, stored(all))]);
    const probe = possible.find(({ of }) => Number(of) % 2 === 1)!;
    const right = [...expectedJoins(size, stored([probe]))];
    const { check } = joins;

    test("right, with one that was late, and with all that may be", () => {
      expect(possible.length).toBeGreaterThan(20);
      expect(found(right)).toHaveLength(1);
      expect(verdictOf(check, right)).toEqual(nothing);
      expect(verdictOf(check, [...expectedJoins(size, stored(possible))])).toEqual(nothing);
    });
    test("a late one took part all the same", () =>
      expect(verdictOf(check, [...expectedJoins(size, []), probe]).wrong).toBe(1));
    test("one is told as late that no watermark had passed", () => {
      const inTime = all.find((row) => !possible.some(({ key, of }) => key === row.key && of === row.of))!;
      expect(verdictOf(check, [...right, inTime])).toEqual({ ...nothing, wrong: 1 });
    });
    test("a pair comes twice", () => {
      const pair = right.find(({ branch }) => branch === "interval")!;
      expect(verdictOf(check, [...right, pair])).toEqual({ ...nothing, duplicated: 1 });
    });
  });
});
