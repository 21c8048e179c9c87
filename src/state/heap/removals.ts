/**
 * The rows of one key group that have been removed, for cursors that give only what has changed since an earlier cut.
 *
 * Owns: their addresses, oldest first, and for how long they are kept. Does not own: which removals have to be told
 * (row-group.ts). A list only grows at its end, so a cursor keeps the list and its length.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";

export class Removals {
  /** undefined: all rows of the namespace, in this key group. */
  readonly keys: (Key | undefined)[] = [];
  readonly namespaces: Namespace[] = [];
  /** The numbers of the cuts since which they have been removed. */
  private readonly cuts: number[] = [];

  get count(): number {
    return this.keys.length;
  }

  add(key: Key | undefined, namespace: Namespace, cut: number): void {
    this.keys.push(key);
    this.namespaces.push(namespace);
    this.cuts.push(cut);
  }

  /** The first that was removed behind a cut. */
  firstSince(cut: number): number {
    let low = 0;
    let high = this.cuts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.cuts[middle]! < cut) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Those behind a cut, in a list of their own. */
  since(cut: number): Removals {
    const first = this.firstSince(cut);
    if (first === 0) return this;
    const left = new Removals();
    for (let i = first; i < this.count; i++) left.add(this.keys[i], this.namespaces[i], this.cuts[i]!);
    return left;
  }
}

export const NO_REMOVALS: Removals = new Removals();

/** Fewer are always kept. */
const REMOVALS_MIN = 4096;
/** The rows are counted at every so many removals. */
const COUNTED_EVERY = 1024;

/** The groups of a table, and how many rows they hold together. */
interface RemovalsHome {
  readonly groups: readonly { removals: Removals }[];
  readonly rowCount: number;
}

/**
 * For how long the removals of a table are kept: since the cut of all rows that the caller's base goes back to. When
 * they outnumber the rows, they are forgotten: a cut of all rows costs less than they do.
 */
export class RemovalHistory {
  private readonly home: RemovalsHome;
  private readonly isKept: boolean;
  private count = 0;
  /** All changes since this cut are known; it may be one that is still to be taken. */
  private knownSince = 0;
  /** The cuts of all rows, oldest first, that a base may go back to. */
  private wholeCuts: number[] = [];

  constructor(home: RemovalsHome, isKept: boolean) {
    this.home = home;
    this.isKept = isKept;
  }

  /** Whether a removal is to be kept. `cut`: the number of the latest one. */
  keepsNext(cut: number): boolean {
    if (!this.isKept || this.knownSince > cut) return false;
    this.count++;
    const isCounted = this.count > REMOVALS_MIN && this.count % COUNTED_EVERY === 0;
    if (isCounted && this.count > this.home.rowCount) this.knownSince = cut + 1;
    return true;
  }

  /**
   * The base that a cut can have.
   * @param wanted by the caller
   * @param cut its number
   * @param isRead cursors with a base are open
   */
  baseFor(wanted: number | undefined, cut: number, isRead: boolean): number | undefined {
    if (!this.isKept) return undefined;
    if (this.knownSince >= cut) this.beginAnew(cut, isRead);
    const base = wanted !== undefined && wanted >= this.knownSince ? wanted : undefined;
    if (base === undefined) this.wholeCuts.push(cut);
    else this.forgetBefore(base, isRead);
    return base;
  }

  /** The restored rows count as a cut of all rows. */
  restored(cut: number): void {
    this.wholeCuts.push(cut);
  }

  private beginAnew(cut: number, isRead: boolean): void {
    this.knownSince = isRead ? cut + 1 : cut;
    if (isRead) return;
    for (const group of this.home.groups) group.removals = NO_REMOVALS;
    this.count = 0;
  }

  /** What no base that comes after this one needs. */
  private forgetBefore(base: number, isRead: boolean): void {
    const at = this.wholeCuts.findLastIndex((cut) => cut <= base);
    const first = this.wholeCuts[at];
    if (first === undefined || first <= this.knownSince || isRead) return;
    this.wholeCuts = this.wholeCuts.slice(at);
    this.knownSince = first;
    this.count = 0;
    for (const group of this.home.groups) {
      group.removals = group.removals.since(first);
      this.count += group.removals.count;
    }
  }
}
