/**
 * What an actor costs beside plain `process`: `npx tsc -b && node --expose-gc dist/test/bench/micro/machines.js`.
 *
 * The same logic both ways, over 10^4 keys: an order that takes two events. Then the memory of 10^5 live actors with a
 * context of about 100 bytes and a delay each. Variants alternate in one process; trust the ratios.
 */
import { assign, setup } from "xstate";
import { buildChain, type Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import { defineOperator } from "../../../src/dataflow/operators/contract.ts";
import { operatorKinds } from "../../../src/dataflow/operators/kinds.ts";
import { machineOf } from "../../../src/job/machines/definition.ts";
import { valueState } from "../../../src/state/descriptor.ts";
import { inRow, process as processing } from "../../support/graphs/operators.ts";

interface Change {
  readonly type: "CHANGE";
  readonly key: number;
  readonly amount: number;
}

interface Held {
  readonly owner: string;
  readonly balance: number;
  readonly changes: number;
  readonly note: string;
}

const KEYS = 10_000;
const EVENTS = 200_000;
const LIVE = 100_000;
const held = (key: number): Held => ({
  owner: `owner-${key}`,
  balance: 0,
  changes: 0,
  note: `${key}`.padEnd(64, "."),
});

const account = (delayMs?: number) =>
  setup({
    types: { events: {} as Change, context: {} as Held, input: {} as number },
    actions: {
      change: assign(({ context, event }) => ({
        balance: context.balance + event.amount,
        changes: context.changes + 1,
      })),
    },
    guards: { isLarge: ({ event }) => event.amount > 500 },
  }).createMachine({
    context: ({ input }) => held(input),
    initial: "small",
    states: {
      small: {
        ...(delayMs !== undefined && { after: { [delayMs]: "large" } }),
        on: { CHANGE: [{ guard: "isLarge", target: "large", actions: "change" }, { actions: "change" }] },
      },
      large: {
        on: {
          CHANGE: [
            { guard: "isLarge", actions: "change" },
            { target: "small", actions: "change" },
          ],
        },
      },
    },
  });

const keyOf = (change: unknown) => (change as Change).key;

function chainOf(operator: OperatorDefinition): Chain {
  return buildChain(
    { id: operator.id, parallelism: 1, operators: inRow([operator], ["out"]) },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: () => () => {},
      writer: () => undefined as never,
      processingTime: { nowMs: () => 0, wakeAt() {} },
    },
  );
}

const actors = (delayMs?: number) => {
  const definition = { machine: account(delayMs), input: (_: unknown, key: number) => key };
  return chainOf(defineOperator(operatorKinds.machine, "account", machineOf("account", definition, keyOf)));
};

const plain = () =>
  chainOf(
    processing("account", keyOf, {
      state: { account: valueState<(Held & { readonly isLarge: boolean }) | null>(null) },
      onRecord(record, { state, key }) {
        const { amount } = record as Change;
        const before = state.account.get() ?? held(key as number);
        state.account.set({
          owner: before.owner,
          balance: before.balance + amount,
          changes: before.changes + 1,
          note: before.note,
          isLarge: amount > 500,
        });
      },
    }),
  );

function usPerEvent(chain: Chain): number {
  const head = chain.heads[0]!;
  const begin = performance.now();
  for (let i = 0; i < EVENTS; i++)
    head({ type: "CHANGE", key: (i * 7919) % KEYS, amount: (i * 31) % 1000 }, i);
  return ((performance.now() - begin) * 1000) / EVENTS;
}

const median = (samples: number[]) => samples.sort((a, b) => a - b)[Math.floor(samples.length / 2)]!;

const variants = { plain: plain(), machine: actors(), "machine with after": actors(1_000_000) };
const samples = new Map(Object.keys(variants).map((name) => [name, [] as number[]]));
for (let round = 0; round < 6; round++)
  for (const [name, chain] of Object.entries(variants)) {
    const us = usPerEvent(chain);
    if (round > 0) samples.get(name)!.push(us);
  }
for (const [name, all] of samples) console.log(`${name.padEnd(24)} ${median(all).toFixed(2)} us an event`);

for (const delayMs of [undefined, 1_000_000]) {
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  const chain = actors(delayMs);
  for (let key = 0; key < LIVE; key++) chain.heads[0]!({ type: "CHANGE", key, amount: 1 }, 0);
  globalThis.gc?.();
  const bytes = process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers - before;
  const what = delayMs === undefined ? "live actor" : "live actor with a delay";
  console.log(
    `${what.padEnd(24)} ${Math.round(bytes / LIVE)} bytes, rss ${Math.round(process.memoryUsage().rss / 1e6)} MB`,
  );
  await chain.close();
}
