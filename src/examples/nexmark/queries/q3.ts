/**
 * Q3, local items: who sells in category 10, and lives in Oregon, Idaho or California? A join of two streams that ends
 * never: a seller is kept for ever, and an auction whose seller has not been seen yet.
 */
import { type Stream, type, valueState } from "tidemark";
import { isAuction, isPerson, type NexmarkEvent } from "../events.ts";

const STATES: ReadonlySet<string> = new Set(["OR", "ID", "CA"]);
const CATEGORY = 10;

interface Seller {
  readonly side: "seller";
  readonly id: number;
  readonly name: string;
  readonly city: string;
  readonly state: string;
}

interface Item {
  readonly side: "item";
  readonly seller: number;
  readonly auction: number;
}

export interface LocalItem {
  readonly name: string;
  readonly city: string;
  readonly state: string;
  readonly auction: number;
}

export function q3(events: Stream<NexmarkEvent>): Stream<LocalItem> {
  const sellers = events
    .filter("people", isPerson)
    .filter("people-nearby", ({ state }) => STATES.has(state))
    .map("sellers", ({ id, name, city, state }): Seller => ({ side: "seller", id, name, city, state }));
  const items = events
    .filter("auctions", isAuction)
    .filter("auctions-of-category", ({ category }) => category === CATEGORY)
    .map("items", ({ seller, id }): Item => ({ side: "item", seller, auction: id }));
  return sellers
    .union(items)
    .keyBy((one) => (one.side === "seller" ? one.id : one.seller))
    .process("join", {
      state: {
        seller: valueState<Seller | undefined>(undefined),
        /** The auctions that have come before their seller. */
        waiting: valueState<readonly number[]>([]),
      },
      output: type<LocalItem>(),
      onRecord(one, { state, emit }) {
        if (one.side === "seller") {
          state.seller.set(one);
          for (const auction of state.waiting.get()) emit(localItem(one, auction));
          state.waiting.clear();
          return;
        }
        const seller = state.seller.get();
        if (seller === undefined) state.waiting.set([...state.waiting.get(), one.auction]);
        else emit(localItem(seller, one.auction));
      },
    });
}

function localItem({ name, city, state }: Seller, auction: number): LocalItem {
  return { name, city, state, auction };
}
