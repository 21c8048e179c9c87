/** The answers to the queries that join streams without windows: 3 and 4. */
import type { Auction, NexmarkEvent, Person } from "../../../src/examples/nexmark/events.ts";
import { bidsIn, entryOf } from "./events-in.ts";

export function* localItems(events: Iterable<NexmarkEvent>) {
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

export function* averagePrices(events: Iterable<NexmarkEvent>) {
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
