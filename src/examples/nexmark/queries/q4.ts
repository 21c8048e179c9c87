/**
 * Q4: what do auctions of a category sell for on average? An auction sells for its highest bid between its beginning
 * and its end. Both steps emit a new value whenever theirs has changed; the last average of a category holds.
 */
import { type Stream, type, valueState } from "tidemark";
import { isAuction, isBid, type NexmarkEvent } from "../events.ts";

interface Opening {
  readonly kind: "opening";
  readonly auction: number;
  readonly category: number;
  readonly begin: number;
  readonly end: number;
}

interface Offer {
  readonly kind: "offer";
  readonly auction: number;
  readonly price: number;
  readonly time: number;
}

/** How an auction moves the sum of its category. */
interface Change {
  readonly category: number;
  readonly price: number;
  readonly auctions: 0 | 1;
}

export interface CategoryAverage {
  readonly category: number;
  /** In cents. */
  readonly average: number;
}

export function q4(events: Stream<NexmarkEvent>): Stream<CategoryAverage> {
  const openings = events
    .filter("auctions", isAuction)
    .map("openings", ({ id, category, dateTime, expires }): Opening => {
      return { kind: "opening", auction: id, category, begin: dateTime, end: expires };
    });
  const offers = events
    .filter("bids", isBid)
    .map(
      "offers",
      ({ auction, price, dateTime }): Offer => ({ kind: "offer", auction, price, time: dateTime }),
    );
  return openings
    .union(offers)
    .keyBy(({ auction }) => auction)
    .process("closing-prices", {
      state: {
        opening: valueState<Opening | undefined>(undefined),
        highest: valueState(0),
        /** The bids that have come before their auction. */
        waiting: valueState<readonly Offer[]>([]),
      },
      output: type<Change>(),
      onRecord(one, { state, emit }) {
        const opening = one.kind === "opening" ? one : state.opening.get();
        if (opening === undefined) {
          state.waiting.set([...state.waiting.get(), one as Offer]);
          return;
        }
        const before = state.highest.get();
        let highest = before;
        if (one.kind === "offer") {
          highest = higher(highest, one, opening);
        } else {
          state.opening.set(opening);
          for (const offer of state.waiting.get()) highest = higher(highest, offer, opening);
          state.waiting.clear();
        }
        if (highest === before) return;
        state.highest.set(highest);
        emit({ category: opening.category, price: highest - before, auctions: before === 0 ? 1 : 0 });
      },
    })
    .keyBy(({ category }) => category)
    .process("averages", {
      state: { total: valueState({ price: 0, auctions: 0 }) },
      onRecord({ category, price, auctions }, { state }): CategoryAverage {
        const before = state.total.get();
        const total = { price: before.price + price, auctions: before.auctions + auctions };
        state.total.set(total);
        return { category, average: total.price / total.auctions };
      },
    });
}

function higher(highest: number, { price, time }: Offer, { begin, end }: Opening): number {
  return time >= begin && time <= end && price > highest ? price : highest;
}
