/**
 * The hash of a row: which place a (key, namespace) has among the rows of its key group.
 *
 * Owns: the hash and its bits. Does not own: the key group of a key (key-groups.ts), the places (directory.ts picks
 * the block, block.ts the place in it). Nothing of this is stored.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { hashOf } from "../key-groups.ts";

const SPREAD = 0x9e3779b1;
/** The hash instead of 0, which marks an empty place. */
const FOR_ZERO = 0x5bd1e995;

/** Whether a key's hash is the key itself: it is an integer of 32 bits, and not 0. */
export function isOwnHash(key: Key): key is number {
  return typeof key === "number" && (key | 0) === key && key !== 0;
}

/**
 * A signed number of 32 bits, never 0: the same for keys and namespaces that are equal (KG2 of key-groups.ts). An
 * integer in the fixed namespace is its own hash, so that finding its row need not wait for the hash that decides its
 * key group.
 */
export function hashOfRow(key: Key, namespace: Namespace): number {
  return withNamespace(isOwnHash(key) ? key : hashOfOther(hashOf(key)), namespace);
}

/** The same for any other key in the fixed namespace. `hash`: the key's. */
export function hashOfOther(hash: number): number {
  return hash | 0 || FOR_ZERO;
}

/** `hash`: the key's in the fixed namespace. */
export function withNamespace(hash: number, namespace: Namespace): number {
  return namespace === undefined ? hash : Math.imul(hash, 31) ^ hashOf(namespace) || FOR_ZERO;
}

/** The bits of a hash, spread: the upper ones depend on all of it. */
export function spread(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), SPREAD);
}
