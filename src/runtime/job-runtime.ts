/**
 * One job on its leader: hosts the job's machines and does what they name.
 *
 * Owns: the actors job, checkpointing, restart and checkpoint/<id>; the generation's wire; the acknowledgements of pending
 * checkpoints; deletion of what the record no longer reaches. Does not own: leadership (coordinator.ts), the decisions
 * (machines), what runs inside workers (worker.ts).
 *
 * B1  What is sent for a generation stops being repeated when the generation is over.
 * B2  Objects are deleted only after a write of the record that no longer names them has succeeded, and only by the leader
 *     that made it (P16, P21).
 */
import type { CheckpointEffects } from "../../machines/checkpoint.ts";
import { checkpointMachine } from "../../machines/checkpoint.ts";
import { type CheckpointingEffects, checkpointingMachine } from "../../machines/checkpointing.ts";
import { type JobEffects, jobMachine } from "../../machines/job.ts";
import type { JobRecord, Manifest, SubtaskName, SubtaskSnapshot } from "../../machines/protocol.ts";
import { factsOf, latestCheckpoint, type RecordChange } from "../../machines/record.ts";
import { planRecovery } from "../../machines/recovery.ts";
import { restartMachine } from "../../machines/restart.ts";
import { type CheckpointStorage, objectNames } from "../checkpoint/storage.ts";
import { type ControlLink, type Detour, pause } from "../control/link.ts";
import type {
  CheckpointReport,
  Deployment,
  GenerationRequest,
  JobReport,
  LeaderAnswer,
  PingAnswer,
  SubtaskMessage,
  WorkerRegistration,
} from "../control/messages.ts";
import type { Subscription } from "../dataflow/bus.ts";
import type { Logger } from "../dataflow/connector.ts";
import type { Subjects } from "../dataflow/subjects.ts";
import { describeError, ObjectCorruptError, ObjectMissingError, retryOf } from "../errors.ts";
import type { EventFeed } from "../observe/feed.ts";
import { decodeValue, encodeValue } from "../state/codec.ts";
import { type EffectHandlers, Host, type MachineEvent, type Step } from "./actor.ts";
import type { Clock } from "./clock.ts";
import { ObjectReaper } from "./object-reaper.ts";
import type { RecordStore } from "./record-store.ts";
import { RecordWriter } from "./record-writer.ts";
import { refusalOf } from "./registration.ts";
import { completedEvent, stepEvent } from "./step-event.ts";
import type { Timings } from "./timings.ts";
import { WorkerRegistry } from "./worker-registry.ts";

export interface JobRuntimeOptions {
  readonly job: string;
  readonly leader: string;
  readonly token: number;
  readonly record: JobRecord;
  readonly revision: number;
  readonly key: string;
  readonly store: RecordStore;
  readonly storage: CheckpointStorage;
  readonly link: ControlLink;
  readonly subjects: Subjects;
  readonly clock: Clock;
  readonly timings: Timings;
  readonly logger: Logger;
  readonly feed: EventFeed;
  /** Cryptographically random, for ids and nonces. */
  readonly newId: () => string;
  /** Uniform in [-1, 1). */
  readonly chance: () => number;
  readonly onCrash: (error: unknown) => void;
}

/** A pending checkpoint's acknowledgements and times. */
interface Pending {
  readonly startedMs: number;
  readonly reason: string;
  readonly snapshots: Map<SubtaskName, SubtaskSnapshot>;
  /** Who said first that it cannot complete, and why. */
  trouble: string | undefined;
  manifest:
    | { readonly manifest: Manifest; readonly handle: { name: string; bytes: number; digest: string } }
    | undefined;
}

const RESERVED_IDS = 1000;
const TEARDOWN_BOUND_MS = 10_000;
const READ_RETRY_MS = 250;

export class JobRuntime {
  readonly #options: JobRuntimeOptions;
  readonly #host: Host;
  readonly #writer: RecordWriter;
  readonly #workers: WorkerRegistry;
  readonly #reaper: ObjectReaper;
  readonly #life = new AbortController();
  readonly #pending = new Map<number, Pending>();
  #generation:
    | { readonly id: number; readonly abort: AbortController; readonly wire: Subscription }
    | undefined;
  #placement: { [subtask: SubtaskName]: string } = {};
  #awaitingSlots = false;
  #restarts = 0;
  #completed = 0;
  #aborted = 0;
  #latest: CheckpointReport | null = null;
  #latestAborted: JobReport["checkpoints"]["latestAborted"] = null;

  constructor(options: JobRuntimeOptions) {
    this.#options = options;
    const { clock, link, subjects, timings } = options;
    this.#host = new Host({
      clock,
      observe: (step) => this.#observe(step),
      onUnhandled: (actor, event, state) =>
        options.logger.debug(
          { job: options.job, actor, event: event.type, state },
          "event has no meaning here",
        ),
      onCrash: options.onCrash,
    });
    this.#writer = new RecordWriter({
      store: options.store,
      key: options.key,
      token: options.token,
      record: options.record,
      revision: options.revision,
      signal: this.#life.signal,
      nowMs: () => clock.nowMs(),
      newId: options.newId,
      onStored: (before, after) => this.#reaper.stored(before, after),
    });
    this.#reaper = new ObjectReaper({
      storage: options.storage,
      logger: options.logger,
      signal: this.#life.signal,
    });
    this.#workers = new WorkerRegistry({
      link,
      subjects,
      clock,
      timings,
      heartbeat: options.record.heartbeat,
      onChange: () => this.#offerSlots(),
      onLost: (worker, reason) => this.#workerLost(worker, reason),
      onAnswer: (worker, answer) => this.#checkSubtasks(worker, answer),
    });
  }

  start(): void {
    const { plan } = this.#options.record;
    const subtasks = plan.vertices.flatMap((vertex) =>
      Array.from({ length: vertex.parallelism }, (_, index) => `${vertex.id}/${index}`),
    );
    this.#host.start({
      id: "job",
      machine: jobMachine,
      input: {
        subtasks: subtasks.sort(),
        deployTimeoutMs: this.#options.timings.deployTimeoutMs,
        settleRetryMs: this.#options.timings.settleRetryMs,
      },
      handlers: this.#jobHandlers(),
    });
  }

  /** The leader has stepped down, or the process ends: nothing is sent or deleted from here on (P9). */
  close(): void {
    this.#life.abort();
    this.#endGeneration();
    this.#workers.close();
    this.#host.close();
  }

  get record(): JobRecord {
    return this.#writer.record;
  }

  /** A terminal status is reached; a new submission may follow. */
  get ended(): boolean {
    return !this.#host.has("job");
  }

  /** No worker offers itself for the job. */
  get orphaned(): boolean {
    return this.#workers.list().length === 0;
  }

  register(registration: WorkerRegistration): LeaderAnswer {
    const { record } = this;
    if (this.ended) return { answer: "unknown" };
    const reason = refusalOf(registration, record);
    if (reason !== undefined) return { answer: "refused", reason };
    this.#workers.register(registration);
    return { answer: "accepted", generation: record.generation };
  }

  cancel(): LeaderAnswer {
    this.#host.send("job", { type: "cancel.requested" });
    return { answer: "accepted" };
  }

  suspend(): LeaderAnswer {
    this.#host.send("job", { type: "suspend.requested" });
    return { answer: "accepted" };
  }

  report(): JobReport {
    const { record } = this;
    const workers = this.#workers.list();
    const phase = this.#host.state("job") || record.status;
    return {
      job: record.job,
      incarnation: record.incarnation,
      generation: record.generation,
      status: record.status,
      phase,
      leader: this.#options.leader,
      workers: workers.map(({ registration }) => ({
        worker: registration.worker,
        slots: registration.slots,
        processId: registration.processId,
      })),
      subtasks: workers.flatMap(({ registration, answer }) =>
        answer === undefined || answer.generation !== record.generation
          ? []
          : answer.subtasks.map((subtask) => ({ ...subtask, worker: registration.worker })),
      ),
      checkpoints: {
        completed: this.#completed,
        aborted: this.#aborted,
        latest: this.#latest,
        latestAborted: this.#latestAborted,
      },
      restarts: this.#restarts,
      failures: record.failures,
      waitingFor: this.#waitingFor(phase),
    };
  }

  #waitingFor(phase: string): string {
    if (phase !== "waiting") return "";
    const needed = Math.max(...this.record.plan.vertices.map((vertex) => vertex.parallelism));
    return `${needed} slots; the workers offer ${this.#workers.slots}`;
  }

  /* ------------------------------------------------------------------ effects of the job machine */

  #jobHandlers(): EffectHandlers<JobEffects> {
    const { clock, logger } = this.#options;
    const { job } = this.#options;
    return {
      "store.claim": () => this.#change({ change: "claim", token: this.#options.token }),
      "start.policies": ({ reservedCheckpointId }) => this.#startPolicies(reservedCheckpointId),
      "plan.recovery": () => void this.#planRecovery(),
      "await.slots": () => {
        this.#awaitingSlots = true;
        this.#offerSlots();
      },
      "store.generation": ({ generation, completed }) => this.#raiseGeneration(generation, completed),
      "send.deployment": ({ settle }) => this.#deploy(settle),
      "send.start": ({ generation }) => this.#tellGeneration({ type: "generation.start", generation }),
      "send.teardown": ({ generation }) => this.#teardown(generation),
      "store.settling": ({ settleTo }) => this.#change({ change: "settling", settleTo }),
      "store.terminal": ({ status }) => this.#change({ change: "terminal", status }),
      "release.job": () => {
        this.#reaper.releaseJob(this.record);
        this.#workers.close();
      },
      "report.recovery": ({ generation }) => {
        logger.info({ job, generation }, "job is running");
        this.#host.send("restart", { type: "job.recovered", atMs: clock.nowMs() } as MachineEvent);
        this.#reaper.sweep(this.record);
      },
      "report.failure": ({ where, reason, recoverable }) => {
        const { generation } = this.record;
        logger.error({ job, generation, where, reason }, "job failed");
        this.#restarts++;
        const atMs = clock.nowMs();
        void this.#writer.change({ change: "failure", failure: { atMs, generation, where, reason } });
        this.#host.send("restart", {
          type: "failure.reported",
          atMs,
          chance: this.#options.chance(),
          recoverable,
        } as MachineEvent);
      },
    };
  }

  async #change(change: RecordChange): Promise<MachineEvent> {
    const outcome = await this.#writer.change(change);
    if (outcome.outcome === "lost") return { type: "record.lost" };
    const type = outcome.outcome === "stored" ? "record.stored" : "record.refused";
    return { type, facts: factsOf(outcome.record) } as MachineEvent;
  }

  #startPolicies(reservedCheckpointId: number): void {
    const { checkpointing, restart } = this.record;
    this.#host.start({
      id: "restart",
      machine: restartMachine,
      input: { strategy: restart },
      handlers: {},
    });
    this.#host.start({
      id: "checkpointing",
      machine: checkpointingMachine,
      input: {
        intervalMs: checkpointing.intervalMs,
        minPauseMs: checkpointing.minPauseMs,
        retryMs: 200,
        reservedCheckpointId,
        block: RESERVED_IDS,
      },
      handlers: this.#checkpointingHandlers(),
      siblings: (name) => (name === "checkpoints" ? this.#host.ids("checkpoint/") : [name]),
    });
  }

  async #planRecovery(): Promise<void> {
    const { record } = this;
    const latest = latestCheckpoint(record);
    let found: Parameters<typeof planRecovery>[1];
    while (latest !== undefined && found === undefined && !this.#life.signal.aborted) {
      try {
        const bytes = await this.#options.storage.get(latest.manifest);
        found = { found: "manifest", manifest: decodeValue(bytes) as Manifest };
      } catch (error) {
        const object = latest.manifest.name;
        if (error instanceof ObjectMissingError) found = { found: "missing", object };
        else if (error instanceof ObjectCorruptError) found = { found: "corrupt", object };
        else if (retryOf(error) !== "now") throw error;
        else await pause(READ_RETRY_MS, this.#life.signal);
      }
    }
    if (this.#life.signal.aborted) return;
    const plan = planRecovery(record, found);
    if (plan.plan === "restore") this.#reaper.knowManifest(plan.checkpoint, plan.manifest);
    this.#host.send(
      "job",
      plan.plan === "stop"
        ? ({ type: "recovery.impossible", reason: plan.reason } as MachineEvent)
        : { type: "recovery.planned" },
    );
  }

  #offerSlots(): void {
    if (!this.#awaitingSlots) return;
    const placement = this.#workers.place(this.record.plan.vertices);
    if (placement === undefined) return;
    this.#awaitingSlots = false;
    this.#placement = placement;
    this.#host.send("job", { type: "slots.available" });
  }

  async #raiseGeneration(generation: number, completed: number): Promise<MachineEvent> {
    const nonce = this.#options.newId();
    const answer = await this.#change({ change: "generation", generation, nonce, completed });
    if (answer.type === "record.stored") this.#beginGeneration(generation);
    return answer;
  }

  #beginGeneration(generation: number): void {
    this.#endGeneration();
    this.#pending.clear();
    const { link, subjects, job, logger } = this.#options;
    this.#generation = {
      id: generation,
      abort: new AbortController(),
      wire: link.serve(
        subjects.coordinator(job, generation),
        (message) => this.#receive(message as SubtaskMessage),
        (error) =>
          logger.warn({ job, generation, error: describeError(error) }, "message could not be handled"),
      ),
    };
  }

  #endGeneration(): void {
    this.#generation?.abort.abort();
    this.#generation?.wire.close();
    this.#generation = undefined;
  }

  #placedWorkers(): string[] {
    return [...new Set(Object.values(this.#placement))];
  }

  #deploy(settle: boolean): void {
    const { record } = this;
    const latest = latestCheckpoint(record);
    const deployment: Deployment = {
      job: record.job,
      incarnation: record.incarnation,
      generation: record.generation,
      nonce: record.nonce,
      placement: this.#placement,
      splits: record.splits,
      restore: latest === undefined ? null : { checkpointId: latest.checkpointId, manifest: latest.manifest },
      settle,
      maxParallelism: record.plan.maxParallelism,
    };
    for (const worker of this.#placedWorkers())
      if (this.#workers.has(worker)) void this.#deployTo(worker, deployment);
      else this.#workerLost(worker, "lost while its generation was being raised");
  }

  async #deployTo(worker: string, deployment: Deployment): Promise<void> {
    const generation = this.#generation;
    if (generation === undefined) return;
    const answer = await this.#options.link.tell<{ readonly answer: string; readonly reason?: string }>(
      this.#options.subjects.workers(worker),
      { type: "generation.deploy", deployment },
      {
        signal: generation.abort.signal,
        timeoutMs: this.#options.timings.cancelTimeoutMs,
        detour: this.#detour(),
      },
    );
    if (answer?.answer === "refused")
      this.#host.send("job", {
        type: "deployment.failed",
        generation: generation.id,
        reason: answer.reason ?? `worker ${worker} refused the deployment`,
      } as MachineEvent);
  }

  #detour(): Detour {
    return { storage: this.#options.storage, at: this.record };
  }

  /** To every worker of the generation, until each has answered or the generation is over (B1). */
  #tellGeneration(message: GenerationRequest): void {
    const generation = this.#generation;
    if (generation === undefined || generation.id !== message.generation) return;
    const { link, subjects, job } = this.#options;
    for (const worker of this.#placedWorkers())
      void link.tell(subjects.worker(job, generation.id, worker), message, {
        signal: generation.abort.signal,
      });
  }

  #teardown(generation: number): void {
    this.#endGeneration();
    const { link, subjects, job, clock } = this.#options;
    const bound = new AbortController();
    clock.after(TEARDOWN_BOUND_MS, () => bound.abort());
    const signal = AbortSignal.any([bound.signal, this.#life.signal]);
    for (const worker of this.#placedWorkers())
      void link.tell(subjects.workers(worker), { type: "generation.teardown", job, generation }, { signal });
  }

  #workerLost(worker: string, reason: string): void {
    this.#options.logger.warn({ job: this.#options.job, worker, reason }, "worker lost");
    const generation = this.#generation;
    if (generation === undefined || !this.#placedWorkers().includes(worker)) return;
    this.#host.send("job", {
      type: "worker.lost",
      generation: generation.id,
      worker,
      reason,
    } as MachineEvent);
  }

  #checkSubtasks(worker: string, answer: PingAnswer): void {
    const generation = this.#generation;
    if (generation === undefined || answer.generation !== generation.id) return;
    const there = new Set(answer.subtasks.map((subtask) => subtask.subtask));
    const missing = Object.entries(this.#placement).find(
      ([subtask, at]) => at === worker && !there.has(subtask),
    );
    if (missing !== undefined)
      this.#host.send("job", {
        type: "worker.lost",
        generation: generation.id,
        worker,
        reason: `subtask ${missing[0]} does not run there any more`,
      } as MachineEvent);
  }

  /* ------------------------------------------------------------------ checkpoints */

  #checkpointingHandlers(): EffectHandlers<CheckpointingEffects> {
    return {
      "store.reservation": ({ reservedCheckpointId }) =>
        this.#change({ change: "reservation", reservedCheckpointId }),
      "start.checkpoint": ({ checkpointId, reason }) => {
        const { generation, checkpointing, plan } = this.record;
        this.#pending.set(checkpointId, {
          startedMs: this.#options.clock.elapsedMs(),
          reason,
          snapshots: new Map(),
          trouble: undefined,
          manifest: undefined,
        });
        this.#host.start({
          id: `checkpoint/${checkpointId}`,
          machine: checkpointMachine,
          input: {
            checkpointId,
            generation,
            reason,
            timeoutMs: checkpointing.timeoutMs,
            subtasks: plan.vertices.flatMap((vertex) =>
              Array.from({ length: vertex.parallelism }, (_, index) => `${vertex.id}/${index}`),
            ),
          },
          handlers: this.#checkpointHandlers(checkpointId),
        });
      },
    };
  }

  #checkpointHandlers(checkpointId: number): EffectHandlers<CheckpointEffects> {
    return {
      "send.trigger": ({ generation }) =>
        this.#tellGeneration({ type: "checkpoint.trigger", generation, checkpointId }),
      "store.manifest": () => this.#storeManifest(checkpointId),
      "store.decision": ({ allFinished }) => this.#decide(checkpointId, allFinished),
      "send.completed": ({ generation }) =>
        this.#tellGeneration({ type: "checkpoint.completed", generation, checkpointId }),
      "send.aborted": ({ generation, reason }) => {
        const trouble = this.#pending.get(checkpointId)?.trouble;
        this.#latestAborted = { checkpointId, reason: trouble ?? reason };
        this.#tellGeneration({ type: "checkpoint.aborted", generation, checkpointId, reason });
      },
      "release.snapshots": () => {
        this.#aborted++;
        const pending = this.#pending.get(checkpointId);
        this.#pending.delete(checkpointId);
        if (pending === undefined) return;
        const snapshots = [...pending.snapshots.values()];
        const names = snapshots.flatMap((snapshot) => snapshot.states.flatMap((state) => state.objects));
        this.#reaper.afterNextWrite([
          ...names.map((object) => object.name),
          ...(pending.manifest === undefined ? [] : [pending.manifest.handle.name]),
        ]);
      },
    };
  }

  async #storeManifest(checkpointId: number): Promise<MachineEvent> {
    const { record } = this;
    const pending = this.#pending.get(checkpointId);
    if (pending === undefined)
      return { type: "manifest.refused", reason: "the generation is over" } as MachineEvent;
    const manifest: Manifest = {
      format: 1,
      job: record.job,
      incarnation: record.incarnation,
      generation: record.generation,
      nonce: record.nonce,
      checkpointId,
      graphFingerprint: record.graphFingerprint,
      maxParallelism: record.plan.maxParallelism,
      subtasks: [...pending.snapshots.values()].sort((a, b) => (a.subtask < b.subtask ? -1 : 1)),
    };
    try {
      const signal = AbortSignal.any([
        this.#life.signal,
        AbortSignal.timeout(this.#options.timings.manifestTimeoutMs),
      ]);
      const name = objectNames.manifest({ ...record, checkpointId });
      const handle = await this.#options.storage.put(name, [encodeValue(manifest)], signal);
      pending.manifest = { manifest, handle };
      return { type: "manifest.stored" };
    } catch (error) {
      const reason = describeError(error);
      pending.trouble ??= `its manifest could not be written: ${reason}`;
      this.#options.logger.warn({ job: record.job, checkpointId, reason }, "manifest could not be written");
      return { type: "manifest.refused", reason } as MachineEvent;
    }
  }

  async #decide(checkpointId: number, allFinished: boolean): Promise<MachineEvent> {
    const pending = this.#pending.get(checkpointId);
    if (pending?.manifest === undefined) return { type: "record.refused" };
    const { manifest, handle } = pending.manifest;
    const bytes = handle.bytes + manifest.subtasks.reduce((sum, subtask) => sum + subtask.bytes, 0);
    const completedAtMs = this.#options.clock.nowMs();
    const checkpoint = {
      checkpointId,
      generation: manifest.generation,
      manifest: handle,
      completedAtMs,
      bytes,
      allFinished,
    };
    this.#reaper.knowManifest(checkpoint, manifest);
    const answer = await this.#change({ change: "decision", checkpoint });
    if (answer.type === "record.stored") {
      this.#pending.delete(checkpointId);
      this.#completed++;
      const durationMs = this.#options.clock.elapsedMs() - pending.startedMs;
      this.#latest = { checkpointId, completedAtMs, durationMs, bytes };
      this.#publishCompleted(checkpointId, pending, durationMs, bytes);
    }
    return answer;
  }

  #publishCompleted(checkpointId: number, pending: Pending, durationMs: number, bytes: number): void {
    const { feed, clock, job } = this.#options;
    const place = {
      t: clock.nowMs(),
      job,
      generation: this.record.generation,
      id: `checkpoint/${checkpointId}`,
    };
    const { reason, snapshots } = pending;
    feed.publish(completedEvent(place, { checkpointId, reason, durationMs, bytes }, [...snapshots.values()]));
  }

  /* ------------------------------------------------------------------ messages of the generation's subtasks */

  #receive(message: SubtaskMessage): { readonly answer: string } {
    if (message.generation !== this.#generation?.id) return { answer: "stale" };
    switch (message.type) {
      case "subtask.acknowledged": {
        const { checkpointId, subtask, snapshot } = message;
        const pending = this.#pending.get(checkpointId);
        if (pending === undefined)
          return { answer: checkpointId <= factsOf(this.record).completed ? "duplicate" : "unknown" };
        if (pending.snapshots.has(subtask)) return { answer: "duplicate" };
        pending.snapshots.set(subtask, snapshot);
        this.#host.send(`checkpoint/${checkpointId}`, {
          type: message.type,
          generation: message.generation,
          checkpointId,
          subtask,
          finished: snapshot.finished,
        } as MachineEvent);
        return { answer: "accepted" };
      }
      case "subtask.declined": {
        const pending = this.#pending.get(message.checkpointId);
        if (pending !== undefined) pending.trouble ??= `${message.subtask} declined it: ${message.reason}`;
        this.#options.logger.warn({ ...message, job: this.#options.job }, "checkpoint declined");
        this.#host.send(`checkpoint/${message.checkpointId}`, message);
        return { answer: "accepted" };
      }
      case "subtask.committed":
        for (const id of this.#host.ids("checkpoint/")) this.#host.send(id, message);
        this.#host.send("job", message);
        return { answer: "accepted" };
      default:
        this.#host.send("job", message);
        return { answer: "accepted" };
    }
  }

  #observe(step: Step): void {
    const { feed, clock, job } = this.#options;
    feed.publish(
      stepEvent(step, { t: clock.nowMs(), job, generation: this.record.generation, id: step.actor }),
    );
  }
}
