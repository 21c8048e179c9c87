/**
 * Checkpoints and savepoints that a client asks a leader for: the twin of what src/runtime/leader/job-runtime.ts and
 * job-requests.ts do with them.
 *
 * A client asks again and again, under one name, whichever coordinator leads; so a leader takes a request at any time,
 * unless it knows it already, by itself or from the record.
 */
import type { CheckpointReason } from "../../../../machines/protocol.ts";
import type { CompositionState } from "../../composition.ts";
import type { Event } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { Bounds, RequestKind } from "../bounds.ts";
import { letterFor, type ToActor } from "../held-actors.ts";
import { changed, memoryOf } from "../memory.ts";
import type { Memory } from "./coordinator-memory.ts";
import { WRITER, type WriterContext } from "./record-writer.ts";

export interface SnapshotRequested extends Event {
  readonly type: "snapshot.requested";
  readonly kind: RequestKind;
  /** Whether this leader's last generation was to serve it. */
  readonly again: boolean;
}

const REASONS = { checkpoint: "manual", savepoint: "savepoint", cancel: "cancel" } as const satisfies Partial<
  Record<RequestKind, CheckpointReason>
>;

export function requestsFor(state: CompositionState, { requests = [] }: Bounds): SnapshotRequested[] {
  return requests
    .filter((kind) => isTaken(kind, state))
    .map((kind) => ({ type: "snapshot.requested", kind, again: kind in memoryOf<Memory>(state).requests }));
}

function isTaken(kind: RequestKind, state: CompositionState): boolean {
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  const { requests } = memoryOf<Memory>(state);
  const job = state.actors.get("job")!.snapshot;
  if (!state.actors.has("checkpointing") || job.status !== "active" || record.status === "settling")
    return false;
  const stops = kind === "stop" || kind === "drain";
  if (stops && !leaves(job).includes("running.processing")) return false;
  if (isKept(kind, state)) return kind === "cancel" && !(kind in requests);
  return !(kind in requests) || (stops && requests[kind] === "pending");
}

/** Whether this leader or the one before has kept it. */
function isKept(kind: RequestKind, state: CompositionState): boolean {
  const { record } = state.actors.get(WRITER)!.snapshot.context as WriterContext;
  return record.savepoints.some(({ request }) => request === kind);
}

export function takeRequest(kind: RequestKind, state: CompositionState): ToActor[] {
  if (isKept(kind, state)) return [letterFor(state, "job", { type: "cancel.requested" })];
  const begun = changed<Memory>(({ requests }) => ({ requests: { ...requests, [kind]: "pending" } }));
  if (kind === "stop" || kind === "drain") {
    const told = { type: "stop.requested", request: kind, savepoint: "there", drain: kind === "drain" };
    return [begun, letterFor(state, "job", told)];
  }
  const request = { request: kind, reason: REASONS[kind], savepoint: kind === "checkpoint" ? null : "there" };
  return [begun, letterFor(state, "checkpointing", { type: "checkpoint.requested", request } as Event)];
}
