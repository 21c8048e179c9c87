/** Q2, selection: the prices of a few auctions. */
import type { Stream } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

export function q2(events: Stream<NexmarkEvent>) {
  return events
    .filter("bids", isBid)
    .filter("some-auctions", ({ auction }) => auction % 123 === 0)
    .map("prices", ({ auction, price }) => ({ auction, price }));
}
