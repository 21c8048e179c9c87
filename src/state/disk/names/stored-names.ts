/**
 * The namespaces of each key of a table on disk, where the table lists them: those of some keys are in memory, all
 * others in the store. A restored table fills it anew.
 *
 * Owns: where a name lies. Does not own: whether a row is there: the table tells of each once when it is new, and once
 * when it is removed.
 *
 * - IQ1 In memory are changes against the store, and the names of keys that were listed. To note a change reads
 *   nothing, however many names the key has.
 * - IQ2 They count as rows in memory. Where there are too many, what has been there the longest leaves, and changes are
 *   written then: what fits is never written.
 */
import type { Namespace } from "../../contract.ts";
import type { Key } from "../../descriptor.ts";
import { NamespaceList } from "../../heap/namespace-index.ts";
import { hashOf } from "../../key-groups.ts";
import type { DepotPlace } from "../depot-place.ts";
import { namesOf } from "../store/row-value.ts";

/** Well under a millisecond of writing. */
const WRITTEN_MAX = 256;
const PASSED_MAX = 64;
/** Less does not leave, whatever others have in memory: a transaction is to be worth it. */
const COUNTED_MIN = 64;
/** A key without names takes as much memory as so many rows. */
const KEY_ROWS = 2;

interface KeyNames {
  /** All names; undefined: they were not read. */
  all: NamespaceList | undefined;
  /** true: the name is not in the store yet; false: it is still there. */
  readonly changes: Map<Namespace, boolean>;
  /** As how many rows it counts. */
  counted: number;
}

interface Change {
  readonly key: Key;
  readonly namespace: Namespace;
  readonly isNew: boolean;
}

export class StoredNames {
  private readonly place: DepotPlace;
  private readonly number: number;
  /** Those that have been here the longest come first. */
  private readonly byKey = new Map<Key, KeyNames>();
  private counted = 0;
  /** How many names the store has. */
  private stored = 0;

  constructor(place: DepotPlace) {
    this.place = place;
    this.number = place.openNumber();
  }

  add(key: Key, namespace: Namespace): void {
    const names = this.namesOf(key);
    names.all?.add(namespace);
    if (!names.changes.delete(namespace)) names.changes.set(namespace, true);
    this.count(names);
  }

  remove(key: Key, namespace: Namespace): void {
    const names = this.namesOf(key);
    names.all?.remove(namespace);
    if (!names.changes.delete(namespace)) names.changes.set(namespace, false);
    this.count(names);
  }

  countOf(key: Key): number {
    return this.listOf(key).count;
  }

  namespacesOf(key: Key): readonly Namespace[] {
    return this.listOf(key).read();
  }

  /** The store goes as well. */
  close(): void {
    this.place.cache.removeBeside(this.counted);
    this.counted = 0;
    this.byKey.clear();
  }

  private namesOf(key: Key): KeyNames {
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const names: KeyNames = { all: undefined, changes: new Map(), counted: 0 };
    this.byKey.set(key, names);
    return names;
  }

  private listOf(key: Key): NamespaceList {
    const names = this.namesOf(key);
    const all = names.all ?? this.readAll(key, names);
    names.all = all;
    // It has been here the shortest.
    this.byKey.delete(key);
    this.byKey.set(key, names);
    this.count(names);
    return all;
  }

  private readAll(key: Key, { changes }: KeyNames): NamespaceList {
    const all = new NamespaceList();
    if (this.stored > 0) {
      const { store, keys } = this.place;
      const order = hashOf(key) >>> 0;
      const [from, to] = [keys.bound(0, this.number, order), keys.bound(1, this.number, order + 1)];
      store.range(from, to, Number.POSITIVE_INFINITY, (address, bytes) => {
        const found = namesOf(address, bytes);
        if (isSame(found.key, key) && changes.get(found.namespace) !== false) all.add(found.namespace);
      });
    }
    for (const [namespace, isNew] of changes) if (isNew) all.add(namespace);
    return all;
  }

  private count(names: KeyNames): void {
    const { cache } = this.place;
    const rows = KEY_ROWS + names.changes.size + (names.all?.count ?? 0);
    const more = rows - names.counted;
    names.counted = rows;
    this.counted += more;
    if (more < 0) cache.removeBeside(-more);
    else if (cache.addBeside(more) && this.counted > COUNTED_MIN) this.makeRoom();
  }

  /** Some keys leave memory, and of one with many changes as many as are written at a time. */
  private makeRoom(): void {
    const changes: Change[] = [];
    let passed = 0;
    for (const [key, names] of this.byKey) {
      names.all = undefined;
      for (const [namespace, isNew] of names.changes) {
        if (changes.length >= WRITTEN_MAX) break;
        changes.push({ key, namespace, isNew });
        names.changes.delete(namespace);
      }
      const left = names.changes.size === 0 ? 0 : KEY_ROWS + names.changes.size;
      this.place.cache.removeBeside(names.counted - left);
      this.counted -= names.counted - left;
      names.counted = left;
      if (left === 0) this.byKey.delete(key);
      if (changes.length >= WRITTEN_MAX || ++passed >= PASSED_MAX) break;
    }
    if (changes.length > 0) this.write(changes);
  }

  private write(changes: readonly Change[]): void {
    const { store, keys, values } = this.place;
    store.transaction(() => {
      for (const { key, namespace, isNew } of changes) {
        const address = keys.write(this.number, hashOf(key), key, namespace);
        if (isNew) store.put(address, values.write(0, key, 0, keys.longNames));
        else store.remove(address);
        this.stored += isNew ? 1 : -1;
      }
    });
  }
}

/** Whether two keys are the same to a Map. */
function isSame(a: Key, b: Key): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}
