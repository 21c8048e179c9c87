/**
 * The generator of Nexmark: event number n is a function of the seed and n alone.
 *
 * The first of 50 events is a person, the next three are auctions, the others are bids. Half of the bids go to one hot
 * auction, three quarters come from one hot bidder, three quarters of the auctions are one seller's. The rules are
 * those of nexmark/nexmark (NexmarkGenerator, PersonGenerator, AuctionGenerator, BidGenerator); of its two readings of
 * the ids of bidders this is Apache Beam's, which adds the first id once. Shortcuts: see texts.ts; prices are whole
 * cents, and random numbers have 32 bits.
 */
import type { Random } from "../../connectors/seeded-random.ts";
import type { Auction, Bid, NexmarkEvent, Person } from "./events.ts";
import {
  below,
  CHANNELS,
  CITIES,
  creditCard,
  HOT_CHANNELS,
  NAMES,
  oneOf,
  padding,
  STATES,
  shortText,
  textOf,
} from "./texts.ts";

export interface NexmarkOptions {
  /** Events in a second of event time. Default 10,000. */
  readonly eventsPerSecond?: number;
  /**
   * Events come out of order within groups of so many; not a multiple of 953. Default 1: in the order of their times.
   */
  readonly outOfOrderGroup?: number;
}

const CYCLE = 50;
const AUCTIONS_PER_CYCLE = 3;
const FIRST_BID_OF_CYCLE = 1 + AUCTIONS_PER_CYCLE;
const FIRST_ID = 1000;

const FIRST_CATEGORY = 10;
const CATEGORIES = 5;
const ACTIVE_PEOPLE = 1000;
/** How far ahead of the newest ones an id may be. */
const PEOPLE_AHEAD = 10;
const AUCTIONS_AHEAD = 10;
const AUCTIONS_IN_FLIGHT = 100;
/** Every so many ids there is a hot one. */
const HOT_EVERY = 100;

const PERSON_BYTES = 200;
const AUCTION_BYTES = 500;
const BID_BYTES = 100;
const NUMBER_BYTES = 8;

/** 2015-07-15T00:00:00Z. */
const BEGINNING_MS = 1_436_918_400_000;
const PRIME = 953;

/** The function that `generatorSource` takes. */
export function nexmarkEvents(options: NexmarkOptions = {}): (index: number, random: Random) => NexmarkEvent {
  const { eventsPerSecond = 10_000, outOfOrderGroup = 1 } = options;
  const msPerEvent = 1000 / eventsPerSecond;
  // So long do as many events take as come while the auctions in flight are opened.
  const flightEvents = Math.floor((AUCTIONS_IN_FLIGHT * CYCLE) / AUCTIONS_PER_CYCLE);
  const timeOf = (event: number) => BEGINNING_MS + Math.floor(event * msPerEvent);
  return (index, random) => {
    const event =
      outOfOrderGroup === 1 ? index : index - (index % outOfOrderGroup) + ((index * PRIME) % outOfOrderGroup);
    const time = timeOf(event);
    const place = event % CYCLE;
    if (place >= FIRST_BID_OF_CYCLE) return bidAt(event, time, random);
    if (place === 0) return personAt(event, time, random);
    return auctionAt(event, time, timeOf(event + flightEvents) - time, random);
  };
}

/** The newest person at this event, counted from 0. */
function newestPerson(event: number): number {
  return Math.floor(event / CYCLE);
}

/** The newest auction at this event, counted from 0; -1: there is none yet. */
function newestAuction(event: number): number {
  const cycle = Math.floor(event / CYCLE);
  const place = event - cycle * CYCLE;
  if (place === 0) return cycle * AUCTIONS_PER_CYCLE - 1;
  return cycle * AUCTIONS_PER_CYCLE + Math.min(place, AUCTIONS_PER_CYCLE) - 1;
}

function personAt(event: number, dateTime: number, random: Random): Person {
  const name = oneOf(NAMES, random);
  const emailAddress = `${textOf(7, random)}@${textOf(5, random)}.com`;
  const card = creditCard(random);
  const city = oneOf(CITIES, random);
  const state = oneOf(STATES, random);
  const size =
    NUMBER_BYTES +
    name.length +
    emailAddress.length +
    card.length +
    city.length +
    state.length +
    NUMBER_BYTES;
  return {
    kind: "person",
    id: FIRST_ID + newestPerson(event),
    name,
    emailAddress,
    creditCard: card,
    city,
    state,
    dateTime,
    extra: padding(size, PERSON_BYTES, random),
  };
}

/** @param flightMs how long it takes until as many auctions have opened as are open at a time */
function auctionAt(event: number, dateTime: number, flightMs: number, random: Random): Auction {
  const initialBid = priceOf(random);
  const itemName = shortText(20, random);
  const description = shortText(100, random);
  const isHot = random() < 3 / 4;
  return {
    kind: "auction",
    id: FIRST_ID + newestAuction(event),
    itemName,
    description,
    initialBid,
    reserve: initialBid + priceOf(random),
    dateTime,
    expires: dateTime + 1 + below(Math.max(1, 2 * flightMs), random),
    seller: FIRST_ID + (isHot ? hot(newestPerson(event)) : activePerson(event, random)),
    category: FIRST_CATEGORY + below(CATEGORIES, random),
    extra: padding(itemName.length + description.length + 7 * NUMBER_BYTES, AUCTION_BYTES, random),
  };
}

function bidAt(event: number, dateTime: number, random: Random): Bid {
  const auction = random() < 1 / 2 ? hot(newestAuction(event)) : activeAuction(event, random);
  const bidder = random() < 3 / 4 ? hot(newestPerson(event)) + 1 : activePerson(event, random);
  const price = priceOf(random);
  const channels = random() < 1 / 2 ? HOT_CHANNELS : CHANNELS;
  const { channel, url } = channels[below(channels.length, random)]!;
  return {
    kind: "bid",
    auction: FIRST_ID + auction,
    bidder: FIRST_ID + bidder,
    price,
    channel,
    url,
    dateTime,
    extra: padding(4 * NUMBER_BYTES, BID_BYTES, random),
  };
}

function hot(newest: number): number {
  return newest - (newest % HOT_EVERY);
}

function activePerson(event: number, random: Random): number {
  const people = newestPerson(event) + 1;
  const active = Math.min(people, ACTIVE_PEOPLE);
  return people - active + below(active + PEOPLE_AHEAD, random);
}

function activeAuction(event: number, random: Random): number {
  const newest = newestAuction(event);
  const oldest = Math.max(newest - AUCTIONS_IN_FLIGHT, 0);
  return oldest + below(newest - oldest + 1 + AUCTIONS_AHEAD, random);
}

/** From 1 to 1,000,000, in cents: as many between 1 and 10 as between 10 and 100. */
function priceOf(random: Random): number {
  return Math.round(100 * 10 ** (6 * random()));
}
