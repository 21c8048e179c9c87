/** `tidemark dispose LOCATION`: deletes a savepoint, or what a job has left that has ended. */
import { hostname } from "node:os";
import type { Command } from "commander";
import type { JobRecord } from "../../../machines/protocol.ts";
import type { DisposalTarget } from "../../../machines/record.ts";
import { disposeSavepoint, savepointObjects, splitLocation } from "../../checkpoint/savepoint.ts";
import { sweepCommand } from "../../connectors/sink-folder.ts";
import type { DisposalReport } from "../../control/requests/deletion.ts";
import {
  ConfigurationError,
  EnvironmentError,
  ForeignAnswerError,
  NoRespondersError,
  RequestRefusedError,
  RequestTimeoutError,
  UnknownOutcomeError,
} from "../../errors.ts";
import { encodeRecord, jobKey } from "../../formats/job-record.ts";
import { isSink } from "../../job/plan.ts";
import { deleteProgress, findProgress, type ProgressOf } from "../../nats/reader/progress.ts";
import { deleteDisposed, planDisposal, reportOf } from "../../runtime/leader/checkpoints/disposal.ts";
import { readRecord } from "../../runtime/leader/records/stored-record.ts";
import { leftBehindByRun } from "../../runtime/leader/submissions/refusals.ts";
import type { RecordStore } from "../../runtime/record-store.ts";
import { type ClusterView, createClient, newId } from "../assembly.ts";
import { exitCodeHelp } from "../output/report-error.ts";
import { counted, size } from "../output/text.ts";
import { interruptible } from "../process/interruption.ts";
import { isLed } from "../stored/leases.ts";
import { recordsOf, unknownJob } from "../stored/retained.ts";
import { addClientOptions, type ClientFlags, checkJobName, checkPlace, print, withView } from "./client.ts";

interface DisposeFlags extends ClientFlags {
  readonly dryRun?: boolean;
}

/** Longer than a standby needs to take the lead. */
const LEADER_MS = 3000;
/** A record that goes on changing so often is being used. */
const TRIES = 5;

export function disposeCommand(program: Command): void {
  addClientOptions(program.command("dispose"))
    .description("delete a savepoint, checkpoints that an ended job has left, or all that it has left")
    .argument(
      "<location>",
      "what savepoint or stop has printed; checkpoint:<job> or checkpoint:<job>/<id>; or job:<job>",
    )
    .option("--dry-run", "only list what would be deleted")
    .addHelpText(
      "after",
      exitCodeHelp(["ok", "usage", "environment", "refused", "damaged", "bug"], "it is deleted, or listed"),
    )
    .action(dispose);
}

async function dispose(location: string, flags: DisposeFlags): Promise<void> {
  const left = leftByJob(location);
  if (left === undefined) return disposeOfSavepoint(location, flags);
  const { job, what } = left;
  const dryRun = flags.dryRun === true;
  await withView(flags, async (view) => {
    const record = (await readRecord(await recordsOf(view, job), job))?.record;
    if (record === undefined) throw unknownJob(job);
    if (record.status === "created" || record.status === "running") await refuseUnled(view, record);
    const plan = await planDisposal(record, what, await view.findStorage(), Date.now());
    // Each checkpoint has a manifest at least.
    if (plan.checkpoints.length > 0 && plan.objects.length === 0)
      throw new RequestRefusedError(
        `nothing of job ${job} lies in ${await view.describeStorage()}, seen from host ${hostname()}: give the --checkpoint-dir or --storage that its ` +
          "coordinators have, or none if they have none; if all of it is lost, start the job over with --fresh",
      );
    const consumers = what === "job" ? await findProgress(view.nats, record) : [];
    // While the record still tells of them.
    if (!dryRun) for (const consumer of consumers) await deleteProgress(view.nats, consumer);
    const report = dryRun ? reportOf(plan) : await disposeOf(view, job, what);
    const fileSinks = what === "job" ? fileSinksOf(record) : [];
    const value = { location, disposed: !dryRun, dryRun, ...report, consumers, fileSinks };
    print(flags, value, describe(location, value));
  });
}

/** @throws RequestRefusedError: where no process leads a living job, none can end it before one does */
async function refuseUnled(view: ClusterView, { job, status, scope }: JobRecord): Promise<void> {
  if (await isLed(view, job)) return;
  if (scope === "job") throw new RequestRefusedError(leftBehindByRun(job).reason);
  throw new RequestRefusedError(
    `job ${job} is ${status}, and no coordinator leads it now: start one with "tidemark coordinator", ` +
      `then end the job with "tidemark cancel ${job}"`,
  );
}

interface KeptBySink {
  readonly sink: string;
  readonly sweep: string;
}

/** What they keep lies where no leader can see it, and savepoints may need it. */
function fileSinksOf({ plan, incarnation }: JobRecord): KeptBySink[] {
  const operators = plan.vertices.flatMap((vertex) => vertex.operators);
  return operators
    .filter((operator) => isSink(operator) && operator.connector === "file")
    .map(({ id }) => ({ sink: id, sweep: sweepCommand({ operator: id, incarnation }) }));
}

interface Disposed extends DisposalReport {
  readonly dryRun: boolean;
  readonly consumers: readonly ProgressOf[];
  readonly fileSinks: readonly KeptBySink[];
}

function describe(location: string, disposed: Disposed): string {
  const { dryRun, checkpoints, abandoned, objects, bytes, names, consumers, fileSinks } = disposed;
  const what = location.startsWith("job:")
    ? `all that job ${location.slice("job:".length)} has left`
    : `${checkpoints.length === 1 ? "checkpoint" : "checkpoints"} ${checkpoints.join(", ")}`;
  return [
    `${what} ${dryRun ? "would be" : "is"} deleted: ${counted(objects, "object")}, ${size(bytes)}`,
    ...(abandoned === null
      ? []
      : [
          `what checkpoint ${abandoned} had decided may not be committed in full: what is not, never will be` +
            (dryRun ? "" : "; the record keeps that it was given up"),
        ]),
    ...names.map((name) => `  ${name}`),
    ...(names.length < objects ? [`  … and ${objects - names.length} more`] : []),
    ...consumers.map(({ stream, name }) => `  consumer ${name} of stream ${stream}`),
    ...fileSinks.map(
      ({ sink, sweep }) =>
        `sink ${sink} keeps hidden files in its directory, which savepoints of the job may need; without those run there: ${sweep}`,
    ),
  ].join("\n");
}

/** undefined: a savepoint. @throws ConfigurationError */
function leftByJob(location: string): { readonly job: string; readonly what: DisposalTarget } | undefined {
  const [, kind, job = "", id] = /^(checkpoint|job):([^/]*)(?:\/(.*))?$/s.exec(location) ?? [];
  if (kind === undefined) return undefined;
  checkJobName(job);
  if (id === undefined) return { job, what: kind === "job" ? "job" : "checkpoints" };
  const checkpointId = Number(id);
  if (kind === "job" || !/^[1-9]\d*$/.test(id) || !Number.isSafeInteger(checkpointId))
    throw new ConfigurationError(
      "location",
      `"${location}" is none: write checkpoint:${job} or checkpoint:${job}/7 for checkpoints, job:${job} for all that the job has left`,
    );
  return { job, what: checkpointId };
}

async function disposeOfSavepoint(location: string, flags: DisposeFlags): Promise<void> {
  checkPlace("location", location);
  const { root } = splitLocation(location);
  const dryRun = flags.dryRun === true;
  await withView(flags, async (view) => {
    const storage = await view.openStorage(root, "find");
    const objects = dryRun
      ? (await savepointObjects(location, storage)).length
      : await disposeSavepoint(location, storage);
    if (objects === 0)
      throw new EnvironmentError(`there is no savepoint at ${location}, seen from host ${hostname()}`);
    const text = dryRun
      ? `savepoint ${location} would be deleted: ${counted(objects, "object")}`
      : `savepoint ${location} is deleted`;
    print(flags, { location, disposed: !dryRun, dryRun, objects }, text);
  });
}

/** Asks the leader to dispose; if no coordinator leads, the compare-and-set of the record is fence enough. */
async function disposeOf(view: ClusterView, job: string, what: DisposalTarget): Promise<DisposalReport> {
  try {
    return await interruptible(
      () => `what is deleted of job ${job} may be all or some of it: run the command again for the rest`,
      () => createClient(view, LEADER_MS).dispose(job, what, newId()),
    );
  } catch (error) {
    if (!(error instanceof EnvironmentError) || !(await isLeaderless(view, job, error))) throw error;
    return await disposeAlone(view, job, what);
  }
}

/** A foreign process that listens or answers on the subject hides that no leader does (P52): the leases tell then. */
async function isLeaderless(view: ClusterView, job: string, { cause }: EnvironmentError): Promise<boolean> {
  if (cause instanceof NoRespondersError) return true;
  if (!(cause instanceof ForeignAnswerError || cause instanceof RequestTimeoutError)) return false;
  return !(await isLed(view, job));
}

async function disposeAlone(view: ClusterView, job: string, what: DisposalTarget): Promise<DisposalReport> {
  const records = await recordsOf(view, job);
  const storage = await view.findStorage();
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await readRecord(records, job);
    if (found === undefined) break;
    const plan = await planDisposal(found.record, what, storage, Date.now());
    const record = { ...plan.record, writeId: newId(), updatedAtMs: Date.now() };
    if (!(await isStored(records, record, found.revision))) continue;
    await deleteDisposed(plan, storage);
    return reportOf(plan);
  }
  throw new RequestRefusedError(`job ${job} is being changed at this moment: try again`);
}

/** Its outcome is settled, never guessed (P8). */
async function isStored(records: RecordStore, record: JobRecord, revision: number): Promise<boolean> {
  const key = jobKey(record.job);
  try {
    return (await records.compareAndSet(key, encodeRecord(record), revision)).outcome === "stored";
  } catch (error) {
    if (!(error instanceof UnknownOutcomeError)) throw error;
    return (await readRecord(records, record.job))?.record.writeId === record.writeId;
  }
}
