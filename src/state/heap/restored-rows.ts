/** Puts restored rows into the groups of one table. */
import { ABSENT, type Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { Directories, Directory } from "./directory.ts";
import type { RowGroup } from "./row-group.ts";
import { hashOfRow } from "./row-hash.ts";
import { addressesOf } from "./row-order.ts";

export interface HeapRowsOptions {
  readonly groups: readonly RowGroup[];
  readonly directories: Directories;
  /** A directory has no rows any more. */
  readonly emptied: (directory: Directory) => void;
}

export class HeapRows {
  private readonly options: HeapRowsOptions;

  constructor(options: HeapRowsOptions) {
    this.options = options;
  }

  /** So many rows of the group come next. Where namespaces lie apart, it is not known whose. */
  expect(group: number, rows: number): void {
    const { directories, groups } = this.options;
    if (groups[group]!.count === 0 && !directories.lieApart) directories.of(undefined).expect(group, rows);
  }

  put(group: number, key: Key, given: Namespace, value: unknown): void {
    const { directories, groups } = this.options;
    const target = groups[group]!;
    const namespace = directories.lieApart ? undefined : given;
    const hash = hashOfRow(key, namespace);
    const directory = directories.of(given);
    const block = directory.at(group, hash);
    const at = block.find(hash, key, namespace);
    if (value === ABSENT) this.remove(target, directory, block, at);
    else if (at < 0) target.append(directories.forNew(given, 0), key, namespace, hash, value, true);
    else target.own(directory, block).write(at, value, true);
  }

  removeAll(group: number, namespace: Namespace): void {
    const { directories, groups, emptied } = this.options;
    const target = groups[group]!;
    const directory = directories.of(namespace);
    if (directories.lieApart) {
      target.drop(directory);
      if (directory.count === 0) emptied(directory);
      return;
    }
    for (const row of [...addressesOf(group, directory)]) {
      if (row.namespace !== namespace) continue;
      const block = directory.at(group, row.hash);
      this.remove(target, directory, block, block.find(row.hash, row.key, namespace));
    }
  }

  private remove(
    target: RowGroup,
    directory: Directory,
    block: Parameters<RowGroup["remove"]>[1],
    at: number,
  ): void {
    if (at < 0) return;
    target.remove(directory, block, at);
    if (directory.count === 0) this.options.emptied(directory);
  }
}
