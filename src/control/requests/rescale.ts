/** What processes say to each other of the numbers of subtasks (P95). */
import type { GraphPlan, ObjectHandle } from "../../../machines/protocol.ts";

/** The number of subtasks of each operator. */
export interface Parallelism {
  readonly [operator: string]: number;
}

/** The checkpoint that a generation begins with. */
export interface DeployedRestore {
  readonly checkpointId: number;
  readonly manifest: ObjectHandle;
  /** The subtasks that the operators had then. */
  readonly parallelism: Parallelism;
}

/**
 * Other numbers of subtasks for a job that runs. The client sends it again until the answer is its outcome. `request`
 * is random and names it.
 */
export interface RescaleRequest {
  readonly type: "job.rescale";
  readonly job: string;
  readonly request: string;
  /** The number for all operators whose own code says nothing else; null: as they are. */
  readonly parallelism: number | null;
  /** The numbers of single operators. */
  readonly operators: Parallelism;
}

/**
 * What the plan of the job would be with other numbers of subtasks: only a worker has the job's code. The operators
 * that are not named have `parallelism`, or what their own code says.
 */
export interface PlanQuestion {
  readonly type: "worker.plan";
  readonly parallelism: number | null;
  readonly operators: Parallelism;
  readonly maxParallelism: number;
}

/** What a worker answers to `worker.plan`. */
export type PlanAnswer =
  | { readonly answer: "planned"; readonly plan: GraphPlan }
  | { readonly answer: "refused"; readonly reason: string };
