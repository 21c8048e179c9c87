/**
 * An order of times in the store: the entries that are due first are in memory, all others are not.
 *
 * Owns: which entries lie where. Does not own: how many may be in memory (row-cache.ts), their bytes (order-rows.ts).
 *
 * - NQ1 In memory are all entries in front of a place, and nothing behind it. Behind it, entries lie in the store, or
 *   wait to be written there. So the first entry is in memory if there is any.
 * - NQ2 Pages of entries leave memory from the last one on, and come back from the first one on: an entry is written
 *   once, or twice if it came in front of the place. While all of them fit, none is written.
 * - NQ3 Writes gather until a transaction is worth it; an entry that goes before has cost none.
 */
import { invariant } from "../../../errors.ts";
import type { Namespace } from "../../contract.ts";
import type { Key } from "../../descriptor.ts";
import type { TimeOrder } from "../../timers/time-order.ts";
import type { RowCache } from "../row-cache.ts";
import { type Entry, isBefore, type Place } from "./entry.ts";
import type { OrderRows } from "./order-rows.ts";

/** Well under a millisecond of writing or reading. */
const PAGE_MAX = 256;
/** Smaller ones would cost a transaction for each few entries. */
const PAGE_MIN = 16;
/** So many writes and removals are gathered. */
const GATHERED_MAX = 128;

export class PagedOrder implements TimeOrder {
  private readonly rows: OrderRows;
  private readonly cache: RowCache;
  /** Entries from the last to the first, in memory and not: the first one is the last of all. No page is empty. */
  private readonly pages: Entry[][] = [];
  private inMemory = 0;
  private stored = 0;
  /** What is not in memory begins here; undefined: all is. */
  private bound: Place | undefined = undefined;
  /** By their ordinals. */
  private readonly toWrite = new Map<number, Entry>();
  private toRemove: Place[] = [];

  constructor(rows: OrderRows, cache: RowCache) {
    this.rows = rows;
    this.cache = cache;
  }

  get size(): number {
    return this.inMemory + this.stored + this.toWrite.size;
  }

  get firstTime(): number | undefined {
    return this.front?.time;
  }

  get firstGroup(): number {
    return this.front!.group;
  }

  get firstOrdinal(): number {
    return this.front!.ordinal;
  }

  get firstKey(): Key {
    return this.front!.key;
  }

  get firstNamespace(): Namespace {
    return this.front!.namespace;
  }

  add(group: number, time: number, ordinal: number, key: Key, namespace: Namespace): void {
    // 0 and -0 are one time.
    const entry: Entry = { time: time + 0, group, ordinal, key, namespace };
    if (this.bound !== undefined && !isBefore(entry, this.bound)) {
      this.toWrite.set(ordinal, entry);
      this.gathered();
      return;
    }
    this.insert(entry);
    this.inMemory++;
    if (this.cache.addBeside() && this.pages.length > 1) this.writeLastPage();
  }

  removeFirst(): void {
    const { pages } = this;
    const page = pages[pages.length - 1]!;
    page.pop();
    this.left(1);
    if (page.length > 0) return;
    pages.pop();
    if (pages.length === 0) this.refill();
  }

  delete(group: number, ordinal: number, time: number | undefined): void {
    if (time === undefined || this.toWrite.delete(ordinal)) return;
    const place = { time: time + 0, group, ordinal };
    if (this.bound !== undefined && !isBefore(place, this.bound)) {
      this.stored--;
      this.toRemove.push(place);
      this.gathered();
      return;
    }
    const number = this.pageOf(place);
    const page = this.pages[number]!;
    const at = placeIn(page, place);
    invariant(page[at]?.ordinal === ordinal, `there is no entry ${ordinal} at ${time}`);
    page.splice(at, 1);
    this.left(1);
    if (page.length > 0) return;
    this.pages.splice(number, 1);
    if (this.pages.length === 0) this.refill();
  }

  lookAtDue(time: number, max: number, look: (key: Key, namespace: Namespace) => void): number {
    const stride = Math.max(1, Math.ceil(this.inMemory / max));
    let next = 0;
    for (const page of this.pages) {
      for (; next < page.length; next += stride) {
        const entry = page[next]!;
        if (entry.time <= time) look(entry.key, entry.namespace);
      }
      next -= page.length;
    }
    if (stride === 1) this.lookAtStored(time, max - this.inMemory, look);
    return stride;
  }

  /** The store goes as well. */
  close(): void {
    this.left(this.inMemory);
    this.pages.length = 0;
  }

  private lookAtStored(time: number, max: number, look: (key: Key, namespace: Namespace) => void): void {
    if (max <= 0 || this.bound === undefined || this.bound.time > time) return;
    this.write();
    for (const entry of this.rows.first(max)) if (entry.time <= time) look(entry.key, entry.namespace);
  }

  private get front(): Entry | undefined {
    const page = this.pages[this.pages.length - 1];
    return page?.[page.length - 1];
  }

  private insert(entry: Entry): void {
    const { pages } = this;
    if (pages.length === 0) {
      pages.push([entry]);
      return;
    }
    const number = this.pageOf(entry);
    const page = pages[number]!;
    const at = placeIn(page, entry);
    page.splice(at, 0, entry);
    if (page.length <= this.pageMax) return;
    // Entries that come in order leave full pages behind.
    const isLast = number === 0 && at === 0;
    pages.splice(number, 0, page.splice(0, isLast ? 1 : page.length >> 1));
  }

  /** The page in which the place is, or would be. */
  private pageOf(place: Place): number {
    const { pages } = this;
    let low = 0;
    let high = pages.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      const page = pages[middle]!;
      if (isBefore(place, page[page.length - 1]!)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private get pageMax(): number {
    return Math.max(PAGE_MIN, Math.min(PAGE_MAX, this.cache.besideMax));
  }

  private left(entries: number): void {
    this.inMemory -= entries;
    this.cache.removeBeside(entries);
  }

  private writeLastPage(): void {
    const page = this.pages.shift()!;
    this.left(page.length);
    for (const entry of page) this.toWrite.set(entry.ordinal, entry);
    this.bound = page[page.length - 1]!;
    this.gathered();
  }

  private gathered(): void {
    if (this.toWrite.size + this.toRemove.length >= GATHERED_MAX) this.write();
  }

  private write(): void {
    if (this.toWrite.size + this.toRemove.length === 0) return;
    this.rows.write(this.waiting(), this.toRemove);
    this.stored += this.toWrite.size;
    this.toWrite.clear();
    this.toRemove = [];
  }

  /** In order. */
  private waiting(): Entry[] {
    return [...this.toWrite.values()].sort((a, b) => (isBefore(a, b) ? -1 : 1));
  }

  /** Nothing is in memory. */
  private refill(): void {
    const isStored = this.stored > 0;
    if (isStored) this.write();
    const most = this.pageMax;
    const found = isStored ? this.rows.first(most + 1) : this.waiting().slice(0, most + 1);
    this.bound = found.length > most ? found.pop() : undefined;
    if (found.length === 0) return;
    if (isStored) {
      this.rows.write([], found);
      this.stored -= found.length;
    } else for (const { ordinal } of found) this.toWrite.delete(ordinal);
    this.pages.push(found.reverse());
    this.inMemory += found.length;
    this.cache.addBeside(found.length);
  }
}

/** The place in a page at which it is, or would be. */
function placeIn(page: readonly Entry[], place: Place): number {
  let low = 0;
  let high = page.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (isBefore(place, page[middle]!)) low = middle + 1;
    else high = middle;
  }
  return low;
}
