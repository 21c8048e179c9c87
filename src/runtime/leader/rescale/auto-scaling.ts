/**
 * A job that scales by itself, on its leader.
 *
 * Owns: what its workers tell of their load, sample by sample, and asking for a rescale. Does not own: when another
 * number is better (machines/leader/scaling.ts), the rescale itself (rescales.ts), which begins the job anew, and this
 * with it: so nothing measured before counts.
 *
 * - QU1 After a rescale that was refused, or that the job went back behind, it waits for ten times as long.
 */
import { parallelismOf } from "../../../../machines/leader/rescale.ts";
import { decideScaling, type LoadSample, type ScalingConfig } from "../../../../machines/leader/scaling.ts";
import type { JobRecord } from "../../../../machines/protocol.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { LeaderAnswer, SubtaskReport } from "../../../control/messages.ts";
import type { RescaleRequest } from "../../../control/requests/rescale.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { EventFeed } from "../../../observe/feed.ts";
import { scalingEvent } from "../../step-event.ts";

export interface AutoScalingOptions {
  readonly job: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly feed: EventFeed;
  readonly newId: () => string;
  readonly signal: AbortSignal;
  readonly record: () => JobRecord;
  readonly phase: () => string;
  readonly slots: () => number;
  readonly subtasks: () => readonly SubtaskReport[];
  readonly rescale: (request: RescaleRequest) => Promise<LeaderAnswer>;
}

const SAMPLED_EVERY_MS = 1000;
const ASKED_EVERY_MS = 200;
const PATIENCE = 10;
/** Windows are compared over four times their length at most. */
const WINDOWS_KEPT = 5;

export class AutoScaling {
  readonly #options: AutoScalingOptions;
  readonly #config: ScalingConfig;
  #samples: LoadSample[] = [];
  /** By subtask and generation. */
  #busyMs = new Map<string, number>();
  #sampledMs: number;
  #notBeforeMs: number;
  #isAsking = false;

  constructor(config: ScalingConfig, options: AutoScalingOptions) {
    this.#config = config;
    this.#options = options;
    const { clock, record } = options;
    const waits = record().rescale?.state === "failed" ? PATIENCE : 1;
    this.#sampledMs = clock.elapsedMs();
    this.#notBeforeMs = this.#sampledMs + waits * config.cooldownMs;
  }

  /** Looks every second from here on, as long as this leader leads the job. */
  start(): void {
    const { clock, signal } = this.#options;
    const lookAgain = () => {
      if (signal.aborted) return;
      this.#look();
      clock.after(SAMPLED_EVERY_MS, lookAgain);
    };
    clock.after(SAMPLED_EVERY_MS, lookAgain);
  }

  #look(): void {
    const { clock, phase, record, slots } = this.#options;
    const nowMs = clock.elapsedMs();
    if (phase() !== "running.processing") this.#samples = [];
    this.#sample(nowMs);
    if (this.#isAsking || nowMs < this.#notBeforeMs) return;
    const { plan } = record();
    const parallelism = Math.max(...plan.vertices.map((vertex) => vertex.parallelism));
    const bounds = { parallelism, slots: slots(), maxParallelism: plan.maxParallelism };
    const decision = decideScaling(this.#config, this.#samples, bounds);
    if (decision !== undefined) void this.#ask(decision.parallelism, decision.reason);
  }

  /** Subtasks of one process share its time, so what they were busy for is added up. */
  #sample(nowMs: number): void {
    const sinceMs = nowMs - this.#sampledMs;
    const before = this.#busyMs;
    const busyMs = new Map<string, number>();
    const ofWorkers = new Map<string, number>();
    let pending: number | null = null;
    for (const { subtask, generation, worker, load } of this.#options.subtasks()) {
      if (load === undefined) continue;
      const name = `${generation} ${subtask}`;
      busyMs.set(name, load.busyMs);
      const more = load.busyMs - (before.get(name) ?? load.busyMs);
      ofWorkers.set(worker, (ofWorkers.get(worker) ?? 0) + more);
      if (load.pending !== undefined) pending = (pending ?? 0) + load.pending;
    }
    this.#busyMs = busyMs;
    this.#sampledMs = nowMs;
    if (ofWorkers.size === 0 || sinceMs <= 0) return;
    const utilization = Math.min(1, Math.max(...ofWorkers.values()) / sinceMs);
    this.#samples.push({ atMs: nowMs, utilization, pending });
    const keptMs = WINDOWS_KEPT * this.#config.windowMs;
    while (nowMs - this.#samples[0]!.atMs > keptMs) this.#samples.shift();
  }

  async #ask(parallelism: number, reason: string): Promise<void> {
    const { job, newId, rescale, signal, clock, record } = this.#options;
    this.#isAsking = true;
    this.#tell("scaling.decided", parallelism, reason);
    const request: RescaleRequest = {
      type: "job.rescale",
      job,
      request: newId(),
      parallelism,
      operators: keptBy(record()),
    };
    let answer: LeaderAnswer = { answer: "pending" };
    while (answer.answer === "pending" && !signal.aborted) {
      answer = await rescale(request);
      if (answer.answer === "pending") await pauseOn(clock, ASKED_EVERY_MS, signal).catch(() => undefined);
    }
    this.#isAsking = false;
    this.#samples = [];
    if (answer.answer !== "refused") return;
    this.#notBeforeMs = clock.elapsedMs() + PATIENCE * this.#config.cooldownMs;
    this.#tell("scaling.refused", parallelism, answer.reason);
  }

  #tell(event: "scaling.decided" | "scaling.refused", parallelism: number, reason: string): void {
    const { job, feed, logger, clock, record } = this.#options;
    logger.info({ job, parallelism, reason }, event);
    const { generation } = record();
    feed.publish(scalingEvent({ t: clock.nowMs(), job, generation, id: "job" }, event, parallelism, reason));
  }
}

/** Operators that have fewer subtasks than the others keep them. */
function keptBy({ plan }: JobRecord): RescaleRequest["operators"] {
  const most = Math.max(...plan.vertices.map((vertex) => vertex.parallelism));
  return Object.fromEntries(Object.entries(parallelismOf(plan)).filter(([, of]) => of < most));
}
