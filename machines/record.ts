/**
 * Every change of the job record, as pure functions: what a leader may write, and what the record refuses.
 *
 * Owns: the rules of the one durable record. Does not own: the compare-and-set that makes a change durable.
 *
 * RC1  A decision counts only while no generation was raised since the checkpoint was triggered; the record refuses it
 *     otherwise, so no checkpoint is decided behind the back of a recovery, of one region either, that was planned
 *     without it.
 * RC2  A generation is raised only over the very checkpoint that its recovery was planned from (P20).
 * RC3  Generation, checkpoint ids and reservation only grow, over incarnations too (P1, P2, P3).
 * RC4  The decision of the savepoint that a job stops with decides the stop, too: the next leader only settles it.
 */
import { abandonedWith } from "./leader/abandoned.ts";
import { fallenBack, SAVEPOINTS_KEPT, wentOn } from "./leader/fallback.ts";
import type { RecordFacts } from "./leader/job-events.ts";
import { neededPlans, type RescaleChange, rescaleDone, rescaled, rescaleUndone } from "./leader/rescale.ts";
import type {
  AbortedCheckpoint,
  CheckpointRetention,
  CompletedCheckpoint,
  Failure,
  JobRecord,
  JobStatus,
  SavepointEntry,
  TerminalStatus,
} from "./protocol.ts";

const FAILURES_KEPT = 10;
const ABORTED_KEPT = 10;
const BEGUN_KEPT = 20;

const TERMINAL: ReadonlySet<JobStatus> = new Set<TerminalStatus>([
  "finished",
  "stopped",
  "failed",
  "canceled",
  "suspended",
]);

export const isTerminal = (status: JobStatus): boolean => TERMINAL.has(status);

export type RecordChange =
  | { readonly change: "claim"; readonly token: number }
  | { readonly change: "reservation"; readonly reservedCheckpointId: number }
  /** A worker has seen a generation that this record knows nothing of: the next one is raised above it. */
  | { readonly change: "generation-seen"; readonly generation: number }
  | {
      readonly change: "generation";
      /** The generation of the first of these regions; the next one has the next. */
      readonly generation: number;
      readonly regions: readonly number[];
      readonly nonce: string;
      readonly completed: number;
    }
  /** `savepoint`: what the job stops with. */
  | {
      readonly change: "decision";
      readonly checkpoint: CompletedCheckpoint;
      readonly savepoint: SavepointEntry | null;
    }
  | { readonly change: "settling"; readonly settleTo: TerminalStatus }
  /** `keepsAll`: what the record names stays, whatever its retention says. */
  | { readonly change: "terminal"; readonly status: TerminalStatus; readonly keepsAll: boolean }
  | { readonly change: "savepoint"; readonly savepoint: SavepointEntry }
  | { readonly change: "savepoint-begun"; readonly location: string }
  /** The savepoint's objects are deleted. */
  | { readonly change: "savepoint-over"; readonly location: string }
  | { readonly change: "abort"; readonly aborted: AbortedCheckpoint }
  /** A user disposes of one retained checkpoint of an ended job, of all of them, or of everything but its counters. */
  | { readonly change: "dispose"; readonly what: DisposalTarget; readonly atMs: number }
  | RescaleChange
  /** A generation of the new plan runs. */
  | { readonly change: "rescale-done" }
  /** None has come to run: the job goes on under the former plan. */
  | { readonly change: "rescale-undone"; readonly reason: string; readonly atMs: number }
  | { readonly change: "failure"; readonly failure: Failure };

/** What a user disposes of: the whole job, all of its checkpoints, or the one with this id. */
export type DisposalTarget = "job" | "checkpoints" | number;

export type Changed = { readonly record: JobRecord } | { readonly refused: string };

export function latestCheckpoint(record: JobRecord): CompletedCheckpoint | undefined {
  return record.checkpoints.at(-1);
}

export function factsOf(record: JobRecord): RecordFacts {
  const latest = latestCheckpoint(record);
  return {
    generation: record.generation,
    generations: record.generations,
    status: record.status,
    settleTo: record.settleTo,
    reservedCheckpointId: record.reservedCheckpointId,
    completed: latest?.checkpointId ?? 0,
    allFinished: latest?.allFinished ?? false,
  };
}

export function changeRecord(record: JobRecord, change: RecordChange): Changed {
  switch (change.change) {
    case "claim":
      return { record: { ...record, token: change.token } };
    case "reservation":
      return {
        record: {
          ...record,
          reservedCheckpointId: Math.max(record.reservedCheckpointId, change.reservedCheckpointId),
        },
      };
    case "generation":
      if (change.generation <= record.generation)
        return { refused: `generation ${record.generation} is already the record's` };
      if (factsOf(record).completed !== change.completed)
        return { refused: "another checkpoint was decided after recovery was planned" };
      return {
        record: {
          ...record,
          generation: change.generation + change.regions.length - 1,
          generations: raised(record.generations, change),
          nonce: change.nonce,
          fallbacks: fallenBack(record, change.generation + change.regions.length - 1, change.completed),
          status: record.status === "settling" ? "settling" : "running",
        },
      };
    case "generation-seen":
      return { record: { ...record, generation: Math.max(record.generation, change.generation) } };
    case "decision":
      return decide(record, change.checkpoint, change.savepoint);
    case "settling":
      // A decision may have been first (RC4).
      return {
        record: {
          ...rescaleDone(record),
          status: "settling",
          settleTo: record.settleTo ?? change.settleTo,
        },
      };
    case "terminal": {
      const retained = change.keepsAll || retains(record.checkpointing.retention, change.status);
      const checkpoints = retained ? record.checkpoints : [];
      return { record: { ...record, status: change.status, settleTo: null, checkpoints } };
    }
    case "savepoint":
      return { record: withSavepoint(record, change.savepoint) };
    case "savepoint-begun":
      return { record: withBegun(record, change.location) };
    case "savepoint-over":
      return { record: { ...record, begunSavepoints: without(record, change.location) } };
    case "abort":
      return { record: { ...record, aborted: [...record.aborted, change.aborted].slice(-ABORTED_KEPT) } };
    case "dispose":
      return dispose(record, change);
    case "rescale":
      return rescaled(record, change);
    case "rescale-done":
      return { record: rescaleDone(record) };
    case "rescale-undone":
      return goneBack(record, change);
    case "failure":
      return { record: { ...record, failures: remember(record, change.failure) } };
  }
}

function raised(
  generations: readonly number[],
  { generation, regions }: Extract<RecordChange, { readonly change: "generation" }>,
): readonly number[] {
  const all = [...generations];
  for (const [index, region] of regions.entries()) all[region] = generation + index;
  return all;
}

/**
 * Flink's CheckpointProperties: which ends of a job its checkpoints outlive. A suspended job always keeps them (P30),
 * and a savepoint is never theirs.
 */
function retains(retention: CheckpointRetention, status: TerminalStatus): boolean {
  switch (status) {
    case "finished":
    case "stopped":
      return false;
    case "canceled":
      return retention === "retain-on-cancellation";
    case "failed":
      return retention !== "delete";
    case "suspended":
      return true;
  }
}

function withSavepoint(record: JobRecord, savepoint: SavepointEntry): JobRecord {
  return {
    ...record,
    savepoints: [...record.savepoints, savepoint].slice(-SAVEPOINTS_KEPT),
    begunSavepoints: without(record, savepoint.location),
  };
}

/** Remembers what is to be complete, or to be deleted, until it is. */
function withBegun(record: JobRecord, location: string): JobRecord {
  return { ...record, begunSavepoints: [...record.begunSavepoints, location].slice(-BEGUN_KEPT) };
}

function without({ begunSavepoints }: JobRecord, location: string): readonly string[] {
  return begunSavepoints.filter((begun) => begun !== location);
}

function decide(
  record: JobRecord,
  checkpoint: CompletedCheckpoint,
  savepoint: SavepointEntry | null,
): Changed {
  if (record.status !== "running") return { refused: `the job is ${record.status}` };
  if (record.generation !== checkpoint.generation)
    return { refused: `generation ${record.generation} has taken over` };
  if (checkpoint.checkpointId <= factsOf(record).completed)
    return { refused: "a newer checkpoint is already decided" };
  const stopped = savepoint !== null && ({ status: "settling", settleTo: "stopped" } as const);
  const whole = savepoint === null ? rescaleDone(record) : withSavepoint(rescaleDone(record), savepoint);
  const checkpoints = [...record.checkpoints, checkpoint].slice(-record.checkpointing.retained);
  return {
    record: {
      ...(record.origin?.mode === "claim" ? withBegun(whole, record.origin.location) : whole),
      ...stopped,
      checkpoints,
      formerPlans: neededPlans(record, checkpoints),
      fallbacks: wentOn(record, checkpoint.checkpointId),
      origin: record.origin?.mode === "claim" ? { ...record.origin, mode: "claimed" } : record.origin,
    },
  };
}

/** Disposes only of what a job has left that has ended: what a living one needs is never deleted. */
function dispose(
  record: JobRecord,
  { what, atMs }: Extract<RecordChange, { readonly change: "dispose" }>,
): Changed {
  const { job, status, settleTo, checkpoints } = record;
  if (status === "settling")
    return {
      refused:
        `job ${job} is ending already, and will be ${settleTo}: dispose of it then. "tidemark status ${job}" shows what that waits ` +
        `for; where no coordinator leads it, its next start goes on there`,
    };
  if (status === "created" || status === "running")
    return { refused: `job ${job} is ${status}: end it first, for example with "tidemark cancel ${job}"` };
  // The client that asked for it the first time may have been killed while the objects went.
  if (isDisposedOf(record, what)) return { record };
  if (isTombstone(record)) return { refused: nothingToDispose(record) };
  const abandoned = abandonedWith(record, "dispose", atMs);
  if (what === "job") return { record: { ...tombstoneOf(record), abandoned } };
  const retained = checkpoints.map(({ checkpointId }) => checkpointId);
  if (retained.length === 0) return { refused: nothingToDispose(record) };
  if (what !== "checkpoints" && !retained.includes(what))
    return { refused: `job ${job} (${status}) has no checkpoint ${what}; it retains ${retained.join(", ")}` };
  // A job that went on from an older one would write again what the latest has committed (P20).
  if (what === retained.at(-1) && retained.length > 1)
    return {
      refused:
        `checkpoint ${what} is the latest one of job ${job}, and what it holds is committed: a job that went on from an older one would ` +
        `write it again. Dispose of the older ones, or of all of them with checkpoint:${job}`,
    };
  const kept = checkpoints.filter(({ checkpointId }) => what !== "checkpoints" && checkpointId !== what);
  return {
    record: {
      ...record,
      checkpoints: kept,
      ...(kept.length === 0 && { disposed: "state" as const, abandoned }),
    },
  };
}

/** Whether an earlier request has disposed of all of it in the record; objects may be left. */
function isDisposedOf({ disposed }: JobRecord, what: DisposalTarget): boolean {
  return disposed !== undefined && (what === "job" ? disposed === "job" : what === "checkpoints");
}

/** The refusal for a job that keeps nothing. */
export function nothingToDispose(record: JobRecord): string {
  const { job, status } = record;
  return isTombstone(record)
    ? `there is no job ${job}; "tidemark list" lists the jobs`
    : `job ${job} (${status}) has no retained checkpoint`;
}

/** Whether the job was disposed of as a whole: of its record only the counters count. */
export function isTombstone({ disposed }: Pick<JobRecord, "disposed">): boolean {
  return disposed === "job";
}

function tombstoneOf(record: JobRecord): JobRecord {
  const { maxParallelism } = record.plan;
  return {
    ...record,
    plan: { vertices: [], edges: [], maxParallelism },
    formerPlans: [],
    ...{
      generations: [],
      splits: {},
      checkpoints: [],
      origin: null,
      savepoints: [],
      aborted: [],
      failures: [],
    },
    disposed: "job",
  };
}

function goneBack(
  record: JobRecord,
  { reason, atMs }: Extract<RecordChange, { readonly change: "rescale-undone" }>,
): Changed {
  const undone = rescaleUndone(record, reason, atMs);
  if ("refused" in undone) return undone;
  const { generation } = record;
  const failures = remember(record, { atMs, generation, where: "rescale", reason });
  return { record: { ...undone.record, failures } };
}

/** The first failure of a streak stays beside the latest ones; a completed checkpoint ends the streak. */
function remember(record: JobRecord, failure: Failure): readonly Failure[] {
  const endedMs = latestCheckpoint(record)?.completedAtMs ?? 0;
  const [first, ...later] = record.failures.filter(({ atMs }) => atMs >= endedMs);
  return first === undefined ? [failure] : [first, ...[...later, failure].slice(-(FAILURES_KEPT - 1))];
}

/** Checkpoints that a change has dropped from the record: theirs is what may be deleted after it is durable (P16). */
export function droppedBy(before: JobRecord, after: JobRecord): readonly CompletedCheckpoint[] {
  const kept = new Set(after.checkpoints.map((checkpoint) => checkpoint.checkpointId));
  return before.checkpoints.filter((checkpoint) => !kept.has(checkpoint.checkpointId));
}

export type SettledWrite =
  /** The record holds this leader's write. */
  | "stored"
  /** A newer leader has written: the write will never succeed. */
  | "lost"
  /** The record moved without a newer token: read it and change it again. */
  | "moved"
  /** The record is at the revision that the write expects: send the same value again (P8). */
  | "open";

/** Settles a write of unknown or refused outcome from what the record says now (P8). */
export function settleWrite(
  mine: { readonly writeId: string; readonly token: number; readonly revision: number },
  now: { readonly writeId: string; readonly token: number; readonly revision: number },
): SettledWrite {
  if (now.writeId === mine.writeId) return "stored";
  if (now.token > mine.token) return "lost";
  return now.revision === mine.revision ? "open" : "moved";
}
