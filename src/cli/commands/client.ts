/**
 * What the commands that ask or look have in common: a connection that makes and changes nothing, names checked before
 * any request, answers as text or as one JSON object.
 */
import { isAbsolute, resolve } from "node:path";
import type { Command } from "commander";
import type { StorageConfig } from "../../config/checkpointing.ts";
import { show } from "../../config/quantity.ts";
import type { ControlClient } from "../../control/client.ts";
import {
  ConfigurationError,
  EnvironmentError,
  NoRespondersError,
  RequestRefusedError,
} from "../../errors.ts";
import { isJobName, isName } from "../../formats/names.ts";
import { hasEnded, leftBehindByRun, nothingTo } from "../../runtime/leader/submissions/refusals.ts";
import { shellCommand } from "../../shell-command.ts";
import { type ClusterView, createClient } from "../assembly.ts";
import { addClusterOptions, type ClusterFlags, connectView, messagesOf } from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { commandOutput } from "../output/stdout.ts";
import { isLed } from "../stored/leases.ts";
import { readJob, recordsOf } from "../stored/retained.ts";

export interface ClientFlags extends ClusterFlags {
  readonly server: string;
  readonly json?: boolean;
}

const LEADER_TIMEOUT_MS_MAX = 15_000;

export function addClientOptions(command: Command): Command {
  return addClusterOptions(command).option("--json", "one JSON object instead of text");
}

/** `storage`: of the job at hand; default what flags, environment and config file say. */
export async function withView(
  flags: ClientFlags,
  work: (view: ClusterView) => Promise<void>,
  storage?: StorageConfig | null,
): Promise<void> {
  const view = await connectView(flags, flags.server, "client", messagesOf(flags, "client"), storage);
  try {
    await work(view);
  } finally {
    await view.nats.connection.close();
  }
}

export function clientOf(view: ClusterView, flags: ClientFlags): ControlClient {
  const timeoutMs = Math.min(LEADER_TIMEOUT_MS_MAX, flags.connectTimeout * 1000);
  return createClient(view, timeoutMs, undefined, {
    isLed: (job) => isLed(view, job),
    onUnled: (waiting) => writeMessage(`warning: ${waiting}`),
  });
}

/** @throws ConfigurationError for what can be no job's name */
export function checkJobName(job: string): void {
  if (isName(job) && isJobName(job)) return;
  const hint = /\.[cm]?[jt]s$/.test(job)
    ? "; give the name that the file hands to defineJob, not the file"
    : "";
  throw new ConfigurationError(
    "job",
    `"${job}" cannot be the name of a job${hint}; "tidemark list" lists the jobs`,
  );
}

/**
 * A directory travels to a coordinator that works in another one, so it must be absolute.
 *
 * @param name of the option or argument, as its user writes it
 * @throws ConfigurationError for a relative path; its message names the absolute form
 */
export function checkPlace(name: string, place: string): void {
  if (isAbsolute(place) || /^[a-z][a-z\d+.-]*:/i.test(place)) return;
  throw new ConfigurationError(
    name,
    `${name} ${show(place)} is a relative path, but the coordinator may work in another directory: give the absolute form, ${shellCommand(resolve(place))}`,
  );
}

export function print(flags: ClientFlags, value: unknown, text: string): void {
  if (flags.json === true) commandOutput.writeJson(value);
  else commandOutput.write(`${text}\n`);
}

/** What is asked for: a verb, with its "of" where it takes one. */
export type Asked = Parameters<typeof nothingTo>[1] | "collect" | "look";

/**
 * Asks the leader about a job that has a record: what the record alone tells is said without a leader.
 *
 * @throws RequestRefusedError when bucket, record or life of the job are over, or the processes that led it are gone;
 *   what `ask` throws
 */
export async function ofLeader<T>(
  view: ClusterView,
  job: string,
  asked: Asked,
  ask: () => Promise<T>,
): Promise<T> {
  const records = await recordsOf(view, job);
  const record = await readJob(records, job);
  const isCanceled = asked === "cancel" && record.status === "canceled";
  if (asked !== "collect" && asked !== "look" && hasEnded(record) && !isCanceled)
    throw new RequestRefusedError(nothingTo(record, asked));
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof EnvironmentError && error.cause instanceof NoRespondersError)) throw error;
    const { scope, ...now } = await readJob(records, job);
    if (scope === "job" && !hasEnded(now)) throw new RequestRefusedError(leftBehindByRun(job).reason);
    throw error;
  }
}
