/** The answers to the queries that look at one event at a time: 0 to 2. */
import type { NexmarkEvent } from "../../../src/examples/nexmark/events.ts";
import { bidsIn } from "./events-in.ts";

export function* bidsAsTheyAre(events: Iterable<NexmarkEvent>) {
  for (const { auction, bidder, price, dateTime, extra } of bidsIn(events)) {
    yield { auction, bidder, price, dateTime, extra };
  }
}

export function* bidsInEuros(events: Iterable<NexmarkEvent>) {
  for (const { auction, bidder, price, dateTime, extra } of bidsIn(events)) {
    yield { auction, bidder, price: price * 908, dateTime, extra };
  }
}

export function* bidsOfSomeAuctions(events: Iterable<NexmarkEvent>) {
  for (const { auction, price } of bidsIn(events)) if (auction % 123 === 0) yield { auction, price };
}
