/**
 * What `combine` saves at a hot key: `npx tsc -b && node dist/test/bench/micro/combine.js`.
 *
 * Two subtasks of a reduce, 90 % of the records have one key. Time is taken for the sender and for each receiver apart,
 * because they run on processors of their own. Frames stay in this
 * process; between workers each record costs an encoding more, so the gain is larger there. Trust the ratios.
 */
import { buildChain } from "../../../src/dataflow/chain.ts";
import { createLocalChannel } from "../../../src/dataflow/channel/local-channel.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { createEdgeOutput } from "../../../src/dataflow/output.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { inRow } from "../../support/graphs/operators.ts";

interface Sale {
  readonly shop: number;
  readonly amount: number;
}

const RECORDS = 1 << 21;
const ROUNDS = 5;
const KEYS = 5000;
const RECORDS_PER_FRAME = 512;
const SUBTASKS = 2;

const keyOf = (value: unknown) => (value as Sale).shop;
const reduce = (sum: unknown, one: unknown): Sale => ({
  shop: (sum as Sale).shop,
  amount: (sum as Sale).amount + (one as Sale).amount,
});

const sales = Array.from(
  { length: RECORDS },
  (_, i): Sale => ({ shop: i % 10 === 0 ? 1 + ((i * 7919) % KEYS) : 0, amount: 1 }),
);

function receiver(subtaskIndex: number) {
  const definition = { key: keyOf, reduce };
  const operator = {
    id: "sum",
    kind: "reduce",
    details: kinds.reduce.describe(definition),
    open: (
      services: Parameters<typeof kinds.reduce.open>[1],
      outputs: Parameters<typeof kinds.reduce.open>[2],
    ) => kinds.reduce.open(definition, services, outputs),
  };
  const vertex = { id: "sum", parallelism: SUBTASKS, operators: inRow([operator], ["out"]) };
  return buildChain(vertex, {
    subtaskIndex,
    maxParallelism: 128,
    output: () => () => {},
    writer: () => undefined as never,
  });
}

/** Nanoseconds for each record that was sent: of the sender, and of each receiver. */
function measure(combines: boolean): readonly number[] {
  const room = { framesMax: 64, recordsMax: Number.MAX_SAFE_INTEGER, recordsPerFrame: RECORDS_PER_FRAME };
  const channels = Array.from({ length: SUBTASKS }, () => createLocalChannel(room));
  const chains = channels.map((_, index) => receiver(index));
  const output = createEdgeOutput({
    partitioner: { kind: "hash", key: keyOf, ...(combines && { combine: { reduce } }) },
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
    for (const end = at + 4096; at < end; at++) output.collect(sales[at]!, NO_TIMESTAMP);
    output.flush();
    clock(0);
    for (const [index, { input }] of channels.entries()) {
      for (let frame = input.take(); frame !== undefined; frame = input.take())
        if (frame.kind === "records")
          for (const value of frame.values) chains[index]!.heads[0]!(value, NO_TIMESTAMP);
      clock(index + 1);
    }
  }
  return spent.map((ms) => (ms * 1e6) / RECORDS);
}

const NOTHING_YET = { sender: Number.POSITIVE_INFINITY, hot: Number.POSITIVE_INFINITY };
const best = { plain: { ...NOTHING_YET }, combined: { ...NOTHING_YET } };
for (let round = 0; round < ROUNDS; round++)
  for (const kind of ["plain", "combined"] as const) {
    const [sender, ...receivers] = measure(kind === "combined");
    best[kind].sender = Math.min(best[kind].sender, sender!);
    best[kind].hot = Math.min(best[kind].hot, Math.max(...receivers));
    const shown = receivers.map((ns) => ns.toFixed(0)).join(" and ");
    console.log(`${kind.padEnd(8)}  sender ${sender!.toFixed(0)} ns, receivers ${shown} ns a record`);
  }
const { plain, combined } = best;
console.log(`with combine the hot subtask has ${(combined.hot / plain.hot).toFixed(2)} times the work`);
console.log(`and the sender ${(combined.sender / plain.sender).toFixed(2)} times`);
