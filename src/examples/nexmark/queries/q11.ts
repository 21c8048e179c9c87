/** Q11, user sessions: how many bids does a bidder make without a pause of ten seconds? */
import { type Stream, sessionWindows } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

export interface Session {
  readonly bidder: number;
  readonly bids: number;
  readonly start: number;
  /** Ten seconds behind the last bid. */
  readonly end: number;
}

export function q11(events: Stream<NexmarkEvent>): Stream<Session> {
  return events
    .filter("bids", isBid)
    .map("bidders", ({ bidder }) => bidder)
    .keyBy((bidder) => bidder)
    .window(sessionWindows({ gap: "10 s" }))
    .aggregate(
      "sessions",
      {
        createAccumulator: () => 0,
        add: (bids) => bids + 1,
        merge: (bids, later) => bids + later,
        getResult: (bids) => bids,
      },
      (bids, { key, window }): Session => ({ bidder: key, bids, start: window.start, end: window.end }),
    );
}
