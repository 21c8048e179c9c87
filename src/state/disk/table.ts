/**
 * A table on disk: rows that are used are in memory, all others in a store, and cuts of both stop nothing.
 *
 * Owns: the rows of one keyed state in one subtask, and what its open cuts need of rows that change. Does not own:
 * where a row lies (shelf.ts), which rows are in memory (row-cache.ts), the walk of a cursor (cursor.ts).
 *
 * - DQ1 Taking a cut does not depend on the number of rows: it raises a number and makes a cursor. Nothing is written.
 * - DQ2 A row says since which cut it has been changed, in memory and in the store. Before it changes for the first
 *   time after a cut, each cursor that has not passed its place keeps what it held. So a cursor gives what it finds and
 *   what it kept, wherever rows move meanwhile, and holds no reading of the store open between two steps.
 * - DQ3 A shelf that is dropped as a whole stays as it was for the cursors that have to read it.
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
import { freeze } from "../frozen.ts";
import type { BackendTable, TableSurroundings } from "../heap/backend.ts";
import { type CurrentKey, invariantOpened, usedWithoutKey } from "../heap/current-key.ts";
import { hashOfRow, withNamespace } from "../heap/row-hash.ts";
import { hashOf } from "../key-groups.ts";
import { ChunkRestorer } from "../snapshot/chunk-restorer.ts";
import { ColumnEncoder } from "../snapshot/columns.ts";
import { ownKey, ownString } from "../snapshot/own-key.ts";
import { Cuts } from "./cuts.ts";
import type { Depot } from "./depot.ts";
import type { StoredNames } from "./names/stored-names.ts";
import { Row } from "./row.ts";
import type { CachedTable } from "./row-cache.ts";
import { ORDER_END, orderOf } from "./row-order.ts";
import type { FoundRow, Shelf } from "./shelf.ts";
import { type Rack, Shelves } from "./shelves.ts";
import { storing } from "./store/row-value.ts";

/** No key has this turn. */
const NO_TURN = 0;
const APART = "with namespaces that lie apart";

export class DiskTable implements BackendTable, CachedTable {
  readonly name: string;
  /** The number of the latest cut. */
  cut = 0;
  bytesPerRow: number | undefined = undefined;
  /** The row for the key and the namespace of the turn. ABSENT as its value, or undefined: there is none. */
  held: Row | undefined = undefined;
  private readonly surroundings: TableSurroundings;
  private readonly depot: Depot;
  private readonly current: CurrentKey;
  private readonly columns = new ColumnEncoder();
  private readonly index: StoredNames | undefined;
  private readonly shelves: Shelves;
  private readonly groups: number;
  private readonly firstGroup: number;
  private readonly cuts: Cuts;
  private namespace: Namespace = undefined;
  private rack: Rack;
  /** The namespace as it stands with a row: undefined where namespaces lie apart. */
  private rowNamespace: Namespace = undefined;
  /** Its hash; it has no meaning in the fixed namespace. */
  private namespaceHash = 0;
  /** The turn of the key that `held` was looked up for. */
  private turn = NO_TURN;
  /** Another number after each change of a row. */
  private changes = 0;

  constructor(surroundings: TableSurroundings, depot: Depot) {
    this.name = surroundings.name;
    this.surroundings = surroundings;
    this.depot = depot;
    this.current = surroundings.current;
    const { keyGroups, listsNamespaces, namespacesApart, keepsChanges } = surroundings;
    this.firstGroup = keyGroups.first;
    this.groups = keyGroups.last - keyGroups.first + 1;
    this.shelves = new Shelves(this.groups, namespacesApart);
    this.rack = this.shelves.of(undefined);
    this.index = listsNamespaces ? depot.openNames() : undefined;
    this.cuts = new Cuts({ groups: this.groups, keepsChanges, rowCount: () => this.rowCount }, depot);
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
    if (this.shelves.lieApart) this.rack = this.shelves.of(namespace);
    else {
      this.rowNamespace = namespace;
      if (namespace !== undefined) this.namespaceHash = hashOf(namespace);
    }
    this.forgetTurn();
  }

  forgetTurn(): void {
    this.turn = NO_TURN;
  }

  read(): unknown {
    if (this.turn !== this.current.turn) this.lookUp();
    return this.held === undefined ? ABSENT : this.held.value;
  }

  write(value: unknown): void {
    if (this.turn !== this.current.turn) this.lookUp();
    const { held } = this;
    if (held === undefined) this.append(value);
    else {
      if (held.changed !== this.cut) this.keepOldOf(this.rack.shelves[this.current.group]!, held);
      if (held.value === ABSENT) this.count(1);
      held.value = value;
      held.isDirty = true;
      held.isPlain = false;
      this.depot.cache.measure(held);
    }
    this.changes++;
  }

  remove(): void {
    if (this.turn !== this.current.turn) this.lookUp();
    const { held } = this;
    if (held === undefined || held.value === ABSENT) return;
    const { group } = this.current;
    if (held.bornAt !== this.cut) {
      this.cuts.tellRemoval(group, held.key, held.namespace ?? this.rack.namespace, this.cut);
    }
    this.removeRow(this.rack.shelves[group]!, held);
    this.count(-1);
    if (!held.isStored) this.held = undefined;
    if (this.rack.live === 0) this.forgetRack();
  }

  get rowCount(): number {
    return this.shelves.inOrder().reduce((sum, { live }) => sum + live, 0);
  }

  openNamespaces(): readonly Namespace[] {
    invariantOpened(this.shelves.lieApart, this.surroundings, APART);
    return this.shelves.inOrder().flatMap(({ live, namespace }) => (live > 0 ? [namespace] : []));
  }

  readGroup(keyGroup: number, keys: Key[], values?: unknown[]): number {
    invariantOpened(this.shelves.lieApart, this.surroundings, APART);
    const rows = this.rack.shelves[keyGroup - this.firstGroup]?.rowsIn(0, ORDER_END) ?? [];
    for (const [i, { key, value }] of rows.entries()) {
      keys[i] = key;
      if (values !== undefined) values[i] = value;
    }
    return rows.length;
  }

  dropGroup(keyGroup: number): void {
    invariantOpened(this.shelves.lieApart, this.surroundings, APART);
    const group = keyGroup - this.firstGroup;
    const shelf = this.rack.shelves[group];
    if (shelf === undefined) return;
    this.rack.shelves[group] = undefined;
    this.rack.live -= shelf.live;
    if (shelf.bornAt !== this.cut && shelf.live > 0) {
      this.cuts.tellRemoval(group, undefined, shelf.namespace, this.cut);
    }
    this.dropShelf(shelf);
    this.forgetTurn();
    if (this.rack.live === 0) this.forgetRack();
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
    for (let group = 0; group < this.groups; group++) {
      for (const shelf of this.shelves.ofGroup(group)) yield* this.rowsOf(shelf);
    }
  }

  /** `base`: gives only what has changed since that cut, if that is known. */
  snapshot(base?: number): SnapshotCursor {
    const { operator, name } = this.surroundings;
    const walk = {
      operator,
      state: name,
      firstKeyGroup: this.firstGroup,
      groups: this.groups,
      cut: ++this.cut,
      columns: this.columns,
      shelvesOf: (group: number) => this.shelves.ofGroup(group),
      passed: (shelf: Shelf) => this.passed(shelf),
    };
    return this.cuts.open(walk, base, (closed) => {
      if (closed.entries > 0 && closed.base === undefined) this.bytesPerRow = closed.bytes / closed.entries;
    });
  }

  restored(): void {
    this.cut = RESTORED_CUT;
    this.cuts.restored(RESTORED_CUT);
  }

  restorer(source: SnapshotBytes): StateRestorer {
    const { operator, name, keyGroups, maxParallelism } = this.surroundings;
    invariant(this.cut === 0, `state "${name}" of "${operator}" is restored after a cut was taken of it`);
    return new ChunkRestorer({
      source,
      keyGroups,
      maxParallelism,
      put: (group, key, namespace, value) => this.restoreRow(group, key, namespace, value),
      removeAll: (group, namespace) => this.restoreRemovals(group, namespace),
      took: (bytes, entries) => {
        this.bytesPerRow = bytes / entries;
        this.rack = this.shelves.of(this.namespace);
        this.forgetTurn();
      },
    });
  }

  addKeys(group: number, keys: Set<Key>): void {
    for (const shelf of this.shelves.ofGroup(group)) {
      for (const { key } of this.rowsOf(shelf)) keys.add(key);
    }
  }

  /** The rows go with the backend's depot. */
  close(): void {
    this.cuts.close();
  }

  writeOut(shelf: Shelf, rows: readonly Row[]): void {
    const { operator, name } = this.surroundings;
    storing(operator, name, () => this.depot.write(shelf, rows));
  }

  private append(value: unknown): void {
    const { group, key, hash } = this.current;
    if (this.rack.live === 0) this.rack = this.shelves.forNew(this.namespace);
    const order = orderOf(this.rowNamespace === undefined ? hash : withNamespace(hash, this.namespaceHash));
    this.addNew(this.shelfFor(this.rack, group), order, key, this.rowNamespace, value);
    this.rack.live++;
  }

  /** The shelf's row of this name is new. It is in hand, so that it stays in memory when others leave it. */
  private addNew(shelf: Shelf, order: number, key: Key, namespace: Namespace, value: unknown): Row {
    const keptNamespace = typeof namespace === "string" ? ownString(namespace) : namespace;
    const row = new Row(order, ownKey(key), keptNamespace, value, this.cut, false);
    shelf.add(row);
    shelf.live++;
    shelf.changedAt = this.cut;
    this.held = row;
    this.depot.cache.added(row);
    this.index?.add(row.key, row.namespace);
    return row;
  }

  private shelfFor(rack: Rack, group: number): Shelf {
    const known = rack.shelves[group];
    if (known !== undefined) return known;
    const { namespace } = rack;
    const shelf = this.depot.open(this, { group, namespace, bornAt: this.cut });
    rack.shelves[group] = shelf;
    return shelf;
  }

  /** The row that is held comes, or goes. */
  private count(rows: 1 | -1): void {
    const { held, rack, index } = this;
    rack.shelves[this.current.group]!.live += rows;
    rack.live += rows;
    if (rows === 1) {
      index?.add(held!.key, held!.namespace);
      // That it was removed has been told.
      held!.bornAt = this.cut;
    } else index?.remove(held!.key, held!.namespace);
  }

  /** Counts nothing. */
  private removeRow(shelf: Shelf, row: Row): void {
    if (row.changed !== this.cut) this.keepOldOf(shelf, row);
    row.value = ABSENT;
    row.isDirty = true;
    this.changes++;
    if (row.isStored) return;
    shelf.unlink(row);
    this.depot.cache.removed();
  }

  private keepOldOf(shelf: Shelf, row: Row): void {
    this.cuts.keep(shelf, row);
    row.changed = this.cut;
    shelf.changedAt = this.cut;
  }

  private restoreRow(group: number, key: Key, given: Namespace, value: unknown): void {
    const namespace = this.shelves.lieApart ? undefined : given;
    const order = orderOf(hashOfRow(key, namespace));
    const rack = this.shelves.of(given);
    const shelf = rack.shelves[group];
    const { cache } = this.depot;
    let row = shelf?.find(order, key, namespace);
    if (row === undefined && shelf !== undefined) {
      row = shelf.load(order, key, namespace);
      if (row !== undefined) cache.rows++;
    }
    if (row !== undefined && row.value !== ABSENT) {
      if (value !== ABSENT) {
        row.value = value;
        row.isDirty = true;
        return;
      }
      shelf!.live--;
      rack.live--;
      this.removeRow(shelf!, row);
      // Others may leave memory for it, and the row is done.
      this.index?.remove(row.key, row.namespace);
    } else if (value !== ABSENT) {
      this.restoreNew(group, given, row, { order, key, namespace, value });
    }
  }

  /** All rows of a namespace in a group are removed; they may lie apart or not. */
  private restoreRemovals(group: number, namespace: Namespace): void {
    const rack = this.shelves.of(namespace);
    const shelf = rack.shelves[group];
    if (shelf === undefined) return;
    if (!this.shelves.lieApart) {
      for (const row of shelf.rowsIn(0, ORDER_END))
        if (row.namespace === namespace) this.restoreRow(group, row.key, namespace, ABSENT);
      return;
    }
    rack.shelves[group] = undefined;
    rack.live -= shelf.live;
    this.dropShelf(shelf);
    if (rack.live === 0) this.shelves.remove(rack);
  }

  /** `gone`: a row of that name was removed, and is in the store still. */
  private restoreNew(
    group: number,
    given: Namespace,
    gone: Row | undefined,
    { order, key, namespace, value }: Omit<FoundRow, "row">,
  ): void {
    const rack = this.shelves.forNew(given);
    const shelf = this.shelfFor(rack, group);
    rack.live++;
    if (gone === undefined) {
      this.addNew(shelf, order, key, namespace, value).isPlain = true;
    } else {
      shelf.live++;
      gone.value = value;
      gone.isDirty = true;
      this.index?.add(gone.key, gone.namespace);
    }
  }

  private *rowsOf(shelf: Shelf): Generator<StateRow, void, undefined> {
    const keyGroup = this.firstGroup + shelf.group;
    for (const { key, namespace, value } of shelf.inOrder(() => this.changes)) {
      yield { keyGroup, key, namespace: namespace ?? shelf.namespace, value: this.given(value) };
    }
  }

  private dropShelf(shelf: Shelf): void {
    this.changes++;
    shelf.readers = this.cuts.keepShelf(shelf);
    if (shelf.readers === 0) this.depot.discard(shelf);
  }

  /** A cursor has read the shelf, or is given up. */
  private passed(shelf: Shelf): void {
    if (shelf.readers !== undefined && --shelf.readers === 0) this.depot.discard(shelf);
  }

  /** The current namespace has no rows any more. */
  private forgetRack(): void {
    if (!this.shelves.lieApart) return;
    for (const shelf of this.rack.shelves) if (shelf !== undefined) this.dropShelf(shelf);
    this.shelves.remove(this.rack);
    this.rack = this.shelves.of(this.namespace);
    this.held = undefined;
    this.forgetTurn();
  }

  private lookUp(): void {
    const { current } = this;
    const { group, hash } = current;
    if (group < 0) throw usedWithoutKey(this.surroundings.operator, this.name);
    const shelf = this.rack.shelves[group];
    this.held = undefined;
    if (shelf !== undefined) {
      const namespace = this.rowNamespace;
      const order = orderOf(namespace === undefined ? hash : withNamespace(hash, this.namespaceHash));
      const row = shelf.find(order, current.key, namespace);
      if (row !== undefined) {
        row.isUsed = true;
        this.held = row;
      } else this.load(shelf, order, namespace);
    }
    this.turn = current.turn;
  }

  private load(shelf: Shelf, order: number, namespace: Namespace): void {
    const row = shelf.load(order, this.current.key, namespace);
    if (row === undefined) return;
    row.value = this.given(row.value);
    this.held = row;
    this.depot.cache.added(row);
  }

  /** A value that comes out of the store. */
  private given(value: unknown): unknown {
    if (this.surroundings.keepsObjects) freeze(value);
    return value;
  }

  private listing(): StoredNames {
    invariantOpened(this.index !== undefined, this.surroundings, "to list namespaces");
    return this.index;
  }

  private keyInUse(): Key {
    if (this.current.group < 0) throw usedWithoutKey(this.surroundings.operator, this.name);
    return this.current.key;
  }
}
