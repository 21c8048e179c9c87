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
  const placement = { parallelism: 2, maxParallelism: 128 };
  const writerOf = (key: string) => ownerOf(keyGroupOf(key, 128), 2, 128);
  const keys = input.map(({ key }: InputRecord) => key);
  const zero = keys.find((key) => writerOf(key) === 0)!;
  const one = keys.find((key) => writerOf(key) === 1)!;
  const message = (sequence: number, subject: string) => ({ sequence, subject, storedAtMs: 0, text: "" });
  const check = (...messages: ReturnType<typeof message>[]) =>
    checkWholeParts(
      messages,
      [marker(3, { checkpointId: 1 }, 0)],
      (subject) => subject.startsWith("tidemark-marker."),
      ({ subject }) => subject,
      placement,
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
  test("a part that another writer's marker closes", () =>
    expect(check(message(1, one), message(2, one), message(4, "tidemark-marker.OUT.x.write.1"))).toHaveLength(
      1,
    ));
});
