/**
 * How a process tells of its troubles: a line in its log and an event in the feed, when one begins and when it is over.
 */
import type { Logger } from "../dataflow/connector.ts";
import type { FeedEvent } from "../observe/feed.ts";
import type { TroubleChange, Troubles } from "../observe/troubles.ts";
import type { Surroundings } from "./surroundings.ts";

export interface TroublePlace {
  readonly job: string;
  /** "worker 5f…", "leader": whose trouble it is. */
  readonly id: string;
  /** The newest one there. */
  readonly generation: () => number;
}

/** Ends with what it answers. */
export function tellTroubles(
  troubles: Troubles,
  { logger, feed, clock }: Pick<Surroundings, "logger" | "feed" | "clock">,
  place: TroublePlace,
): () => void {
  return troubles.onChange((change) => {
    logTrouble(logger, { job: place.job }, change);
    feed.publish(troubleEvent(change, { ...place, t: clock.nowMs(), generation: place.generation() }));
  });
}

export function logTrouble(logger: Logger, fields: object, { change, trouble }: TroubleChange): void {
  const { what, reason } = trouble;
  if (change === "passed") logger.info({ ...fields, what }, "trouble is over");
  else logger.warn({ ...fields, what, reason }, "trouble: this is still tried, without success");
}

function troubleEvent(
  { change, trouble }: TroubleChange,
  {
    t,
    job,
    generation,
    id,
  }: { readonly t: number; readonly job: string; readonly generation: number; readonly id: string },
): FeedEvent {
  const [from, to] = {
    began: ["working", "failing"],
    changed: ["failing", "failing"],
    passed: ["failing", "working"],
  }[change] as [string, string];
  return {
    t,
    job,
    generation,
    role: "trouble",
    id,
    event: `trouble.${change}`,
    from,
    to,
    effects: [],
    ...trouble,
  };
}
