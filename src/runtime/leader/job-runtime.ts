/**
 * One job on its leader: hosts the job's machines and does what the job machine names.
 *
 * Owns: the actors job, checkpointing and restart; the record's writer; recovery; the workers. Does not own: leadership
 * (coordinator.ts), the decisions (machines), checkpoints (job-checkpoints.ts), delivery to a generation's workers
 * (leader-generation.ts), deletion (object-reaper.ts), what runs inside workers (worker.ts).
 */

import { checkpointingMachine } from "../../../machines/leader/checkpoints/checkpointing.ts";
import { jobMachine } from "../../../machines/leader/job.ts";
import type { JobEffects } from "../../../machines/leader/job-events.ts";
import { regionsOf } from "../../../machines/leader/regions.ts";
import { restartMachine } from "../../../machines/leader/restart.ts";
import type { JobRecord, LeadershipScope } from "../../../machines/protocol.ts";
import { factsOf, type RecordChange } from "../../../machines/record.ts";
import type { Roles } from "../../../machines/roles.ts";
import { eventOf, inputOf } from "../../../machines/wiring.ts";
import type { SavepointPlaces } from "../../checkpoint/savepoint-places.ts";
import type { ControlLink } from "../../control/link.ts";
import type { JobReport, LeaderAnswer, SubtaskMessage, WorkerIdentity } from "../../control/messages.ts";
import type { InheritedFrom } from "../../dataflow/sink.ts";
import { invariant, type RecordUnreadableError } from "../../errors.ts";
import { Troubles } from "../../observe/troubles.ts";
import { type AnswerOf, type EffectHandlers, Host, type Step } from "../actor.ts";
import { newLife } from "../life.ts";
import type { RecordStore } from "../record-store.ts";
import { stepEvent } from "../step-event.ts";
import type { Surroundings } from "../surroundings.ts";
import { tellTroubles } from "../trouble-report.ts";
import { checkpointingInput } from "./checkpoints/checkpointing-input.ts";
import { Collections } from "./checkpoints/collections.ts";
import { Disposals } from "./checkpoints/disposal.ts";
import { JobCheckpoints } from "./checkpoints/job-checkpoints.ts";
import { JobRequests } from "./checkpoints/job-requests.ts";
import { withLocations } from "./checkpoints/named-savepoints.ts";
import { ObjectReaper } from "./checkpoints/object-reaper.ts";
import type { DirectoryDoubt } from "./directory-doubt.ts";
import { JobWorkers } from "./generations/job-workers.ts";
import type { MessageAnswer } from "./generations/leader-generation.ts";
import { RegionGenerations } from "./generations/region-generations.ts";
import { SourceGroups } from "./generations/source-groups.ts";
import type { KnownWorker } from "./generations/worker-registry.ts";
import { type RecordAnswer, RecordWriter, type StoreAnswer } from "./records/record-writer.ts";
import { JobFailures } from "./report/job-failures.ts";
import { jobReport } from "./report/job-report.ts";
import { Rescales } from "./rescale/rescales.ts";
import { findRecovery } from "./submissions/found-recovery.ts";
import type { Placement } from "./submissions/slot-wait.ts";

export interface JobRuntimeOptions extends Surroundings {
  readonly job: string;
  readonly leader: string;
  /** The machine that this process runs on, for messages. */
  readonly host: string;
  readonly token: number;
  readonly scope: LeadershipScope;
  readonly doubt: DirectoryDoubt;
  readonly savepointPlaces: SavepointPlaces;
  readonly record: JobRecord;
  readonly revision: number;
  readonly key: string;
  readonly store: RecordStore;
  readonly link: ControlLink;
  /** Cryptographically random, for ids and nonces. */
  readonly newId: () => string;
  /** Uniform in [-1, 1). */
  readonly chance: () => number;
  readonly onCrash: (error: unknown) => void;
  /** The terminal status is durable. The signal is aborted when this runtime is closed. */
  readonly onEnded: (record: JobRecord, signal: AbortSignal) => void;
  /** The workers that were known before the job was rescaled: they need not register again first. */
  readonly workers: readonly KnownWorker[];
  /** The record has another plan (P95): this runtime is to be closed, and the job to be led anew. */
  readonly onRescaled: () => void;
  /** Another leader has taken the job over, or its record is none any more: this runtime is to be closed. */
  readonly onLost: (why?: RecordUnreadableError) => void;
}

export class JobRuntime {
  readonly #options: JobRuntimeOptions;
  readonly #host: Host;
  readonly #writer: RecordWriter;
  readonly #workers: JobWorkers;
  readonly #reaper: ObjectReaper;
  readonly #collections: Collections;
  readonly disposals: Disposals;
  readonly #life = newLife();
  readonly #checkpoints: JobCheckpoints;
  readonly requests: JobRequests;
  readonly rescales: Rescales;
  readonly #generations: RegionGenerations;
  #placement: Placement = {};
  /** What was found of the job whose transactions this one holds when its recovery was planned last. */
  #inherits: InheritedFrom | null = null;
  /** The troubles of this job alone; the process has others of its own. */
  readonly #troubles: Troubles;
  readonly #failures = new JobFailures();
  readonly #groups = new SourceGroups();

  constructor(options: JobRuntimeOptions) {
    this.#options = options;
    const { clock } = options;
    const troubles = this.#ownTroubles();
    this.#troubles = troubles;
    this.#host = this.#newHost();
    this.#writer = new RecordWriter({
      ...options,
      signal: this.#life.signal,
      onStored: (before, after) => this.#reaper.stored(before, after),
    });
    this.#reaper = new ObjectReaper({
      storage: options.storage,
      logger: options.logger,
      clock,
      signal: this.#life.signal,
      onCleaning: (checkpoints) => this.#host.send("checkpointing", { type: "cleanup.changed", checkpoints }),
    });
    this.#collections = new Collections({
      clock,
      prove: () => this.#writer.change({ change: "claim", token: options.token }),
      collect: () => this.#reaper.collect(() => this.record),
    });
    this.disposals = new Disposals({
      ...options,
      signal: this.#life.signal,
      record: () => this.record,
      change: (change) => this.#writer.change(change),
    });
    this.requests = new JobRequests({
      host: this.#host,
      clock,
      places: options.savepointPlaces,
      record: () => this.record,
      ended: () => this.ended,
    });
    this.#checkpoints = new JobCheckpoints({
      ...options,
      troubles,
      host: this.#host,
      reaper: this.#reaper,
      requests: this.requests,
      signal: this.#life.signal,
      record: () => this.record,
      change: (change) => this.#change(change),
      store: (change) => this.#store(change),
      tell: (message) => this.#generations.tell(message),
      unfinished: () => this.#workers.unfinished,
      progressOf: (subtask, checkpointId) => this.#workers.registry.progressOf(subtask, checkpointId),
    });
    this.#generations = new RegionGenerations({
      ...options,
      troubles,
      regions: regionsOf(options.record.plan),
      signal: this.#life.signal,
      secretOf: (worker) => this.#workers.registry.secretOf(worker),
      receive: (message) => this.#receive(message),
      onRefused: (generation, worker, refusal) => {
        this.#workers.refused(worker, refusal);
        this.#host.send("job", { type: "deployment.failed", generation, reason: refusal.reason });
      },
    });
    this.#workers = new JobWorkers({
      ...options,
      troubles,
      record: () => this.record,
      ended: () => this.ended,
      generations: this.#generations,
      onLost: (generations, worker, reason) =>
        this.#host.send("job", { type: "worker.lost", generations, worker, reason }),
    });
    for (const { registration, ...reached } of options.workers)
      this.#workers.registry.register(registration, reached);
    this.rescales = this.#newRescales();
  }

  get workers(): readonly KnownWorker[] {
    return this.#workers.registry.list();
  }

  get offering(): Pick<JobWorkers, "admission" | "look"> {
    return this.#workers;
  }

  start(): void {
    this.#host.start({
      id: "job",
      machine: jobMachine,
      input: {
        regions: regionsOf(this.#options.record.plan),
        deployTimeoutMs: this.#options.timings.deployTimeoutMs,
        settleRetryMs: this.#options.timings.settleRetryMs,
      },
      handlers: this.#jobHandlers(),
    });
    this.rescales.start();
  }

  /** The leader has stepped down, or the process ends: nothing is sent or deleted from here on (P9). */
  close(): void {
    this.#life.abort();
    this.#troubles.close();
    this.#generations.end();
    this.#workers.close();
    this.#host.close();
  }

  get record(): JobRecord {
    return this.#writer.record;
  }

  /** Leadership, as this process claims the job with it. */
  get token(): number {
    return this.#options.token;
  }

  /** A terminal status is reached; a new submission may follow. */
  get ended(): boolean {
    return !this.#host.has("job");
  }

  /** No worker offers itself for the job. */
  get orphaned(): boolean {
    return this.#workers.registry.list().length === 0;
  }

  workerCrashed({ worker, secret }: WorkerIdentity, reason: string): LeaderAnswer {
    const { registry } = this.#workers;
    if (registry.secretOf(worker) !== secret) return { answer: "unknown" };
    registry.lose(worker, `its process has ended: ${reason}`);
    return { answer: "accepted" };
  }

  suspend(): LeaderAnswer {
    const reason = this.requests.suspendRefusal();
    if (reason !== undefined) return { answer: "refused", reason };
    this.#host.send("job", { type: "suspend.requested", boundMs: this.#checkpoints.suspendBoundMs() });
    return { answer: "accepted" };
  }

  collect(requestId: string): Promise<LeaderAnswer> {
    return this.#collections.request(requestId);
  }

  report(): JobReport {
    const { record } = this;
    return jobReport({
      record,
      leader: this.#options.leader,
      phase: this.#host.state("job") || record.status,
      workers: this.#workers,
      checkpoints: this.#checkpoints,
      failures: this.#failures,
      requests: this.requests,
      troubles: [this.#options.troubles, this.#troubles],
    });
  }

  /* ------------------------------------------------------------------ effects of the job machine */

  #jobHandlers(): EffectHandlers<"job"> {
    const { clock, logger, job } = this.#options;
    return {
      "store.claim": () => this.#store({ change: "claim", token: this.#options.token }),
      "start.policies": (params) => this.#startPolicies(params),
      "plan.recovery": (_, answer) => void this.#planRecovery(answer),
      "await.slots": (_, answer) =>
        this.#workers.awaitSlots((placement) => {
          this.#placement = placement;
          answer({ type: "slots.available" });
        }),
      "store.generation": (raised) => this.#raiseGenerations(raised),
      "send.deployment": ({ generations, settle }) => this.#deploy(generations, settle),
      "send.start": ({ generations }) => this.#generations.tellEach("generation.started", generations),
      "send.drain": ({ generations }) => {
        this.#workers.noteUnfinished();
        this.#generations.tellEach("drain.requested", generations);
      },
      "send.teardown": ({ generations }) => this.#generations.tearDown(generations),
      "store.settling": ({ settleTo }) => this.#store({ change: "settling", settleTo }),
      "store.terminal": ({ status, keepsAll }) => this.#store({ change: "terminal", status, keepsAll }),
      "release.job": ({ status }) => {
        this.#host.tell(eventOf("job.ended", { status }));
        this.#reaper.releaseJob(this.record);
        this.#checkpoints.sweep();
        this.#options.onEnded(this.record, this.#life.signal);
        this.#workers.registry.close();
        this.#troubles.close();
      },
      "report.recovery": ({ generation }) => {
        logger.info({ job, generation }, "job is running");
        const atMs = clock.nowMs();
        this.#failures.recovered(atMs);
        void this.rescales.recovered();
        this.#reaper.sweep(this.record);
        this.#checkpoints.sweep();
        return { atMs };
      },
      "report.failure": ({ where, reason }) => {
        const { generation } = this.record;
        logger.error({ job, generation, where, reason }, "job failed");
        this.#failures.failed();
        void this.rescales.failed(`${where}: ${reason}`);
        this.#host.tell(eventOf("job.failed", { where, reason }));
        const atMs = clock.nowMs();
        void this.#writer.change({ change: "failure", failure: { atMs, generation, where, reason } });
        return { atMs, chance: this.#options.chance() };
      },
    };
  }

  async #change(change: RecordChange): Promise<RecordAnswer> {
    const outcome = await this.#writer.change(change);
    if (outcome.outcome === "lost") return { type: "record.lost" };
    const type = outcome.outcome === "stored" ? "record.stored" : "record.refused";
    return { type, facts: factsOf(outcome.record) };
  }

  /** What the record never refuses to say (D1, D2). */
  async #store(change: RecordChange): Promise<StoreAnswer> {
    const answer = await this.#change(change);
    invariant(answer.type !== "record.refused", `the record has refused "${change.change}"`);
    return answer;
  }

  #startPolicies(params: JobEffects["start.policies"]): void {
    const { checkpointing, restart } = this.record;
    this.#host.start({
      id: "restart",
      machine: restartMachine,
      input: inputOf("restart", params, { strategy: restart }),
      handlers: {},
    });
    this.#host.start({
      id: "checkpointing",
      machine: checkpointingMachine,
      input: inputOf("checkpointing", params, {
        ...checkpointingInput(checkpointing),
        chance: (this.#options.chance() + 1) / 2,
      }),
      handlers: this.#checkpoints.handlers(),
    });
  }

  async #planRecovery(answer: (event: AnswerOf<Roles["job"], "plan.recovery">) => void): Promise<void> {
    const found = await findRecovery({
      ...this.#options,
      troubles: this.#troubles,
      signal: this.#life.signal,
      record: () => this.record,
      isRegistered: () => this.#workers.registry.list().length > 0,
      onManifest: (checkpoint, manifest) => this.#reaper.knowManifest(checkpoint, manifest),
    });
    if (found === undefined) return;
    if ("impossible" in found) return answer({ type: "recovery.impossible", reason: found.impossible });
    this.#inherits = found.inherits;
    answer({ type: "recovery.planned" });
  }

  /** The record may be an older copy than its workers have seen: then it learns of that first, and is planned anew. */
  async #raiseGenerations(raised: JobEffects["store.generation"]): Promise<RecordAnswer> {
    const seen = this.#workers.seenFrom(raised.generation);
    if (seen !== undefined) {
      const noted = await this.#change({ change: "generation-seen", generation: seen });
      return noted.type === "record.stored" ? { ...noted, type: "record.refused" } : noted;
    }
    const nonce = this.#options.newId();
    const { incarnation } = this.record;
    const answer = await this.#change({ change: "generation", nonce, ...raised });
    if (answer.type !== "record.stored") return answer;
    this.#checkpoints.clear();
    for (const [index, region] of raised.regions.entries())
      this.#generations.begin(region, raised.generation + index, this.#placement, {
        incarnation,
        nonce,
      });
    return answer;
  }

  #deploy(generations: readonly number[], settle: boolean): void {
    this.#failures.deployed(settle);
    this.#workers.loseMissing(generations);
    this.#generations.deploy(generations, this.record, this.#inherits, settle);
  }

  /** What the generation's subtasks say. */
  #receive(message: SubtaskMessage): MessageAnswer {
    const refused = this.#generations.refusalOf(message);
    if (refused !== undefined) return { answer: refused };
    // No checkpoint begins before its id is reserved.
    if ("checkpointId" in message && message.checkpointId > this.record.reservedCheckpointId)
      return { answer: "unknown" };
    switch (message.type) {
      case "subtask.acknowledged":
        return { answer: this.#checkpoints.acknowledged(message) };
      case "subtask.declined":
        this.#checkpoints.declined(message);
        return { answer: "accepted" };
      case "subtask.discarded":
        return { answer: this.#checkpoints.discarded(message) };
      case "watermark.reported":
        return { answer: "accepted", limit: this.#groups.reported(message, this.#options.clock.elapsedMs()) };
      case "subtask.failed":
        this.#host.tell({ ...message, reason: withLocations(message.reason, this.record) });
        return { answer: "accepted" };
      default:
        this.#host.tell(message);
        return { answer: "accepted" };
    }
  }

  #ownTroubles(): Troubles {
    const troubles = new Troubles(this.#options.clock);
    const { job } = this.#options;
    tellTroubles(troubles, this.#options, { job, id: "leader", generation: () => this.record.generation });
    return troubles;
  }

  #newRescales(): Rescales {
    return new Rescales({
      ...this.#options,
      signal: this.#life.signal,
      workers: this.#workers.registry,
      requests: this.requests,
      record: () => this.record,
      phase: () => this.#host.state("job"),
      change: (change) => this.#writer.change(change),
      onDecided: this.#options.onRescaled,
    });
  }

  #newHost(): Host {
    const { clock, logger, job, onCrash } = this.#options;
    return new Host({
      clock,
      observe: (step) => this.#observe(step),
      onUnhandled: (actor, event, state) =>
        logger.debug({ job, actor, event: event.type, state }, "event has no meaning here"),
      onCrash,
    });
  }

  #observe(step: Step): void {
    const { feed, clock, job } = this.#options;
    feed.publish(
      stepEvent(step, { t: clock.nowMs(), job, generation: this.record.generation, id: step.actor }),
    );
  }
}
