/** Checkpoints that are under way or were given up: whom they wait for, and which channel blocks those. */
import type { AbortedCheckpoint, MissingSubtask } from "../../../machines/protocol.ts";
import type { PendingReport } from "../../control/messages.ts";
import { age, moment, table } from "../output/text.ts";

export interface Troubles {
  readonly pending: readonly PendingReport[];
  /** So many more are under way. */
  readonly pendingMore: number;
  /** So many are asked for and have not begun. */
  readonly queued: number;
  readonly aborted: readonly AbortedCheckpoint[];
  /** Why none begins at present, in words; empty when nothing is in the way. */
  readonly hold: string;
  /** Why no leader could be asked what is under way. */
  readonly unknown?: string;
}

/** What is known; `unknown` is apart, because it tells of no checkpoint. */
export function describeTroubles(
  { pending, pendingMore, queued, aborted, hold }: Troubles,
  nowMs: number,
): string[] {
  return [
    ...describeAborted(aborted, nowMs),
    ...describePending(pending),
    ...describeOthers({ pendingMore, queued }),
    ...(hold === "" ? [] : [`no checkpoint begins at present: ${hold}`]),
  ];
}

/** Those that a report only counts. */
export function describeOthers({ pendingMore, queued }: Pick<Troubles, "pendingMore" | "queued">): string[] {
  return [
    ...(pendingMore === 0 ? [] : [`checkpoints under way beside these: ${pendingMore}`]),
    ...(queued === 0 ? [] : [`requests for checkpoints and savepoints that wait for their turn: ${queued}`]),
  ];
}

export function describeUnknown({ unknown }: Troubles): string[] {
  return unknown === undefined ? [] : [`whether a checkpoint is under way is not known: ${unknown}`];
}

function describePending(pending: readonly PendingReport[]): string[] {
  return pending.map(
    ({ checkpointId, requested, ageMs, acknowledged, subtasks, missing }) =>
      `checkpoint ${checkpointId} (${requested}) is under way for ${Math.round(ageMs)} ms: ${acknowledged} of ` +
      `${subtasks} subtasks have acknowledged it${describeMissing(missing)}`,
  );
}

function describeAborted(aborted: readonly AbortedCheckpoint[], nowMs: number): string[] {
  return aborted.map(
    ({ checkpointId, requested, detail, startedAtMs, abortedAtMs, acknowledged, missing }) =>
      `checkpoint ${checkpointId} (${requested}) was given up at ${moment(abortedAtMs)} (${age(abortedAtMs, nowMs)} ago) after ` +
      `${abortedAtMs - startedAtMs} ms: ${detail}; ${acknowledged} had acknowledged it${describeMissing(missing)}`,
  );
}

function describeMissing(missing: readonly MissingSubtask[]): string {
  if (missing.length === 0) return "";
  const rows = missing.map(({ subtask, phase, channels }) => [
    "",
    subtask,
    phase,
    channels.length === 0 ? "" : `waits for ${channels.join(", ")}`,
  ]);
  return `\n${table(rows)}`;
}
