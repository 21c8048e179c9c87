/**
 * The rows of one key group in one table.
 *
 * Owns: which row a (key, namespace) has, and when a block is copied. Does not own: the memory of rows (block.ts), cuts and cursors
 * (table.ts, cursor.ts). The rules H1 to H4 are in table.ts.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { hashOf } from "../key-groups.ts";
import { ownKey } from "../snapshot/own-key.ts";
import { Block, ROWS_MASK, ROWS_MAX, ROWS_SHIFT } from "./block.ts";
import { KeyIndex } from "./key-index.ts";
import type { Layouts } from "./layout.ts";

/** The rows of a group at a cut: the first `count` of `blocks`. */
export interface GroupView {
  readonly blocks: readonly Block[];
  readonly count: number;
}

/** Who reads the cuts of the table that are open. */
export interface CutReaders {
  /** How many cuts were taken. */
  readonly cut: number;
  readonly layouts: Layouts;
  /** Before a group changes for the first time after a cut: every reader that needs its view gets it. */
  keepView(group: RowGroup): void;
  /** Does one of them still need a block that was not changed since `cut`? */
  needsBlock(group: RowGroup, index: number, cut: number): boolean;
}

export class RowGroup {
  /** Among the groups of the subtask. */
  readonly place: number;
  count = 0;
  /** The number of the cut since which it has been changed. */
  cut = 0;
  private readonly readers: CutReaders;
  private blocks: Block[] = [];
  private readonly index = new KeyIndex();

  constructor(place: number, readers: CutReaders) {
    this.place = place;
    this.readers = readers;
  }

  /** -1: there is none. `hash`: of both (hashOfRow). */
  find(key: Key, namespace: Namespace, hash: number): number {
    let row = this.index.first(hash);
    while (row >= 0 && !this.isOf(row, key, namespace)) row = this.index.next(hash, row);
    return row;
  }

  blockOf(row: number): Block {
    return this.blocks[row >>> ROWS_SHIFT]!;
  }

  /** Answers its row. `trusted`: it is not searched for what it hides. */
  append(key: Key, namespace: Namespace, hash: number, value: unknown, trusted = false): number {
    const row = this.count;
    const at = row & ROWS_MASK;
    const own = ownKey(key);
    const block = this.roomFor(row, value);
    block.keys[at] = own;
    if (namespace !== undefined && block.namespaces === undefined)
      block.namespaces = new Array(at).fill(undefined);
    if (block.namespaces !== undefined) block.namespaces[at] = namespace;
    block.write(at, value, trusted);
    this.index.add(hash, row);
    this.count++;
    return row;
  }

  /** The last row takes its place: rows lie without gaps. */
  remove(row: number): void {
    const last = this.count - 1;
    const block = this.own(row >>> ROWS_SHIFT);
    const from = this.own(last >>> ROWS_SHIFT);
    const at = row & ROWS_MASK;
    const lastAt = last & ROWS_MASK;
    this.index.remove(hashOfRow(block.keys[at]!, block.namespaces?.[at]), row);
    if (row !== last) {
      const key = from.keys[lastAt]!;
      const namespace = from.namespaces?.[lastAt];
      block.keys[at] = key;
      if (namespace !== undefined) block.namespaces ??= new Array(block.keys.length).fill(undefined);
      if (block.namespaces !== undefined) block.namespaces[at] = namespace;
      block.write(at, from.read(lastAt), false);
      this.index.move(hashOfRow(key, namespace), last, row);
    }
    from.drop(lastAt);
    if (lastAt === 0) this.blocks.pop();
    this.count = last;
  }

  addKeys(keys: Set<Key>): void {
    for (const block of this.blocks) for (const key of block.keys) keys.add(key);
  }

  view(): GroupView {
    return { blocks: this.blocks.slice(), count: this.count };
  }

  private roomFor(row: number, value: unknown): Block {
    const index = row >>> ROWS_SHIFT;
    const at = row & ROWS_MASK;
    if (index === this.blocks.length) {
      this.touch();
      const block = new Block(this.readers.layouts.layoutFor(value), this.readers.cut);
      this.blocks.push(block);
      return block;
    }
    const block = this.own(index);
    if (at < block.capacity) return block;
    if (block.isMisfit(at)) return this.relaid(index, value);
    block.grow();
    return block;
  }

  /** The block once more, with the layout of `value`, and room. */
  private relaid(index: number, value: unknown): Block {
    const before = this.blocks[index]!;
    const block = new Block(this.readers.layouts.layoutFor(value), this.readers.cut);
    while (block.capacity <= before.keys.length && block.capacity < ROWS_MAX) block.grow();
    block.keys = before.keys;
    block.namespaces = before.namespaces;
    for (let at = 0; at < before.keys.length; at++) block.write(at, before.read(at), false);
    this.blocks[index] = block;
    return block;
  }

  /** The block, for a change: copied, if a cursor still needs it as it is. */
  own(index: number): Block {
    this.touch();
    const block = this.blocks[index]!;
    const { cut } = this.readers;
    if (block.cut === cut) return block;
    if (!this.readers.needsBlock(this, index, block.cut)) {
      block.cut = cut;
      return block;
    }
    const copy = block.copy(cut);
    this.blocks[index] = copy;
    return copy;
  }

  private touch(): void {
    if (this.cut === this.readers.cut) return;
    this.readers.keepView(this);
    this.cut = this.readers.cut;
  }

  private isOf(row: number, key: Key, namespace: Namespace): boolean {
    const block = this.blocks[row >>> ROWS_SHIFT]!;
    const at = row & ROWS_MASK;
    const { namespaces } = block;
    if (!isSame(block.keys[at], key)) return false;
    return namespaces === undefined ? namespace === undefined : isSame(namespaces[at], namespace);
  }
}

/** As a Map sees it. */
function isSame(a: Key | undefined, b: Key | undefined): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}

/** Of keys and namespaces that are equal (K2 of key-groups.ts), the same. */
export function hashOfRow(key: Key, namespace: Namespace): number {
  return withNamespace(hashOf(key), namespace);
}

/** `hash`: the key's. */
export function withNamespace(hash: number, namespace: Namespace): number {
  return namespace === undefined ? hash : Math.imul(hash, 31) ^ hashOf(namespace);
}
