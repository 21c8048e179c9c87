/** `tidemark list`, `status`, `describe`: which jobs there are, how one is doing, what one is. */
import type { Command } from "commander";
import type { JobRecord } from "../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../machines/record.ts";
import { phaseInWords, subtaskStateInWords } from "../../../machines/words.ts";
import type { JobReport } from "../../control/messages.ts";
import type { PausedReport } from "../../control/source-messages.ts";
import { describeError, RecordUnreadableError, RequestRefusedError } from "../../errors.ts";
import { type ClusterView, createClient } from "../assembly.ts";
import { eventTimeLines } from "../output/event-time.ts";
import { expiringLines } from "../output/expiring.ts";
import { figureLines } from "../output/figures.ts";
import { hotKeyLines } from "../output/hot-keys.ts";
import { latenessLines, latenessOf } from "../output/lateness.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { age } from "../output/text.ts";
import { describeJob, describeJobs, detailOf, type Positions, summaryOf } from "../stored/job-detail.ts";
import {
  bucketMissing,
  readCheckpoint,
  readJob,
  readJobs,
  recordsOf,
  whileRetained,
} from "../stored/retained.ts";
import { splitDetailsOf } from "../stored/split-positions.ts";
import { describeSkipped } from "../submission/gaps.ts";
import {
  addClientOptions,
  type ClientFlags,
  checkJobName,
  clientOf,
  ofLeader,
  print,
  withView,
} from "./client.ts";

/** For a leader, where only it can know. */
const LOOK_MS = 3000;
const GLANCE_MS = 300;

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
    .option("--keys", "show what the hot keys of subtasks are, which is data of records")
    .addHelpText("after", exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "shown"))
    .action(status);
  addClientOptions(program.command("describe"))
    .description(
      "show what a job is: graph, options, input and how far it was read, retained checkpoints; needs no coordinator",
    )
    .argument("<job>", "name of the job")
    .addHelpText("after", exitCodeHelp(["ok", "usage", "environment", "refused", "bug"], "shown"))
    .action(describe);
}

async function list(flags: ClientFlags): Promise<void> {
  await withView(flags, (view) => listJobs(view, flags));
}

async function listJobs(view: ClusterView, flags: ClientFlags): Promise<void> {
  const records = await view.findRecords();
  if (records === undefined) {
    const { recordBucket: missingBucket } = view;
    return print(flags, { jobs: [], missingBucket }, `no jobs: ${bucketMissing(missingBucket)}`);
  }
  const { jobs, unreadable } = await readJobs(records);
  const summaries = jobs.map(summaryOf);
  const text = [describeJobs(summaries, Date.now()), ...unreadable.map(({ reason }) => reason)].join("\n");
  print(flags, { jobs: summaries, ...(unreadable.length === 0 ? {} : { unreadable }) }, text);
}

interface StatusFlags extends ClientFlags {
  readonly keys?: boolean;
}

async function status(job: string | undefined, flags: StatusFlags): Promise<void> {
  if (job !== undefined) checkJobName(job);
  await withView(flags, async (view) => {
    if (job === undefined) return listJobs(view, flags);
    const report = await readReport(view, flags, job, flags.keys === true);
    print(flags, { ...report, lateness: latenessOf(report.subtasks) }, describeReport(report));
  });
}

/**
 * What the job's leader says of it.
 *
 * @param keys hot keys are named, too
 * @throws RequestRefusedError when there is no such job
 */
export async function readReport(
  view: ClusterView,
  flags: ClientFlags,
  job: string,
  keys = false,
): Promise<JobReport> {
  const report =
    (await reportWithoutRecords(view, job)) ??
    (await ofLeader(view, job, "look", () => clientOf(view, flags).status(job, keys)));
  if (report === undefined)
    throw new RequestRefusedError(`there is no job ${job}; "tidemark list" lists the jobs`);
  return report;
}

/**
 * The user is told at once, and without a coordinator, if there is no such job. Where the records themselves are away,
 * a leader that still runs the job knows more: what it tries in vain is in its report.
 *
 * @returns undefined: the job has a record
 * @throws RequestRefusedError when there is no such job; what the records cannot be read for
 */
async function reportWithoutRecords(view: ClusterView, job: string): Promise<JobReport | undefined> {
  let problem: unknown;
  try {
    const records = await view.findRecords();
    if (records !== undefined) {
      await readJob(records, job);
      return undefined;
    }
    problem = await recordsOf(view, job).catch((error: unknown) => error);
  } catch (error) {
    if (error instanceof RequestRefusedError) throw await toldByLeader(view, job, error);
    if (error instanceof RecordUnreadableError) throw error;
    problem = error;
  }
  const report = await createClient(view, LOOK_MS)
    .status(job)
    .catch(() => undefined);
  if (report === undefined) throw problem;
  return report;
}

/** A leader knows of a record that is gone; a job that there has never been it knows no better. */
async function toldByLeader(view: ClusterView, job: string, unknown: Error): Promise<Error> {
  const said = await createClient(view, GLANCE_MS)
    .status(job)
    .catch((error: unknown) => error);
  return said instanceof RequestRefusedError ? said : unknown;
}

async function describe(job: string, flags: ClientFlags): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    const records = await recordsOf(view, job);
    const record = await readJob(records, job);
    const positions = await positionsOf(view, () => readJob(records, job)).catch(describeError);
    print(flags, detailOf(record, positions), describeJob(record, positions, Date.now()));
  });
}

/** The positions at the latest checkpoint. A job can be described without them, so an error is shown in their place. */
async function positionsOf(view: ClusterView, read: () => Promise<JobRecord>): Promise<Positions> {
  const { found } = await whileRetained(read, async (record) => {
    const latest = latestCheckpoint(record);
    if (latest === undefined) return { found: undefined, damagedCheckpoints: [] };
    const retained = await readCheckpoint(latest, await view.findStorage());
    return { found: retained, damagedCheckpoints: "damage" in retained ? [latest.checkpointId] : [] };
  });
  if (found === undefined) return { checkpointId: null, splits: [] };
  if ("damage" in found) throw found.damage;
  return { checkpointId: found.checkpoint.checkpointId, splits: splitDetailsOf(found.manifest) };
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
    `workers      ${workers.map((one) => `${one.worker} (pid ${one.processId} on ${one.host}, ${one.slots} slots)`).join(", ") || "none"}`,
    ...subtasks.map(
      (one) =>
        `  ${one.subtask}  ${subtaskStateInWords(one.state)}  ${one.recordsIn} records in${one.skipped === null ? "" : `, ${describeSkipped(one.skipped)}`}${describePaused(one.paused)}`,
    ),
    ...eventTimeLines(report.eventTime, Date.now()),
    ...figureLines(subtasks),
    ...latenessLines(subtasks),
    ...expiringLines(subtasks),
    ...hotKeyLines(report.job, subtasks),
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

/** ", split 1 waits for slower ones (by default, while it is behind)" */
function describePaused(paused: PausedReport | undefined): string {
  if (paused === undefined || paused.splits.length === 0) return "";
  const { splits, byDefault } = paused;
  const which = splits.length === 1 ? `split ${splits[0]} waits` : `${splits.length} splits wait`;
  const why = byDefault ? ` (by default, while ${splits.length === 1 ? "it is" : "they are"} behind)` : "";
  return `, ${which} for slower ones${why}`;
}
