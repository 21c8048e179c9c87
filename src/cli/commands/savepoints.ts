/** `tidemark savepoint`, `stop`, `restore`: snapshots that belong to their users. */
import { hostname } from "node:os";
import type { Command } from "commander";
import type { RestoreRequest } from "../../control/messages.ts";
import { describeError, RequestRefusedError } from "../../errors.ts";
import { table } from "../../job/plan.ts";
import { planRestore, type RestorePlan } from "../../job/restore/restore-plan.ts";
import { readRecord } from "../../runtime/leader/records/stored-record.ts";
import { type RestorableState, readRestorable } from "../../runtime/leader/submissions/fork.ts";
import type { ClusterView } from "../assembly.ts";
import { addConfigOptions } from "../options.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { counted } from "../output/text.ts";
import { addGapOptions, describeGaps } from "../submission/gaps.ts";
import {
  addClientOptions,
  type ClientFlags,
  checkJobName,
  checkPlace,
  clientOf,
  print,
  withView,
} from "./client.ts";
import { handIn, type MadeSubmission, type SubmitFlags, withSubmission } from "./requests.ts";
import { takeSavepoint } from "./take-savepoint.ts";

interface SavepointFlags extends ClientFlags {
  readonly to?: string;
  readonly drain?: boolean;
}

interface RestoreFlags extends SubmitFlags {
  readonly from: string;
  readonly claim?: boolean;
  readonly drop: readonly string[];
  readonly writeAgain?: boolean;
  readonly dryRun?: boolean;
}

const TO =
  "directory (an absolute path) or nats:<bucket>; default: checkpointing.savepointDirectory of the job";

export function savepointCommands(program: Command): void {
  addClientOptions(program.command("savepoint"))
    .description("take a savepoint of a job, which goes on; prints its location")
    .argument("<job>", "name of the job")
    .option("--to <place>", TO)
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the savepoint is complete"),
    )
    .action((job: string, flags: SavepointFlags) => take(job, flags, "go-on"));
  addClientOptions(program.command("stop"))
    .description(
      "stop a job with a savepoint: its transactions are committed, and another job can go on from it",
    )
    .argument("<job>", "name of the job")
    .option("--to <place>", TO)
    .option("--drain", "end all sources first, as if their input did; no job can go on from the savepoint")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the job has stopped"),
    )
    .action((job: string, flags: SavepointFlags) =>
      take(job, flags, flags.drain === true ? "drain" : "stop"),
    );
  addGapOptions(addConfigOptions(addClientOptions(program.command("restore"))))
    .description("start a job with the state of a savepoint or of a checkpoint that a job has left")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .requiredOption("--from <location>", "what savepoint or stop has printed, or checkpoint:<job>[/<id>]")
    .option(
      "--claim",
      "the savepoint is the job's from now on: deleted once a checkpoint of its own is complete",
    )
    .option(
      "--drop <operator>",
      "give up the state of this operator, repeatable",
      (operator: string, all: readonly string[]) => [...all, operator],
      [] as readonly string[],
    )
    .option(
      "--write-again",
      "of a savepoint that its job went back behind: write what it holds for the sinks, which may then be there twice",
    )
    .option("--dry-run", "only show what would be restored, or why it would be refused")
    .option("--fresh", "also when the job of this name could be resumed by itself")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the job is submitted"),
    )
    .action(restore);
}

async function take(
  job: string,
  flags: SavepointFlags,
  followedBy: "go-on" | "stop" | "drain",
): Promise<void> {
  checkJobName(job);
  if (flags.to !== undefined) checkPlace("--to", flags.to);
  await withView(flags, async (view) => {
    const { checkpointId, location } = await takeSavepoint(view, flags, job, followedBy);
    const stopped = followedBy !== "go-on";
    const text = stopped ? `job ${job} has stopped with savepoint ${location}` : `savepoint ${location}`;
    print(flags, { job, checkpointId, location, stopped, drained: followedBy === "drain" }, text);
  });
}

async function restore(path: string, flags: RestoreFlags): Promise<void> {
  checkPlace("--from", flags.from);
  const request = {
    location: flags.from,
    mode: flags.claim === true ? "claim" : "no-claim",
    drop: flags.drop,
    writeAgain: flags.writeAgain === true,
  } as const;
  if (flags.dryRun === true)
    return withSubmission(path, flags, { dryRun: true }, (made) => rehearse(made, flags, request));
  await handIn(path, flags, request, async ({ view, prepared, submission }) => {
    // What cannot be read here the leader may be able to read.
    const found = await look(view, flags.from).catch(describeError);
    const notes =
      typeof found === "string" ? [] : planRestore(found, prepared.plan, flags.drop, submission.splits).notes;
    return {
      value: { job: submission.job, submitted: true, from: flags.from, notes },
      text: [`job ${submission.job} is submitted, restored from ${flags.from}`, ...notes].join("\n"),
    };
  });
}

/** The table is of what is seen from here; whether it would be restored, the leader says. */
async function rehearse(made: MadeSubmission, flags: RestoreFlags, request: RestoreRequest): Promise<void> {
  const { view, prepared, submission } = made;
  const found = await look(view, flags.from);
  if (typeof found !== "string") {
    const plan = planRestore(found, prepared.plan, flags.drop, submission.splits);
    const { checkpointId, job } = found.manifest;
    const value = { from: flags.from, job, checkpointId, drained: found.drained, ...plan };
    print(flags, value, [describe(plan), ...describeGaps(submission.splits)].join("\n"));
  }
  await clientOf(view, flags).rehearse(submission, flags.fresh === true, request);
  if (typeof found === "string")
    print(
      flags,
      { from: flags.from, unseen: found },
      `job ${submission.job} would be restored; what of it cannot be shown here: ${found}`,
    );
}

/** A text: why it cannot be read here. The coordinator may see more. */
async function look(view: ClusterView, from: string): Promise<RestorableState | string> {
  const records = await view.findRecords();
  try {
    return await readRestorable(from, {
      findStorage: view.findStorage,
      openStorage: view.openStorage,
      host: hostname(),
      recordOf: async (job) => (await readRecord(records, job))?.record,
    });
  } catch (error) {
    if (error instanceof RequestRefusedError) return error.message;
    throw error;
  }
}

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
