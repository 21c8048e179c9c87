/**
 * Failed checkpoints in a row as an onlooker counts them, from what the checkpointing actor is told and tells the job.
 */
import type { AbortReason, CheckpointRequest } from "../../../../machines/protocol.ts";
import type { CompositionState } from "../../composition.ts";
import type { Event } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import { isHeld } from "../held-actors.ts";

export interface FailureStreak {
  readonly failures: number;
  readonly lastCompleted: number;
  /** Failures that the job has yet to hear of; below 0: it was told of one that was tolerated. */
  readonly owed: number;
}

export const noFailures: FailureStreak = { failures: 0, lastCompleted: 0, owed: 0 };

/** Flink's CheckpointFailureManager: neither what the job's own end gave up nor what a newer one has made needless. */
const COUNTED: readonly AbortReason[] = [
  "expired",
  "declined",
  "async-exception",
  "io-exception",
  "finalize-failure",
];
const COUNTED_OF_SAVEPOINTS: readonly AbortReason[] = ["declined", "async-exception"];

interface CheckpointEnded extends Event {
  readonly checkpointId: number;
  readonly reason?: AbortReason;
}

interface Pending {
  readonly checkpointId: number;
  readonly request: CheckpointRequest;
}

/** When `told` reaches checkpointing. What ends behind its generation is of no concern any more. */
export function afterEnd(
  streak: FailureStreak,
  state: CompositionState,
  told: Event,
  tolerable: number,
): FailureStreak {
  const checkpointing = state.actors.get("checkpointing")?.snapshot;
  if (checkpointing === undefined || isHeld(state, "checkpointing")) return streak;
  if (!leaves(checkpointing).some((leaf) => leaf.startsWith("running."))) return streak;
  const { checkpointId, reason } = told as CheckpointEnded;
  const { pending } = checkpointing.context as { readonly pending: readonly Pending[] };
  const request = pending.find((one) => one.checkpointId === checkpointId)?.request;
  if (request === undefined) return streak;
  if (told.type === "checkpoint.completed")
    return { ...streak, failures: 0, lastCompleted: Math.max(streak.lastCompleted, checkpointId) };
  const counted = request.savepoint === null ? COUNTED : COUNTED_OF_SAVEPOINTS;
  if (reason === undefined || !counted.includes(reason) || checkpointId <= streak.lastCompleted)
    return streak;
  if (streak.failures === tolerable) return { ...streak, failures: 0, owed: streak.owed + 1 };
  return { ...streak, failures: streak.failures + 1 };
}
