/**
 * A table in the heap, and cuts of it that stop nothing.
 *
 * Owns: the rows of one keyed state in one subtask, by key group, their copy-on-write while cursors read cuts, and
 * putting them back. Does not own: the walk of a cursor (cursor.ts), what a value means (handles/).
 *
 * - HT1 Taking a cut does not depend on the number of rows: it raises a number and makes a cursor.
 * - HT2 A cursor gives exactly the rows of its cut, whatever is written or removed meanwhile, and whatever other cuts
 *   are open: before a group changes for the first time after a cut, its readers keep the list of its blocks, and
 *   before a block does, it is copied for them.
 * - HT3 Rows that are born after a cut are not in its list, so a cursor ends however fast new keys arrive.
 * - HT4 A removed row leaves nothing behind: the last row of its group takes its place. What a cursor needs of it is in
 *   the cursor's own blocks, which go as it reads them, and with it.
 *
 * Values are replaced, not changed in place: a nested object that is changed in place would be changed in the cut too.
 */
import { InvariantError, invariant } from "../../errors.ts";
import {
  ABSENT,
  type Namespace,
  type SnapshotBytes,
  type SnapshotCursor,
  type StateTable,
} from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { KeyGroupRange } from "../key-groups.ts";
import { ColumnEncoder } from "../snapshot/columns.ts";
import { type Block, ROWS_MASK, ROWS_SHIFT } from "./block.ts";
import { HeapCursor } from "./cursor.ts";
import { Layouts } from "./layout.ts";
import { HeapRestorer } from "./restorer.ts";
import { type CutReaders, RowGroup } from "./row-group.ts";
import { Rows, withNamespace } from "./rows.ts";

/**
 * New rows, the first updates of a table, and then one in so many, are searched for what objects hide (LY2 of
 * layout.ts).
 */
const LOOKED_AT_CLOSELY = 1000;
const SAMPLED_EVERY = 64;
/** A row that was not looked up yet. */
const UNKNOWN = -2;

export interface HeapTableOptions {
  readonly operator: string;
  readonly name: string;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  readonly keepsObjects: boolean;
}

export class HeapTable implements StateTable, CutReaders {
  readonly name: string;
  readonly layouts: Layouts;
  cut = 0;
  private readonly options: HeapTableOptions;
  /** Remembers the shapes of values from one snapshot to the next. */
  private readonly columns = new ColumnEncoder();
  private readonly rows = new Rows();
  private readonly groups: readonly RowGroup[];
  /** The cursors of the cuts that are open, oldest first. */
  private cursors: readonly HeapCursor[] = [];
  private key: Key = "";
  private hash = 0;
  private namespace: Namespace = undefined;
  /** The key's group; -1: there was no key yet. */
  private group = -1;
  /** The row of the current key and namespace; -1: there is none. */
  private row = UNKNOWN;
  /** The block that holds the row, if there is one. */
  private block: Block | undefined = undefined;
  /** How many updates are still to be looked at closely before only samples are. */
  private closeLooks = LOOKED_AT_CLOSELY;
  private untilLook = 1;

  constructor(options: HeapTableOptions) {
    this.name = options.name;
    this.options = options;
    this.layouts = new Layouts(options.keepsObjects);
    const { first, last } = options.keyGroups;
    this.groups = Array.from(
      { length: last - first + 1 },
      (_, place) => new RowGroup(place, this, this.rows),
    );
  }

  get isInUse(): boolean {
    return this.row !== UNKNOWN;
  }

  /** `group`: the key's group, counted from the subtask's first one; `hash`: of its row in the fixed namespace. */
  select(key: Key, hash: number, group: number): void {
    this.key = key;
    this.hash = hash;
    this.group = group;
    this.row = UNKNOWN;
  }

  setCurrentNamespace(namespace: Namespace): void {
    this.namespace = namespace;
    this.row = UNKNOWN;
  }

  read(): unknown {
    const row = this.row === UNKNOWN ? this.lookUp() : this.row;
    return row < 0 ? ABSENT : this.block!.read(row & ROWS_MASK);
  }

  write(value: unknown): void {
    const row = this.row === UNKNOWN ? this.lookUp() : this.row;
    if (row < 0) this.append(value);
    else this.ownBlock().write(row & ROWS_MASK, value, --this.untilLook > 0 || this.countCloseLook());
  }

  remove(): void {
    const row = this.row === UNKNOWN ? this.lookUp() : this.row;
    if (row < 0) return;
    this.groups[this.group]!.remove(this.block!, row & ROWS_MASK);
    this.row = -1;
  }

  snapshot(): SnapshotCursor {
    const { operator, name, keyGroups } = this.options;
    const cursor = new HeapCursor({
      operator,
      state: name,
      firstKeyGroup: keyGroups.first,
      groups: this.groups,
      cut: ++this.cut,
      columns: this.columns,
      closed: (closed) => {
        this.cursors = this.cursors.filter((one) => one !== closed);
      },
    });
    this.cursors = [...this.cursors, cursor];
    return cursor;
  }

  restorer(source: SnapshotBytes): HeapRestorer {
    const { operator, name, keyGroups, maxParallelism } = this.options;
    invariant(this.cut === 0, `state "${name}" of "${operator}" is restored after a cut was taken of it`);
    return new HeapRestorer({ source, keyGroups, maxParallelism, groups: this.groups, rows: this.rows });
  }

  /** Keys of one group of the subtask. */
  addKeys(group: number, keys: Set<Key>): void {
    this.groups[group]!.addKeys(keys);
  }

  close(): void {
    for (const cursor of this.cursors) cursor.cancel();
  }

  keepView(group: RowGroup): void {
    if (this.cursors.length === 0) return;
    const view = group.view();
    for (const cursor of this.cursors) cursor.keepView(group, view);
  }

  needsBlock(group: RowGroup, index: number, cut: number): boolean {
    const { cursors } = this;
    for (let i = 0; i < cursors.length; i++) if (cursors[i]!.needsBlock(group, index, cut)) return true;
    return false;
  }

  /** The block of the current row, for a change. */
  private ownBlock(): Block {
    const block = this.block!;
    return block.cut === this.cut ? block : this.copiedBlock(block);
  }

  private copiedBlock(block: Block): Block {
    this.block = this.groups[this.group]!.own(block);
    return this.block;
  }

  /** This update is not trusted; sets which one will be the next that is not. */
  private countCloseLook(): false {
    if (this.closeLooks > 0) this.closeLooks--;
    this.untilLook = this.closeLooks > 0 ? 1 : SAMPLED_EVERY;
    return false;
  }

  private lookUp(): number {
    if (this.group < 0) this.refuseWithoutKey();
    const { rows, key, namespace } = this;
    const row = rows.find(key, namespace, withNamespace(this.hash, namespace));
    this.row = row;
    if (row >= 0) this.block = rows.blocks[row >>> ROWS_SHIFT];
    return row;
  }

  private append(value: unknown): void {
    const { key, namespace } = this;
    this.row = this.groups[this.group]!.append(key, namespace, withNamespace(this.hash, namespace), value);
    this.block = this.rows.blockOf(this.row);
  }

  private refuseWithoutKey(): never {
    throw new InvariantError(
      `broken invariant: state "${this.name}" of "${this.options.operator}" was used before any record`,
    );
  }
}
