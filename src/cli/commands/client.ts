/**
 * What the commands that ask or look have in common: a connection that makes and changes nothing, names checked before
 * any request, answers as text or as one JSON object.
 */
import { isAbsolute, resolve } from "node:path";
import type { Command } from "commander";
import type { StorageConfig } from "../../config/checkpointing.ts";
import { show } from "../../config/quantity.ts";
import type { ControlClient } from "../../control/client.ts";
import { ConfigurationError } from "../../errors.ts";
import { isJobName, isName } from "../../formats/names.ts";
import { shellCommand } from "../../shell-command.ts";
import { type ClusterView, createClient } from "../assembly.ts";
import { addClusterOptions, type ClusterFlags, connectView, messagesOf } from "../options.ts";
import { commandOutput } from "../output/stdout.ts";

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
  return createClient(view, Math.min(LEADER_TIMEOUT_MS_MAX, flags.connectTimeout * 1000));
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
  commandOutput.write(flags.json === true ? `${JSON.stringify(value)}\n` : `${text}\n`);
}
