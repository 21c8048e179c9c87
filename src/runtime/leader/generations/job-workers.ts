/**
 * The workers of one job on its leader: those that offer slots, those that are lost, and those that are asked to
 * register again.
 *
 * Owns: registry, admission, the wait for slots, which generations a lost worker takes with it. Does not own: what is
 * delivered to the workers (region-generations.ts), what a lost one means (machines/leader/job.ts).
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { PingAnswer } from "../../../control/messages.ts";
import type { Troubles } from "../../../observe/troubles.ts";
import type { Surroundings } from "../../surroundings.ts";
import { type Placement, SlotWait } from "../submissions/slot-wait.ts";
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
  readonly generations: Pick<RegionGenerations, "placement" | "workers" | "on" | "missing">;
  /** `worker` is its name, process and machine. */
  readonly onLost: (generations: readonly number[], worker: string, reason: string) => void;
}

export class JobWorkers {
  readonly registry: WorkerRegistry;
  readonly admission: WorkerAdmission;
  readonly slots: SlotWait;
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
      onChange: () => this.#offerSlots(),
      onLost: (worker, reason) => this.#lost(worker, reason),
      onAnswer: (worker, answer) => this.#checkSubtasks(worker, answer),
    });
    this.slots = new SlotWait(this.registry, () => record().plan.vertices, troubles);
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

  /** Those of these generations' workers that went while the generations were being raised are lost. */
  loseMissing(generations: readonly number[]): void {
    for (const worker of this.#options.generations.workers(generations))
      if (!this.registry.has(worker)) this.#lost(worker, "lost while its generation was being raised");
  }

  close(): void {
    this.registry.close();
    this.admission.close();
  }

  #offerSlots(): void {
    this.slots.offer(this.#options.generations.placement());
  }

  #lost(worker: string, reason: string): void {
    const { logger, job, generations } = this.#options;
    logger.warn({ job, worker, reason }, "worker lost");
    this.#report(worker, reason, generations.on(worker));
  }

  #checkSubtasks(worker: string, answer: PingAnswer): void {
    for (const { generation, subtask } of this.#options.generations.missing(worker, answer))
      this.#report(worker, `subtask ${subtask} does not run there any more`, [generation]);
  }

  #report(worker: string, reason: string, generations: readonly number[]): void {
    if (generations.length > 0) this.#options.onLost(generations, this.registry.describe(worker), reason);
  }
}
