/** `tidemark submit`, `status`, `cancel`: requests to the leading coordinator. */
import type { Command } from "commander";
import type { ControlClient } from "../../control/client.ts";
import type { JobReport } from "../../control/messages.ts";
import { isJobName } from "../../dataflow/channel/subjects.ts";
import { ConfigurationError, RequestRefusedError } from "../../errors.ts";
import { loadJob } from "../../job/load.ts";
import { describePlan } from "../../job/plan.ts";
import { jobKey } from "../../runtime/leader/coordinator.ts";
import { decodeRecord } from "../../runtime/leader/record-writer.ts";
import { type Cluster, createClient, prepareJob, submissionOf } from "../assembly.ts";
import {
  addClusterOptions,
  addConfigOptions,
  type ClusterFlags,
  type ConfigFlags,
  connectCluster,
  messagesOf,
  overridesOf,
} from "../options.ts";

interface ClientFlags extends ClusterFlags {
  readonly server: string;
  readonly json?: boolean;
}

export function clientCommands(program: Command): void {
  addConfigOptions(addClusterOptions(program.command("submit")))
    .description("hand a job to the leading coordinator; workers for it are started apart")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .option("--fresh", "start over: drop the state of an earlier run")
    .option("--json", "one JSON object instead of text")
    .action(submit);
  addClusterOptions(program.command("status"))
    .description("show one job, or list all")
    .argument("[job]", "name of the job")
    .option("--json", "one JSON object instead of text")
    .action(status);
  addClusterOptions(program.command("cancel"))
    .description("end a job: what was decided is committed, its state is dropped")
    .argument("<job>", "name of the job")
    .option("--json", "one JSON object instead of text")
    .action(cancel);
}

async function withCluster(flags: ClientFlags, work: (cluster: Cluster) => Promise<void>): Promise<void> {
  const logger = messagesOf(flags, "client");
  const cluster = await connectCluster(flags, flags.server, "client", logger);
  try {
    await work(cluster);
  } finally {
    await cluster.nats.connection.close();
  }
}

const LEADER_TIMEOUT_MS_MAX = 15_000;

function clientOf(cluster: Cluster, flags: ClientFlags): ControlClient {
  return createClient(cluster, Math.min(LEADER_TIMEOUT_MS_MAX, flags.connectTimeout * 1000));
}

/** @throws ConfigurationError for what can be no job's name, before anybody is asked */
function checkJobName(job: string): void {
  if (isJobName(job)) return;
  const hint = /\.[cm]?[jt]s$/.test(job)
    ? "; give the name that the file hands to defineJob, not the file"
    : "";
  throw new ConfigurationError(
    "job",
    `"${job}" cannot be the name of a job${hint}; "tidemark status" lists the jobs`,
  );
}

function print(flags: { readonly json?: boolean }, value: unknown, text: string): void {
  process.stdout.write(flags.json === true ? `${JSON.stringify(value)}\n` : `${text}\n`);
}

async function submit(
  path: string,
  flags: ClientFlags & ConfigFlags & { readonly fresh?: boolean },
): Promise<void> {
  const prepared = prepareJob(await loadJob(path), overridesOf(flags));
  await withCluster(flags, async (cluster) => {
    const submission = await submissionOf(prepared, {
      job: prepared.job.name,
      logger: messagesOf(flags, "client"),
      nats: cluster.nats,
    });
    await clientOf(cluster, flags).submit(submission, flags.fresh === true);
    const { job } = submission;
    print(
      flags,
      { job, submitted: true },
      `${describePlan(prepared.plan, prepared.config)}\n\njob ${job} is submitted`,
    );
  });
}

async function status(job: string | undefined, flags: ClientFlags): Promise<void> {
  if (job !== undefined) checkJobName(job);
  await withCluster(flags, async (cluster) => {
    if (job === undefined) return listJobs(cluster, flags);
    const report = await clientOf(cluster, flags).status(job);
    if (report === undefined)
      throw new RequestRefusedError(`there is no job ${job}; "tidemark status" lists the jobs`);
    print(flags, report, describeReport(report));
  });
}

async function listJobs(cluster: Cluster, flags: ClientFlags): Promise<void> {
  const records = await cluster.openRecords();
  const jobs = [];
  for (const key of await records.keys(jobKey(""))) {
    const found = await records.read(key);
    if (found === undefined) continue;
    const { job, status, generation, checkpoints, updatedAtMs } = decodeRecord(found.value);
    jobs.push({ job, status, generation, checkpoint: checkpoints.at(-1)?.checkpointId ?? null, updatedAtMs });
  }
  const lines = jobs.map(
    (one) =>
      `${one.job}  ${one.status}  generation ${one.generation}  checkpoint ${one.checkpoint ?? "none"}`,
  );
  print(flags, { jobs }, lines.length === 0 ? "no jobs" : lines.join("\n"));
}

async function cancel(job: string, flags: ClientFlags): Promise<void> {
  checkJobName(job);
  await withCluster(flags, async (cluster) => {
    await clientOf(cluster, flags).cancel(job);
    print(flags, { job, canceling: true }, `job ${job} is being canceled`);
  });
}

function describeReport(report: JobReport): string {
  const { checkpoints, subtasks, workers, failures } = report;
  const latest =
    checkpoints.latest === null
      ? "none completed under this leader"
      : `${checkpoints.latest.checkpointId} (${Math.round(checkpoints.latest.durationMs)} ms, ${checkpoints.latest.bytes} bytes)`;
  return [
    `job          ${report.job}`,
    `status       ${report.status} (${report.phase})${report.waitingFor === "" ? "" : `, waiting for ${report.waitingFor}`}`,
    `generation   ${report.generation}, incarnation ${report.incarnation}`,
    `checkpoints  ${checkpoints.completed} completed, ${checkpoints.aborted} aborted; latest ${latest}`,
    ...(checkpoints.latestAborted === null
      ? []
      : [
          `aborted      checkpoint ${checkpoints.latestAborted.checkpointId}: ${checkpoints.latestAborted.reason}`,
        ]),
    `restarts     ${report.restarts}`,
    `workers      ${workers.map((one) => `${one.worker} (pid ${one.processId}, ${one.slots} slots)`).join(", ") || "none"}`,
    ...subtasks.map((one) => `  ${one.subtask}  ${one.state}  ${one.recordsIn} records in`),
    ...failures.map((one) => `failure      ${new Date(one.atMs).toISOString()} ${one.where}: ${one.reason}`),
  ].join("\n");
}
