/**
 * A coordinator process: competes for a lease; while it leads, runs the jobs that this lease covers.
 *
 * Owns: which jobs it leads, their control subjects, submission. Does not own: the lease (lease.ts), a job's life
 * (job-runtime.ts).
 *
 * CR1  Only the leader listens on control subjects; a standby is silent, except that the one of a `tidemark run` tells
 *     that run which coordinator leads its job instead, and that the one of the cluster proves its directory to the
 *     leader (P62).
 * CR2  When leadership ends every job runtime is closed before anything else happens (P9).
 * CR3  A coordinator of the cluster leaves a job alone whose own lease is held, and the coordinator of a run every
 *     other job: requests for those are not answered (P50).
 * CR4  A runtime whose record was taken over by the other scope is closed, and forgotten.
 */
import type { JobRecord, LeadershipScope } from "../../../machines/protocol.ts";
import type { JobSubmission, LeaderAnswer, LeaderRequest } from "../../control/messages.ts";
import { shapes } from "../../control/shapes.ts";
import type { Subscription } from "../../dataflow/channel/bus.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { DisconnectedError, describeError, retryOf } from "../../errors.ts";
import { encodeRecord, jobKey } from "../../formats/job-record.ts";
import { RareLines } from "../rare-lines.ts";
import type { CompareAndSet } from "../record-store.ts";
import { StoreGuard } from "../store-guard.ts";
import { logTrouble } from "../trouble-report.ts";
import type { CoordinatorOptions } from "./coordinator-options.ts";
import { DirectoryDoubt } from "./directory-doubt.ts";
import { WorkerOffers } from "./generations/worker-offers.ts";
import { InputReleases } from "./input-release.ts";
import { JobRuntime } from "./job-runtime.ts";
import { Lease, leaseKey } from "./lease.ts";
import { LeaseWatch } from "./lease-watch.ts";
import { LedJobs } from "./led-jobs.ts";
import { DamagedJobs } from "./records/damaged-jobs.ts";
import { readRecord } from "./records/stored-record.ts";
import { answerOfJob, type OfJob, type Rehearsal, type Submit } from "./requests-of-job.ts";
import { Standby, StandbyAdmission } from "./standby.ts";
import { presentRecord } from "./submissions/present-record.ts";
import {
  answerOf,
  beingChanged,
  hasEnded,
  ledByCluster,
  ledByRun,
  leftBehindByRun,
  ofAnotherLife,
  runningInRun,
} from "./submissions/refusals.ts";
import { Repetitions } from "./submissions/repetitions.ts";
import { lifeOf, RequestNonces } from "./submissions/request-nonces.ts";
import { Restores } from "./submissions/restores.ts";
import { admit } from "./submissions/submission.ts";

/** A record that goes on changing so often is being used. */
const SUBMIT_TRIES = 5;

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #guard: StoreGuard;
  readonly #scope: LeadershipScope;
  readonly #lease: Lease;
  readonly #watch: LeaseWatch;
  readonly #jobs = new LedJobs();
  readonly #offers: WorkerOffers;
  #control: Subscription | undefined;
  #session: Subscription | undefined;
  /** While it leads the cluster. */
  #standbys: StandbyAdmission | undefined;
  readonly #standby: Standby | undefined;
  readonly #doubt = new DirectoryDoubt(() => this.#standby?.isUnproven === true);
  #leadingSinceMs = 0;
  /** Until it is over, a job that is not here may still come. */
  #adoption: Promise<void> = Promise.resolve();
  #submitting: Promise<unknown> = Promise.resolve();
  readonly #adopting: TroubleWatch;
  readonly #damaged: DamagedJobs;
  readonly #releases: InputReleases;
  readonly #restores: Restores;
  readonly #repetitions: Repetitions;
  readonly #nonces: RequestNonces;
  readonly #failedRequests: RareLines;

  constructor(options: CoordinatorOptions) {
    const { id, place, own, store, clock, timings, logger, troubles, onCrash } = options;
    const { leaseMs } = timings;
    this.#options = options;
    this.#guard = new StoreGuard(options);
    this.#releases = new InputReleases(options);
    this.#restores = new Restores({ ...options, recordOf: (job) => this.#recordOf(job) });
    this.#repetitions = new Repetitions(clock);
    this.#failedRequests = new RareLines(clock, logger);
    this.#nonces = new RequestNonces(clock, options.newId());
    this.#offers = new WorkerOffers(clock, timings.registerIntervalMs);
    this.#adopting = troubles.watch("reading the job records");
    troubles.onChange((change) => logTrouble(logger, {}, change));
    this.#damaged = new DamagedJobs({
      ...options,
      inOrder: (work) => this.#inOrder(work),
      adopt: async (job) => void (this.#jobs.has(job) || (await this.#adopt(job, this.#scope))),
    });
    this.#scope = own === undefined ? "cluster" : "job";
    this.#watch = new LeaseWatch({ store, clock, leaseMs });
    this.#lease = new Lease({
      holder: id,
      place,
      key: leaseKey(own?.job),
      leaseMs,
      store,
      clock,
      logger,
      troubles,
      onBegun: (token) => this.#lead(token),
      onEnded: () => this.#stepDown(),
      onCrash,
    });
    this.#standby =
      own === undefined
        ? new Standby({ ...options, untilLedElsewhere: () => this.#lease.untilLedElsewhere() })
        : undefined;
  }

  get leading(): boolean {
    return this.#lease.token !== 0;
  }

  start(): void {
    const { own, link, subjects } = this.#options;
    if (own !== undefined)
      this.#session = link.serve(
        subjects.runControl(own.job, own.session),
        shapes.leaderRequest,
        this.#guard.around(subjects.runControl(own.job, own.session), (request) =>
          answerOf(this.#receiveFromRun(request), request),
        ),
        this.#requestFailed,
        ({ secret }) => secret,
      );
    this.#lease.start();
    this.#standby?.start();
  }

  /** Gives the lease back, so that a standby takes over at once. The jobs go on under it. */
  async stop(): Promise<void> {
    this.#session?.close();
    await this.#standby?.stop();
    await this.#releases.settle();
    await this.#lease.stop();
    this.#options.troubles.close();
  }

  readonly #requestFailed = (error: unknown): void =>
    this.#failedRequests.warn({ error: describeError(error) }, "request could not be handled");

  #lead(token: number): void {
    const { id, own, link, subjects, logger, clock } = this.#options;
    this.#leadingSinceMs = clock.elapsedMs();
    logger.info({ coordinator: id, token, ...(own === undefined ? {} : { job: own.job }) }, "leading");
    const subject = own === undefined ? subjects.allControl() : subjects.control(own.job);
    this.#control = link.serve(
      subject,
      shapes.leaderRequest,
      this.#guard.around(subject, (request) => answerOf(this.#receive(request), request)),
      this.#requestFailed,
      // Any connection may ask; the seal shows that all of it has arrived as it was sent (P69).
      ({ secret }) => secret,
    );
    if (own === undefined)
      this.#standbys = new StandbyAdmission({
        ...this.#options,
        leader: id,
        guard: this.#guard,
        doubt: this.#doubt,
        onGivingWay: (error) => void this.#lease.stop().then(() => this.#options.onRefused(error)),
        boundMs: this.#options.timings.directoryProofMs,
        onError: this.#requestFailed,
      });
    this.#adoption = this.#adoptJobs(token);
    this.#damaged.begin();
  }

  #stepDown(): void {
    this.#options.logger.info({ coordinator: this.#options.id }, "leading no more");
    this.#control?.close();
    this.#control = undefined;
    this.#standbys?.close();
    this.#damaged.end([...this.#jobs.keys()].filter((job) => this.#jobs.leads(job)));
    this.#jobs.closeAll();
  }

  /** Every job of this scope whose record is in the store, ended ones included: their clean-up may be unfinished. */
  async #adoptJobs(token: number): Promise<void> {
    const { own, store, clock, onCrash } = this.#options;
    while (this.#lease.token === token) {
      try {
        const keys = own === undefined ? await store.keys(jobKey("")) : [jobKey(own.job)];
        this.#adopting.passed();
        for (const key of keys) {
          const job = key.slice(jobKey("").length);
          await this.#inOrder(async () => {
            if (this.#lease.token === token && !this.#jobs.has(job))
              await this.#damaged.unlessDamaged(job, () => this.#adopt(job, this.#scope));
          });
        }
        this.#damaged.found(keys);
        return;
      } catch (error) {
        if (retryOf(error) !== "now") return onCrash(error);
        this.#adopting.failed(error);
        await new Promise<void>((resolve) => clock.after(250, resolve));
      }
    }
  }

  /** Leads the job from its record on, if the record is of this scope. */
  async #adopt(job: string, scope: LeadershipScope): Promise<void> {
    const found = await readRecord(this.#options.store, job);
    if (found === undefined || found.record.scope !== scope) return;
    const { record } = found;
    const token = await this.#lease.tokenAbove(record.token);
    if (token !== undefined) this.#run(job, record, found.revision, token);
  }

  #run(job: string, record: JobRecord, revision: number, token: number): void {
    this.#jobs.get(job)?.close();
    const runtime: JobRuntime = new JobRuntime({
      ...this.#options,
      job,
      leader: this.#options.id,
      token,
      scope: this.#scope,
      record,
      revision,
      key: jobKey(job),
      doubt: this.#doubt,
      onEnded: (ended, signal) => this.#releases.ended(ended, signal),
      workers: this.#jobs.workersOf(job),
      onRescaled: () => {
        if (this.#jobs.get(job) !== runtime) return;
        this.#jobs.release(job);
        this.#adoption = this.#adoptJobs(this.#lease.token);
      },
      onLost: (why) => {
        if (this.#jobs.get(job) !== runtime) return;
        this.#jobs.forget(job);
        if (why !== undefined) this.#damaged.add(job, why);
      },
    });
    this.#jobs.set(job, runtime);
    this.#damaged.remove(job);
    runtime.start();
  }

  /** Submissions and adoptions one at a time: each reads a record and then decides. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#submitting.then(work);
    this.#submitting = result.catch(() => undefined);
    return result;
  }

  /** undefined: not ours to answer. */
  async #receive(request: LeaderRequest): Promise<LeaderAnswer | undefined> {
    if (request.type === "job.submit" || request.type === "job.rehearse")
      return this.#receiveSubmission(request);
    if (request.type !== "worker.register") return await this.#receiveForJob(request);
    return await this.#offers.while(request.job, () => this.#receiveForJob(request));
  }

  async #receiveForJob(request: OfJob): Promise<LeaderAnswer | undefined> {
    const { job } = request;
    if (!this.#jobs.has(job)) await this.#adoption;
    if (await this.#isLedApart(job)) return undefined;
    const runtime = await this.#upToDate(job);
    if (runtime === undefined) return await this.#answerForOther(request);
    return await answerOfJob(runtime, request, this.#nonces, () => this.#recordOf(job));
  }

  /** Takes a submission from a client of the cluster. */
  async #receiveSubmission(request: Submit | Rehearsal): Promise<LeaderAnswer | undefined> {
    const { own, place } = this.#options;
    const { job } = request.submission;
    const other = own === undefined ? await this.#watch.livingHolder(leaseKey(job)) : place;
    if (other !== undefined && (!this.#jobs.leads(job) || own !== undefined)) return ledByRun(job, other);
    return (await this.#staleSubmission(request)) ?? (await this.#take(request));
  }

  async #take(request: Submit | Rehearsal): Promise<LeaderAnswer> {
    const { submissionId } = request.submission;
    if (request.type === "job.rehearse")
      return await this.#repetitions.request(submissionId, () => this.#rehearse(request));
    const submit = () => this.#inOrder(() => this.#submit(request));
    // Copying the state takes its time.
    return request.restore === null ? await submit() : await this.#repetitions.request(submissionId, submit);
  }

  /** Repetitions of what was taken find it (P64). */
  async #staleSubmission(request: Submit | Rehearsal): Promise<LeaderAnswer | undefined> {
    const { job, submissionId } = request.submission;
    if (request.type === "job.rehearse" || this.#repetitions.knows(submissionId)) return undefined;
    const running = await this.#upToDate(job);
    const present = presentRecord(running, await this.#recordOf(job));
    return lifeOf(present) === submissionId ? undefined : this.#nonces.stale(request, job, present);
  }

  /** Takes a request from the `tidemark run` that has started this process. */
  async #receiveFromRun(request: LeaderRequest): Promise<LeaderAnswer | undefined> {
    if (request.type !== "job.submit" && request.type !== "job.rehearse") return undefined;
    const { job } = request.submission;
    const rival = await this.#lease.rival();
    if (rival !== undefined) return runningInRun(job, rival);
    await this.#adoption;
    return await this.#take(request);
  }

  /** Whether the coordinator of a run leads the job now, or did a moment ago. */
  async #isLedApart(job: string): Promise<boolean> {
    if (this.#options.own !== undefined || this.#jobs.leads(job)) return false;
    return (await this.#watch.holder(leaseKey(job))) !== undefined;
  }

  /** The runtime of a job, unless the other scope has taken an ended job over meanwhile. */
  async #upToDate(job: string): Promise<JobRuntime | undefined> {
    const runtime = this.#jobs.get(job);
    if (runtime?.ended !== true) return runtime;
    const found = await this.#recordOf(job);
    if (found?.scope !== this.#scope) this.#jobs.forget(job);
    return this.#jobs.get(job);
  }

  /** Answers for a job that is not led here. */
  async #answerForOther(request: OfJob): Promise<LeaderAnswer | undefined> {
    const { job } = request;
    // Before its submission, the coordinator of a run cannot tell whether the cluster leads the job; later the job is
    // there, or its record was taken away.
    if (this.#options.own !== undefined) {
      const isGone = request.type !== "worker.register" && (await this.#recordOf(job)) === undefined;
      return isGone ? { answer: "unknown" } : undefined;
    }
    this.#damaged.assertWhole(job);
    const record = await this.#recordOf(job);
    if (record === undefined) return { answer: "unknown" };
    // One that lives has come behind the look at the records: a coordinator that leads no more has stored it (P76).
    if (request.type === "worker.register" && (record.scope === "job" || hasEnded(record)))
      return { answer: "unknown" };
    // A run takes its lease before it writes the record, so this look cannot miss it as an older one can.
    if ((await this.#watch.presentHolder(leaseKey(job))) !== undefined) return undefined;
    if (record.scope === "job" && !hasEnded(record)) return leftBehindByRun(job);
    // What has ended only waits to be looked at, deleted, or handed in again.
    await this.#inOrder(() => (this.#jobs.has(job) ? Promise.resolve() : this.#adopt(job, record.scope)));
    return this.#jobs.has(job) ? await this.#receiveForJob(request) : undefined;
  }

  async #recordOf(job: string): Promise<JobRecord | undefined> {
    return (await readRecord(this.#options.store, job))?.record;
  }

  /** A leader that has just begun does not know yet which workers are there. */
  async #untilWorkersHaveRegistered(): Promise<void> {
    const { clock, timings } = this.#options;
    const missingMs = this.#leadingSinceMs + 2 * timings.registerIntervalMs - clock.elapsedMs();
    if (missingMs > 0) await new Promise<void>((resolve) => clock.after(missingMs, resolve));
  }

  async #rehearse(request: Rehearsal): Promise<LeaderAnswer> {
    const { job } = request.submission;
    const running = await this.#upToDate(job);
    const existing = presentRecord(running, await this.#recordOf(job));
    return await this.#restores.rehearse(existing, request);
  }

  async #submit(request: Submit): Promise<LeaderAnswer> {
    for (let tries = 0; tries < SUBMIT_TRIES; tries++) {
      const answer = await this.#trySubmit(request);
      if (answer !== undefined) return answer;
    }
    return beingChanged(request.submission.job);
  }

  /**
   * undefined: the record has changed since it was read. The runtime of an ended job writes, too: it claims what it
   * adopts while the submission that takes its place is looked at.
   */
  async #trySubmit(request: Submit): Promise<LeaderAnswer | undefined> {
    const { submission, fresh, restore } = request;
    const { store, newId, clock, storage } = this.#options;
    const { job } = submission;
    const key = jobKey(job);
    const found = await readRecord(store, job);
    const stored = found?.record;
    const running = await this.#upToDate(job);
    // The consumers of the next run have the same names.
    await this.#releases.released(job);
    const existing = presentRecord(running, stored);
    const isOfNow = request.meant === undefined || request.meant.life === lifeOf(existing);
    if (!isOfNow && lifeOf(existing) !== submission.submissionId) return ofAnotherLife(job);
    const led = await this.#ledByCluster(existing, submission);
    if (led !== undefined) return { answer: "refused", reason: led };
    if (existing !== undefined && !hasEnded(existing)) await this.#untilWorkersHaveRegistered();
    const lease = this.#lease.token;
    const token = await this.#lease.tokenAbove(existing?.token ?? 0);
    if (token === undefined) throw new DisconnectedError(`job ${job}: leading no more`);
    const facts = {
      token,
      scope: this.#scope,
      newId,
      nowMs: clock.nowMs(),
      orphaned: running?.orphaned ?? !this.#offers.has(job),
      storage: storage.description,
    };
    const admitted =
      restore === null || existing?.submissionId === submission.submissionId
        ? admit(existing, submission, fresh, facts)
        : await this.#restores.admit(existing, { submission, fresh, restore }, facts);
    if ("refused" in admitted) return { answer: "refused", reason: admitted.refused };
    if ("duplicate" in admitted) {
      if (running === undefined) await this.#adopt(job, this.#scope);
      return { answer: "duplicate" };
    }
    // Copying takes its time: the coordinator that leads now must not find a record of ours (P9). The client asks
    // again.
    if (this.#lease.token !== lease) throw new DisconnectedError(`job ${job}: leading no more`);
    this.#jobs.forget(job);
    let answer: CompareAndSet = { outcome: "refused" };
    try {
      answer = await store.compareAndSet(key, encodeRecord(admitted.record), found?.revision ?? 0);
    } finally {
      // What was forgotten for a submission that is not stored, as far as is known, must be led all the same.
      if (answer.outcome === "refused") this.#adoption = this.#adoptJobs(lease);
    }
    if (answer.outcome === "refused") return undefined;
    if (this.#lease.token === lease) this.#run(job, admitted.record, answer.revision, token);
    if (existing !== undefined) this.#releases.replaced(existing, admitted.record);
    return { answer: "accepted", generations: admitted.record.generations };
  }

  /** Why a run may not have a job: coordinators of the cluster lead it. */
  async #ledByCluster(
    existing: JobRecord | undefined,
    { submissionId }: JobSubmission,
  ): Promise<string | undefined> {
    const concerns =
      this.#scope === "job" && existing?.scope === "cluster" && existing.submissionId !== submissionId;
    if (!concerns || hasEnded(existing)) return undefined;
    const leader = await this.#watch.livingHolder(leaseKey());
    return leader === undefined ? undefined : ledByCluster(existing, leader);
  }
}
