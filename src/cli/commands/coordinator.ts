/** `tidemark coordinator`: leads jobs, or stands by until the leader is gone. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { SavepointPlaces } from "../../checkpoint/savepoint-places.ts";
import { resolveSavepointDirectory } from "../../config/job-config.ts";
import { describeError } from "../../errors.ts";
import { createCoordinator } from "../assembly.ts";
import {
  addClusterOptions,
  type ClusterFlags,
  connectCluster,
  loggerOf,
  overridesOf,
  wholeNumber,
} from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodes } from "../output/report-error.ts";
import { watchCrashes } from "../process/crash.ts";
import { serveHealth } from "../process/health.ts";
import { tellParent, tellParentOf, watchLifetime } from "../process/lifetime.ts";
import { startEnvironment } from "../process/process-state.ts";

interface CoordinatorFlags extends ClusterFlags {
  readonly server: string;
  readonly healthPort?: number;
  readonly savepointDir: readonly string[];
  readonly healthHost: string;
  readonly job?: string;
  readonly session?: string;
}

const STOP_BOUND_MS = 10_000;
/** A `tidemark run` tells at once why a worker of its own has ended, which a probe cannot tell. */
const SECOND_PROBE_MS = 1500;

export function coordinatorCommand(program: Command): void {
  addClusterOptions(program.command("coordinator"))
    .description("lead jobs, or stand by until the leader is gone; needs no job file")
    .addOption(
      new Option("--health-port <port>", "serve /healthz there")
        .env("TIDEMARK_HEALTH_PORT")
        .argParser(wholeNumber(1, 65_535)),
    )
    .addOption(
      new Option("--health-host <address>", "of this machine, for --health-port; 0.0.0.0: all that it has")
        .env("TIDEMARK_HEALTH_HOST")
        .default("127.0.0.1"),
    )
    .addOption(
      new Option(
        "--savepoint-dir <place>",
        "write savepoints only below this directory or s3:// place, or in this nats:<bucket>, repeatable; default: " +
          "checkpointing.savepointDirectory of the config file and the environment, and without it anywhere " +
          "(env: TIDEMARK_SAVEPOINT_DIR, with commas)",
      )
        .argParser((place: string, all: readonly string[]) => [...all, place])
        .default([], "none"),
    )
    // How `tidemark run` starts its own.
    .addOption(new Option("--job <name>", "lead this job only").hideHelp())
    .addOption(new Option("--session <id>", "of the run that this job belongs to").hideHelp())
    .action(coordinate);
}

async function coordinate(flags: CoordinatorFlags): Promise<void> {
  const lifetime = watchLifetime(STOP_BOUND_MS);
  watchCrashes(undefined, async ({ reason }) => tellParent({ type: "crashed", reason }));
  const logger = loggerOf(flags, "coordinator");
  const savepointPlaces = placesOf(flags);
  const cluster = await connectCluster(flags, flags.server, "coordinator", logger, {
    savepointPlaces,
    leads: true,
  });
  if (savepointPlaces.isAnywhere && flags.job === undefined)
    logger.info({}, "savepoints are written wherever a client asks for them; --savepoint-dir limits that");
  const { job, session } = flags;
  const coordinator = await createCoordinator(cluster, {
    logger,
    own: job === undefined || session === undefined ? undefined : { job, session },
    ...(job === undefined ? {} : { timings: { secondProbeMs: SECOND_PROBE_MS } }),
    onRefused(error) {
      logger.error({}, error.message);
      writeMessage(error.message);
      process.exit(exitCodes.refused);
    },
    onCrash(error) {
      logger.error({ error: describeError(error), stack: (error as Error).stack }, "coordinator crashed");
      process.exit(70);
    },
  });
  const health = await (flags.healthPort === undefined
    ? undefined
    : serveHealth(flags.healthPort, flags.healthHost, () => ({
        healthy: cluster.bus.connectedForMs() > 0,
        leading: coordinator.leading,
      })));
  coordinator.start();
  tellParentOf(cluster.troubles);
  tellParent({ type: "started" });
  await lifetime.ending;
  await coordinator.stop();
  health?.close();
  await cluster.bus.flush().catch(() => undefined);
  await cluster.nats.connection.close();
  process.exit(0);
}

/**
 * What the user has named. The coordinator of a `tidemark run` keeps to what was named for it alone: its user, who has
 * the same rights, says where savepoints go.
 * @throws ConfigurationError
 */
function placesOf(flags: CoordinatorFlags): SavepointPlaces {
  const named =
    flags.savepointDir.length > 0 ? flags.savepointDir : listed(startEnvironment[ENVIRONMENT_KEY]);
  if (named.length > 0) return new SavepointPlaces(named.map(absolute));
  const configured = flags.job === undefined ? resolveSavepointDirectory(overridesOf(flags)) : undefined;
  return configured === undefined ? SavepointPlaces.anywhere : new SavepointPlaces([configured]);
}

const ENVIRONMENT_KEY = "TIDEMARK_SAVEPOINT_DIR";

function listed(places = ""): string[] {
  return places.split(",").filter((place) => place !== "");
}

function absolute(place: string): string {
  return /^(nats|file|s3):/.test(place) ? place : resolve(place);
}
