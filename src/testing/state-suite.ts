/**
 * What every keyed state backend does (`src/state/contract.ts`), as named cases for any test runner: ours pass them,
 * and a backend of a user's own has to.
 */
import { deepStrictEqual, ok, strictEqual, throws } from "node:assert/strict";
import { OperatorError } from "../errors.ts";
import {
  ABSENT,
  type KeyedBackend,
  type KeyedBackendOptions,
  type Namespace,
  type SnapshotCursor,
  type StateTable,
} from "../state/contract.ts";
import type { Key } from "../state/descriptor.ts";
import { keyGroupOf } from "../state/key-groups.ts";

export interface StateBackendSuiteOptions {
  /** Opens an empty backend: each case opens some, and closes them. */
  open(options: KeyedBackendOptions): KeyedBackend;
}

/** `run` throws an AssertionError, or what the backend threw, where it breaks the contract. */
export interface StateBackendCase {
  readonly name: string;
  run(): void;
}

type Content = ReadonlyMap<string, unknown>;

const GROUPS = 8;
const OPERATOR = "count";
const TABLE = "rows";
const NAMESPACES: readonly Namespace[] = [undefined, "w", 1, -2.5];
const KEYS = 2000;
const keyOf = (i: number): Key => (i % 3 === 0 ? `key ${i}` : i % 31 === 0 ? BigInt(i) : i);
const valueAt = (i: number): unknown => (i % 2 === 0 ? { count: i, name: `n${i}` } : i / 2);

/**
 * The cases, in an order that begins with the simplest. For node:test and vitest alike:
 * `for (const { name, run } of stateBackendCases({ open })) test(name, run);`
 */
export function stateBackendCases({ open }: StateBackendSuiteOptions): StateBackendCase[] {
  const opened = (first = 0, last = GROUPS - 1): Opened => new Opened(open, { first, last });
  return Object.entries(CASES).map(([name, run]) => ({ name, run: () => run(opened) }));
}

class Opened {
  readonly backend: KeyedBackend;
  readonly table: StateTable;

  constructor(open: StateBackendSuiteOptions["open"], keyGroups: KeyedBackendOptions["keyGroups"]) {
    const options = { operator: OPERATOR, keyGroups, maxParallelism: GROUPS, keepsChanges: true };
    this.backend = open(options);
    this.table = this.backend.openTable(TABLE, { listsNamespaces: true });
  }

  at(key: Key, namespace: Namespace = undefined): StateTable {
    this.backend.setCurrentKey(key);
    this.table.setCurrentNamespace(namespace);
    return this.table;
  }

  /** Writes rows from one number to another. */
  fill(from: number, to: number, round = 0): void {
    for (let i = from; i < to; i++) this.at(keyOf(i), NAMESPACES[i % 4]).write(valueAt(i + round));
  }

  cut(base?: number): { readonly cut: number; readonly cursor: SnapshotCursor } {
    return this.backend.snapshot(() => base).find(({ state }) => state === TABLE)!;
  }

  restore(pieces: readonly Uint8Array[]): void {
    for (const [i, bytes] of pieces.entries()) {
      if (bytes.byteLength === 0) continue;
      const restorer = this.backend.restorer(TABLE, { object: `piece.${i}`, bytes });
      while (restorer.next());
    }
    this.backend.restored();
  }

  content(): Content {
    return new Map([...this.table.rows()].map((row) => [nameOf(row.key, row.namespace), row.value]));
  }
}

const nameOf = (key: Key, namespace: Namespace): string =>
  `${typeof key} ${key} / ${typeof namespace} ${String(namespace)}`;

function read(cursor: SnapshotCursor, meanwhile: () => void = () => {}): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (;;) {
    while (cursor.seek()) meanwhile();
    const chunk = cursor.next();
    if (chunk === undefined) return Buffer.concat(chunks);
    chunks.push(chunk.bytes);
    meanwhile();
  }
}

const CASES: Readonly<Record<string, (opened: (first?: number, last?: number) => Opened) => void>> = {
  "keeps rows apart by key and namespace, and what was read stays as it was (KS1, KS2)": (opened) => {
    const one = opened();
    one.fill(0, KEYS);
    strictEqual(one.table.rowCount, KEYS);
    for (let i = 0; i < KEYS; i++) {
      deepStrictEqual(one.at(keyOf(i), NAMESPACES[i % 4]).read(), valueAt(i));
      strictEqual(one.at(keyOf(i), NAMESPACES[(i + 1) % 4]).read(), ABSENT);
    }
    const before = one.at(keyOf(0)).read();
    one.table.write({ count: -1, name: "other" });
    deepStrictEqual(before, valueAt(0));
    one.table.remove();
    strictEqual(one.table.read(), ABSENT);
    one.backend.close();
  },
  "refuses the use of a state without a key, and keys of other subtasks, by operator (KS1)": (opened) => {
    const one = opened(0, 3);
    throws(() => one.table.read(), OperatorError);
    const foreign = Array.from({ length: 100 }, (_, i) => i).find((key) => keyGroupOf(key, GROUPS) > 3)!;
    throws(() => one.backend.setCurrentKey(foreign), OperatorError);
    one.backend.close();
  },
  "gives the rows of each of several cuts, whatever happens meanwhile (KS3, KS4, KS5)": (opened) => {
    const one = opened();
    const cuts: { readonly cursor: SnapshotCursor; readonly expected: Content }[] = [];
    for (let round = 0; round < 3; round++) {
      one.fill(round * 500, KEYS, round);
      cuts.push({ cursor: one.cut().cursor, expected: one.content() });
    }
    let step = 0;
    for (const { cursor, expected } of cuts.reverse()) {
      const bytes = read(cursor, () => {
        step++;
        one.fill((step * 37) % KEYS, Math.min(KEYS, ((step * 37) % KEYS) + 20), step);
        one.at(keyOf((step * 11) % KEYS), NAMESPACES[((step * 11) % KEYS) % 4]).remove();
        one.at(`new ${step}`).write(step);
      });
      const other = opened();
      other.restore([bytes]);
      deepStrictEqual(other.content(), expected);
      other.backend.close();
    }
    one.backend.close();
  },
  "gives with a base what makes of the base what was cut (KS4)": (opened) => {
    const one = opened();
    one.fill(0, KEYS);
    const whole = one.cut();
    const pieces = [read(whole.cursor)];
    let base = whole.cut;
    for (let round = 1; round < 5; round++) {
      one.fill(round * 10, round * 10 + 50, round);
      for (let i = round * 100; i < round * 100 + 9; i++) one.at(keyOf(i), NAMESPACES[i % 4]).remove();
      const next = one.cut(base);
      const isWhole = next.cursor.base === undefined;
      const bytes = read(next.cursor, () => one.at("later").write(round));
      if (isWhole) pieces.length = 0;
      pieces.push(bytes);
      one.at("later").remove();
      base = next.cut;
    }
    const other = opened();
    other.restore(pieces);
    deepStrictEqual(other.content(), one.content());
    other.backend.close();
    one.backend.close();
  },
  "leaves rows of other subtasks out when it is restored (KS5)": (opened) => {
    const one = opened();
    one.fill(0, KEYS);
    const bytes = read(one.cut().cursor);
    const merged = new Map<string, unknown>();
    for (const [first, last] of [
      [0, 2],
      [3, 7],
    ]) {
      const part = opened(first, last);
      part.restore([bytes]);
      for (const [name, value] of part.content()) {
        ok(!merged.has(name), `${name} is in two subtasks`);
        merged.set(name, value);
      }
      part.backend.close();
    }
    deepStrictEqual(new Map([...merged].sort()), new Map([...one.content()].sort()));
    one.backend.close();
  },
  "refuses what cannot be stored when it is cut, by operator and state (KS6)": (opened) => {
    const one = opened();
    one.at("k").write({ count: 1, [Symbol("hidden")]: 1 });
    const { cursor } = one.cut();
    throws(() => read(cursor), { message: new RegExp(`state "${TABLE}"`) });
    cursor.cancel();
    one.backend.close();
  },
  "lists rows, keys and namespaces in one order, also after a restore (KS7)": (opened) => {
    const one = opened();
    one.fill(0, KEYS);
    for (const namespace of [3, "b", undefined, "a", -1]) one.at("listed", namespace).write(1);
    const other = opened();
    other.restore([read(one.cut().cursor)]);
    for (const each of [one, other]) {
      deepStrictEqual(each.at("listed").namespaces(), [undefined, -1, 3, "a", "b"]);
      strictEqual(each.table.countNamespaces(), 5);
    }
    deepStrictEqual([...other.content()], [...one.content()]);
    deepStrictEqual([...other.backend.keys()], [...one.backend.keys()]);
    other.at("listed").removeKey();
    strictEqual(other.table.countNamespaces(), 0);
    for (const each of [one, other]) each.backend.close();
  },
  "reads and drops the rows of a namespace that lies apart by key group": (opened) => {
    const one = opened();
    const panes = one.backend.openTable("panes", { namespacesApart: true });
    for (const pane of [60, 0]) {
      panes.setCurrentNamespace(pane);
      for (let key = 0; key < 300; key++) {
        one.backend.setCurrentKey(key);
        panes.write(key + pane);
      }
    }
    deepStrictEqual(panes.openNamespaces(), [0, 60]);
    const keys: Key[] = [];
    const values: unknown[] = [];
    let found = 0;
    for (let group = 0; group < GROUPS; group++) {
      const count = panes.readGroup(group, keys, values);
      for (let i = 0; i < count; i++) strictEqual(values[i], keys[i]);
      found += count;
      panes.dropGroup(group);
    }
    strictEqual(found, 300);
    deepStrictEqual(panes.openNamespaces(), [60]);
    strictEqual(panes.rowCount, 300);
    one.backend.close();
  },
};
