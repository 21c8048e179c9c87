/**
 * Q7, highest bids: the bids with the highest price of each ten seconds. The definition lets a window hold its end,
 * too: a bid at that moment also counts if it equals the highest price of the window before.
 *
 * The bids of a window are spread over keys, so that all subtasks look for the highest ones; then their finds are
 * compared.
 */
import { type Stream, tumblingWindows, type, valueState } from "tidemark";
import { type Bid, isBid, type NexmarkEvent } from "../events.ts";

const WINDOW_MS = 10_000;
const SPREAD = 64;

type Offer = Pick<Bid, "auction" | "price" | "bidder" | "dateTime" | "extra">;

interface Highest {
  readonly price: number;
  readonly offers: readonly Offer[];
  /** Those at the first moment of the window, which is the last one of the window before. */
  readonly atStart: readonly Offer[];
}

interface HighestOfWindow extends Highest {
  readonly start: number;
}

const NONE: Highest = { price: 0, offers: [], atStart: [] };

export function q7(events: Stream<NexmarkEvent>): Stream<Offer> {
  return events
    .filter("bids", isBid)
    .map(
      "offers",
      ({ auction, price, bidder, dateTime, extra }): Offer => ({ auction, price, bidder, dateTime, extra }),
    )
    .keyBy(({ dateTime }) => dateTime % SPREAD)
    .window(tumblingWindows({ size: WINDOW_MS }))
    .aggregate("highest-of-some", {
      createAccumulator: () => NONE,
      add: withOffer,
      getResult: (highest) => highest,
    })
    .keyBy(() => "all")
    .window(tumblingWindows({ size: WINDOW_MS }))
    .reduce(
      "highest-of-all",
      higher,
      (highest, { window }): HighestOfWindow => ({ ...highest, start: window.start }),
    )
    .keyBy(() => "all")
    .process("highest-bids", {
      state: { before: valueState({ start: 0, price: 0 }) },
      output: type<Offer>(),
      onRecord({ start, price, offers, atStart }, { state, emit }) {
        const before = state.before.get();
        if (before.start + WINDOW_MS === start) {
          for (const offer of atStart) if (offer.price === before.price) emit(offer);
        }
        for (const offer of offers) emit(offer);
        state.before.set({ start, price });
      },
    });
}

function withOffer(highest: Highest, offer: Offer): Highest {
  const isAtStart = offer.dateTime % WINDOW_MS === 0;
  if (offer.price < highest.price && !isAtStart) return highest;
  return higher(highest, { price: offer.price, offers: [offer], atStart: isAtStart ? [offer] : [] });
}

function higher(a: Highest, b: Highest): Highest {
  const atStart = a.atStart.concat(b.atStart);
  if (a.price === b.price) return { price: a.price, offers: a.offers.concat(b.offers), atStart };
  const { price, offers } = a.price > b.price ? a : b;
  return { price, offers, atStart };
}
