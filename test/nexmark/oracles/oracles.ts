/**
 * The answers to the queries, recomputed by straight loops over all events, with no code of the engine's or of the
 * queries'. An event's place in the input does not matter to any of them.
 */
import type { Auction, Bid, NexmarkEvent, Person } from "../../../src/examples/nexmark/events.ts";
import type { QueryName } from "../../../src/examples/nexmark/queries/index.ts";
import { type Collected, type Digest, everyRow, lastRowOf } from "./digest.ts";

interface Oracle {
  /** What of a query's results is compared. */
  readonly collected: () => Collected;
  readonly rows: (events: Iterable<NexmarkEvent>) => Iterable<object>;
}

export const ORACLES: Readonly<Record<QueryName, Oracle>> = {
  q0: { collected: everyRow, rows: bidsAsTheyAre },
  q1: { collected: everyRow, rows: bidsInEuros },
  q2: { collected: everyRow, rows: bidsOfSomeAuctions },
  q3: { collected: everyRow, rows: localItems },
  q4: { collected: () => lastRowOf<{ category: number }>(({ category }) => category), rows: averagePrices },
};

/** The digest of the right answer. */
export function answerOf(query: QueryName, events: Iterable<NexmarkEvent>): Digest {
  const { collected, rows } = ORACLES[query];
  const answer = collected();
  for (const row of rows(events)) answer.add(row);
  return answer.digest();
}

function* bidsIn(events: Iterable<NexmarkEvent>): Iterable<Bid> {
  for (const event of events) if (event.kind === "bid") yield event;
}

function* bidsAsTheyAre(events: Iterable<NexmarkEvent>) {
  for (const { auction, bidder, price, dateTime, extra } of bidsIn(events)) {
    yield { auction, bidder, price, dateTime, extra };
  }
}

function* bidsInEuros(events: Iterable<NexmarkEvent>) {
  for (const { auction, bidder, price, dateTime, extra } of bidsIn(events)) {
    yield { auction, bidder, price: price * 908, dateTime, extra };
  }
}

function* bidsOfSomeAuctions(events: Iterable<NexmarkEvent>) {
  for (const { auction, price } of bidsIn(events)) if (auction % 123 === 0) yield { auction, price };
}

function* localItems(events: Iterable<NexmarkEvent>) {
  const people = new Map<number, Person>();
  const auctions: Auction[] = [];
  for (const event of events) {
    if (event.kind === "person") people.set(event.id, event);
    if (event.kind === "auction" && event.category === 10) auctions.push(event);
  }
  for (const { id, seller } of auctions) {
    const person = people.get(seller);
    if (person === undefined || !["OR", "ID", "CA"].includes(person.state)) continue;
    yield { name: person.name, city: person.city, state: person.state, auction: id };
  }
}

function* averagePrices(events: Iterable<NexmarkEvent>) {
  const all = [...events];
  const auctions = new Map<number, Auction>();
  for (const event of all) if (event.kind === "auction") auctions.set(event.id, event);
  const highest = new Map<Auction, number>();
  for (const { auction: id, price, dateTime } of bidsIn(all)) {
    const auction = auctions.get(id);
    if (auction === undefined || dateTime < auction.dateTime || dateTime > auction.expires) continue;
    highest.set(auction, Math.max(price, highest.get(auction) ?? 0));
  }
  const prices = new Map<number, number[]>();
  for (const [{ category }, price] of highest) entryOf(prices, category, () => []).push(price);
  for (const [category, sold] of prices) {
    yield { category, average: sold.reduce((sum, price) => sum + price, 0) / sold.length };
  }
}

function entryOf<K, V>(map: Map<K, V>, key: K, absent: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = absent();
    map.set(key, value);
  }
  return value;
}
