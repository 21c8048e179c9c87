/** A job's wait for slots: until its workers offer enough of them, and what is said meanwhile. */
import type { SubtaskName, VertexPlan } from "../../../../machines/protocol.ts";
import type { TroubleWatch } from "../../../dataflow/trouble.ts";
import type { Troubles } from "../../../observe/troubles.ts";
import type { WorkerRegistry } from "../generations/worker-registry.ts";

export type Placement = { [subtask: SubtaskName]: string };

/** Since a worker came or went: on a busy machine a process needs several seconds until it offers itself. */
const VISIBLE_AFTER_MS = 15_000;

export class SlotWait {
  readonly #workers: Pick<WorkerRegistry, "place" | "slots">;
  readonly #vertices: () => readonly VertexPlan[];
  readonly #trouble: TroubleWatch;
  #waits = false;

  constructor(
    workers: Pick<WorkerRegistry, "place" | "slots">,
    vertices: () => readonly VertexPlan[],
    troubles: Pick<Troubles, "watch">,
  ) {
    this.#workers = workers;
    this.#vertices = vertices;
    this.#trouble = troubles.watch("waiting for slots", VISIBLE_AFTER_MS);
  }

  begin(): void {
    this.#waits = true;
  }

  /**
   * At the beginning, and when a worker has come or gone. The placement that ends the wait; undefined: it goes on, or there is none.
   * @param kept where subtasks run that stay there
   */
  offered(kept: Placement): Placement | undefined {
    if (!this.#waits) return undefined;
    // Each worker that comes is progress.
    this.#trouble.passed();
    const placement = this.#workers.place(this.#vertices(), kept);
    if (placement === undefined) this.#trouble.failed(this.needed);
    else this.#waits = false;
    return placement;
  }

  /** In words. */
  get needed(): string {
    const needed = Math.max(...this.#vertices().map((vertex) => vertex.parallelism));
    return `${needed} slots; the workers offer ${this.#workers.slots}`;
  }
}
