/** `tidemark submit`, `cancel`: requests to the leading coordinator. */
import type { Command } from "commander";
import { loadJob } from "../../job/load.ts";
import { describePlan } from "../../job/plan.ts";
import { prepareJob, submissionOf } from "../assembly.ts";
import { addConfigOptions, type ConfigFlags, messagesOf, overridesOf } from "../options.ts";
import { exitCodeHelp } from "../report-error.ts";
import { addClientOptions, type ClientFlags, checkJobName, clientOf, print, withView } from "./client.ts";

export function requestCommands(program: Command): void {
  addConfigOptions(addClientOptions(program.command("submit")))
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
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "the job is being canceled"),
    )
    .action(cancel);
}

async function submit(
  path: string,
  flags: ClientFlags & ConfigFlags & { readonly fresh?: boolean },
): Promise<void> {
  const prepared = prepareJob(await loadJob(path), overridesOf(flags));
  await withView(flags, async (view) => {
    const submission = await submissionOf(prepared, {
      job: prepared.job.name,
      logger: messagesOf(flags, "client"),
      nats: view.nats,
    });
    await clientOf(view, flags).submit(submission, flags.fresh === true);
    const { job } = submission;
    print(
      flags,
      { job, submitted: true },
      `${describePlan(prepared.plan, prepared.config)}\n\njob ${job} is submitted`,
    );
  });
}

async function cancel(job: string, flags: ClientFlags): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    await clientOf(view, flags).cancel(job);
    print(flags, { job, canceling: true }, `job ${job} is being canceled`);
  });
}
