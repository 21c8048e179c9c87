/** One step of a machine as an event of the feed: ids, and from event and effects what a reader of the feed alone needs. */
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
      if (["string", "number", "boolean"].includes(typeof value)) details[name] ??= value as string;
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
