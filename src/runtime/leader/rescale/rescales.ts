/**
 * Rescales of a job that runs, on its leader (P95).
 *
 * Owns: whether one is possible, its order, and what its client is answered. Does not own: what the record makes of it
 * (machines/leader/rescale.ts), the plan, which a worker makes (planning.ts), going on under it: the coordinator leads
 * the job anew from its record then, as a new leader would.
 *
 * - RZ4 Nothing stops before the record has decided. Until then it can be refused, and the job has lost nothing but the
 *   time of a checkpoint.
 * - RZ5 If no generation of the new plan comes to run, the record goes back, and its user hears why.
 */
import { isPending, parallelismOf } from "../../../../machines/leader/rescale.ts";
import type { GraphPlan, JobRecord } from "../../../../machines/protocol.ts";
import { latestCheckpoint, type RecordChange } from "../../../../machines/record.ts";
import { phaseInWords } from "../../../../machines/words.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { ControlLink } from "../../../control/link.ts";
import type { LeaderAnswer, SnapshotRequest } from "../../../control/messages.ts";
import type { RescaleRequest } from "../../../control/requests/rescale.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import { ObjectMissingError, RequestRefusedError } from "../../../errors.ts";
import { graphFingerprint } from "../../../job/fingerprint.ts";
import { planRestore } from "../../../job/restore/restore-plan.ts";
import type { EventFeed } from "../../../observe/feed.ts";
import { readManifest } from "../../manifest.ts";
import { rescaleEvent } from "../../step-event.ts";
import type { JobRequests } from "../checkpoints/job-requests.ts";
import type { WorkerRegistry } from "../generations/worker-registry.ts";
import type { WriteOutcome } from "../records/record-writer.ts";
import { hasEnded, nothingTo } from "../submissions/refusals.ts";
import { answerInTime } from "../submissions/repetitions.ts";
import { AutoScaling } from "./auto-scaling.ts";
import { plannedBy } from "./planning.ts";

export interface RescalesOptions {
  readonly job: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly feed: EventFeed;
  readonly storage: CheckpointStorage;
  readonly newId: () => string;
  /** Leadership. */
  readonly signal: AbortSignal;
  readonly link: ControlLink;
  readonly workers: Pick<WorkerRegistry, "list" | "slots" | "report">;
  readonly requests: Pick<JobRequests, "take">;
  readonly record: () => JobRecord;
  /** State of the job machine. */
  readonly phase: () => string;
  readonly change: (change: RecordChange) => Promise<WriteOutcome>;
  /** The record has another plan: the job is to be led anew from it. */
  readonly onDecided: () => void;
}

/** A checkpoint that cannot be dealt out is followed by another one, which mostly can. */
const CHECKPOINTS_MAX = 3;
/** Between two looks whether the checkpoint is complete. */
const LOOK_MS = 20;
/** For the workers to come back that went while the job was changed over. */
const SLOTS_BOUND_MS = 10_000;

const pending: LeaderAnswer = { answer: "pending" };
const refused = (reason: string): LeaderAnswer => ({ answer: "refused", reason });

export class Rescales {
  readonly #options: RescalesOptions;
  #latest: { readonly request: string; readonly answer: Promise<LeaderAnswer> } | undefined;
  #isUnderWay = false;

  constructor(options: RescalesOptions) {
    this.#options = options;
  }

  /** A leader begins with a record that has a rescale under way. */
  start(): void {
    const { clock, record, phase, workers } = this.#options;
    const { scaling } = record();
    if (scaling !== undefined)
      new AutoScaling(scaling, {
        ...this.#options,
        slots: () => workers.slots,
        subtasks: () => workers.report(record().generations).subtasks,
        rescale: (request) => this.request(request),
      }).start();
    if (!isPending(record())) return;
    clock.after(SLOTS_BOUND_MS, () => {
      if (phase() === "waiting") void this.failed("the workers do not offer enough slots any more");
    });
  }

  /** Takes the request, or says what has become of it. */
  async request(asked: RescaleRequest): Promise<LeaderAnswer> {
    const recorded = recordedFor(asked, this.#options.record());
    if (recorded !== undefined) return recorded;
    if (this.#latest?.request !== asked.request) {
      if (this.#isUnderWay || isPending(this.#options.record()))
        return refused(
          `job ${asked.job} is being rescaled already: "tidemark status ${asked.job}" shows when it runs`,
        );
      this.#latest = { request: asked.request, answer: this.#carryOut(asked) };
    }
    return await answerInTime(this.#options.clock, this.#latest!.answer);
  }

  /** A generation of the present plan runs. */
  async recovered(): Promise<void> {
    const { change, record } = this.#options;
    if (!isPending(record())) return;
    const stored = await change({ change: "rescale-done" });
    if (stored.outcome === "stored") this.#tell("rescale.done", stored.record);
  }

  /** A generation has failed: the job goes back if none of the present plan has run yet (RZ5). */
  async failed(reason: string): Promise<void> {
    const { change, record, clock, onDecided } = this.#options;
    if (!isPending(record())) return;
    const stored = await change({ change: "rescale-undone", reason, atMs: clock.nowMs() });
    if (stored.outcome !== "stored") return;
    this.#tell("rescale.undone", stored.record, reason);
    onDecided();
  }

  async #carryOut(asked: RescaleRequest): Promise<LeaderAnswer> {
    this.#isUnderWay = true;
    try {
      return await this.#decide(asked);
    } catch (error) {
      if (!(error instanceof RequestRefusedError)) throw error;
      return refused(error.message);
    } finally {
      this.#isUnderWay = false;
    }
  }

  async #decide(asked: RescaleRequest): Promise<LeaderAnswer> {
    const { record, workers, link, change, signal, onDecided, clock } = this.#options;
    this.#assertRuns();
    const plan = await plannedBy(workers.list(), link, asked, record());
    this.#assertPossible(plan);
    let problems: readonly string[] = [];
    for (let tries = 0; tries < CHECKPOINTS_MAX; tries++) {
      await this.#checkpoint();
      if (signal.aborted) return pending;
      this.#assertRuns();
      const completed = latestCheckpoint(record())?.checkpointId ?? 0;
      const found = await this.#problems(plan);
      problems = found ?? problems;
      if (found === undefined || found.length > 0) continue;
      const { request } = asked;
      const atMs = clock.nowMs();
      const outcome = await change({ change: "rescale", request, plan, completed, atMs });
      if (outcome.outcome === "lost") return pending;
      if (outcome.outcome === "refused") continue;
      this.#tell("rescale.decided", outcome.record);
      onDecided();
      return pending;
    }
    const { job } = asked;
    if (problems.length === 0)
      return refused(`job ${job} completes its checkpoints faster than it can be rescaled; try again`);
    return refused(
      `job ${job} cannot be rescaled, and goes on as before:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
  }

  /** @throws RequestRefusedError where the job does not run, or is about to end */
  #assertRuns(): void {
    const { job, phase, record } = this.#options;
    const now = phase();
    if (hasEnded(record()) || record().status === "settling")
      throw new RequestRefusedError(nothingTo(record(), "rescale"));
    if (now === "running.processing") return;
    throw new RequestRefusedError(
      `job ${job} cannot be rescaled now: it is ${phaseInWords(now)}. "tidemark status ${job}" shows when it runs; ask again then`,
    );
  }

  /** @throws RequestRefusedError for what no checkpoint would mend */
  #assertPossible(plan: GraphPlan): void {
    const { job, record, workers } = this.#options;
    const before = record().plan;
    if (graphFingerprint(plan) !== graphFingerprint(before))
      throw new RequestRefusedError(
        `the workers of job ${job} make another graph of it than the one that was submitted: start them from the submitted files`,
      );
    const [was, is] = [before, plan].map((one) => JSON.stringify(parallelismOf(one)));
    if (was === is)
      throw new RequestRefusedError(
        `job ${job} runs with these numbers of subtasks already: there is nothing to do`,
      );
    const needed = Math.max(...plan.vertices.map(({ parallelism }) => parallelism));
    if (needed > workers.slots)
      throw new RequestRefusedError(
        `job ${job} would need ${needed} slots, and its workers offer ${workers.slots}: start another worker, or one with more --slots, then ask again`,
      );
  }

  /** Little is to be read again after a checkpoint that has just been taken. @throws RequestRefusedError */
  async #checkpoint(): Promise<void> {
    const { job, requests, newId, clock, signal } = this.#options;
    const asked: SnapshotRequest = {
      type: "job.snapshot",
      job,
      request: newId(),
      kind: "checkpoint",
      directory: null,
      followedBy: "go-on",
    };
    while (!signal.aborted) {
      const answer = requests.take(asked);
      const reason =
        answer.answer === "refused"
          ? answer.reason
          : answer.answer === "outcome" && answer.outcome.state === "failed"
            ? answer.outcome.reason
            : undefined;
      if (reason !== undefined)
        throw new RequestRefusedError(
          `job ${job} cannot be rescaled, and goes on as before: the checkpoint that it needs did not succeed: ${reason}`,
        );
      if (answer.answer === "outcome" && answer.outcome.state === "completed") return;
      await pauseOn(clock, LOOK_MS, signal);
    }
  }

  /** Why the latest checkpoint cannot be dealt out; undefined: a newer one has taken its place. */
  async #problems(plan: GraphPlan): Promise<readonly string[] | undefined> {
    const { storage } = this.#options;
    const record = this.#options.record();
    const latest = latestCheckpoint(record);
    if (latest === undefined) return undefined;
    try {
      const manifest = await readManifest(storage, latest.manifest);
      return planRestore({ plan: record.plan, splits: record.splits, manifest }, plan, [], record.splits)
        .problems;
    } catch (error) {
      if (error instanceof ObjectMissingError) return undefined;
      throw error;
    }
  }

  #tell(event: "rescale.decided" | "rescale.done" | "rescale.undone", record: JobRecord, reason = ""): void {
    const { logger, feed, clock, job } = this.#options;
    const parallelism = parallelismOf(record.plan);
    logger.info({ job, parallelism, ...(reason === "" ? {} : { reason }) }, event);
    const { generation } = record;
    feed.publish(rescaleEvent({ t: clock.nowMs(), job, generation, id: "job" }, event, parallelism, reason));
  }
}

/** What the record says of the request, also of one that the leader before has taken. */
function recordedFor({ job, request }: RescaleRequest, record: JobRecord): LeaderAnswer | undefined {
  const { rescale } = record;
  if (rescale?.request !== request) return undefined;
  const checkpointId = latestCheckpoint(record)?.checkpointId ?? 0;
  switch (rescale.state) {
    case "pending":
      return pending;
    case "done":
      return { answer: "outcome", outcome: { state: "completed", checkpointId, location: null } };
    case "failed":
      return refused(
        `job ${job} could not be rescaled, and runs with the former numbers of subtasks: ${rescale.reason}`,
      );
  }
}
