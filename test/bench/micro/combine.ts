/**
 * What `combine` saves at a hot key, and costs where keys seldom meet in a frame:
 * `npx tsc -b && node dist/test/bench/micro/combine.js`.
 *
 * Two subtasks of a running reduce, or of a window with an aggregate. Hot: 90 % of the records have one key; rare: of
 * 200,000 keys each comes as often as any other. Time is taken for the sender and for each receiver apart, because they
 * run on processors of their own. Frames stay in this process; between workers each record costs an encoding more, so
 * the gain is larger there, and so is the loss of an aggregate: a pair takes the place of a record. Trust the ratios.
 */
import { buildChain } from "../../../src/dataflow/chain.ts";
import { createLocalChannel } from "../../../src/dataflow/channel/local-channel.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { tumbling } from "../../../src/dataflow/operators/windows/aligned/assigner.ts";
import { createEdgeOutput } from "../../../src/dataflow/output.ts";
import { inRow } from "../../support/graphs/operators.ts";

interface Sale {
  readonly shop: number;
  readonly amount: number;
}

const RECORDS = 1 << 20;
const ROUNDS = 5;
const HOT_KEYS = 5000;
const RARE_KEYS = 200_000;
const RECORDS_PER_FRAME = 512;
const SUBTASKS = 2;

const keyOf = (value: unknown) => (value as Sale).shop;

/** They combine, or do not. */
const operators: Readonly<Record<string, (combines: boolean) => OperatorDefinition>> = {
  reduce: (combine) => {
    const reduce = (sum: unknown, one: unknown): Sale => ({
      shop: (sum as Sale).shop,
      amount: (sum as Sale).amount + (one as Sale).amount,
    });
    const definition = { key: keyOf, reduce, combine };
    return {
      id: "sum",
      kind: "reduce",
      details: kinds.reduce.describe(definition),
      open: (services, outputs) => kinds.reduce.open(definition, services, outputs),
    };
  },
  aggregate: (combines) => {
    const definition = {
      key: keyOf,
      description: "bench",
      time: "event",
      allowedLateness: 0,
      windows: tumbling(10 * RECORDS, 0),
      bounds: { kind: "tumbling", sizeMs: 10 * RECORDS, offsetMs: 0 },
      aggregation: {
        first: (sale: unknown) => ({ sum: (sale as Sale).amount, count: 1 }),
        add: (before: unknown, sale: unknown) => {
          const { sum, count } = before as { sum: number; count: number };
          return { sum: sum + (sale as Sale).amount, count: count + 1 };
        },
        merge: (before: unknown, later: unknown) => {
          const [one, other] = [before, later] as { sum: number; count: number }[];
          return { sum: one!.sum + other!.sum, count: one!.count + other!.count };
        },
        result: (both: unknown) => both,
        addName: "add",
      },
      combine: combines ? "accumulators" : undefined,
    } as const;
    return {
      id: "sum",
      kind: "window",
      details: kinds.alignedWindow.describe(definition),
      open: (services, outputs) => kinds.alignedWindow.open(definition, services, outputs),
    };
  },
};

const inputs: Readonly<Record<string, readonly Sale[]>> = {
  hot: salesOf((i) => (i % 10 === 0 ? 1 + ((i * 7919) % HOT_KEYS) : 0)),
  rare: salesOf((i) => (i * 7919) % RARE_KEYS),
};

function salesOf(shopOf: (i: number) => number): readonly Sale[] {
  return Array.from({ length: RECORDS }, (_, i) => ({ shop: shopOf(i), amount: 1 }));
}

function receiver(operator: OperatorDefinition, subtaskIndex: number) {
  const vertex = { id: "sum", parallelism: SUBTASKS, operators: inRow([operator], ["out"]) };
  return buildChain(vertex, {
    subtaskIndex,
    maxParallelism: 128,
    output: () => () => {},
    writer: () => undefined as never,
  });
}

/** Nanoseconds for each record that was sent: of the sender, and of the receiver that has more to do. */
function measure(
  operator: OperatorDefinition,
  sales: readonly Sale[],
): readonly [sender: number, busiest: number] {
  const room = { framesMax: 64, recordsMax: Number.MAX_SAFE_INTEGER, recordsPerFrame: RECORDS_PER_FRAME };
  const channels = Array.from({ length: SUBTASKS }, () => createLocalChannel(room));
  const chains = channels.map((_, index) => receiver(operator, index));
  const { combine } = operator.details;
  const output = createEdgeOutput({
    partitioner: { kind: "hash", key: keyOf, ...(combine && { combine }) },
    channels: channels.map((channel) => channel.output),
    subtaskIndex: 0,
    maxParallelism: 128,
  });
  const spent = [0, ...channels.map(() => 0)];
  let since = performance.now();
  const clock = (place: number) => {
    const now = performance.now();
    spent[place]! += now - since;
    since = now;
  };
  for (let at = 0; at < RECORDS; ) {
    // A turn of the subtask takes a few thousand records and flushes behind them.
    for (const end = at + 4096; at < end; at++) output.collect(sales[at]!, at);
    output.flush();
    clock(0);
    for (const [index, { input }] of channels.entries()) {
      for (let frame = input.take(); frame !== undefined; frame = input.take())
        if (frame.kind === "records")
          for (const [i, value] of frame.values.entries())
            chains[index]!.heads[0]!(value, frame.timestamps![i]!);
      clock(index + 1);
    }
  }
  const [sender, ...receivers] = spent.map((ms) => (ms * 1e6) / RECORDS);
  return [sender!, Math.max(...receivers)];
}

for (const [input, sales] of Object.entries(inputs))
  for (const [name, operatorOf] of Object.entries(operators)) {
    const best = [false, true].map(() => [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
    for (let round = 0; round < ROUNDS; round++)
      for (const [i, combines] of [false, true].entries())
        best[i] = measure(operatorOf(combines), sales).map((ns, end) => Math.min(ns, best[i]![end]!));
    const [plain, combined] = best as [number[], number[]];
    const ends = ["the sender", "the busiest subtask"].map((end, i) => {
      const [before, after] = [plain[i]!, combined[i]!];
      return `${end} ${before.toFixed(0)} -> ${after.toFixed(0)} ns a record (${(after / before).toFixed(2)} times)`;
    });
    console.log(`${input} keys, ${name}, with combine: ${ends.join(", ")}`);
  }
