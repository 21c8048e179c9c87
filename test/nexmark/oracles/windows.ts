/** The answers to the queries over windows of time: 5, 7, 8, 11 and 12. Times in ms. */
import type { Bid, NexmarkEvent } from "../../../src/examples/nexmark/events.ts";
import { bidsIn, entryOf } from "./events-in.ts";

const WINDOW = 10_000;
const SLIDE = 2000;
const GAP = 10_000;

/** The auctions with the most bids in each ten seconds, every two seconds. */
export function* hotAuctions(events: Iterable<NexmarkEvent>) {
  const counts = new Map<number, Map<number, number>>();
  for (const { auction, dateTime } of bidsIn(events)) {
    for (let start = floorTo(SLIDE, dateTime); start > dateTime - WINDOW; start -= SLIDE) {
      const ofWindow = entryOf(counts, start, () => new Map());
      ofWindow.set(auction, (ofWindow.get(auction) ?? 0) + 1);
    }
  }
  for (const [start, ofWindow] of counts) {
    const most = largest(ofWindow.values());
    for (const [auction, bids] of ofWindow) if (bids === most) yield { auction, bids, end: start + WINDOW };
  }
}

/** The highest bids of each ten seconds. A window holds its end here: a bid at that moment may win in two. */
export function* highestBids(events: Iterable<NexmarkEvent>) {
  const windows = new Map<number, Bid[]>();
  for (const bid of bidsIn(events)) entryOf(windows, floorTo(WINDOW, bid.dateTime), () => []).push(bid);
  for (const [start, bids] of windows) {
    const highest = largest(bids.map(({ price }) => price));
    const atEnd = (windows.get(start + WINDOW) ?? []).filter(({ dateTime }) => dateTime === start + WINDOW);
    for (const { auction, price, bidder, dateTime, extra } of [...bids, ...atEnd]) {
      if (price === highest) yield { auction, price, bidder, dateTime, extra };
    }
  }
}

/** Who has come and opened an auction within the same ten seconds. */
export function* newSellers(events: Iterable<NexmarkEvent>) {
  const people = new Map<number, { readonly id: number; readonly name: string; readonly start: number }>();
  const sellers = new Map<number, Set<number>>();
  for (const event of events) {
    const start = floorTo(WINDOW, event.dateTime);
    if (event.kind === "person") people.set(event.id, { id: event.id, name: event.name, start });
    if (event.kind === "auction") entryOf(sellers, start, () => new Set()).add(event.seller);
  }
  for (const person of people.values()) if (sellers.get(person.start)?.has(person.id)) yield person;
}

/** The sessions of the bidders: their bids without a pause of ten seconds. */
export function* sessions(events: Iterable<NexmarkEvent>) {
  const times = new Map<number, number[]>();
  for (const { bidder, dateTime } of bidsIn(events)) entryOf(times, bidder, () => []).push(dateTime);
  for (const [bidder, all] of times) {
    all.sort((a, b) => a - b);
    let [start, last, bids] = [all[0]!, all[0]!, 0];
    for (const time of all) {
      if (time > last + GAP) {
        yield { bidder, bids, start, end: last + GAP };
        [start, bids] = [time, 0];
      }
      last = time;
      bids++;
    }
    yield { bidder, bids, start, end: last + GAP };
  }
}

/** When events are read decides on their windows, so only the sum of all counts is known. */
export function* allBids(events: Iterable<NexmarkEvent>) {
  for (const _ of bidsIn(events)) yield { bids: 1 };
}

function floorTo(step: number, time: number): number {
  return Math.floor(time / step) * step;
}

function largest(values: Iterable<number>): number {
  let found = Number.NEGATIVE_INFINITY;
  for (const value of values) if (value > found) found = value;
  return found;
}
