/** Rules of concurrent checkpoints, savepoints and stops taken out. */

import type { JobRecord } from "../../../machines/protocol.ts";
import { changeRecord, type RecordChange } from "../../../machines/record.ts";
import type { ProcessOutcome } from "../machine-process.ts";
import { DELETED_TOO_EARLY } from "../protocol/holds/objects.ts";
import type { Memory } from "../protocol/leader/coordinator-memory.ts";
import { withSavepoint } from "../protocol/leader/pending-checkpoints.ts";
import { change, memoryOf } from "../protocol/memory.ts";
import { type Reroute, theProtocol } from "../protocol/variant.ts";
import { objectName } from "../protocol/words.ts";
import { leaves } from "../pure-machine.ts";
import { and } from "./hosts.ts";
import { deaf, withGuards, withState } from "./machines.ts";
import { type SeededBug, seeded } from "./seeded.ts";

const savepointNotifies: Reroute = (effect, proceed, _actor, state) => {
  if (effect.type !== "store.savepointEntry") return proceed();
  const { live, placement } = memoryOf<Memory>(state);
  const message = { type: "checkpoint.completed", generation: live[0], ...effect.params };
  return and(proceed(), ...Object.values(placement).map((to) => ({ kind: "send", to, message }) as const));
};

const answersUnwritten: Reroute = (effect, proceed, actor) => {
  if (effect.type !== "store.savepoint") return proceed();
  const checkpointId = Number(effect.params.checkpointId);
  const stored: ProcessOutcome = { kind: "tell", actor, event: { type: "savepoint.stored" } };
  return [change<Memory>((memory) => withSavepoint(memory, checkpointId, true)), stored];
};

const settlesUndecided: Reroute = (effect, proceed, actor, state) => {
  const { request } = (state.actors.get(actor)?.snapshot.context ?? {}) as { request?: { reason: string } };
  if (effect.type !== "store.manifest" || request?.reason !== "stop") return proceed();
  const { checkpointId } = effect.params;
  const event = { type: "checkpoint.completed", checkpointId, reason: "stop", allFinished: false };
  return and(proceed(), { kind: "tell", actor: "job", event });
};

const subsumedStagedGoes: Reroute = (effect, proceed, actor, state) => {
  const { abortReason } = (state.actors.get(actor)?.snapshot.context ?? {}) as { abortReason?: string };
  if (effect.type !== "release.snapshots" || abortReason !== "subsumed") return proceed();
  const snapshots = memoryOf<Memory>(state).pending[Number(effect.params.checkpointId)] ?? {};
  const names = Object.entries(snapshots).flatMap(([subtask, { transactions }]) =>
    transactions.map((content) => objectName.staged(content, subtask)),
  );
  return and(
    proceed(),
    change<Memory>(({ deletable }) => ({ deletable: [...deletable, ...names] })),
  );
};

const checkpointsWhileDraining: Reroute = (effect, proceed, actor, state) => {
  const { event } = effect.params as { event?: { type: string } };
  const draining = actor === "job" && leaves(state.actors.get("job")!.snapshot).includes("running.draining");
  return draining && event?.type === "generation.draining" ? [] : proceed();
};

function decideOlder(record: JobRecord, wanted: RecordChange) {
  if (wanted.change !== "decision" || record.status !== "running") return changeRecord(record, wanted);
  return { record: { ...record, checkpoints: [...record.checkpoints, wanted.checkpoint].slice(-1) } };
}

/** What a savepoint says is known, but a later leader does not know that the job has stopped with it. */
function decideWithoutSettling(record: JobRecord, wanted: RecordChange) {
  const changed = changeRecord(record, wanted);
  if (wanted.change !== "decision" || "refused" in changed) return changed;
  return { record: { ...changed.record, status: record.status, settleTo: record.settleTo } };
}

const failsWithJob = ({ on }: { readonly on?: Readonly<Record<string, unknown>> }) => ({
  on: { ...on, "job.failed": { target: "remembered.failed", actions: "failWithJob" } },
});

const { job, checkpoint, request, subtask } = theProtocol;
const ALONE = { subtasks: { s: ["X"] }, records: 1 };
const QUIETLY = { ...ALONE, triggers: 0, periodic: false };
const CONCURRENT = { ...ALONE, maxConcurrent: 2 };
const STOP = { ...QUIETLY, requests: ["stop"] } as const;
const DRAIN = { ...ALONE, records: 0, triggers: 1, requests: ["drain"], losses: 1 } as const;
const SAVEPOINT = { ...QUIETLY, requests: ["savepoint"] } as const;

export const requestBugs: readonly SeededBug[] = [
  seeded({
    name: "savepoint-notifies-complete",
    rule: "K5",
    what: "Subtasks are told that a plain savepoint is complete, and commit.",
    alters: { coordinator: savepointNotifies },
    bounds: SAVEPOINT,
    foundBy: "C2 completion is told after the decision",
  }),
  seeded({
    name: "recovery-uses-savepoint",
    rule: "K5",
    what: "A savepoint that is newer than the latest checkpoint is restored.",
    alters: { faults: { restoresSavepoints: true } },
    bounds: { ...SAVEPOINT, losses: 1 },
    foundBy: "K5 only what is decided is restored",
  }),
  seeded({
    name: "savepoint-entry-before-metadata",
    rule: "K5",
    what: "The record names a savepoint, and its client is told, while it is still being written.",
    alters: { coordinator: answersUnwritten },
    bounds: SAVEPOINT,
    foundBy: "K5 a savepoint that is named is complete",
  }),
  seeded({
    name: "older-decided-after-newer",
    rule: "D1, C1",
    what: "The record takes the decision of a checkpoint although a newer one is decided.",
    alters: { changeRecord: decideOlder },
    bounds: CONCURRENT,
    foundBy: "C1 completed ids grow",
  }),
  seeded({
    name: "subsume-deletes-staged",
    rule: "P15, G7",
    what: "What a subsumed checkpoint's transactions have staged is deleted with its snapshots.",
    alters: { coordinator: subsumedStagedGoes },
    bounds: { ...CONCURRENT, objects: true },
    foundBy: "C6 what the record names is readable",
    leavesOut: DELETED_TOO_EARLY,
  }),
  seeded({
    name: "stop-settles-before-decision",
    rule: "P18, K1",
    what: "The job is stopped when its savepoint is written, not when it is decided.",
    alters: { coordinator: settlesUndecided },
    bounds: STOP,
    foundBy: "P18 stopped with a savepoint",
  }),
  seeded({
    name: "stopped-without-commits",
    rule: "P18, J4",
    what: "The job is stopped while the transactions of its savepoint are uncommitted.",
    alters: { job: withGuards(job, { allCommitted: () => true }) },
    bounds: STOP,
    foundBy: "P18 terminal only when settled",
  }),
  seeded({
    name: "stop-forgotten-by-the-next-leader",
    rule: "D3, P18",
    what: "The savepoint that the job stops with is decided, and only its leader knows that the job is to end.",
    alters: { changeRecord: decideWithoutSettling },
    bounds: { ...STOP, coordinators: ["A", "B"] },
    foundBy: "P18 a stopped job does not go on",
  }),
  seeded({
    name: "source-goes-on-behind-stop-barrier",
    rule: "K5",
    what: "Sources read on behind the barrier of the savepoint that the job stops with.",
    alters: { subtask: withGuards(subtask, { stopsHere: () => false }) },
    bounds: STOP,
    foundBy: "K5 nothing is read behind the last barrier",
  }),
  seeded({
    name: "stop-abort-leaves-source-held",
    rule: "K4",
    what: "The savepoint that the job was to stop with is given up, and its sources wait for ever.",
    alters: { subtask: withGuards(subtask, { stopIsOff: () => false }) },
    bounds: { ...STOP, expiries: 1, goal: "quiet" },
    foundBy: "goal",
  }),
  seeded({
    name: "checkpoint-of-a-draining-job",
    rule: "P19",
    what: "A checkpoint is taken while the job is drained: a job that is restored from it never reads the rest.",
    alters: { coordinator: checkpointsWhileDraining },
    bounds: DRAIN,
    foundBy: "P19 finished means that there is no input",
  }),
  seeded({
    name: "request-dies-with-its-generation",
    rule: "G3",
    what: "The generation fails while a savepoint is written for a client, which is never told.",
    alters: { request: deaf(request, ["begun"], "request.aborted") },
    bounds: { ...SAVEPOINT, losses: 1, goal: "quiet" },
    foundBy: "goal",
  }),
  seeded({
    name: "outcome-forgotten-while-its-client-asks",
    rule: "Q1, P64",
    what: "What has become of a request is forgotten at once, and its client is taken for a new one.",
    alters: { request: withState(request, ["remembered"], () => ({ always: { target: "forgotten" } })) },
    bounds: { ...QUIETLY, requests: ["checkpoint"] },
    foundBy: "Q1 a request has one outcome",
  }),
  seeded({
    name: "stop-fails-with-its-job",
    rule: "Q1",
    what: "The client of a stop whose savepoint is being decided is told that the job has failed before it.",
    alters: { request: withState(request, ["begun"], failsWithJob) },
    bounds: { ...STOP, losses: 1 },
    foundBy: "Q1 what has failed is not there",
  }),
  seeded({
    name: "canceled-with-an-old-savepoint",
    rule: "Q4, P38",
    what: "The job is canceled with a savepoint behind which it has decided more.",
    alters: { request: withGuards(request, { goneOn: () => false }) },
    bounds: { ...ALONE, requests: ["cancel"], triggers: 2, losses: 1 },
    foundBy: "P38 a job is canceled with all that it has decided",
  }),
  seeded({
    name: "recorded-savepoint-taken-again",
    rule: "Q3",
    what: "A leader that has just begun takes a savepoint that the record names already.",
    alters: { request: withGuards(request, { recorded: () => false }) },
    bounds: { ...SAVEPOINT, coordinators: ["A", "B"] },
    foundBy: "Q3 a savepoint is taken once",
  }),
  seeded({
    name: "savepoint-is-a-decision",
    rule: "K5",
    what: "A plain savepoint is decided like the one that a job stops with.",
    alters: { checkpoint: withGuards(checkpoint, { plainSavepoint: () => false }) },
    bounds: SAVEPOINT,
    foundBy: "K5 savepoints decide nothing",
  }),
];
