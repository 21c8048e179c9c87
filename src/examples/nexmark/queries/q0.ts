/** Q0, pass through: the bids as they are. What reading, checkpoints and a sink cost without a query. */
import type { Stream } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

export function q0(events: Stream<NexmarkEvent>) {
  return events.filter("bids", isBid).map("fields", ({ auction, bidder, price, dateTime, extra }) => ({
    auction,
    bidder,
    price,
    dateTime,
    extra,
  }));
}
