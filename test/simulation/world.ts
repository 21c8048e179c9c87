/** One cluster in virtual time: coordinators and workers that crash, pause and lose their connection, and one job. */
import type { JobRecord } from "../../machines/protocol.ts";
import { prepareSubmission, submissionOf } from "../../src/cli/assembly.ts";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { ControlClient } from "../../src/control/client.ts";
import { ControlLink } from "../../src/control/link.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import type { Source, SourceReader } from "../../src/dataflow/source.ts";
import { describeError } from "../../src/errors.ts";
import { defineJob, type, valueState } from "../../src/index.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import type { MemoryBus } from "../../src/memory/bus.ts";
import { MemoryRecordStore } from "../../src/memory/record-store.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { Coordinator } from "../../src/runtime/leader/coordinator.ts";
import { readRecord } from "../../src/runtime/leader/stored-record.ts";
import { defaultTimings } from "../../src/runtime/timings.ts";
import { Worker } from "../../src/runtime/worker/worker.ts";
import type { Scheduler, VirtualProcess } from "./scheduler.ts";
import { Network } from "./surroundings.ts";

export interface Count {
  readonly word: string;
  readonly count: number;
}

export type Role = "worker" | "coordinator";

interface Member {
  readonly role: Role;
  readonly process: VirtualProcess;
  readonly bus: MemoryBus;
}

const JOB = "words";
const WORDS = 40;
const RESTART_MS_MAX = 3000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export class SimulatedWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly store = new MemoryRecordStore();
  readonly storage = new MemoryStorage();
  readonly target = new MemorySinkTarget<Count>();
  readonly logs = [0, 1, 2, 3].map(() => new MemoryLog<string>());
  /** What must never happen: a broken invariant, a refused worker. */
  readonly wrong: string[] = [];
  /** The faults and the steps of the machines, in order. */
  readonly story: string[] = [];
  record: JobRecord | undefined;
  checkpoints = 0;
  recoveries = 0;
  readonly #members: Member[] = [];
  readonly #subjects = createSubjects();
  readonly #prepared;
  readonly #driver: VirtualProcess;

  constructor(scheduler: Scheduler) {
    this.scheduler = scheduler;
    this.network = new Network(scheduler);
    this.#driver = scheduler.process("driver");
    const { random } = scheduler;
    const records = random.between(100, 400);
    for (let i = 0; i < records; i++)
      this.logs[random.between(0, 3)]!.append(`w${random.between(0, WORDS - 1)}`);
    const unaligned = random.next() < 0.4;
    const perSecond = random.between(5, 40);
    const job = defineJob(
      JOB,
      {
        parallelism: 2,
        checkpointing: {
          interval: random.between(200, 2000),
          timeout: random.between(3000, 20_000),
          unaligned,
          ...(unaligned && random.next() < 0.5 ? { alignedTimeout: random.between(10, 1000) } : {}),
        },
        restart: { strategy: "exponential-delay", initialBackoff: 100, maxBackoff: 2000 },
      },
      (builder) => {
        const left = builder.source(
          "left",
          this.#paced(memorySource(this.logs.slice(0, 2), { until: "end" }), perSecond),
        );
        const right = builder.source(
          "right",
          this.#paced(memorySource(this.logs.slice(2), { until: "end" }), perSecond),
        );
        left
          .union(right)
          .keyBy((word) => word)
          .process("count", {
            state: { count: valueState(0) },
            output: type<Count>(),
            onRecord(word, { state, emit }) {
              state.count.set(state.count.get() + 1);
              emit({ word, count: state.count.get() });
            },
          })
          .sink(
            "counts",
            memorySink(this.network.target(this.target), { partMessagesMax: random.between(1, 50) }),
          );
      },
    );
    const flags = { "heartbeat.pingInterval": 500, "heartbeat.timeout": "5 s" };
    this.#prepared = prepareSubmission({ job, code: NO_PROJECT }, { flags });
  }

  tell(line: string): void {
    this.scheduler.note(line);
    this.story.push(`${(this.scheduler.nowMs / 1000).toFixed(3)} ${line}`);
  }

  start(role: Role): void {
    const process = this.scheduler.process(role);
    process.acts("starts", () =>
      role === "worker" ? this.#startWorker(process) : this.#startCoordinator(process),
    );
  }

  /** Those that live, oldest first. */
  members(role: Role): readonly Member[] {
    return this.#members.filter((one) => one.role === role && !one.process.dead);
  }

  /** It does nothing any more, from now on. Another one is started after a while. */
  crash({ process, bus, role }: Member): void {
    if (process.dead) return;
    this.tell(`${process.name} crashes`);
    process.dead = true;
    bus.disconnect();
    this.network.forget(bus);
    const { random } = this.scheduler;
    void this.#driver.passes(random.next() * RESTART_MS_MAX, "restarts").then(() => this.start(role));
  }

  pause({ process }: Member, ms: number): void {
    this.tell(`${process.name} is paused for ${Math.round(ms)} ms`);
    process.pausedUntilMs = this.scheduler.nowMs + ms;
  }

  cut({ process, bus }: Member, ms: number): void {
    this.tell(`${process.name} is cut off for ${Math.round(ms)} ms`);
    process.acts("is cut off", () => bus.disconnect());
    void this.#driver
      .passes(ms, "reconnects")
      .then(() => process.acts("is connected", () => bus.reconnect()));
  }

  stepClock({ process }: Member, ms: number): void {
    this.tell(`the clock of ${process.name} steps by ${Math.round(ms)} ms`);
    process.offsetMs += ms;
  }

  /** Resolves when the job's record is durable. */
  submit(): void {
    const process = this.scheduler.process("client");
    process.acts("submits", () => void this.#submit(process));
  }

  async look(): Promise<void> {
    this.record = (await readRecord(this.store, JOB))?.record;
  }

  /** Each word's counts are 1, 2, 3 …, in order: nothing lost, nothing twice. Shares no code with the engine. */
  verdict(): string[] {
    const findings = [...this.wrong];
    const counts = new Map<string, number>();
    for (const { word, count } of this.target.committed) {
      const expected = (counts.get(word) ?? 0) + 1;
      if (count !== expected) findings.push(`${word} came with ${count} instead of ${expected}`);
      counts.set(word, count);
    }
    const wanted = new Map<string, number>();
    for (const log of this.logs)
      for (let i = 0; i < log.length; i++) wanted.set(log.at(i)!, (wanted.get(log.at(i)!) ?? 0) + 1);
    for (const [word, count] of wanted)
      if (counts.get(word) !== count) findings.push(`${word} came up to ${counts.get(word)} of ${count}`);
    return findings;
  }

  async #submit(process: VirtualProcess): Promise<void> {
    const bus = this.network.connect(process);
    const link = new ControlLink({ bus, id: process.name, clock: process });
    const client = new ControlClient({ link, subjects: this.#subjects, leaderTimeoutMs: 600_000 });
    const environment = { job: JOB, logger: quiet, troubles: new Troubles(process), nats: undefined };
    try {
      const submission = await submissionOf(this.#prepared, environment, this.storage.description);
      await client.submit({ ...submission, submissionId: this.scheduler.newId() }, false);
    } catch (error) {
      this.wrong.push(`submission: ${describeError(error)}`);
    }
  }

  #startWorker(process: VirtualProcess): void {
    const bus = this.network.connect(process);
    const { graph, codeFingerprint, codeListing } = this.#prepared;
    const member: Member = { role: "worker", process, bus };
    this.#members.push(member);
    const worker = new Worker({
      ...this.#surroundings(process, bus),
      job: JOB,
      graph,
      codeFingerprint,
      codeListing,
      slots: 1,
      processId: 1,
      host: "simulation",
      inlineBytesMax: 100,
      flushMs: 2,
      windowFrames: 16,
      checks: true,
      nats: undefined,
      onRefused: (error) => this.wrong.push(`${process.name} was refused: ${describeError(error)}`),
      // As its process would: it ends at once (P29).
      onStuck: () => this.crash(member),
    });
    void worker
      .start()
      .catch((error) => this.tell(`${process.name} does not start: ${describeError(error)}`));
  }

  #startCoordinator(process: VirtualProcess): void {
    const bus = this.network.connect(process);
    this.#members.push({ role: "coordinator", process, bus });
    const coordinator = new Coordinator({
      ...this.#surroundings(process, bus),
      store: this.network.records(process, bus, this.store),
      place: process.name,
      host: "simulation",
      releaseInput: async () => {},
      chance: () => this.scheduler.random.next() * 2 - 1,
      onCrash: (error) => {
        this.wrong.push(`${process.name} crashed: ${describeError(error)}`);
      },
    });
    coordinator.start();
  }

  #surroundings(process: VirtualProcess, bus: MemoryBus) {
    const storage = this.network.storage(process, bus, this.storage);
    const id = this.scheduler.newId();
    return {
      id,
      storage,
      openStorage: async () => storage,
      subjects: this.#subjects,
      link: new ControlLink({ bus, id, storage, clock: process }),
      clock: process,
      newId: this.scheduler.newId,
      logger: quiet,
      troubles: new Troubles(process),
      timings: defaultTimings,
      feed: { publish: (event: FeedEvent) => this.#hear(process, event) },
    };
  }

  #hear(process: VirtualProcess, event: FeedEvent): void {
    if (process.dead) return;
    if (event.effects.includes("store.decision")) this.checkpoints++;
    const { role, id, event: what, from, to, effects } = event;
    this.tell(`${process.name} ${role} ${id}: ${what}, ${from} -> ${to} [${effects.join(", ")}]`);
  }

  /** So much a second for each subtask, so that the input lasts. */
  #paced<T>(source: Source<T>, perSecond: number): Source<T> {
    return {
      ...source,
      open: async (environment, splits) => {
        const process = this.scheduler.current;
        if (process === undefined) throw new Error("a source is opened outside of a step");
        return pacedReader(await source.open(environment, splits), process, perSecond);
      },
    };
  }
}

function pacedReader<T>(
  reader: SourceReader<T>,
  process: VirtualProcess,
  perSecond: number,
): SourceReader<T> {
  const everyMs = 1000 / perSecond;
  let nextMs = process.elapsedMs();
  let wake: () => void = () => {};
  let waits = false;
  return {
    poll(collect, recordsMax) {
      const nowMs = process.elapsedMs();
      if (nowMs >= nextMs) {
        nextMs = Math.max(nextMs + everyMs, nowMs - 10 * everyMs);
        return reader.poll(collect, Math.min(1, recordsMax));
      }
      if (!waits) {
        waits = true;
        process.after(nextMs - nowMs, () => {
          waits = false;
          wake();
        });
      }
      return "idle";
    },
    onAvailable(run) {
      wake = run;
      reader.onAvailable(run);
    },
    describePosition: () => reader.describePosition(),
    snapshot: () => reader.snapshot(),
    checkpointCompleted: (positions) => reader.checkpointCompleted(positions),
    close: () => reader.close(),
  };
}
