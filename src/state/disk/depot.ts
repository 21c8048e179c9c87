/**
 * What all tables of one disk backend share: its store, with the memory for what is written, and its part of the cache.
 *
 * Owns: the numbers of what lies there, writing rows, and removing what dropped shelves have left in the store. Does
 * not own: which rows leave memory (row-cache.ts).
 */
import { ABSENT } from "../contract.ts";
import type { DepotPlace } from "./depot-place.ts";
import { StoredNames } from "./names/stored-names.ts";
import { OrderRows } from "./order/order-rows.ts";
import { PagedOrder } from "./order/paged-order.ts";
import type { Row } from "./row.ts";
import type { CachedTable, RowCache } from "./row-cache.ts";
import { ORDER_END } from "./row-order.ts";
import { Shelf } from "./shelf.ts";
import { RowKeyWriter } from "./store/row-key.ts";
import type { RowStore } from "./store/row-store.ts";
import { lookClosely, RowValueWriter } from "./store/row-value.ts";

/** Rows of dropped shelves that are removed each time that others are written. */
const REMOVED_AT_A_TIME = 64;

type ShelfPlace = Omit<ConstructorParameters<typeof Shelf>[0], "number">;

export class Depot {
  readonly cache: RowCache;
  readonly place: DepotPlace;
  private readonly store: RowStore;
  private readonly keys = new RowKeyWriter();
  private readonly values = new RowValueWriter();
  private readonly shelves = new Set<Shelf>();
  /** What lies in the store beside rows, and has its part of the cache. */
  private readonly others: { close(): void }[] = [];
  private nextNumber = 0;
  /** The numbers of which the store has rows that are needed no more: dropped shelves, what cursors kept. */
  private readonly dropped: number[] = [];

  constructor(store: RowStore, cache: RowCache) {
    this.store = store;
    this.cache = cache;
    this.place = {
      store,
      cache,
      keys: this.keys,
      values: this.values,
      openNumber: () => this.nextNumber++,
      discardNumber: (number) => this.dropped.push(number),
    };
  }

  open(table: CachedTable, place: ShelfPlace): Shelf {
    const shelf = new Shelf({ ...place, number: this.nextNumber++ }, this.store, this.keys);
    this.shelves.add(shelf);
    this.cache.join(table, shelf);
    return shelf;
  }

  openOrder(): PagedOrder {
    const order = new PagedOrder(new OrderRows(this.store, this.keys, this.nextNumber++), this.cache);
    this.others.push(order);
    return order;
  }

  openNames(): StoredNames {
    const names = new StoredNames(this.place);
    this.others.push(names);
    return names;
  }

  /** The rows of the shelf are needed no more. */
  discard(shelf: Shelf): void {
    this.shelves.delete(shelf);
    this.cache.leave(shelf);
    if (shelf.stored > 0) this.dropped.push(shelf.number);
  }

  /** @throws ValueRefusedError, EnvironmentError */
  write(shelf: Shelf, rows: readonly Row[]): void {
    const { store, keys, values } = this;
    // Nothing is written if a value is refused.
    for (const { key, value, isPlain } of rows) if (!isPlain && value !== ABSENT) lookClosely(key, value);
    const gone = this.foundOfDropped();
    store.transaction(() => {
      for (const row of rows) {
        const { key, value } = row;
        const address = keys.write(shelf.number, row.order, key, row.namespace);
        if (value === ABSENT) {
          store.remove(address);
          shelf.stored--;
          continue;
        }
        store.put(address, values.write(row.changed, key, value, keys.longNames));
        if (!row.isStored) shelf.stored++;
        shelf.written(row);
        row.isStored = true;
        row.isDirty = false;
      }
      for (const key of gone) store.remove(key);
    });
  }

  close(): void {
    for (const shelf of this.shelves) this.cache.leave(shelf);
    this.shelves.clear();
    for (const other of this.others) other.close();
    this.others.length = 0;
    this.store.close();
  }

  /** Some keys of a dropped shelf. */
  private foundOfDropped(): readonly Uint8Array[] {
    const number = this.dropped[this.dropped.length - 1];
    if (number === undefined) return [];
    const { store, keys } = this;
    const gone: Uint8Array[] = [];
    const end = keys.bound(1, number, ORDER_END);
    store.range(keys.bound(0, number, 0), end, REMOVED_AT_A_TIME, (key) => gone.push(Uint8Array.from(key)));
    if (gone.length < REMOVED_AT_A_TIME) this.dropped.pop();
    return gone;
  }
}
