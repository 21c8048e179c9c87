/**
 * The order of rows on a shelf: the one that the heap has, too, so that both list rows alike (KS7 of contract.ts).
 *
 * It is a number of 32 bits for each row, made of its hash: the upper bits the other way round, as row-order.ts of the
 * heap has it, and the lower ones as they are. Both ways one number has one hash.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { compareNames } from "../name-order.ts";

const UPPER_BITS = 12;
const LOWER_BITS = 32 - UPPER_BITS;
const LOWER = (1 << LOWER_BITS) - 1;
const REVERSED = Uint16Array.from({ length: 1 << UPPER_BITS }, (_, bits) => {
  let result = 0;
  for (let i = 0; i < UPPER_BITS; i++) result = (result << 1) | ((bits >>> i) & 1);
  return result;
});

/** The place behind the last row of a shelf. */
export const ORDER_END = 2 ** 32;

/** A signed number: V8 keeps it without a box. `>>> 0` makes it the place of the row. */
export function orderOf(hash: number): number {
  return (REVERSED[hash >>> LOWER_BITS]! << LOWER_BITS) | (hash & LOWER);
}

export interface OrderedRow {
  readonly order: number;
  readonly key: Key;
  readonly namespace: Namespace;
}

export function compareRows(a: OrderedRow, b: OrderedRow): number {
  return (
    (a.order >>> 0) - (b.order >>> 0) || compareNames(a.key, b.key) || compareNames(a.namespace, b.namespace)
  );
}
