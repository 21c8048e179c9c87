/** One entry of an order, as it lies in memory. */
import type { Namespace } from "../../contract.ts";
import type { Key } from "../../descriptor.ts";

export interface Place {
  readonly time: number;
  readonly group: number;
  readonly ordinal: number;
}

export interface Entry extends Place {
  readonly key: Key;
  readonly namespace: Namespace;
}

export function isBefore(a: Place, b: Place): boolean {
  if (a.time !== b.time) return a.time < b.time;
  return a.group < b.group || (a.group === b.group && a.ordinal < b.ordinal);
}
