/**
 * The rows of one key group in an order that follows from the rows alone (KS7), whatever the blocks are in which they
 * lie.
 *
 * Where a block is split, its rows go into two blocks by one bit of their hash. So rows are in order by these bits, the
 * first one that splits counting most: each block, of any depth, then holds rows that follow each other, and only
 * those of one block have to be sorted at a time. Among rows with the same bits the whole hash decides, then key and
 * namespace.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { compareNames } from "../name-order.ts";
import type { Block } from "./blocks/block.ts";
import { BITS_BELOW, DEPTH_MAX, type Directory } from "./directory.ts";

const END = 1 << DEPTH_MAX;

export interface RowAddress {
  readonly hash: number;
  readonly key: Key;
  readonly namespace: Namespace;
}

interface Ordered extends RowAddress {
  readonly order: number;
}

/**
 * Blocks may be split and rows come and go meanwhile: an address that stays is given once, and the row of one that is
 * given may be gone.
 */
export function* addressesOf(group: number, directory: Directory): Generator<RowAddress, void, undefined> {
  for (let next = 0; next < END; ) {
    const block = directory.at(group, reversed(next) << BITS_BELOW);
    yield* inOrder(block, next);
    // Where the block's rows end. It may begin before `next`: the group has become empty meanwhile, and begun anew.
    const span = END >>> block.depth;
    next = (Math.floor(next / span) + 1) * span;
  }
}

/** Those rows of the block that come at `from` or behind it. */
function inOrder(block: Block, from: number): Ordered[] {
  const rows: Ordered[] = [];
  for (let at = 0; at < block.places; at++) {
    if (!block.isTaken(at)) continue;
    const hash = block.hashAt(at);
    const order = reversed(hash >>> BITS_BELOW);
    if (order >= from) rows.push({ order, hash, key: block.keys[at]!, namespace: block.namespaces?.[at] });
  }
  return rows.sort(compareRows);
}

function compareRows(a: Ordered, b: Ordered): number {
  return (
    a.order - b.order ||
    a.hash - b.hash ||
    compareNames(a.key, b.key) ||
    compareNames(a.namespace, b.namespace)
  );
}

/** The lowest DEPTH_MAX bits, the other way round. */
function reversed(bits: number): number {
  let result = 0;
  for (let i = 0; i < DEPTH_MAX; i++) result = (result << 1) | ((bits >>> i) & 1);
  return result;
}
