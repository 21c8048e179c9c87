/**
 * A coordinator process: competes for the lease; while it leads, runs every job of its record store.
 *
 * Owns: leadership, the jobs' control subjects, submission. Does not own: a job's life (job-runtime.ts).
 *
 * X1  Only the leader listens on control subjects; a standby is silent.
 * X2  When leadership ends every job runtime is closed before anything else happens (P9).
 */
import { type LeaseEffects, leaseMachine } from "../../../machines/lease.ts";
import type { JobRecord, LeaseRecord } from "../../../machines/protocol.ts";
import { isTombstone } from "../../../machines/record.ts";
import type { ControlLink } from "../../control/link.ts";
import type {
  JobReport,
  JobSubmission,
  LeaderAnswer,
  LeaderRequest,
  RestoreRequest,
} from "../../control/messages.ts";
import type { Subscription } from "../../dataflow/channel/bus.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { DisconnectedError, describeError, RequestRefusedError, retryOf } from "../../errors.ts";
import { type EffectHandlers, Host, type MachineEvent } from "../actor.ts";
import type { RecordStore } from "../record-store.ts";
import type { Surroundings } from "../surroundings.ts";
import { logTrouble } from "../trouble-report.ts";
import { forkFrom } from "./fork.ts";
import { JobRuntime } from "./job-runtime.ts";
import { decodeRecord, encodeRecord } from "./record-writer.ts";
import { type Admission, type AdmissionFacts, admit, forkRecord, forkRefusal } from "./submission.ts";

export interface CoordinatorOptions extends Surroundings {
  /** Random per process start. */
  readonly id: string;
  readonly store: RecordStore;
  readonly link: ControlLink;
  readonly newId: () => string;
  /** Uniform in [-1, 1). */
  readonly chance: () => number;
  /** A broken invariant: the process must end. */
  readonly onCrash: (error: unknown) => void;
}

const NEVER = new AbortController().signal;
const LEASE_KEY = "lease";
export const jobKey = (job: string): string => `job.${job}`;

const decoder = new TextDecoder();
const encoder = new TextEncoder();

export class Coordinator {
  readonly #options: CoordinatorOptions;
  readonly #host: Host;
  readonly #jobs = new Map<string, JobRuntime>();
  #control: Subscription | undefined;
  #token = 0;
  #leadingSinceMs = 0;
  /** Until it is over, a job that is not here may still come. */
  #adoption: Promise<void> = Promise.resolve();
  #submitting: Promise<unknown> = Promise.resolve();
  #ended: (() => void) | undefined;
  readonly #lease: TroubleWatch;
  readonly #adopting: TroubleWatch;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    const { troubles, logger } = options;
    this.#lease = troubles.watch("reading or writing the lease of the leader");
    this.#adopting = troubles.watch("reading the job records");
    troubles.onChange((change) => logTrouble(logger, {}, change));
    this.#host = new Host({ clock: options.clock, onCrash: options.onCrash });
  }

  get leading(): boolean {
    return this.#token !== 0;
  }

  start(): void {
    this.#host.start({
      id: "lease",
      machine: leaseMachine,
      input: { holder: this.#options.id, leaseMs: this.#options.timings.leaseMs },
      handlers: this.#leaseHandlers(),
    });
  }

  /** Gives the lease back, so that a standby takes over at once. The jobs go on under it. */
  async stop(): Promise<void> {
    if (this.#token !== 0) {
      const released = new Promise<void>((resolve) => {
        this.#ended = resolve;
      });
      this.#host.send("lease", { type: "release.requested" });
      await released;
    }
    this.#stepDown();
    this.#options.troubles.close();
    this.#host.close();
  }

  #leaseHandlers(): EffectHandlers<LeaseEffects> {
    return {
      "read.lease": () => this.#readLease(),
      "store.lease": ({ holder, token, revision, released }) =>
        this.#storeLease({ holder, token, renewals: 0, released }, revision),
      "begin.leadership": ({ token }) => this.#lead(token),
      "end.leadership": () => this.#stepDown(),
    };
  }

  async #readLease(): Promise<MachineEvent> {
    try {
      const found = await this.#options.store.read(LEASE_KEY);
      this.#lease.passed();
      if (found === undefined) return seen(0, "", true);
      const record = JSON.parse(decoder.decode(found.value)) as LeaseRecord;
      return seen(found.revision, record.holder, record.released);
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      this.#lease.failed(error);
      return { type: "lease.unreadable" };
    }
  }

  async #storeLease(record: LeaseRecord, revision: number): Promise<MachineEvent> {
    try {
      const value = encoder.encode(JSON.stringify(record));
      const answer = await this.#options.store.compareAndSet(LEASE_KEY, value, revision);
      this.#lease.passed();
      return answer.outcome === "stored"
        ? ({ type: "lease.stored", revision: answer.revision } as MachineEvent)
        : { type: "lease.refused" };
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      this.#lease.failed(error);
      return { type: "lease.unknown" };
    } finally {
      if (record.released) this.#ended?.();
    }
  }

  #lead(token: number): void {
    const { id, link, subjects, logger } = this.#options;
    this.#token = token;
    this.#leadingSinceMs = this.#options.clock.elapsedMs();
    logger.info({ coordinator: id, token }, "leading");
    this.#control = link.serve(
      subjects.allControl(),
      (message) => this.#receive(message as LeaderRequest),
      (error) => logger.warn({ error: describeError(error) }, "request could not be handled"),
    );
    this.#adoption = this.#adoptJobs(token);
  }

  #stepDown(): void {
    if (this.#token === 0) return;
    this.#options.logger.info({ coordinator: this.#options.id, token: this.#token }, "leading no more");
    this.#token = 0;
    this.#control?.close();
    this.#control = undefined;
    for (const job of this.#jobs.values()) job.close();
    this.#jobs.clear();
  }

  /** Every job whose record is in the store, ended ones included: their clean-up may be unfinished. */
  async #adoptJobs(token: number): Promise<void> {
    while (this.#token === token) {
      try {
        const keys = await this.#options.store.keys(jobKey(""));
        this.#adopting.passed();
        for (const key of keys) {
          const job = key.slice(jobKey("").length);
          await this.#inOrder(async () => {
            if (this.#token === token && !this.#jobs.has(job)) await this.#adopt(job);
          });
        }
        return;
      } catch (error) {
        if (retryOf(error) !== "now") return this.#options.onCrash(error);
        this.#adopting.failed(error);
        await new Promise<void>((resolve) => this.#options.clock.after(250, resolve));
      }
    }
  }

  async #adopt(job: string): Promise<void> {
    const found = await this.#options.store.read(jobKey(job));
    if (found !== undefined) this.#run(job, decodeRecord(found.value), found.revision);
  }

  #run(job: string, record: JobRecord, revision: number): void {
    this.#jobs.get(job)?.close();
    const runtime = new JobRuntime({
      ...this.#options,
      job,
      leader: this.#options.id,
      token: this.#token,
      record,
      revision,
      key: jobKey(job),
    });
    this.#jobs.set(job, runtime);
    runtime.start();
  }

  /** Submissions and adoptions one at a time: each reads a record and then decides. */
  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#submitting.then(work);
    this.#submitting = result.catch(() => undefined);
    return result;
  }

  async #receive(request: LeaderRequest): Promise<LeaderAnswer> {
    if (request.type === "job.submit")
      return this.#inOrder(() => this.#submit(request.submission, request.fresh, request.restore));
    if (!this.#jobs.has(request.job)) await this.#adoption;
    const runtime = this.#jobs.get(request.job);
    if (runtime === undefined) return { answer: "unknown" };
    if (request.type === "job.dispose") return runtime.disposals.request(request.requestId, request.what);
    if (isTombstone(runtime.record)) return { answer: "unknown" };
    switch (request.type) {
      case "worker.register":
        return runtime.register(request);
      case "worker.crashed":
        return runtime.workerCrashed(request.worker, request.reason);
      case "job.status":
        return { answer: "status", status: runtime.report() satisfies JobReport };
      case "job.cancel":
        return runtime.cancel();
      case "job.suspend":
        return runtime.suspend();
      case "job.snapshot":
        return runtime.snapshot(request);
      case "job.gc":
        return runtime.collect(request.requestId);
    }
  }

  /** The job begins with what it is restored from, copied into its own storage. */
  async #fork(
    existing: JobRecord | undefined,
    submission: JobSubmission,
    fresh: boolean,
    restore: RestoreRequest,
    facts: AdmissionFacts,
  ): Promise<Admission> {
    const refused = forkRefusal(existing, submission, fresh, facts);
    if (refused !== undefined) return { refused };
    try {
      const fork = await forkFrom(
        restore,
        submission,
        facts.newId(),
        { ...this.#options, recordOf: (job) => this.#recordOf(job) },
        facts.nowMs,
        NEVER,
      );
      return { record: forkRecord(existing, submission, fork, facts) };
    } catch (error) {
      if (error instanceof RequestRefusedError) return { refused: error.message };
      throw error;
    }
  }

  async #recordOf(job: string): Promise<JobRecord | undefined> {
    const found = await this.#options.store.read(jobKey(job));
    return found === undefined ? undefined : decodeRecord(found.value);
  }

  /** A leader that has just begun does not know yet who is there. */
  async #untilWorkersHaveRegistered(): Promise<void> {
    const { clock, timings } = this.#options;
    const missingMs = this.#leadingSinceMs + 2 * timings.registerIntervalMs - clock.elapsedMs();
    if (missingMs > 0) await new Promise<void>((resolve) => clock.after(missingMs, resolve));
  }

  async #submit(
    submission: JobSubmission,
    fresh: boolean,
    restore: RestoreRequest | null,
  ): Promise<LeaderAnswer> {
    const { store, newId, clock } = this.#options;
    const key = jobKey(submission.job);
    if (this.#jobs.get(submission.job)?.ended === false) await this.#untilWorkersHaveRegistered();
    const running = this.#jobs.get(submission.job);
    const found = await store.read(key);
    // What has ended may have been disposed of behind the back of its leader.
    const living = running?.ended === false ? running.record : undefined;
    const existing = living ?? (found === undefined ? undefined : decodeRecord(found.value));
    const facts = {
      token: this.#token,
      newId,
      nowMs: clock.nowMs(),
      orphaned: running?.orphaned ?? true,
      storage: this.#options.storage.description,
    };
    const admitted =
      restore === null || existing?.submissionId === submission.submissionId
        ? admit(existing, submission, fresh, facts)
        : await this.#fork(existing, submission, fresh, restore, facts);
    if ("refused" in admitted) return { answer: "refused", reason: admitted.refused };
    if ("duplicate" in admitted) {
      if (running === undefined) await this.#adopt(submission.job);
      return { answer: "duplicate" };
    }
    // Copying takes its time: who leads now shall not find a record of ours (P9). The client asks again.
    if (this.#token !== facts.token) throw new DisconnectedError(`job ${submission.job}: leading no more`);
    running?.close();
    this.#jobs.delete(submission.job);
    const answer = await store.compareAndSet(key, encodeRecord(admitted.record), found?.revision ?? 0);
    if (answer.outcome === "refused")
      return {
        answer: "refused",
        reason: `job ${submission.job} is being changed by somebody else; try again`,
      };
    if (this.#token !== 0) this.#run(submission.job, admitted.record, answer.revision);
    return { answer: "accepted", generations: admitted.record.generations };
  }
}

function seen(revision: number, holder: string, released: boolean): MachineEvent {
  return { type: "lease.seen", seen: { revision, holder, released } } as MachineEvent;
}
