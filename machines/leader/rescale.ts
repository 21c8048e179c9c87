/**
 * What a rescale makes of the job record (P95): pure functions.
 *
 * - RZ1 One change decides: the record has the new plan, and keeps the former one for the checkpoints that were taken
 *   of it. No generation of the former plan decides anything after it.
 * - RZ2 The former plan is the job's again if no generation of the new one comes to run; a checkpoint of the new one
 *   decides that it stays.
 * - RZ3 A former plan is forgotten with the last checkpoint that was taken of it.
 */
import type { CompletedCheckpoint, GraphPlan, JobRecord, RescaleEntry } from "../protocol.ts";

export interface RescaleChange {
  readonly change: "rescale";
  readonly request: string;
  readonly plan: GraphPlan;
  /** The latest checkpoint, which was found to fit the plan. */
  readonly completed: number;
  readonly atMs: number;
}

export type Rescaled = { readonly record: JobRecord } | { readonly refused: string };

/** The plan that a retained checkpoint was taken of. */
export function planOfCheckpoint({ plan, formerPlans }: JobRecord, checkpointId: number): GraphPlan {
  return formerPlans.find(({ upTo }) => checkpointId <= upTo)?.plan ?? plan;
}

/** The number of subtasks of each operator: what a worker builds the graph with. */
export function parallelismOf({ vertices }: GraphPlan): { readonly [operator: string]: number } {
  return Object.fromEntries(
    vertices.flatMap(({ parallelism, operators }) => operators.map(({ id }) => [id, parallelism])),
  );
}

export function isPending({ rescale }: Pick<JobRecord, "rescale">): boolean {
  return rescale?.state === "pending";
}

/** RZ1 */
export function rescaled(record: JobRecord, { request, plan, completed, atMs }: RescaleChange): Rescaled {
  if (record.status !== "running") return { refused: `the job is ${record.status}` };
  if (isPending(record)) return { refused: "another rescale has begun and no subtask of it has run yet" };
  if (record.checkpoints.at(-1)?.checkpointId !== completed)
    return { refused: "another checkpoint was decided meanwhile" };
  const { submittedPlan = record.plan } = record;
  return {
    record: {
      ...record,
      ...withPlan(record, plan),
      formerPlans: [...record.formerPlans, { plan: record.plan, upTo: completed }],
      submittedPlan,
      rescale: { request, state: "pending", reason: "", atMs },
    },
  };
}

/** A generation of the new plan runs, or the job ends under it. */
export function rescaleDone(record: JobRecord): JobRecord {
  return isPending(record) ? { ...record, rescale: { ...record.rescale!, state: "done" } } : record;
}

/** RZ2 */
export function rescaleUndone(record: JobRecord, reason: string, atMs: number): Rescaled {
  const former = record.formerPlans.at(-1);
  if (!isPending(record) || former === undefined)
    return { refused: "a generation of the new plan has run already" };
  if (record.status !== "running") return { refused: `the job is ${record.status}` };
  const rescale: RescaleEntry = { ...record.rescale!, state: "failed", reason, atMs };
  const formerPlans = record.formerPlans.slice(0, -1);
  return { record: { ...record, ...withPlan(record, former.plan), formerPlans, rescale } };
}

/** RZ3 */
export function neededPlans(
  { formerPlans }: JobRecord,
  retained: readonly CompletedCheckpoint[],
): JobRecord["formerPlans"] {
  const [oldest] = retained;
  return formerPlans.filter(({ upTo }) => oldest !== undefined && oldest.checkpointId <= upTo);
}

/** A generation that nothing is deployed for: what the ones before it have under way is decided no more (RC1). */
function withPlan(record: JobRecord, plan: GraphPlan) {
  const generation = record.generation + 1;
  return { plan, generation, generations: [], planSince: generation };
}
