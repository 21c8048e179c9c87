/** What time it is for values with a time to live: by the watermark, the clock of the worker, or one that pauses. */
import type { TtlClock } from "../../../state/ttl/expiring-rows.ts";
import type { EventTime } from "../../time/event-time.ts";
import type { ProcessingTime } from "../../time/processing-time.ts";

const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;

export class EventTtlClock implements TtlClock {
  private readonly time: Pick<EventTime, "watermark">;
  private readonly current: { readonly timestamp: number };
  /** The time of the timer or the value that is due; undefined: none is being worked off. */
  private due: number | undefined;
  private isExpiring = false;

  /** @param current what is being processed */
  constructor(time: Pick<EventTime, "watermark">, current: { readonly timestamp: number }) {
    this.time = time;
    this.current = current;
  }

  now(): number {
    const now = this.due ?? this.time.watermark;
    return now === POSITIVE_INFINITY ? NEGATIVE_INFINITY : now;
  }

  /** Infinity: event time has ended. */
  stamp(): number {
    const { due } = this;
    const hasEnded = this.time.watermark === POSITIVE_INFINITY;
    if (hasEnded && (due === undefined || due === POSITIVE_INFINITY || this.isExpiring))
      return POSITIVE_INFINITY;
    return Math.max(this.now(), this.current.timestamp);
  }

  begin(due: number, isExpiring: boolean): void {
    this.due = due;
    this.isExpiring = isExpiring;
  }

  end(): void {
    this.due = undefined;
    this.isExpiring = false;
  }
}

export class ProcessingTtlClock implements TtlClock {
  protected readonly processingTime: Pick<ProcessingTime, "nowMs">;

  constructor(processingTime: Pick<ProcessingTime, "nowMs">) {
    this.processingTime = processingTime;
  }

  now(): number {
    return this.processingTime.nowMs();
  }

  stamp(): number {
    return this.now();
  }

  /** The time of the worker's clock when this one will have come to `time`. */
  wallTimeOf(time: number): number {
    return time;
  }
}

/** Stands still from the checkpoint that a job is restored from until it is restored. */
export class PausingTtlClock extends ProcessingTtlClock {
  private pausedMs = 0;
  private standsAt: number | undefined;

  override now(): number {
    return this.standsAt ?? this.processingTime.nowMs() - this.pausedMs;
  }

  override wallTimeOf(time: number): number {
    return time + this.pausedMs;
  }

  /** It was that late at the checkpoint. Several say so where key groups come together: the latest counts. */
  restore(time: number): void {
    this.standsAt = Math.max(this.standsAt ?? NEGATIVE_INFINITY, time);
  }

  /** The job is restored. */
  goOn(): void {
    if (this.standsAt === undefined) return;
    this.pausedMs = this.processingTime.nowMs() - this.standsAt;
    this.standsAt = undefined;
  }
}
