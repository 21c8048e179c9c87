/** Whether a submitted job may start, and with which record: a pure function. */

import { abandonedWith } from "../../../../machines/leader/abandoned.ts";
import type {
  CompletedCheckpoint,
  GraphPlan,
  JobRecord,
  LeadershipScope,
  RestoreOrigin,
} from "../../../../machines/protocol.ts";
import { isTombstone } from "../../../../machines/record.ts";
import type { JobSubmission } from "../../../control/messages.ts";
import { asDecided } from "../../../dataflow/source.ts";
import { layoutDifferences, machineDifferences, planDifferences } from "../../../job/fingerprint.ts";
import { withPresentVersions } from "../../../job/machines/shape.ts";
import { withKeyGroupsOf } from "../../../job/restore/key-groups.ts";
import { exchangedInputs, newSplits } from "../../../job/restore/restored-splits.ts";
import { versionDifferences } from "../../../job/restore/state-versions.ts";
import { shellCommand } from "../../../shell-command.ts";
import { cutShort } from "../report/unfinished.ts";

export type Admission =
  | { readonly record: JobRecord }
  /** This very submission is in the record already. */
  | { readonly duplicate: true }
  | { readonly refused: string };

export interface AdmissionFacts {
  readonly token: number;
  readonly scope: LeadershipScope;
  /** Random. */
  readonly newId: () => string;
  readonly nowMs: number;
  /** No worker runs the job: the processes that ran it are gone. */
  readonly orphaned: boolean;
  /** Description of the checkpoint storage that this coordinator uses. */
  readonly storage: string;
}

/** What a job begins with that is restored from somewhere else. */
export interface Fork extends Pick<JobRecord, "plan" | "graphFingerprint"> {
  readonly incarnation: string;
  /** The known ones of each source, and those that are new. */
  readonly splits: JobRecord["splits"];
  readonly origin: RestoreOrigin;
  /** The checkpoint in the job's own storage. */
  readonly checkpoint: CompletedCheckpoint;
}

/**
 * Why a job cannot be restored over what is there; undefined: it can. Nothing that could be resumed is given up
 * silently.
 */
export function forkRefusal(
  existing: JobRecord | undefined,
  submission: JobSubmission,
  fresh: boolean,
  facts: Pick<AdmissionFacts, "storage">,
): string | undefined {
  const { job } = submission;
  const refused = storageRefusal(submission, facts);
  if (refused !== undefined || existing === undefined) return refused;
  switch (existing.status) {
    case "created":
    case "running":
    case "settling":
      return `job ${job} is ${existing.status} already: stop it first, or give the restored one another name`;
    case "suspended":
    case "failed":
      if (fresh || existing.checkpoints.length === 0) return undefined;
      return (
        `job ${job} is ${existing.status} and can be resumed from its own checkpoint ${existing.checkpoints.at(-1)?.checkpointId}; ` +
        "restoring from elsewhere gives that up: add --fresh to do so"
      );
    case "finished":
    case "stopped":
    case "canceled":
      return undefined;
  }
}

/** A new incarnation, whose counters go on from the old ones and above the restored checkpoint (P1, P3). */
export function forkRecord(
  existing: JobRecord | undefined,
  submission: JobSubmission,
  fork: Fork,
  facts: AdmissionFacts,
): JobRecord {
  const record = freshRecord(existing, submission, facts);
  return {
    ...record,
    incarnation: fork.incarnation,
    plan: fork.plan,
    graphFingerprint: fork.graphFingerprint,
    generation: fork.checkpoint.generation,
    splits: fork.splits,
    reservedCheckpointId: Math.max(record.reservedCheckpointId, fork.checkpoint.checkpointId),
    checkpoints: [fork.checkpoint],
    origin: fork.origin,
  };
}

/**
 * A job that was suspended, has failed, or was left behind by processes that are gone goes on from its last checkpoint;
 * one that finished or was canceled starts only afresh. A fresh start is a new incarnation, and its counters go on from
 * the old ones (P1, P3).
 */
export function admit(
  existing: JobRecord | undefined,
  submission: JobSubmission,
  fresh: boolean,
  facts: AdmissionFacts,
): Admission {
  const { job } = submission;
  if (existing?.submissionId === submission.submissionId) return { duplicate: true };
  const otherStorage = storageRefusal(submission, facts);
  if (otherStorage !== undefined) return { refused: otherStorage };
  if (existing === undefined || isTombstone(existing))
    return { record: freshRecord(existing, submission, facts) };
  switch (existing.status) {
    case "created":
    case "running":
    case "settling":
      if (facts.orphaned && fresh) return { record: freshRecord(existing, submission, facts) };
      if (facts.orphaned) return resume(existing, submission, facts);
      return {
        refused:
          `job ${job} is ${existing.status} already (generation ${existing.generation}); ` +
          `watch it with "tidemark status ${job}" or end it with "tidemark cancel ${job}"`,
      };
    case "finished":
    case "stopped":
    case "canceled":
      if (!fresh) return { refused: `job ${job} ${howItEnded(existing)}start it over with --fresh` };
      return { record: freshRecord(existing, submission, facts) };
    case "suspended":
    case "failed":
      if (fresh) return { record: freshRecord(existing, submission, facts) };
      if (!keepsState(existing))
        return { refused: `job ${job} ${howItEnded(existing)}start it over with --fresh` };
      return resume(existing, submission, facts);
  }
}

/**
 * false: what the job needs to be resumed was disposed of, or deleted when it failed. Its sinks would not let it begin
 * again in their place.
 */
export function keepsState({ status, checkpointing, checkpoints, disposed }: JobRecord): boolean {
  if (disposed !== undefined) return false;
  return status !== "failed" || checkpointing.retention !== "delete" || checkpoints.length > 0;
}

/** false: the job has ended for good, so nothing will read on from where it stopped. */
export function goesOn(record: JobRecord): boolean {
  const { status, checkpoints } = record;
  if (status === "finished") return false;
  return status === "canceled" ? checkpoints.length > 0 : keepsState(record);
}

function storageRefusal(
  { job, storage }: JobSubmission,
  facts: Pick<AdmissionFacts, "storage">,
): string | undefined {
  if (storage === null || storage === facts.storage) return undefined;
  return (
    `job ${job} asks for checkpoints in ${storage}, but this coordinator keeps them in ${facts.storage}; ` +
    "give both the same checkpointing.storage and checkpointing.directory, or leave them out of the job"
  );
}

function howItEnded({ status, savepoints, checkpoints, job, disposed }: JobRecord): string {
  if (disposed !== undefined && (status === "suspended" || status === "failed"))
    return `is ${status}, and its checkpoints were disposed of; `;
  const savepoint = savepoints.at(-1);
  if (status === "stopped" && savepoint?.drained !== undefined)
    return `was drained, and no job goes on from its savepoint ${savepoint.location}${cutShort(savepoint.drained)}; `;
  if (status === "stopped" && savepoint !== undefined)
    return `was stopped with savepoint ${savepoint.location}; go on with "${shellCommand("tidemark", "restore", "FILE", "--from", savepoint.location)}", or `;
  if (status === "canceled" && checkpoints.length > 0)
    return `was canceled; go on from its last checkpoint with "tidemark restore FILE --from checkpoint:${job}", or `;
  if (status === "failed")
    return 'has failed, and its state was deleted with its end, as checkpointing.retention "delete" says; ';
  return status === "finished" ? "has finished already; " : `was ${status}; `;
}

function freshRecord(
  existing: JobRecord | undefined,
  submission: JobSubmission,
  facts: AdmissionFacts,
): JobRecord {
  const { storage: _notKept, fixesMaxParallelism: _ofThePlan, ...kept } = submission;
  return {
    format: 1,
    ...kept,
    incarnation: facts.newId(),
    generation: existing?.generation ?? 0,
    generations: [],
    nonce: "",
    token: facts.token,
    scope: facts.scope,
    writeId: facts.newId(),
    status: "created",
    settleTo: null,
    reservedCheckpointId: existing?.reservedCheckpointId ?? 0,
    planSince: 0,
    formerPlans: [],
    checkpoints: [],
    origin: null,
    savepoints: existing?.savepoints ?? [],
    begunSavepoints: existing?.begunSavepoints ?? [],
    abandoned: existing === undefined ? [] : abandonedWith(existing, "fresh-start", facts.nowMs),
    fallbacks: existing?.fallbacks ?? [],
    aborted: [],
    failures: [],
    createdAtMs: facts.nowMs,
    updatedAtMs: facts.nowMs,
  };
}

/**
 * The input stays what was discovered at the first submission (P31); code and options are the new ones, and so is what
 * happens where input is missing (P42).
 */
function resume(existing: JobRecord, handedIn: JobSubmission, facts: AdmissionFacts): Admission {
  const submission = withKeyGroupsOf(handedIn, existing.plan);
  const differences = resumeDifferences(existing.plan, existing, submission);
  const { submittedPlan } = existing;
  const asSubmitted =
    submittedPlan !== undefined && resumeDifferences(submittedPlan, existing, submission).length === 0;
  if (differences.length > 0 && !asSubmitted)
    return {
      refused:
        `the graph of job ${submission.job} has changed since it ran last, so its state cannot be restored into it:\n` +
        `${differences.map((difference) => `  - ${difference}`).join("\n")}\n` +
        `Run the former version${elsewhere(existing)}, or start over with --fresh, which drops the state`,
    };
  const exchanged = exchangedInputs(existing.splits, submission.splits);
  if (exchanged.length > 0)
    return {
      refused:
        `job ${submission.job} goes on where it ended, but ${exchanged.map(({ problem }) => problem).join("; ")}. Read the former input again, or ` +
        "start over with --fresh, which drops the state",
    };
  const added = Object.entries(submission.splits).flatMap(([source, splits]) =>
    newSplits(existing.splits[source] ?? [], splits).map((id) => `"${id}" of source ${source}`),
  );
  if (added.length > 0)
    return {
      refused:
        `job ${submission.job} goes on with the input that it was first submitted with, and would never read ${added.join(", ")}: ` +
        `leave that out, ${restorable(existing) ? `go on with it, from its beginning, with "tidemark restore FILE --from checkpoint:${submission.job} --fresh", ` : ""}` +
        "or start over with --fresh, which drops the state",
    };
  return {
    record: {
      ...existing,
      plan: withPresentVersions(existing.plan, submission.plan),
      submissionId: submission.submissionId,
      codeFingerprint: submission.codeFingerprint,
      codeListing: submission.codeListing,
      checkpointing: submission.checkpointing,
      restart: submission.restart,
      heartbeat: submission.heartbeat,
      splits: Object.fromEntries(
        Object.entries(existing.splits).map(([source, splits]) => [
          source,
          asDecided(splits, submission.splits[source] ?? []),
        ]),
      ),
      token: facts.token,
      scope: facts.scope,
      writeId: facts.newId(),
      ...whatIsLeftToDo(existing),
      failures: [],
      updatedAtMs: facts.nowMs,
    },
  };
}

/** A restore deals the state out to other operators, chains, exchanges and splits, and says what of it does not fit. */
function restorable({ checkpoints, status }: JobRecord): boolean {
  return (status === "suspended" || status === "failed") && checkpoints.length > 0;
}

/** The same, where the graph is another one. */
function elsewhere(existing: JobRecord): string {
  const { job } = existing;
  if (!restorable(existing)) return "";
  return (
    `, look what fits the new one with "tidemark restore FILE --from checkpoint:${job} --fresh --dry-run" and go on ` +
    "without --dry-run"
  );
}

/**
 * What was being settled still has to be (P18). Only a job that was to be suspended goes on now: recovered commits
 * finish before sources start anyway (P17).
 */
function whatIsLeftToDo(existing: JobRecord): Pick<JobRecord, "status" | "settleTo"> {
  if (existing.status === "settling" && existing.settleTo !== "suspended")
    return { status: "settling", settleTo: existing.settleTo };
  return { status: "created", settleTo: null };
}

/** What differs from the plan that the job has, or had when it was submitted: a rescale has come between (P95). */
function resumeDifferences(
  plan: GraphPlan,
  { graphFingerprint }: JobRecord,
  submission: JobSubmission,
): string[] {
  return [
    ...(graphFingerprint === submission.graphFingerprint
      ? layoutDifferences(plan, submission.plan)
      : planDifferences(plan, submission.plan)),
    ...parallelismDifferences(plan, submission),
    ...machineDifferences(plan, submission.plan),
    ...versionDifferences(plan, submission.plan),
  ];
}

function parallelismDifferences(plan: GraphPlan, submission: JobSubmission): string[] {
  const before = new Map(plan.vertices.map((vertex) => [vertex.id, vertex.parallelism]));
  return submission.plan.vertices.flatMap(({ id, parallelism }) => {
    const was = before.get(id);
    return was === undefined || was === parallelism
      ? []
      : [`${id} has parallelism ${parallelism}, it had ${was}`];
  });
}
