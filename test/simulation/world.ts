/** One cluster in virtual time: coordinators and workers that crash, pause and lose their connection, and its jobs. */

import type { JobRecord, Manifest } from "../../machines/protocol.ts";
import { LocalCopies } from "../../src/checkpoint/local-copies.ts";
import { SavepointPlaces } from "../../src/checkpoint/savepoint-places.ts";
import { type MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { type MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { ControlLink } from "../../src/control/link.ts";
import type { RestoreRequest } from "../../src/control/messages.ts";
import { encodeMessage } from "../../src/control/wire.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import type { Sink } from "../../src/dataflow/sink.ts";
import type { Source } from "../../src/dataflow/source.ts";
import { describeError } from "../../src/errors.ts";
import type { MemoryBus } from "../../src/memory/bus.ts";
import { MemoryRowStore } from "../../src/memory/row-store.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { Coordinator } from "../../src/runtime/leader/coordinator.ts";
import { defaultTimings } from "../../src/runtime/timings.ts";
import { Worker } from "../../src/runtime/worker/worker.ts";
import { heapBackends, type StateBackends } from "../../src/state/backends.ts";
import { DiskBackend } from "../../src/state/disk/backend.ts";
import { RowCache } from "../../src/state/disk/row-cache.ts";
import { HeldSources } from "./checks/held-sources.ts";
import { Invariants } from "./checks/invariants.ts";
import { KeptSavepoints } from "./checks/kept-savepoints.ts";
import { LivingHosts } from "./checks/living-hosts.ts";
import { LostInput } from "./checks/lost-input.ts";
import { StoredState } from "./checks/stored-state.ts";
import { savepointIn, WatchedRecordStore, WatchedStorage, WatchedTarget } from "./checks/watched.ts";
import { Disks } from "./disks.ts";
import type { Ends } from "./jobs/building.ts";
import {
  type DrawnJob,
  type DrawnLife,
  type DrawnSink,
  type DrawnSource,
  type Item,
  inShort,
} from "./jobs/drawing.ts";
import { type Log, logsOf } from "./jobs/ends/logs.ts";
import { Outputs } from "./jobs/ends/outputs.ts";
import { pacedReader } from "./jobs/ends/paced-reader.ts";
import { plainSink } from "./jobs/ends/plain-sink.ts";
import { retainedSource } from "./jobs/ends/retained-source.ts";
import { Service } from "./jobs/ends/service.ts";
import { type SharedWorld, SimulatedJob } from "./jobs/simulated-job.ts";
import { ENDED } from "./jobs/user.ts";
import type { Scheduler, VirtualProcess } from "./scheduler.ts";
import type { StoryLine } from "./story.ts";
import { Network } from "./surroundings.ts";

export type Role = "worker" | "coordinator";

export interface Member {
  readonly role: Role | "client";
  readonly process: VirtualProcess;
  readonly bus: MemoryBus;
  /** What a worker runs. */
  readonly job?: SimulatedJob;
  /** Ends it in good order. */
  stop(): Promise<unknown>;
  /** Of a worker: what its leader calls it. */
  readonly id?: string;
}

/** More than any job comes to, and so far that no leader follows. */
const FAR = Number.MAX_SAFE_INTEGER - 1;
const RESTART_MS = 1000;
const REGISTER_INTERVAL_MS = 1000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export class SimulatedWorld implements SharedWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly hosts: LivingHosts;
  readonly store = new WatchedRecordStore();
  readonly storage = new WatchedStorage();
  readonly heldSources = new HeldSources();
  readonly invariants = new Invariants((name) => this.storage.content(name));
  readonly savepoints = new WatchedStorage();
  readonly keptSavepoints = new KeptSavepoints();
  readonly storedState = new StoredState();
  readonly lostInput: LostInput;
  readonly drawn: DrawnJob;
  readonly outputs = new Outputs();
  readonly subjects = createSubjects();
  /** The one that was drawn, and those that were restored beside it. */
  readonly jobs: SimulatedJob[];
  /** What must never happen: a broken invariant, a refused worker. */
  readonly wrong: string[] = [];
  /** The faults and the steps of the machines, in order. */
  readonly story: StoryLine[] = [];
  checkpoints = 0;
  recoveries = 0;
  readonly #members: Member[] = [];
  readonly #logs = new Map<string, readonly Log[]>();
  readonly #targets = new Map<string, MemorySinkTarget<Item>>();
  readonly #disks = new Disks();
  readonly #savepointsSeen = new Set<string>();
  readonly #service: Service;
  readonly #driver: VirtualProcess;
  readonly #stranger: MemoryBus;

  constructor(scheduler: Scheduler, drawn: DrawnJob) {
    this.scheduler = scheduler;
    this.drawn = drawn;
    this.network = new Network(scheduler);
    this.#service = new Service(scheduler.decisions.stream("service"));
    this.hosts = new LivingHosts(() => scheduler.current);
    this.store.onStored = (record) => this.#recordStored(record);
    this.invariants.onCompleted = (manifest) => this.#lookAt(manifest, this.storage);
    this.storage.onDeleted = (name) => this.invariants.deleted(name);
    this.storage.isOver = (name) => this.invariants.has(name.split("/")[0]!, ENDED);
    this.savepoints.onDeleted = (name) => this.keptSavepoints.deleted(name);
    this.#driver = scheduler.process("driver");
    this.#stranger = this.network.connect(scheduler.process("stranger"));
    this.network.onFault = (what) => this.tell(what);
    this.lostInput = new LostInput(drawn, () => scheduler.nowMs);
    for (const source of drawn.sources)
      this.#logs.set(source.id, logsOf(source, this.lostInput.streamsOf(source.id)));
    for (const sink of drawn.sinks) this.#targets.set(sink.id, this.#newTarget(sink.id));
    this.tell(`the job: ${JSON.stringify({ ...drawn, sources: drawn.sources.map(inShort) })}`);
    this.jobs = [new SimulatedJob(this, { name: "drawn", ...drawn })];
  }

  /** The one that was drawn, in its present life. */
  get job(): SimulatedJob {
    return this.jobs[0]!;
  }

  fork(job: SimulatedJob, life: DrawnLife, from: RestoreRequest): void {
    this.tell(`a job begins beside it: ${JSON.stringify({ ...life, operators: undefined })}`);
    const forked = new SimulatedJob(this, life, { job, from });
    this.jobs.push(forked);
    this.#startWorkers(forked);
    forked.user.begin();
  }

  renewWorkers(job: SimulatedJob): void {
    for (const member of this.members("worker")) if (member.job === job) this.#end(member);
    this.#startWorkers(job);
  }

  #startWorkers(job: SimulatedJob): void {
    for (let i = 0; i < this.drawn.workers; i++) this.#start("worker", job);
  }

  readonly tell = (line: string): void => {
    this.scheduler.note(line);
    this.story.push({ atMs: this.scheduler.nowMs, text: `* ${line}` });
  };

  /** Starts the processes of the cluster, and of the drawn job. */
  begin(): void {
    for (let i = 0; i < this.drawn.coordinators; i++) this.#start("coordinator");
    this.#startWorkers(this.job);
    this.#beginUser();
  }

  #start(role: Role, job = this.job): void {
    const process = this.scheduler.process(role);
    process.acts("starts", () =>
      role === "worker" ? this.#startWorker(process, job) : this.#startCoordinator(process),
    );
  }

  /** Those that live, oldest first; without a role all of them. */
  members(role?: Role): readonly Member[] {
    return this.#members.filter((one) => (role === undefined || one.role === role) && !one.process.dead);
  }

  /** It does nothing any more, from now on. Another one is started after this while. */
  crash(member: Member, restartMs = RESTART_MS): void {
    const { process, role, job } = member;
    if (process.dead) return;
    this.tell(`${process.name} crashes`);
    this.#end(member);
    void this.#driver.passes(restartMs, "restarts").then(() => {
      if (role !== "client") this.#start(role, job);
    });
  }

  #end({ process, bus }: Member): void {
    process.dead = true;
    bus.disconnect();
    this.network.forget(bus);
  }

  pause({ process }: Member, ms: number): void {
    this.tell(`${process.name} is paused for ${Math.round(ms)} ms`);
    // A shorter one within a longer one ends nothing: what waits would be overtaken (VS3).
    process.pausedUntilMs = Math.max(process.pausedUntilMs, this.scheduler.nowMs + ms);
  }

  /** A stranger orders what would make the worker refuse its leader for ever, without a seal (P69). */
  forge({ process, id = "", job }: Member): void {
    this.tell(`${process.name} hears a stranger`);
    const order = { type: "generation.teardown", job: job?.life.name, region: 0, generation: FAR };
    this.#stranger.publish(this.subjects.workers(id), encodeMessage(order));
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

  /** Submits the job, and what follows. */
  #beginUser(): void {
    this.job.user.begin();
    for (const source of this.drawn.sources) {
      this.#feed(source);
      this.#purge(source);
    }
  }

  isOver(): boolean {
    const users = this.jobs.map(({ user }) => user);
    return users.every(({ ending }) => ending !== undefined) || users.some(({ wrong }) => wrong.length > 0);
  }

  async look(): Promise<void> {
    for (const job of this.jobs) await job.look();
  }

  #recordStored(record: JobRecord): void {
    this.outputs.recordStored(record);
    this.lostInput.recordStored(record);
    this.keptSavepoints.recordStored(record);
    this.invariants.recordStored(record);
    const { location } = record.savepoints.at(-1) ?? {};
    if (location === undefined || this.#savepointsSeen.has(location)) return;
    this.#savepointsSeen.add(location);
    const found = savepointIn(this.savepoints, location);
    if (found === undefined) this.wrong.push(`C6: the record names ${location}, and it is not there`);
    else this.#lookAt(found.manifest, this.savepoints);
  }

  #lookAt(manifest: Manifest, storage: WatchedStorage): void {
    this.lostInput.look(manifest);
    const job = this.jobs.find(({ life }) => life.name === manifest.job);
    // What has gone through another graph is in the state, too.
    if (job === undefined || job.changes.length > 0) return;
    this.storedState.look(job.drawnNow(), manifest, (name) => storage.content(name));
  }

  /** Whether the output of each job is what the oracle says. */
  verdict(): string[] {
    return [...this.wrong, ...this.jobs.flatMap((job) => job.verdict()), ...this.outputs.findings];
  }

  hasAllInput(): boolean {
    return this.drawn.sources.every(({ id, splits }) =>
      splits.every(({ length }, i) => this.#logs.get(id)![i]!.length === length),
    );
  }

  connectUser(process: VirtualProcess): MemoryBus {
    const bus = this.network.connect(process);
    this.#members.push({ role: "client", process, bus, stop: async () => {} });
    return bus;
  }

  /** What of a source's input was not there in the beginning comes one by one. */
  #feed({ id, splits, there, comesEveryMs }: DrawnSource): void {
    splits.forEach((items, i) => {
      const log = this.#logs.get(id)![i]!;
      const left = items.slice(there[i]);
      const comes = (): void => {
        const [item] = left.splice(0, 1);
        if (item === undefined) return;
        log.append(item);
        this.#driver.after(comesEveryMs, comes);
      };
      this.#driver.after(comesEveryMs, comes);
    });
  }

  #purge({ id, retention }: DrawnSource): void {
    for (const [i, { afterMs, split, kept }] of (retention?.purges ?? []).entries())
      void this.#driver.passes(afterMs, "purges").then(() => {
        const { decisions, nowMs } = this.scheduler;
        if (!decisions.happens(`purge ${i} of ${id}`, nowMs)) return;
        const gone = this.lostInput.streamsOf(id)![split]!.purge(kept);
        this.tell(`an administrator purges stream ${id}-${split}: ${gone} messages are gone`);
      });
  }

  #startWorker(process: VirtualProcess, job: SimulatedJob): void {
    const bus = this.network.connect(process);
    const { life, prepared } = job;
    const { graphOf, codeFingerprint, codeListing } = prepared;
    const surroundings = this.#surroundings(process, bus);
    const { id } = surroundings;
    const member: Member = { role: "worker", process, bus, id, job, stop: () => worker.stop() };
    this.#members.push(member);
    const worker = new Worker({
      ...surroundings,
      job: life.name,
      graphOf,
      codeFingerprint,
      codeListing,
      ...life.worker,
      backends: backendsOf(life.worker.rowsInMemory),
      copies: life.worker.localCopies ? this.#copiesFor(process, life.name) : undefined,
      processId: 1,
      host: "simulation",
      nats: undefined,
      onRefused: (error) => this.wrong.push(`${process.name} was refused: ${describeError(error)}`),
      // Its process would do the same: it ends at once (P29).
      onStuck: () => this.crash(member),
    });
    void worker.start().catch((error) => {
      this.tell(`${process.name} does not start: ${describeError(error)}`);
      // Its process ends with that, and is started again.
      this.crash(member);
    });
  }

  #copiesFor(process: VirtualProcess, job: string): LocalCopies {
    const random = this.scheduler.decisions.stream(`disk of ${process.name}`);
    const disk = this.#disks.takeFor(job, process, random);
    const { names } = disk;
    const files = this.network.disk(process, disk);
    const place = { directory: "disk", clock: process, warn: () => {}, release: () => {} };
    return new LocalCopies({ ...place, files, names });
  }

  #startCoordinator(process: VirtualProcess): void {
    const bus = this.network.connect(process);
    this.#members.push({ role: "coordinator", process, bus, stop: () => coordinator.stop() });
    const coordinator = new Coordinator({
      savepointPlaces: SavepointPlaces.anywhere,
      ...this.#surroundings(process, bus),
      store: this.network.records(process, bus, this.store),
      place: process.name,
      host: "simulation",
      releaseInput: async () => {},
      chance: process.chance,
      onRefused: (error) => {
        this.wrong.push(`${process.name} was refused: ${describeError(error)}`);
      },
      onCrash: (error) => {
        this.wrong.push(`${process.name} crashed: ${describeError(error)}`);
      },
    });
    coordinator.start();
  }

  #surroundings(process: VirtualProcess, bus: MemoryBus) {
    const storage = this.network.storage(process, bus, this.storage);
    const id = process.newId();
    return {
      id,
      storage,
      openStorage: async () => this.network.storage(process, bus, this.savepoints),
      subjects: this.subjects,
      link: new ControlLink({ bus, id, storage, clock: process }),
      clock: process,
      newId: process.newId,
      logger: quiet,
      troubles: new Troubles(process),
      timings: { ...defaultTimings, registerIntervalMs: REGISTER_INTERVAL_MS },
      feed: { publish: (event: FeedEvent) => this.#hear(process, event) },
    };
  }

  #newTarget(sink: string): MemorySinkTarget<Item> {
    return new WatchedTarget<Item>((key, marker, items) => {
      this.invariants.committed(key, marker);
      this.outputs.committed(sink, marker, items);
    });
  }

  #hear(process: VirtualProcess, event: FeedEvent): void {
    if (process.dead) return;
    if (event.effects.includes("store.decision")) this.checkpoints++;
    this.heldSources.hear(process.name, event);
    const { role, id, event: what, from, to, effects } = event;
    this.scheduler.note(`${process.name} ${role} ${id}: ${what}, ${from} -> ${to} [${effects.join(", ")}]`);
    const atMs = this.scheduler.nowMs;
    this.story.push({ atMs, process: process.name, role, id, event: what, from, to, effects });
  }

  endsOf(job: SimulatedJob): Ends {
    return {
      source: (source) => this.#sourceOf(source),
      sink: (sink) => this.#sinkOf(sink, job),
      callService: () => this.#service.call(this.#presentProcess()),
    };
  }

  #sourceOf(drawn: DrawnSource): Source<Item> {
    const source = this.#unwatchedSource(drawn);
    return {
      ...source,
      open: async (environment, splits) => {
        const process = this.#presentProcess();
        const reader = pacedReader(await source.open(environment, splits), process, drawn);
        const { operator, subtaskIndex, generation } = environment;
        return this.heldSources.watched(reader, process.name, generation, `${operator}/${subtaskIndex}`);
      },
    };
  }

  #unwatchedSource({ id, bounded, retention }: DrawnSource): Source<Item> {
    const streams = this.lostInput.streamsOf(id);
    if (streams === undefined || retention === undefined)
      return memorySource(this.#logs.get(id) as MemoryLog<Item>[], bounded ? { until: "end" } : {});
    return retainedSource(streams, {
      bounded,
      ...(retention.gaps !== undefined && { gaps: retention.gaps }),
      process: () => this.#presentProcess(),
      onBegun: (split, begun) => this.lostInput.begun(id, split, begun),
    });
  }

  #presentProcess(): VirtualProcess {
    const process = this.scheduler.current;
    if (process === undefined) throw new Error("something is done outside of a step");
    return process;
  }

  #sinkOf({ id, guarantee, partMessagesMax }: DrawnSink, { plain }: SimulatedJob): Sink<Item> {
    if (guarantee === "exactly-once")
      return memorySink(this.network.target(this.#targets.get(id)!), { partMessagesMax });
    return plainSink(() => this.network.delivery(plain.get(id)!));
  }
}

/** State on disk, over a store in memory. */
function backendsOf(rowsInMemory: number | null): StateBackends {
  if (rowsInMemory === null) return heapBackends;
  const cache = new RowCache({ rowsMax: rowsInMemory });
  return {
    of: () => (options) => new DiskBackend(options, new MemoryRowStore(), cache),
    close: async () => undefined,
  };
}
