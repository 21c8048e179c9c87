/** What must hold, named by the invariants and rules of machines/PROTOCOL.md. */
import type { CheckpointRequest } from "../../../../machines/protocol.ts";
import type { CheckOptions, Invariant, StepInvariant } from "../../checker/checker.ts";
import type { CompositionState } from "../../composition.ts";
import { actorIn } from "../../machine-process.ts";
import type { View } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { Bounds, RequestKind } from "../bounds.ts";
import type { CoordinatorDurable, Memory } from "../leader/coordinator-memory.ts";
import type { RecordState } from "../leader/records/record-server.ts";
import { requestsIn } from "../leader/requests.ts";
import { memoryOf } from "../memory.ts";
import { placeOf, placesIn, planAt, recordsOf, subtasksIn, workersIn } from "../plans.ts";
import { showContent, type TargetState } from "../target.ts";
import { type Deployment, type ModelCheckpoint, RECORD, targetOf } from "../words.ts";
import type { WorkerMemory } from "../worker/worker-host.ts";
import { DELETED_TOO_EARLY, deletedTooEarly, PENDING_IS_THERE, pendingIsThere, readable } from "./objects.ts";
import { placed, rescaleInvariants } from "./rescaling.ts";

const TERMINAL = ["finished", "stopped", "canceled", "suspended", "failed"];

/** Requests that end in a decision. */
const STOPS: readonly string[] = ["stop", "drain"] satisfies RequestKind[];

export function invariantsOf(bounds: Bounds): Pick<CheckOptions, "invariants" | "stepInvariants"> {
  const places = placesIn(bounds);
  const workers = workersIn(bounds);
  const perTarget = (
    holds: (target: TargetState, record: RecordState, subtask: string) => string | undefined,
  ): Invariant => {
    return (view) => {
      const record = view.local<RecordState>(RECORD);
      if (record === undefined) return undefined;
      const byPlace = bounds.rescaled === undefined ? record : placed(record, bounds);
      return first(places, (place) => {
        const target = view.local<TargetState>(targetOf(place));
        return target && prefixed(place, holds(target, byPlace, place));
      });
    };
  };
  return {
    invariants: {
      "C1 completed ids grow": completedIdsGrow,
      "P3 no id is used twice": (view) => noIdTwice(view, bounds.coordinators),
      "C2 no commit before the decision": perTarget(decidedFirst),
      "C3 exactly once, in order": perTarget(exactlyOnce),
      "C4 what is decided is complete": (view) => complete(view, bounds),
      "C4 state and stored records are those before the barriers": foldOfThoseBefore,
      "C5 older generations are fenced": perTarget(fenced),
      "C6 what the record names is readable": (view) => readable(view, bounds.coordinators),
      ...(bounds.incremental && {
        [PENDING_IS_THERE]: (view: View) => pendingIsThere(view, bounds.coordinators),
      }),
      "G10 so many failures in a row are tolerated": (view) =>
        first(bounds.coordinators, (coordinator) => toleratesFailures(view, coordinator)),
      "K5 savepoints decide nothing": savepointsDecideNothing,
      "K5 only what is decided is restored": (view) =>
        first(workers, (worker) => restoresDecided(view, worker)),
      "K5 a savepoint that is named is complete": (view) => savepointsComplete(view, bounds.coordinators),
      "K5 nothing is read behind the last barrier": (view) =>
        first(workers, (worker) => readsOn(view, worker)),
      "Q1 a request has one outcome": (view) =>
        first(bounds.coordinators, (coordinator) => answersTwice(view, coordinator)),
      "Q1 what has failed is not there": (view) =>
        first(bounds.coordinators, (coordinator) => failsFalsely(view, coordinator)),
      "Q3 a savepoint is taken once": takenOnce,
      "P18 terminal only when settled": perTarget(settled),
      "P18 stopped with a savepoint": stoppedWithSavepoint,
      "P38 a job is canceled with all that it has decided": (view) =>
        first(bounds.coordinators, (coordinator) => cancelsWithLess(view, coordinator)),
      "P18 a stopped job does not go on": (view) => first(workers, (worker) => goesOn(view, worker)),
      "P19 finished means that there is no input": (view) =>
        first(workers, (worker) => endsEarly(view, worker, bounds)),
      "P19 a finished job has read its input": perTarget((_target, record, subtask) =>
        hasReadAll(record, subtask, bounds),
      ),
      "P20 no sink refuses what is restored": perTarget(({ refusal }) => refusal || undefined),
      "P20 nothing goes back behind a decision": (view) => first(workers, (worker) => goesBack(view, worker)),
      "P19 finish runs once": perTarget(finishOnce),
      "P17 recovered commits come first": (view) =>
        first(workers, (worker) => recoveredFirst(view, worker, bounds)),
      ...(bounds.rescaled && rescaleInvariants(bounds)),
    },
    stepInvariants: {
      "C2 completion is told after the decision": toldAfterDecision,
      ...(bounds.objects && {
        [DELETED_TOO_EARLY]: (before, after, step) => deletedTooEarly(before, after, step.process, bounds),
      }),
    },
  };
}

function first(names: readonly string[], find: (name: string) => string | undefined): string | undefined {
  for (const name of names) {
    const found = find(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

const prefixed = (subtask: string, reason: string | undefined) => reason && `subtask ${subtask}: ${reason}`;

const completedIdsGrow: Invariant = (view) => {
  const decided = view.local<RecordState>(RECORD)?.decided ?? [];
  for (const [index, { checkpointId }] of decided.entries()) {
    const before = decided[index - 1]?.checkpointId ?? 0;
    if (checkpointId <= before) return `checkpoint ${checkpointId} was decided after ${before}`;
  }
  return undefined;
};

function noIdTwice(view: View, coordinators: readonly string[]): string | undefined {
  const seen = new Set<number>();
  for (const coordinator of coordinators) {
    for (const { checkpointId } of view.durable<CoordinatorDurable>(coordinator).used) {
      if (seen.has(checkpointId)) return `checkpoint ${checkpointId} was triggered by two leaders`;
      seen.add(checkpointId);
    }
  }
  return undefined;
}

/** A transaction counts as decided with whichever checkpoint names it first. */
function decidedFirst({ log }: TargetState, { decided }: RecordState, subtask: string): string | undefined {
  const early = log.find(
    ({ checkpointId, cutBy }) =>
      !decided.some((one) =>
        one.snapshots[subtask]?.transactions.some(
          (named) => named.checkpointId === checkpointId && named.cutBy === cutBy,
        ),
      ),
  );
  return early && `transaction ${showContent(early)} is committed and not decided`;
}

function exactlyOnce({ log }: TargetState): string | undefined {
  let end = 0;
  let last = 0;
  for (const content of log) {
    if (content.from !== end)
      return `transaction ${showContent(content)} follows record ${end}: records are ${content.from > end ? "lost" : "repeated"}`;
    if (content.checkpointId <= last) return `transaction ${showContent(content)} follows ${last}`;
    end = content.to;
    last = content.checkpointId;
  }
  return undefined;
}

/** A decided checkpoint is of every subtask of the plan that its generation was raised for. */
function complete(view: View, bounds: Bounds): string | undefined {
  const { decided = [], plans = [] } = view.local<RecordState>(RECORD) ?? {};
  for (const { checkpointId, generation, snapshots } of decided) {
    const subtasks = Object.keys(subtasksIn(bounds, planAt(plans, generation)));
    const missing = subtasks.find((subtask) => snapshots[subtask] === undefined);
    if (missing !== undefined) return `checkpoint ${checkpointId} was decided without subtask ${missing}`;
  }
  return undefined;
}

/**
 * Every channel's records are in the state up to one of them, and what is stored beside it goes on from there to the
 * barrier.
 */
const foldOfThoseBefore: Invariant = (view) => {
  for (const { checkpointId, snapshots } of view.local<RecordState>(RECORD)?.decided ?? [])
    for (const { gate } of Object.values(snapshots))
      for (const [channel, taken] of gate?.taken.entries() ?? []) {
        const kept = gate!.kept[channel]!;
        const sent = gate!.sent[channel]!;
        const goesOn = kept.every((record, index) => record === taken + index + 1);
        if (!goesOn || taken + kept.length !== sent)
          return `checkpoint ${checkpointId} holds ${taken} and [${kept}] of channel ${channel}, and ${sent} records were sent before its barrier`;
      }
  return undefined;
};

function toleratesFailures(view: View, coordinator: string): string | undefined {
  const process = view.local<CompositionState>(coordinator);
  const owed = process && memoryOf<Memory>(process).streak.owed;
  if (!owed) return undefined;
  return owed < 0
    ? `${coordinator} ends the generation for a failed checkpoint that is tolerated`
    : `${coordinator} lets one failed checkpoint too many pass`;
}

/** Those that a job stops with are decisions, and named as savepoints too. */
const savepointsDecideNothing: Invariant = (view) => {
  const { record, decided } = view.local<RecordState>(RECORD) ?? {};
  const plain = record?.savepoints.filter(({ request }) => !STOPS.includes(request)) ?? [];
  const found = plain.find(({ checkpointId }) => decided?.some((one) => one.checkpointId === checkpointId));
  return found && `savepoint ${found.checkpointId} is a completed checkpoint`;
};

function deploymentOn(view: View, worker: string): Deployment | undefined {
  const process = view.local<CompositionState>(worker);
  return (process && memoryOf<WorkerMemory>(process).deployment) ?? undefined;
}

function runsOn(view: View, worker: string): boolean {
  const subtask = actorIn(view, worker, "subtask");
  return subtask !== undefined && leaves(subtask).some((leaf) => leaf.startsWith("running."));
}

function restoresDecided(view: View, worker: string): string | undefined {
  const { generation, restoredCheckpointId: id } = deploymentOn(view, worker) ?? {};
  const decided = view.local<RecordState>(RECORD)?.decided ?? [];
  if (id === undefined || id === 0 || decided.some(({ checkpointId }) => checkpointId === id))
    return undefined;
  return `generation ${generation} restores ${id}, which was never decided`;
}

/** Named by the record, or to the client that asked for it. */
function savepointsComplete(view: View, coordinators: readonly string[]): string | undefined {
  const durables = coordinators.map((id) => view.durable<CoordinatorDurable>(id));
  const answered = durables
    .flatMap((one) => one.answered)
    .filter(({ request, state }) => request !== "checkpoint" && state === "completed");
  const named = [...answered, ...(view.local<RecordState>(RECORD)?.record.savepoints ?? [])];
  const missing = named.find(
    ({ checkpointId }) => !durables.some(({ savepoints }) => savepoints.includes(checkpointId)),
  );
  return missing && `savepoint ${missing.checkpointId} is not there`;
}

function answersTwice(view: View, coordinator: string): string | undefined {
  const { answered } = view.durable<CoordinatorDurable>(coordinator);
  const twice = answered.find((one, index) =>
    answered.some((other, at) => at > index && other.request === one.request),
  );
  return twice && `${coordinator} has told two outcomes of ${twice.request}`;
}

/** A client that was to hear of the job's end may hear of a failure and where its savepoint is. */
function failsFalsely(view: View, coordinator: string): string | undefined {
  const { answered, used } = view.durable<CoordinatorDurable>(coordinator);
  const failed = answered.filter(({ checkpointId, state }) => checkpointId === 0 && state === "failed");
  const recorded = view.local<RecordState>(RECORD)?.record.savepoints ?? [];
  const there = recorded.find(
    (savepoint) =>
      failed.some(({ request }) => request === savepoint.request) &&
      used.some(({ checkpointId }) => checkpointId === savepoint.checkpointId),
  );
  return there && `${coordinator} has told that ${there.request} failed, and the record names its savepoint`;
}

function cancelsWithLess(view: View, coordinator: string): string | undefined {
  const { answered } = view.durable<CoordinatorDurable>(coordinator);
  const canceled = answered.find(({ request, state }) => request === "cancel" && state === "completed");
  const later = view
    .local<RecordState>(RECORD)
    ?.decided.find(({ checkpointId }) => canceled !== undefined && checkpointId > canceled.checkpointId);
  return later && `canceled with savepoint ${canceled!.checkpointId}, and ${later.checkpointId} is decided`;
}

const takenOnce: Invariant = (view) => {
  const requests = view.local<RecordState>(RECORD)?.record.savepoints.map(({ request }) => request) ?? [];
  const twice = requests.find((request, index) => requests.indexOf(request) !== index);
  return twice && `the record names two savepoints of ${twice}`;
};

/** The savepoint that the job has stopped with, or is about to. */
function decidedStop(view: View): ModelCheckpoint | undefined {
  const { record, decided } = view.local<RecordState>(RECORD) ?? {};
  const stops = record?.savepoints.filter(({ request }) => STOPS.includes(request)) ?? [];
  return decided?.find(({ checkpointId }) => stops.some((stop) => stop.checkpointId === checkpointId));
}

function readsOn(view: View, worker: string): string | undefined {
  const stop = decidedStop(view);
  const deployment = deploymentOn(view, worker);
  if (stop === undefined || !deployment || !stop.generations.includes(deployment.generation))
    return undefined;
  const { position } = memoryOf<WorkerMemory>(view.local<CompositionState>(worker)!);
  const last = stop.snapshots[deployment.subtask]?.position ?? 0;
  return position > last
    ? `${worker} has read record ${position}, and the savepoint that the job stops with ends at ${last}`
    : undefined;
}

function goesOn(view: View, worker: string): string | undefined {
  const stop = decidedStop(view);
  const { generation } = deploymentOn(view, worker) ?? {};
  if (stop === undefined || generation === undefined || generation <= stop.generation) return undefined;
  return runsOn(view, worker)
    ? `generation ${generation} runs on ${worker}, and the job has stopped with savepoint ${stop.checkpointId}`
    : undefined;
}

const stoppedWithSavepoint: Invariant = (view) => {
  const { record, decided } = view.local<RecordState>(RECORD) ?? {};
  if (record?.status !== "stopped") return undefined;
  const last = decided?.at(-1)?.checkpointId;
  return last !== undefined && decidedStop(view)?.checkpointId === last
    ? undefined
    : `stopped, and its last decision is ${last ?? "none"}, no savepoint`;
};

/** A subtask that was only drained would never read the rest. */
function endsEarly(view: View, worker: string, { bounded, records }: Bounds): string | undefined {
  const { generation, restored } = deploymentOn(view, worker) ?? {};
  if (restored?.finished !== true || (bounded && restored.position === records)) return undefined;
  return runsOn(view, worker)
    ? `generation ${generation} runs on ${worker} without the input behind record ${restored.position}`
    : undefined;
}

function hasReadAll({ record, decided }: RecordState, subtask: string, bounds: Bounds): string | undefined {
  if (record.status !== "finished") return undefined;
  const records = recordsOf(bounds, subtask);
  const position = decided.at(-1)?.snapshots[subtask]?.position ?? 0;
  return position === records
    ? undefined
    : `finished, and record ${position} of ${records} is the last that was read`;
}

function fenced({ log }: TargetState): string | undefined {
  const late = log.find(({ by, opened }) => by < opened);
  return (
    late &&
    `generation ${late.by} committed ${showContent(late)} after generation ${late.opened} had opened the sink`
  );
}

function finishOnce({ log }: TargetState): string | undefined {
  return log.filter(({ finish }) => finish).length > 1 ? "its last records are there twice" : undefined;
}

function settled(
  { log }: TargetState,
  { record, decided }: RecordState,
  subtask: string,
): string | undefined {
  if (!TERMINAL.includes(record.status)) return undefined;
  const end = log.at(-1)?.to ?? 0;
  for (const { checkpointId, snapshots } of decided) {
    const snapshot = snapshots[subtask];
    if (snapshot === undefined) continue;
    if (snapshot.position > end) return `${record.status}, and checkpoint ${checkpointId} is not committed`;
    if (snapshot.finished && !log.some(({ finish }) => finish))
      return `${record.status}, and what finish emitted is not committed`;
  }
  if (record.status === "finished" && decided.length === 0) return "finished without a checkpoint";
  return undefined;
}

/** Input flows only in a generation whose restored checkpoint is committed. */
function recoveredFirst(view: View, worker: string, bounds: Bounds): string | undefined {
  const subtask = actorIn(view, worker, "subtask");
  if (subtask === undefined || !leaves(subtask).some((leaf) => leaf.startsWith("running."))) return undefined;
  const { deployment } = memoryOf<WorkerMemory>(view.local<CompositionState>(worker)!);
  const target = view.local<TargetState>(targetOf(placeOf(bounds, deployment!.subtask)))!;
  const restored = deployment!.restored;
  if (restored === null || restored.transactions.length === 0) return undefined;
  const end = target.log.at(-1)?.to ?? 0;
  return end < restored.position
    ? `generation ${deployment!.generation} runs on ${worker}, and its restored checkpoint is committed up to ${end} only`
    : undefined;
}

function goesBack(view: View, worker: string): string | undefined {
  const process = view.local<CompositionState>(worker);
  const deployment = process && memoryOf<WorkerMemory>(process).deployment;
  if (!deployment) return undefined;
  const { generation, restoredCheckpointId } = deployment;
  const behind = view
    .local<RecordState>(RECORD)
    ?.decided.find((one) => one.generation < generation && one.checkpointId > restoredCheckpointId);
  return (
    behind &&
    `generation ${generation} restores ${restoredCheckpointId}, and ${behind.checkpointId} was decided before it`
  );
}

/** A leader names a checkpoint completed only when the record has it. */
const toldAfterDecision: StepInvariant = (before, _after, { process, effects }) => {
  for (const effect of effects) {
    if (effect.kind !== "send" || effect.message.type !== "checkpoint.completed") continue;
    const { checkpointId } = effect.message as unknown as { checkpointId: number };
    const decided = before.local<RecordState>(RECORD)?.decided ?? [];
    if (!decided.some((one) => one.checkpointId === checkpointId))
      return `${process} tells that checkpoint ${checkpointId} is completed, and it is not decided`;
  }
  return undefined;
};

/**
 * The goal: the job has ended, or runs on, no source is held and each client that asked for something knows what became
 * of it. What is still being prepared has its timeout, which the bounds may have used up.
 */
export function isQuiet(view: View, coordinators: readonly string[], workers: readonly string[]): boolean {
  const record = view.local<RecordState>(RECORD)?.record;
  if (record === undefined || hasEnded(view)) return record !== undefined;
  if (coordinators.some((coordinator) => preparesForSomebody(view, coordinator))) return true;
  if (record.rescale?.state === "pending") return false;
  // The job is to be canceled behind it.
  if (record.savepoints.some(({ request }) => request === "cancel")) return false;
  const held = workers.some((worker) => {
    const process = view.local<CompositionState>(worker);
    const memory = process && memoryOf<WorkerMemory>(process);
    const generation = memory?.deployment?.generation ?? 0;
    return record.generations.includes(generation) && memory?.heldBehind !== 0;
  });
  return !held && coordinators.some((coordinator) => hasAnswered(view, coordinator));
}

function preparesForSomebody(view: View, coordinator: string): boolean {
  const actors = [...(view.local<CompositionState>(coordinator)?.actors ?? [])];
  return actors.some(([actor, { snapshot }]) => {
    if (!actor.startsWith("checkpoint/") || !leaves(snapshot).includes("preparing")) return false;
    const { request } = snapshot.context as { request: CheckpointRequest };
    return request.request !== "";
  });
}

function hasAnswered(view: View, coordinator: string): boolean {
  const process = view.local<CompositionState>(coordinator);
  const job = actorIn(view, coordinator, "job");
  if (process === undefined || job === undefined || !leaves(job).includes("running.processing")) return false;
  const requests = requestsIn(process).map((actor) => process.actors.get(actor)!.snapshot);
  return requests.every((request) => leaves(request)[0]!.startsWith("remembered."));
}

/** The goal: the job has ended, with all that it had promised (the invariants say so). */
export function hasEnded(view: View): boolean {
  const record = view.local<RecordState>(RECORD)?.record;
  return record !== undefined && TERMINAL.includes(record.status);
}
