/**
 * Which namespaces each key of a table has. Nothing of it is stored: a restored table fills it anew.
 *
 * Owns: the lists. Does not own: whether a row is there: row-group.ts tells of each row once when it is new, and once
 * when it is removed.
 *
 * To note a change takes the same short time however many namespaces a key has. The list is brought up to date when it
 * is read.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { compareNames } from "../name-order.ts";

/** So many removed ones may be remembered, or as many as there are others: a list that is never read does not grow. */
const REMEMBERED_MIN = 64;

const NONE: readonly Namespace[] = [];

/** The namespaces of one key. */
export class NamespaceList {
  count = 0;
  /** In order; a new array for each change, because it is handed out. */
  private sorted: readonly Namespace[] = NONE;
  /** Those that are new since it was brought up to date. */
  private added: Namespace[] = [];
  /** Those among `sorted` and `added` that are there no more. */
  private removed: Set<Namespace> | undefined = undefined;

  add(namespace: Namespace): void {
    this.count++;
    if (this.removed?.delete(namespace) !== true) this.added.push(namespace);
  }

  remove(namespace: Namespace): void {
    this.count--;
    this.removed ??= new Set();
    this.removed.add(namespace);
    if (this.removed.size > REMEMBERED_MIN && this.removed.size > this.count) this.read();
  }

  read(): readonly Namespace[] {
    const { removed } = this;
    if (removed !== undefined) {
      this.sorted = without(this.sorted, removed);
      this.added = this.added.filter((namespace) => !removed.has(namespace));
      this.removed = undefined;
    }
    if (this.added.length > 0) {
      this.sorted = merged(this.sorted, inOrder(this.added));
      this.added = [];
    }
    return this.sorted;
  }
}

export class NamespaceIndex {
  /** Most keys have one namespace: it stands here itself. */
  private readonly byKey = new Map<Key, string | number | NamespaceList>();

  add(key: Key, namespace: Namespace): void {
    const known = this.byKey.get(key);
    if (known instanceof NamespaceList) {
      known.add(namespace);
    } else if (known === undefined && namespace !== undefined) {
      this.byKey.set(key, namespace);
    } else {
      const list = new NamespaceList();
      if (known !== undefined) list.add(known);
      list.add(namespace);
      this.byKey.set(key, list);
    }
  }

  remove(key: Key, namespace: Namespace): void {
    const known = this.byKey.get(key);
    if (!(known instanceof NamespaceList)) this.byKey.delete(key);
    else if (known.count === 1) this.byKey.delete(key);
    else known.remove(namespace);
  }

  countOf(key: Key): number {
    const known = this.byKey.get(key);
    if (known === undefined) return 0;
    return known instanceof NamespaceList ? known.count : 1;
  }

  namespacesOf(key: Key): readonly Namespace[] {
    const known = this.byKey.get(key);
    if (known === undefined) return NONE;
    return known instanceof NamespaceList ? known.read() : [known];
  }
}

/** Sorting by type first lets V8 compare without asking for types: ten times as fast for long lists. */
function inOrder(namespaces: readonly Namespace[]): readonly Namespace[] {
  const fixed: Namespace[] = [];
  const numbers: number[] = [];
  const texts: string[] = [];
  for (const namespace of namespaces) {
    if (typeof namespace === "number") numbers.push(namespace);
    else if (typeof namespace === "string") texts.push(namespace);
    else fixed.push(namespace);
  }
  return [...fixed, ...Float64Array.from(numbers).sort(), ...texts.sort()];
}

/** Few names are searched for in a list, and more of them make it be walked through. */
function areFew(count: number, length: number): boolean {
  return count <= 500 && count * 16 <= length;
}

function without(sorted: readonly Namespace[], removed: ReadonlySet<Namespace>): readonly Namespace[] {
  if (!areFew(removed.size, sorted.length)) return sorted.filter((namespace) => !removed.has(namespace));
  const places: number[] = [];
  for (const namespace of removed) {
    const at = placeOf(namespace, sorted, 0);
    if (at < sorted.length && compareNames(sorted[at], namespace) === 0) places.push(at);
  }
  const pieces: (readonly Namespace[])[] = [];
  let from = 0;
  for (const at of places.sort((a, b) => a - b)) {
    pieces.push(sorted.slice(from, at));
    from = at + 1;
  }
  return NONE.concat(...pieces, sorted.slice(from));
}

/** Both are in order, and have nothing in common. */
function merged(a: readonly Namespace[], b: readonly Namespace[]): readonly Namespace[] {
  if (a.length === 0) return b;
  if (!areFew(b.length, a.length)) return inOrder([...a, ...b]);
  const pieces: (readonly Namespace[])[] = [];
  let from = 0;
  for (const namespace of b) {
    const at = placeOf(namespace, a, from);
    pieces.push(a.slice(from, at), [namespace]);
    from = at;
  }
  return NONE.concat(...pieces, a.slice(from));
}

/** The place of the first one that does not come before `namespace`, from a place on that is not behind it. */
function placeOf(namespace: Namespace, sorted: readonly Namespace[], from: number): number {
  let low = from;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareNames(sorted[middle], namespace) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
