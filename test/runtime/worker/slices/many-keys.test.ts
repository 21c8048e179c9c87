/** P92: `forEachKey` over keys whose function is slow, in the turns of a subtask. */
import { expect, test } from "vitest";
import type { RecordsFrame } from "../../../../src/dataflow/channel/frame.ts";
import type { InputGate } from "../../../../src/dataflow/input-gate.ts";
import { broadcastState, defineJob, valueState } from "../../../../src/index.ts";
import type { EventTimeFlow } from "../../../../src/runtime/worker/subtask/input/event-time.ts";
import { GateInput } from "../../../../src/runtime/worker/subtask/input/gate.ts";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";
import { testSink, testSource } from "../../../job/connectors.ts";
import { chainOf } from "../../../support/graphs/chains.ts";

const KEYS = 300;
const CALL_MS = 2;

test("a turn ends behind each slow one; neither records nor cuts come in between, and room is looked at", () => {
  let elapsedMs = 0;
  let calls = 0;
  const told: string[] = [];
  const job = defineJob("job", {}, (builder) => {
    builder
      .source("payments", testSource<number>())
      .keyBy((payment) => payment)
      .connect(builder.source("rules", testSource<string>(), { parallelism: 1 }).broadcast())
      .process("checked", {
        state: { seen: valueState(0) },
        broadcast: { rules: broadcastState<string, boolean>() },
        onRecord(payment, { state }) {
          state.seen.set(1);
          if (payment >= KEYS) told.push(`payment ${payment}`);
        },
        onBroadcast(rule, { forEachKey }) {
          forEachKey("seen", () => {
            elapsedMs += CALL_MS;
            calls++;
            told.push(rule);
          });
        },
      })
      .sink("out", testSink());
  });
  const operator = job.operators.find(({ definition: { id } }) => id === "checked")!.definition;
  const { chain } = chainOf([operator], { elapsedMs: () => elapsedMs });
  for (let key = 0; key < KEYS; key++) chain.heads[0]!(key, 0);

  const later: (() => void)[] = [];
  let hasRoom = true;
  const frame = (values: readonly unknown[]): RecordsFrame => ({
    kind: "records",
    values: [...values],
    timestamps: undefined,
    marks: undefined,
  });
  // Two rules in one frame, and payments behind them.
  const frames = [
    { frame: frame(["one", "two"]), channelIndex: 1 },
    { frame: frame([KEYS, KEYS + 1]), channelIndex: 0 },
  ];
  const clock = {
    nowMs: () => 0,
    elapsedMs: () => elapsedMs,
    after: () => ({ cancel() {} }),
    later: (run: () => void) => void later.push(run),
  };
  const input = new GateInput({
    gate: { nextFrame: () => frames.shift(), allEnded: () => false, onFrame() {} } as unknown as InputGate,
    clock,
    heads: chain.heads,
    origins: ["payments", "rules"],
    onCheckpointFrame() {},
    time: { isAdvancing: false, senders: { senderIsIdle: () => false } } as unknown as EventTimeFlow,
    work: {
      channels: [chain.work!.port],
      begin() {
        const left = chain.work!.take();
        if (left !== undefined) turns.insteadOfInput(left, () => {});
      },
    },
  });
  const turns = new Turns({
    input,
    timers: { isDue: false, step() {}, onDue() {} },
    clock,
    rooms: [{ hasRoom: () => hasRoom, onRoom() {} }],
    outputs: [],
    flushMs: 10,
    onEnded() {},
    onFailure(error) {
      throw error;
    },
  });
  turns.start();
  const perTurn: number[] = [];
  for (let turn = later.shift(); turn !== undefined; turn = later.shift()) {
    const before = calls;
    if (before === 10) turns.atBorder(() => told.push("cut"));
    turn();
    perTurn.push(calls - before);
    if (calls !== 20 || !hasRoom) continue;
    hasRoom = false;
    later.shift()?.();
    expect(calls).toBe(20);
    hasRoom = true;
    turns.wake();
  }
  expect(told).toEqual([
    ...new Array(KEYS).fill("one"),
    "cut",
    ...new Array(KEYS).fill("two"),
    `payment ${KEYS}`,
    `payment ${KEYS + 1}`,
  ]);
  expect(Math.max(...perTurn)).toBe(1);
});
