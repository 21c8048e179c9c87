/** The whole engine without NATS: the same runtime over the memory twins, in one process, with faults. */
import { afterEach, describe, expect, test } from "vitest";
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

interface Count {
  readonly word: string;
  readonly count: number;
}

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const WORDS = 500;
const BOUND_MS = 30_000;

/** One cluster in memory, and a job that counts words from two logs. */
class World {
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
  readonly #subjects = createSubjects();
  #ids = 0;

  constructor(
    options: {
      readonly drop?: (subject: string) => boolean;
      readonly build?: (builder: JobBuilder, world: World) => void;
    } = {},
  ) {
    this.broker = new MemoryBroker(options);
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
      openStorage: async () => this.storage,
      subjects: this.#subjects,
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
    await this.client().submit(
      await submissionOf(
        this.#prepared,
        { job: job.name, logger: quiet, nats: undefined },
        this.storage.description,
      ),
      false,
    );
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

/** The same counts over every kind of operator and edge: two sources in a union, a rebalance, a reduce. */
function countWordsTheLongWay(builder: JobBuilder, { logs, target }: World): void {
  const [first, second] = logs.map((log, i) =>
    builder.source(`log-${i}`, memorySource([log], { until: "end" }), { parallelism: 1 }),
  );
  first!
    .union(second!)
    .rebalance()
    .flatMap("twice", (word) => [word, `${word}-again`])
    .filter("once", (word) => !word.endsWith("-again"))
    .map("one", (word): Count => ({ word, count: 1 }))
    .keyBy(({ word }) => word)
    .reduce("sum", (sum, one) => ({ word: sum.word, count: sum.count + one.count }))
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

describe("a job over the memory twins", () => {
  let world: World;

  afterEach(async () => {
    await world.close();
  });

  test("processes bounded input exactly once and ends by itself", async () => {
    world = new World();
    world.fill(20_000);
    world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.finished();
    world.expectExact();
  });

  test("does so over a union, a rebalance and a reduce, with a worker lost on the way", async () => {
    world = new World({ build: countWordsTheLongWay });
    world.fill(200_000);
    world.startCoordinator();
    const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(2);
    world.cutOff(first);
    await world.startWorker();
    await world.finished();
    world.expectExact();
  });

  test("recovers from a worker that is cut off and goes on as a zombie", async () => {
    world = new World();
    world.fill(400_000);
    world.startCoordinator();
    const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(2);
    world.cutOff(first);
    await world.startWorker();
    const report = await world.finished();
    expect(report.generation).toBeGreaterThan(1);
    world.expectExact();
  });

  test("a standby takes over from a leader that is cut off", async () => {
    world = new World();
    world.fill(400_000);
    const leader = world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(2);
    world.startCoordinator();
    world.cutOff(leader);
    await world.finished();
    world.expectExact();
  });

  test("lost frames fail the generation, not the output (P26)", async () => {
    let frames = 0;
    world = new World({
      drop: (subject) => subject.includes(".channel.") && ++frames % 97 === 0 && frames < 400,
    });
    world.fill(400_000);
    world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    const report = await world.finished();
    expect(report.generation).toBeGreaterThan(1);
    world.expectExact();
  });

  test("lost control messages are repeated", async () => {
    let messages = 0;
    world = new World({ drop: (subject) => !subject.includes(".channel") && ++messages % 7 === 0 });
    world.fill(20_000);
    world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.finished();
    world.expectExact();
  });
});
