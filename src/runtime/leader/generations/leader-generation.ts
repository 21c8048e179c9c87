/**
 * One generation of one region as its leader sees it: where its subtasks were placed, and the wire to their workers.
 *
 * Owns: delivery to the generation's workers, repeated until answered. Does not own: what is said, and when a
 * generation begins and ends (machines/leader/job.ts).
 *
 * LG1  What is sent for a generation stops being repeated when the generation is over. Only its teardown goes on for a
 *     while, because workers may have to be told that it is.
 * LG2  A worker gets the triggers in their order: a barrier that is overtaken by a newer one comes too late (P47).
 * LG3  A worker that has accepted the deployment and does not name the generation in a later answer has lost it (P69).
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

/** What a subtask is answered: whether its message was taken, and what ShortAnswer says of the rest. */
export interface MessageAnswer {
  readonly answer: string;
  readonly limit?: number | null;
}

export interface LeaderGenerationOptions {
  readonly job: string;
  readonly region: number;
  readonly id: number;
  readonly placement: { readonly [subtask: SubtaskName]: string };
  /** What it seals its messages with (P69). */
  readonly secret: string;
  /** What a worker seals its messages with; undefined: it is not registered any more. */
  readonly secretOf: (worker: string) => string | undefined;
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly storage: CheckpointStorage;
  readonly clock: Clock;
  /** A worker may take this long to tear down what ran before. */
  readonly deployTimeoutMs: number;
  readonly troubles: TroubleWatcher;
  readonly receive: (message: SubtaskMessage) => MessageAnswer;
  readonly onError: (error: unknown) => void;
}

/** A deployment that a worker has not taken. */
export interface Refusal {
  /** In words. */
  readonly reason: string;
  /** It has seen a newer generation than any that its leader knows: it takes none of this leader's. */
  readonly isStale: boolean;
  /** That generation; 0: none, or the worker has not said. */
  readonly seen: number;
}

const TEARDOWN_BOUND_MS = 10_000;

export class LeaderGeneration {
  readonly #options: LeaderGenerationOptions;
  readonly #over = newLife();
  readonly #wire: Subscription;
  /** Each worker's last trigger; resolves when it has been answered (LG2). */
  readonly #triggered = new Map<string, Promise<unknown>>();
  /** When each worker's acceptance was heard, on the monotonic clock (LG3). */
  readonly #acceptedMs = new Map<string, number>();

  constructor(options: LeaderGenerationOptions) {
    this.#options = options;
    const { link, subjects, job, id, secret, receive, onError } = options;
    this.#wire = link.serve(
      subjects.coordinator(job, id),
      shapes.subtaskMessage,
      (message) => (this.#over.signal.aborted ? { answer: "stale" } : receive(message)),
      onError,
      secret,
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

  /**
   * A subtask that was placed on this worker and does not run there (P5).
   * @param askedMs when the worker was asked, on the monotonic clock
   */
  missing(worker: string, answer: PingAnswer, askedMs: number): SubtaskName | undefined {
    const isAccepted = askedMs > (this.#acceptedMs.get(worker) ?? Number.POSITIVE_INFINITY);
    if (answer.generations[this.region] !== this.id && !isAccepted) return undefined;
    const there = new Set(
      answer.subtasks.filter(({ generation }) => generation === this.id).map(({ subtask }) => subtask),
    );
    return Object.entries(this.#options.placement).find(
      ([subtask, at]) => at === worker && !there.has(subtask),
    )?.[0];
  }

  /** Resolves when the worker refuses, with undefined when it accepts or the generation is over. */
  async deploy(worker: string, deployment: Deployment): Promise<Refusal | undefined> {
    const { link, subjects, storage, deployTimeoutMs, clock } = this.#options;
    const answer = await link.tell(
      subjects.workers(worker),
      { type: "generation.deploy", deployment },
      shapes.shortAnswer,
      {
        signal: this.#over.signal,
        timeoutMs: deployTimeoutMs,
        detour: { storage, at: deployment },
        watch: this.#watch(worker),
        ...this.#sealFor(worker),
      },
    );
    if (answer === undefined) return undefined;
    switch (answer.answer) {
      case "accepted":
      case "duplicate":
        this.#acceptedMs.set(worker, clock.elapsedMs());
        return undefined;
      case "refused":
        return {
          reason: answer.reason ?? `worker ${worker} refused the deployment`,
          isStale: false,
          seen: 0,
        };
      default: {
        const why = answer.reason ?? `it answers "${answer.answer}"`;
        const reason = `worker ${worker} does not take generation ${this.id}: ${why}`;
        return { reason, isStale: true, seen: answer.seen ?? 0 };
      }
    }
  }

  /** Sends to every worker, until each has answered or the generation is over (LG1). */
  tell(message: GenerationRequest): void {
    const { link, subjects, job, id, secret } = this.#options;
    for (const worker of this.workers()) {
      const options = { signal: this.#over.signal, watch: this.#watch(worker), secret };
      const tell = () => link.tell(subjects.worker(job, id, worker), message, shapes.shortAnswer, options);
      if (message.type !== "checkpoint.triggered") void tell();
      else this.#triggered.set(worker, (this.#triggered.get(worker) ?? Promise.resolve()).then(tell));
    }
  }

  #sealFor(worker: string): { readonly secret: string } {
    // A worker that is gone hears nothing, whatever the seal.
    return { secret: this.#options.secretOf(worker) ?? "" };
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
        ...this.#sealFor(worker),
      });
  }
}
