/** The first line of a dump: what the lines behind it are of, and what a job needs to know that takes them. */
import type { GraphPlan, JobRecord, SubtaskName } from "../../../machines/protocol.ts";
import type { ReadFrom, StateSource } from "./state-source.ts";

const FORMAT = 1;

export interface DumpHeader {
  readonly tidemark: "state";
  readonly format: number;
  readonly job: string;
  readonly from: ReadFrom;
  readonly plan: GraphPlan;
  readonly splits: JobRecord["splits"];
  /** The subtasks that had processed all of their input. */
  readonly finished: readonly SubtaskName[];
}

export function headerOf({ job, from, plan, splits, manifest }: StateSource): DumpHeader {
  const finished = manifest.subtasks.filter((one) => one.finished).map(({ subtask }) => subtask);
  return { tidemark: "state", format: FORMAT, job, from, plan, splits, finished };
}
