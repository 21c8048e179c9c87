/**
 * The event feed: every step of every machine and every milestone of a checkpoint, as plain data. A reader of the feed
 * can check from it alone that no commit came before its decision.
 */

export interface FeedEvent {
  /** Wall clock in ms. */
  readonly t: number;
  readonly job: string;
  readonly generation: number;
  /** The machine's name: "job", "checkpoint", "subtask", "sink-transaction", … */
  readonly role: string;
  /** The machine's id: "checkpoint/7", "count/0", "counts@7". */
  readonly id: string;
  readonly event: string;
  /** Active states before and after. */
  readonly from: string;
  readonly to: string;
  /** Names of the effects, in order. */
  readonly effects: readonly string[];
  readonly [detail: string]: unknown;
}

/** The event in a line; undefined: something else was published on the feed's subject. Never throws. */
export function readFeedEvent(line: string): FeedEvent | undefined {
  try {
    const event = JSON.parse(line) as Partial<FeedEvent> | null;
    const isEvent =
      typeof event?.t === "number" &&
      typeof event.generation === "number" &&
      [event.job, event.role, event.id, event.event, event.from, event.to].every(isText) &&
      Array.isArray(event.effects) &&
      event.effects.every(isText);
    return isEvent ? (event as FeedEvent) : undefined;
  } catch {
    return undefined;
  }
}

const isText = (value: unknown): boolean => typeof value === "string";

export interface EventFeed {
  /** Never blocks, never throws; events may be lost when no process listens. */
  publish(event: FeedEvent): void;
}
