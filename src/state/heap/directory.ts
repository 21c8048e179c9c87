/**
 * Which block of a table holds the row of a hash: extendible hashing.
 *
 * Owns: the entries, and which namespaces have entries of their own. Does not own: when a block is split
 * (row-group.ts), the place of a row in its block (block.ts).
 *
 * Each key group has 2^depth entries, picked by bits of the row's hash; a block stands in all entries that have its
 * pattern in their lowest `block.depth` bits. A block that is full is split in two, so a table of 10^6 rows never moves
 * more rows at once than a block has. All groups have the same depth: one array for all of them is one step less for
 * each look-up.
 */
import type { Namespace } from "../contract.ts";
import { compareNames } from "../name-order.ts";
import { ownString } from "../snapshot/own-key.ts";
import { type Block, hasRoomFor, NO_ROWS, PLACES_MAX, PLACES_MIN } from "./blocks/block.ts";

/** The bits of a hash that pick the entry are those above; block.ts uses the ones below. */
export const BITS_BELOW = 20;
export const DEPTH_MAX = 32 - BITS_BELOW;
const ENTRIES_MAX = 1 << 18;
/** A block begins with so many places at most. */
const PLACES_EXPECTED_MAX = 1 << 9;

export class Directory {
  /** That of all its rows, where namespaces lie apart. */
  readonly namespace: Namespace;
  /** How many rows its blocks hold. */
  count = 0;
  /** How many places the first block of a group has. */
  readonly placesFirst: number;
  /** The number of the cut since which it is there. */
  readonly bornAt: number;
  private entries: Block[];
  private depth = 0;
  private mask = 0;
  /** How many rows groups without rows are about to get, where that is known. */
  private readonly expected = new Map<number, number>();

  constructor(groups: number, namespace: Namespace, bornAt = 0, placesFirst = PLACES_MIN) {
    this.placesFirst = placesFirst;
    this.bornAt = bornAt;
    this.entries = new Array(groups).fill(NO_ROWS);
    this.namespace = namespace;
  }

  /** `hash`: the row's. NO_ROWS: the group has no row. */
  at(group: number, hash: number): Block {
    return this.entries[(group << this.depth) | ((hash >>> BITS_BELOW) & this.mask)]!;
  }

  /** The block stands where its pattern says, from now on. */
  put(group: number, block: Block): void {
    const first = group << this.depth;
    for (let pattern = block.pattern; pattern <= this.mask; pattern += 1 << block.depth) {
      this.entries[first | pattern] = block;
    }
  }

  /** Each block of a group once. */
  blocksOf(group: number): Block[] {
    const blocks: Block[] = [];
    const first = group << this.depth;
    for (let pattern = 0; pattern <= this.mask; pattern++) {
      const block = this.entries[first | pattern]!;
      if (block !== NO_ROWS && block.pattern === pattern) blocks.push(block);
    }
    return blocks;
  }

  clear(group: number): void {
    this.entries.fill(NO_ROWS, group << this.depth, (group + 1) << this.depth);
  }

  /** The group has no rows, and gets as many: it need not grow. */
  expect(group: number, rows: number): void {
    this.expected.set(group, rows);
  }

  /** What was expected has come, or was deleted on the way. */
  expectNothing(): void {
    this.expected.clear();
  }

  /** The blocks with which a group begins: 2^depth of them, each with so many places. */
  firstBlocks(group: number): { readonly depth: number; readonly places: number } {
    const rows = this.expected.get(group);
    if (rows === undefined) return { depth: 0, places: this.placesFirst };
    this.expected.delete(group);
    let depth = 0;
    let places = this.placesFirst;
    while (!hasRoomFor(rows, places << depth)) {
      if (places < PLACES_MAX) places *= 2;
      else if (this.canSplit(depth)) depth++;
      else break;
    }
    return { depth, places };
  }

  /** Makes sure that a block of the given depth can be split; false: it has to grow instead. */
  canSplit(depth: number): boolean {
    if (depth < this.depth) return true;
    if (depth >= DEPTH_MAX || this.entries.length * 2 > ENTRIES_MAX) return false;
    this.deepen();
    return true;
  }

  private deepen(): void {
    const { entries, depth, mask } = this;
    this.depth = depth + 1;
    this.mask = mask * 2 + 1;
    this.entries = new Array(entries.length * 2);
    for (let at = 0; at < this.entries.length; at++) {
      this.entries[at] = entries[((at >>> this.depth) << depth) | (at & mask)]!;
    }
  }
}

/** The directories of one table: one for all rows, or one for each namespace that has rows, where they lie apart. */
export class Directories {
  /** true: the namespace of a row is its directory's. */
  readonly lieApart: boolean;
  private readonly groups: number;
  private readonly byNamespace = new Map<Namespace, Directory>();
  /** The one that was opened last. */
  private newest: Directory | undefined = undefined;
  /** Stands for each namespace without rows. */
  private readonly empty: Directory;

  /** @param groups of the subtask */
  constructor(groups: number, lieApart: boolean) {
    this.groups = groups;
    this.lieApart = lieApart;
    this.empty = new Directory(groups, undefined);
    if (!lieApart) this.byNamespace.set(undefined, this.empty);
  }

  /** The one to look rows of the namespace up in. */
  of(namespace: Namespace): Directory {
    return this.lieApart ? (this.byNamespace.get(namespace) ?? this.empty) : this.empty;
  }

  /** The one for a new row of the namespace. `cut`: the number of the latest one. */
  forNew(namespace: Namespace, cut: number): Directory {
    const known = this.of(namespace);
    if (known !== this.empty || !this.lieApart) return known;
    const kept = typeof namespace === "string" ? ownString(namespace) : namespace;
    const directory = new Directory(this.groups, kept, cut, this.placesExpected());
    this.newest = directory;
    this.byNamespace.set(namespace, directory);
    return directory;
  }

  /** As many as the groups of the namespace before need on average, and not too many: it may hold one row only. */
  private placesExpected(): number {
    const rows = (this.newest?.count ?? 0) / this.groups;
    let places = PLACES_MIN;
    while (places < PLACES_EXPECTED_MAX && !hasRoomFor(rows, places)) places *= 2;
    return places;
  }

  /** Lets go of a directory that has no rows any more, and of nothing else. */
  remove(directory: Directory): void {
    const { namespace } = directory;
    if (this.lieApart && this.byNamespace.get(namespace) === directory) this.byNamespace.delete(namespace);
  }

  /** By their namespaces (KS7 of contract.ts). The caller may open and remove some meanwhile. */
  inOrder(): readonly Directory[] {
    return [...this.byNamespace.values()].sort((a, b) => compareNames(a.namespace, b.namespace));
  }
}

/** Does a row belong into the upper half, where a block of this depth is split? */
export function isUpper(hash: number, depth: number): boolean {
  return ((hash >>> (BITS_BELOW + depth)) & 1) === 1;
}
