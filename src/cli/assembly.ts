/**
 * The place that picks NATS: puts a coordinator, a worker or a client together on one connection.
 *
 * Owns: which implementation stands behind each contract. Does not own: flags and output (the commands), behaviour.
 */
import { randomBytes } from "node:crypto";
import { FileStorage } from "../checkpoint/file-storage.ts";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import { type ConfigOverrides, type JobConfig, resolveJobConfig } from "../config/job-config.ts";
import { ControlClient } from "../control/client.ts";
import { ControlLink } from "../control/link.ts";
import type { JobSubmission } from "../control/messages.ts";
import type { Bus } from "../dataflow/channel/bus.ts";
import { createSubjects, type Subjects } from "../dataflow/channel/subjects.ts";
import type { ConnectorEnvironment, Logger } from "../dataflow/connector.ts";
import type { JobGraph } from "../dataflow/operator.ts";
import type { RequestRefusedError } from "../errors.ts";
import { codeFingerprint, graphFingerprint } from "../job/fingerprint.ts";
import { buildGraph } from "../job/graph.ts";
import type { Job } from "../job/job.ts";
import { type GraphPlan, planOf } from "../job/plan.ts";
import { NatsBus } from "../nats/connection/bus.ts";
import type { NatsEnvironment } from "../nats/connection/environment.ts";
import { natsEventFeed } from "../nats/connection/feed.ts";
import { openNatsObjectStorage } from "../nats/storage/object-storage.ts";
import { findNatsRecordStore, openNatsRecordStore } from "../nats/storage/record-store.ts";
import type { EventFeed } from "../observe/feed.ts";
import { systemClock } from "../runtime/clock.ts";
import { Coordinator } from "../runtime/leader/coordinator.ts";
import type { RecordStore } from "../runtime/record-store.ts";
import { defaultTimings, type Timings } from "../runtime/timings.ts";
import { Worker } from "../runtime/worker/worker.ts";

export interface ClusterOptions {
  /** First tokens of every subject, and, with dashes, of the buckets. Default "tidemark". */
  readonly prefix?: string;
  /** Directory for checkpoints, shared by all processes. Default: the JetStream object store. */
  readonly checkpointDir?: string | undefined;
  /** Replicas of the buckets. Default 1. */
  readonly replicas?: number;
}

/** What every process of a cluster shares. */
export interface Cluster {
  readonly nats: NatsEnvironment;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  readonly feed: EventFeed;
  openRecords(): Promise<RecordStore>;
}

/** What a command needs that only asks or looks: it makes and changes no bucket and no directory. */
export interface ClusterView {
  readonly nats: NatsEnvironment;
  readonly bus: Bus;
  readonly subjects: Subjects;
  /** undefined: no coordinator has ever been here. */
  findRecords(): Promise<RecordStore | undefined>;
  /** @throws ConfigurationError when the checkpoint directory is not there */
  findStorage(): Promise<CheckpointStorage>;
}

export const newId = (): string => randomBytes(8).toString("hex");

const bucketsOf = (prefix: string) => ({
  checkpoints: `${prefix.replaceAll(".", "-")}-checkpoints`,
  jobs: `${prefix.replaceAll(".", "-")}-jobs`,
});

export async function openCluster(nats: NatsEnvironment, options: ClusterOptions = {}): Promise<Cluster> {
  const { prefix = "tidemark", checkpointDir, replicas = 1 } = options;
  const subjects = createSubjects(prefix);
  const buckets = bucketsOf(prefix);
  return {
    nats,
    subjects,
    bus: new NatsBus(nats),
    storage:
      checkpointDir === undefined
        ? await openNatsObjectStorage(nats, { bucket: buckets.checkpoints, replicas })
        : new FileStorage(checkpointDir, "checkpoint-dir"),
    feed: natsEventFeed(nats, subjects),
    openRecords: () => openNatsRecordStore(nats, { bucket: buckets.jobs, replicas }),
  };
}

export function viewCluster(nats: NatsEnvironment, options: ClusterOptions = {}): ClusterView {
  const { prefix = "tidemark", checkpointDir } = options;
  const buckets = bucketsOf(prefix);
  return {
    nats,
    subjects: createSubjects(prefix),
    bus: new NatsBus(nats),
    findRecords: () => findNatsRecordStore(nats, buckets.jobs),
    findStorage: async () =>
      checkpointDir === undefined
        ? await openNatsObjectStorage(nats, { bucket: buckets.checkpoints, readOnly: true })
        : FileStorage.existing(checkpointDir, "checkpoint-dir"),
  };
}

export async function createCoordinator(
  cluster: Cluster,
  options: {
    readonly logger: Logger;
    readonly timings?: Partial<Timings>;
    readonly onCrash: (error: unknown) => void;
  },
): Promise<Coordinator> {
  const id = newId();
  return new Coordinator({
    ...cluster,
    ...options,
    id,
    store: await cluster.openRecords(),
    link: new ControlLink({ bus: cluster.bus, id, storage: cluster.storage }),
    clock: systemClock,
    timings: { ...defaultTimings, ...options.timings },
    newId,
    chance: () => Math.random() * 2 - 1,
  });
}

/** A job with its configuration resolved and its graph built: what workers run and submissions are made of. */
export interface PreparedJob {
  readonly job: Job;
  readonly config: JobConfig;
  readonly graph: JobGraph;
  readonly plan: GraphPlan;
  readonly codeFingerprint: string;
}

export function prepareJob(job: Job, overrides: ConfigOverrides): PreparedJob {
  const config = resolveJobConfig(job.options, overrides);
  const graph = buildGraph(job, config);
  return { job, config, graph, plan: planOf(graph), codeFingerprint: codeFingerprint(job) };
}

/** Asks the sources for their splits and the sinks whether they could commit: runs where the user's code is loaded. */
export async function submissionOf(
  prepared: PreparedJob,
  environment: ConnectorEnvironment,
): Promise<JobSubmission> {
  const { job, config, plan, graph } = prepared;
  const splits: Record<string, readonly { readonly id: string }[]> = {};
  for (const vertex of graph.vertices)
    for (const { operator } of vertex.operators) {
      if (operator.kind === "source") splits[operator.id] = await operator.source.discover(environment);
      if (operator.kind === "sink") await operator.sink.check(environment);
    }
  const { intervalMs, timeoutMs, minPauseMs, retained } = config.checkpointing;
  return {
    job: job.name,
    submissionId: newId(),
    plan,
    graphFingerprint: graphFingerprint(plan),
    codeFingerprint: prepared.codeFingerprint,
    checkpointing: { intervalMs, timeoutMs, minPauseMs, retained },
    restart: config.restart,
    heartbeat: config.heartbeat,
    splits,
  };
}

export interface WorkerAssembly {
  readonly slots: number;
  readonly logger: Logger;
  readonly timings?: Partial<Timings>;
  readonly onRefused: (error: RequestRefusedError) => void;
  readonly onStuck: (error: Error) => void;
}

export function createWorker(cluster: Cluster, prepared: PreparedJob, options: WorkerAssembly): Worker {
  const { config, graph, job } = prepared;
  const id = newId();
  return new Worker({
    ...cluster,
    ...options,
    id,
    job: job.name,
    graph,
    codeFingerprint: prepared.codeFingerprint,
    processId: process.pid,
    link: new ControlLink({ bus: cluster.bus, id, storage: cluster.storage }),
    inlineBytesMax: config.checkpointing.inlineThresholdBytes,
    flushMs: config.channels.flushMs,
    windowFrames: config.channels.windowFrames,
    clock: systemClock,
    timings: { ...defaultTimings, cancelTimeoutMs: config.cancelTimeoutMs, ...options.timings },
  });
}

export function createClient(
  cluster: Pick<ClusterView, "bus" | "subjects">,
  leaderTimeoutMs?: number,
): ControlClient {
  return new ControlClient({
    link: new ControlLink({ bus: cluster.bus, id: newId() }),
    subjects: cluster.subjects,
    ...(leaderTimeoutMs === undefined ? {} : { leaderTimeoutMs }),
  });
}
