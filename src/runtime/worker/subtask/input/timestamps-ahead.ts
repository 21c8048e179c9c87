/**
 * The records of a source whose timestamp lies too far in the future: one of them would move the watermark, and all
 * that comes after it would be late for ever. So none of them does.
 *
 * Owns: the limit, the count, the word to the user. Does not own: where such a record goes (source.ts).
 */
import type { SubtaskName } from "../../../../../machines/protocol.ts";
import type { Clock } from "../../../../clock.ts";
import type { Deployment } from "../../../../control/messages.ts";
import type { Logger } from "../../../../dataflow/connector.ts";
import type { EventFeed } from "../../../../observe/feed.ts";

const TOLD_EVERY_MS = 60_000;

export interface TimestampsAheadOptions {
  readonly subtask: SubtaskName;
  /** How far ahead of the wall clock a timestamp may be. */
  readonly byMs: number;
  readonly clock: Clock;
  readonly feed: EventFeed;
  readonly logger: Logger;
  readonly deployment: Deployment;
  /** The place of the record that was read last, in words. */
  readonly describePosition: () => string;
}

export class TimestampsAhead {
  readonly #options: TimestampsAheadOptions;
  #limit = Number.POSITIVE_INFINITY;
  #records = 0;
  #toldMs = Number.NEGATIVE_INFINITY;

  constructor(options: TimestampsAheadOptions) {
    this.#options = options;
  }

  /** The largest timestamp that is not too far ahead, as of the last `begin`. */
  get limit(): number {
    return this.#limit;
  }

  /** Called before some records are read: they are judged by the time that it is now. */
  begin(): void {
    this.#limit = this.#options.clock.nowMs() + this.#options.byMs;
  }

  /** A record is too far ahead. Tells the user once a minute. */
  count(timestamp: number): void {
    this.#records++;
    const { clock, feed, logger, subtask, deployment, describePosition, byMs } = this.#options;
    if (clock.elapsedMs() - this.#toldMs < TOLD_EVERY_MS) return;
    this.#toldMs = clock.elapsedMs();
    const fields = {
      records: this.#records,
      timestamp,
      record: describePosition(),
      maxTimestampAheadMs: byMs,
    };
    logger.warn({ subtask, ...fields }, "a timestamp lies too far in the future");
    feed.publish({
      t: clock.nowMs(),
      job: deployment.job,
      generation: deployment.generation,
      role: "source",
      id: subtask,
      event: "source.timestamp.ahead",
      from: "",
      to: "",
      effects: [],
      ...fields,
    });
  }
}
