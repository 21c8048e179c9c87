/**
 * Keyed state in the heap: every table is in memory.
 *
 * Owns: the tables of one operator in one subtask, and which of them belongs to which key. Does not own: rows and cuts
 * (table.ts). A backend with other tables is this one, and makes them.
 */
import { invariant, OperatorError } from "../../errors.ts";
import {
  type BaseOf,
  type KeyedBackend,
  type KeyedBackendOptions,
  type NamedCursor,
  RESTORED_CUT,
  type SnapshotBytes,
  type SnapshotCursor,
  type StateRestorer,
  type StateTable,
  type TableOptions,
} from "../contract.ts";
import { describeValue } from "../described.ts";
import type { Key } from "../descriptor.ts";
import { hashOf, hashOfInteger, keyGroupOfHash } from "../key-groups.ts";
import { CurrentKey } from "./current-key.ts";
import { hashOfKey, isOwnHash, SPREAD } from "./row-hash.ts";
import { HeapTable } from "./table.ts";

/** V8 takes a constant of the same module for known, and looks an imported one up at each use. */
const hashInteger = hashOfInteger;
const spreading = SPREAD;
const { imul } = Math;

/** What the backend needs of a table beside what operators do. */
export interface BackendTable extends StateTable {
  /** @param base an earlier cut, since which changes are asked for */
  snapshot(base?: number): SnapshotCursor;
  /** What was restored is there, and counts as the cut RESTORED_CUT. */
  restored(): void;
  restorer(source: SnapshotBytes): StateRestorer;
  /** Adds the keys of one group of the subtask. */
  addKeys(group: number, keys: Set<Key>): void;
  /** The row of the current key is to be looked up. */
  forgetTurn(): void;
  close(): void;
}

export interface StateSize {
  readonly operator: string;
  readonly state: string;
  readonly rows: number;
  readonly bytesPerRow: number | undefined;
}

/** What a table needs to know. */
export interface TableSurroundings extends Required<KeyedBackendOptions>, Required<TableOptions> {
  readonly name: string;
  readonly current: CurrentKey;
}

export class HeapBackend implements KeyedBackend {
  private readonly options: KeyedBackendOptions;
  private readonly maxParallelism: number;
  /** The bits of a hash that pick the key group, where their number is a power of two, as it is by default. */
  private readonly groupMask: number;
  /** How many groups of the subtask the mask picks: none, where their number is no power of two. */
  private readonly maskedCount: number;
  private readonly firstGroup: number;
  private readonly groupCount: number;
  private readonly tables: BackendTable[] = [];
  private readonly current = new CurrentKey();
  /** The number of the latest cut, the same in all tables. */
  private cut = 0;

  constructor(options: KeyedBackendOptions) {
    this.options = options;
    this.maxParallelism = options.maxParallelism;
    const isPower = (options.maxParallelism & (options.maxParallelism - 1)) === 0;
    this.groupMask = options.maxParallelism - 1;
    this.firstGroup = options.keyGroups.first;
    this.groupCount = options.keyGroups.last - options.keyGroups.first + 1;
    this.maskedCount = isPower ? this.groupCount : 0;
  }

  get tableNames(): string[] {
    return this.tables.map((table) => table.name);
  }

  get currentKey(): Key {
    return this.current.key;
  }

  get currentKeyGroup(): number {
    return this.firstGroup + this.current.group;
  }

  openTable(
    name: string,
    { listsNamespaces = false, namespacesApart = false }: TableOptions = {},
  ): StateTable {
    const { operator, keyGroups, maxParallelism, keepsObjects = false, keepsChanges = false } = this.options;
    invariant(!this.tableNames.includes(name), `table "${name}" of "${operator}" is opened twice`);
    const table = this.makeTable({
      operator,
      name,
      keyGroups,
      maxParallelism,
      keepsObjects,
      keepsChanges,
      listsNamespaces,
      namespacesApart,
      current: this.current,
    });
    this.tables.push(table);
    return table;
  }

  setCurrentKey(key: Key): void {
    const hash = typeof key === "number" && (key | 0) === key ? hashInteger(key) : 0;
    const group = (hash & this.groupMask) - this.firstGroup;
    if (hash === 0 || group >>> 0 >= this.maskedCount) {
      this.setOtherKey(key);
      return;
    }
    const { current } = this;
    current.key = key;
    current.isOwn = true;
    // As hashOfKey has it.
    current.hash = imul(hash ^ (hash >>> 15), spreading);
    current.group = group;
    current.turn = (current.turn + 1) | 0;
    if (current.turn === 0) this.forgetTurns();
  }

  leaveCurrentKey(): void {
    const { current } = this;
    current.isOwn = false;
    current.group = -1;
    current.turn = (current.turn + 1) | 0;
    if (current.turn === 0) this.forgetTurns();
  }

  snapshot(baseOf?: BaseOf): NamedCursor[] {
    this.cut++;
    return this.tables.map((table) => {
      const cursor = table.snapshot(baseOf?.(table.name));
      return { state: table.name, cut: this.cut, cursor };
    });
  }

  restored(): void {
    invariant(this.cut === 0, `the state of "${this.options.operator}" was cut before it was restored`);
    this.cut = RESTORED_CUT;
    for (const table of this.tables) table.restored();
  }

  restorer(name: string, source: SnapshotBytes): StateRestorer {
    const table = this.tables.find((candidate) => candidate.name === name);
    invariant(table !== undefined, `operator "${this.options.operator}" has no state "${name}"`);
    return table.restorer(source);
  }

  /** The keys of a group are listed when it is reached. */
  *keys(name?: string, keyGroup?: number): Generator<Key, void, undefined> {
    const tables = name === undefined ? this.tables : this.tables.filter((table) => table.name === name);
    const { first } = this.options.keyGroups;
    const from = keyGroup === undefined ? 0 : keyGroup - first;
    const to = keyGroup === undefined ? this.groupCount : from + 1;
    for (let group = from; group < to; group++) {
      const keys = new Set<Key>();
      for (const table of tables) table.addKeys(group, keys);
      yield* keys;
    }
  }

  /** How many rows each table has, and their mean size where a cut or a restore has shown it. */
  sizes(): StateSize[] {
    const { operator } = this.options;
    return this.tables.map(({ name, rowCount, bytesPerRow }) => ({
      operator,
      state: name,
      rows: rowCount,
      bytesPerRow,
    }));
  }

  close(): void {
    for (const table of this.tables) table.close();
    this.tables.length = 0;
  }

  protected makeTable(surroundings: TableSurroundings): BackendTable {
    return new HeapTable(surroundings);
  }

  /** Any key. */
  private setOtherKey(key: Key): void {
    const hash = hashOf(key);
    const group = keyGroupOfHash(hash, this.maxParallelism) - this.firstGroup;
    if (group >>> 0 >= this.groupCount) this.refuseForeign(key);
    const { current } = this;
    current.key = key;
    current.hash = hashOfKey(hash);
    current.isOwn = isOwnHash(key, current.hash);
    current.group = group;
    current.turn = (current.turn + 1) | 0;
    if (current.turn === 0) this.forgetTurns();
  }

  /** Turns begin again: none may be taken for one that was 2^32 turns ago. */
  private forgetTurns(): void {
    this.current.turn = 1;
    for (const table of this.tables) table.forgetTurn();
  }

  /** The sender has picked this subtask by the same selector: it must have answered another key there. */
  private refuseForeign(key: Key): never {
    throw new OperatorError(
      this.options.operator,
      new Error(
        `its keyBy answers ${describeValue(key)} here, and answered another key where the record came from. A key must ` +
          "follow from the record alone: no random numbers, no clock, nothing that differs from one worker to the next",
      ),
    );
  }
}
