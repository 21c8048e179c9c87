/** The whole engine without NATS: a cluster over the memory twins in one process, which a test disturbs. */

import { expect } from "vitest";
import type { CheckpointingConfig, JobRecord } from "../../machines/protocol.ts";
import { SavepointPlaces } from "../../src/checkpoint/savepoint-places.ts";
import type { CheckpointStorage, ObjectHandle } from "../../src/checkpoint/storage.ts";
import { newId, prepareSubmission } from "../../src/cli/assembly.ts";
import { submissionOf } from "../../src/cli/submission/submission.ts";
import { systemClock } from "../../src/clock.ts";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { ControlClient } from "../../src/control/client.ts";
import { ControlLink } from "../../src/control/link.ts";
import type {
  JobReport,
  JobSubmission,
  RestoreRequest,
  SnapshotRequest,
} from "../../src/control/messages.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import type { Source } from "../../src/dataflow/source.ts";
import { DisconnectedError } from "../../src/errors.ts";
import { jobKey, parseRecord } from "../../src/formats/job-record.ts";
import { defineJob } from "../../src/index.ts";
import type { JobBuilder } from "../../src/job/builder.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import { MemoryRecordStore } from "../../src/memory/record-store.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { Coordinator } from "../../src/runtime/leader/coordinator.ts";
import type { OwnJob } from "../../src/runtime/leader/coordinator-options.ts";
import { readRecord } from "../../src/runtime/leader/records/stored-record.ts";
import type { RecordStore } from "../../src/runtime/record-store.ts";
import { Worker } from "../../src/runtime/worker/worker.ts";
import { throttled } from "./graphs/throttled-source.ts";
import { type Count, wordCount } from "./graphs/word-count.ts";
import { latch } from "./latch.ts";
import { WAIT_BOUND_MS } from "./suite/patience.ts";
import { shortTimings } from "./suite/timings.ts";
import { GiveUpError, until } from "./until.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const WORDS = 500;

export interface WorldOptions {
  /** Where checkpoints lie. Default: in memory. */
  readonly storage?: CheckpointStorage;
  readonly savepoints?: CheckpointStorage;
  readonly drop?: (subject: string) => boolean;
  readonly build?: (builder: JobBuilder, world: MemoryWorld) => void;
  /** The parallelism of the job. Default 2. */
  readonly parallelism?: number;
  /** The interval of checkpoints. Default 50 ms. */
  readonly interval?: string;
  readonly readyTimeout?: string;
  /** The setting of jobs with loops. */
  readonly iterations?: CheckpointingConfig["iterations"];
  /** Instead of what the options above come to. */
  readonly checkpointing?: Partial<CheckpointingConfig>;
  /**
   * The most for each subtask of `paced` sources: the input lasts for so many checkpoints at least. Default: no limit.
   */
  readonly recordsPerCheckpoint?: number;
  /** Whether the input ends where it is when the job is submitted. Default true. */
  readonly bounded?: boolean;
}

/** A request to job "words". */
export const snapshotRequest = (
  some: Pick<SnapshotRequest, "request" | "kind"> & Partial<SnapshotRequest>,
): SnapshotRequest => ({
  type: "job.snapshot",
  job: "words",
  directory: null,
  followedBy: "go-on",
  ...some,
});

/** One cluster in memory, and a job that counts words from two logs. */
export class MemoryWorld {
  readonly broker: MemoryBroker;
  readonly store = new MemoryRecordStore();
  readonly storage: CheckpointStorage;
  readonly target = new MemorySinkTarget<Count>();
  readonly logs = [new MemoryLog<string>(), new MemoryLog<string>()];
  readonly events: FeedEvent[] = [];
  readonly crashes: unknown[] = [];
  readonly #workers = new Map<Worker, MemoryBus>();
  readonly #coordinators = new Map<Coordinator, MemoryBus>();
  readonly #coordinatorIds = new Map<Coordinator, string>();
  readonly #prepared;
  readonly #subjects = createSubjects();
  #ids = 0;
  /** The warnings of Node about this process: listeners that are left behind. */
  readonly #warnings: string[] = [];
  readonly #warned = ({ name, message }: Error) => {
    if (name === "MaxListenersExceededWarning") this.#warnings.push(message);
  };

  readonly #checkpointing: Partial<CheckpointingConfig>;
  readonly bounded: boolean;
  readonly #recordsPerCheckpoint: number | undefined;
  /** The storage of savepoints, whatever their root. */
  readonly savepoints: CheckpointStorage;
  /** Told of each event that any process publishes. */
  onEvent: (event: FeedEvent) => void = () => {};
  /** Before each write of the job record: it waits for this. */
  beforeStore: (record: JobRecord) => Promise<void> = async () => {};
  /** Before each object that goes into a savepoint. */
  beforeSave: () => Promise<void> = async () => {};
  /** Before each object of a checkpoint that is written, manifests included. */
  beforePut: (name: string) => Promise<void> = async () => {};
  /** Before each object of a checkpoint that is deleted. */
  beforeDelete: () => Promise<void> = async () => {};
  /** Before each object of a checkpoint that is read. */
  beforeGet: (name: string) => Promise<void> = async () => {};
  afterStore: (record: JobRecord) => void = () => {};

  constructor(options: WorldOptions = {}) {
    process.on("warning", this.#warned);
    this.#checkpointing = options.checkpointing ?? {};
    this.broker = new MemoryBroker(options);
    this.storage = options.storage ?? new MemoryStorage();
    this.savepoints = options.savepoints ?? new MemoryStorage();
    this.bounded = options.bounded ?? true;
    this.#recordsPerCheckpoint = options.recordsPerCheckpoint;
    const { build = countWords, parallelism = 2, interval = "50 ms" } = options;
    const { readyTimeout = "1 h", iterations } = options;
    const job = defineJob(
      "words",
      {
        parallelism,
        checkpointing: { interval, readyTimeout, iterations },
        restart: { strategy: "exponential-delay", initialBackoff: 20 },
      },
      (builder) => build(builder, this),
    );
    const overrides = {
      // A worker that is cut off is noticed because no process answers for it.
      flags: { "heartbeat.pingInterval": 20, "heartbeat.timeout": "1 h" },
    };
    this.#prepared = prepareSubmission({ job, code: NO_PROJECT }, overrides);
  }

  paced<T>(source: Source<T>): Source<T> {
    if (this.#recordsPerCheckpoint === undefined) return source;
    return throttled(source, {
      recordsPerSecond: Number.MAX_SAFE_INTEGER,
      recordsPerCheckpoint: this.#recordsPerCheckpoint,
    });
  }

  fill(records: number): void {
    for (let i = 0; i < records; i++) this.logs[i % 2]!.append(`w${(i * 7919) % WORDS}`);
  }

  /** What a process shares, over a connection of its own. */
  #process(bus: MemoryBus) {
    const id = `p${++this.#ids}`;
    const deleting = delayed(this.storage, "delete", () => this.beforeDelete());
    const getting = delayed(deleting, "get", (name) => this.beforeGet(name));
    const storage = delayed(getting, "put", (name) => this.beforePut(name));
    return {
      id,
      bus,
      store: reachedOver(bus, this.store, this),
      storage,
      openStorage: async () => delayed(this.savepoints, "put", () => this.beforeSave()),
      subjects: this.#subjects,
      link: new ControlLink({ bus, id, storage, clock: systemClock }),
      clock: systemClock,
      newId,
      logger: quiet,
      troubles: new Troubles(systemClock),
      feed: {
        publish: (event: FeedEvent) => {
          this.events.push(event);
          this.onEvent(event);
        },
      },
      nats: undefined,
      timings: {
        ...shortTimings,
        connectionSettledMs: 0,
        secondProbeMs: 20,
        leaseMs: 200,
      },
    };
  }

  /** @param own the coordinator of a `tidemark run`, which leads this job alone */
  startCoordinator(own?: OwnJob): Coordinator {
    const bus = this.broker.connect();
    const shared = this.#process(bus);
    const coordinator = new Coordinator({
      savepointPlaces: SavepointPlaces.anywhere,
      ...shared,
      own,
      place: `process ${shared.id}`,
      host: "here",
      releaseInput: async () => {},
      chance: () => 0,
      onRefused: (error) => this.crashes.push(error),
      onCrash: (error) => this.crashes.push(error),
    });
    this.#coordinators.set(coordinator, bus);
    this.#coordinatorIds.set(coordinator, shared.id);
    coordinator.start();
    return coordinator;
  }

  async startWorker(): Promise<Worker> {
    const bus = this.broker.connect();
    const { graphOf, codeFingerprint, codeListing, job } = this.#prepared;
    const worker = new Worker({
      ...this.#process(bus),
      job: job.name,
      graphOf,
      codeFingerprint,
      codeListing,
      slots: 1,
      processId: this.#ids,
      host: "memory",
      inlineBytesMax: 100,
      flushMs: 2,
      windowFrames: 16,
      checks: true,
      onRefused: (error) => this.crashes.push(error),
      onStuck: (error) => this.crashes.push(error),
    });
    this.#workers.set(worker, bus);
    await worker.start();
    return worker;
  }

  /**
   * A coordinator, two workers and the job, with so many records to read.
   *
   * @returns the first worker
   */
  async begins(records: number): Promise<Worker> {
    this.fill(records);
    this.startCoordinator();
    const [first] = await Promise.all([this.startWorker(), this.startWorker()]);
    await this.submit();
    return first;
  }

  /** The worker is cut off for ever, and another one takes its place. */
  async replace(worker: Worker): Promise<void> {
    this.cutOff(worker);
    await this.startWorker();
  }

  /** It does not end in order: it is cut off for ever, and goes on by itself like a zombie. */
  cutOff(what: Worker | Coordinator): void {
    (this.#workers.get(what as Worker) ?? this.#coordinators.get(what as Coordinator))?.disconnect();
  }

  /** What was cut off is connected again. */
  reconnect(what: Coordinator): void {
    this.#coordinators.get(what)?.reconnect();
  }

  idOf(what: Coordinator): string {
    return this.#coordinatorIds.get(what) ?? "";
  }

  /** @param session of a run */
  client(settlingTimeoutMs?: number, session?: string): ControlClient {
    return new ControlClient({
      ...(settlingTimeoutMs === undefined ? {} : { settlingTimeoutMs }),
      link: new ControlLink({ bus: this.broker.connect(), id: "client", clock: systemClock }),
      subjects: this.#subjects,
      newId,
      leaderTimeoutMs: WAIT_BOUND_MS,
      ...(session === undefined ? {} : { session }),
    });
  }

  /** @param session of the run that hands it in, rather than a client of the cluster */
  async submit(restore: RestoreRequest | null = null, session?: string, fresh = false): Promise<void> {
    await this.client(undefined, session).submit(await this.#submission(), fresh, restore);
  }

  /** Rehearses the restore of a job of this name. */
  async rehearse(job: string, restore: RestoreRequest): Promise<void> {
    await this.client().rehearse({ ...(await this.#submission()), job }, false, restore);
  }

  async #submission(): Promise<JobSubmission> {
    const { job } = this.#prepared;
    const troubles = new Troubles(systemClock);
    const environment = { job: job.name, logger: quiet, troubles, nats: undefined };
    const submission = await submissionOf(this.#prepared, environment, this.storage.description);
    const checkpointing = { ...submission.checkpointing, ...this.#checkpointing };
    return { ...submission, checkpointing };
  }

  /** The first that was started. */
  get leader(): Coordinator {
    return [...this.#coordinators.keys()][0]!;
  }

  get firstWorker(): Worker {
    return [...this.#workers.keys()][0]!;
  }

  get lastWorker(): Worker {
    return [...this.#workers.keys()].at(-1)!;
  }

  async record(): Promise<JobRecord> {
    const found = await readRecord(this.store, "words");
    if (found === undefined) throw new Error("there is no record");
    return found.record;
  }

  /** A job that has failed for good ends the waiting, unless that is what is waited for. */
  comesTo(what: string, isThere: (report: JobReport) => boolean): Promise<JobReport> {
    const client = this.client();
    let last: JobReport | undefined;
    return until(
      what,
      async () => {
        last = await client.status("words");
        if (last === undefined || isThere(last)) return last;
        if (last.status === "failed") throw new GiveUpError(`${what}: ${JSON.stringify(last)}`);
        return undefined;
      },
      { everyMs: 5, describe: () => `${JSON.stringify(last)} ${this.crashes}` },
    );
  }

  ends(status: string): Promise<JobReport> {
    return this.comesTo(status, (report) => report.status === status);
  }

  runs(): Promise<JobReport> {
    return this.comesTo("the job runs", ({ phase }) => phase === "running.processing");
  }

  /** Every record of the logs comes out, by checkpoints asked for, and nothing else. */
  async allCommitted(): Promise<void> {
    const client = this.client();
    const wanted = this.logs.reduce((sum, log) => sum + log.length, 0);
    await until(
      `${wanted} records are committed`,
      async () => {
        const request = `commit${++this.#ids}`;
        await client.snapshot(snapshotRequest({ request, kind: "checkpoint" }));
        return this.target.committed.length >= wanted || undefined;
      },
      { everyMs: 5, describe: () => `${this.target.committed.length}` },
    );
    this.expectExact();
  }

  finished(): Promise<JobReport> {
    return this.comesTo("finished", ({ status }) => status === "finished");
  }

  /** Resolves when the feed has this many completed checkpoints. */
  async checkpoints(count: number): Promise<void> {
    const completed = () => this.events.filter((event) => event.role === "coordinator").length;
    await until(`${count} checkpoints are completed`, () => completed() >= count, {
      everyMs: 5,
      describe: () => `${completed()}`,
    });
  }

  /** Each word's counts are 1, 2, 3 …, in order: nothing lost, nothing twice. */
  expectExact(): void {
    const counts = new Map<string, number>();
    for (const { word, count } of this.target.committed) {
      expect(count).toBe((counts.get(word) ?? 0) + 1);
      counts.set(word, count);
    }
    const expected = new Map<string, number>();
    for (const log of this.logs)
      for (let i = 0; i < log.length; i++) expected.set(log.at(i)!, (expected.get(log.at(i)!) ?? 0) + 1);
    expect(counts).toEqual(expected);
    expect(this.crashes).toEqual([]);
  }

  async close(): Promise<void> {
    for (const worker of this.#workers.keys()) await worker.stop();
    for (const [coordinator, bus] of this.#coordinators)
      if (bus.connectedForMs() > 0) await coordinator.stop();
    process.off("warning", this.#warned);
    expect(this.#warnings).toEqual([]);
  }
}

export function countWords(builder: JobBuilder, world: MemoryWorld): void {
  const { logs, target, bounded } = world;
  wordCount(builder, world.paced(memorySource(logs, bounded ? { until: "end" } : {})), memorySink(target));
}

/** Each call of `method` waits for `before`. */
function delayed(
  storage: CheckpointStorage,
  method: keyof CheckpointStorage,
  before: (name: string) => Promise<void>,
): CheckpointStorage {
  return new Proxy(storage, {
    get(target, name) {
      const found: unknown = Reflect.get(target, name);
      if (typeof found !== "function") return found;
      if (name !== method) return found.bind(target);
      return async (object: string | ObjectHandle, ...more: unknown[]) => {
        const name = typeof object === "string" ? object : object.name;
        const signal = more.find((one) => one instanceof AbortSignal);
        const { opened: aborted, open: abort } = latch();
        signal?.addEventListener("abort", abort);
        await Promise.race([before(name), aborted]);
        signal?.removeEventListener("abort", abort);
        return found.apply(target, [object, ...more]);
      };
    },
  });
}

/** A process that is cut off reaches the records no more than anything else. */
function reachedOver(bus: MemoryBus, store: RecordStore, world: MemoryWorld): RecordStore {
  const connected = async <T>(work: () => Promise<T>): Promise<T> => {
    if (bus.connectedForMs() === 0) throw new DisconnectedError("cut off");
    return work();
  };
  return {
    bucket: store.bucket,
    read: (key) => connected(() => store.read(key)),
    async compareAndSet(key, value, revision) {
      const record = key === jobKey("words") ? parseRecord(value, key, store.bucket) : undefined;
      if (record !== undefined) await world.beforeStore(record);
      const answer = await connected(() => store.compareAndSet(key, value, revision));
      if (record !== undefined && answer.outcome === "stored") world.afterStore(record);
      return answer;
    },
    keys: (prefix) => connected(() => store.keys(prefix)),
  };
}
