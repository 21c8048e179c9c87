/**
 * Checkpoints and savepoints that clients asked the leader for, until their outcome was fetched.
 *
 * Owns: which requests are known and what became of them. Does not own: taking checkpoints. A request is asked for
 * again and again by its name; a leader that does not know it (a new one) is handed it anew.
 *
 * JR1  A request that was taken has an outcome in the end, and it is there when its client asks again, however many
 *     others wait: one that is forgotten would be taken for new, and begun once more.
 */
import type { RecordFacts } from "../../../../machines/leader/job-events.ts";
import type { CheckpointReason, JobRecord } from "../../../../machines/protocol.ts";
import { phaseInWords } from "../../../../machines/words.ts";
import { parseRoot, savepointLocation, splitLocation } from "../../../checkpoint/savepoint.ts";
import type { Clock } from "../../../clock.ts";
import type { LeaderAnswer, RequestOutcome, SnapshotRequest } from "../../../control/messages.ts";
import { describeError } from "../../../errors.ts";
import type { Host } from "../../actor.ts";
import { hasEnded, nothingTo } from "../submissions/refusals.ts";

/** An outcome is kept for so long at least: many times the pause between two questions of a client. */
const REMEMBERED_MS = 60_000;
/** So many of them are kept for longer, for a client that asks late. */
const REMEMBERED = 100;
/** Stands in the place of the name that a request for a snapshot has. */
const CANCELATION = "";
/** A client that has not asked again for so long has given up. */
const PATIENCE_MS = 10_000;

type JobContext = Pick<RecordFacts, "settleTo">;
type CompletedOutcome = Extract<RequestOutcome, { readonly state: "completed" }>;

export interface JobRequestsOptions {
  readonly host: Pick<Host, "has" | "send" | "state" | "context">;
  readonly clock: Clock;
  readonly record: () => JobRecord;
  /** A terminal status is reached. */
  readonly ended: () => boolean;
  readonly cancel: () => void;
}

export class JobRequests {
  readonly #options: JobRequestsOptions;
  readonly #outcomes = new Map<string, RequestOutcome>();
  /** Since when requests have been over, the oldest first. */
  readonly #endedMs = new Map<string, number>();
  readonly #followUps = new Map<string, () => void>();
  /** When those last asked that have not had their outcome. */
  readonly #askedMs = new Map<string, number>();
  /** The request of the client that asked last that the job stops. */
  #stop = "";

  constructor(options: JobRequestsOptions) {
    this.#options = options;
  }

  /** Takes the request, or says what has become of it. */
  take(asked: SnapshotRequest): LeaderAnswer {
    const answer = this.#take(asked);
    if (answer.answer === "outcome" && answer.outcome.state === "pending")
      this.#askedMs.set(asked.request, this.#options.clock.elapsedMs());
    else this.#askedMs.delete(asked.request);
    return answer;
  }

  /** A cancellation is asked for, and asked for again by a client that has seen the job's end. */
  cancelAsked(): void {
    if (this.#options.ended() || this.cancelRefusal() !== undefined) this.#askedMs.delete(CANCELATION);
    else this.#askedMs.set(CANCELATION, this.#options.clock.elapsedMs());
  }

  /** How many clients are about to ask again: they get their answer before the leader or its server ends. */
  get unanswered(): number {
    const nowMs = this.#options.clock.elapsedMs();
    for (const [request, askedMs] of this.#askedMs)
      if (nowMs - askedMs >= PATIENCE_MS) this.#askedMs.delete(request);
    return this.#askedMs.size;
  }

  #take(asked: SnapshotRequest): LeaderAnswer {
    const { request, kind, followedBy, directory } = asked;
    const { host } = this.#options;
    const known = this.#outcomes.get(request) ?? this.#savepointOf(request);
    if (known?.state === "completed") return { answer: "outcome", outcome: this.#ending(known, asked) };
    if (known !== undefined) return { answer: "outcome", outcome: known };
    const refused = this.#refusalOf(asked);
    if (refused !== undefined) return { answer: "refused", reason: refused };
    // A leader that has just begun takes it when it is asked again.
    if (!host.has("checkpointing")) return { answer: "outcome", outcome: { state: "pending" } };
    const savepoint = directory ?? this.#options.record().checkpointing.savepointDirectory;
    if (followedBy === "stop" || followedBy === "drain") {
      this.#begin(request);
      this.#stop = request;
      host.send("job", {
        type: "stop.requested",
        request,
        savepoint: savepoint ?? "",
        drain: followedBy === "drain",
      });
    } else {
      this.#begin(request, followedBy === "cancel" ? () => this.#options.cancel() : undefined);
      const reason: CheckpointReason =
        kind === "checkpoint" ? "manual" : followedBy === "cancel" ? "cancel" : "savepoint";
      const wanted = { request, reason, savepoint: kind === "checkpoint" ? null : savepoint };
      host.send("checkpointing", { type: "checkpoint.requested", request: wanted });
    }
    // A full queue has refused it by now.
    return { answer: "outcome", outcome: this.#outcomes.get(request) ?? { state: "pending" } };
  }

  /** The savepoint of a request, also one that the leader before has taken. */
  #savepointOf(request: string): RequestOutcome | undefined {
    const found = this.#options.record().savepoints.find((savepoint) => savepoint.request === request);
    if (found === undefined) return undefined;
    return { state: "completed", checkpointId: found.checkpointId, location: found.location };
  }

  /** The outcome of a savepoint with which the job was to end: the client waits for that end as well. */
  #ending(savepoint: CompletedOutcome, { job, followedBy }: SnapshotRequest): RequestOutcome {
    if (followedBy === "go-on") return savepoint;
    const { status } = this.#options.record();
    if (this.#wasStartedSince(savepoint, followedBy))
      return {
        state: "failed",
        reason: `it is at ${savepoint.location}, and job ${job} was started again since: that one is left alone`,
      };
    if (status === (followedBy === "cancel" ? "canceled" : "stopped")) return savepoint;
    if (this.#options.ended())
      return {
        state: "failed",
        reason:
          `it is at ${savepoint.location}, but job ${job} is ${status} now, and its last transactions may not be ` +
          "committed; start it again, so that it commits them, before you go on from the savepoint",
      };
    // A leader that has taken over knows of the savepoint, not of what was to follow it.
    if (followedBy === "cancel") this.#options.cancel();
    return { state: "pending" };
  }

  /** Its life was another one, or has gone on behind it. */
  #wasStartedSince(
    { checkpointId, location }: CompletedOutcome,
    followedBy: SnapshotRequest["followedBy"],
  ): boolean {
    if (location === null) return false;
    const record = this.#options.record();
    const { job, incarnation, status } = record;
    const { root } = splitLocation(location);
    if (savepointLocation(root, { job, incarnation, checkpointId }) !== location) return true;
    // One write decides the savepoint of a stop and that the job is to end. A leader that still claims an ended job
    // knows it by the record.
    return followedBy !== "cancel" && status !== "settling" && !hasEnded(record);
  }

  #refusalOf({ job, kind, directory, followedBy }: SnapshotRequest): string | undefined {
    const record = this.#options.record();
    const phase = this.#options.host.state("job");
    if (this.#options.ended() || record.status === "settling") return nothingTo(record, `take a ${kind} of`);
    if (kind === "savepoint" && directory === null && record.checkpointing.savepointDirectory === null)
      return (
        `no place is named for the savepoint of job ${job}: give a directory or nats:<bucket> with --to, or ` +
        "set checkpointing.savepointDirectory"
      );
    if (kind === "savepoint") {
      const unusable = whyUnusable(directory ?? record.checkpointing.savepointDirectory ?? "");
      if (unusable !== undefined) return `the savepoint of job ${job} cannot be kept there: ${unusable}`;
    }
    if ((followedBy === "stop" || followedBy === "drain") && phase !== "running.processing")
      return phase.startsWith("running.")
        ? `job ${job} is ending already: it is ${phaseInWords(phase)}; "tidemark status ${job}" shows how far it is`
        : `job ${job} does not run at present (it is ${phaseInWords(phase)}), so it cannot stop with a savepoint: try again when it does, or end it with "tidemark cancel ${job}"`;
    return undefined;
  }

  /** Why the job cannot be canceled; undefined: it can, or it is or was already. */
  cancelRefusal(): string | undefined {
    const record = this.#options.record();
    const { job, status, settleTo } = record;
    if (this.#options.ended()) return status === "canceled" ? undefined : nothingTo(record, "cancel");
    const settlesTo = settleTo ?? this.#settlesTo;
    if (settlesTo === null || settlesTo === "canceled") return undefined;
    return `job ${job} is ending already, and will be ${settlesTo}: "tidemark status ${job}" shows what that waits for`;
  }

  /** Why the job cannot be suspended now; undefined: it can, or it is being suspended already. */
  suspendRefusal(): string | undefined {
    const record = this.#options.record();
    const { job, status, settleTo } = record;
    if (status === "suspended" || settleTo === "suspended") return undefined;
    if (this.#options.ended()) return nothingTo(record, "suspend");
    const phase = this.#options.host.state("job");
    const instead = `wait for that, or end it with "tidemark cancel ${job}"`;
    if (phase === "running.draining" || phase === "running.stopping")
      return `job ${job} is stopping with a savepoint already: ${instead}`;
    if (phase === "running.finishing")
      return `job ${job} has processed all of its input and takes its last checkpoint: ${instead}`;
    if (status === "settling" || (phase.startsWith("settling.") && !this.#suspending))
      return `job ${job} is ending already: wait for that`;
    return undefined;
  }

  get #suspending(): boolean {
    return this.#settlesTo === "suspended";
  }

  /** What the job settles to, also before the record says so. */
  get #settlesTo(): JobRecord["settleTo"] {
    return (this.#options.host.context("job") as JobContext | undefined)?.settleTo ?? null;
  }

  /** `onCompleted` is what follows its success. */
  #begin(request: string, onCompleted?: () => void): void {
    this.#endedMs.delete(request);
    this.#outcomes.set(request, { state: "pending" });
    if (onCompleted !== undefined) this.#followUps.set(request, onCompleted);
  }

  get stop(): string {
    return this.#stop;
  }

  #isPending(request: string): boolean {
    return this.#outcomes.get(request)?.state === "pending";
  }

  complete(request: string, checkpointId: number, location: string | null): void {
    const followUp = this.#followUps.get(request);
    this.#end(request, { state: "completed", checkpointId, location });
    followUp?.();
  }

  fail(request: string, reason: string): void {
    if (this.#isPending(request)) this.#end(request, { state: "failed", reason });
  }

  /** The stop has failed before its savepoint had begun. */
  failStop(failure: string): void {
    this.fail(this.#stop, `the job has failed before it (${failure}), and goes on`);
  }

  /** Those that wait for their turn, and never get it: one that has begun tells of its own end. */
  failWaiting(reason: string, hasBegun: (request: string) => boolean): void {
    for (const request of [...this.#outcomes.keys()]) if (!hasBegun(request)) this.fail(request, reason);
  }

  #end(request: string, outcome: RequestOutcome): void {
    if (request === "") return;
    this.#outcomes.set(request, outcome);
    this.#followUps.delete(request);
    const nowMs = this.#options.clock.elapsedMs();
    this.#endedMs.delete(request);
    this.#endedMs.set(request, nowMs);
    for (const [ended, endedMs] of this.#endedMs) {
      if (this.#endedMs.size <= REMEMBERED || nowMs - endedMs < REMEMBERED_MS) return;
      this.#endedMs.delete(ended);
      this.#outcomes.delete(ended);
    }
  }
}

/** Why no savepoint can be kept there; asked before one is taken. */
function whyUnusable(root: string): string | undefined {
  try {
    parseRoot(root);
    return undefined;
  } catch (error) {
    return describeError(error);
  }
}
