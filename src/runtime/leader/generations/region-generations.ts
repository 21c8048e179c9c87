/**
 * The present generations of a job, one of each region: what is said goes to those whom it concerns.
 *
 * Owns: which generation each region has, and whether it is over. Does not own: when one is raised or fails
 * (machines/leader/job.ts), delivery (leader-generation.ts).
 */

import type { Region } from "../../../../machines/leader/regions.ts";
import { parallelismOf, planOfCheckpoint } from "../../../../machines/leader/rescale.ts";
import type { JobRecord, SubtaskName } from "../../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../../machines/record.ts";
import { eventOf } from "../../../../machines/wiring.ts";
import type { GenerationRequest, PingAnswer, SubtaskMessage } from "../../../control/messages.ts";
import { generationSecret } from "../../../control/seal.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { InheritedFrom } from "../../../dataflow/sink.ts";
import { describeError } from "../../../errors.ts";
import type { Timings } from "../../timings.ts";
import {
  LeaderGeneration,
  type LeaderGenerationOptions,
  type MessageAnswer,
  type Refusal,
} from "./leader-generation.ts";

export interface RegionGenerationsOptions
  extends Pick<
    LeaderGenerationOptions,
    "job" | "link" | "subjects" | "storage" | "clock" | "troubles" | "secretOf"
  > {
  readonly regions: readonly Region[];
  /** The id of this process. */
  readonly leader: string;
  readonly logger: Logger;
  readonly timings: Timings;
  /** Leadership (P9). */
  readonly signal: AbortSignal;
  readonly receive: (message: SubtaskMessage) => MessageAnswer;
  /** A worker has refused its deployment. */
  readonly onRefused: (generation: number, worker: string, refusal: Refusal) => void;
}

export class RegionGenerations {
  readonly #options: RegionGenerationsOptions;
  /** The last one that was raised of each region; it may be over. */
  readonly #latest: LeaderGeneration[] = [];

  constructor(options: RegionGenerationsOptions) {
    this.#options = options;
  }

  /**
   * Nothing when the leader has stepped down while the generation was stored: it would answer, and no process end it.
   *
   * @param life the incarnation of the job and the nonce that the generation was raised with
   */
  begin(
    region: number,
    id: number,
    placement: { readonly [subtask: SubtaskName]: string },
    life: Pick<JobRecord, "incarnation" | "nonce">,
  ): void {
    const { regions, timings, logger, job, signal } = this.#options;
    if (signal.aborted) return;
    this.#latest[region]?.end();
    const subtasks = regions[region] ?? [];
    this.#latest[region] = new LeaderGeneration({
      ...this.#options,
      region,
      id,
      secret: generationSecret(life),
      placement: Object.fromEntries(subtasks.map((subtask) => [subtask, placement[subtask] ?? ""])),
      deployTimeoutMs: timings.cancelTimeoutMs,
      onError: (error) =>
        logger.warn({ job, generation: id, error: describeError(error) }, "message could not be handled"),
    });
  }

  /** What is not taken: of a generation that is over, or of a subtask that it does not have. undefined: it is. */
  refusalOf({ type, generation, subtask }: SubtaskMessage): "stale" | "unknown" | undefined {
    const [found] = this.#live([generation]);
    if (found === undefined) return "stale";
    if (Object.hasOwn(found.placement, subtask)) return undefined;
    const { logger, job } = this.#options;
    logger.warn({ job, type, generation, subtask }, "no such subtask");
    return "unknown";
  }

  /** The worker of each subtask that runs. */
  placement(): { readonly [subtask: SubtaskName]: string } {
    return Object.assign({}, ...this.#live().map(({ placement }) => placement));
  }

  workers(generations: readonly number[]): string[] {
    return [...new Set(this.#live(generations).flatMap((generation) => generation.workers()))];
  }

  /** Generations with subtasks on this worker. */
  on(worker: string): number[] {
    return this.#live()
      .filter((generation) => generation.workers().includes(worker))
      .map(({ id }) => id);
  }

  /** Subtasks that were placed on this worker and do not run there (P5). */
  missing(
    worker: string,
    answer: PingAnswer,
    askedMs: number,
  ): { readonly generation: number; readonly subtask: SubtaskName }[] {
    return this.#live().flatMap((generation) => {
      const subtask = generation.missing(worker, answer, askedMs);
      return subtask === undefined ? [] : [{ generation: generation.id, subtask }];
    });
  }

  /** The record's latest checkpoint is what they begin from. */
  deploy(
    generations: readonly number[],
    record: JobRecord,
    inherits: InheritedFrom | null,
    settle: boolean,
  ): void {
    const latest = latestCheckpoint(record);
    const restore =
      latest === undefined
        ? null
        : {
            checkpointId: latest.checkpointId,
            manifest: latest.manifest,
            parallelism: parallelismOf(planOfCheckpoint(record, latest.checkpointId)),
          };
    for (const generation of this.#live(generations)) {
      const deployment = {
        job: record.job,
        incarnation: record.incarnation,
        region: generation.region,
        generation: generation.id,
        nonce: record.nonce,
        placement: generation.placement,
        splits: record.splits,
        parallelism: parallelismOf(record.plan),
        planSince: record.planSince,
        restore,
        inherits,
        settle,
        leader: this.#options.leader,
        maxParallelism: record.plan.maxParallelism,
        iterations: record.checkpointing.iterations,
        incremental: record.checkpointing.incremental,
      };
      for (const worker of generation.workers())
        void generation.deploy(worker, deployment).then((refusal) => {
          if (refusal !== undefined) this.#options.onRefused(generation.id, worker, refusal);
        });
    }
  }

  tellEach(event: "generation.started" | "drain.requested", generations: readonly number[]): void {
    for (const one of this.#live(generations)) one.tell(eventOf(event, { generation: one.id }));
  }

  /** Sends to all that were there when the message's generation was the newest: a later one took no part. */
  tell(message: GenerationRequest): void {
    for (const one of this.#live())
      if (one.id <= message.generation) one.tell({ ...message, generation: one.id });
  }

  tearDown(generations: readonly number[]): void {
    for (const one of this.#live(generations)) one.tearDown(this.#options.signal);
  }

  end(): void {
    for (const one of this.#live()) one.end();
  }

  /** Those of them that are not over; without a list, all. */
  #live(ids?: readonly number[]): LeaderGeneration[] {
    return this.#latest.filter((one) => !one.over && (ids === undefined || ids.includes(one.id)));
  }
}
