/**
 * The nats-server that a run provides when the user names none: its start, its end by itself, and the wait for what the
 * job misses on it.
 *
 * Owns: where its store and its port come from, what the user is told of it. Does not own: the process
 * (src/nats/server/), when it is stopped (run-session.ts).
 */
import { join } from "node:path";
import type { JobSubmission } from "../../control/messages.ts";
import type { Logger } from "../../dataflow/connector.ts";
import { EnvironmentError } from "../../errors.ts";
import { type LastingServer, startLastingServer } from "../../nats/server/lasting-server.ts";
import type { NatsServer } from "../../nats/server/server.ts";
import { provideNatsServer } from "../../nats/server/server-binary.ts";
import type { Cluster, PreparedJob } from "../assembly.ts";
import { advice, shownPath, writeMessage } from "../output/advice.ts";
import type { GapFlags } from "../submission/gaps.ts";
import { earlierRun, sayingOnce, untilMet } from "../submission/prerequisites.ts";
import type { RestoringFlags } from "../submission/restoring.ts";
import { submissionOf } from "../submission/submission.ts";

interface WaitingRun {
  readonly flags: GapFlags & Pick<RestoringFlags, "from" | "dryRun"> & { readonly fresh?: boolean };
  readonly logger: Logger;
  /** Called with what the job needs and the server does not have; undefined: the run ends instead. */
  readonly onMissing?: (missing: string) => void;
}

/**
 * What is missing on the provided server can be made only while that runs, so it runs on and the job waits. On a server
 * of the user's the run ends with the command that makes it.
 */
export async function submissionWhenMet(
  { flags, logger, onMissing }: WaitingRun,
  prepared: PreparedJob,
  { nats, troubles, storage, openRecords }: Cluster,
  server: NatsServer | undefined,
): Promise<JobSubmission> {
  const { name: job } = prepared.job;
  const records = await openRecords();
  const earlier =
    flags.fresh === true || flags.from !== undefined ? {} : await earlierRun(records, records.bucket, job);
  const asking = flags.dryRun === true ? ({ dryRun: true } as const) : {};
  const environment = { job, logger: sayingOnce(logger), troubles, nats, ...asking, ...earlier };
  const ask = () => submissionOf(prepared, environment, storage.description, flags);
  if (server === undefined || onMissing === undefined) return await ask();
  return await Promise.race([untilMet(ask, onMissing), goneServer(server)]);
}

/** Never resolves. */
export async function goneServer(server: NatsServer): Promise<never> {
  const { lastLines } = await server.exited;
  throw new EnvironmentError(
    `nats-server ended by itself; run it again to go on from the last checkpoint. Its last lines:\n  ${lastLines.slice(-5).join("\n  ")}`,
  );
}

/** What nats-server logs of a store that takes no more: JetStream then stores nothing until it starts again. */
const FULL_DISK = /no space left on device|disk quota exceeded|JetStream out of .*(resources|space)/i;

function fullDisk(storeDir: string, line: string): string {
  return (
    `the disk of the store ${storeDir} is full, so nats-server stores nothing any more (${line.replace(/^.*?\[(?:ERR|WRN|FTL|INF)\] /, "")}); ` +
    "make room, then end this run and run it again: it goes on from its last checkpoint, and nothing is lost"
  );
}

export async function provideServer(
  home: string,
  port: number | undefined,
  say: (line: string) => void,
): Promise<LastingServer> {
  const { path, version, origin } = await provideNatsServer({ log: say });
  const storeDir = join(home, "nats");
  let isFull = false;
  const server = await startLastingServer({
    binary: path,
    port,
    storeDir,
    guarded: true,
    log: (line) => {
      if (line.startsWith("waiting for")) say(line);
      if (isFull || !FULL_DISK.test(line)) return;
      isFull = true;
      writeMessage(fullDisk(storeDir, line));
    },
  });
  const { url, contextFile } = server;
  advice.serverProvided(url);
  advice.contextFound(url, contextFile);
  say(`nats-server ${version} (${origin}) at ${url}, store ${storeDir}`);
  say(
    `  tidemark commands find its token by themselves; nats takes it by --context=${shownPath(contextFile)}, and ` +
      "programs of yours read it there",
  );
  return server;
}
