/** The events of Nexmark: an auction house with people, auctions and bids. Times in ms, prices in cents. */

export interface Person {
  readonly kind: "person";
  readonly id: number;
  readonly name: string;
  readonly emailAddress: string;
  readonly creditCard: string;
  readonly city: string;
  readonly state: string;
  readonly dateTime: number;
  readonly extra: string;
}

export interface Auction {
  readonly kind: "auction";
  readonly id: number;
  readonly itemName: string;
  readonly description: string;
  readonly initialBid: number;
  readonly reserve: number;
  readonly dateTime: number;
  /** The last moment at which a bid counts. */
  readonly expires: number;
  /** The id of a person. */
  readonly seller: number;
  readonly category: number;
  readonly extra: string;
}

export interface Bid {
  readonly kind: "bid";
  /** The id of an auction, which may not have begun yet. */
  readonly auction: number;
  /** The id of a person. */
  readonly bidder: number;
  readonly price: number;
  readonly channel: string;
  readonly url: string;
  readonly dateTime: number;
  readonly extra: string;
}

export type NexmarkEvent = Person | Auction | Bid;

export function isPerson(event: NexmarkEvent): event is Person {
  return event.kind === "person";
}

export function isAuction(event: NexmarkEvent): event is Auction {
  return event.kind === "auction";
}

export function isBid(event: NexmarkEvent): event is Bid {
  return event.kind === "bid";
}
