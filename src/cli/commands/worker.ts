/** `tidemark worker JOB`: offers slots and runs what the leader deploys on it. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { SLOTS_MAX } from "../../control/shapes.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { describeError, EnvironmentError } from "../../errors.ts";
import type { Worker } from "../../runtime/worker/worker.ts";
import { createWorker, prepareJob } from "../assembly.ts";
import {
  addClusterOptions,
  addConfigOptions,
  type ClusterFlags,
  type ConfigFlags,
  connectCluster,
  loggerOf,
  overridesOf,
  wholeNumber,
} from "../options.ts";
import { writeMessage } from "../output/advice.ts";
import { exitCodeHelp, exitCodes } from "../output/report-error.ts";
import { watchCrashes, watchExits } from "../process/crash.ts";
import { serveHealth } from "../process/health.ts";
import { tellParent, tellParentLast, tellParentOf, watchLifetime } from "../process/lifetime.ts";
import { openLocalCopies, openStateBackends } from "../state-backends.ts";
import { loadJobFileToRun } from "../submission/job-file.ts";

interface WorkerFlags extends ClusterFlags, ConfigFlags {
  readonly server: string;
  readonly slots: number;
  readonly healthPort?: number;
  readonly healthHost: string;
}

const STOP_BOUND_MS = 15_000;

export function workerCommand(program: Command): void {
  addConfigOptions(addClusterOptions(program.command("worker")))
    .description("run subtasks of the job that this file exports")
    .argument("<job>", "TypeScript or JavaScript file that exports a job by default")
    .addOption(
      new Option("--slots <n>", "how many parallel instances of the job fit here")
        .env("TIDEMARK_SLOTS")
        .argParser(wholeNumber(1, SLOTS_MAX))
        .default(availableParallelism(), "number of cores"),
    )
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
    .addHelpText(
      "after",
      exitCodeHelp(
        ["ok", "usage", "environment", "refused", "jobCrashed", "bug"],
        "ended as SIGTERM asked: its subtasks were torn down",
      ),
    )
    .action(work);
}

async function work(path: string, flags: WorkerFlags): Promise<void> {
  const lifetime = watchLifetime(STOP_BOUND_MS);
  let running: Worker | undefined;
  watchCrashes(path, async ({ reason }) => {
    tellParent({ type: "crashed", reason });
    await running?.crashed(reason);
  });
  const logger = loggerOf(flags, "worker");
  const prepared = prepareJob(await loadJobFileToRun(path), overridesOf(flags));
  watchExits(path, (reason) => tellParent({ type: "crashed", reason }));
  let memory: TroubleWatch | undefined;
  const { storage, localRecovery } = prepared.config.checkpointing;
  const { backends, copies } = await onThisMachine(async () => ({
    backends: await openStateBackends(prepared.config.state, prepared.job.name, {
      tell(message) {
        logger.warn({ job: prepared.job.name }, message);
        memory?.failed(new EnvironmentError(message));
      },
      calm: () => memory?.passed(),
    }),
    copies: await openLocalCopies(localRecovery, prepared.job.name, logger),
  }));
  const cluster = await connectCluster(flags, flags.server, `worker ${prepared.job.name}`, logger, {
    storage,
  });
  memory = cluster.troubles.watch("keeping keyed state in memory", 0);
  const worker = createWorker(cluster, prepared, {
    backends,
    copies,
    slots: flags.slots,
    logger,
    onRefused(error) {
      logger.error({ job: prepared.job.name }, error.message);
      writeMessage(error.message);
      process.exit(exitCodes.refused);
    },
    onStuck(error) {
      logger.error({ job: prepared.job.name, error: error.message }, "generation is stuck");
      writeMessage(`${error.message}: this process ends, so that a new one can go on`);
      process.exit(exitCodes.jobCrashed);
    },
  });
  running = worker;
  const health = await (flags.healthPort === undefined
    ? undefined
    : serveHealth(flags.healthPort, flags.healthHost, () => ({
        healthy: cluster.bus.connectedForMs() > 0,
        registered: worker.registered,
      })));
  await worker.start();
  tellParentOf(cluster.troubles);
  tellParent({ type: "started", worker: worker.identity });
  await lifetime.ending;
  await worker.stop();
  await backends.close();
  copies?.close();
  health?.close();
  await cluster.bus.flush().catch(() => undefined);
  await cluster.nats.connection.close();
  process.exit(0);
}

/** Opens what a worker needs of its machine. What is lacking there would be lacking at each further start, too. */
async function onThisMachine<T>(open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof EnvironmentError)
      await tellParentLast({ type: "unfit", reason: describeError(error) });
    throw error;
  }
}
