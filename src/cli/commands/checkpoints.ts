/**
 * `tidemark checkpoints ls|show|verify|gc`: what lies in a job's checkpoint storage. All but gc need no coordinator.
 */
import type { Command } from "commander";
import type { CompletedCheckpoint, JobRecord } from "../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import type { JobReport } from "../../control/messages.ts";
import { describeError, RequestRefusedError } from "../../errors.ts";
import { type ClusterView, createClient, newId } from "../assembly.ts";
import { wholeNumber } from "../options.ts";
import { exitCodeHelp, exitCodes } from "../output/report-error.ts";
import { counted, size } from "../output/text.ts";
import { setOutcome } from "../process/exit.ts";
import { interruptible } from "../process/interruption.ts";
import { describeCheckpoint, describeSummaries, detailOf, summaryOf } from "../stored/checkpoint-detail.ts";
import { garbageOf } from "../stored/garbage.ts";
import {
  explained,
  readCheckpoint,
  readJob,
  readRetained,
  recordsOf,
  whileRetained,
} from "../stored/retained.ts";
import { describeTroubles, describeUnknown, type Troubles } from "../stored/troubled-checkpoints.ts";
import { describeVerification, verify } from "../stored/verification.ts";
import {
  addClientOptions,
  type ClientFlags,
  checkJobName,
  clientOf,
  ofLeader,
  print,
  withView,
} from "./client.ts";

/** A command that only looks does not wait for a leader. */
const LOOK_MS = 1000;

const outcomes = (ok: string) =>
  exitCodeHelp(["ok", "usage", "environment", "refused", "damaged", "bug"], ok);

export function checkpointCommands(program: Command): void {
  const checkpoints = program
    .command("checkpoints")
    .description("list, show and verify the retained checkpoints of a job; collect what it has left behind");
  addClientOptions(checkpoints.command("ls"))
    .description("list the retained checkpoints of a job, the oldest first")
    .argument("<job>", "name of the job")
    .addHelpText("after", outcomes("listed, and every manifest could be read"))
    .action(list);
  addClientOptions(checkpoints.command("show"))
    .description(
      "show what a retained checkpoint holds, whom those wait for that are under way or were given up, and why none begins",
    )
    .argument("<job>", "name of the job")
    .argument("[id]", "the checkpoint; the latest if it is left out", wholeNumber(1))
    .addHelpText("after", outcomes("shown"))
    .action(show);
  addClientOptions(checkpoints.command("verify"))
    .description("read every object that the retained checkpoints need, and list what nothing needs")
    .argument("<job>", "name of the job")
    .option("--fast", "compare names and sizes, and do not read the objects")
    .addHelpText("after", outcomes("nothing is missing or corrupt"))
    .action(verifyAll);
  addClientOptions(checkpoints.command("gc"))
    .description(
      "let the leading coordinator delete what generations before the present one have left behind",
    )
    .argument("<job>", "name of the job")
    .option("--dry-run", "only list what would be deleted; needs no coordinator")
    .addHelpText("after", outcomes("everything that can be collected is deleted, or listed"))
    .action(collect);
}

interface Place {
  readonly view: ClusterView;
  readonly storage: CheckpointStorage;
  readonly read: () => Promise<JobRecord>;
}

async function withJob(
  job: string,
  flags: ClientFlags,
  work: (place: Place) => Promise<void>,
): Promise<void> {
  checkJobName(job);
  await withView(flags, async (view) => {
    const records = await recordsOf(view, job);
    const read = () => readJob(records, job);
    await read();
    await work({ view, storage: await view.findStorage(), read });
  });
}

async function list(job: string, flags: ClientFlags): Promise<void> {
  await withJob(job, flags, async ({ storage, read }) => {
    const { checkpoints, damagedCheckpoints } = await whileRetained(read, async (record) => {
      const all = (await readRetained(record, storage)).map(summaryOf);
      const damaged = all.filter(({ damage }) => damage !== null);
      return { checkpoints: all, damagedCheckpoints: damaged.map(({ checkpointId }) => checkpointId) };
    });
    print(flags, { job, checkpoints }, describeSummaries(job, checkpoints, Date.now()));
    if (damagedCheckpoints.length > 0) setOutcome(exitCodes.damaged);
  });
}

async function show(job: string, id: number | undefined, flags: ClientFlags): Promise<void> {
  await withJob(job, flags, async ({ view, storage, read }) => {
    const troubles = await troublesOf(view, await read(), id);
    const lines = describeTroubles(troubles, Date.now());
    const unknown = describeUnknown(troubles);
    const isRetained = (record: JobRecord) =>
      record.checkpoints.some(({ checkpointId }) => id === undefined || checkpointId === id);
    if (lines.length > 0 && !isRetained(await read()))
      return print(flags, { job, ...troubles }, [...lines, ...unknown].join("\n"));
    const { record, retained } = await whileRetained(read, async (now) => {
      const checkpoint = chosen(now, id, unknown);
      const found = await readCheckpoint(checkpoint, storage);
      return {
        record: now,
        retained: found,
        damagedCheckpoints: "damage" in found ? [checkpoint.checkpointId] : [],
      };
    });
    if ("damage" in retained)
      throw explained(retained.damage, job, `checkpoint ${retained.checkpoint.checkpointId} cannot be shown`);
    const detail = await detailOf(record, retained.checkpoint, retained.manifest);
    const text = [describeCheckpoint(detail, Date.now()), ...lines, ...unknown].join("\n\n");
    print(flags, { ...detail, ...troubles }, text);
  });
}

/** What is under way only a leader knows; what was given up is in the record. `id`: only this one. */
async function troublesOf(view: ClusterView, record: JobRecord, id: number | undefined): Promise<Troubles> {
  const { job, status, aborted } = record;
  const runs = status === "created" || status === "running" || status === "settling";
  let report: JobReport | undefined;
  let unknown: string | undefined;
  try {
    if (runs) report = await createClient(view, LOOK_MS).status(job);
  } catch (error) {
    unknown = describeError(error);
  }
  const asked = ({ checkpointId }: { readonly checkpointId: number }) =>
    id === undefined || checkpointId === id;
  return {
    pending: (report?.checkpoints.pending ?? []).filter(asked),
    pendingMore: (id === undefined && report?.checkpoints.pendingMore) || 0,
    queued: (id === undefined && report?.checkpoints.queued) || 0,
    aborted: aborted.filter(asked),
    hold: (id === undefined && report?.checkpoints.hold) || "",
    ...(unknown === undefined ? {} : { unknown }),
  };
}

/** @throws RequestRefusedError when it is not retained */
function chosen(
  { job, checkpoints }: JobRecord,
  id: number | undefined,
  unknown: readonly string[],
): CompletedCheckpoint {
  const found =
    id === undefined ? checkpoints.at(-1) : checkpoints.find(({ checkpointId }) => checkpointId === id);
  if (found !== undefined) return found;
  const known = checkpoints.map(({ checkpointId }) => checkpointId).join(", ");
  const retained = known === "" ? "it retains none" : `it retains ${known}`;
  const problem =
    id === undefined
      ? `job ${job} has no retained checkpoint`
      : `job ${job} has no checkpoint ${id}; ${retained}`;
  throw new RequestRefusedError([problem, ...unknown].join("; "));
}

async function verifyAll(job: string, flags: ClientFlags & { readonly fast?: boolean }): Promise<void> {
  await withJob(job, flags, async ({ storage, read }) => {
    const found = await whileRetained(read, (record) => verify(record, storage, flags.fast === true));
    print(flags, found, describeVerification(found));
    if (found.damage.length > 0) setOutcome(exitCodes.damaged);
  });
}

async function collect(job: string, flags: ClientFlags & { readonly dryRun?: boolean }): Promise<void> {
  checkJobName(job);
  if (flags.dryRun === true) return listGarbage(job, flags);
  await withView(flags, async (view) => {
    const report = await interruptible(
      () =>
        `what can be collected of job ${job} may be deleted in full or in part: run the command again for the rest`,
      () => ofLeader(view, job, "collect", () => clientOf(view, flags).collect(job, newId())),
    );
    const { objects, bytes, names, unfinished } = report;
    const lines = [
      `${counted(objects, "object")} deleted, ${size(bytes)}`,
      ...names.map((name) => `  ${name}`),
      ...(names.length < objects ? [`  … and ${objects - names.length} more`] : []),
      ...(unfinished === 0 ? [] : [`of these ${counted(unfinished, "upload")} that never ended`]),
    ];
    print(flags, { job, dryRun: false, ...report }, lines.join("\n"));
  });
}

async function listGarbage(job: string, flags: ClientFlags): Promise<void> {
  await withJob(job, flags, async ({ storage, read }) => {
    const { objects, damage } = await whileRetained(read, (record) => garbageOf(record, storage));
    if (damage !== undefined)
      throw explained(damage, job, "nothing may be collected, because a manifest cannot be read");
    const names = objects.map(({ name }) => name);
    const bytes = objects.reduce((sum, object) => sum + object.bytes, 0);
    print(
      flags,
      { job, dryRun: true, objects: objects.length, bytes, names },
      [
        `${counted(objects.length, "object")} would be deleted, ${size(bytes)}`,
        ...names.map((name) => `  ${name}`),
      ].join("\n"),
    );
  });
}
