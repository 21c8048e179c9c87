/** Rules taken out of the hosts, of what is written into the record, and of the targets. */

import type { JobRecord } from "../../../machines/protocol.ts";
import { changeRecord, type RecordChange } from "../../../machines/record.ts";
import type { CompositionState } from "../composition.ts";
import type { ProcessOutcome } from "../machine-process.ts";
import { DELETED_TOO_EARLY } from "../protocol/holds/objects.ts";
import type { Memory } from "../protocol/leader/coordinator-memory.ts";
import { WRITER, type WriteAnswer, type WriterContext } from "../protocol/leader/records/record-writer.ts";
import { change, memoryOf } from "../protocol/memory.ts";
import type { Reroute } from "../protocol/variant.ts";
import {
  type ModelCheckpoint,
  objectName,
  objectsOf,
  snapshotObjects,
  transactionName,
} from "../protocol/words.ts";
import type { WorkerMemory } from "../protocol/worker/worker-host.ts";
import { type SeededBug, seeded } from "./seeded.ts";

export const and = (
  proceeded: readonly ProcessOutcome[] | undefined,
  ...more: ProcessOutcome[]
): ProcessOutcome[] => [...(proceeded ?? []), ...more];

const completeEarly: Reroute = (effect, proceed, _actor, state) => {
  if (effect.type !== "store.decision") return proceed();
  const { live, placement } = memoryOf<Memory>(state);
  const message = {
    type: "checkpoint.completed",
    generation: live[0],
    checkpointId: effect.params.checkpointId,
  };
  return and(proceed(), ...Object.values(placement).map((to) => ({ kind: "send", to, message }) as const));
};

const abortDiscards: Reroute = (effect, proceed) => {
  if (effect.type !== "discard.snapshot") return proceed();
  const name = transactionName(Number(effect.params.checkpointId));
  const discard = change<WorkerMemory>(({ cuts }) => {
    const cut = cuts[name];
    if (cut === undefined) return {};
    const { content } = cut;
    return { cuts: { ...cuts, [name]: { ...cut, content: { ...content, to: content.from } } } };
  });
  return and(proceed(), discard);
};

const idsFromTheCheckpoint: Reroute = (effect, proceed, _actor, state) => {
  if (effect.type !== "start.policies") return proceed();
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  const reservedCheckpointId = record.checkpoints.at(-1)?.checkpointId ?? 0;
  return proceed({ ...effect, params: { reservedCheckpointId } });
};

const deposedDeletes: Reroute = (effect, proceed) => {
  if (effect.type !== "answer.request") return proceed();
  const { answer, change: wanted } = effect.params as unknown as {
    answer: WriteAnswer;
    change: RecordChange;
  };
  if (answer.outcome !== "lost" || wanted.change !== "decision") return proceed();
  const names = objectsOf(wanted.checkpoint as ModelCheckpoint);
  return and(
    proceed(),
    change<Memory>(({ deletable }) => ({ deletable: [...deletable, ...names] })),
  );
};

const stagedGoesToo: Reroute = (effect, proceed, _actor, state) => {
  if (effect.type !== "release.snapshots") return proceed();
  const snapshots = memoryOf<Memory>(state).pending[Number(effect.params.checkpointId)] ?? {};
  const names = Object.entries(snapshots).flatMap(([subtask, { transactions }]) =>
    transactions.map((content) => objectName.staged(content, subtask)),
  );
  return and(
    proceed(),
    change<Memory>(({ due }) => ({ due: [...due, ...names] })),
  );
};

/** What an aborted checkpoint's acknowledgements have named, and its manifest. */
function namesOf(state: CompositionState, checkpointId: number): string[] {
  const snapshots = memoryOf<Memory>(state).pending[checkpointId] ?? {};
  return [objectName.manifest(checkpointId), ...snapshotObjects(checkpointId, snapshots)];
}

/** Does not wait for the write that would prove that nothing names them. */
const deletesAtOnce: Reroute = (effect, proceed, _actor, state) => {
  if (effect.type !== "release.snapshots") return proceed();
  const names = namesOf(state, Number(effect.params.checkpointId));
  return and(
    proceed(),
    change<Memory>(({ deletable }) => ({ deletable: [...deletable, ...names] })),
  );
};

const forgetsFinish: Reroute = (effect, proceed) =>
  effect.type !== "begin.generation"
    ? proceed()
    : proceed()?.map((outcome) =>
        outcome.kind === "create"
          ? { ...outcome, input: { ...(outcome.input as object), finished: false } }
          : outcome,
      );

function decideAnywhere(record: JobRecord, wanted: RecordChange) {
  if (wanted.change !== "decision") return changeRecord(record, wanted);
  return { record: { ...record, checkpoints: [...record.checkpoints, wanted.checkpoint].slice(-1) } };
}

function raiseOverAnything(record: JobRecord, wanted: RecordChange) {
  if (wanted.change !== "generation") return changeRecord(record, wanted);
  return changeRecord(record, { ...wanted, completed: record.checkpoints.at(-1)?.checkpointId ?? 0 });
}

const ALONE = { subtasks: { s: ["X"] } };
const BESIDE = { ...ALONE, coordinators: ["A", "B"], triggers: 1, records: 1 };

export const hostBugs: readonly SeededBug[] = [
  seeded({
    name: "commit-before-decision",
    rule: "P12, K1, C2",
    what: "Subtasks hear of the completion when the decision is written, not when it is known to be durable.",
    alters: { coordinator: completeEarly },
    foundBy: "C2 completion is told after the decision",
  }),
  seeded({
    name: "abort-discards-transaction",
    rule: "P14, K4, T2",
    what: "The abort of a checkpoint empties the transaction that was cut at its barrier.",
    alters: { worker: abortDiscards },
    bounds: { ...ALONE, expiries: 1, slowSnapshots: true },
    foundBy: "C3 exactly once, in order",
  }),
  seeded({
    name: "late-acknowledgement-deletes",
    rule: "P16",
    what: "An acknowledgement that comes again after the decision makes the leader delete what it names.",
    alters: { faults: { deletesOnUnknown: true } },
    bounds: { ...ALONE, objects: true },
    foundBy: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "id-reused-after-restore",
    rule: "P3, G1",
    what: "A new leader goes on from the id of the restored checkpoint instead of the reserved bound.",
    alters: { coordinator: idsFromTheCheckpoint },
    bounds: { ...BESIDE, triggers: 2 },
    foundBy: "P3 no id is used twice",
  }),
  seeded({
    name: "decision-in-any-state",
    rule: "D1",
    what: "The record takes a decision although the job is settling.",
    alters: { changeRecord: decideAnywhere },
    bounds: { cancels: 1 },
    foundBy: "P18 terminal only when settled",
  }),
  seeded({
    name: "generation-over-another-checkpoint",
    rule: "D2, P20",
    what: "A generation is raised and deployed as planned, although another checkpoint was decided meanwhile.",
    alters: { changeRecord: raiseOverAnything, faults: { deploysThePlan: true } },
    bounds: { losses: 1 },
    foundBy: "P20 nothing goes back behind a decision",
  }),
  seeded({
    name: "timeout-taken-for-failure",
    rule: "P8, RW1, K2",
    what: "A decision whose answer does not come is taken for refused; so no worker hears that it must be committed.",
    alters: { faults: { trustsTimeouts: true } },
    bounds: { ...ALONE, triggers: 1, cancels: 1, records: 1, goal: "ended" },
    foundBy: "goal",
  }),
  seeded({
    name: "timeout-deletes",
    rule: "P8, P16, P21",
    what: "A decision whose answer does not come is taken for refused, and its objects are deleted before another write.",
    alters: { faults: { trustsTimeouts: true }, coordinator: deletesAtOnce },
    bounds: { ...ALONE, objects: true, triggers: 1, records: 1 },
    foundBy: "C6 what the record names is readable",
    leavesOut: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "deleted-before-the-abort-is-durable",
    rule: "P16, P48",
    what: "What a checkpoint has left that is given up is deleted before the record says that it is.",
    alters: { coordinator: deletesAtOnce },
    bounds: { ...ALONE, objects: true, triggers: 1, expiries: 1, records: 1 },
    foundBy: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "deposed-leader-deletes",
    rule: "P9, J5",
    what: "A leader that has lost the record deletes the checkpoint that it could not decide; but its write had landed.",
    alters: { coordinator: deposedDeletes },
    bounds: { ...BESIDE, objects: true },
    foundBy: "C6 what the record names is readable",
    leavesOut: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "staged-goes-with-the-snapshot",
    rule: "P15",
    what: "What an aborted checkpoint's transactions have staged is deleted with its snapshots.",
    alters: { coordinator: stagedGoesToo },
    bounds: { subtasks: { s: ["X"], t: ["Z"] }, expiries: 1, objects: true, block: 1, records: 1 },
    foundBy: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "marker-not-taken-over",
    rule: "P23",
    what: "Opening a sink leaves its marker with the older generation.",
    alters: { target: { opensWithoutTakeover: true } },
    bounds: { losses: 1, triggers: 1, records: 1 },
    foundBy: "C5 older generations are fenced",
  }),
  seeded({
    name: "blind-commit",
    rule: "P22",
    what: "A commit does not compare the marker.",
    alters: { target: { commitsBlindly: true } },
    bounds: { losses: 1, triggers: 1, records: 1 },
    foundBy: "C5 older generations are fenced",
  }),
  seeded({
    name: "finish-twice",
    rule: "P19",
    what: "The restored subtask does not know that `finish` has run.",
    alters: { worker: forgetsFinish },
    bounds: { bounded: true, losses: 1, triggers: 0, periodic: false, records: 1 },
    foundBy: "P19 finish runs once",
  }),
];
