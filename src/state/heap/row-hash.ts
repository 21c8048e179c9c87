/**
 * The hash of a row: which place a (key, namespace) has among the rows of its key group.
 *
 * Owns: the hash. Does not own: the key group of a key (key-groups.ts), the places (directory.ts picks the block,
 * block.ts the place in it). Nothing of this is stored.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { hashOf } from "../key-groups.ts";

/** It is odd, so a product with it can be undone. */
export const SPREAD = 0x9e3779b1;
/** The hash instead of 0, which marks an empty place. */
const FOR_ZERO = 0x5bd1e995;

/**
 * Whether a key can be told by its hash alone: two integers of 32 bits never have the same hash, because each step of
 * `hashOfInteger` and of `hashOfKey` can be undone. `hash`: the key's.
 */
export function isOwnHash(key: Key, hash: number): boolean {
  return typeof key === "number" && (key | 0) === key && hash !== FOR_ZERO;
}

/** A signed number of 32 bits, never 0: the same for keys and namespaces that are equal (KG2 of key-groups.ts). */
export function hashOfRow(key: Key, namespace: Namespace): number {
  const hash = hashOfKey(hashOf(key));
  return namespace === undefined ? hash : withNamespace(hash, hashOf(namespace));
}

/**
 * The same in the fixed namespace. `hash`: the one that decides the key group. It is spread: many of its lower bits are
 * the same for all keys of a group, and the upper bits of the answer depend on all others.
 */
export function hashOfKey(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), SPREAD) || FOR_ZERO;
}

/** `hash`: the key's in the fixed namespace; `namespaceHash`: what `hashOf` makes of another one. */
export function withNamespace(hash: number, namespaceHash: number): number {
  return Math.imul(hash, 31) ^ namespaceHash || FOR_ZERO;
}
