/**
 * What one subtask tells of its event time: how far it is, since when, and what holds it there.
 *
 * Owns: since when the subtask and each of its senders stand where they are, as its reports have found it. Does not
 * own: event time itself (input/event-time.ts), why a split or a channel is silent (its input says so), who is behind a
 * channel that holds (runtime/leader/report/time-holders.ts).
 *
 * - TT1 All is found out when a report is asked for, some times a second. Neither records nor marks cost anything.
 */

import type { Clock } from "../../../clock.ts";
import type { SubtaskTime, TimeHold } from "../../../control/event-time-messages.ts";
import type { HeldRecords } from "../../../dataflow/operators/contract.ts";
import type { EventTimeFlow } from "./input/event-time.ts";
import type { InputObstacle } from "./turns.ts";

/** What is known of a sender that holds event time back. */
export type SenderFacts = Omit<TimeHold, "watermark" | "sinceMs">;

export interface TimeReporterOptions {
  readonly clock: Clock;
  readonly flow: EventTimeFlow;
  readonly makesWatermarks: boolean;
  /** What the operator of the subtask holds back. */
  readonly held?: HeldRecords | undefined;
  /** @param sinceMs since when the sender stands where it is */
  readonly factsOf: (sender: number, sinceMs: number, obstacle: InputObstacle | undefined) => SenderFacts;
}

const HOLDS_MAX = 8;
/** The subtask itself, among those that stand somewhere. */
const ITSELF = -1;

export class TimeReporter {
  readonly #options: TimeReporterOptions;
  readonly #standing = new Map<number, { readonly watermark: number; readonly sinceMs: number }>();

  constructor(options: TimeReporterOptions) {
    this.#options = options;
  }

  report(obstacle: InputObstacle | undefined): SubtaskTime {
    const { flow, held, makesWatermarks } = this.#options;
    const out = held?.report();
    const watermark = out?.watermark ?? flow.toldWatermark;
    const sinceMs = this.#since(ITSELF, watermark);
    // The senders are looked at each time: since when they stand is known only if they were looked at before.
    const holding = flow.senders.holders(HOLDS_MAX).map((sender) => this.#holdOf(sender, obstacle));
    const own = this.#ownHold({ watermark: told(watermark), sinceMs });
    const status = this.#status(out?.isIdle ?? flow.senders.isIdle);
    const holds = own === undefined ? holding : [own];
    return {
      makesWatermarks,
      status,
      watermark: told(watermark),
      sinceMs,
      holds: status === "active" ? holds : [],
    };
  }

  #status(isIdle: boolean): SubtaskTime["status"] {
    const { flow, held } = this.#options;
    const isOver = flow.isFinished || flow.toldWatermark === Number.POSITIVE_INFINITY;
    if (isOver && held?.isEmpty !== false) return "ended";
    return isIdle ? "idle" : "active";
  }

  /** What holds event time in the subtask itself. undefined: what its senders tell does. */
  #ownHold(at: Pick<TimeHold, "watermark" | "sinceMs">): TimeHold | undefined {
    const { flow, held, clock } = this.#options;
    const out = held?.report();
    if (out?.own !== undefined) return { ...at, ...silenceFacts(clock, out.own, at.sinceMs) };
    if (out !== undefined && out.watermark < flow.toldWatermark)
      return { ...at, reason: "requests", requests: out.records };
    return flow.isAdvancing ? { ...at, reason: "firing" } : undefined;
  }

  #holdOf(sender: number, obstacle: InputObstacle | undefined): TimeHold {
    const { flow, factsOf } = this.#options;
    const { watermark } = flow.senders.sender(sender);
    const sinceMs = this.#since(sender, watermark);
    return { watermark: told(watermark), sinceMs, ...factsOf(sender, sinceMs, obstacle) };
  }

  #since(one: number, watermark: number): number {
    const known = this.#standing.get(one);
    if (known?.watermark === watermark) return known.sinceMs;
    const sinceMs = this.#options.clock.nowMs();
    this.#standing.set(one, { watermark, sinceMs });
    return sinceMs;
  }
}

/** Why a watermark generator stands where it is, by when its last record came. */
export function silenceFacts(
  clock: Clock,
  {
    lastRecordMs,
    idleAfterMs,
  }: { readonly lastRecordMs: number | undefined; readonly idleAfterMs: number | undefined },
  sinceMs: number,
): Pick<TimeHold, "reason" | "lastRecordMs" | "idleAfterMs"> {
  const idle = idleAfterMs === undefined ? {} : { idleAfterMs };
  if (lastRecordMs === undefined) return { reason: "noRecord", ...idle };
  const atMs = Math.round(clock.nowMs() - (clock.elapsedMs() - lastRecordMs));
  return { reason: atMs > sinceMs ? "noProgress" : "silent", lastRecordMs: atMs, ...idle };
}

const told = (watermark: number): number | null => (Number.isFinite(watermark) ? watermark : null);
