/**
 * The checkpoints of one job on its leader: one actor each, and what the subtasks have said of those that are pending.
 *
 * Owns: acknowledgements, manifests, the decision as a change of the record. Does not own: when a checkpoint is taken
 * and what it waits for (machines/checkpointing.ts, checkpoint.ts), delivery to the workers (leader-generation.ts).
 */
import { type CheckpointEffects, checkpointMachine } from "../../../machines/checkpoint.ts";
import { checkpointOptionsOf } from "../../../machines/checkpoint-options.ts";
import type { CheckpointingEffects } from "../../../machines/checkpointing.ts";
import type {
  CheckpointReason,
  JobRecord,
  Manifest,
  ObjectHandle,
  SubtaskName,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { factsOf, type RecordChange } from "../../../machines/record.ts";
import { type CheckpointStorage, objectNames, snapshotObjectsOf } from "../../checkpoint/storage.ts";
import type {
  CheckpointReport,
  GenerationRequest,
  JobReport,
  SubtaskMessage,
} from "../../control/messages.ts";
import type { Logger } from "../../dataflow/connector.ts";
import { describeError } from "../../errors.ts";
import type { EventFeed } from "../../observe/feed.ts";
import { encodeValue } from "../../state/codec.ts";
import type { EffectHandlers, Host, MachineEvent } from "../actor.ts";
import type { Clock } from "../clock.ts";
import { completedEvent } from "../step-event.ts";
import type { ObjectReaper } from "./object-reaper.ts";

export interface JobCheckpointsOptions {
  readonly host: Host;
  readonly storage: CheckpointStorage;
  readonly reaper: ObjectReaper;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly feed: EventFeed;
  /** Leadership (P9). */
  readonly signal: AbortSignal;
  readonly manifestTimeoutMs: number;
  /** As of the last settled write. */
  readonly record: () => JobRecord;
  readonly change: (change: RecordChange) => Promise<MachineEvent>;
  /** To every worker of the generation. */
  readonly tell: (message: GenerationRequest) => void;
}

/** A pending checkpoint's acknowledgements and times. */
interface Pending {
  readonly startedMs: number;
  readonly reason: string;
  readonly snapshots: Map<SubtaskName, SubtaskSnapshot>;
  /** Who said first that it cannot complete, and why. */
  trouble: string | undefined;
  stored: { readonly manifest: Manifest; readonly handle: ObjectHandle } | undefined;
}

const actorOf = (checkpointId: number): string => `checkpoint/${checkpointId}`;

export class JobCheckpoints {
  readonly #options: JobCheckpointsOptions;
  readonly #pending = new Map<number, Pending>();
  #completed = 0;
  #aborted = 0;
  #latest: CheckpointReport | null = null;
  #latestAborted: JobReport["checkpoints"]["latestAborted"] = null;

  constructor(options: JobCheckpointsOptions) {
    this.#options = options;
  }

  report(): JobReport["checkpoints"] {
    return {
      completed: this.#completed,
      aborted: this.#aborted,
      latest: this.#latest,
      latestAborted: this.#latestAborted,
    };
  }

  /** Which actors a `tell.checkpoints` reaches. */
  actors(): string[] {
    return this.#options.host.ids(actorOf(0).slice(0, -1));
  }

  /** A new generation begins: what the old one had pending is over. */
  clear(): void {
    this.#pending.clear();
  }

  /** Effects of the checkpointing machine. */
  handlers(): EffectHandlers<CheckpointingEffects> {
    return {
      "store.reservation": ({ reservedCheckpointId }) =>
        this.#options.change({ change: "reservation", reservedCheckpointId }),
      "start.checkpoint": ({ checkpointId, reason }) => this.#start(checkpointId, reason),
    };
  }

  acknowledged(message: Extract<SubtaskMessage, { type: "subtask.acknowledged" }>): string {
    const { checkpointId, subtask, snapshot, type, generation } = message;
    const pending = this.#pending.get(checkpointId);
    if (pending === undefined)
      return checkpointId <= factsOf(this.#options.record()).completed ? "duplicate" : "unknown";
    if (pending.snapshots.has(subtask)) return "duplicate";
    pending.snapshots.set(subtask, snapshot);
    const { finished } = snapshot;
    this.#send(checkpointId, { type, generation, checkpointId, subtask, finished } as MachineEvent);
    return "accepted";
  }

  declined(message: Extract<SubtaskMessage, { type: "subtask.declined" }>): void {
    const pending = this.#pending.get(message.checkpointId);
    // Aborted already: whoever finds a cancel marker cannot know.
    if (pending === undefined) return;
    pending.trouble ??= `${message.subtask} declined it: ${message.reason}`;
    this.#options.logger.warn({ ...message }, "checkpoint declined");
    this.#send(message.checkpointId, message);
  }

  committed(message: Extract<SubtaskMessage, { type: "subtask.committed" }>): void {
    for (const actor of this.actors()) this.#options.host.send(actor, message);
  }

  #send(checkpointId: number, event: MachineEvent): void {
    this.#options.host.send(actorOf(checkpointId), event);
  }

  #start(checkpointId: number, reason: CheckpointReason): void {
    const { host, clock, record } = this.#options;
    const { generation, checkpointing, plan } = record();
    this.#pending.set(checkpointId, {
      startedMs: clock.elapsedMs(),
      reason,
      snapshots: new Map(),
      trouble: undefined,
      stored: undefined,
    });
    const { timeoutMs } = checkpointing;
    host.start({
      id: actorOf(checkpointId),
      machine: checkpointMachine,
      input: { checkpointId, generation, reason, timeoutMs, subtasks: subtasksOf(plan) },
      handlers: this.#handlersOf(checkpointId),
    });
  }

  #handlersOf(checkpointId: number): EffectHandlers<CheckpointEffects> {
    const { tell, record, clock } = this.#options;
    return {
      "send.trigger": ({ generation }) => {
        const options = checkpointOptionsOf(record().checkpointing, clock.nowMs());
        tell({ type: "checkpoint.trigger", generation, checkpointId, options });
      },
      "store.manifest": () => this.#storeManifest(checkpointId),
      "store.decision": ({ allFinished }) => this.#decide(checkpointId, allFinished),
      "send.completed": ({ generation }) => tell({ type: "checkpoint.completed", generation, checkpointId }),
      "send.aborted": ({ generation, reason }) => {
        const trouble = this.#pending.get(checkpointId)?.trouble;
        this.#latestAborted = { checkpointId, reason: trouble ?? reason };
        tell({ type: "checkpoint.aborted", generation, checkpointId, reason });
      },
      "release.snapshots": () => this.#release(checkpointId),
    };
  }

  async #storeManifest(checkpointId: number): Promise<MachineEvent> {
    const { storage, signal, manifestTimeoutMs, logger } = this.#options;
    const record = this.#options.record();
    const pending = this.#pending.get(checkpointId);
    if (pending === undefined)
      return { type: "manifest.refused", reason: "the generation is over" } as MachineEvent;
    const manifest = manifestOf(record, checkpointId, [...pending.snapshots.values()]);
    try {
      const bound = AbortSignal.any([signal, AbortSignal.timeout(manifestTimeoutMs)]);
      const name = objectNames.manifest({ ...record, checkpointId });
      pending.stored = { manifest, handle: await storage.put(name, [encodeValue(manifest)], bound) };
      return { type: "manifest.stored" };
    } catch (error) {
      const reason = describeError(error);
      pending.trouble ??= `its manifest could not be written: ${reason}`;
      logger.warn({ job: record.job, checkpointId, reason }, "manifest could not be written");
      return { type: "manifest.refused", reason } as MachineEvent;
    }
  }

  async #decide(checkpointId: number, allFinished: boolean): Promise<MachineEvent> {
    const { clock, reaper } = this.#options;
    const pending = this.#pending.get(checkpointId);
    if (pending?.stored === undefined) return { type: "record.refused" };
    const { manifest, handle } = pending.stored;
    const { generation } = manifest;
    const bytes = handle.bytes + manifest.subtasks.reduce((sum, subtask) => sum + subtask.bytes, 0);
    const completedAtMs = clock.nowMs();
    const checkpoint = { checkpointId, generation, manifest: handle, completedAtMs, bytes, allFinished };
    reaper.knowManifest(checkpoint, manifest);
    const answer = await this.#options.change({ change: "decision", checkpoint });
    if (answer.type !== "record.stored") return answer;
    this.#pending.delete(checkpointId);
    this.#completed++;
    const durationMs = clock.elapsedMs() - pending.startedMs;
    this.#latest = { checkpointId, completedAtMs, durationMs, bytes };
    this.#publish(this.#latest, pending);
    return answer;
  }

  #publish({ checkpointId, durationMs, bytes }: CheckpointReport, { reason, snapshots }: Pending): void {
    const { feed, clock } = this.#options;
    const { job, generation } = this.#options.record();
    const place = { t: clock.nowMs(), job, generation, id: actorOf(checkpointId) };
    feed.publish(completedEvent(place, { checkpointId, reason, durationMs, bytes }, [...snapshots.values()]));
  }

  /** Aborted: its own objects may go, its transactions stay (P14, P16). */
  #release(checkpointId: number): void {
    this.#aborted++;
    const pending = this.#pending.get(checkpointId);
    this.#pending.delete(checkpointId);
    if (pending === undefined) return;
    const objects = [...pending.snapshots.values()].flatMap(snapshotObjectsOf);
    const manifest = pending.stored === undefined ? [] : [pending.stored.handle];
    this.#options.reaper.afterNextWrite([...objects, ...manifest].map(({ name }) => name));
  }
}

export function subtasksOf(plan: JobRecord["plan"]): SubtaskName[] {
  return plan.vertices
    .flatMap((vertex) => Array.from({ length: vertex.parallelism }, (_, index) => `${vertex.id}/${index}`))
    .sort();
}

function manifestOf(record: JobRecord, checkpointId: number, snapshots: SubtaskSnapshot[]): Manifest {
  return {
    format: 1,
    job: record.job,
    incarnation: record.incarnation,
    generation: record.generation,
    nonce: record.nonce,
    checkpointId,
    graphFingerprint: record.graphFingerprint,
    maxParallelism: record.plan.maxParallelism,
    subtasks: snapshots.sort((a, b) => (a.subtask < b.subtask ? -1 : 1)),
  };
}
