/** The number of key groups of a job that goes on with state: a pure function. */
import type { GraphPlan } from "../../../machines/protocol.ts";
import { graphFingerprint } from "../fingerprint.ts";

interface Submitted {
  readonly plan: GraphPlan;
  readonly graphFingerprint: string;
  /** false: the user has said no number of key groups. */
  readonly fixesMaxParallelism: boolean;
}

/**
 * The submission with the number of key groups that the state has, unless its user has said another one (Flink's
 * StateAssignmentOperation.checkParallelismPreconditions).
 */
export function withKeyGroupsOf<S extends Submitted>(
  submission: S,
  { maxParallelism }: Pick<GraphPlan, "maxParallelism">,
): S {
  if (submission.fixesMaxParallelism || submission.plan.maxParallelism === maxParallelism) return submission;
  const plan = { ...submission.plan, maxParallelism };
  return { ...submission, plan, graphFingerprint: graphFingerprint(plan) };
}
