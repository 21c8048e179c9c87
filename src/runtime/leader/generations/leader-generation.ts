/**
 * One generation of one region as its leader sees it: where its subtasks were placed, and the wire to their workers.
 *
 * Owns: delivery to the generation's workers, repeated until answered. Does not own: what is said, and when a
 * generation begins and ends (machines/leader/job.ts).
 *
 * LG1  What is sent for a generation stops being repeated when the generation is over. Only its teardown goes on for a
 *     while, because workers may have to be told that it is.
 * LG2  A worker gets the triggers in their order: a barrier that is overtaken by a newer one comes too late (P47).
 */
import type { SubtaskName } from "../../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { Deployment, GenerationRequest, PingAnswer, SubtaskMessage } from "../../../control/messages.ts";
import { shapes } from "../../../control/shapes.ts";
import type { Subscription } from "../../../dataflow/channel/bus.ts";
import type { Subjects } from "../../../dataflow/channel/subjects.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { newLife } from "../../life.ts";

export interface LeaderGenerationOptions {
  readonly job: string;
  readonly region: number;
  readonly id: number;
  readonly placement: { readonly [subtask: SubtaskName]: string };
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  readonly clock: Clock;
  /** A worker may take this long to tear down what ran before. */
  readonly deployTimeoutMs: number;
  readonly troubles: TroubleWatcher;
  readonly receive: (message: SubtaskMessage) => { readonly answer: string };
  readonly onError: (error: unknown) => void;
}

const TEARDOWN_BOUND_MS = 10_000;

export class LeaderGeneration {
  readonly #options: LeaderGenerationOptions;
  readonly #over = newLife();
  readonly #wire: Subscription;
  /** Each worker's last trigger; resolves when it has been answered (LG2). */
  readonly #triggered = new Map<string, Promise<unknown>>();

  constructor(options: LeaderGenerationOptions) {
    this.#options = options;
    const { link, subjects, job, id, receive, onError } = options;
    this.#wire = link.serve(
      subjects.coordinator(job, id),
      shapes.subtaskMessage,
      (message) => (this.#over.signal.aborted ? { answer: "stale" } : receive(message)),
      onError,
    );
  }

  get id(): number {
    return this.#options.id;
  }

  get region(): number {
    return this.#options.region;
  }

  get placement(): { readonly [subtask: SubtaskName]: string } {
    return this.#options.placement;
  }

  get over(): boolean {
    return this.#over.signal.aborted;
  }

  workers(): string[] {
    return [...new Set(Object.values(this.#options.placement))];
  }

  /** A subtask that was placed on this worker and does not run there (P5). */
  missing(worker: string, answer: PingAnswer): SubtaskName | undefined {
    if (!answer.generations.includes(this.id)) return undefined;
    const there = new Set(
      answer.subtasks.filter(({ generation }) => generation === this.id).map(({ subtask }) => subtask),
    );
    return Object.entries(this.#options.placement).find(
      ([subtask, at]) => at === worker && !there.has(subtask),
    )?.[0];
  }

  /** Resolves with the worker's reason when it refuses, with undefined when it accepts or the generation is over. */
  async deploy(worker: string, deployment: Deployment): Promise<string | undefined> {
    const { link, subjects, storage, deployTimeoutMs } = this.#options;
    const answer = await link.tell(
      subjects.workers(worker),
      { type: "generation.deploy", deployment },
      shapes.shortAnswer,
      {
        signal: this.#over.signal,
        timeoutMs: deployTimeoutMs,
        detour: { storage, at: deployment },
        watch: this.#watch(worker),
      },
    );
    if (answer?.answer !== "refused") return undefined;
    return answer.reason ?? `worker ${worker} refused the deployment`;
  }

  /** Sends to every worker, until each has answered or the generation is over (LG1). */
  tell(message: GenerationRequest): void {
    const { link, subjects, job, id } = this.#options;
    for (const worker of this.workers()) {
      const options = { signal: this.#over.signal, watch: this.#watch(worker) };
      const tell = () => link.tell(subjects.worker(job, id, worker), message, shapes.shortAnswer, options);
      if (message.type !== "checkpoint.triggered") void tell();
      else this.#triggered.set(worker, (this.#triggered.get(worker) ?? Promise.resolve()).then(tell));
    }
  }

  #watch(worker: string): TroubleWatch {
    return this.#options.troubles.watch(`reaching worker ${worker}`);
  }

  end(): void {
    this.#over.abort();
    this.#wire.close();
  }

  /** Ends it, and tells its workers so, once; `signal`: leadership. */
  tearDown(signal: AbortSignal): void {
    if (this.over) return;
    this.end();
    const { link, subjects, job, region, id, clock } = this.#options;
    const bound = new AbortController();
    clock.after(TEARDOWN_BOUND_MS, () => bound.abort());
    const message = { type: "generation.teardown", job, region, generation: id };
    for (const worker of this.workers())
      void link.tell(subjects.workers(worker), message, shapes.shortAnswer, {
        signal: AbortSignal.any([bound.signal, signal]),
      });
  }
}
