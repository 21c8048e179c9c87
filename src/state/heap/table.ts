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
 * - HT4 A removed row leaves nothing behind but its address, and that only where cuts may have bases (removals.ts):
 *   rows behind it take its place where they may. What a cursor needs of it is in the cursor's own blocks, which go as
 *   it reads them, and with it.
 * - HT5 The memory of a block that was kept for cuts is that of the next copies as soon as the last of their cursors
 *   has read it (spare-memory.ts). A cursor that is given up leaves it to the garbage collection.
 *
 * Values are replaced, not changed in place: a nested object that is changed in place would be changed in the cut too.
 */
import { invariant } from "../../errors.ts";
import {
  ABSENT,
  type Namespace,
  RESTORED_CUT,
  type SnapshotBytes,
  type SnapshotCursor,
  type StateRestorer,
  type StateRow,
} from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { hashOf } from "../key-groups.ts";
import { ChunkRestorer } from "../snapshot/chunk-restorer.ts";
import { ColumnEncoder } from "../snapshot/columns.ts";
import type { BackendTable, TableSurroundings } from "./backend.ts";
import { type Block, NO_ROWS } from "./blocks/block.ts";
import { Layouts } from "./blocks/layout.ts";
import { SpareMemory } from "./blocks/spare-memory.ts";
import { type CurrentKey, invariantOpened, usedWithoutKey } from "./current-key.ts";
import { HeapCursor } from "./cursor.ts";
import { Directories, type Directory } from "./directory.ts";
import { NamespaceIndex } from "./namespace-index.ts";
import { RemovalHistory } from "./removals.ts";
import { HeapRows } from "./restored-rows.ts";
import { type CutReaders, RowGroup } from "./row-group.ts";
import { withNamespace } from "./row-hash.ts";
import { addressesOf } from "./row-order.ts";

/**
 * New rows, the first updates of a table, and then one in so many, are searched for what objects hide (LY2 of
 * layout.ts).
 */
const LOOKED_AT_CLOSELY = 1000;
const SAMPLED_EVERY = 64;
/** No key has this turn. */
const NO_TURN = 0;

export class HeapTable implements BackendTable, CutReaders {
  readonly name: string;
  readonly layouts: Layouts;
  readonly spares = new SpareMemory();
  cut = 0;
  bytesPerRow: number | undefined = undefined;
  private readonly options: TableSurroundings;
  /** Remembers the shapes of values from one snapshot to the next. */
  private readonly columns = new ColumnEncoder();
  private readonly directories: Directories;
  private readonly history: RemovalHistory;
  readonly groups: readonly RowGroup[];
  private readonly index: NamespaceIndex | undefined;
  /** The cursors of the cuts that are open, oldest first. */
  private cursors: readonly HeapCursor[] = [];
  private readonly current: CurrentKey;
  private namespace: Namespace = undefined;
  /** Where the rows of the namespace stand. */
  private directory: Directory;
  /** The namespace as it stands with a row: undefined where namespaces lie apart. */
  private rowNamespace: Namespace = undefined;
  /** Its hash; it has no meaning in the fixed namespace. */
  private namespaceHash = 0;
  /** The turn of the key that the row was looked up for. */
  private turn = NO_TURN;
  /** The block for that key and namespace, and the place of the row in it; -1: there is no row. */
  private block: Block = NO_ROWS;
  private at = -1;
  /** How many updates are still to be looked at closely before only samples are. */
  private closeLooks = LOOKED_AT_CLOSELY;
  private untilLook = 1;

  constructor(options: TableSurroundings) {
    this.name = options.name;
    this.options = options;
    this.current = options.current;
    this.layouts = new Layouts(options.keepsObjects);
    const length = options.keyGroups.last - options.keyGroups.first + 1;
    this.directories = new Directories(length, options.namespacesApart);
    this.directory = this.directories.of(undefined);
    this.index = options.listsNamespaces ? new NamespaceIndex() : undefined;
    this.groups = Array.from({ length }, (_, place) => new RowGroup(place, this, this.index));
    this.history = new RemovalHistory(this, options.keepsChanges);
  }

  get isInUse(): boolean {
    return this.turn === this.current.turn;
  }

  get keyTurn(): number {
    return this.current.turn;
  }

  setCurrentNamespace(namespace: Namespace): void {
    if (namespace === this.namespace) return;
    this.namespace = namespace;
    if (this.directories.lieApart) this.directory = this.directories.of(namespace);
    else {
      this.rowNamespace = namespace;
      if (namespace !== undefined) this.namespaceHash = hashOf(namespace);
    }
    this.forgetTurn();
  }

  /** The row of the current key is to be looked up. */
  forgetTurn(): void {
    this.turn = NO_TURN;
  }

  read(): unknown {
    if (this.turn !== this.current.turn) this.lookUp();
    return this.at < 0 ? ABSENT : this.block.read(this.at);
  }

  write(value: unknown): void {
    if (this.turn !== this.current.turn) this.lookUp();
    const { at, block } = this;
    if (at >= 0 && --this.untilLook > 0 && block.cut === this.cut) block.writeTrusted(at, value);
    else this.writeWithCare(value);
  }

  remove(): void {
    if (this.turn !== this.current.turn) this.lookUp();
    if (this.at < 0) return;
    this.groups[this.current.group]!.remove(this.directory, this.block, this.at);
    this.at = -1;
    if (this.directory.count === 0) this.forgetDirectory();
  }

  get rowCount(): number {
    return this.groups.reduce((sum, { count }) => sum + count, 0);
  }

  openNamespaces(): readonly Namespace[] {
    this.checkApart();
    return this.directories.inOrder().flatMap(({ count, namespace }) => (count > 0 ? [namespace] : []));
  }

  readGroup(keyGroup: number, keys: Key[], values?: unknown[]): number {
    this.checkApart();
    let count = 0;
    for (const block of this.directory.blocksOf(keyGroup - this.options.keyGroups.first)) {
      for (let at = 0; at < block.places; at++) {
        if (!block.isTaken(at)) continue;
        keys[count] = block.keys[at]!;
        if (values !== undefined) values[count] = block.read(at);
        count++;
      }
    }
    return count;
  }

  dropGroup(keyGroup: number): void {
    this.checkApart();
    this.groups[keyGroup - this.options.keyGroups.first]!.removeAll(this.directory);
    this.forgetTurn();
    if (this.directory.count === 0) this.forgetDirectory();
  }

  namespaces(): readonly Namespace[] {
    return this.listing().namespacesOf(this.keyInUse());
  }

  countNamespaces(): number {
    return this.listing().countOf(this.keyInUse());
  }

  removeKey(): void {
    const before = this.namespace;
    for (const namespace of this.namespaces()) {
      this.setCurrentNamespace(namespace);
      this.remove();
    }
    this.setCurrentNamespace(before);
  }

  *rows(): Generator<StateRow, void, undefined> {
    const directories = this.directories.inOrder();
    for (const group of this.groups) {
      for (const directory of directories) {
        if (group.count === 0) break;
        yield* this.rowsOf(group, directory);
      }
    }
  }

  /** `base`: gives only what has changed since that cut, if that is known. */
  snapshot(base?: number): SnapshotCursor {
    const { operator, name, keyGroups } = this.options;
    const isRead = this.cursors.some((one) => one.base !== undefined);
    const cut = ++this.cut;
    const cursor = new HeapCursor({
      operator,
      state: name,
      firstKeyGroup: keyGroups.first,
      groups: this.groups,
      cut,
      base: this.history.baseFor(base, cut, isRead),
      columns: this.columns,
      passed: (group, block) => this.passed(group, block),
      closed: (closed) => {
        if (closed.entries > 0 && closed.base === undefined) this.bytesPerRow = closed.bytes / closed.entries;
        this.cursors = this.cursors.filter((one) => one !== closed);
        this.spares.trim();
      },
    });
    this.cursors = [...this.cursors, cursor];
    return cursor;
  }

  /** The restored rows count as a cut. */
  restored(): void {
    this.cut = RESTORED_CUT;
    this.directories.of(undefined).expectNothing();
    this.history.restored(RESTORED_CUT);
  }

  restorer(source: SnapshotBytes): StateRestorer {
    const { operator, name, keyGroups, maxParallelism } = this.options;
    invariant(this.cut === 0, `state "${name}" of "${operator}" is restored after a cut was taken of it`);
    const { groups, directories } = this;
    const rows = new HeapRows({ groups, directories, emptied: (directory) => this.forget(directory) });
    return new ChunkRestorer({
      source,
      keyGroups,
      maxParallelism,
      expect: (group, entries) => rows.expect(group, entries),
      put: (group, key, namespace, value) => rows.put(group, key, namespace, value),
      removeAll: (group, namespace) => rows.removeAll(group, namespace),
      took: (bytes, entries) => {
        this.bytesPerRow = bytes / entries;
        this.directory = this.directories.of(this.namespace);
        this.forgetTurn();
      },
    });
  }

  /** Keys of one group of the subtask. */
  addKeys(group: number, keys: Set<Key>): void {
    if (this.groups[group]!.count === 0) return;
    for (const directory of this.directories.inOrder()) {
      for (const { key } of addressesOf(group, directory)) keys.add(key);
    }
  }

  close(): void {
    for (const cursor of this.cursors) cursor.cancel();
  }

  keepsRemoval(): boolean {
    return this.history.keepsNext(this.cut);
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

  /** A cursor has read the block. */
  private passed(group: RowGroup, block: Block): void {
    if (block === NO_ROWS || group.has(block) || this.needsBlock(group, block.index, block.cut)) return;
    block.release(this.spares);
  }

  /**
   * A new row, one in a block that a cursor may need, or a value that is looked at closely. One function for all of
   * them: it is too large for V8 to put it into the user's loop instead of what most updates need.
   */
  private writeWithCare(value: unknown): void {
    const { current } = this;
    const group = this.groups[current.group]!;
    if (this.at < 0) {
      const hash = this.rowHash;
      if (this.directory.count === 0) this.directory = this.directories.forNew(this.namespace, this.cut);
      this.at = group.append(this.directory, current.key, this.rowNamespace, hash, value);
      this.block = this.directory.at(current.group, hash);
      return;
    }
    if (this.block.cut !== this.cut) this.block = group.own(this.directory, this.block);
    const isTrusted = this.untilLook > 0;
    this.block.write(this.at, value, isTrusted);
    if (isTrusted) return;
    if (this.closeLooks > 0) this.closeLooks--;
    this.untilLook = this.closeLooks > 0 ? 1 : SAMPLED_EVERY;
  }

  /** The hash of the current key and namespace. */
  private get rowHash(): number {
    const { hash } = this.current;
    return this.rowNamespace === undefined ? hash : withNamespace(hash, this.namespaceHash);
  }

  private *rowsOf({ place }: RowGroup, directory: Directory): Generator<StateRow, void, undefined> {
    const { first } = this.options.keyGroups;
    for (const { hash, key, namespace } of addressesOf(place, directory)) {
      const block = directory.at(place, hash);
      const at = block.find(hash, key, namespace);
      if (at < 0) continue;
      yield {
        keyGroup: first + place,
        key,
        namespace: namespace ?? directory.namespace,
        value: block.read(at),
      };
    }
  }

  /** The current namespace has no rows any more. Blocks without rows may stand there. */
  private forgetDirectory(): void {
    this.forget(this.directory);
    this.directory = this.directories.of(this.namespace);
    this.forgetTurn();
  }

  /** Lets go of a directory without rows. */
  private forget(directory: Directory): void {
    if (!this.directories.lieApart) return;
    for (const group of this.groups) group.drop(directory);
    this.directories.remove(directory);
  }

  private checkApart(): void {
    invariantOpened(this.directories.lieApart, this.options, "with namespaces that lie apart");
  }

  private listing(): NamespaceIndex {
    invariantOpened(this.index !== undefined, this.options, "to list namespaces");
    return this.index;
  }

  private keyInUse(): Key {
    if (this.current.group < 0) this.refuseWithoutKey();
    return this.current.key;
  }

  private lookUp(): void {
    const { current } = this;
    const { hash } = current;
    const block = this.directory.at(current.group, hash);
    if (current.isOwn === true && block.hasOwnHashes === true && this.rowNamespace === undefined) {
      this.block = block;
      this.at = block.findOwn(hash);
    } else this.lookUpByKey();
    this.turn = current.turn;
  }

  private lookUpByKey(): void {
    const { current } = this;
    if (current.group < 0) this.refuseWithoutKey();
    const hash = this.rowHash;
    this.block = this.directory.at(current.group, hash);
    this.at = this.block.find(hash, current.key, this.rowNamespace);
  }

  private refuseWithoutKey(): never {
    throw usedWithoutKey(this.options.operator, this.name);
  }
}
