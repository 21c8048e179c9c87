/** The generator beside the definition of Nexmark. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Auction, Bid, NexmarkEvent, Person } from "../../src/examples/nexmark/events.ts";
import { eventsOf, writeEvents } from "./events.ts";

const COUNT = 50_000;
const all = [...eventsOf({ seed: 42, count: COUNT })];
const people = all.filter((event): event is Person => event.kind === "person");
const auctions = all.filter((event): event is Auction => event.kind === "auction");
const bids = all.filter((event): event is Bid => event.kind === "bid");

const shareOf = <T>(list: readonly T[], is: (one: T) => boolean) => list.filter(is).length / list.length;
const averageOf = <T>(list: readonly T[], size: (one: T) => number) =>
  list.reduce((sum, one) => sum + size(one), 0) / list.length;
const idsOf = (list: readonly { readonly id: number }[]) => list.map(({ id }) => id);
const idsUpTo = (count: number) => Array.from({ length: count }, (_, i) => 1000 + i);
/** What the texts and numbers of 8 bytes come to. */
const bytesOf = (event: NexmarkEvent, without: readonly string[]) =>
  Object.entries(event)
    .filter(([name]) => name !== "kind" && !without.includes(name))
    .reduce((sum, [, value]) => sum + (typeof value === "string" ? value.length : 8), 0);

test("of 50 events one is a person, three are auctions and the others bids", () => {
  const kinds = ["person", "auction", "auction", "auction", ...new Array<string>(46).fill("bid")];
  expect(all.slice(100, 150).map(({ kind }) => kind)).toEqual(kinds);
  expect(idsOf(people)).toEqual(idsUpTo(COUNT / 50));
  expect(idsOf(auctions)).toEqual(idsUpTo((3 * COUNT) / 50));
});

test("ten thousand events take a second of event time", () => {
  expect(all[COUNT - 1]!.dateTime - all[0]!.dateTime).toBe(4999);
  expect(all.every(({ dateTime }, i) => i === 0 || dateTime >= all[i - 1]!.dateTime)).toBe(true);
});

test("some auctions, bidders and sellers are hot", () => {
  // The rest hits a hot one by chance at times.
  expect(shareOf(bids, ({ auction }) => (auction - 1000) % 100 === 0)).toBeCloseTo(1 / 2, 1);
  expect(shareOf(bids, ({ bidder }) => (bidder - 1000) % 100 === 1)).toBeCloseTo(3 / 4, 1);
  expect(shareOf(auctions, ({ seller }) => (seller - 1000) % 100 === 0)).toBeCloseTo(3 / 4, 1);
});

test("bids go to auctions near by, which end after they have begun", () => {
  const newest = (bid: Bid) => Math.floor((all.indexOf(bid) / 50) * 3) + 1000;
  for (const bid of bids.filter((_, i) => i % 997 === 0)) {
    expect(bid.auction).toBeGreaterThanOrEqual(newest(bid) - 105);
    expect(bid.auction).toBeLessThanOrEqual(newest(bid) + 15);
  }
  for (const { dateTime, expires, initialBid, reserve } of auctions) {
    expect(expires).toBeGreaterThan(dateTime);
    expect(expires).toBeLessThanOrEqual(dateTime + 2 * 167);
    expect(reserve).toBeGreaterThan(initialBid);
  }
});

test("prices are spread over six powers of ten", () => {
  expect(bids.every(({ price }) => Number.isInteger(price) && price >= 100 && price <= 100_000_000)).toBe(
    true,
  );
  expect(shareOf(bids, ({ price }) => price < 100_000)).toBeCloseTo(1 / 2, 1);
});

test("events have about the sizes of the definition", () => {
  expect(averageOf(people, (person) => bytesOf(person, [])) / 200).toBeCloseTo(1, 1);
  expect(averageOf(auctions, (auction) => bytesOf(auction, [])) / 500).toBeCloseTo(1, 1);
  expect(averageOf(bids, (bid) => bytesOf(bid, ["channel", "url"])) / 100).toBeCloseTo(1, 1);
});

test("an event is a function of seed and number; out of order the same ones come", () => {
  expect([...eventsOf({ seed: 42, count: 1000 })]).toEqual(all.slice(0, 1000));
  expect([...eventsOf({ seed: 43, count: 1000 })]).not.toEqual(all.slice(0, 1000));
  const mixed = [...eventsOf({ seed: 42, count: 1000, outOfOrderGroup: 100 })];
  const order = (events: readonly NexmarkEvent[]) =>
    events.map(({ kind, dateTime }) => `${dateTime} ${kind}`);
  expect(order(mixed)).not.toEqual(order(all.slice(0, 1000)));
  expect(order(mixed).sort()).toEqual(order(all.slice(0, 1000)).sort());
});

test("a file of events has one on each line", async () => {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-nexmark-"));
  try {
    const path = join(directory, "events.jsonl");
    await writeEvents(path, { seed: 42, count: 2500 });
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(all.slice(0, 2500));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
