/** The state that a job starts with, in `run` and `restore`: the options that name it, and what is said of it. */
import { hostname } from "node:os";
import type { Command } from "commander";
import type { JobSubmission, RestoreRequest } from "../../control/messages.ts";
import { ConfigurationError, RequestRefusedError } from "../../errors.ts";
import { table } from "../../job/plan.ts";
import { withKeyGroupsOf } from "../../job/restore/key-groups.ts";
import { planRestore, type RestorePlan } from "../../job/restore/restore-plan.ts";
import { readRecord } from "../../runtime/leader/records/stored-record.ts";
import { type RestorableState, readRestorable } from "../../runtime/leader/submissions/fork.ts";
import type { ClusterView } from "../assembly.ts";
import { checkPlace } from "../commands/client.ts";
import { counted } from "../output/text.ts";

export interface RestoringFlags {
  readonly from?: string;
  readonly claim?: boolean;
  readonly drop?: readonly string[];
  readonly writeAgain?: boolean;
  readonly dryRun?: boolean;
}

/** Where stored state is looked for. */
export type StateAccess = Pick<ClusterView, "findRecords" | "findStorage" | "openStorage">;

const FROM = "--from <location>";
const FROM_IS = "what savepoint or stop has printed, or checkpoint:<job>[/<id>]";

/** @param from whether the state must be named, or the job may go on with what it has */
export function addRestoringOptions(command: Command, from: "required" | "optional"): Command {
  const named =
    from === "required"
      ? command.requiredOption(FROM, FROM_IS)
      : command.option(FROM, `begin with the state of a savepoint or checkpoint: ${FROM_IS}`);
  return named
    .option(
      "--claim",
      "the savepoint is the job's from now on: deleted once a checkpoint of its own is complete",
    )
    .option(
      "--drop <operator>",
      "give up the state of this operator, repeatable",
      (operator: string, all: readonly string[] | undefined) => [...(all ?? []), operator],
    )
    .option(
      "--write-again",
      "of a savepoint that its job went back behind: write what it holds for the sinks, which may then be there twice",
    )
    .option("--dry-run", "only show what would be restored, or why it would be refused");
}

/** null: nothing is asked for. @throws ConfigurationError for a place that cannot be one, and for options without it */
export function restoreRequestOf({
  from,
  claim,
  drop,
  writeAgain,
  dryRun,
}: RestoringFlags): RestoreRequest | null {
  if (from === undefined) {
    const options = { "--claim": claim, "--drop": drop, "--write-again": writeAgain, "--dry-run": dryRun };
    const idle = Object.entries(options).find(([, given]) => given)?.[0];
    if (idle !== undefined)
      throw new ConfigurationError("from", `${idle} is about the state that --from names: give --from, too`);
    return null;
  }
  checkPlace("--from", from);
  return {
    location: from,
    mode: claim === true ? "claim" : "no-claim",
    drop: drop ?? [],
    writeAgain: writeAgain === true,
  };
}

/** What a restore would come to, as far as this process can read the state. */
export interface RestoreLook {
  /** As JSON. */
  readonly value: unknown;
  /** The fate of each operator, and the notes. */
  readonly text: string;
  /** What becomes of values and windows where the job has changed. */
  readonly notes: readonly string[];
}

/** A text: why the state cannot be read here. The coordinator may see more. */
export async function lookAtRestore(
  access: StateAccess,
  { location, drop }: RestoreRequest,
  submission: Pick<JobSubmission, "plan" | "splits" | "graphFingerprint" | "fixesMaxParallelism">,
): Promise<RestoreLook | string> {
  const found = await findState(access, location);
  if (typeof found === "string") return found;
  const { plan, splits } = withKeyGroupsOf(submission, found.plan);
  const restore = planRestore(found, plan, drop, splits);
  const { checkpointId, job } = found.manifest;
  return {
    value: { from: location, job, checkpointId, drained: found.drained, ...restore },
    text: describe(restore),
    notes: restore.notes,
  };
}

export const unseenText = (job: string, look: string): string =>
  `job ${job} would be restored; what of it cannot be shown here: ${look}`;

function describe({ operators, notes }: RestorePlan): string {
  const rows = table([
    ["operator", "", "finished", "state", "bytes"],
    ...operators.map(({ operator, fate, finished, states, bytes }) => [
      operator,
      fate,
      finished === 0 ? "" : counted(finished, "subtask"),
      states.join(", "),
      String(bytes),
    ]),
  ]);
  return [rows, ...notes].join("\n");
}

async function findState(access: StateAccess, location: string): Promise<RestorableState | string> {
  const records = await access.findRecords();
  try {
    return await readRestorable(location, {
      findStorage: access.findStorage,
      openStorage: access.openStorage,
      host: hostname(),
      recordOf: async (job) => (await readRecord(records, job))?.record,
    });
  } catch (error) {
    if (error instanceof RequestRefusedError) return error.message;
    throw error;
  }
}
