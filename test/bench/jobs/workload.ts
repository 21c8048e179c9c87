/**
 * Workload W1 (after Nexmark and ShuffleBench): Nexmark-like bids of about 238 bytes of JSON, a count and a sum per
 * bidder.
 *
 * The first `keys` bids visit every bidder once, so that state is complete before anything is measured; after that
 * bidders are drawn uniformly. A bidder's every tenth hit is emitted, the first one at a different count for each last
 * digit: a tenth of the records is emitted from the beginning on, not only once every bidder has ten.
 */
import type { NatsConnection } from "@nats-io/transport-node";

export interface Bid<K extends Bidder = string> {
  readonly auction: number;
  readonly bidder: K;
  readonly price: number;
  readonly channel: string;
  readonly url: string;
  readonly dateTime: number;
  readonly extra: string;
}

/** The key: a name, or its number. */
export type Bidder = string | number;

/** What the job needs of a bid. */
export type Used = Pick<Bid<Bidder>, "bidder" | "price">;

export interface Total {
  readonly count: number;
  readonly sum: number;
}

export const NO_TOTAL: Total = { count: 0, sum: 0 };

const CHANNELS = ["Google", "Facebook", "Baidu", "Apple"];
const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const CODE_OF_ZERO = 48;

export type Random = () => number;

/** mulberry32: small, and the same numbers everywhere. */
export function seeded(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const NAME_PREFIX = "bidder-";

/** The name of the bidder of that number. */
export function nameOf(bidder: number): string {
  return `${NAME_PREFIX}${String(bidder).padStart(7, "0")}`;
}

function bidderAt(index: number, keys: number, random: Random): string {
  return nameOf(index < keys ? index : Math.floor(random() * keys));
}

function bidAt(index: number, keys: number, random: Random): Bid {
  return {
    auction: 1000 + Math.floor(random() * 10_000),
    bidder: bidderAt(index, keys, random),
    price: Math.round(100 * 10 ** (6 * random())),
    channel: CHANNELS[Math.floor(random() * CHANNELS.length)]!,
    url: `https://www.nexmark.com/${letters(5, random)}/item.htm?query=1&channel_id=${Math.floor(random() * 1e6)}`,
    dateTime: 1_780_000_000_000 + index,
    extra: letters(40, random),
  };
}

/** Bids made beforehand, in memory: every bidder once, then the same draws of `keys` bidders again and again. */
export function bidPool(keys: number): (index: number) => Bid {
  return pool(keys, (bid) => bid);
}

/** The same bids, whose bidders are integers from 0 on. */
export function numberedBidPool(keys: number): (index: number) => Bid<number> {
  return pool(keys, (bid) => ({ ...bid, bidder: numberOf(bid) }));
}

/** The same bids, bidder and price only. */
export function numberedPairPool(keys: number): (index: number) => Pick<Bid<number>, "bidder" | "price"> {
  return pool(keys, (bid) => ({ bidder: numberOf(bid), price: bid.price }));
}

function pool<T>(keys: number, form: (bid: Bid) => T): (index: number) => T {
  const random = seeded(42);
  // The records are as a source has decoded them: strings in one piece, not the ropes that concatenation leaves.
  const decoded = (record: T): T => JSON.parse(JSON.stringify(record)) as T;
  const records = Array.from({ length: 2 * keys }, (_, index) => decoded(form(bidAt(index, keys, random))));
  return (index) => records[index < keys ? index : keys + (index % keys)]!;
}

function numberOf(bid: Bid): number {
  return Number(bid.bidder.slice(NAME_PREFIX.length));
}

function letters(length: number, random: Random): string {
  let text = "";
  for (let i = 0; i < length; i++) text += LETTERS[Math.floor(random() * 26)]!;
  return text;
}

/** The next total of a bidder. */
export function add(before: Total, bid: { readonly price: number }): Total {
  return { count: before.count + 1, sum: before.sum + bid.price };
}

/** Is this hit of the bidder a tenth one? */
export function isTenth(bidder: Bidder, count: number): boolean {
  const digit = typeof bidder === "number" ? bidder : bidder.charCodeAt(bidder.length - 1) - CODE_OF_ZERO;
  return (count + digit) % 10 === 0;
}

const PUBLISHED_PER_FLUSH = 4096;

/** Publishes `records` bids to `subject`, `perMessage` of them in one message (an array if more than one). */
export async function fillStream(
  connection: NatsConnection,
  subject: string,
  at: { readonly records: number; readonly keys: number; readonly perMessage: number },
): Promise<void> {
  const random = seeded(42);
  let sent = 0;
  for (let index = 0; index < at.records; index += at.perMessage) {
    const bids: Bid[] = [];
    for (let i = 0; i < at.perMessage; i++) bids.push(bidAt(index + i, at.keys, random));
    connection.publish(subject, JSON.stringify(at.perMessage === 1 ? bids[0] : bids));
    // Never more unsent than this, and the server's stream keeps up.
    if (++sent % PUBLISHED_PER_FLUSH === 0) await connection.flush();
  }
  await connection.flush();
}
