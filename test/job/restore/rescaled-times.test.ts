/** RX1 to RX4: event time of a checkpoint under other parallelisms. */
import { describe, expect, test } from "vitest";
import type { GraphPlan, OperatorStateHandle, StateHandle } from "../../../machines/protocol.ts";
import {
  ASSIGNED_TIME,
  encodeInputTime,
  encodeOperatorTime,
  encodeSplitTime,
  INPUT_TIME,
  OPERATOR_TIME,
  parseAssignedTime,
  parseInputTime,
  parseOperatorTime,
  type StoredInputTime,
  type StoredOperatorTime,
} from "../../../src/formats/positions/event-time.ts";
import { assign } from "../../../src/job/restore/assignment.ts";
import { planRestore } from "../../../src/job/restore/restore-plan.ts";
import { keyGroupRangeOf } from "../../../src/state/key-groups.ts";
import { manifestOf, subtaskSnapshot } from "../../support/job-record.ts";

const KEY_GROUPS = 12;

const planOf = (senders: number, receivers: number): GraphPlan => ({
  vertices: [
    { id: "in", parallelism: senders, operators: [{ id: "in", kind: "source", inputs: [] }] },
    {
      id: "sums",
      parallelism: receivers,
      operators: [{ id: "sums", kind: "any", inputs: [{ from: "in" }], states: ["n"] }],
    },
  ],
  edges: [{ id: "e", from: "in", to: "sums", partitioner: "hash" }],
  maxParallelism: KEY_GROUPS,
});

interface Time {
  readonly combined: number;
  /** The time of the channel from each sender. */
  readonly channels: readonly (number | { readonly idleAt: number })[];
  readonly operator: Partial<StoredOperatorTime> & { readonly watermark: number };
}

const handle = (state: string, subtaskIndex: number, entries: Uint8Array[]): OperatorStateHandle => ({
  ...{ kind: "operator", operator: "sums", state, distribution: "list", subtaskIndex, entries },
});

const inputEntry = (edge: string | null, from: number, to: number, watermark: number, isIdle: boolean) =>
  encodeInputTime({ channel: edge === null ? null : { edge, from, to }, watermark, isIdle });

function snapshots(times: readonly Time[], finished: readonly number[] = []) {
  return times.map(({ combined, channels, operator }, index) =>
    subtaskSnapshot({
      subtask: `sums/${index}`,
      finished: finished.includes(index),
      states: [
        handle(INPUT_TIME, index, [
          inputEntry(null, 0, 0, combined, false),
          ...channels.map((time, from) =>
            typeof time === "number"
              ? inputEntry("e", from, index, time, false)
              : inputEntry("e", from, index, time.idleAt, true),
          ),
        ]),
        handle(OPERATOR_TIME, index, [
          encodeOperatorTime({
            keyGroups: keyGroupRangeOf(index, times.length, KEY_GROUPS),
            isWorkingOff: false,
            ...operator,
          }),
        ]),
      ],
    }),
  );
}

const entriesIn = (states: readonly StateHandle[], name: string) =>
  states.flatMap((state) => (state.kind === "operator" && state.state === name ? state.entries : []));
const inputsIn = (states: readonly StateHandle[]): StoredInputTime[] =>
  entriesIn(states, INPUT_TIME).map((entry) => parseInputTime(entry, "sums"));
const operatorsIn = (states: readonly StateHandle[]): StoredOperatorTime[] =>
  entriesIn(states, OPERATOR_TIME).map((entry) => parseOperatorTime(entry, "sums"));

const dealt = (
  times: readonly Time[],
  from: readonly [senders: number, receivers: number],
  to: readonly [senders: number, receivers: number],
  finished: readonly number[] = [],
) => {
  const all = assign({ subtasks: snapshots(times, finished) }, planOf(...from), planOf(...to));
  return Array.from({ length: to[1] }, (_, index) => all.get(`sums/${index}`)!.states);
};

const two: Time[] = [
  { combined: 10, channels: [10, 30], operator: { watermark: 10, isWorkingOff: true } },
  { combined: 20, channels: [40, 20], operator: { watermark: 20, pausingClockMs: 5 } },
];

describe("RX1", () => {
  test("each key group keeps its time, and the clocks beside it", () => {
    const [first, second, third] = dealt(two, [2, 2], [2, 3]).map(operatorsIn);
    const ahead = { watermark: 20, isWorkingOff: false, pausingClockMs: 5 };
    expect(first).toEqual([{ keyGroups: { first: 0, last: 3 }, watermark: 10, isWorkingOff: true }]);
    expect(second).toEqual([
      { keyGroups: { first: 4, last: 5 }, watermark: 10, isWorkingOff: true },
      { keyGroups: { first: 6, last: 7 }, ...ahead },
    ]);
    expect(third).toEqual([{ keyGroups: { first: 8, last: 11 }, ...ahead }]);
    expect(dealt(two, [2, 2], [2, 1]).map(operatorsIn)).toEqual([
      [
        { keyGroups: { first: 0, last: 5 }, watermark: 10, isWorkingOff: true },
        { keyGroups: { first: 6, last: 11 }, ...ahead },
      ],
    ]);
  });

  test("under unchanged parallelism nothing changes, whatever its senders do", () => {
    for (const senders of [1, 2, 5]) {
      const states = dealt(two, [2, 2], [senders, 2]);
      expect(states.map(operatorsIn)).toEqual(snapshots(two).map(({ states: own }) => operatorsIn(own)));
    }
    expect(dealt(two, [2, 2], [2, 2])).toEqual(snapshots(two).map(({ states }) => states));
  });
});

describe("RX2", () => {
  const toThree = (times: readonly Time[]) => dealt(times, [2, 2], [3, 1]).map(inputsIn)[0]!;
  const channel = (from: number) => ({ edge: "e", from, to: 0 });

  test("the input goes on from the least, and so does each channel that is new", () => {
    expect(toThree(two)).toEqual([
      { channel: null, watermark: 10, isIdle: false },
      ...[0, 1, 2].map((from) => ({ channel: channel(from), watermark: 10, isIdle: false })),
    ]);
  });

  test("only a channel on which every sender was idle is idle", () => {
    const idle = { idleAt: 7 };
    const some = [
      { ...two[0]!, channels: [idle, 10] },
      { ...two[1]!, channels: [idle, idle] },
    ];
    expect(toThree(some)[1]).toMatchObject({ watermark: 10, isIdle: false });
    const none = some.map((time) => ({ ...time, channels: [idle, idle] }));
    expect(toThree(none)[1]).toMatchObject({ watermark: 7, isIdle: true });
  });

  test("a sender that is behind the combined time holds nothing back, as before", () => {
    const behind = [{ ...two[0]!, combined: 10, channels: [3, 30] }, two[1]!];
    expect(toThree(behind)[1]).toMatchObject({ watermark: 20, isIdle: false });
  });

  test("where some subtask had heard nothing, nothing has come", () => {
    const deaf = snapshots(two).map((one, index) => (index === 1 ? { ...one, states: [] } : one));
    const all = assign({ subtasks: deaf }, planOf(2, 2), planOf(2, 3));
    expect(inputsIn(all.get("sums/0")!.states)).toEqual([]);
  });

  test("only its senders are others: its own times count, on the channels that it has now", () => {
    const [first, second] = dealt(two, [2, 2], [1, 2]).map(inputsIn);
    expect(first).toEqual([
      { channel: null, watermark: 10, isIdle: false },
      { channel: channel(0), watermark: 10, isIdle: false },
    ]);
    expect(second![1]).toEqual({ channel: { edge: "e", from: 0, to: 1 }, watermark: 20, isIdle: false });
  });
});

test("what was cut in the middle of a watermark that others had not come to is refused by operator, with the way on", () => {
  const problems = (times: readonly Time[], receivers: number) =>
    planRestore(
      { plan: planOf(2, 2), splits: {}, manifest: manifestOf(3, { subtasks: snapshots(times) }) },
      planOf(2, receivers),
      [],
    ).problems;
  const ahead = [two[0]!, { ...two[1]!, operator: { watermark: 20, isWorkingOff: true } }];
  expect(problems(ahead, 3)).toEqual([
    expect.stringMatching(
      /^operator sums was cut while .*restore it with parallelism 2 and take a savepoint/,
    ),
  ]);
  expect(problems(ahead, 2)).toEqual([]);
  expect(problems(two, 3)).toEqual([]);
});

test("RX3: what an operator has made itself goes to each of its subtasks", () => {
  const made = [5, 6].map((watermark) => ({ watermark, isIdle: false, generator: null }));
  const subtasks = made.map((time, index) =>
    subtaskSnapshot({
      subtask: `sums/${index}`,
      states: [handle(ASSIGNED_TIME, index, [encodeSplitTime(time)])],
    }),
  );
  const all = assign({ subtasks }, planOf(2, 2), planOf(2, 3));
  for (const index of [0, 1, 2])
    expect(
      entriesIn(all.get(`sums/${index}`)!.states, ASSIGNED_TIME).map((entry) =>
        parseAssignedTime(entry, "sums"),
      ),
    ).toEqual(made);
});

test("RX4: a subtask that had finished has no time for those that run", () => {
  const ended = [
    two[0]!,
    { ...two[1]!, combined: Number.POSITIVE_INFINITY, operator: { watermark: Number.POSITIVE_INFINITY } },
  ];
  const [first, second, third] = dealt(ended, [2, 2], [2, 3], [1]);
  expect(operatorsIn(third!)).toEqual([]);
  expect(operatorsIn(second!)).toEqual([
    { keyGroups: { first: 4, last: 5 }, watermark: 10, isWorkingOff: true },
  ]);
  for (const states of [first!, second!, third!]) expect(inputsIn(states)[0]!.watermark).toBe(10);
});
