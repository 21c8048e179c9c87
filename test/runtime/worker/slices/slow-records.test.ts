/** SZ1: functions that turn slow in the middle of a slice of records, in a source's vertex and behind a gate. */
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/clock.ts";
import type { Chain } from "../../../../src/dataflow/chain.ts";
import type { RecordsFrame } from "../../../../src/dataflow/channel/frame.ts";
import type { SubtaskEnvironment } from "../../../../src/dataflow/connector.ts";
import type { InputGate } from "../../../../src/dataflow/input-gate.ts";
import { defineOperator } from "../../../../src/dataflow/operators/contract.ts";
import { operatorKinds } from "../../../../src/dataflow/operators/kinds.ts";
import type { Collect, Source } from "../../../../src/dataflow/source.ts";
import { NOTHING } from "../../../../src/job/restore/assignment.ts";
import { Troubles } from "../../../../src/observe/troubles.ts";
import type { EventTimeFlow } from "../../../../src/runtime/worker/subtask/input/event-time.ts";
import { GateInput } from "../../../../src/runtime/worker/subtask/input/gate.ts";
import type { SubtaskInput } from "../../../../src/runtime/worker/subtask/input/input.ts";
import { openSource } from "../../../../src/runtime/worker/subtask/input/source.ts";
import { OpenParts } from "../../../../src/runtime/worker/subtask/open-parts.ts";
import type { SubtaskOptions } from "../../../../src/runtime/worker/subtask/subtask.ts";
import { inRow } from "../../../support/graphs/operators.ts";

const CALL_MS = 50;
const SLOW_FROM = 1_000;
const SLOW_UP_TO = 1_100;
const RECORDS = 2_000;

/** A function that is slow for some of its records, by a clock that only it moves. */
function sometimesSlow() {
  let elapsedMs = 0;
  let calls = 0;
  const head: Collect<unknown> = () => {
    if (calls >= SLOW_FROM && calls < SLOW_UP_TO) elapsedMs += CALL_MS;
    calls++;
  };
  const clock = { elapsedMs: () => elapsedMs } as SubtaskOptions["clock"];
  return { head, clock, calls: () => calls };
}

type Slow = ReturnType<typeof sometimesSlow>;

function gateOf({ head, clock }: Slow): SubtaskInput {
  const values = Array.from({ length: RECORDS }, (_, i) => i);
  const frame: RecordsFrame = { kind: "records", values, timestamps: undefined, marks: undefined };
  const frames = [{ frame, channelIndex: 0 }];
  const gate: Partial<InputGate> = { nextFrame: () => frames.shift(), allEnded: () => frames.length === 0 };
  const time = { isAdvancing: false, senders: { senderIsIdle: () => false } };
  return new GateInput({
    gate: gate as InputGate,
    clock,
    heads: [head],
    origins: ["numbers"],
    onCheckpointFrame() {},
    time: time as unknown as EventTimeFlow,
  });
}

async function sourceOf({ head, clock }: Slow): Promise<SubtaskInput> {
  let next = 0;
  const counting: Partial<Source<unknown>> = {
    open: async () => ({
      poll(collect, recordsMax) {
        for (let i = 0; i < recordsMax && next < RECORDS; i++) collect(next++, Number.NEGATIVE_INFINITY);
        return next < RECORDS ? "more" : "ended";
      },
      onAvailable: () => {},
      describePosition: () => "",
      snapshot: () => [],
      checkpointCompleted: () => {},
      close: async () => {},
    }),
  };
  const source = counting as Source<unknown>;
  const vertex = {
    id: "numbers",
    parallelism: 1,
    operators: inRow([defineOperator(operatorKinds.source, "numbers", { source })]),
  };
  const options = {
    troubles: new Troubles(systemClock),
    graph: { vertices: [vertex], edges: [], maxParallelism: 128 },
    ...{ vertex, index: 0, clock, restore: NOTHING, outputs: new Map() },
    deployment: { splits: { numbers: [{ id: "all" }] } },
  } as unknown as SubtaskOptions;
  const chain = { heads: [head], reactsToTime: false, advance: () => undefined } as unknown as Chain;
  return openSource(options, () => ({}) as SubtaskEnvironment, chain, new OpenParts(() => {}));
}

/** How many records each slice had, and the number of the first. */
function slicesOf(
  input: SubtaskInput,
  { calls }: Slow,
): { readonly from: number; readonly records: number }[] {
  const slices = [];
  while (calls() < RECORDS) {
    const from = calls();
    input.take();
    slices.push({ from, records: calls() - from });
  }
  return slices;
}

test.each([
  ["behind a gate", gateOf, 16],
  ["in the vertex of a source", sourceOf, 32],
] as const)(
  "a function that turns slow ends its slice by the clock, and then has one record a slice: %s",
  async (_, inputOf, inARowMax) => {
    const slow = sometimesSlow();
    const slices = slicesOf(await inputOf(slow), slow);
    const slowIn = ({ from, records }: { readonly from: number; readonly records: number }): number =>
      Math.min(from + records, SLOW_UP_TO) - Math.max(from, SLOW_FROM);
    const [first, ...others] = slices.filter((slice) => slowIn(slice) > 0);
    expect(slowIn(first!)).toBeLessThanOrEqual(inARowMax);
    expect(others.map(slowIn)).toEqual(new Array(SLOW_UP_TO - SLOW_FROM - slowIn(first!)).fill(1));
    // Fast ones come together, in front of the slow ones and behind them.
    expect(slices[1]!.records).toBe(128);
    expect(slices.at(-2)!.records).toBe(128);
  },
);
