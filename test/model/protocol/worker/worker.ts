/**
 * One worker process with one slot: the real machines of a subtask and its sink, hosted as in
 * src/runtime/worker/subtask/subtask.ts.
 *
 * A worker that its leader believes lost lives on with its old generation until a newer one is deployed on it (P29). A
 * worker that was killed is one that does nothing any more. Its slot never takes a generation again that it has seen: a
 * process started anew has another name (P5).
 */
import type { CheckpointOptions } from "../../../../machines/protocol.ts";
import { madeOf, messageOf, receiversOf, type WiredEvent, wires } from "../../../../machines/wiring.ts";
import type { OpenSnapshot } from "../../../../machines/worker/open-snapshots.ts";
import type { CompositionState } from "../../composition.ts";
import { type Choose, composeProcess, type ProcessOutcome } from "../../machine-process.ts";
import type { Event, ProcessModel } from "../../process.ts";
import { leaves, type MachineEffect } from "../../pure-machine.ts";
import type { Bounds, GateBounds } from "../bounds.ts";
import { change, MEMORY, memoryOf } from "../memory.ts";
import { placeOf, recordsOf } from "../plans.ts";
import { showActors } from "../story.ts";
import type { Variant } from "../variant.ts";
import {
  type Deployment,
  type MarkerAnswer,
  type MarkerCommit,
  type MarkerOpen,
  objectName,
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
import { forgetLayers, keepLayers, layersOf, noteBase } from "./state-layers.ts";
import { acknowledged, beginTransactions, committed, cut, omit, staged } from "./transactions.ts";
import { hostMachine, type WorkerDurable, type WorkerMemory } from "./worker-host.ts";

export function workerProcess(
  id: string,
  bounds: Bounds,
  variant: Variant,
): ProcessModel<CompositionState, WorkerDurable> {
  const process = composeProcess<WorkerDurable>({
    id,
    durable: { highest: 0, stored: [] },
    starts: "first",
    neverCrashes: bounds.crashes?.[id] === undefined,
    actors: ({ highest }) => ({ [MEMORY]: { machine: hostMachine, input: { highest } } }),
    route: (effect, actor, choose, state) =>
      variant.worker(
        effect,
        (changedEffect = effect) => route({ id, bounds, variant, choose, state }, changedEffect, actor),
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

interface WorkerHost {
  readonly id: string;
  readonly bounds: Bounds;
  readonly variant: Variant;
  readonly choose: Choose;
  readonly state: CompositionState;
}

function route(
  { id, bounds, variant, choose, state }: WorkerHost,
  { type, params }: MachineEffect,
  actor: string,
): readonly ProcessOutcome[] | undefined {
  const memory = memoryOf<WorkerMemory>(state);
  const deployment = memory.deployment!;
  const { generation, subtask, leader } = deployment;
  const checkpointId = Number(params.checkpointId);
  const transaction = String(params.transaction);
  const toTarget = (message: MarkerOpen | MarkerCommit): ProcessOutcome[] => [
    { kind: "send", to: targetOf(placeOf(bounds, subtask)), message },
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
      const layers = bounds.incremental
        ? layersOf(memory.layers, checkpointId, choose, variant.faults.restsOnLatest)
        : [[checkpointId]];
      return [
        ...(bounds.incremental ? [keepLayers(checkpointId, layers)] : []),
        ...(layers.flat().includes(checkpointId) ? put(bounds, objectName.state(checkpointId, subtask)) : []),
        change<WorkerMemory>(({ snapshots }) => ({ snapshots: { ...snapshots, [checkpointId]: position } })),
        ...(bounds.gate === undefined ? [] : [cutGate(checkpointId)]),
        ...(bounds.slowSnapshots ? [] : [{ kind: "tell", actor: "subtask", event: stored } as const]),
      ];
    }
    case "cancel.snapshot":
      return [dropSnapshot(checkpointId)];
    case "discard.snapshot": {
      const dropped = [
        dropSnapshot(checkpointId),
        ...(bounds.incremental ? [forgetLayers(checkpointId)] : []),
      ];
      if (!bounds.objects) return dropped;
      const message = { ...params, type: "subtask.discarded", left: checkpointId in memory.snapshots };
      return [{ kind: "send", to: leader, message }, ...dropped];
    }
    case "send.acknowledgement": {
      const { gate } = memory;
      const layers = memory.layers.known[checkpointId];
      const snapshot = {
        ...acknowledged(memory, checkpointId, params.finished === true),
        ...(layers && { layers: layers.flat() }),
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
      const { base } = params.options as CheckpointOptions;
      return [
        ...(bounds.incremental ? [noteBase(checkpointId, base)] : []),
        { kind: "tell", actor: "subtask", event: barrier },
      ];
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

/** For those who look at objects. */
function put({ objects }: Bounds, name: string): ProcessOutcome[] {
  if (!objects) return [];
  const update = (durable: WorkerDurable): WorkerDurable =>
    durable.stored.includes(name) ? durable : { ...durable, stored: [...durable.stored, name].sort() };
  return [{ kind: "store", update, note: `put ${name}` }];
}

function dropSnapshot(checkpointId: number): ProcessOutcome {
  return change<WorkerMemory>(({ snapshots }) => ({ snapshots: omit(snapshots, checkpointId) }));
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
  const { deployment, position, heldBehind, drained, gate } = memoryOf<WorkerMemory>(state);
  const at = leaves(subtask.snapshot);
  const events: Event[] = [];
  if (gate !== null) {
    if (at.includes("running.input.processing")) events.push(...gateEvents(gate, bounds));
  } else if (at.includes("running.input.processing") && heldBehind === 0) {
    if (drained) events.push({ type: "input.ended" });
    else if (position < recordsOf(bounds, deployment!.subtask)) events.push({ type: "record.processed" });
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
