/** Q12, bids by the clock: how many bids has a bidder made in each ten seconds in which the job has run? */
import { type Stream, type, valueState } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

const WINDOW_MS = 10_000;

export interface BidsByTheClock {
  readonly bidder: number;
  readonly bids: number;
  /** The end of the ten seconds. */
  readonly end: number;
}

const NO_BIDS = { bids: 0, end: 0 };

export function q12(events: Stream<NexmarkEvent>): Stream<BidsByTheClock> {
  return events
    .filter("bids", isBid)
    .map("bidders", ({ bidder }) => bidder)
    .keyBy((bidder) => bidder)
    .process("bids-by-the-clock", {
      state: { window: valueState(NO_BIDS) },
      output: type<BidsByTheClock>(),
      // The last ten seconds are not over when the input ends.
      endOfInput: "fire",
      onRecord(bidder, { state, timers, currentProcessingTime, emit }) {
        const end = (Math.floor(currentProcessingTime / WINDOW_MS) + 1) * WINDOW_MS;
        const { bids, end: endBefore } = state.window.get();
        if (endBefore === end) {
          state.window.set({ bids: bids + 1, end });
          return;
        }
        // A timer may fire behind records that come at its time.
        if (bids > 0) emit({ bidder, bids, end: endBefore });
        state.window.set({ bids: 1, end });
        timers.registerProcessingTimer(end);
      },
      onTimer({ time }, { key, state, emit }) {
        const { bids, end } = state.window.get();
        if (end !== time) return;
        emit({ bidder: key, bids, end });
        state.window.clear();
      },
    });
}
