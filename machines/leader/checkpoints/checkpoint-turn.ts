/**
 * The next request whose turn it is: what may begin, what is held back and what is refused, as pure functions of what
 * checkpointing.ts knows (G5, G6, G8, G9).
 */

import type { CheckpointRequest } from "../../protocol.ts";
import {
  isOfCancel,
  isOfStop,
  isOfTheEnd,
  isPeriodic,
  isSavepoint,
  isSuspension,
} from "./checkpoint-requests.ts";

/** What holds checkpoints back that are due (G6, G9). */
export type Hold = "some-subtasks-ended" | "cleanup";

export interface Pending {
  readonly checkpointId: number;
  readonly request: CheckpointRequest;
}

/** The part of the machine's context that decides whose turn it is. */
interface Turn {
  readonly queue: readonly CheckpointRequest[];
  readonly pending: readonly Pending[];
  readonly maxConcurrent: number;
  readonly cleaning: number;
  readonly forcesSavepoints: boolean;
  readonly savepointsMax: number;
  readonly partlyEnded: boolean;
  readonly pausing: boolean;
  readonly retrying: boolean;
}

export function isKnown({ queue, pending }: Turn, asked: CheckpointRequest): boolean {
  const same = ({ request, reason }: CheckpointRequest) =>
    request === asked.request && reason === asked.reason;
  // A checkpoint that is under way does not serve the end of the job: its barriers left before.
  return queue.some(same) || (asked.request !== "" && pending.some((one) => same(one.request)));
}

export function holdOf({ partlyEnded, cleaning, maxConcurrent }: Turn): Hold | null {
  if (partlyEnded) return "some-subtasks-ended";
  return cleaning > maxConcurrent ? "cleanup" : null;
}

export const isRefused = ({ partlyEnded }: Turn, request: CheckpointRequest): boolean =>
  partlyEnded && !isOfTheEnd(request);

export function isStartable(context: Turn): boolean {
  const { queue, pending, maxConcurrent, cleaning, pausing, retrying } = context;
  const [next] = queue;
  if (next === undefined || cleaning > maxConcurrent) return false;
  // What was decided behind it would be committed, and the savepoint would not have it (P38).
  if (pending.some(({ request }) => isOfStop(request) || (isOfCancel(request) && !isSuspension(next))))
    return false;
  if ((pausing && isPeriodic(next)) || (retrying && isOfTheEnd(next))) return false;
  const savepoints = pending.filter(({ request }) => isSavepoint(request)).length;
  const free = (counted: number) => counted < maxConcurrent;
  const { forcesSavepoints, savepointsMax } = context;
  if (isSavepoint(next)) return savepoints < savepointsMax && (forcesSavepoints || free(pending.length));
  return free(isSuspension(next) && forcesSavepoints ? pending.length - savepoints : pending.length);
}
