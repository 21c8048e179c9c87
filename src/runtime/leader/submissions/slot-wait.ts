/** A job's wait for slots: until its workers offer enough of them, and what is said meanwhile. */
import type { JobRecord, SubtaskName } from "../../../../machines/protocol.ts";
import type { TroubleWatch } from "../../../dataflow/trouble.ts";
import type { Troubles } from "../../../observe/troubles.ts";
import type { WorkerRegistry } from "../generations/worker-registry.ts";

export type Placement = { [subtask: SubtaskName]: string };

/** The time since a worker came or went: on a busy machine a process needs several seconds until it offers itself. */
const VISIBLE_AFTER_MS = 15_000;

export class SlotWait {
  readonly #workers: Pick<WorkerRegistry, "place" | "slots">;
  readonly #record: () => Pick<JobRecord, "plan" | "incarnation">;
  readonly #trouble: TroubleWatch;
  #onOffered: ((placement: Placement) => void) | undefined;

  constructor(
    workers: Pick<WorkerRegistry, "place" | "slots">,
    record: () => Pick<JobRecord, "plan" | "incarnation">,
    troubles: Pick<Troubles, "watch">,
  ) {
    this.#workers = workers;
    this.#record = record;
    this.#trouble = troubles.watch("waiting for slots", VISIBLE_AFTER_MS);
  }

  /** @param onOffered called once, with the placement that ends the wait */
  begin(onOffered: (placement: Placement) => void): void {
    this.#onOffered = onOffered;
  }

  /**
   * Looks whether the wait is over, if there is one: at the beginning, and when a worker has come or gone.
   * @param kept where subtasks run that stay there
   */
  offer(kept: Placement): void {
    const onOffered = this.#onOffered;
    if (onOffered === undefined) return;
    // Each worker that comes is progress.
    this.#trouble.passed();
    const { plan, incarnation } = this.#record();
    const placement = this.#workers.place(plan.vertices, kept, incarnation);
    if (placement === undefined) {
      this.#trouble.failed(this.needed);
      return;
    }
    this.#onOffered = undefined;
    onOffered(placement);
  }

  /** What is needed, in words. */
  get needed(): string {
    const needed = Math.max(...this.#record().plan.vertices.map((vertex) => vertex.parallelism));
    return `${needed} slots; the workers offer ${this.#workers.slots}`;
  }
}
