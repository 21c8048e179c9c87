/**
 * The place that picks NATS: puts a coordinator, a worker or a client together on one connection.
 *
 * Owns: which implementation stands behind each contract. Does not own: flags and output (the commands), behaviour.
 */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { CodeListing } from "../../machines/protocol.ts";
import type { OpenStorage } from "../checkpoint/savepoint.ts";
import { SavepointPlaces } from "../checkpoint/savepoint-places.ts";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import { systemClock } from "../clock.ts";
import type { StorageConfig } from "../config/checkpointing.ts";
import { type ConfigOverrides, type JobConfig, resolveJobConfig } from "../config/job-config.ts";
import { ControlClient, type ControlClientOptions } from "../control/client.ts";
import { ControlLink } from "../control/link.ts";
import { StoreIdentity } from "../control/store-identity.ts";
import type { Bus } from "../dataflow/channel/bus.ts";
import { createSubjects, type Subjects } from "../dataflow/channel/subjects.ts";
import type { Logger } from "../dataflow/connector.ts";
import type { JobGraph } from "../dataflow/graph.ts";
import type { RequestRefusedError } from "../errors.ts";
import { listingOf } from "../job/code/code-listing.ts";
import type { LoadedJob } from "../job/code/load.ts";
import { codeFingerprint } from "../job/fingerprint.ts";
import { buildGraph, checkIterations, withOvertaking } from "../job/graph.ts";
import type { Job } from "../job/job.ts";
import { type GraphPlan, planOf } from "../job/plan.ts";
import { repeatedByRestart } from "../job/repeats.ts";
import { lateFirings } from "../job/time/late-firings.ts";
import { LeaderMemory } from "../memory/leader-memory.ts";
import { MemoryService } from "../memory/memory-service.ts";
import { MemoryStorage } from "../memory/storage.ts";
import { NatsBus } from "../nats/connection/bus.ts";
import { describeCaptures } from "../nats/connection/captures.ts";
import type { NatsEnvironment } from "../nats/connection/environment.ts";
import { natsEventFeed } from "../nats/connection/feed.ts";
import { NatsLink } from "../nats/connection/link.ts";
import { releaseProgress } from "../nats/reader/progress.ts";
import {
  findNatsRecordStore,
  openNatsRecordStore,
  recordStoreIdentity,
} from "../nats/storage/record-store.ts";
import type { EventFeed } from "../observe/feed.ts";
import { Troubles } from "../observe/troubles.ts";
import { Coordinator } from "../runtime/leader/coordinator.ts";
import type { OwnJob } from "../runtime/leader/coordinator-options.ts";
import type { RecordStore } from "../runtime/record-store.ts";
import { defaultTimings, type Timings } from "../runtime/timings.ts";
import { type GraphOf, Worker, type WorkerOptions } from "../runtime/worker/worker.ts";
import {
  describeCheckpointStorage,
  findCheckpointStorage,
  openCheckpointStorage,
  type PlacedStorage,
  storageOpener,
} from "./storage/places.ts";
import { leaseHolders } from "./stored/leases.ts";
import { withMade } from "./submission/made-before.ts";

export interface ClusterOptions {
  /** First tokens of every subject, and, with dashes, of the buckets. Default "tidemark". */
  readonly prefix?: string;
  /** The storage of checkpoints, the same for all processes. Default, and with null: the JetStream object store. */
  readonly storage?: StorageConfig | null;
  /** The process may lead: the storage "memory" is its own. Default false. */
  readonly leads?: boolean;
  /** Replicas of the buckets. Default: as they are, 1 for those that are made. */
  readonly replicas?: number | undefined;
  /** Size limit of the buckets with checkpoints and savepoints, in bytes. Default: as they are, none for new ones. */
  readonly maxBytes?: number | undefined;
  /** Where savepoints may be written. Default: anywhere. */
  readonly savepointPlaces?: SavepointPlaces;
}

/** What every process of a cluster shares. */
export interface Cluster {
  readonly nats: NatsEnvironment;
  readonly bus: Bus;
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  readonly storageConfig: StorageConfig | null;
  readonly openStorage: OpenStorage;
  readonly savepointPlaces: SavepointPlaces;
  readonly feed: EventFeed;
  readonly troubles: Troubles;
  readonly identity: StoreIdentity;
  openRecords(): Promise<RecordStore>;
}

/** What a command needs that only asks or looks: it makes and changes no bucket and no directory. */
export interface ClusterView {
  readonly nats: NatsEnvironment;
  readonly bus: Bus;
  readonly troubles: Troubles;
  readonly identity: StoreIdentity;
  readonly subjects: Subjects;
  readonly openStorage: OpenStorage;
  /** null: no option names one. */
  readonly storageConfig: StorageConfig | null;
  /** The description of the checkpoint storage, as the storage itself would say it. */
  describeStorage(): Promise<string>;
  /** The KV bucket of the records of jobs. */
  readonly recordBucket: string;
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
  const { prefix = "tidemark", storage = null, replicas, maxBytes } = options;
  const { savepointPlaces = SavepointPlaces.anywhere, leads = false } = options;
  const bus = new NatsBus(nats);
  const subjects = createSubjects(prefix);
  const buckets = bucketsOf(prefix);
  const made: string[] = [];
  const opening = { leads, replicas, maxBytes, made: (what: string) => void made.push(what) };
  return {
    nats,
    subjects,
    bus,
    storageConfig: storage,
    storage: await openCheckpointStorage(nats, placedStorage(nats, bus, storage, prefix), opening),
    openStorage: storageOpener(nats, storage, { replicas, maxBytes, places: savepointPlaces }),
    savepointPlaces,
    feed: natsEventFeed(nats, subjects),
    troubles: troublesOf(nats),
    identity: identityOf(nats, prefix, buckets.jobs),
    openRecords: () =>
      openNatsRecordStore(nats, { bucket: buckets.jobs, replicas }).catch((error: unknown) => {
        throw withMade(error, made);
      }),
  };
}

/** Says which streams capture the control subjects, if any do. Never rejects. */
export async function warnOfCaptures(
  { nats, subjects }: Pick<ClusterView, "nats" | "subjects">,
  logger: Logger,
): Promise<void> {
  const described = await describeCaptures(nats, subjects.prefix, subjects.controlPatterns());
  for (const one of described) logger.warn({}, one);
}

export function viewCluster(
  nats: NatsEnvironment,
  options: Pick<ClusterOptions, "prefix" | "storage"> = {},
): ClusterView {
  const { prefix = "tidemark", storage = null } = options;
  const buckets = bucketsOf(prefix);
  const bus = new NatsBus(nats);
  const place = placedStorage(nats, bus, storage, prefix);
  return {
    nats,
    subjects: createSubjects(prefix),
    openStorage: storageOpener(nats, storage),
    storageConfig: storage,
    describeStorage: () => describeCheckpointStorage(nats, place),
    bus,
    troubles: troublesOf(nats),
    identity: identityOf(nats, prefix, buckets.jobs),
    recordBucket: buckets.jobs,
    findRecords: () => findNatsRecordStore(nats, buckets.jobs),
    findStorage: () => findCheckpointStorage(nats, place),
  };
}

function placedStorage(
  nats: NatsEnvironment,
  bus: Bus,
  config: StorageConfig | null,
  prefix: string,
): PlacedStorage {
  const buckets = bucketsOf(prefix);
  const subjects = createSubjects(prefix);
  const memory = {
    bus,
    newId,
    subjectOf: (leader: string) => subjects.leaderMemory(leader),
    find: async (job: string) => await leaseHolders(await findNatsRecordStore(nats, buckets.jobs), job),
    stateBytesMax: config?.kind === "memory" ? config.stateBytesMax : 0,
  };
  return { config, bucket: buckets.checkpoints, prefix, memory };
}

function identityOf(nats: NatsEnvironment, prefix: string, bucket: string): StoreIdentity {
  const find = () => recordStoreIdentity(nats, bucket);
  return new StoreIdentity({ find, prefix, bucket, clock: systemClock });
}

/** The process's, with those of its connection. */
function troublesOf(nats: NatsEnvironment): Troubles {
  const troubles = new Troubles(systemClock);
  NatsLink.of(nats.connection).watchWith(troubles);
  return troubles;
}

export async function createCoordinator(
  cluster: Cluster,
  options: {
    readonly logger: Logger;
    readonly timings?: Partial<Timings>;
    /** It leads this job only. */
    readonly own?: OwnJob | undefined;
    readonly onRefused: (error: RequestRefusedError) => void;
    readonly onCrash: (error: unknown) => void;
  },
): Promise<Coordinator> {
  const id = newId();
  const { storage, storageConfig, bus, subjects } = cluster;
  if (storage instanceof MemoryStorage && storageConfig?.kind === "memory") {
    const subject = subjects.leaderMemory(id);
    const { stateBytesMax } = storageConfig;
    // It ends with the connection.
    new MemoryService({ bus, subject, storage, clock: systemClock, stateBytesMax });
  }
  return new Coordinator({
    ...cluster,
    ...options,
    id,
    place: `pid ${process.pid} on ${hostname()}`,
    host: hostname(),
    store: await cluster.openRecords(),
    link: new ControlLink({
      bus: cluster.bus,
      id,
      clock: systemClock,
      storage: cluster.storage,
      logger: options.logger,
    }),
    clock: systemClock,
    timings: { ...defaultTimings, ...options.timings },
    newId,
    releaseInput: (record, signal, successor) => releaseProgress(cluster.nats, record, signal, successor),
    chance: () => Math.random() * 2 - 1,
  });
}

/** A job with its configuration resolved and its graph built: what workers run and submissions are made of. */
export interface PreparedJob {
  readonly job: Job;
  readonly config: JobConfig;
  /** What will not hold as it was written, or not do what it seems to, for the user who starts the job. */
  readonly warnings: readonly string[];
  readonly graph: JobGraph;
  /** The graph with other numbers of subtasks. */
  readonly graphOf: GraphOf;
  readonly plan: GraphPlan;
  readonly codeFingerprint: string;
  readonly codeListing: CodeListing;
}

export function prepareJob({ job, code }: LoadedJob, overrides: ConfigOverrides): PreparedJob {
  const resolved = resolveJobConfig(job.options, overrides, { repeats: repeatedByRestart(job) });
  const config = withOvertaking(job, resolved.config);
  const graph = buildGraph(job, config);
  return {
    ...{ job, config, graph },
    graphOf: (wanted) => buildGraph(job, { ...config, ...wanted }),
    warnings: [...resolved.warnings, ...lateFirings(job.operators)],
    plan: planOf(graph),
    codeFingerprint: codeFingerprint(job, code),
    codeListing: listingOf(code),
  };
}

/** The job as a client prepares it that submits it: this configuration holds for all processes. */
export function prepareSubmission(loaded: LoadedJob, overrides: ConfigOverrides): PreparedJob {
  const prepared = prepareJob(loaded, overrides);
  checkIterations(loaded.job, prepared.config);
  return prepared;
}

export interface WorkerAssembly extends Pick<WorkerOptions, "backends" | "copies"> {
  readonly slots: number;
  readonly logger: Logger;
  readonly timings?: Partial<Timings>;
  readonly onRefused: (error: RequestRefusedError) => void;
  readonly onStuck: (error: Error) => void;
}

export function createWorker(cluster: Cluster, prepared: PreparedJob, options: WorkerAssembly): Worker {
  const { config, graphOf, job } = prepared;
  const id = newId();
  const { storage } = cluster;
  return new Worker({
    ...cluster,
    ...options,
    id,
    job: job.name,
    graphOf,
    codeFingerprint: prepared.codeFingerprint,
    codeListing: prepared.codeListing,
    processId: process.pid,
    host: hostname(),
    onDeploying: (leader) => {
      if (storage instanceof LeaderMemory) storage.leader = leader;
    },
    link: new ControlLink({
      bus: cluster.bus,
      id,
      clock: systemClock,
      storage: cluster.storage,
      logger: options.logger,
    }),
    inlineBytesMax: config.checkpointing.inlineThresholdBytes,
    flushMs: config.channels.flushMs,
    windowFrames: config.channels.windowFrames,
    checks: config.checks ?? false,
    clock: systemClock,
    newId,
    timings: { ...defaultTimings, cancelTimeoutMs: config.cancelTimeoutMs, ...options.timings },
  });
}

/** @param more `isLed` and `onUnled`: for a command whose user waits for a leader */
export function createClient(
  cluster: Pick<ClusterView, "bus" | "subjects" | "identity">,
  leaderTimeoutMs?: number,
  session?: string,
  more: Pick<ControlClientOptions, "isLed" | "onUnled"> = {},
): ControlClient {
  return new ControlClient({
    link: new ControlLink({ bus: cluster.bus, id: newId(), clock: systemClock }),
    subjects: cluster.subjects,
    newId,
    identity: cluster.identity,
    ...(leaderTimeoutMs === undefined ? {} : { leaderTimeoutMs }),
    ...(session === undefined ? {} : { session }),
    ...more,
  });
}
