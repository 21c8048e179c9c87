/**
 * Clients that ask a leader for checkpoints and savepoints, each again and again under one name, whichever coordinator
 * leads. Their requests are hosted as in src/runtime/leader/checkpoints/job-requests.ts.
 */
import type { RecordFacts } from "../../../../machines/leader/job-events.ts";
import { leftBy, requestRefusal } from "../../../../machines/leader/requests/refusals.ts";
import type { AskedFacts, RequestInput } from "../../../../machines/leader/requests/request-events.ts";
import { factsOf } from "../../../../machines/record.ts";
import type { CompositionState } from "../../composition.ts";
import type { Event } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { Bounds, RequestKind } from "../bounds.ts";
import { isHeld, letterFor, type ToActor } from "../held-actors.ts";
import { passed } from "../memory.ts";
import { WRITER, type WriterContext } from "./records/record-writer.ts";

export interface SnapshotRequested extends Event {
  readonly type: "snapshot.requested";
  readonly kind: RequestKind;
}

const PREFIX = "request/";
const actorOf = (kind: RequestKind): string => `${PREFIX}${kind}`;

/** What the client of this name asks for. */
export function inputFor(actor: string): RequestInput {
  const request = actor.slice(PREFIX.length) as RequestKind;
  const isCheckpoint = request === "checkpoint";
  return {
    job: "job",
    request,
    kind: isCheckpoint ? "checkpoint" : "savepoint",
    place: isCheckpoint ? null : "there",
    followedBy: request === "checkpoint" || request === "savepoint" ? "go-on" : request,
  };
}

export const requestsIn = ({ actors }: CompositionState): string[] =>
  [...actors.keys()].filter((actor) => actor.startsWith(PREFIX));

/**
 * A leader is asked as soon as it has claimed the job; what it would refuse at once changes nothing. It is not asked
 * again while the job waits for its store: what it would tell the job waits as well, and once is enough.
 */
export function requestsFor(state: CompositionState, { requests = [] }: Bounds): SnapshotRequested[] {
  if (!state.actors.has("checkpointing") || state.actors.get("job")!.snapshot.status !== "active") return [];
  return requests
    .filter((kind) => {
      const facts = factsFor(kind, state);
      if (state.actors.has(actorOf(kind))) return !isHeld(state, "job");
      return facts.recorded !== null || requestRefusal(inputFor(actorOf(kind)), facts) === undefined;
    })
    .map((kind) => ({ type: "snapshot.requested", kind }));
}

export function askFor(kind: RequestKind, state: CompositionState): ToActor[] {
  const actor = actorOf(kind);
  const asked = { type: "request.asked", facts: factsFor(kind, state) };
  return [state.actors.has(actor) ? letterFor(state, actor, asked) : passed(actor, asked)];
}

function factsFor(kind: RequestKind, state: CompositionState): AskedFacts {
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  const recorded = record.savepoints.find(({ request }) => request === kind);
  return {
    ...jobFacts(state),
    claimed: state.actors.has("checkpointing"),
    unusable: null,
    recorded:
      recorded === undefined
        ? null
        : {
            checkpointId: recorded.checkpointId,
            location: recorded.location,
            ofThisLife: true,
            completed: factsOf(record).completed,
          },
  };
}

export function jobFacts(state: CompositionState) {
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  const { snapshot } = state.actors.get("job")!;
  const { settleTo } = snapshot.context as Pick<RecordFacts, "settleTo">;
  return {
    ...leftBy(record),
    status: record.status,
    settleTo: record.settleTo ?? settleTo,
    phase: leaves(snapshot).join(),
    ended: snapshot.status !== "active",
  };
}
