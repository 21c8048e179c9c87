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

const NONE: readonly Namespace[] = [];

/** The namespaces of one key. */
class NamespaceList {
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
  }

  read(): readonly Namespace[] {
    const { removed } = this;
    if (removed !== undefined) {
      this.sorted = this.sorted.filter((namespace) => !removed.has(namespace));
      this.added = this.added.filter((namespace) => !removed.has(namespace));
      this.removed = undefined;
    }
    if (this.added.length > 0) {
      this.sorted = merged(this.sorted, sorted(this.added));
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

/** Changes the array. Whatever it is told, `sort` puts undefined last. */
function sorted(namespaces: Namespace[]): Namespace[] {
  namespaces.sort(compareNames);
  if (namespaces[namespaces.length - 1] !== undefined) return namespaces;
  namespaces.pop();
  return [undefined, ...namespaces];
}

/** Both are in order, and have nothing in common. */
function merged(a: readonly Namespace[], b: readonly Namespace[]): readonly Namespace[] {
  if (a.length === 0) return b;
  if (compareNames(a[a.length - 1], b[0]) < 0) return a.concat(b);
  const all: Namespace[] = [];
  let i = 0;
  for (const namespace of b) {
    while (i < a.length && compareNames(a[i], namespace) < 0) all.push(a[i++]);
    all.push(namespace);
  }
  while (i < a.length) all.push(a[i++]);
  return all;
}
