/** One cluster in virtual time: coordinators and workers that crash, pause and lose their connection, and one job. */

import type { JobRecord, Manifest } from "../../machines/protocol.ts";
import { SavepointPlaces } from "../../src/checkpoint/savepoint-places.ts";
import { prepareSubmission, submissionOf } from "../../src/cli/assembly.ts";
import { type MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { type MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { ControlClient } from "../../src/control/client.ts";
import { ControlLink } from "../../src/control/link.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import type { Sink } from "../../src/dataflow/sink.ts";
import type { Source } from "../../src/dataflow/source.ts";
import { describeError } from "../../src/errors.ts";
import { jobKey, parseRecord } from "../../src/formats/job-record.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import type { MemoryBus } from "../../src/memory/bus.ts";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { Coordinator } from "../../src/runtime/leader/coordinator.ts";
import { defaultTimings } from "../../src/runtime/timings.ts";
import { Worker } from "../../src/runtime/worker/worker.ts";
import { HeldSources } from "./checks/held-sources.ts";
import { Invariants } from "./checks/invariants.ts";
import { LivingHosts } from "./checks/living-hosts.ts";
import { LostInput } from "./checks/lost-input.ts";
import { inputBefore, StoredState } from "./checks/stored-state.ts";
import { savepointIn, WatchedRecordStore, WatchedStorage, WatchedTarget } from "./checks/watched.ts";
import { buildJob } from "./jobs/building.ts";
import {
  type DrawnJob,
  type DrawnLife,
  type DrawnSink,
  type DrawnSource,
  type Item,
  inShort,
} from "./jobs/drawing.ts";
import { type Log, logsOf } from "./jobs/ends/logs.ts";
import { pacedReader } from "./jobs/ends/paced-reader.ts";
import { plainSink } from "./jobs/ends/plain-sink.ts";
import { retainedSource } from "./jobs/ends/retained-source.ts";
import type { Changed } from "./jobs/oracle/oracle.ts";
import { compareComplete, verdictOf } from "./jobs/oracle/verdict.ts";
import { User } from "./jobs/user.ts";
import type { Scheduler, VirtualProcess } from "./scheduler.ts";
import type { StoryLine } from "./story.ts";
import { Network } from "./surroundings.ts";

export type Role = "worker" | "coordinator";

export interface Member {
  readonly role: Role | "client";
  readonly process: VirtualProcess;
  readonly bus: MemoryBus;
  /** Ends it in good order. */
  stop(): Promise<unknown>;
}

const RESTART_MS = 1000;
const REGISTER_INTERVAL_MS = 1000;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export class SimulatedWorld {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly hosts: LivingHosts;
  readonly store = new WatchedRecordStore();
  readonly storage = new WatchedStorage();
  readonly heldSources = new HeldSources();
  readonly invariants = new Invariants((name) => this.storage.content(name));
  readonly savepoints = new WatchedStorage();
  readonly storedState = new StoredState();
  readonly lostInput: LostInput;
  readonly drawn: DrawnJob;
  readonly user: User;
  /** What must never happen: a broken invariant, a refused worker. */
  readonly wrong: string[] = [];
  /** The faults and the steps of the machines, in order. */
  readonly story: StoryLine[] = [];
  record: JobRecord | undefined;
  checkpoints = 0;
  recoveries = 0;
  readonly #members: Member[] = [];
  readonly #logs = new Map<string, readonly Log[]>();
  readonly #targets = new Map<string, MemorySinkTarget<Item>>();
  #revision = 0;
  readonly #changes: Changed[] = [];
  readonly #savepointsSeen = new Set<string>();
  /** The output at which the user looked last, and what they thought of it. */
  #seen = { what: "", isSatisfied: false };
  readonly #subjects = createSubjects();
  #life: DrawnLife;
  #prepared: ReturnType<typeof prepareSubmission>;
  readonly #driver: VirtualProcess;

  constructor(scheduler: Scheduler, drawn: DrawnJob) {
    this.scheduler = scheduler;
    this.drawn = drawn;
    this.network = new Network(scheduler);
    this.hosts = new LivingHosts(() => scheduler.current);
    this.store.onStored = (record) => this.#recordStored(record);
    this.invariants.onCompleted = (manifest) => this.#lookAt(manifest, this.storage);
    this.storage.onDeleted = (name) => this.invariants.deleted(name);
    this.#driver = scheduler.process("driver");
    this.network.onFault = (what) => this.tell(what);
    this.lostInput = new LostInput(drawn, () => scheduler.nowMs);
    for (const source of drawn.sources)
      this.#logs.set(source.id, logsOf(source, this.lostInput.streamsOf(source.id)));
    for (const sink of drawn.sinks) this.#targets.set(sink.id, this.#newTarget());
    this.tell(`the job: ${JSON.stringify({ ...drawn, sources: drawn.sources.map(inShort) })}`);
    this.#life = { name: "drawn", ...drawn };
    this.#prepared = this.#prepare();
    this.user = this.#newUser(scheduler.process("user"));
  }

  #prepare() {
    const job = buildJob(this.#life.name, this.#drawnNow(), {
      source: (source) => this.#sourceOf(source),
      sink: (sink) => this.#sinkOf(sink),
    });
    return prepareSubmission({ job, code: NO_PROJECT }, {});
  }

  /** Workers of the life before are gone, and as many of the new one come. */
  #become(life: DrawnLife): void {
    this.tell(`the job becomes ${life.name}: ${JSON.stringify({ ...life, operators: undefined })}`);
    this.#life = life;
    this.#prepared = this.#prepare();
    this.record = undefined;
    this.#revision = 0;
    for (const member of this.members("worker")) this.#end(member);
    for (let i = 0; i < this.drawn.workers; i++) this.start("worker");
  }

  tell(line: string): void {
    this.scheduler.note(line);
    this.story.push({ atMs: this.scheduler.nowMs, text: `* ${line}` });
  }

  start(role: Role): void {
    const process = this.scheduler.process(role);
    process.acts("starts", () =>
      role === "worker" ? this.#startWorker(process) : this.#startCoordinator(process),
    );
  }

  /** Those that live, oldest first; without a role all of them. */
  members(role?: Role): readonly Member[] {
    return this.#members.filter((one) => (role === undefined || one.role === role) && !one.process.dead);
  }

  /** It does nothing any more, from now on. Another one is started after this while. */
  crash(member: Member, restartMs = RESTART_MS): void {
    const { process, role } = member;
    if (process.dead) return;
    this.tell(`${process.name} crashes`);
    this.#end(member);
    void this.#driver.passes(restartMs, "restarts").then(() => {
      if (role !== "client") this.start(role);
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
  beginUser(): void {
    this.user.begin();
    for (const source of this.drawn.sources) {
      this.#feed(source);
      this.#purge(source);
    }
  }

  isOver(): boolean {
    return this.user.ending !== undefined || this.user.wrong.length > 0;
  }

  async look(): Promise<void> {
    const key = jobKey(this.#life.name);
    const found = await this.store.read(key);
    if (found === undefined || found.revision === this.#revision) return;
    this.#revision = found.revision;
    this.record = parseRecord(found.value, key, this.store.bucket);
  }

  whyFailed(): string {
    return (this.record?.failures ?? []).map(({ where, reason }) => `${where}: ${reason}`).join("; ");
  }

  #recordStored(record: JobRecord): void {
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
    // What has gone through another graph is in the state, too.
    if (this.#changes.length > 0) return;
    this.storedState.look(this.#drawnNow(), manifest, (name) => storage.content(name));
  }

  #drawnNow(): DrawnJob {
    const { operators, options, sinks = this.drawn.sinks } = this.#life;
    return { ...this.drawn, operators, options, sinks };
  }

  /** Whether each sink's output is what the oracle says. */
  verdict(): string[] {
    const { ending = "complete", drains, wrong } = this.user;
    const drawn = { ...this.drawn, options: this.#life.options };
    const outputs = this.#outputs();
    const { isGone } = this.lostInput;
    const lost = ending === "cut" ? this.lostInput.findings : this.lostInput.ended(outputs);
    return [
      ...this.wrong,
      ...wrong,
      ...verdictOf(drawn, { ending, drains, outputs, isGone, ...this.#past }),
      ...lost,
    ];
  }

  /** What earlier lives have left in the outputs. */
  get #past() {
    return { changes: this.#changes, writtenAgain: this.user.writesAgain };
  }

  #outputs(): ReadonlyMap<string, readonly Item[]> {
    return new Map([...this.#targets].map(([sink, { committed }]) => [sink, committed]));
  }

  #isSatisfied(): boolean {
    const hasCome = this.drawn.sources.every(({ id, splits }) =>
      splits.every(({ length }, i) => this.#logs.get(id)![i]!.length === length),
    );
    const outputs = this.#outputs();
    let items = 0;
    for (const output of outputs.values()) items += output.length;
    const { drains } = this.user;
    const seen = `${items} items, ${this.lostInput.left} left, ${hasCome} ${drains}`;
    if (seen === this.#seen.what) return this.#seen.isSatisfied;
    const circumstances = {
      drained: false,
      endsVaguely: drains ? "plain-sinks" : "nowhere",
      ...this.#past,
    } as const;
    const { isGone } = this.lostInput;
    const isSatisfied = hasCome && compareComplete(this.drawn, outputs, isGone, circumstances).length === 0;
    this.#seen = { what: seen, isSatisfied };
    return isSatisfied;
  }

  #newUser(process: VirtualProcess): User {
    const bus = this.network.connect(process);
    this.#members.push({ role: "client", process, bus, stop: async () => {} });
    const link = new ControlLink({ bus, id: process.name, clock: process });
    const environment = () => ({
      job: this.#life.name,
      logger: quiet,
      troubles: new Troubles(process),
      nats: undefined,
    });
    return new User({
      job: () => this.#life.name,
      become: (life) => this.#become(life),
      change: (change, from) => {
        const { manifest } = savepointIn(this.savepoints, from)!;
        this.#changes.push({ ...change, read: inputBefore(this.drawn, manifest)! });
      },
      acts: this.drawn.acts,
      endless: this.drawn.sources.some(({ bounded }) => !bounded),
      process,
      client: new ControlClient({
        ...{ link, subjects: this.#subjects, newId: process.newId },
        leaderTimeoutMs: 600_000,
      }),
      newId: process.newId,
      submission: (skipGaps) =>
        submissionOf(this.#prepared, environment(), this.storage.description, { skipGaps }),
      gapsIn: ({ failures }) => {
        const source = this.lostInput.gapIn(failures.at(-1)?.reason ?? "", this.#outputs());
        return source === undefined ? [] : [source];
      },
      look: async () => {
        await this.look();
        return this.record;
      },
      isSatisfied: () => this.#isSatisfied(),
      happens: (name) => this.scheduler.decisions.happens(name, this.scheduler.nowMs),
      tell: (line) => this.tell(line),
    });
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

  #startWorker(process: VirtualProcess): void {
    const bus = this.network.connect(process);
    const { graph, codeFingerprint, codeListing } = this.#prepared;
    const member: Member = { role: "worker", process, bus, stop: () => worker.stop() };
    this.#members.push(member);
    const worker = new Worker({
      ...this.#surroundings(process, bus),
      job: this.#life.name,
      graph,
      codeFingerprint,
      codeListing,
      ...this.#life.worker,
      processId: 1,
      host: "simulation",
      nats: undefined,
      onRefused: (error) => this.wrong.push(`${process.name} was refused: ${describeError(error)}`),
      // Its process would do the same: it ends at once (P29).
      onStuck: () => this.crash(member),
    });
    void worker
      .start()
      .catch((error) => this.tell(`${process.name} does not start: ${describeError(error)}`));
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
      subjects: this.#subjects,
      link: new ControlLink({ bus, id, storage, clock: process }),
      clock: process,
      newId: process.newId,
      logger: quiet,
      troubles: new Troubles(process),
      timings: { ...defaultTimings, registerIntervalMs: REGISTER_INTERVAL_MS },
      feed: { publish: (event: FeedEvent) => this.#hear(process, event) },
    };
  }

  #newTarget(): MemorySinkTarget<Item> {
    return new WatchedTarget<Item>((key, marker) => this.invariants.committed(key, marker));
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

  #sourceOf(drawn: DrawnSource): Source<Item> {
    const source = this.#unwatchedSource(drawn);
    return {
      ...source,
      open: async (environment, splits) => {
        const process = this.#openingProcess();
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
      process: () => this.#openingProcess(),
      onBegun: (split, generation, behind) => this.lostInput.begun(id, split, generation, behind),
    });
  }

  #openingProcess(): VirtualProcess {
    const process = this.scheduler.current;
    if (process === undefined) throw new Error("a source is opened outside of a step");
    return process;
  }

  #sinkOf({ id, guarantee, partMessagesMax }: DrawnSink): Sink<Item> {
    const target = this.#targets.get(id)!;
    if (guarantee === "exactly-once") return memorySink(this.network.target(target), { partMessagesMax });
    return plainSink(() => this.network.delivery(target.committed));
  }
}
