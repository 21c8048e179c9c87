/** What must hold, named by the invariants and rules of machines/PROTOCOL.md. */
import type { CheckOptions, Invariant, StepInvariant } from "../checker.ts";
import type { CompositionState } from "../composition.ts";
import { actorIn } from "../machine-process.ts";
import type { View } from "../process.ts";
import { leaves } from "../pure-machine.ts";
import type { Bounds } from "./bounds.ts";
import type { CoordinatorDurable } from "./coordinator-memory.ts";
import { memoryOf } from "./memory.ts";
import type { RecordState } from "./record-server.ts";
import { showContent, type TargetState } from "./target.ts";
import { type ModelCheckpoint, objectsOf, RECORD, targetOf } from "./words.ts";
import type { WorkerMemory } from "./worker-host.ts";

const TERMINAL = ["finished", "canceled", "suspended", "failed"];

export function invariantsOf(bounds: Bounds): Pick<CheckOptions, "invariants" | "stepInvariants"> {
  const subtasks = Object.keys(bounds.subtasks);
  const workers = [...new Set(Object.values(bounds.subtasks).flat())];
  const perTarget = (
    holds: (target: TargetState, record: RecordState, subtask: string) => string | undefined,
  ): Invariant => {
    return (view) => {
      const record = view.local<RecordState>(RECORD);
      if (record === undefined) return undefined;
      return first(subtasks, (subtask) => {
        const target = view.local<TargetState>(targetOf(subtask));
        return target && prefixed(subtask, holds(target, record, subtask));
      });
    };
  };
  return {
    invariants: {
      "C1 completed ids grow": completedIdsGrow,
      "P3 no id is used twice": (view) => noIdTwice(view, bounds.coordinators),
      "C2 no commit before the decision": perTarget(decidedFirst),
      "C3 exactly once, in order": perTarget(exactlyOnce),
      "C4 what is decided is complete": (view) => complete(view, subtasks),
      "C5 older generations are fenced": perTarget(fenced),
      "C6 what the record names is readable": (view) => readable(view, bounds.coordinators),
      "P18 terminal only when settled": perTarget(settled),
      "P20 no sink is stranded": perTarget(({ stranded }) => stranded || undefined),
      "P20 nothing goes back behind a decision": (view) => first(workers, (worker) => goesBack(view, worker)),
      "P19 finish runs once": perTarget(finishOnce),
      "P17 recovered commits come first": (view) => first(workers, (worker) => recoveredFirst(view, worker)),
    },
    stepInvariants: { "C2 completion is told after the decision": toldAfterDecision },
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
    for (const checkpointId of view.durable<CoordinatorDurable>(coordinator).used) {
      if (seen.has(checkpointId)) return `checkpoint ${checkpointId} was triggered by two leaders`;
      seen.add(checkpointId);
    }
  }
  return undefined;
}

/** A transaction counts as decided with a later checkpoint of the generation that cut it. */
function decidedFirst({ log }: TargetState, { decided }: RecordState): string | undefined {
  const early = log.find(
    ({ checkpointId, cutBy }) =>
      !decided.some((one) => one.generation === cutBy && one.checkpointId >= checkpointId),
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

function complete(view: View, subtasks: readonly string[]): string | undefined {
  for (const { checkpointId, snapshots } of view.local<RecordState>(RECORD)?.decided ?? []) {
    const missing = subtasks.find((subtask) => snapshots[subtask] === undefined);
    if (missing !== undefined) return `checkpoint ${checkpointId} was decided without subtask ${missing}`;
  }
  return undefined;
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

function readable(view: View, coordinators: readonly string[]): string | undefined {
  const record = view.local<RecordState>(RECORD)?.record;
  const latest = record?.checkpoints.at(-1) as ModelCheckpoint | undefined;
  if (latest === undefined) return undefined;
  const durables = coordinators.map((id) => view.durable<CoordinatorDurable>(id));
  const deleted = new Set(durables.flatMap((one) => one.deleted));
  for (const checkpoint of record!.checkpoints as ModelCheckpoint[]) {
    if (!durables.some(({ manifests }) => manifests.includes(checkpoint.checkpointId)))
      return `the manifest of checkpoint ${checkpoint.checkpointId} was never written`;
    const gone = objectsOf(checkpoint).find((name) => deleted.has(name));
    if (gone !== undefined) return `${gone}, which checkpoint ${checkpoint.checkpointId} names, is deleted`;
  }
  return undefined;
}

/** Input flows only in a generation whose restored checkpoint is committed. */
function recoveredFirst(view: View, worker: string): string | undefined {
  const subtask = actorIn(view, worker, "subtask");
  if (subtask === undefined || !leaves(subtask).some((leaf) => leaf.startsWith("running."))) return undefined;
  const { deployment } = memoryOf<WorkerMemory>(view.local<CompositionState>(worker)!);
  const target = view.local<TargetState>(targetOf(deployment!.subtask))!;
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

/** For the goal: the job has ended, with all that it had promised (the invariants say so). */
export function hasEnded(view: View): boolean {
  const record = view.local<RecordState>(RECORD)?.record;
  return record !== undefined && TERMINAL.includes(record.status);
}
