/** The first line of a dump: what the lines behind it are of, and what a job needs to know that takes them. */
import { z } from "zod";
import type { GraphPlan, JobRecord, SubtaskName } from "../../../machines/protocol.ts";
import { plan, splits } from "../../formats/job.ts";
import { problemIn, text, texts } from "../../formats/shape.ts";
import { FIRST_VERSION } from "../../state/versions/state-version.ts";
import type { ReadFrom, StateSource } from "./state-source.ts";

const FORMAT = 1;

/** What `state load` reads of it. */
export interface LoadedHeader {
  readonly plan: GraphPlan;
  readonly splits: JobRecord["splits"];
  /** The subtasks that had processed all of their input. */
  readonly finished: readonly SubtaskName[];
  /** The versions of states, by operator and state, of those that are not "1". */
  readonly versions: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

export interface DumpHeader extends LoadedHeader {
  readonly tidemark: "state";
  readonly format: number;
  readonly job: string;
  readonly from: ReadFrom;
}

const schema = z.object({
  plan,
  splits,
  finished: texts,
  versions: z.record(text, z.record(text, text)),
});

export function headerOf({ job, from, plan, splits, manifest }: StateSource): DumpHeader {
  const finished = manifest.subtasks.filter((one) => one.finished).map(({ subtask }) => subtask);
  const versions: Record<string, Record<string, string>> = {};
  for (const handle of manifest.subtasks.flatMap(({ states }) => states)) {
    if ((handle.version ?? FIRST_VERSION) === FIRST_VERSION) continue;
    const ofOperator = versions[handle.operator] ?? {};
    versions[handle.operator] = ofOperator;
    ofOperator[handle.state] = handle.version!;
  }
  return { tidemark: "state", format: FORMAT, job, from, plan, splits, finished, versions };
}

/** undefined: the line is no header. @throws Error saying what is wrong with it */
export function parseHeader(line: unknown): LoadedHeader | undefined {
  if (typeof line !== "object" || line === null || !("tidemark" in line)) return undefined;
  const { tidemark, format } = line as { readonly tidemark: unknown; readonly format?: unknown };
  if (tidemark !== "state") throw new Error('the first line is no header of "tidemark state dump"');
  if (format !== FORMAT)
    throw new Error(`it has format ${JSON.stringify(format)}, and this version of Tidemark reads ${FORMAT}`);
  const problem = problemIn(schema, line);
  if (problem !== undefined) throw new Error(`its header cannot be read: ${problem}`);
  return line as unknown as LoadedHeader;
}
