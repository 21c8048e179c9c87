/**
 * Keyed state on disk: the rows that are used are in memory, all others in a store of the worker's, so that state may
 * be larger than memory.
 *
 * Owns: the tables and orders of one operator in one subtask, and their store. Does not own: the rows (table.ts),
 * orders (order/), how much of both is in memory (row-cache.ts), the store's files. The current key and the order of
 * keys are as in the heap.
 */
import type { KeyedBackendOptions } from "../contract.ts";
import { type BackendTable, HeapBackend, type TableSurroundings } from "../heap/backend.ts";
import type { TimeOrder } from "../timers/time-order.ts";
import { Depot } from "./depot.ts";
import type { RowCache } from "./row-cache.ts";
import type { RowStore } from "./store/row-store.ts";
import { DiskTable } from "./table.ts";

export class DiskBackend extends HeapBackend {
  private readonly depot: Depot;

  /** @param store is the backend's own, and goes with it @param cache may be shared with other backends */
  constructor(options: KeyedBackendOptions, store: RowStore, cache: RowCache) {
    super(options);
    this.depot = new Depot(store, cache);
  }

  openOrder(): TimeOrder {
    return this.depot.openOrder();
  }

  override close(): void {
    super.close();
    this.depot.close();
  }

  protected override makeTable(surroundings: TableSurroundings): BackendTable {
    return new DiskTable(surroundings, this.depot);
  }
}
