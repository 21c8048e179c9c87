/** `tidemark submit`, `cancel`: requests to the leading coordinator. */

import type { Command } from "commander";
import { regionsOf } from "../../../machines/leader/regions.ts";
import { Wish } from "../../control/client.ts";
import type { JobSubmission, RestoreRequest } from "../../control/messages.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import { ConfigurationError } from "../../errors.ts";
import { describePlan } from "../../job/plan.ts";
import { type ClusterView, type PreparedJob, prepareSubmission, warnOfCaptures } from "../assembly.ts";
import { addConfigOptions, type ConfigFlags, messagesOf, overridesOf } from "../options.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { interruptible } from "../process/interruption.ts";
import { readJob, recordsOf } from "../stored/retained.ts";
import { addGapOptions, describeGaps, type GapFlags } from "../submission/gaps.ts";
import { loadJobFile } from "../submission/job-file.ts";
import { sayingWhatStays } from "../submission/made-before.ts";
import { earlierRun } from "../submission/prerequisites.ts";
import { submissionOf } from "../submission/submission.ts";
import { tellSeen, untilCanceled } from "./canceled.ts";
import {
  addClientOptions,
  type ClientFlags,
  checkJobName,
  checkPlace,
  clientOf,
  ofLeader,
  print,
  withView,
} from "./client.ts";
import { takeSavepoint } from "./take-savepoint.ts";

export function requestCommands(program: Command): void {
  addGapOptions(addConfigOptions(addClientOptions(program.command("submit"))))
    .description("hand a job to the leading coordinator; workers for it are started apart")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .option("--fresh", "start over: drop the state of an earlier run")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the job is submitted"),
    )
    .action(submit);
  addClientOptions(program.command("cancel"))
    .description("end a job: what was decided is committed, its state is dropped")
    .argument("<job>", "name of the job")
    .option("--with-savepoint", "take a savepoint first; if that fails, the job goes on")
    .option(
      "--to <place>",
      "where the savepoint goes: a directory (an absolute path), nats:<bucket> or s3://<bucket>/<prefix>",
    )
    .addHelpText(
      "after",
      exitCodeHelp(
        ["ok", "usage", "environment", "refused", "bug"],
        "the job is canceled, and what was decided is committed",
      ),
    )
    .action(cancel);
}

async function submit(path: string, flags: SubmitFlags): Promise<void> {
  await handIn(path, flags, null, ({ prepared: { job, plan, config } }) => ({
    value: { job: job.name, submitted: true },
    text: `${describePlan(plan, config, regionsOf(plan))}\n\njob ${job.name} is submitted`,
  }));
}

export interface SubmitFlags extends ClientFlags, ConfigFlags, GapFlags {
  readonly fresh?: boolean;
}

/** What is printed of a submission. */
export interface Said {
  readonly value: unknown;
  readonly text: string;
}

/**
 * Hands the job in the file to the leader, restored from somewhere if that is asked for.
 *
 * @param say called before that, and printed behind it
 */
export async function handIn(
  path: string,
  flags: SubmitFlags,
  restore: RestoreRequest | null,
  say: (made: MadeSubmission) => Said | Promise<Said>,
): Promise<void> {
  const resumes = flags.fresh !== true && restore === null;
  await withSubmission(path, flags, { resumes }, async (made) => {
    const { view, submission } = made;
    const { job } = submission;
    const { value, text } = await say(made);
    await interruptible(
      () => `job ${job} may be submitted or not: "tidemark status ${job}" shows it`,
      () =>
        sayingWhatStays(submission, () =>
          clientOf(view, flags).submit(submission, flags.fresh === true, restore),
        ),
    );
    print(flags, value, [text, ...describeGaps(submission.splits)].join("\n"));
  });
}

/** All that the leader is told of the job in a file. */
export interface MadeSubmission {
  readonly view: ClusterView;
  readonly prepared: PreparedJob;
  readonly submission: JobSubmission;
}

/** @param about `resumes`: the job would go on with the state that it has, if it has any */
export async function withSubmission(
  path: string,
  flags: SubmitFlags,
  about: Pick<ConnectorEnvironment, "dryRun" | "resumes">,
  work: (made: MadeSubmission) => Promise<void>,
): Promise<void> {
  const prepared = prepareSubmission(await loadJobFile(path), overridesOf(flags));
  const logger = messagesOf(flags, "client");
  for (const warning of prepared.warnings) logger.warn({}, warning);
  await withView(
    flags,
    async (view) => {
      await warnOfCaptures(view, logger);
      const { troubles, nats } = view;
      const job = prepared.job.name;
      const earlier =
        about.resumes === true ? await earlierRun(await view.findRecords(), view.recordBucket, job) : {};
      const environment = { job, logger, troubles, nats, ...about, resumes: false, ...earlier };
      const submission = await submissionOf(prepared, environment, await view.describeStorage(), flags);
      await work({ view, prepared, submission });
    },
    prepared.config.checkpointing.storage,
  );
}

async function cancel(job: string, flags: CancelFlags): Promise<void> {
  checkJobName(job);
  if (flags.to !== undefined && flags.withSavepoint !== true)
    throw new ConfigurationError("to", "--to says where a savepoint goes: it needs --with-savepoint");
  if (flags.to !== undefined) checkPlace("--to", flags.to);
  await withView(flags, async (view) => {
    if (flags.withSavepoint !== true) {
      const dispose = await canceled(view, flags, job);
      const text = `job ${job} is canceled${dispose === null ? "" : `; its last checkpoints stay until "${dispose}"`}`;
      return print(flags, { job, canceled: true, dispose }, text);
    }
    const { checkpointId, location } = await takeSavepoint(view, flags, job, "cancel");
    const dispose = await disposalOf(view, job);
    const stays = dispose === null ? "" : `; its last checkpoints stay until "${dispose}"`;
    const text = `job ${job} is canceled; its savepoint is ${location}${stays}`;
    print(flags, { job, canceled: true, checkpointId, location, dispose }, text);
  });
}

/** Answers the command that deletes what the canceled job keeps; null: it keeps nothing. */
async function canceled(view: ClusterView, flags: ClientFlags, job: string): Promise<string | null> {
  let isTaken = false;
  const wish = new Wish();
  const cancelation = async (): Promise<string | null> => {
    await ofLeader(view, job, "cancel", () => clientOf(view, flags).cancel(job, wish));
    isTaken = true;
    try {
      await untilCanceled(view, job, wish);
      return await disposalOf(view, job);
    } finally {
      await tellSeen(view, job, wish);
    }
  };
  return interruptible(
    () =>
      `${isTaken ? `job ${job} is canceled all the same` : `no coordinator has answered yet, so job ${job} may be canceled or not`}: "tidemark status ${job}" shows it`,
    cancelation,
  );
}

/** The command that deletes what the canceled job keeps; null: it keeps nothing. */
async function disposalOf(view: ClusterView, job: string): Promise<string | null> {
  const { checkpointing } = await readJob(await recordsOf(view, job), job);
  return checkpointing.retention === "retain-on-cancellation" ? `tidemark dispose checkpoint:${job}` : null;
}

interface CancelFlags extends ClientFlags {
  readonly withSavepoint?: boolean;
  readonly to?: string;
}
