/**
 * The workers of one job on its leader: those that offer slots, those that are lost, and those that are asked to
 * register again.
 *
 * Owns: registry, admission, the wait for slots, which generations a lost worker takes with it, event time as workers
 * tell it. Does not own: what is delivered to the workers (region-generations.ts), what a lost one means
 * (machines/leader/job.ts).
 */
import type { JobRecord, Unfinished } from "../../../../machines/protocol.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { LeaderAnswer, PingAnswer } from "../../../control/messages.ts";
import type { StateLook } from "../../../control/requests/live-state.ts";
import type { TroubleWatch } from "../../../dataflow/trouble.ts";
import type { Troubles } from "../../../observe/troubles.ts";
import type { Surroundings } from "../../surroundings.ts";
import type { DirectoryDoubt } from "../directory-doubt.ts";
import { EventTimeWatch } from "../report/event-time-watch.ts";
import { unfinishedOf } from "../report/unfinished.ts";
import { type Placement, SlotWait } from "../submissions/slot-wait.ts";
import type { Refusal } from "./leader-generation.ts";
import type { RegionGenerations } from "./region-generations.ts";
import { WorkerAdmission } from "./worker-admission.ts";
import { WorkerRegistry } from "./worker-registry.ts";

export interface JobWorkersOptions extends Omit<Surroundings, "troubles"> {
  readonly job: string;
  readonly leader: string;
  /** The machine that this process runs on, for messages. */
  readonly host: string;
  readonly link: ControlLink;
  /** The job's own. */
  readonly troubles: Troubles;
  readonly record: () => JobRecord;
  /** No worker is wanted any more. */
  readonly ended: () => boolean;
  readonly doubt: DirectoryDoubt;
  readonly generations: Pick<RegionGenerations, "placement" | "workers" | "on" | "missing">;
  /** `worker` is its name, process and machine. */
  readonly onLost: (generations: readonly number[], worker: string, reason: string) => void;
}

/** A worker that loses its subtasks so often is avoided. */
const LAPSES_MAX = 2;
/** More restarts than a job has between two copies of its record: what is beyond is no generation of the job. */
const GENERATIONS_AHEAD_MAX = 1_000_000;

export class JobWorkers {
  readonly registry: WorkerRegistry;
  readonly admission: WorkerAdmission;
  readonly slots: SlotWait;
  /** How far event time is by what the workers have said last. */
  readonly eventTime: EventTimeWatch;
  /** The troubles of the workers that are avoided (WR2). */
  readonly #avoided = new Map<string, TroubleWatch>();
  #unfinished: readonly Unfinished[] = [];
  /** The generations that each registered worker has lost subtasks of. */
  readonly #lapses = new Map<string, Set<number>>();
  /** The highest generation that a worker has named which refused an older one. */
  #seen = 0;
  readonly #options: JobWorkersOptions;

  constructor(options: JobWorkersOptions) {
    this.#options = options;
    const { link, subjects, clock, timings, record, troubles } = options;
    this.registry = new WorkerRegistry({
      link,
      subjects,
      clock,
      timings,
      heartbeat: record().heartbeat,
      functionsOn: (worker) => this.#functionsOn(worker),
      onChange: () => this.#offerSlots(),
      onLost: (worker, reason) => this.#lost(worker, reason),
      onAnswer: (worker, answer, askedMs) => {
        this.#checkSubtasks(worker, answer, askedMs);
        this.eventTime.look();
      },
    });
    this.eventTime = new EventTimeWatch({
      ...options,
      subtasks: () => this.registry.report(record().generations).subtasks,
    });
    this.slots = new SlotWait(this.registry, record, troubles);
    this.admission = new WorkerAdmission({
      ...options,
      workers: this.registry,
      boundMs: timings.directoryProofMs,
    });
  }

  /** @param onOffered called once, with the placement that ends the wait */
  awaitSlots(onOffered: (placement: Placement) => void): void {
    this.slots.begin(onOffered);
    this.#offerSlots();
  }

  /** What the job's subtasks hold now, by a look of theirs between two records. */
  async look(look: StateLook): Promise<LeaderAnswer> {
    const { job, record } = this.#options;
    const { generations, status } = record();
    if (this.#options.ended() || this.registry.list().length === 0)
      return {
        answer: "refused",
        reason: `job ${job} is ${status} and no worker runs it, so nothing of it is live`,
      };
    const found = await this.registry.look(look);
    // A worker that was cut off may run what is not the job's any more.
    return { answer: "state", subtasks: found.filter(({ generation }) => generations.includes(generation)) };
  }

  /** What the job had open when `noteUnfinished` was called last, as far as its workers had said. */
  get unfinished(): readonly Unfinished[] {
    return this.#unfinished;
  }

  /** Called before the sources are ended. */
  noteUnfinished(): void {
    const { subtasks } = this.registry.report(this.#options.record().generations);
    this.#unfinished = unfinishedOf(subtasks);
  }

  /** Those of these generations' workers that went while the generations were being raised are lost. */
  loseMissing(generations: readonly number[]): void {
    for (const worker of this.#options.generations.workers(generations))
      if (!this.registry.has(worker)) this.#lost(worker, "lost while its generation was being raised");
  }

  /** It gets subtasks only where no other worker has a slot, until it is started again. */
  avoid(worker: string, why: string): void {
    if (!this.registry.has(worker) || this.#avoided.has(worker)) return;
    const { logger, job, troubles } = this.#options;
    const reason = `${why}; other workers are preferred until that process is started again`;
    logger.warn({ job, worker, reason }, "worker is avoided");
    const watch = troubles.watch(`placing subtasks on worker ${this.registry.describe(worker)}`, 0);
    watch.failed(reason);
    this.#avoided.set(worker, watch);
    this.registry.avoid(worker);
  }

  /** A worker does not take its deployment: the next generation is above what it has seen, or it is avoided. */
  refused(worker: string, { reason, isStale, seen }: Refusal): void {
    if (!isStale) return;
    if (seen === 0 || seen >= this.#seenBound) this.avoid(worker, reason);
    else this.#seen = Math.max(this.#seen, seen);
  }

  /** The highest generation that workers have seen, if it is not below this one: the record is an older copy (P2). */
  seenFrom(generation: number): number | undefined {
    const seen = Math.max(this.#seen, this.registry.highestBelow(this.#seenBound));
    if (seen < generation) return undefined;
    const { logger, job } = this.#options;
    logger.warn(
      { job, generation, seen },
      "workers have seen newer generations than the record knows: it is an older copy, and goes on above them",
    );
    return seen;
  }

  get #seenBound(): number {
    return this.#options.record().generation + GENERATIONS_AHEAD_MAX;
  }

  close(): void {
    this.registry.close();
    this.admission.close();
  }

  /** The operators that have subtasks there, without sources and sinks. */
  #functionsOn(worker: string): string[] {
    const placement = this.#options.generations.placement();
    return this.#options
      .record()
      .plan.vertices.filter(({ id, parallelism }) =>
        Array.from({ length: parallelism }, (_, index) => placement[`${id}/${index}`]).includes(worker),
      )
      .flatMap(({ operators }) => operators.filter(({ connector }) => connector === undefined))
      .map(({ id }) => id);
  }

  #offerSlots(): void {
    this.slots.offer(this.#options.generations.placement());
  }

  #lost(worker: string, reason: string): void {
    const { logger, job, generations } = this.#options;
    logger.warn({ job, worker, reason }, "worker lost");
    this.#avoided.get(worker)?.forget();
    this.#avoided.delete(worker);
    this.#lapses.delete(worker);
    this.#report(worker, reason, generations.on(worker));
  }

  #checkSubtasks(worker: string, answer: PingAnswer, askedMs: number): void {
    const missing = this.#options.generations.missing(worker, answer, askedMs);
    for (const { generation, subtask } of missing)
      this.#report(worker, `subtask ${subtask} does not run there any more`, [generation]);
    if (missing.length === 0) return;
    const lapses = this.#lapses.get(worker) ?? new Set();
    this.#lapses.set(worker, lapses);
    for (const { generation } of missing) lapses.add(generation);
    if (lapses.size >= LAPSES_MAX) this.avoid(worker, "it has lost its subtasks more than once");
  }

  #report(worker: string, reason: string, generations: readonly number[]): void {
    if (generations.length > 0) this.#options.onLost(generations, this.registry.describe(worker), reason);
  }
}
