/** `tidemark savepoint`, `stop`, `restore`: snapshots that belong to their users. */
import type { Command } from "commander";
import type { Unfinished } from "../../../machines/protocol.ts";
import type { RestoreRequest } from "../../control/messages.ts";
import { describeError } from "../../errors.ts";
import { unfinishedInWords, unfinishedOf } from "../../runtime/leader/report/unfinished.ts";
import { type ClusterView, createClient } from "../assembly.ts";
import { addConfigOptions } from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { addGapOptions, describeGaps } from "../submission/gaps.ts";
import {
  addRestoringOptions,
  lookAtRestore,
  type RestoringFlags,
  restoreRequestOf,
  unseenText,
} from "../submission/restoring.ts";
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

interface RestoreFlags extends SubmitFlags, RestoringFlags {
  readonly from: string;
}

/** For a leader that tells what is open. */
const LOOK_MS = 3000;
const TO =
  "directory (an absolute path), nats:<bucket> or s3://<bucket>/<prefix>; default: checkpointing.savepointDirectory of the job";

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
    .option(
      "--drain",
      "end all sources first, as if their input did: windows and timers that are open are cut short, and listed; no job can go on from the savepoint",
    )
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the job has stopped"),
    )
    .action((job: string, flags: SavepointFlags) =>
      take(job, flags, flags.drain === true ? "drain" : "stop"),
    );
  addRestoringOptions(
    addGapOptions(addConfigOptions(addClientOptions(program.command("restore"))))
      .description("start a job with the state of a savepoint or of a checkpoint that a job has left")
      .argument("<job>", "TypeScript or JavaScript file that exports a job by default"),
    "required",
  )
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
    const drained = followedBy === "drain";
    const unfinished = drained ? await tellUnfinished(view, flags, job) : [];
    const { checkpointId, location } = await takeSavepoint(view, flags, job, followedBy);
    const stopped = followedBy !== "go-on";
    const text = stopped ? `job ${job} has stopped with savepoint ${location}` : `savepoint ${location}`;
    print(flags, { job, checkpointId, location, stopped, drained, ...(drained && { unfinished }) }, text);
  });
}

/** Says what a drain cuts short, before it does. Whether there is such a job the request itself tells. */
async function tellUnfinished(
  view: ClusterView,
  flags: SavepointFlags,
  job: string,
): Promise<readonly Unfinished[]> {
  const report = await createClient(view, LOOK_MS)
    .status(job)
    .catch(() => undefined);
  const unfinished = unfinishedOf(report?.subtasks ?? []);
  if (unfinished.length > 0 && flags.json !== true)
    writeMessage(
      `warning: --drain ends the input of job ${job}, so these give what they have by now, and no job goes on from the savepoint:\n` +
        `${unfinished.map((one) => `  - ${unfinishedInWords(one)}`).join("\n")}\n` +
        "Without --drain they stay open in the savepoint",
    );
  return unfinished;
}

async function restore(path: string, flags: RestoreFlags): Promise<void> {
  const request = restoreRequestOf(flags)!;
  if (flags.dryRun === true)
    return withSubmission(path, flags, { dryRun: true }, (made) => rehearse(made, flags, request));
  await handIn(path, flags, request, async ({ view, submission }) => {
    // What cannot be read here the leader may be able to read.
    const look = await lookAtRestore(view, request, submission).catch(describeError);
    const notes = typeof look === "string" ? [] : look.notes;
    return {
      value: { job: submission.job, submitted: true, from: flags.from, notes },
      text: [`job ${submission.job} is submitted, restored from ${flags.from}`, ...notes].join("\n"),
    };
  });
}

/** The table is of what is seen from here; whether it would be restored, the leader says. */
async function rehearse(made: MadeSubmission, flags: RestoreFlags, request: RestoreRequest): Promise<void> {
  const { view, submission } = made;
  const look = await lookAtRestore(view, request, submission);
  if (typeof look !== "string")
    print(flags, look.value, [look.text, ...describeGaps(submission.splits)].join("\n"));
  await clientOf(view, flags).rehearse(submission, flags.fresh === true, request);
  if (typeof look === "string")
    print(flags, { from: flags.from, unseen: look }, unseenText(submission.job, look));
}
