/** What the parts of a disk backend that lie in its store beside rows need of its depot. */
import type { RowCache } from "./row-cache.ts";
import type { RowKeyWriter } from "./store/row-key.ts";
import type { RowStore } from "./store/row-store.ts";
import type { RowValueWriter } from "./store/row-value.ts";

export interface DepotPlace {
  readonly store: RowStore;
  readonly keys: RowKeyWriter;
  readonly values: RowValueWriter;
  readonly cache: RowCache;
  /** Answers a number that nothing else in the store has. */
  readonly openNumber: () => number;
  /** What the store has under that number is of no use any more. */
  readonly discardNumber: (number: number) => void;
}
