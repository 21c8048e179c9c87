/**
 * What clients ask the leader of a job for: checkpoints and savepoints by name, cancellations, suspensions.
 *
 * Owns: one actor for each name, the facts of the job that it decides by, and its answers as messages; which clients
 * are about to ask again. Does not own: what becomes of a request (machines/leader/requests/request.ts) and why one is
 * refused (refusals.ts there).
 */
import type { RecordFacts } from "../../../../machines/leader/job-events.ts";
import { cancelRefusal, leftBy, suspendRefusal } from "../../../../machines/leader/requests/refusals.ts";
import { requestMachine } from "../../../../machines/leader/requests/request.ts";
import type {
  AskedFacts,
  JobFacts,
  RecordedSavepoint,
  RequestAnswer,
} from "../../../../machines/leader/requests/request-events.ts";
import type { JobRecord } from "../../../../machines/protocol.ts";
import { factsOf } from "../../../../machines/record.ts";
import { savepointLocation, splitLocation } from "../../../checkpoint/savepoint.ts";
import type { SavepointPlaces } from "../../../checkpoint/savepoint-places.ts";
import type { Clock } from "../../../clock.ts";
import type { LeaderAnswer, SnapshotRequest } from "../../../control/messages.ts";
import type { ActorId, Host } from "../../actor.ts";

/** Stands in the place of the name that a request for a snapshot has. */
const CANCELATION = "";
/** A client that has not asked again for so long has given up. */
const PATIENCE_MS = 10_000;

const PENDING: RequestAnswer = { state: "pending" };

const actorOf = (request: string): ActorId<"request"> => `request/${request}`;

export interface JobRequestsOptions {
  readonly host: Pick<Host, "has" | "send" | "start" | "state" | "context">;
  readonly clock: Clock;
  readonly places: Pick<SavepointPlaces, "refusal">;
  readonly record: () => JobRecord;
  /** A terminal status is reached. */
  readonly ended: () => boolean;
}

export class JobRequests {
  readonly #options: JobRequestsOptions;
  /** When those last asked that have not had their outcome. */
  readonly #askedMs = new Map<string, number>();
  /** The request whose client asks at present, and what it is answered: others may have their outcome meanwhile. */
  #asking = { request: "", answer: PENDING };

  constructor(options: JobRequestsOptions) {
    this.#options = options;
  }

  /** It was taken here, or the record names what came of it. */
  knows(request: string): boolean {
    return this.#options.host.has(actorOf(request)) || recordedFor(request, this.#options.record()) !== null;
  }

  /** Takes the request, or says what has become of it. */
  take(asked: SnapshotRequest): LeaderAnswer {
    const { request } = asked;
    const answer = this.#ask(asked);
    if (answer.state === "pending") this.#askedMs.set(request, this.#options.clock.elapsedMs());
    else this.#askedMs.delete(request);
    return answer.state === "refused"
      ? { answer: "refused", reason: answer.reason }
      : { answer: "outcome", outcome: answer };
  }

  #ask(asked: SnapshotRequest): RequestAnswer {
    const { host, record } = this.#options;
    const actor = actorOf(asked.request);
    const place = asked.directory ?? record().checkpointing.savepointDirectory;
    if (!host.has(actor)) this.#start(asked, place);
    const asking = { request: asked.request, answer: PENDING };
    this.#asking = asking;
    host.send(actor, { type: "request.asked", facts: this.#factsFor(asked, place) });
    return asking.answer;
  }

  #start({ job, request, kind, followedBy }: SnapshotRequest, place: string | null): void {
    this.#options.host.start({
      id: actorOf(request),
      machine: requestMachine,
      input: { job, request, kind, place, followedBy },
      handlers: {
        "answer.client": ({ answer }) => {
          if (this.#asking.request === request) this.#asking.answer = answer;
        },
      },
    });
  }

  #factsFor({ request }: SnapshotRequest, place: string | null): AskedFacts {
    const { record, host, places } = this.#options;
    return {
      ...this.facts(),
      claimed: host.has("checkpointing"),
      unusable: place === null ? null : places.refusal(place),
      recorded: recordedFor(request, record()),
    };
  }

  facts(): JobFacts {
    const { host, record, ended } = this.#options;
    const { status, settleTo } = record();
    const left = leftBy(record());
    // The machine knows it before the record does.
    const job = host.context("job") as Pick<RecordFacts, "settleTo"> | undefined;
    return {
      ...left,
      status,
      settleTo: settleTo ?? job?.settleTo ?? null,
      phase: host.state("job"),
      ended: ended(),
    };
  }

  /** Why the job cannot be canceled; undefined: it can, or it is or was already. */
  cancelRefusal(): string | undefined {
    return cancelRefusal(this.#options.record().job, this.facts());
  }

  /** Why the job cannot be suspended now; undefined: it can, or it is being suspended already. */
  suspendRefusal(): string | undefined {
    return suspendRefusal(this.#options.record().job, this.facts());
  }

  cancel(): LeaderAnswer {
    this.cancelAsked();
    const reason = this.cancelRefusal();
    if (reason !== undefined) return { answer: "refused", reason };
    this.#options.host.send("job", { type: "cancel.requested" });
    return { answer: "accepted" };
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
}

/** The savepoint of a request, also one that the leader before has taken. */
function recordedFor(request: string, record: JobRecord): RecordedSavepoint | null {
  const found = record.savepoints.find((savepoint) => savepoint.request === request);
  if (found === undefined) return null;
  const { checkpointId, location } = found;
  const { root } = splitLocation(location);
  const ofThisLife = savepointLocation(root, { ...record, checkpointId }) === location;
  return { checkpointId, location, ofThisLife, completed: factsOf(record).completed };
}
