/**
 * Whether a split can wait without losing input: a stream with limits drops its oldest messages, also those that no job
 * has read.
 *
 * - TL1 It can when all that it has left is in the younger half of what the limits allow, and none of it goes away by
 *   design. So a wait leaves at least half of each limit for reading.
 * - TL2 As long as nothing is known of the stream, it cannot.
 */
import type { StreamInfo } from "@nats-io/jetstream";
import type { PlacedRecord } from "../record-buffer.ts";
import { goesAwayByDesign } from "./stream-position.ts";
import type { StreamState } from "./stream-state.ts";

const RECENT_MS = 1000;
const SHARE_OF_LIMIT = 1 / 2;

export class Trimming {
  readonly #state: Pick<StreamState, "recent">;
  readonly #filters: readonly string[];
  #info: StreamInfo | undefined;
  #isAsking = false;

  constructor(state: Pick<StreamState, "recent">, filters: readonly string[]) {
    this.#state = state;
    this.#filters = filters;
  }

  /** Asked as often as one likes; what it goes by is about a second old. */
  mayWait(front: PlacedRecord): boolean {
    void this.#ask();
    return this.#info !== undefined && staysFor(this.#info, front, this.#filters);
  }

  async #ask(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    // A server that does not answer is found out by the consumer. What was known of the stream is too old then.
    this.#info = (await this.#state.recent(RECENT_MS).catch(() => undefined))?.info;
    this.#isAsking = false;
  }
}

/** TL1 */
export function staysFor(
  { config, state, ts }: Pick<StreamInfo, "config" | "state" | "ts">,
  front: PlacedRecord,
  filters: readonly string[],
): boolean {
  if (goesAwayByDesign(config, filters) !== undefined) return false;
  const unread = state.last_seq - front.sequence;
  const unreadBytes = state.messages === 0 ? 0 : (state.bytes * unread) / state.messages;
  // A server that does not tell its time, before 2.10, is taken for one whose messages are too old.
  const ageNs = (Date.parse(ts ?? "") - front.timestampMs) * 1e6;
  const within = (used: number, limit: number) => !(limit > 0) || used <= limit * SHARE_OF_LIMIT;
  if (!within(ageNs, config.max_age)) return false;
  return (
    config.discard === "new" || (within(unread, config.max_msgs) && within(unreadBytes, config.max_bytes))
  );
}
