/** Kinds of checkpoint requests, and their order (G5). */
import type { CheckpointRequest } from "../../protocol.ts";

export const PERIODIC: CheckpointRequest = { request: "", reason: "periodic", savepoint: null };

export const isPeriodic = ({ reason }: CheckpointRequest): boolean => reason === "periodic";
export const isSavepoint = ({ savepoint }: CheckpointRequest): boolean => savepoint !== null;
/** Repeated until it is served. */
export const isOfTheEnd = ({ reason }: CheckpointRequest): boolean =>
  reason === "final" || reason === "suspend";
/** A client asked for it, and waits for so long only (P49). */
export const isSuspension = ({ reason }: CheckpointRequest): boolean => reason === "suspend";
/** The savepoint that a job stops with. */
export const isOfStop = ({ reason }: Pick<CheckpointRequest, "reason">): boolean =>
  reason === "stop" || reason === "drain";
/** The savepoint that a job is canceled with. */
export const isOfCancel = ({ reason }: CheckpointRequest): boolean => reason === "cancel";
/** Once it is asked for, the interval rests. */
export const endsTheJob = (request: CheckpointRequest): boolean =>
  isOfTheEnd(request) || isOfStop(request) || isOfCancel(request);

function rank(request: CheckpointRequest): number {
  if (isSuspension(request)) return 0;
  if (isSavepoint(request)) return 1;
  return isPeriodic(request) ? 3 : 2;
}

export function enqueued(queue: readonly CheckpointRequest[], added: CheckpointRequest): CheckpointRequest[] {
  const before = queue.filter((request) => rank(request) <= rank(added));
  return [...before, added, ...queue.slice(before.length)];
}
