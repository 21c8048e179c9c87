/**
 * What the rows of a table held at one cut that have changed since, until its cursor has given it.
 *
 * Owns: how much of that is in memory. Does not own: which rows the cursor needs (cursor.ts).
 *
 * - KV1 They count as rows in memory. Where these have more than their part, all that are here are written into the
 *   store, under a number of their own: so a cut that is read slowly costs disk, and memory does not grow with it.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { DepotPlace } from "./depot-place.ts";
import type { Row } from "./row.ts";
import type { Shelf } from "./shelf.ts";
import { lookClosely, namesOf, valueIn } from "./store/row-value.ts";

/** A transaction is worth so many. */
const WRITTEN_MIN = 128;

interface KeptRow {
  readonly key: Key;
  /** undefined: it is the shelf's. */
  readonly namespace: Namespace;
  readonly value: unknown;
  readonly isPlain: boolean;
}

/** The rows of one shelf. */
interface Kept {
  rows: KeptRow[];
  /** How many rows are in the store that have not been given. */
  stored: number;
  /** They begin here; undefined: none was given. */
  from: Uint8Array | undefined;
}

export type TakeKept = (key: Key, namespace: Namespace, value: unknown, isPlain: boolean) => void;

export class KeptRows {
  private readonly place: DepotPlace;
  private readonly byShelf = new Map<Shelf, Kept>();
  private inMemory = 0;
  /** Theirs in the store; undefined: nothing was written. */
  private number: number | undefined = undefined;

  constructor(place: DepotPlace) {
    this.place = place;
  }

  /**
   * The row is about to change, for the first time since the cut.
   * @throws ValueRefusedError, EnvironmentError
   */
  add(shelf: Shelf, { key, namespace, value, isPlain }: Row): void {
    const row = { key, namespace, value, isPlain };
    const kept = this.byShelf.get(shelf);
    if (kept === undefined) this.byShelf.set(shelf, { rows: [row], stored: 0, from: undefined });
    else kept.rows.push(row);
    this.inMemory++;
    if (this.place.cache.addBeside() && this.inMemory >= WRITTEN_MIN) this.write();
  }

  countOf(shelf: Shelf): number {
    const kept = this.byShelf.get(shelf);
    return kept === undefined ? 0 : kept.rows.length + kept.stored;
  }

  /** Gives some rows of the shelf, at most so many. true: there are no more. */
  take(shelf: Shelf, most: number, take: TakeKept): boolean {
    const kept = this.byShelf.get(shelf);
    if (kept === undefined) return true;
    const given = Math.min(most, kept.rows.length);
    for (const row of kept.rows.splice(kept.rows.length - given, given)) {
      take(row.key, row.namespace ?? shelf.namespace, row.value, row.isPlain);
    }
    this.left(given);
    if (given < most && kept.stored > 0) this.takeStored(shelf, kept, most - given, take);
    if (kept.rows.length + kept.stored > 0) return false;
    this.byShelf.delete(shelf);
    return true;
  }

  close(): void {
    this.left(this.inMemory);
    this.byShelf.clear();
    if (this.number !== undefined) this.place.discardNumber(this.number);
    this.number = undefined;
  }

  private left(rows: number): void {
    this.inMemory -= rows;
    this.place.cache.removeBeside(rows);
  }

  private write(): void {
    const { store, keys, values } = this.place;
    for (const { rows } of this.byShelf.values()) {
      for (const { key, value, isPlain } of rows) if (!isPlain) lookClosely(key, value);
    }
    this.number ??= this.place.openNumber();
    const { number } = this;
    store.transaction(() => {
      for (const [shelf, { rows }] of this.byShelf) {
        for (const { key, namespace, value } of rows) {
          const address = keys.write(number, shelf.number, key, namespace);
          store.put(address, values.write(0, key, value, keys.longNames));
        }
      }
    });
    for (const kept of this.byShelf.values()) {
      kept.stored += kept.rows.length;
      kept.rows = [];
    }
    this.left(this.inMemory);
  }

  private takeStored(shelf: Shelf, kept: Kept, most: number, take: TakeKept): void {
    const { store, keys } = this.place;
    const { number } = this;
    const from = kept.from ?? keys.bound(0, number!, shelf.number);
    let last: Uint8Array | undefined;
    store.range(from, keys.bound(1, number!, shelf.number + 1), most, (address, bytes) => {
      const { key, namespace } = namesOf(address, bytes);
      take(key, namespace ?? shelf.namespace, valueIn(address, bytes), true);
      kept.stored--;
      last = behind(address);
    });
    kept.from = last;
  }
}

/** The first address behind this one. */
function behind(address: Uint8Array): Uint8Array {
  const next = new Uint8Array(address.length + 1);
  next.set(address);
  return next;
}
