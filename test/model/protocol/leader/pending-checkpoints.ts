/** The checkpoints of a coordinator from their trigger to their end: the twin of job-checkpoints.ts of src. */
import type { CheckpointInput } from "../../../../machines/leader/checkpoints/checkpoint-events.ts";
import { checkpointOptionsOf } from "../../../../machines/leader/checkpoints/checkpoint-options.ts";
import type { CheckpointingEffects } from "../../../../machines/leader/checkpoints/checkpointing-events.ts";
import type { AbortReason } from "../../../../machines/protocol.ts";
import { factsOf, latestCheckpoint, type RecordChange } from "../../../../machines/record.ts";
import { inputOf } from "../../../../machines/wiring.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { Event } from "../../process.ts";
import type { MachineEffect } from "../../pure-machine.ts";
import { change } from "../memory.ts";
import { subtasksIn } from "../plans.ts";
import {
  checkpointActor,
  type ModelCheckpoint,
  type ModelSavepoint,
  objectName,
  snapshotObjects,
} from "../words.ts";
import type { Memory } from "./coordinator-memory.ts";
import { send } from "./deployment.ts";
import { addTo, type LeaderHost, without } from "./leader-host.ts";
import { holdBase, releaseBase } from "./object-keeping.ts";
import { jobFacts } from "./requests.ts";

export function startCheckpoint(
  host: LeaderHost,
  params: CheckpointingEffects["start.checkpoint"],
): ProcessOutcome[] {
  const { checkpointId } = params;
  const { generation, generations, checkpointing } = host.record;
  return [
    {
      kind: "store",
      update: addTo("used", { checkpointId, generations }),
      note: `triggers ${checkpointId}`,
    },
    change<Memory>(({ pending }) => ({ pending: { ...pending, [checkpointId]: {} } })),
    {
      kind: "create",
      actor: checkpointActor(checkpointId),
      machine: host.variant.checkpoint,
      input: inputOf("checkpoint", params, {
        generation,
        generations,
        timeoutMs: checkpointing.timeoutMs,
        subtasks: Object.keys(subtasksIn(host.bounds, host.plan)),
      }),
    },
    ...host.tellRequests("request.begun", {}, { request: params.request.request }),
  ];
}

export function trigger(host: LeaderHost, actor: string, effect: MachineEffect): ProcessOutcome[] {
  const { checkpointing } = host.record;
  const latest = latestCheckpoint(host.record);
  const options = checkpointOptionsOf(checkpointing, 0, host.requestOf(actor), latest);
  const held =
    options.base !== null && latest !== undefined
      ? holdBase(host, Number(effect.params.checkpointId), latest)
      : [];
  return [...held, ...send(host, actor, effect, { options })];
}

export function abort(host: LeaderHost, actor: string, effect: MachineEffect): ProcessOutcome[] {
  const { params } = effect;
  const { phase, settleTo } = jobFacts(host.state);
  const { completed } = factsOf(host.record);
  const { request } = host.requestOf(actor);
  const facts = { request, detail: "", completed, phase, settleTo };
  return [
    ...send(host, actor, effect),
    ...recordAbort(host, actor, effect),
    ...host.tellRequests("request.aborted", params, facts),
  ];
}

/**
 * For a user who asks why, and before anything of it is deleted (P48); nothing of it can be told apart where objects
 * are left out.
 */
function recordAbort(host: LeaderHost, actor: string, { params }: MachineEffect): ProcessOutcome[] {
  if (!host.bounds.objects || host.endsInOrder) return [];
  const requested = host.requestOf(actor).reason;
  const reason = params.reason as AbortReason;
  const place = { checkpointId: Number(params.checkpointId), generation: Number(params.generation) };
  const words = { requested, reason, detail: "", startedAtMs: 0, abortedAtMs: 0 };
  return host.change("", { change: "abort", aborted: { ...place, ...words, acknowledged: 0, missing: [] } });
}

export function decide(
  host: LeaderHost,
  actor: string,
  checkpointId: number,
  allFinished: boolean,
): ProcessOutcome[] {
  const snapshots = host.memory.pending[checkpointId];
  if (snapshots === undefined)
    return host.wake(actor, { type: "record.refused", facts: factsOf(host.record) } as Event);
  const { generation, generations } = host.state.actors.get(actor)!.snapshot.context as CheckpointInput;
  const checkpoint: ModelCheckpoint = {
    checkpointId,
    generation,
    generations,
    manifest: { name: objectName.manifest(checkpointId), bytes: 0, digest: "" },
    completedAtMs: 0,
    bytes: 0,
    allFinished,
    snapshots,
  };
  const savepoint = entryOf(host, actor, checkpointId);
  return host.change(actor, { change: "decision", checkpoint, savepoint });
}

export function keepSavepoint(host: LeaderHost, actor: string, checkpointId: number): ProcessOutcome[] {
  const savepoint = entryOf(host, actor, checkpointId);
  if (savepoint === null) return host.wake(actor, { type: "record.lost" });
  return host.change(actor, { change: "savepoint", savepoint });
}

function entryOf(host: LeaderHost, actor: string, checkpointId: number): ModelSavepoint | null {
  const known = host.memory.savepoints[checkpointId];
  if (known?.written !== true) return null;
  const { snapshots } = known;
  const { request } = host.requestOf(actor);
  const { generation } = host.state.actors.get(actor)!.snapshot.context as { generation: number };
  return { checkpointId, generation, request, location: "there", completedAtMs: 0, bytes: 0, snapshots };
}

/** The record has the checkpoint's decision, or names the savepoint. */
export function complete(
  host: LeaderHost,
  actor: string,
  wanted: Extract<RecordChange, { readonly change: "decision" | "savepoint" }>,
): ProcessOutcome[] {
  const { request, savepoint } = host.requestOf(actor);
  const isDecided = wanted.change === "decision";
  const { checkpointId, snapshots } = (isDecided ? wanted.checkpoint : wanted.savepoint) as ModelSavepoint;
  // What the subtasks uploaded for a savepoint was copied.
  const uploaded = isDecided ? [] : snapshotObjects(checkpointId, snapshots);
  return [
    ...releaseBase(host, checkpointId),
    change<Memory>(({ pending, savepoints, due }) => ({
      pending: without(pending, checkpointId),
      savepoints: without(savepoints, checkpointId),
      due: host.bounds.objects ? [...due, ...uploaded] : due,
    })),
    ...host.tellRequests(
      isDecided ? "checkpoint.decided" : "savepoint.recorded",
      { checkpointId },
      { request, location: savepoint, completed: factsOf(host.record).completed },
    ),
  ];
}

export function withSavepoint(
  { pending, savepoints }: Memory,
  checkpointId: number,
  written: boolean,
): Partial<Memory> {
  const snapshots = pending[checkpointId] ?? {};
  return { savepoints: { ...savepoints, [checkpointId]: { snapshots, written } } };
}

export function withWritten({ savepoints }: Memory, checkpointId: number): Partial<Memory> {
  const known = savepoints[checkpointId];
  return known === undefined
    ? {}
    : { savepoints: { ...savepoints, [checkpointId]: { ...known, written: true } } };
}
