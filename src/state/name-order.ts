/**
 * The order of keys and namespaces: undefined, numbers from the smallest (NaN is the last of them), texts by their
 * UTF-16 code units, false, true, bigints from the smallest. Names that a Map takes for equal are equal.
 */
import type { Namespace } from "./contract.ts";
import type { Key } from "./descriptor.ts";

const RANKS = { undefined: 0, number: 1, string: 2, boolean: 3, bigint: 4 };

type Name = Key | Namespace;

/** Below 0: `a` comes first. */
export function compareNames(a: Name, b: Name): number {
  if (a === b) return 0;
  const rank = rankOf(a);
  const difference = rank - rankOf(b);
  if (difference !== 0) return difference;
  if (rank !== RANKS.number) return a! < b! ? -1 : 1;
  if (Number.isNaN(a)) return Number.isNaN(b) ? 0 : 1;
  return Number.isNaN(b) || a! < b! ? -1 : 1;
}

function rankOf(name: Name): number {
  return RANKS[typeof name as keyof typeof RANKS];
}
