/**
 * The checkpoints of one job on its leader: one actor each, and what the subtasks have said of those that are pending.
 *
 * Owns: acknowledgements, manifests, the decision as a change of the record. Does not own: when a checkpoint is taken
 * and what it waits for (machines/leader/checkpoints/checkpointing.ts, checkpoint.ts), delivery to the workers
 * (leader-generation.ts).
 */

import { checkpointMachine } from "../../../../machines/leader/checkpoints/checkpoint.ts";
import type { CheckpointEvent } from "../../../../machines/leader/checkpoints/checkpoint-events.ts";
import { checkpointOptionsOf } from "../../../../machines/leader/checkpoints/checkpoint-options.ts";
import type { Hold } from "../../../../machines/leader/checkpoints/checkpoint-turn.ts";
import type { CheckpointingEffects } from "../../../../machines/leader/checkpoints/checkpointing-events.ts";
import { subtasksOf } from "../../../../machines/leader/regions.ts";
import type {
  AbortedCheckpoint,
  AbortReason,
  Answer,
  CheckpointRequest,
  MissingSubtask,
  SubtaskName,
  SubtaskSnapshot,
} from "../../../../machines/protocol.ts";
import { factsOf, latestCheckpoint } from "../../../../machines/record.ts";
import type { Roles } from "../../../../machines/roles.ts";
import { eventOf, inputOf } from "../../../../machines/wiring.ts";
import { reasonInWords } from "../../../../machines/words.ts";
import { objectNames, snapshotObjects } from "../../../checkpoint/storage.ts";
import { timeoutSignal } from "../../../clock.ts";
import type {
  CheckpointReport,
  GenerationRequest,
  JobReport,
  PendingReport,
  SubtaskMessage,
} from "../../../control/messages.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { describeError, retryOf } from "../../../errors.ts";
import { encodeManifest } from "../../../formats/manifest.ts";
import { dividedUnion } from "../../../job/restore/finished-operators.ts";
import type { EventFeed } from "../../../observe/feed.ts";
import type { ActorId, AnswerOf, EffectHandlers, Host } from "../../actor.ts";
import { abortedEvent, completedEvent } from "../../step-event.ts";
import type { Timings } from "../../timings.ts";
import { SAVEPOINTS_MAX } from "./checkpointing-input.ts";
import { CopyWatch } from "./copy-watch.ts";
import type { JobRequests } from "./job-requests.ts";
import { detailOf, manifestOf, type Pending, pendingOf, sizesOf, uploadedBy } from "./pending-checkpoint.ts";
import { Savepoints, type SavepointsOptions } from "./savepoints.ts";

export interface JobCheckpointsOptions extends SavepointsOptions {
  readonly host: Host;
  readonly requests: JobRequests;
  readonly feed: EventFeed;
  readonly timings: Timings;
  readonly troubles: TroubleWatcher;
  /** Sends to every worker of the generations up to the message's own. */
  readonly tell: (message: GenerationRequest) => void;
  /** How far a subtask is with a checkpoint, as its worker said last. */
  readonly progressOf: (subtask: SubtaskName, checkpointId: number) => Omit<MissingSubtask, "subtask">;
}

/** A suspension's checkpoint is given up after so many times the duration of the last one. */
const LONGER_THAN_LAST = 3;
/** At most so many missing subtasks of a failed checkpoint are remembered (P10). */
const MISSING_MAX = 8;
/** A report tells of so many pending ones: all savepoints, and as many other checkpoints. */
const PENDING_SHOWN_MAX = 2 * SAVEPOINTS_MAX;

const actorOf = (checkpointId: number): ActorId<"checkpoint"> => `checkpoint/${checkpointId}`;

type CheckpointAnswer<E extends keyof Roles["checkpoint"]["answers"]> = AnswerOf<Roles["checkpoint"], E>;

export class JobCheckpoints {
  readonly #options: JobCheckpointsOptions;
  readonly #savepoints: Savepoints;
  readonly #pending = new Map<number, Pending>();
  readonly #writing: TroubleWatch;
  readonly #copies: CopyWatch;
  #completed = 0;
  #aborted = 0;
  #latest: CheckpointReport | null = null;
  #hold: Hold | null = null;

  constructor(options: JobCheckpointsOptions) {
    this.#options = options;
    this.#writing = options.troubles.watch(`writing checkpoints to ${options.storage.description}`);
    this.#copies = new CopyWatch(options);
    this.#savepoints = new Savepoints(options);
  }

  /** Deletes what is left of savepoints that were begun under other leaders. */
  sweep(): void {
    void this.#savepoints.sweep();
  }

  report(): JobReport["checkpoints"] {
    const latestAborted = this.#options.record().aborted.at(-1);
    return {
      completed: this.#completed,
      aborted: this.#aborted,
      latest: this.#latest,
      latestAborted:
        latestAborted === undefined
          ? null
          : { checkpointId: latestAborted.checkpointId, reason: latestAborted.detail },
      pending: this.#pendingReports(),
      pendingMore: Math.max(0, this.#pending.size - PENDING_SHOWN_MAX),
      queued: this.#queued,
      failed: this.#options.record().aborted,
      hold: this.#hold === null ? "" : HOLDS[this.#hold],
    };
  }

  /** Requests of clients. */
  get #queued(): number {
    const context = this.#options.host.context("checkpointing") as { queue: CheckpointRequest[] } | undefined;
    return context?.queue.filter(({ request }) => request !== "").length ?? 0;
  }

  /** Every client that waits asks for them, so their number is bounded. */
  #pendingReports(): PendingReport[] {
    const nowMs = this.#options.clock.elapsedMs();
    const subtasks = subtasksOf(this.#options.record().plan);
    const reports: PendingReport[] = [];
    for (const [checkpointId, { request, startedMs, snapshots }] of this.#pending) {
      if (reports.length === PENDING_SHOWN_MAX) break;
      reports.push({
        checkpointId,
        requested: request.reason,
        ageMs: nowMs - startedMs,
        acknowledged: snapshots.size,
        subtasks: subtasks.length,
        missing: this.#missing(checkpointId, snapshots, subtasks),
      });
    }
    return reports;
  }

  #missing(
    checkpointId: number,
    snapshots: ReadonlyMap<SubtaskName, SubtaskSnapshot>,
    subtasks: readonly SubtaskName[] = subtasksOf(this.#options.record().plan),
  ): MissingSubtask[] {
    return subtasks
      .filter((subtask) => !snapshots.has(subtask))
      .slice(0, MISSING_MAX)
      .map((subtask) => ({ subtask, ...this.#options.progressOf(subtask, checkpointId) }));
  }

  /** How long the checkpoint of a suspension may take. */
  suspendBoundMs(): number {
    const { suspendTimeoutMs, firstSuspendTimeoutMs } = this.#options.timings;
    if (this.#latest === null) return firstSuspendTimeoutMs;
    return Math.max(suspendTimeoutMs, LONGER_THAN_LAST * this.#latest.durationMs);
  }

  /** A new generation begins: what the old one had pending is over. */
  clear(): void {
    this.#pending.clear();
    this.#hold = null;
    this.#options.reaper.stopWaiting();
  }

  /** Effects of the checkpointing machine. */
  handlers(): EffectHandlers<"checkpointing"> {
    return {
      "store.reservation": ({ reservedCheckpointId }) =>
        this.#options.store({ change: "reservation", reservedCheckpointId }),
      "start.checkpoint": (params) => this.#start(params),
      "report.hold": ({ hold }) => {
        this.#hold = hold;
      },
    };
  }

  acknowledged(message: Extract<SubtaskMessage, { type: "subtask.acknowledged" }>): string {
    const { checkpointId, subtask, snapshot, generation } = message;
    const pending = this.#pending.get(checkpointId);
    if (pending === undefined) {
      const names = snapshotObjects(snapshot).map(({ name }) => name);
      this.#leftOver({ checkpointId, generation }, names);
      return checkpointId <= factsOf(this.#options.record()).completed ? "duplicate" : "unknown";
    }
    if (pending.snapshots.has(subtask)) return "duplicate";
    // The manifest would name a subtask that was not asked.
    if (snapshot.subtask !== subtask) return "unknown";
    pending.snapshots.set(subtask, snapshot);
    const divided = dividedUnion(this.#options.record().plan, pending.snapshots.values());
    if (divided !== undefined) {
      pending.trouble ??= divided;
      const reason = "declined-task-closing";
      this.#send(checkpointId, { type: "subtask.declined", generation, checkpointId, subtask, reason });
      return "accepted";
    }
    this.#send(checkpointId, eventOf("subtask.acknowledged", { ...message, finished: snapshot.finished }));
    return "accepted";
  }

  declined(message: Extract<SubtaskMessage, { type: "subtask.declined" }>): void {
    const pending = this.#pending.get(message.checkpointId);
    // Aborted already: a subtask that finds a cancel marker cannot know.
    if (pending === undefined) return;
    const why = reasonInWords(message.detail);
    pending.trouble ??= `${message.subtask} declined it: ${why}`;
    this.#options.logger.warn({ ...message, why }, "checkpoint declined");
    this.#send(message.checkpointId, eventOf("subtask.declined", message));
  }

  discarded(message: Extract<SubtaskMessage, { type: "subtask.discarded" }>): Answer {
    this.#leftOver(message, message.objects, message.subtask);
    return "accepted";
  }

  /**
   * Takes objects of a checkpoint that was given up, of none that was decided; never what transactions have staged
   * (P15, P48).
   */
  #leftOver(
    { checkpointId, generation }: { readonly checkpointId: number; readonly generation: number },
    names: readonly string[],
    reporter?: SubtaskName,
  ): void {
    const place = objectNames.checkpoint({ ...this.#options.record(), generation, checkpointId });
    const own = names.filter((name) => name.startsWith(place));
    this.#options.reaper.named(checkpointId, own, reporter);
  }

  #send(checkpointId: number, event: CheckpointEvent): void {
    this.#options.host.send(actorOf(checkpointId), event);
  }

  #start(params: CheckpointingEffects["start.checkpoint"]): void {
    const { checkpointId, request } = params;
    const { host, clock, record } = this.#options;
    const { generation, generations, checkpointing, plan } = record();
    const pending = pendingOf(request, clock);
    this.#pending.set(checkpointId, pending);
    const timeoutMs = request.savepoint === null ? checkpointing.timeoutMs : checkpointing.savepointTimeoutMs;
    host.start({
      id: actorOf(checkpointId),
      machine: checkpointMachine,
      input: inputOf("checkpoint", params, {
        generation,
        generations,
        timeoutMs,
        subtasks: subtasksOf(plan),
      }),
      handlers: this.#handlersOf(checkpointId, pending),
    });
    host.tell(eventOf("request.begun", {}, { request: request.request }));
  }

  /** `pending` is theirs also when its generation is over: a savepoint may take longer than that. */
  #handlersOf(checkpointId: number, pending: Pending): EffectHandlers<"checkpoint"> {
    const { tell, record, clock, reaper } = this.#options;
    return {
      "send.trigger": ({ generation }) => {
        const latest = latestCheckpoint(record());
        const options = checkpointOptionsOf(record().checkpointing, clock.nowMs(), pending.request, latest);
        if (options.base !== null && latest !== undefined) pending.releaseBase = reaper.holdBase(latest);
        tell(eventOf("checkpoint.triggered", { generation, checkpointId }, { options }));
      },
      "store.savepoint": () => this.#storeSavepoint(checkpointId, pending),
      "store.savepointEntry": () => this.#keepSavepoint(checkpointId, pending),
      "store.manifest": () => this.#storeManifest(checkpointId, pending),
      "store.decision": ({ allFinished }) => this.#decide(checkpointId, pending, allFinished),
      "send.completed": (params) => tell(eventOf("checkpoint.completed", params)),
      "send.aborted": (params) => {
        this.#remember(checkpointId, pending, params.generation, params.reason);
        tell({ ...eventOf("checkpoint.aborted", params), reason: params.reason });
      },
      "release.snapshots": () => this.#release(checkpointId, pending),
    };
  }

  async #storeManifest(checkpointId: number, pending: Pending): Promise<CheckpointAnswer<"store.manifest">> {
    const { storage, signal, timings, logger, clock } = this.#options;
    const record = this.#options.record();
    if (this.#pending.get(checkpointId) !== pending)
      return { type: "manifest.refused", reason: "the generation is over" };
    const manifest = manifestOf(record, checkpointId, [...pending.snapshots.values()]);
    this.#copies.look(record, manifest);
    try {
      const bound = AbortSignal.any([signal, timeoutSignal(clock, timings.manifestTimeoutMs)]);
      const name = objectNames.manifest({ ...record, checkpointId });
      pending.manifestName = name;
      pending.stored = { manifest, handle: await storage.put(name, [encodeManifest(manifest)], bound) };
      this.#writing.passed();
      return { type: "manifest.stored" };
    } catch (error) {
      const reason = describeError(error);
      if (retryOf(error) === "now") this.#writing.failed(error);
      pending.trouble ??= `its manifest could not be written: ${reason}`;
      logger.warn({ job: record.job, checkpointId, reason }, "manifest could not be written");
      return { type: "manifest.refused", reason };
    }
  }

  async #storeSavepoint(
    checkpointId: number,
    pending: Pending,
  ): Promise<CheckpointAnswer<"store.savepoint">> {
    const { request, savepoint } = pending.request;
    const manifest = manifestOf(this.#options.record(), checkpointId, [...pending.snapshots.values()]);
    this.#copies.look(this.#options.record(), manifest);
    const isDrained = pending.request.reason === "drain";
    if (!isDrained && manifest.subtasks.every(({ finished }) => finished)) {
      const refused = "every subtask has finished, so no job could go on from it: the job is about to end";
      pending.trouble ??= refused;
      return { type: "savepoint.refused", reason: refused };
    }
    const place = { root: savepoint ?? "", isDrained };
    const taken = await this.#savepoints.take(manifest, request, place);
    if ("refused" in taken) {
      pending.trouble ??= taken.refused;
      return { type: "savepoint.refused", reason: taken.refused };
    }
    pending.savepoint = taken;
    return { type: "savepoint.stored" };
  }

  async #keepSavepoint(
    checkpointId: number,
    pending: Pending,
  ): Promise<CheckpointAnswer<"store.savepointEntry">> {
    if (pending.savepoint === undefined) return { type: "record.lost" };
    const { savepoint } = pending;
    const answer = await this.#options.store({ change: "savepoint", savepoint });
    if (answer.type !== "record.stored") return answer;
    this.#pending.delete(checkpointId);
    // What the subtasks uploaded was copied.
    this.#options.reaper.release(uploadedBy(pending));
    pending.releaseBase();
    this.#complete(checkpointId, pending, { bytes: savepoint.bytes }, savepoint.completedAtMs);
    const { completed } = factsOf(this.#options.record());
    const facts = { request: pending.request.request, location: savepoint.location, completed };
    this.#options.host.tell(eventOf("savepoint.recorded", { checkpointId }, facts));
    return answer;
  }

  async #decide(
    checkpointId: number,
    pending: Pending,
    allFinished: boolean,
  ): Promise<CheckpointAnswer<"store.decision">> {
    const { clock, reaper } = this.#options;
    if (pending.stored === undefined)
      return { type: "record.refused", facts: factsOf(this.#options.record()) };
    const { manifest, handle } = pending.stored;
    const { generation } = manifest;
    const completedAtMs = clock.nowMs();
    const sizes = sizesOf(manifest, handle);
    const place = { checkpointId, generation, manifest: handle, completedAtMs };
    const checkpoint = { ...place, ...sizes, allFinished };
    reaper.knowManifest(checkpoint, manifest);
    const { origin } = this.#options.record();
    const savepoint = pending.savepoint ?? null;
    const answer = await this.#options.change({ change: "decision", checkpoint, savepoint });
    if (answer.type !== "record.stored") return answer;
    this.#pending.delete(checkpointId);
    pending.releaseBase();
    if (origin?.mode === "claim") void this.#savepoints.dispose(origin.location);
    this.#complete(checkpointId, pending, sizes, completedAtMs);
    this.#options.host.tell(
      eventOf(
        "checkpoint.decided",
        { checkpointId },
        { request: pending.request.request, location: savepoint?.location ?? null },
      ),
    );
    return answer;
  }

  #complete(id: number, pending: Pending, sizes: ReturnType<typeof sizesOf>, completedAtMs: number): void {
    const { feed, clock } = this.#options;
    const { job, generation } = this.#options.record();
    const { request, snapshots, savepoint } = pending;
    if (savepoint !== undefined) this.#savepoints.entered(savepoint.location);
    const durationMs = clock.elapsedMs() - pending.startedMs;
    this.#completed++;
    this.#latest = { checkpointId: id, completedAtMs, durationMs, bytes: sizes.bytes };
    const place = { t: clock.nowMs(), job, generation, id: actorOf(id) };
    const details = { checkpointId: id, reason: request.reason, durationMs, ...sizes };
    feed.publish(completedEvent(place, details, [...snapshots.values()]));
  }

  /** Remembers why, for a user who asks, also after a change of leader. */
  #remember(checkpointId: number, pending: Pending, generation: number, reason: AbortReason): void {
    const { clock, change, host, requests } = this.#options;
    const { request, snapshots, startedAtMs } = pending;
    const missing = this.#missing(checkpointId, snapshots);
    const detail = detailOf(reason, pending, missing);
    const { completed } = factsOf(this.#options.record());
    const { phase, settleTo } = requests.facts();
    host.tell(
      eventOf(
        "request.aborted",
        { reason },
        { request: request.request, detail, completed, phase, settleTo },
      ),
    );
    const aborted: AbortedCheckpoint = {
      checkpointId,
      generation,
      requested: request.reason,
      reason,
      detail,
      startedAtMs,
      abortedAtMs: clock.nowMs(),
      acknowledged: snapshots.size,
      missing,
    };
    const { job } = this.#options.record();
    const place = { t: clock.nowMs(), job, generation, id: actorOf(checkpointId) };
    this.#options.feed.publish(abortedEvent(place, aborted));
    if (!this.#endsInOrder) void change({ change: "abort", aborted });
  }

  /** What is pending then was not needed any more: nothing has gone wrong. */
  get #endsInOrder(): boolean {
    const { settleTo: end } = this.#options.requests.facts();
    return (
      factsOf(this.#options.record()).allFinished ||
      end === "finished" ||
      end === "stopped" ||
      end === "suspended"
    );
  }

  /** Aborted: its own objects may go, its transactions stay (P14, P16). */
  #release(checkpointId: number, pending: Pending): void {
    if (!this.#endsInOrder) this.#aborted++;
    this.#pending.delete(checkpointId);
    const subtasks = subtasksOf(this.#options.record().plan);
    this.#options.reaper.giveUp(checkpointId, uploadedBy(pending), subtasks);
    pending.releaseBase();
    if (pending.savepoint !== undefined) void this.#savepoints.dispose(pending.savepoint.location);
  }
}

const HOLDS: Readonly<Record<Hold, string>> = {
  "some-subtasks-ended": `${reasonInWords("some-subtasks-ended")}: the next checkpoint is the one that the job ends with`,
  cleanup: "too many older ones are still being deleted",
};
