/**
 * `state-memory.js KIND KEYS`: how much memory keyed state in the heap takes, without a job around it. Prints one line
 * of JSON. Runs with `--expose-gc`.
 *
 * Each key, a name of 16 characters, has an object of some 100 bytes of JSON: as its value, as the only element of its
 * list, as the only entry of its map, or as what its open window has gathered; or it has a timer and nothing else.
 * What is counted is what the process has grown by after full collections: as the operating system sees it, and what
 * V8 knows of.
 */
import { buildChain } from "../../../src/dataflow/chain.ts";
import { defineOperator, type OperatorDefinition } from "../../../src/dataflow/operators/contract.ts";
import type { ProcessFunction } from "../../../src/dataflow/operators/keyed/process.ts";
import { operatorKinds as kinds } from "../../../src/dataflow/operators/kinds.ts";
import { tumbling } from "../../../src/dataflow/operators/windows/aligned/assigner.ts";
import { listState, mapState, type StateDescriptors, valueState } from "../../../src/state/descriptor.ts";
import { printStateMemory } from "./state-memory-report.ts";

interface Customer {
  readonly name: string;
  readonly city: string;
  readonly orders: number;
  readonly total: number;
  readonly currency: string;
  readonly at: number;
}

interface Keyed {
  readonly id: string;
  readonly customer: Customer;
}

const CITIES = ["Amsterdam", "Berlin", "Copenhagen", "Zurich"];
const TIME = 1_780_000_000_000;
const NONE: Customer = { name: "", city: "", orders: 0, total: 0, currency: "", at: 0 };
const MB = 2 ** 20;

/** As a source has decoded it: strings in one piece. */
function customerAt(index: number): Keyed {
  const customer: Customer = {
    name: `Name ${String(index).padStart(7, "0")}`,
    city: CITIES[index % CITIES.length]!,
    orders: index % 50,
    total: index % 10_000,
    currency: "EUR",
    at: TIME + index,
  };
  const keyed: Keyed = { id: `customer-${String(index).padStart(7, "0")}`, customer };
  return JSON.parse(JSON.stringify(keyed)) as Keyed;
}

const keyOf = (value: unknown) => (value as Keyed).id;

function processing<S extends StateDescriptors>(definition: ProcessFunction<never, unknown, S>) {
  return defineOperator(kinds.process, "customers", {
    key: keyOf,
    process: definition as unknown as ProcessFunction<unknown, unknown, StateDescriptors>,
  });
}

function windowed(): OperatorDefinition {
  const sizeMs = 2 * TIME;
  const definition = {
    key: keyOf,
    description: "bench",
    time: "event",
    allowedLateness: 0,
    windows: tumbling(sizeMs, 0),
    bounds: { kind: "tumbling", sizeMs, offsetMs: 0 },
    aggregation: {
      first: (value: unknown) => (value as Keyed).customer,
      add: (_: unknown, value: unknown) => (value as Keyed).customer,
      merge: (_: unknown, later: unknown) => later,
      result: (held: unknown) => held,
      addName: "add",
    },
  } as const;
  return {
    id: "customers",
    kind: "window",
    details: kinds.alignedWindow.describe(definition),
    open: (services, outputs) => kinds.alignedWindow.open(definition, services, outputs),
  };
}

const OPERATORS: Readonly<Record<string, () => OperatorDefinition>> = {
  value: () =>
    processing({
      state: { held: valueState(NONE) },
      onRecord: ({ customer }: Keyed, { state }) => state.held.set(customer),
    }),
  list: () =>
    processing({
      state: { held: listState<Customer>() },
      onRecord: ({ customer }: Keyed, { state }) => state.held.add(customer),
    }),
  map: () =>
    processing({
      state: { held: mapState<string, Customer>() },
      onRecord: ({ customer }: Keyed, { state }) => state.held.set("latest", customer),
    }),
  window: windowed,
  timer: () =>
    processing({
      state: {},
      onRecord: ({ customer }: Keyed, { timers }) => timers.registerEventTimer(customer.at),
      onTimer: () => {},
    }),
};

function usedNow(): { readonly residentMb: number; readonly knownMb: number } {
  // The second one frees what the first one has found to be garbage only at its end.
  for (let i = 0; i < 2; i++) globalThis.gc!();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { residentMb: rss / MB, knownMb: (heapUsed + arrayBuffers) / MB };
}

const [kind, keys] = process.argv.slice(2);
const operator = OPERATORS[kind!]!();
const chain = buildChain(
  {
    id: "bench",
    parallelism: 1,
    operators: [{ operator, outputs: [{ tag: null, next: [], edges: ["out"] }] }],
  },
  { subtaskIndex: 0, maxParallelism: 128, output: () => () => {}, writer: () => undefined as never },
);
const head = chain.heads[0]!;
head(customerAt(0), TIME);
const before = usedNow();
for (let i = 1; i < Number(keys); i++) head(customerAt(i), TIME + i);
const after = usedNow();
printStateMemory({
  residentMb: after.residentMb - before.residentMb,
  knownMb: after.knownMb - before.knownMb,
});
await chain.close();
