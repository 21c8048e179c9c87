/**
 * The rows of one key group in one table.
 *
 * Owns: their order, and when a block is copied. Does not own: which row a (key, namespace) has (rows.ts), the memory
 * of rows (block.ts), cuts and cursors (table.ts, cursor.ts). The rules HT1 to HT4 are in table.ts.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { ownKey } from "../snapshot/own-key.ts";
import { Block, ROWS_MASK, ROWS_MAX, ROWS_SHIFT } from "./block.ts";
import type { Layouts } from "./layout.ts";
import { hashOfRow, type Rows } from "./rows.ts";

/** The rows of a group at a cut: the first `count` of `blocks`. */
export interface GroupView {
  readonly blocks: readonly Block[];
  readonly count: number;
}

/** The readers of the table's open cuts. */
export interface CutReaders {
  /** How many cuts were taken. */
  readonly cut: number;
  readonly layouts: Layouts;
  /** Called before a group changes for the first time after a cut: every reader that needs its view gets it. */
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
  private readonly rows: Rows;
  private blocks: Block[] = [];

  constructor(place: number, readers: CutReaders, rows: Rows) {
    this.place = place;
    this.readers = readers;
    this.rows = rows;
  }

  /** Answers its row's number. `trusted`: it is not searched for what it hides. */
  append(key: Key, namespace: Namespace, hash: number, value: unknown, trusted = false): number {
    const at = this.count & ROWS_MASK;
    const own = ownKey(key);
    const block = this.roomFor(this.count, value);
    block.keys[at] = own;
    if (namespace !== undefined && block.namespaces === undefined)
      block.namespaces = new Array(at).fill(undefined);
    if (block.namespaces !== undefined) block.namespaces[at] = namespace;
    block.write(at, value, trusted);
    const row = rowIn(block, at);
    this.rows.add(key, namespace, hash, row);
    this.count++;
    return row;
  }

  /** The last row of the group takes its place: rows lie without gaps. `block`: the row's. */
  remove(of: Block, at: number): void {
    const { index } = this.rows;
    const last = this.count - 1;
    const block = this.own(of);
    const from = this.own(this.blocks[last >>> ROWS_SHIFT]!);
    const lastAt = last & ROWS_MASK;
    index.remove(hashOfRow(block.keys[at]!, block.namespaces?.[at]), rowIn(block, at));
    if (block !== from || at !== lastAt) {
      const key = from.keys[lastAt]!;
      const namespace = from.namespaces?.[lastAt];
      block.keys[at] = key;
      if (namespace !== undefined) block.namespaces ??= new Array(block.keys.length).fill(undefined);
      if (block.namespaces !== undefined) block.namespaces[at] = namespace;
      block.write(at, from.read(lastAt), false);
      index.move(hashOfRow(key, namespace), rowIn(from, lastAt), rowIn(block, at));
    }
    from.drop(lastAt);
    if (lastAt === 0) {
      this.blocks.pop();
      this.rows.removeBlock(from);
    }
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
      const block = new Block(this.readers.layouts.layoutFor(value), this.readers.cut, index);
      this.blocks.push(block);
      this.rows.addBlock(block);
      return block;
    }
    const block = this.own(this.blocks[index]!);
    if (at < block.capacity) return block;
    if (block.isMisfit(at)) return this.relaid(block, value);
    block.grow();
    return block;
  }

  /** The block once more, with the layout of `value`, and room. */
  private relaid(before: Block, value: unknown): Block {
    const block = new Block(this.readers.layouts.layoutFor(value), this.readers.cut, before.index);
    while (block.capacity <= before.keys.length && block.capacity < ROWS_MAX) block.grow();
    block.keys = before.keys;
    block.namespaces = before.namespaces;
    for (let at = 0; at < before.keys.length; at++) block.write(at, before.read(at), false);
    this.replace(before, block);
    return block;
  }

  /** The block, for a change: copied, if a cursor still needs it as it is. */
  own(block: Block): Block {
    this.touch();
    const { cut } = this.readers;
    if (block.cut === cut) return block;
    if (!this.readers.needsBlock(this, block.index, block.cut)) {
      block.cut = cut;
      return block;
    }
    const copy = block.copy(cut);
    this.replace(block, copy);
    return copy;
  }

  private replace(before: Block, block: Block): void {
    block.number = before.number;
    this.blocks[block.index] = block;
    this.rows.replaceBlock(block);
  }

  private touch(): void {
    if (this.cut === this.readers.cut) return;
    this.readers.keepView(this);
    this.cut = this.readers.cut;
  }
}

function rowIn(block: Block, at: number): number {
  return (block.number << ROWS_SHIFT) | at;
}
