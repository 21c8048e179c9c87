/**
 * The rows of one key group in one table.
 *
 * Owns: its blocks, when one grows or is split, and when one is copied. Does not own: which block has a row
 * (directory.ts), the memory of rows (block.ts), cuts and cursors (table.ts, cursor.ts). The rules HT1 to HT5 are in
 * table.ts.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { ownKey, ownString } from "../snapshot/own-key.ts";
import { Block, NO_ROWS, PLACES_MAX, PLACES_MIN } from "./blocks/block.ts";
import type { Layouts } from "./blocks/layout.ts";
import type { SpareMemory } from "./blocks/spare-memory.ts";
import { type Directory, isUpper } from "./directory.ts";
import type { NamespaceIndex } from "./namespace-index.ts";
import { NO_REMOVALS, Removals } from "./removals.ts";

/** A block becomes smaller when fewer than one of so many places are taken. */
const SPARSE = 8;

/** The rows of a group at a cut. */
export interface GroupView {
  readonly blocks: readonly Block[];
  /** How many rows they hold. */
  readonly count: number;
  readonly removals: Removals;
  /** So many of them were there. */
  readonly removed: number;
}

/** The readers of the table's open cuts. */
export interface CutReaders {
  /** How many cuts were taken. */
  readonly cut: number;
  readonly layouts: Layouts;
  readonly spares: SpareMemory;
  /** Called before a group changes for the first time after a cut: every reader that needs its view gets it. */
  keepView(group: RowGroup): void;
  /** May a removal that has to be told be kept? Called for each of them. */
  keepsRemoval(): boolean;
  /** Does one of them still need a block that was not changed since `cut`? */
  needsBlock(group: RowGroup, index: number, cut: number): boolean;
}

export class RowGroup {
  /** Among the groups of the subtask. */
  readonly place: number;
  count = 0;
  /** The number of the cut since which it has been changed. */
  cut = 0;
  removals = NO_REMOVALS;
  private readonly readers: CutReaders;
  private readonly index: NamespaceIndex | undefined;
  /** Those of later cuts are behind those of earlier ones, or in the place of one of them. */
  private blocks: Block[] = [];
  /** Where NO_ROWS stands among them. */
  private free: number[] = [];

  /** `index`: is told of each row that is new or removed. */
  constructor(place: number, readers: CutReaders, index: NamespaceIndex | undefined) {
    this.place = place;
    this.readers = readers;
    this.index = index;
  }

  /**
   * Answers the place of the row in its block.
   * @param to the row's directory
   * @param namespace undefined where namespaces lie apart
   * @param hash of a row that is new
   * @param trusted it was restored: its names are strings of their own, and its value is not searched for what it hides
   */
  append(
    to: Directory,
    key: Key,
    namespace: Namespace,
    hash: number,
    value: unknown,
    trusted = false,
  ): number {
    const block = this.roomFor(to, hash, value);
    const keptKey = trusted ? key : ownKey(key);
    const keptNamespace = typeof namespace === "string" && !trusted ? ownString(namespace) : namespace;
    const at = block.add(hash, keptKey, keptNamespace);
    block.write(at, value, trusted);
    this.count++;
    to.count++;
    this.index?.add(keptKey, keptNamespace);
    return at;
  }

  /** `of`: the row's block, and `from` the directory where it stands. */
  remove(from: Directory, of: Block, at: number): void {
    const block = this.own(from, of);
    if (!block.isUnseen(at)) this.tellRemoval(block.keys[at]!, block.namespaceAt(at));
    this.index?.remove(block.keys[at]!, block.namespaces?.[at]);
    block.remove(at, this.readers.spares);
    this.count--;
    from.count--;
    if (this.count === 0) this.drop(from);
    else if (block.count === 0 && block.depth === 0) this.drop(from);
    else if (block.places > PLACES_MIN && block.count * SPARSE < block.places) {
      this.replace(from, this.resized(block, block.places / 2, block.layout));
    }
  }

  /** Removes all rows of a directory, which are those of its namespace. The index is not told. */
  removeAll(from: Directory): void {
    if (from.bornAt !== this.readers.cut && from.blocksOf(this.place).some(({ count }) => count > 0)) {
      this.tellRemoval(undefined, from.namespace);
    }
    this.drop(from);
  }

  /** Lets go of all blocks that stand in a directory, and of the rows in them. The index is not told. */
  drop(from: Directory): void {
    const blocks = from.blocksOf(this.place);
    if (blocks.length === 0) return;
    this.touch();
    const { readers } = this;
    for (const block of blocks) {
      const { index, count } = block;
      if (block.cut === readers.cut || !readers.needsBlock(this, index, block.cut)) {
        block.releaseIfWanted(readers.spares);
      }
      this.blocks[index] = NO_ROWS;
      this.free.push(index);
      this.count -= count;
      from.count -= count;
    }
    from.clear(this.place);
    if (this.free.length < this.blocks.length) return;
    this.blocks = [];
    this.free = [];
  }

  /** false: another block has taken its place. */
  has(block: Block): boolean {
    return this.blocks[block.index] === block;
  }

  view(): GroupView {
    const { blocks, count, removals } = this;
    return { blocks: blocks.slice(), count, removals, removed: removals.count };
  }

  /** The block, for a change: copied, if a cursor still needs it as it is. */
  own(of: Directory, block: Block): Block {
    this.touch();
    const { cut } = this.readers;
    if (block.cut === cut) return block;
    if (!this.readers.needsBlock(this, block.index, block.cut)) {
      block.cut = cut;
      return block;
    }
    const copy = block.copy(cut, this.readers.spares);
    this.replace(of, copy);
    return copy;
  }

  /** The block for a new row, and with room for it. */
  private roomFor(to: Directory, hash: number, value: unknown): Block {
    for (;;) {
      const block = to.at(this.place, hash);
      if (block.hasRoom && block !== NO_ROWS) return this.own(to, block);
      this.touch();
      const { layouts } = this.readers;
      if (block === NO_ROWS) this.begin(to, layouts.layoutFor(value));
      else {
        const layout = block.isMisfit ? layouts.layoutFor(value) : block.layout;
        if (block.places >= PLACES_MAX && to.canSplit(block.depth)) this.split(to, block, layout);
        else this.replace(to, this.resized(block, block.places * 2, layout));
      }
    }
  }

  /** The first block of the directory, or as many as its rows are known to need. */
  private begin(to: Directory, layout: Block["layout"]): void {
    const { cut, spares } = this.readers;
    const { depth, places } = to.firstBlocks(this.place);
    for (let pattern = 0; pattern < 1 << depth; pattern++) {
      const home = { namespace: to.namespace, index: this.freeIndex(), depth, pattern };
      this.replace(to, Block.first(layout, cut, home, places, spares));
    }
  }

  /** The rows of the block in a new one. */
  private resized(before: Block, places: number, layout: Block["layout"]): Block {
    const block = new Block(layout, this.readers.cut, before, places);
    for (let at = 0; at < before.places; at++) if (before.isTaken(at)) block.addFrom(before, at);
    return block;
  }

  /** Half of the rows of a block go on in another one. */
  private split(of: Directory, before: Block, layout: Block["layout"]): void {
    const { cut } = this.readers;
    const { namespace, index, pattern, places } = before;
    const depth = before.depth + 1;
    const lower = new Block(layout, cut, { namespace, index, depth, pattern }, places);
    const upperHome = { namespace, index: this.freeIndex(), depth, pattern: pattern | (1 << before.depth) };
    const upper = new Block(layout, cut, upperHome, places);
    for (let at = 0; at < places; at++) {
      if (before.isTaken(at)) (isUpper(before.hashAt(at), before.depth) ? upper : lower).addFrom(before, at);
    }
    this.replace(of, lower);
    this.replace(of, upper);
  }

  private freeIndex(): number {
    return this.free.pop() ?? this.blocks.length;
  }

  private replace(of: Directory, block: Block): void {
    this.blocks[block.index] = block;
    of.put(this.place, block);
  }

  /** A cut has seen the row, or rows. */
  private tellRemoval(key: Key | undefined, namespace: Namespace): void {
    if (!this.readers.keepsRemoval()) return;
    this.touch();
    if (this.removals === NO_REMOVALS) this.removals = new Removals();
    this.removals.add(key, namespace, this.readers.cut);
  }

  private touch(): void {
    if (this.cut === this.readers.cut) return;
    this.readers.keepView(this);
    this.cut = this.readers.cut;
  }
}
