/**
 * One job of a simulation over all its lives: what it is submitted as, what its record says, and whether what it has
 * put out is right.
 *
 * Owns: its present life and its user. Does not own: processes, streams and targets, which jobs share (world.ts); what
 * of the committed output is its own (ends/outputs.ts).
 */
import { parallelismOf } from "../../../machines/leader/rescale.ts";
import type { GraphPlan, JobRecord } from "../../../machines/protocol.ts";
import { prepareSubmission } from "../../../src/cli/assembly.ts";
import { submissionOf } from "../../../src/cli/submission/submission.ts";
import { ControlClient } from "../../../src/control/client.ts";
import { ControlLink } from "../../../src/control/link.ts";
import type { RestoreRequest } from "../../../src/control/messages.ts";
import type { Subjects } from "../../../src/dataflow/channel/subjects.ts";
import { jobKey, parseRecord } from "../../../src/formats/job-record.ts";
import { NO_PROJECT } from "../../../src/job/code/project-code.ts";
import type { MemoryBus } from "../../../src/memory/bus.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import type { LostInput } from "../checks/lost-input.ts";
import { inputBefore } from "../checks/stored-state.ts";
import { savepointIn, type WatchedRecordStore, type WatchedStorage } from "../checks/watched.ts";
import type { Scheduler, VirtualProcess } from "../scheduler.ts";
import { buildJob, type Ends } from "./building.ts";
import type { DrawnChange, DrawnJob, DrawnLife, Item } from "./drawing.ts";
import type { Outputs } from "./ends/outputs.ts";
import { type Scale, scaled } from "./lives/rescaling.ts";
import type { Changed } from "./oracle/oracle.ts";
import { compareComplete, verdictOf } from "./oracle/verdict.ts";
import { User } from "./user.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** What all jobs of a simulation share. */
export interface SharedWorld {
  readonly scheduler: Scheduler;
  readonly drawn: DrawnJob;
  readonly store: WatchedRecordStore;
  readonly storage: WatchedStorage;
  readonly savepoints: WatchedStorage;
  readonly subjects: Subjects;
  readonly outputs: Outputs;
  readonly lostInput: LostInput;
  tell(line: string): void;
  /** All input has come. */
  hasAllInput(): boolean;
  endsOf(job: SimulatedJob): Ends;
  /** The workers of the life before are gone, and as many of the new one come. */
  renewWorkers(job: SimulatedJob): void;
  connectUser(process: VirtualProcess): MemoryBus;
  fork(job: SimulatedJob, life: DrawnLife, from: RestoreRequest): void;
}

export class SimulatedJob {
  record: JobRecord | undefined;
  readonly user: User;
  readonly changes: Changed[] = [];
  /** What sinks without transactions have put out. */
  readonly plain: ReadonlyMap<string, Item[]>;
  /** Incarnations behind whose output it does not go on, or not alone. */
  readonly #partedFrom = new Set<string>();
  readonly #world: SharedWorld;
  #life: DrawnLife;
  /** That of the life before. */
  #formerPlan: GraphPlan | undefined;
  #prepared: ReturnType<typeof prepareSubmission>;
  #revision = 0;
  #hasForked = false;
  /** The output at which the user looked last, and what they thought of it. */
  #seen = { what: "", isSatisfied: false };

  /** @param before the job beside which it begins, and where; default: it begins with nothing */
  constructor(
    world: SharedWorld,
    life: DrawnLife,
    before?: { readonly job: SimulatedJob; readonly from: RestoreRequest },
  ) {
    this.#world = world;
    const plain = world.drawn.sinks.filter(({ guarantee }) => guarantee === "at-least-once");
    this.plain = new Map(plain.map(({ id }) => [id, [...(before?.job.plain.get(id) ?? [])]]));
    this.#life = life;
    this.#prepared = this.#prepare();
    if (before !== undefined) this.#partFrom(before.from);
    const process = world.scheduler.process("user");
    this.user = this.#newUser(process, world.connectUser(process), before?.from ?? null);
  }

  get life(): DrawnLife {
    return this.#life;
  }

  get prepared() {
    return this.#prepared;
  }

  /** The graph of its present life. */
  drawnNow(): DrawnJob {
    const { drawn } = this.#world;
    const { operators, options, sinks = drawn.sinks, scale } = this.#life;
    return scaled({ ...drawn, operators, options, sinks }, scale);
  }

  async look(): Promise<void> {
    const { store } = this.#world;
    const key = jobKey(this.#life.name);
    const found = await store.read(key);
    if (found === undefined || found.revision === this.#revision) return;
    this.#revision = found.revision;
    this.record = parseRecord(found.value, key, store.bucket);
  }

  whyFailed(): string {
    return (this.record?.failures ?? []).map(({ where, reason }) => `${where}: ${reason}`).join("; ");
  }

  /** Whether each sink's output is what the oracle says. */
  verdict(): string[] {
    const { ending = "complete", drains, wrong } = this.user;
    const outputs = this.#outputs();
    const { lostInput } = this.#world;
    const { isGone } = lostInput;
    const lost = ending === "cut" ? lostInput.findings : lostInput.ended(outputs);
    return [
      ...wrong,
      ...verdictOf(this.#judged(), { ending, drains, outputs, isGone, ...this.#past }),
      ...lost,
    ];
  }

  /** Its newest graph, and as it was where an operator that has gone since has put something out. */
  #judged(): DrawnJob {
    const { drawn } = this.#world;
    const hasNew = this.changes.some(({ then }) => then === "is new");
    return hasNew ? this.drawnNow() : { ...drawn, options: this.#life.options };
  }

  /** What earlier lives have left in the outputs. */
  get #past() {
    return { changes: this.changes, writtenAgain: this.user.writesAgain };
  }

  #outputs(): ReadonlyMap<string, readonly Item[]> {
    const { drawn, outputs } = this.#world;
    const incarnation = this.record?.incarnation ?? "";
    return new Map(
      drawn.sinks.map(({ id }) => [id, this.plain.get(id) ?? outputs.of(id, incarnation, this.#partedFrom)]),
    );
  }

  #isSatisfied(): boolean {
    const { lostInput } = this.#world;
    const hasCome = this.#world.hasAllInput();
    const outputs = this.#outputs();
    let items = 0;
    for (const output of outputs.values()) items += output.length;
    const { drains } = this.user;
    const seen = `${this.record?.incarnation}: ${items} items, ${lostInput.left} left, ${hasCome} ${drains}`;
    if (seen === this.#seen.what) return this.#seen.isSatisfied;
    const circumstances = {
      drained: false,
      endsVaguely: drains ? "plain-sinks" : "nowhere",
      ...this.#past,
    } as const;
    const isSatisfied =
      hasCome && compareComplete(this.#judged(), outputs, lostInput.isGone, circumstances).length === 0;
    this.#seen = { what: seen, isSatisfied };
    return isSatisfied;
  }

  #prepare() {
    const job = buildJob(this.#life.name, this.drawnNow(), this.#world.endsOf(this));
    return prepareSubmission({ job, code: NO_PROJECT }, {});
  }

  #become(life: DrawnLife): void {
    this.#world.tell(`the job becomes ${life.name}: ${JSON.stringify({ ...life, operators: undefined })}`);
    this.#formerPlan = this.record?.plan ?? this.#formerPlan;
    this.#life = life;
    this.#prepared = this.#prepare();
    this.record = undefined;
    this.#revision = 0;
    this.#world.renewWorkers(this);
  }

  /** Whatever the job was rescaled to while it ran. */
  #scaleBefore(): Scale {
    const plan = this.record?.plan ?? this.#formerPlan;
    const found = plan === undefined ? {} : parallelismOf(plan);
    const { sources, operators, sinks } = this.#world.drawn;
    const all = [...sources, ...operators, ...sinks];
    return Object.fromEntries(all.map(({ id, parallelism }) => [parallelism, found[id] ?? parallelism]));
  }

  #change(change: DrawnChange, from: string): void {
    const { drawn, savepoints } = this.#world;
    const { manifest } = savepointIn(savepoints, from)!;
    this.changes.push({ ...change, read: inputBefore(drawn, manifest)! });
  }

  #fork(life: DrawnLife, from: RestoreRequest): void {
    this.#hasForked = true;
    this.#partFrom(from);
    this.#world.fork(this, life, from);
  }

  /** The job that has taken this savepoint goes on without the other one. */
  #partFrom({ location }: RestoreRequest): void {
    this.#partedFrom.add(savepointIn(this.#world.savepoints, location)!.manifest.incarnation);
  }

  #goBack({ incarnation }: JobRecord): void {
    this.#partedFrom.add(incarnation);
    // A fork may still commit what it has inherited.
    if (!this.#hasForked) this.#world.outputs.ended(incarnation);
  }

  #newUser(process: VirtualProcess, bus: MemoryBus, from: RestoreRequest | null): User {
    const { drawn, lostInput, scheduler, storage, subjects, tell } = this.#world;
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
      keepScale: () => this.#become({ ...this.#life, scale: this.#scaleBefore() }),
      change: (change, place) => this.#change(change, place),
      fork: (life, place) => this.#fork(life, place),
      goBack: (record) => this.#goBack(record),
      from,
      acts: from === null ? drawn.acts : [],
      endless: drawn.sources.some(({ bounded }) => !bounded),
      process,
      client: new ControlClient({ link, subjects, newId: process.newId, leaderTimeoutMs: 600_000 }),
      newId: process.newId,
      submission: (skipGaps) =>
        submissionOf(this.#prepared, environment(), storage.description, { skipGaps }),
      gapsIn: ({ failures }) => {
        const source = lostInput.gapIn(failures.at(-1)?.reason ?? "", this.#outputs());
        return source === undefined ? [] : [source];
      },
      look: async () => {
        await this.look();
        return this.record;
      },
      isSatisfied: () => this.#isSatisfied(),
      happens: (name) => scheduler.decisions.happens(name, scheduler.nowMs),
      tell,
    });
  }
}
