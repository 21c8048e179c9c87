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

/** Header of a dump of a running job: it tells no positions, and so no job begins from the lines behind it. */
export function liveHeader(
  job: string,
  from: ReadFrom,
  { plan, splits }: Pick<JobRecord, "plan" | "splits">,
): DumpHeader {
  const versions: Record<string, Record<string, string>> = {};
  for (const { id, stateVersions = {} } of plan.vertices.flatMap(({ operators }) => operators))
    for (const [state, { version }] of Object.entries(stateVersions))
      if (version !== FIRST_VERSION) versions[id] = { ...versions[id], [state]: version };
  return { tidemark: "state", format: FORMAT, job, from, plan, splits, finished: [], versions };
}

/** undefined: the line is no header. @throws Error saying what is wrong with it */
export function parseHeader(line: unknown): LoadedHeader | undefined {
  if (typeof line !== "object" || line === null || !("tidemark" in line)) return undefined;
  const { tidemark, format } = line as { readonly tidemark: unknown; readonly format?: unknown };
  if (tidemark !== "state") throw new Error('the first line is no header of "tidemark state dump"');
  if (format !== FORMAT)
    throw new Error(`it has format ${JSON.stringify(format)}, and this version of Tidemark reads ${FORMAT}`);
  if ((line as { readonly from?: { readonly kind?: unknown } }).from?.kind === "live")
    throw new Error(
      "it was dumped with --live, and tells no positions, timers or windows, and of each key group another moment: dump a checkpoint or a savepoint, or take the header away, so that a new job begins with these values",
    );
  const problem = problemIn(schema, line);
  if (problem !== undefined) throw new Error(`its header cannot be read: ${problem}`);
  return line as unknown as LoadedHeader;
}
