/**
 * What a person or a program may ask of the leading coordinator: submit, status, cancel, suspend, gc.
 *
 * - CC1 What changes something names the life of the job that the client has met first, also when it is asked again
 *   over a change of leader: it concerns no later life (P75).
 * - CC2 Each message has a secret of its own, and only an answer with its seal is one.
 */
import type { DisposalTarget } from "../../machines/record.ts";
import { phaseInWords } from "../../machines/words.ts";
import { pauseOn, timeoutSignal } from "../clock.ts";
import type { Subjects } from "../dataflow/channel/subjects.ts";
import {
  EnvironmentError,
  ForeignAnswerError,
  MessageTooLargeError,
  NoRespondersError,
  RequestRefusedError,
  RequestTimeoutError,
  retryOf,
} from "../errors.ts";
import { LeaderSearch } from "./leader-search.ts";
import type { ControlLink } from "./link.ts";
import type {
  JobReport,
  JobSubmission,
  LeaderAnswer,
  LeaderRequest,
  Meant,
  RequestOutcome,
  RestoreRequest,
  SnapshotRequest,
  WorkerIdentity,
} from "./messages.ts";
import type { CollectionReport, DisposalReport } from "./requests/deletion.ts";
import type { LiveSubtask, StateLook } from "./requests/live-state.ts";
import type { RescaleRequest } from "./requests/rescale.ts";
import { shapes } from "./shapes.ts";
import { type StoreIdentity, withStore } from "./store-identity.ts";

export interface ControlClientOptions {
  readonly link: ControlLink;
  readonly subjects: Subjects;
  /** Random, for the secrets of messages. */
  readonly newId: () => string;
  /** Default: requests name no record store, and the leader of any cluster answers them. */
  readonly identity?: StoreIdentity;
  /** How long to look for a leader, in ms. Default 15 000. */
  readonly leaderTimeoutMs?: number;
  /**
   * How long the commit of a job's last output may take before a command that waits for its end gives up, in ms.
   * Default 10 000.
   */
  readonly settlingTimeoutMs?: number;
  /** Where no answer comes: whether a process leads the job all the same. Default: the client cannot tell. */
  readonly isLed?: (job: string) => Promise<boolean>;
  /** Told once in a request that no coordinator leads, which is waited for. Default: it is not told. */
  readonly onUnled?: (waiting: string) => void;
  /** Name of the session of a `tidemark run`: it hands its job to its own coordinator. Default: to the cluster's. */
  readonly session?: string;
}

const REQUEST_TIMEOUT_MS = 2000;
/**
 * The longest time for one answer. It is long, because a leader that is slow (many clients ask) should not answer
 * clients that have stopped listening and then ask again.
 */
const REQUEST_TIMEOUT_MS_MAX = 10_000;
const RETRY_MS = 200;
/**
 * The longest pause between two questions after the same thing: many waiting clients must not keep the leader from its
 * work.
 */
const RETRY_MS_MAX = 2000;
/** So many nonces in a row are named without a pause. */
const STALE_AT_ONCE = 3;
const SETTLING_TIMEOUT_MS = 10_000;
/** The pause between two looks at the job while a client waits for its snapshot. */
const LOOK_EVERY_MS = 2000;
const GOING_ON_LOOK_EVERY_MS = 10_000;
const NEVER = new AbortController().signal;

export type CompletedSnapshot = Extract<RequestOutcome, { readonly state: "completed" }>;

/** What a client that waits for a snapshot may be told meanwhile. */
export interface Waiting {
  /** A leader has the request. Told with each of its answers. */
  readonly onTaken?: () => void;
  /** How the job is doing, every few seconds. */
  readonly onReport?: (report: JobReport) => void;
}

/** One thing that a user wants, however often it is asked for: it stays about the life of the job that it met first. */
export class Wish {
  meant: Meant | undefined;

  /** A leader has said what is to be named now. */
  isStale({ life, nonce }: Meant): void {
    this.meant = { life: this.meant?.life ?? life, nonce };
  }
}

/** What is asked, without what each message adds. */
type Question<R extends LeaderRequest = LeaderRequest> = R extends unknown
  ? Omit<R, "secret" | "store" | "meant">
  : never;

function unknownJob(job: string): RequestRefusedError {
  return new RequestRefusedError(`there is no job ${job}; "tidemark list" lists the jobs`);
}

export class ControlClient {
  readonly #options: ControlClientOptions;

  constructor(options: ControlClientOptions) {
    this.#options = options;
  }

  /**
   * Resolves when the job's record is durable. Repeats itself safely: a submission is recognised by its id.
   * @throws RequestRefusedError with the leader's reason, EnvironmentError when no coordinator leads
   */
  async submit(
    submission: JobSubmission,
    fresh: boolean,
    restore: RestoreRequest | null = null,
  ): Promise<void> {
    await this.#untilDone(submission.job, { type: "job.submit", submission, fresh, restore });
  }

  /**
   * Resolves when the leader would take the submission with this state, however long that takes to find out.
   * @throws as `submit`, with the same words
   */
  async rehearse(submission: JobSubmission, fresh: boolean, restore: RestoreRequest): Promise<void> {
    await this.#untilDone(submission.job, { type: "job.rehearse", submission, fresh, restore });
  }

  /**
   * The report of a job; undefined: there is no such job.
   * @param keys what hot keys are is told, too (P91). Default false
   * @throws MessageTooLargeError when the answer does not fit into a message
   */
  async status(job: string, keys = false): Promise<JobReport | undefined> {
    const answer = await this.#request(job, { type: "job.status", job, keys });
    return answer.answer === "status" ? answer.status : undefined;
  }

  /**
   * What the subtasks of a running job hold now, as far as their workers answer; undefined: there is no such job.
   * @throws RequestRefusedError when it does not run, MessageTooLargeError when the answer does not fit into a message
   */
  async state(job: string, look: StateLook): Promise<readonly LiveSubtask[] | undefined> {
    const answer = await this.#request(job, { type: "job.state", job, look });
    if (answer.answer === "refused") throw new RequestRefusedError(answer.reason);
    return answer.answer === "state" ? answer.subtasks : undefined;
  }

  /**
   * Resolves when the request has been taken; the job ends by and by.
   * @param wish the same one for all repetitions
   * @throws RequestRefusedError when it has ended, or is ending, in another way
   */
  async cancel(job: string, wish = new Wish()): Promise<void> {
    await this.#known(job, { type: "job.cancel", job }, wish);
  }

  /**
   * Tells the leader that a worker's process has ended, before it finds that out. Asked once: it finds it out anyway.
   */
  async workerEnded(job: string, identity: WorkerIdentity, reason: string): Promise<void> {
    const { link, subjects } = this.#options;
    const request: LeaderRequest = { type: "worker.crashed", job, ...identity, reason };
    const { secret } = identity;
    await link.ask(subjects.control(job), request, shapes.leaderAnswer, REQUEST_TIMEOUT_MS, { secret });
  }

  /**
   * Asks the leader to suspend the job, as `cancel` asks it to cancel the job.
   * @throws RequestRefusedError when the job is ending in another way already
   */
  async suspend(job: string, wish = new Wish()): Promise<void> {
    await this.#known(job, { type: "job.suspend", job }, wish);
  }

  /**
   * Resolves when the checkpoint or savepoint is complete; asked again and again, a change of leader included.
   * @throws RequestRefusedError with the reason when it was refused or given up; EnvironmentError when the job is to
   * end
   *   with it and its last output cannot be committed: that is decided, and still tried (P49)
   */
  async snapshot(
    asked: Omit<SnapshotRequest, "type">,
    signal?: AbortSignal,
    waiting: Waiting = {},
  ): Promise<CompletedSnapshot> {
    const { job } = asked;
    const { clock } = this.#options.link;
    let settlingMs: number | undefined;
    const wish = new Wish();
    const lookEveryMs = asked.followedBy === "go-on" ? GOING_ON_LOOK_EVERY_MS : LOOK_EVERY_MS;
    let lookMs = clock.elapsedMs() + lookEveryMs;
    let pauseMs = RETRY_MS;
    for (;;) {
      const answer = await this.#request(job, { type: "job.snapshot", ...asked }, wish);
      if (answer.answer === "unknown") throw unknownJob(job);
      if (answer.answer === "outcome" && answer.outcome.state === "completed") return answer.outcome;
      if (answer.answer === "outcome" && answer.outcome.state === "failed")
        throw new RequestRefusedError(
          `the ${asked.kind} of job ${job} did not succeed: ${answer.outcome.reason}`,
        );
      signal?.throwIfAborted();
      waiting.onTaken?.();
      if (clock.elapsedMs() >= lookMs) {
        lookMs = clock.elapsedMs() + lookEveryMs;
        const report = await this.#look(job);
        if (report !== undefined) waiting.onReport?.(report);
        if (asked.followedBy !== "go-on") settlingMs = this.#settlingSince(report, settlingMs);
      }
      await pauseOn(clock, pauseMs, signal ?? NEVER);
      pauseMs = longer(pauseMs);
    }
  }

  /**
   * Resolves when the job runs with these numbers of subtasks; asked again and again, a change of leader included.
   * @throws RequestRefusedError with the reason when it was refused, or has failed: the job runs as before
   */
  async rescale(asked: Omit<RescaleRequest, "type">, onTaken: () => void = () => {}): Promise<void> {
    const { clock } = this.#options.link;
    const wish = new Wish();
    for (let pauseMs = RETRY_MS; ; pauseMs = longer(pauseMs)) {
      const answer = await this.#known(asked.job, { type: "job.rescale", ...asked }, wish);
      if (answer.answer === "outcome") return;
      onTaken();
      await pauseOn(clock, pauseMs, NEVER);
    }
  }

  /**
   * Resolves when everything that older generations of the job have left behind is deleted, however long that takes.
   * @param requestId random: repetitions are recognised by it
   */
  async collect(job: string, requestId: string): Promise<CollectionReport> {
    const wish = new Wish();
    for (;;) {
      const answer = await this.#known(job, { type: "job.gc", job, requestId }, wish);
      if (answer.answer === "collected") return answer.report;
    }
  }

  /**
   * Resolves when what an ended job has left is deleted, however long that takes.
   * @param requestId random: repetitions are recognised by it
   * @throws RequestRefusedError when the job lives, or has no such checkpoint
   */
  async dispose(job: string, what: DisposalTarget, requestId: string): Promise<DisposalReport> {
    const wish = new Wish();
    for (;;) {
      const answer = await this.#known(job, { type: "job.dispose", job, requestId, what }, wish);
      if (answer.answer === "disposed") return answer.report;
    }
  }

  /** The job's report as `status` gives it; undefined also when it does not fit. */
  async #look(job: string): Promise<JobReport | undefined> {
    try {
      return await this.status(job);
    } catch (error) {
      if (error instanceof MessageTooLargeError) return undefined;
      throw error;
    }
  }

  /** Since when the job has been settling; undefined: it is not. @throws EnvironmentError when that is too long ago */
  #settlingSince(report: JobReport | undefined, sinceMs: number | undefined): number | undefined {
    if (report?.status !== "settling") return undefined;
    const { job } = report;
    const { settlingTimeoutMs = SETTLING_TIMEOUT_MS } = this.#options;
    const nowMs = this.#options.link.clock.elapsedMs();
    if (sinceMs === undefined || nowMs - sinceMs < settlingTimeoutMs) return sinceMs ?? nowMs;
    const reasons = report.troubles.map(({ what, reason }) => `${what} (${reason})`);
    throw new EnvironmentError(
      `job ${job} has its savepoint and is settling, but its last output has not been committed within ` +
        `${settlingTimeoutMs / 1000} s; it waits for: ${reasons.join("; ") || phaseInWords(report.phase)}. It stays decided and is tried on, ` +
        `also by the next start; "tidemark status ${job}" shows it`,
    );
  }

  async #known(job: string, question: Question, wish = new Wish()): Promise<LeaderAnswer> {
    const answer = await this.#request(job, question, wish);
    if (answer.answer === "unknown") throw unknownJob(job);
    return answer;
  }

  /** Repeats a request whose work takes the leader long, until it is done. */
  async #untilDone(job: string, question: Question): Promise<void> {
    const wish = new Wish();
    while ((await this.#request(job, question, wish)).answer === "pending");
  }

  async #request(job: string, question: Question, wish = new Wish()): Promise<LeaderAnswer> {
    const { link, isLed, onUnled, leaderTimeoutMs = 15_000 } = this.#options;
    const search = new LeaderSearch({ clock: link.clock, isLed, onUnled, job, timeoutMs: leaderTimeoutMs });
    try {
      return await this.#answerTo(job, question, wish, search);
    } finally {
      search.end();
    }
  }

  async #answerTo(job: string, question: Question, wish: Wish, search: LeaderSearch): Promise<LeaderAnswer> {
    const { link, subjects, session, identity, newId, leaderTimeoutMs = 15_000 } = this.#options;
    const subject =
      (question.type === "job.submit" || question.type === "job.rehearse") && session !== undefined
        ? subjects.runControl(job, session)
        : subjects.control(job);
    const signal = timeoutSignal(link.clock, leaderTimeoutMs);
    let last: unknown;
    let stale = 0;
    let pauseMs = RETRY_MS;
    let answerMs = REQUEST_TIMEOUT_MS;
    while (!signal.aborted) {
      try {
        const secret = newId();
        const { meant } = wish;
        const asked = { ...question, secret, ...(meant === undefined ? {} : { meant }) };
        const addressed = await withStore(asked, identity);
        const answer = await link.ask(subject, addressed, shapes.leaderAnswer, answerMs, { secret });
        if (answer.answer === "refused") throw new RequestRefusedError(answer.reason);
        if (answer.answer !== "stale") return answer;
        wish.isStale(answer);
        // Two leaders that take turns would be asked without end.
        if (++stale % STALE_AT_ONCE === 0) await pauseOn(link.clock, RETRY_MS, signal);
      } catch (error) {
        // It would be the same again, and the caller can say so at once.
        if (retryOf(error) !== "now" || error instanceof MessageTooLargeError) throw error;
        last = error;
        if (error instanceof ForeignAnswerError) identity?.doubt();
        await pauseOn(link.clock, pauseMs, signal);
        // An absent coordinator costs nothing to ask for, and one may start at any time.
        if (!(error instanceof NoRespondersError)) pauseMs = longer(pauseMs);
        if (error instanceof RequestTimeoutError) answerMs = Math.min(REQUEST_TIMEOUT_MS_MAX, answerMs * 1.5);
      }
    }
    const tried = `tried for ${leaderTimeoutMs / 1000} s on ${subject}`;
    const isUnled =
      last instanceof NoRespondersError || (search.isUnled && last instanceof RequestTimeoutError);
    throw new EnvironmentError(
      isUnled
        ? `no coordinator leads (${tried}); start one with "tidemark coordinator"`
        : // NATS does not say that none leads while another connection listens to the subject.
          last instanceof ForeignAnswerError || last instanceof RequestTimeoutError
          ? `no coordinator answers (${tried}); if none leads, start one with "tidemark coordinator"`
          : `the leading coordinator does not answer (${tried})`,
      { cause: last },
    );
  }
}

const longer = (pauseMs: number): number => Math.min(RETRY_MS_MAX, pauseMs * 1.5);
