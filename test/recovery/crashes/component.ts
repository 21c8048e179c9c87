/**
 * A process that hosts coordinators and workers on request, with short times, and with a crash point when asked. It is
 * told what to do over the channel to its parent.
 */

import {
  type Cluster,
  createClient,
  createCoordinator,
  createWorker,
  openCluster,
  prepareJob,
} from "../../../src/cli/assembly.ts";
import { submissionOf } from "../../../src/cli/submission/submission.ts";
import type { JobSubmission } from "../../../src/control/messages.ts";
import { describeError } from "../../../src/errors.ts";
import { NO_PROJECT } from "../../../src/job/code/project-code.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { createLogger } from "../../../src/observe/logger.ts";
import type { WorkloadOptions } from "../../chaos/workloads/workload.ts";
import { workloadOf } from "../../chaos/workloads/workloads.ts";
import { shortTimings } from "../../support/suite/timings.ts";
import { FaultPoint, type FaultSpec, faultyCluster } from "./fault-points.ts";

export interface Place {
  readonly url: string;
  readonly prefix: string;
  /** Which job runs, by name, and how. */
  readonly workload: string;
  readonly job: WorkloadOptions;
}

export type ComponentRequest =
  | {
      readonly start: "coordinator" | "worker";
      readonly id: string;
      readonly place: Place;
      /** The slots of a worker. Default 1. */
      readonly slots?: number | undefined;
      readonly fault?: { readonly spec: FaultSpec; readonly hitFile: string } | undefined;
    }
  | { readonly submit: Place }
  | { readonly stop: string };

export type ComponentAnswer =
  | { readonly done: string }
  | { readonly failed: string; readonly reason: string };

const logger = createLogger({ level: "debug", fields: { pid: process.pid } });
const running = new Map<string, () => Promise<void>>();

async function open(place: Place, name: string): Promise<Cluster> {
  const nats = await connectNats({ servers: place.url, name });
  return openCluster(nats, { prefix: place.prefix });
}

/** A bug in a component must not pass for the crash that the test asked for. */
function crash(error: unknown): void {
  logger.error({ error: describeError(error), stack: (error as Error).stack }, "component crashed");
  process.exit(70);
}

async function start(request: Extract<ComponentRequest, { start: string }>): Promise<void> {
  const { id, place, fault } = request;
  const opened = await open(place, id);
  const cluster = fault === undefined ? opened : disturbed(opened, fault);
  const component =
    request.start === "coordinator"
      ? await coordinator(cluster)
      : await worker(cluster, place, request.slots);
  running.set(id, async () => {
    await component.stop();
    await opened.nats.connection.close();
  });
}

function disturbed(
  cluster: Cluster,
  { spec, hitFile }: { readonly spec: FaultSpec; readonly hitFile: string },
) {
  const { companion } = spec;
  const inner =
    companion === undefined
      ? cluster
      : faultyCluster(cluster, new FaultPoint(companion, `${hitFile}-companion`));
  return faultyCluster(inner, new FaultPoint(spec, hitFile));
}

async function coordinator(cluster: Cluster) {
  const made = await createCoordinator(cluster, {
    logger,
    timings: shortTimings,
    onRefused: crash,
    onCrash: crash,
  });
  made.start();
  return made;
}

const prepared = ({ workload, job }: Place) =>
  prepareJob({ job: workloadOf(workload).job(job), code: NO_PROJECT }, {});

async function worker(cluster: Cluster, place: Place, slots = 1) {
  const made = createWorker(cluster, prepared(place), {
    slots,
    logger,
    timings: shortTimings,
    onRefused: crash,
    onStuck: crash,
  });
  await made.start();
  return made;
}

async function submit(place: Place): Promise<void> {
  const cluster = await open(place, "client");
  const environment = { job: place.job.name, logger, troubles: cluster.troubles, nats: cluster.nats };
  const submission: JobSubmission = await submissionOf(
    prepared(place),
    environment,
    cluster.storage.description,
  );
  await createClient(cluster).submit(submission, false);
  await cluster.nats.connection.close();
}

async function perform(request: ComponentRequest): Promise<string> {
  if ("start" in request) {
    await start(request);
    return request.id;
  }
  if ("submit" in request) {
    await submit(request.submit);
    return "submit";
  }
  await running.get(request.stop)?.();
  running.delete(request.stop);
  return request.stop;
}

process.on("message", (request: ComponentRequest) => {
  const name = "start" in request ? request.id : "submit" in request ? "submit" : request.stop;
  perform(request).then(
    (done) => process.send?.({ done } satisfies ComponentAnswer),
    (error: unknown) =>
      process.send?.({ failed: name, reason: describeError(error) } satisfies ComponentAnswer),
  );
});
process.on("disconnect", () => process.exit(1));
