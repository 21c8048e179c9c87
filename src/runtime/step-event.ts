/**
 * What the engine puts into the event feed: every step of a machine, with ids and what a reader of the feed alone needs
 * of its event and effects; and each completed checkpoint with its times.
 */
import type { AbortedCheckpoint, SubtaskSnapshot } from "../../machines/protocol.ts";
import type { FeedEvent } from "../observe/feed.ts";
import type { Step } from "./actor.ts";

/** Plain words and numbers only; `generation` is the event's own. */
const DETAILS = [
  "checkpointId",
  "completed",
  "transaction",
  "subtask",
  "upTo",
  "worker",
  "where",
  "reason",
  "recoverable",
  "delayMs",
  "settle",
  "settleTo",
  "status",
  "channel",
  "hold",
] as const;

export interface StepPlace {
  readonly t: number;
  readonly job: string;
  readonly generation: number;
  readonly id: string;
}

export function stepEvent(step: Step, place: StepPlace): FeedEvent {
  const details: { [name: string]: string | number | boolean } = {};
  const look = (from: unknown): void => {
    if (typeof from !== "object" || from === null) return;
    for (const name of DETAILS) {
      const value = (from as Record<string, unknown>)[name];
      if (value === undefined) continue;
      const kind = typeof value;
      if (kind === "string" || kind === "number" || kind === "boolean") details[name] ??= value as string;
    }
  };
  look(step.event);
  for (const { params } of step.effects) {
    look(params);
    // What is told to a sibling.
    look((params as { readonly event?: unknown } | undefined)?.event);
  }
  return {
    ...place,
    role: step.role,
    event: step.event.type,
    from: step.from,
    to: step.to,
    effects: step.effects.map((effect) => effect.type),
    ...details,
  };
}

/** It was given up: why, and whom it had waited for. */
export function abortedEvent(place: StepPlace, aborted: AbortedCheckpoint): FeedEvent {
  const { checkpointId, reason, detail, requested, acknowledged, missing } = aborted;
  const durationMs = aborted.abortedAtMs - aborted.startedAtMs;
  return {
    ...place,
    role: "coordinator",
    event: "checkpoint.aborted",
    from: "preparing",
    to: "aborted",
    effects: [],
    ...{ checkpointId, reason, detail, requested, durationMs, acknowledged, missing },
  };
}

export interface CompletedDetails {
  readonly checkpointId: number;
  readonly reason: string;
  readonly durationMs: number;
  readonly bytes: number;
  readonly fullBytes?: number;
}

/** Its decision is durable. Of times that every subtask has for itself, the longest. */
export function completedEvent(
  place: StepPlace,
  details: CompletedDetails,
  snapshots: readonly SubtaskSnapshot[],
): FeedEvent {
  const largest = (of: (snapshot: SubtaskSnapshot) => number) => Math.max(0, ...snapshots.map(of));
  return {
    ...place,
    role: "coordinator",
    event: "checkpoint.completed",
    from: "persisting",
    to: "committing",
    effects: [],
    ...details,
    alignmentMs: largest((snapshot) => snapshot.alignmentMs),
    syncMs: largest((snapshot) => snapshot.syncMs),
    asyncMs: largest((snapshot) => snapshot.asyncMs),
    persistedInFlightBytes: snapshots.reduce((sum, snapshot) => sum + snapshot.persistedInFlightBytes, 0),
  };
}

/** A job that scales by itself is about to get another number of subtasks, or did not get it. */
export function scalingEvent(
  place: StepPlace,
  event: "scaling.decided" | "scaling.refused",
  parallelism: number,
  reason: string,
): FeedEvent {
  return { ...place, role: "coordinator", event, from: "", to: "", effects: [], parallelism, reason };
}

/** What has become of a rescale; `reason`: why the job has gone back. */
export function rescaleEvent(
  place: StepPlace,
  event: "rescale.decided" | "rescale.done" | "rescale.undone",
  parallelism: { readonly [operator: string]: number },
  reason: string,
): FeedEvent {
  return {
    ...place,
    role: "coordinator",
    event,
    from: "",
    to: "",
    effects: [],
    parallelism,
    ...(reason === "" ? {} : { reason }),
  };
}
