/** Q1, currency: the bids with prices in euros. */
import type { Stream } from "tidemark";
import { isBid, type NexmarkEvent } from "../events.ts";

/** What a thousand dollars are worth. Whole numbers, so that prices stay exact. */
const EUROS = 908;

export function q1(events: Stream<NexmarkEvent>) {
  return events.filter("bids", isBid).map("euros", ({ auction, bidder, price, dateTime, extra }) => ({
    auction,
    bidder,
    /** In thousandths of a cent. */
    price: price * EUROS,
    dateTime,
    extra,
  }));
}
