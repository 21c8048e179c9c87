/**
 * One worker process with one slot: the real machines of a subtask and its sink, hosted as in
 * src/runtime/worker/subtask/subtask.ts.
 *
 * A worker that its leader believes lost lives on with its old generation until a newer one is deployed on it (P29). A
 * worker that was killed is one that does nothing any more. Its slot never takes a generation again that it has seen: a
 * process started anew has another name (P5).
 */
import { madeOf, messageOf, receiversOf, type WiredEvent, wires } from "../../../../machines/wiring.ts";
import type { OpenSnapshot } from "../../../../machines/worker/open-snapshots.ts";
import type { CompositionState } from "../../composition.ts";
import { composeProcess, type ProcessOutcome } from "../../machine-process.ts";
import type { Event, ProcessModel } from "../../process.ts";
import { leaves, type MachineEffect } from "../../pure-machine.ts";
import type { Bounds, GateBounds } from "../bounds.ts";
import { change, MEMORY, memoryOf } from "../memory.ts";
import { showActors } from "../story.ts";
import type { Variant } from "../variant.ts";
import {
  type Content,
  type Deployment,
  type Marker,
  type MarkerAnswer,
  type MarkerCommit,
  type MarkerOpen,
  type Snapshot,
  targetOf,
  transactionName,
} from "../words.ts";
import {
  addressGate,
  beginGate,
  type ChannelEvent,
  cutGate,
  forgetCut,
  gateEvents,
  gateSnapshot,
  heardBySenders,
  routeGate,
} from "./gate.ts";
import { hostMachine, type WorkerDurable, type WorkerMemory } from "./worker-host.ts";

export function workerProcess(
  id: string,
  bounds: Bounds,
  variant: Variant,
): ProcessModel<CompositionState, WorkerDurable> {
  const process = composeProcess<WorkerDurable>({
    id,
    durable: { highest: 0 },
    starts: "first",
    neverCrashes: bounds.crashes?.[id] === undefined,
    actors: ({ highest }) => ({ [MEMORY]: { machine: hostMachine, input: { highest } } }),
    route: (effect, actor, _choose, state) =>
      variant.worker(
        effect,
        (changedEffect = effect) => route(id, bounds, variant, changedEffect, actor, state),
        actor,
        state,
      ),
    address: (event, state) => address(event, state, bounds, variant),
    environment: (state) => environment(state, bounds),
    cost,
  });
  return { ...process, show: showWorker };
}

function showWorker(state: CompositionState): string {
  const { deployment, position } = memoryOf<WorkerMemory>(state);
  if (deployment === null) return "[idle]";
  return `[generation ${deployment.generation} at ${position}, ${showActors(["subtask", "transaction/"])(state).slice(1)}`;
}

/* ------------------------------------------------------------------ effects */

function route(
  id: string,
  bounds: Bounds,
  variant: Variant,
  { type, params }: MachineEffect,
  actor: string,
  state: CompositionState,
): readonly ProcessOutcome[] | undefined {
  const memory = memoryOf<WorkerMemory>(state);
  const deployment = memory.deployment!;
  const { generation, subtask, leader } = deployment;
  const checkpointId = Number(params.checkpointId);
  const transaction = String(params.transaction);
  const toTarget = (message: MarkerOpen | MarkerCommit): ProcessOutcome[] => [
    { kind: "send", to: targetOf(subtask), message },
  ];
  const report = (more: object): ProcessOutcome => {
    const message = { ...madeOf(messageOf("subtask", type)!, params), ...more };
    return { kind: "send", to: leader, message, once: bounds.reportsOnce === true };
  };
  switch (type) {
    case "begin.generation":
      return beginGeneration(deployment, state, bounds, variant);
    case "restore.state": {
      const { restoredCheckpointId } = deployment;
      return toTarget({ type: "marker.open", from: id, generation, restoredCheckpointId });
    }
    case "begin.transactions":
      return beginTransactions(memory, variant);
    case "cut.transactions":
      return cut(memory, state, variant, checkpointId);
    case "take.snapshot": {
      const { position } = memory;
      const stored: Event = { type: "snapshot.stored", checkpointId } as Event;
      return [
        change<WorkerMemory>(({ snapshots }) => ({ snapshots: { ...snapshots, [checkpointId]: position } })),
        ...(bounds.gate === undefined ? [] : [cutGate(checkpointId)]),
        ...(bounds.slowSnapshots ? [] : [{ kind: "tell", actor: "subtask", event: stored } as const]),
      ];
    }
    case "cancel.snapshot":
      return [dropSnapshot(checkpointId)];
    case "discard.snapshot": {
      if (!bounds.objects) return [dropSnapshot(checkpointId)];
      const message = { ...params, type: "subtask.discarded", left: checkpointId in memory.snapshots };
      return [{ kind: "send", to: leader, message }, dropSnapshot(checkpointId)];
    }
    case "send.acknowledgement": {
      const { gate } = memory;
      const snapshot = {
        ...acknowledged(memory, checkpointId, params.finished === true),
        ...(gate && { gate: gateSnapshot(gate, checkpointId, bounds) }),
      };
      return [
        report({ snapshot }),
        dropSnapshot(checkpointId),
        ...(gate === null ? [] : [forgetCut(checkpointId)]),
      ];
    }
    case "tell.transaction": {
      const target = memory.transactions[transaction];
      return target === undefined ? [] : [{ kind: "tell", actor: target, event: params.event as Event }];
    }
    case "stage.transaction":
      return bounds.slowSnapshots ? [] : staged(actor, transaction);
    case "commit.transaction": {
      const { content } = memory.cuts[transaction]!;
      const marker = memory.marker!;
      if (marker.checkpointId >= content.checkpointId) return committed(actor, transaction, marker);
      return toTarget({ type: "marker.commit", from: id, generation, content, expected: marker });
    }
    case "abort.transaction":
      return [{ kind: "tell", actor, event: { type: "transaction.aborted" } }];
    case "run.finish":
      return [
        change<WorkerMemory>(() => ({ finishing: true })),
        { kind: "tell", actor: "subtask", event: { type: "finish.completed" } },
      ];
    case "inject.barrier": {
      const barrier = { ...params, type: "barrier.aligned" };
      return [{ kind: "tell", actor: "subtask", event: barrier }];
    }
    case "hold.source":
      return [change<WorkerMemory>(() => ({ heldBehind: checkpointId }))];
    case "resume.source":
      return [change<WorkerMemory>(() => ({ heldBehind: 0 }))];
    case "drain.source":
      return [change<WorkerMemory>(() => ({ drained: true }))];
    case "run.input":
    case "report.progress":
    case "close.operators":
      return [];
    default:
      return messageOf("subtask", type) ? [report({})] : routeGate({ type, params }, bounds);
  }
}

function beginGeneration(
  deployment: Deployment,
  state: CompositionState,
  { gate }: Bounds,
  variant: Variant,
): ProcessOutcome[] {
  const { subtask, generation, restoredCheckpointId, restored } = deployment;
  const old = [...state.actors.keys()].filter((actor) => actor !== MEMORY);
  return [
    { kind: "store", patch: { highest: generation } },
    ...old.map((actor) => ({ kind: "remove", actor }) as const),
    ...(gate === undefined ? [] : openGate(gate, deployment, variant)),
    {
      kind: "create",
      actor: "subtask",
      machine: variant.subtask,
      input: {
        subtask,
        generation,
        restoredCheckpointId,
        finished: restored?.finished ?? false,
        source: gate === undefined,
      },
    },
  ];
}

function openGate(
  gate: GateBounds,
  { generation, restoredCheckpointId, restored }: Deployment,
  variant: Variant,
) {
  const { channels, feedback } = gate;
  const back = feedback && { channels: [channels - 1], stored: true };
  return [
    change<WorkerMemory>(() => ({ gate: beginGate(gate, restored?.gate ?? null) })),
    {
      kind: "create",
      actor: "alignment",
      machine: variant.alignment,
      input: { generation, channels, restoredCheckpointId, ...(back && { feedback: back }) },
    } as const,
  ];
}

/** The sink is open: one actor for each restored transaction, one for the open one. */
function beginTransactions(memory: WorkerMemory, variant: Variant): ProcessOutcome[] {
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
function cut(
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

function staged(actor: string, transaction: string): ProcessOutcome[] {
  return [markStaged(transaction), { kind: "tell", actor, event: { type: "transaction.staged" } }];
}

function markStaged(transaction: string): ProcessOutcome {
  return change<WorkerMemory>(({ cuts }) => ({
    cuts: { ...cuts, [transaction]: { ...cuts[transaction]!, staged: true } },
  }));
}

function committed(actor: string, transaction: string, marker: Marker): ProcessOutcome[] {
  return [
    change<WorkerMemory>((memory) => ({
      marker,
      cuts: omit(memory.cuts, transaction),
      transactions: omit(memory.transactions, transaction),
    })),
    { kind: "tell", actor, event: { type: "transaction.committed" } },
  ];
}

function omit<Value>(
  all: Readonly<Record<string, Value>>,
  name: string | number,
): Readonly<Record<string, Value>> {
  const { [name]: _, ...rest } = all;
  return rest;
}

function dropSnapshot(checkpointId: number): ProcessOutcome {
  return change<WorkerMemory>(({ snapshots }) => ({ snapshots: omit(snapshots, checkpointId) }));
}

/** Durable and not committed, up to this checkpoint (P13). */
function acknowledged(memory: WorkerMemory, checkpointId: number, finished: boolean): Snapshot {
  const transactions = Object.values(memory.cuts)
    .filter(({ content, staged: durable }) => durable && content.checkpointId <= checkpointId)
    .map(({ content }) => content)
    .sort((a, b) => a.checkpointId - b.checkpointId);
  return { position: memory.snapshots[checkpointId] ?? 0, finished, transactions };
}

/* ------------------------------------------------------------------ events */

function address(event: Event, state: CompositionState, bounds: Bounds, variant: Variant) {
  const memory = memoryOf<WorkerMemory>(state);
  if (event.type === "generation.deploy") return [{ actor: MEMORY, event }];
  const { generation } = event as Event & { generation?: number };
  const running = memory.deployment?.generation;
  if (running === undefined) return [];
  if (generation !== undefined && generation !== running && !variant.faults.ignoresGenerations) return [];
  switch (event.type) {
    case "marker.opened":
    case "marker.refused":
    case "marker.moved":
      return addressAnswer(event as MarkerAnswer, memory);
    case "transaction.staged": {
      const { actor, transaction } = event as Event & { actor: string; transaction: string };
      return [
        { actor: MEMORY, event: { type: "memory.changed", update: stagedIn(transaction) } as Event },
        { actor, event: { type: "transaction.staged" } },
      ];
    }
    case "commit.failed": {
      const { actor } = event as Event & { actor: string };
      return [{ actor, event: { type: "commit.failed", reason: "no answer" } as Event }];
    }
    case "record.processed": {
      const update = ({ position }: WorkerMemory) => ({ position: position + 1 });
      return [{ actor: MEMORY, event: { type: "memory.changed", update } as Event }];
    }
    case "record.sent":
    case "barrier.sent":
    case "frame.taken":
      return addressGate(event as ChannelEvent, memory.gate!, bounds);
    default: {
      const told = receivers(event).map((actor) => ({ actor, event }));
      return memory.gate === null ? told : [...told, ...heardBySenders(event, bounds)];
    }
  }
}

/** The actors that a message, or something that happens in the subtask itself, is for. */
function receivers(event: Event): readonly string[] {
  return event.type in wires ? receiversOf(event.type as WiredEvent, event, () => []) : ["subtask"];
}

const stagedIn =
  (transaction: string) =>
  ({ cuts }: WorkerMemory): Partial<WorkerMemory> => ({
    cuts: { ...cuts, [transaction]: { ...cuts[transaction]!, staged: true } },
  });

function addressAnswer(answer: MarkerAnswer, memory: WorkerMemory) {
  switch (answer.type) {
    case "marker.opened": {
      if (memory.marker !== null) return [];
      return [{ actor: MEMORY, event: { type: "sink.opened", marker: answer.marker } as Event }];
    }
    case "marker.refused": {
      const { reason } = answer;
      return [{ actor: "subtask", event: { type: "subtask.broke", reason, retry: "never" } as Event }];
    }
    case "marker.moved": {
      const { generation, checkpointId } = answer;
      const name = transactionName(checkpointId);
      const actor = memory.transactions[name];
      if (actor === undefined) return [];
      const update = (now: WorkerMemory) => ({
        marker: { generation, checkpointId },
        cuts: omit(now.cuts, name),
        transactions: omit(now.transactions, name),
      });
      return [
        { actor: MEMORY, event: { type: "memory.changed", update } as Event },
        { actor, event: { type: "transaction.committed" } },
      ];
    }
  }
}

function environment(state: CompositionState, bounds: Bounds): Event[] {
  const subtask = state.actors.get("subtask");
  if (subtask === undefined) return [];
  const { position, heldBehind, drained, gate } = memoryOf<WorkerMemory>(state);
  const at = leaves(subtask.snapshot);
  const events: Event[] = [];
  if (gate !== null) {
    if (at.includes("running.input.processing")) events.push(...gateEvents(gate, bounds));
  } else if (at.includes("running.input.processing") && heldBehind === 0) {
    if (drained) events.push({ type: "input.ended" });
    else if (position < bounds.records) events.push({ type: "record.processed" });
    else if (bounds.bounded) events.push({ type: "input.ended" });
  }
  for (const [actor, { snapshot: machineState }] of state.actors) {
    const { transaction } = machineState.context as { transaction?: string };
    if (bounds.slowSnapshots && machineState.matches("preparing") && actor.startsWith("transaction/"))
      events.push({ type: "transaction.staged", actor, transaction } as Event);
    if (
      bounds.commitFailures &&
      actor.startsWith("transaction/") &&
      leaves(machineState).includes("committing.trying")
    )
      events.push({ type: "commit.failed", actor } as Event);
  }
  const { snapshots } = subtask.snapshot.context as {
    snapshots: readonly OpenSnapshot[];
  };
  for (const { checkpointId, stage } of snapshots) {
    if (bounds.slowSnapshots && stage === "storing")
      events.push({ type: "snapshot.stored", checkpointId } as Event);
    if (bounds.declines && stage !== "stored")
      events.push({ type: "snapshot.failed", checkpointId, reason: "upload failed" } as Event);
  }
  return events;
}

function cost(event: Event): string | undefined {
  if (event.type === "snapshot.failed") return "declines";
  return event.type === "commit.failed" ? "commitFailures" : undefined;
}
