/** The sink of a modelled subtask: its transactions, from their cut to their commit. */
import type { CompositionState } from "../../composition.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { Event } from "../../process.ts";
import { change } from "../memory.ts";
import type { Variant } from "../variant.ts";
import { type Content, type Marker, type Snapshot, transactionName } from "../words.ts";
import type { WorkerMemory } from "./worker-host.ts";

/** The sink is open: one actor for each restored transaction, one for the open one. */
export function beginTransactions(memory: WorkerMemory, variant: Variant): ProcessOutcome[] {
  const names = Object.keys(memory.cuts);
  const actors = names.map((_, index) => `transaction/${index}`);
  const open = `transaction/${names.length}`;
  const transactions = Object.fromEntries(names.map((name, index) => [name, actors[index]!]));
  const restored = names.map((transaction) => ({
    transaction,
    checkpointId: memory.cuts[transaction]!.content.checkpointId,
  }));
  return [
    change<WorkerMemory>(() => ({ transactions, open })),
    ...names.map((name, index) => createTransaction(actors[index]!, name, variant)),
    createTransaction(open, null, variant),
    { kind: "tell", actor: "subtask", event: { type: "state.restored", transactions: restored } as Event },
  ];
}

function createTransaction(actor: string, restored: string | null, variant: Variant): ProcessOutcome {
  return { kind: "create", actor, machine: variant.sinkTransaction, input: { restored, retryMs: 1 } };
}

/** Everything since the last cut; nothing, when that is nothing. */
export function cut(
  memory: WorkerMemory,
  state: CompositionState,
  variant: Variant,
  checkpointId: number,
): ProcessOutcome[] {
  const { position, from, finishing, open } = memory;
  const names = position > from || finishing ? [transactionName(checkpointId)] : [];
  const told: ProcessOutcome = {
    kind: "tell",
    actor: "subtask",
    event: { type: "transactions.cut", checkpointId, transactions: names } as Event,
    // H5
    first: true,
  };
  const [name] = names;
  if (name === undefined) return [told];
  const cutBy = memory.deployment!.generation;
  const content: Content = { checkpointId, cutBy, from, to: position, finish: finishing };
  const next = freeActor(state);
  return [
    change<WorkerMemory>((now) => ({
      from: position,
      finishing: false,
      open: next,
      cuts: { ...now.cuts, [name]: { content, staged: false } },
      transactions: { ...now.transactions, [name]: open },
    })),
    createTransaction(next, null, variant),
    { kind: "tell", actor: open, event: { type: "barrier.reached", transaction: name } as Event },
    told,
  ];
}

function freeActor({ actors }: CompositionState): string {
  for (let index = 0; ; index++) if (!actors.has(`transaction/${index}`)) return `transaction/${index}`;
}

export function staged(actor: string, transaction: string): ProcessOutcome[] {
  return [markStaged(transaction), { kind: "tell", actor, event: { type: "transaction.staged" } }];
}

function markStaged(transaction: string): ProcessOutcome {
  return change<WorkerMemory>(({ cuts }) => ({
    cuts: { ...cuts, [transaction]: { ...cuts[transaction]!, staged: true } },
  }));
}

export function committed(actor: string, transaction: string, marker: Marker): ProcessOutcome[] {
  return [
    change<WorkerMemory>((memory) => ({
      marker,
      cuts: omit(memory.cuts, transaction),
      transactions: omit(memory.transactions, transaction),
    })),
    { kind: "tell", actor, event: { type: "transaction.committed" } },
  ];
}

export function omit<Value>(
  all: Readonly<Record<string, Value>>,
  name: string | number,
): Readonly<Record<string, Value>> {
  const { [name]: _, ...rest } = all;
  return rest;
}

/** Durable and not committed, up to this checkpoint (P13). */
export function acknowledged(memory: WorkerMemory, checkpointId: number, finished: boolean): Snapshot {
  const transactions = Object.values(memory.cuts)
    .filter(({ content, staged: durable }) => durable && content.checkpointId <= checkpointId)
    .map(({ content }) => content)
    .sort((a, b) => a.checkpointId - b.checkpointId);
  return { position: memory.snapshots[checkpointId] ?? 0, finished, transactions };
}
