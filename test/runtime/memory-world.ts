/** One cluster in memory: the real runtime over the memory twins, in one process, with faults. */
import { expect } from "vitest";
import type { CheckpointingConfig } from "../../machines/protocol.ts";
import { prepareJob, submissionOf } from "../../src/cli/assembly.ts";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { ControlClient } from "../../src/control/client.ts";
import { ControlLink } from "../../src/control/link.ts";
import type { JobReport } from "../../src/control/messages.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import { DisconnectedError } from "../../src/errors.ts";
import { defineJob, type, valueState } from "../../src/index.ts";
import type { JobBuilder } from "../../src/job/builder.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import { MemoryRecordStore } from "../../src/memory/record-store.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { Coordinator } from "../../src/runtime/leader/coordinator.ts";
import type { RecordStore } from "../../src/runtime/record-store.ts";
import { defaultTimings } from "../../src/runtime/timings.ts";
import { Worker } from "../../src/runtime/worker/worker.ts";

export interface Count {
  readonly word: string;
  readonly count: number;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const WORDS = 500;
const BOUND_MS = 30_000;

/** One cluster in memory, and a job that counts words from two logs. */
export class World {
  readonly broker: MemoryBroker;
  readonly store = new MemoryRecordStore();
  readonly storage = new MemoryStorage();
  readonly target = new MemorySinkTarget<Count>();
  readonly logs = [new MemoryLog<string>(), new MemoryLog<string>()];
  readonly events: FeedEvent[] = [];
  readonly crashes: unknown[] = [];
  readonly #workers = new Map<Worker, MemoryBus>();
  readonly #coordinators = new Map<Coordinator, MemoryBus>();
  readonly #prepared;
  readonly #checkpointing: Partial<CheckpointingConfig>;
  readonly #subjects = createSubjects();
  #ids = 0;

  constructor(
    options: {
      readonly drop?: (subject: string) => boolean;
      readonly build?: (builder: JobBuilder, world: World) => void;
      readonly checkpointing?: Partial<CheckpointingConfig>;
    } = {},
  ) {
    this.broker = new MemoryBroker(options);
    this.#checkpointing = options.checkpointing ?? {};
    const { build = countWords } = options;
    const job = defineJob(
      "words",
      {
        parallelism: 2,
        checkpointing: { interval: "50 ms" },
        restart: { strategy: "exponential-delay", initialBackoff: 20 },
      },
      (builder) => build(builder, this),
    );
    this.#prepared = prepareJob(job, {
      flags: { "heartbeat.pingInterval": 20, "heartbeat.timeout": 500 },
    });
  }

  fill(records: number): void {
    for (let i = 0; i < records; i++) this.logs[i % 2]!.append(`w${(i * 7919) % WORDS}`);
  }

  /** As what a process shares, over a connection of its own. */
  #process(bus: MemoryBus) {
    const id = `p${++this.#ids}`;
    return {
      id,
      bus,
      store: reachedOver(bus, this.store),
      storage: this.storage,
      subjects: this.#subjects,
      openStorage: async () => this.storage,
      link: new ControlLink({ bus, id, storage: this.storage }),
      clock: systemClock,
      logger: quiet,
      feed: { publish: (event: FeedEvent) => void this.events.push(event) },
      nats: undefined,
      timings: {
        ...defaultTimings,
        connectionSettledMs: 0,
        secondProbeMs: 20,
        registerIntervalMs: 50,
        leaseMs: 200,
      },
    };
  }

  startCoordinator(): Coordinator {
    const bus = this.broker.connect();
    const coordinator = new Coordinator({
      ...this.#process(bus),
      newId: () => `id${++this.#ids}`,
      chance: () => 0,
      onCrash: (error) => this.crashes.push(error),
    });
    this.#coordinators.set(coordinator, bus);
    coordinator.start();
    return coordinator;
  }

  async startWorker(): Promise<Worker> {
    const bus = this.broker.connect();
    const { graph, codeFingerprint, job } = this.#prepared;
    const worker = new Worker({
      ...this.#process(bus),
      job: job.name,
      graph,
      codeFingerprint,
      slots: 1,
      processId: this.#ids,
      inlineBytesMax: 100,
      flushMs: 2,
      windowFrames: 16,
      onRefused: (error) => this.crashes.push(error),
      onStuck: (error) => this.crashes.push(error),
    });
    this.#workers.set(worker, bus);
    await worker.start();
    return worker;
  }

  /** It does not end in order: it is cut off for ever, and goes on by itself like a zombie. */
  cutOff(what: Worker | Coordinator): void {
    (this.#workers.get(what as Worker) ?? this.#coordinators.get(what as Coordinator))?.disconnect();
  }

  client(): ControlClient {
    return new ControlClient({
      link: new ControlLink({ bus: this.broker.connect(), id: "client" }),
      subjects: this.#subjects,
    });
  }

  async submit(): Promise<void> {
    const { job } = this.#prepared;
    const environment = { job: job.name, logger: quiet, nats: undefined };
    const submission = await submissionOf(this.#prepared, environment, this.storage.description);
    const checkpointing = { ...submission.checkpointing, ...this.#checkpointing };
    await this.client().submit({ ...submission, checkpointing }, false);
  }

  async finished(): Promise<JobReport> {
    const client = this.client();
    const endMs = performance.now() + BOUND_MS;
    for (;;) {
      const report = await client.status("words");
      if (report?.status === "finished") return report;
      if (report?.status === "failed" || performance.now() > endMs)
        throw new Error(`not finished: ${JSON.stringify(report)} ${this.crashes}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Resolves when the feed has this many completed checkpoints. */
  async checkpoints(count: number): Promise<void> {
    const endMs = performance.now() + BOUND_MS;
    while (this.events.filter((event) => event.role === "coordinator").length < count) {
      if (performance.now() > endMs) throw new Error("checkpoints do not complete");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
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
  }
}

function countWords(builder: JobBuilder, { logs, target }: World): void {
  builder
    .source("log", memorySource(logs, { until: "end" }))
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      output: type<Count>(),
      onRecord(word, { state, emit }) {
        state.count.set(state.count.get() + 1);
        emit({ word, count: state.count.get() });
      },
    })
    .sink("counts", memorySink(target));
}

/** A process that is cut off reaches the records no more than anything else. */
function reachedOver(bus: MemoryBus, store: RecordStore): RecordStore {
  const connected = async <T>(work: () => Promise<T>): Promise<T> => {
    if (bus.connectedForMs() === 0) throw new DisconnectedError("cut off");
    return work();
  };
  return {
    read: (key) => connected(() => store.read(key)),
    compareAndSet: (key, value, revision) => connected(() => store.compareAndSet(key, value, revision)),
    keys: (prefix) => connected(() => store.keys(prefix)),
  };
}
