/** The host of a modelled worker: what it keeps in variables, and how it begins a generation. */
import { type AnyStateMachine, assign, setup } from "xstate";
import { declareEffects } from "../../../../machines/effects.ts";
import { type Content, type Deployment, type Marker, transactionName } from "../words.ts";
import type { Gate } from "./gate.ts";
import { noLayers, restoredLayers, type StateLayers } from "./state-layers.ts";

export interface WorkerDurable {
  /** Highest generation ever seen here. */
  readonly highest: number;
  /** The objects of states that were ever put from here, where objects are looked at. */
  readonly stored: readonly string[];
}

export interface WorkerMemory {
  readonly deployment: Deployment | null;
  /** Records processed. */
  readonly position: number;
  /** The first record of the open transaction. */
  readonly from: number;
  /** The record that `finish` emits waits in the open transaction. */
  readonly finishing: boolean;
  /** Cut and not yet committed, by name; `staged`: durable. */
  readonly cuts: Readonly<Record<string, { readonly content: Content; readonly staged: boolean }>>;
  /** Actor of each transaction that was cut, and of the open one. */
  readonly transactions: Readonly<Record<string, string>>;
  readonly open: string;
  readonly marker: Marker | null;
  /** The place at which each snapshot was taken that may still be acknowledged. */
  readonly snapshots: Readonly<Record<number, number>>;
  /** The source is held behind the barrier of this checkpoint; 0: it is not. */
  readonly heldBehind: number;
  readonly drained: boolean;
  /** null: it reads a source. */
  readonly gate: Gate | null;
  /** Empty where no checkpoint rests on another one. */
  readonly layers: StateLayers;
}

const NOTHING: WorkerMemory = {
  deployment: null,
  position: 0,
  from: 0,
  finishing: false,
  cuts: {},
  transactions: {},
  open: "",
  marker: null,
  snapshots: {},
  heldBehind: 0,
  drained: false,
  gate: null,
  layers: noLayers,
};

/** The host of the subtask's machines: what it keeps in variables, and when it begins a generation (WK1). */
export const hostMachine: AnyStateMachine = setup({
  types: {} as {
    context: WorkerMemory & { readonly highest: number };
    input: { readonly highest: number };
    events:
      | Deployment
      | { readonly type: "sink.opened"; readonly marker: Marker }
      | { readonly type: "memory.changed"; readonly update: (data: WorkerMemory) => Partial<WorkerMemory> };
  },
  actions: {
    ...declareEffects<{ "begin.generation": object; "begin.transactions": object }>({
      "begin.generation": true,
      "begin.transactions": true,
    }),
    change: assign(({ context, event }) => (event.type === "memory.changed" ? event.update(context) : {})),
    adopt: assign(({ event }) => {
      if (event.type !== "generation.deploy") return {};
      const { generation, restored } = event;
      const position = restored?.position ?? 0;
      return {
        ...NOTHING,
        deployment: event,
        highest: generation,
        position,
        from: position,
        cuts: restoredCuts(event),
        layers: restoredLayers(event.restoredCheckpointId, restored),
      };
    }),
    adoptMarker: assign(({ event }) => (event.type === "sink.opened" ? { marker: event.marker } : {})),
  },
  guards: {
    known: ({ context, event }) => event.type === "generation.deploy" && event.generation <= context.highest,
  },
}).createMachine({
  id: "worker",
  options: { maxIterations: 5 },
  context: ({ input }) => ({ ...NOTHING, ...input }),
  initial: "serving",
  states: {
    serving: {
      on: {
        "memory.changed": { actions: "change" },
        "generation.deploy": [
          { guard: "known" },
          { actions: ["adopt", { type: "begin.generation", params: {} }] },
        ],
        "sink.opened": { actions: ["adoptMarker", { type: "begin.transactions", params: {} }] },
      },
    },
  },
});

function restoredCuts({ restored }: Deployment): WorkerMemory["cuts"] {
  const transactions = restored?.transactions ?? [];
  return Object.fromEntries(
    transactions.map((content) => [transactionName(content.checkpointId), { content, staged: true }]),
  );
}
