/** `tidemark list`, `status`, `describe`: which jobs there are, how one is doing, what one is. */
import type { Command } from "commander";
import { phaseInWords, subtaskStateInWords } from "../../../machines/words.ts";
import type { JobReport } from "../../control/messages.ts";
import { RequestRefusedError } from "../../errors.ts";
import type { ClusterView } from "../assembly.ts";
import { describeSkipped } from "../gaps.ts";
import { exitCodeHelp } from "../report-error.ts";
import { describeJob, describeJobs, detailOf, summaryOf } from "../stored/job-detail.ts";
import { readJob, readJobs } from "../stored/retained.ts";
import { age } from "../text.ts";
import { addClientOptions, type ClientFlags, checkJobName, clientOf, print, withView } from "./client.ts";

export function jobCommands(program: Command): void {
  addClientOptions(program.command("list"))
    .description("list all jobs, ended ones as well; needs no coordinator")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "bug"], "listed, also when there is no job"),
    )
    .action(list);
  addClientOptions(program.command("status"))
    .description("show how one job is doing, as its coordinator tells it, or list all")
    .argument("[job]", "name of the job")
    .addHelpText("after", exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "shown"))
    .action(status);
  addClientOptions(program.command("describe"))
    .description("show what a job is: graph, options, input, retained checkpoints; needs no coordinator")
    .argument("<job>", "name of the job")
    .addHelpText("after", exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "shown"))
    .action(describe);
}

async function list(flags: ClientFlags): Promise<void> {
  await withView(flags, (view) => listJobs(view, flags));
}

async function listJobs(view: ClusterView, flags: ClientFlags): Promise<void> {
  const jobs = (await readJobs(await view.findRecords())).map(summaryOf);
  print(flags, { jobs }, describeJobs(jobs, Date.now()));
}

async function status(job: string | undefined, flags: ClientFlags): Promise<void> {
  if (job !== undefined) checkJobName(job);
  await withView(flags, async (view) => {
    if (job === undefined) return listJobs(view, flags);
    // A job that nobody knows is told at once, and without a coordinator.
    await readJob(await view.findRecords(), job);
    const report = await clientOf(view, flags).status(job);
    if (report === undefined)
      throw new RequestRefusedError(`there is no job ${job}; "tidemark list" lists the jobs`);
    print(flags, report, describeReport(report));
  });
}

async function describe(job: string, flags: ClientFlags): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    const record = await readJob(await view.findRecords(), job);
    print(flags, detailOf(record), describeJob(record, Date.now()));
  });
}

/** Finer than the status; nothing more of a job that has ended. */
function phaseOf({ status, phase }: JobReport): string {
  return phase === status ? "" : ` (${phaseInWords(phase)})`;
}

function describeReport(report: JobReport): string {
  const { checkpoints, subtasks, workers, failures } = report;
  const latest =
    checkpoints.latest === null
      ? "none completed under this leader"
      : `${checkpoints.latest.checkpointId} (${Math.round(checkpoints.latest.durationMs)} ms, ${checkpoints.latest.bytes} bytes)`;
  return [
    `job          ${report.job}`,
    `status       ${report.status}${phaseOf(report)}${report.waitingFor === "" ? "" : `, waiting for ${report.waitingFor}`}`,
    `generation   ${report.generation}, incarnation ${report.incarnation}`,
    ...(report.generations.length < 2
      ? []
      : [`regions      ${report.generations.length}, in generations ${report.generations.join(", ")}`]),
    `checkpoints  ${checkpoints.completed} completed, ${checkpoints.aborted} aborted; latest ${latest}`,
    ...(checkpoints.latestAborted === null
      ? []
      : [
          `aborted      checkpoint ${checkpoints.latestAborted.checkpointId}: ${checkpoints.latestAborted.reason}`,
        ]),
    `restarts     ${report.restarts}`,
    `workers      ${workers.map((one) => `${one.worker} (pid ${one.processId}, ${one.slots} slots)`).join(", ") || "none"}`,
    ...subtasks.map(
      (one) =>
        `  ${one.subtask}  ${subtaskStateInWords(one.state)}  ${one.recordsIn} records in${one.skipped === null ? "" : `, ${describeSkipped(one.skipped)}`}`,
    ),
    ...report.troubles.map(
      ({ what, reason, sinceMs, where }) =>
        `trouble      ${what}, for ${age(sinceMs, Date.now())} (${where.join(", ")}): ${reason}`,
    ),
    ...failures.map(
      ({ atMs, where, reason, recovered }) =>
        `failure      ${new Date(atMs).toISOString()}${recovered ? " (recovered)" : ""} ${where}: ${reason}`,
    ),
  ].join("\n");
}
