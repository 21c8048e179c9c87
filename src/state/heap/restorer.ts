/** Puts the rows of a snapshot's chunks into the groups of one table. */
import type { Namespace, SnapshotBytes, StateRestorer } from "../contract.ts";
import { describeValue } from "../described.ts";
import type { Key } from "../descriptor.ts";
import { type KeyGroupRange, keyGroupOf, rangesIntersect } from "../key-groups.ts";
import {
  type ChunkHeader,
  readChunkDeletions,
  readChunkHeader,
  readChunkKeys,
  readChunkNamespaces,
  readChunkValues,
} from "../snapshot/chunk.ts";
import { ColumnDecoder } from "../snapshot/columns.ts";
import { corrupt } from "../snapshot/corrupt.ts";
import type { Directories, Directory } from "./directory.ts";
import type { RowGroup } from "./row-group.ts";
import { hashOfRow } from "./row-hash.ts";
import { addressesOf } from "./row-order.ts";

export interface HeapRestorerOptions {
  readonly source: SnapshotBytes;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  readonly groups: readonly RowGroup[];
  readonly directories: Directories;
  /** A directory has no rows any more. */
  readonly emptied: (directory: Directory) => void;
  /** Called when the rows of a chunk are there. */
  readonly took: (bytes: number, entries: number) => void;
}

/** The rows of one chunk. */
interface ChunkRows {
  readonly keys: readonly (Key | undefined)[];
  readonly namespaces: readonly Namespace[] | undefined;
  readonly deleted: ReadonlySet<number> | undefined;
  /** The values of the rows that are not deleted. */
  readonly values: readonly unknown[];
}

export class HeapRestorer implements StateRestorer {
  private readonly options: HeapRestorerOptions;
  private readonly columns = new ColumnDecoder();
  private at = 0;

  constructor(options: HeapRestorerOptions) {
    this.options = options;
  }

  next(): boolean {
    const { source, keyGroups, maxParallelism } = this.options;
    if (this.at < source.bytes.byteLength) {
      const header = readChunkHeader(source, this.at);
      const { groups } = header;
      const held = { first: groups[0]!.keyGroup, last: groups[groups.length - 1]!.keyGroup };
      if (held.last >= maxParallelism) {
        throw corrupt(source, this.at, `it holds key group ${held.last} of a job that has ${maxParallelism}`);
      }
      if (rangesIntersect(held, keyGroups)) {
        this.take(header, this.rowsOf(header));
        this.options.took(header.end - this.at, header.entries);
      }
      this.at = header.end;
    }
    return this.at < source.bytes.byteLength;
  }

  private rowsOf(header: ChunkHeader): ChunkRows {
    const { source } = this.options;
    const deleted = readChunkDeletions(source, header);
    return {
      keys: readChunkKeys(source, header, deleted),
      namespaces: readChunkNamespaces(source, header),
      deleted,
      values: readChunkValues(source, header, header.entries - (deleted?.size ?? 0), this.columns),
    };
  }

  private take({ groups }: ChunkHeader, rows: ChunkRows): void {
    const { source, keyGroups, maxParallelism } = this.options;
    let next = 0;
    let value = 0;
    for (const { keyGroup, entries } of groups) {
      const target = this.options.groups[keyGroup - keyGroups.first];
      // One key stands for all: other key groups mean another maxParallelism or another hash.
      const key = rows.keys.slice(next, next + entries).find((one) => one !== undefined);
      if (target !== undefined && key !== undefined && keyGroupOf(key, maxParallelism) !== keyGroup) {
        throw corrupt(
          source,
          this.at,
          `a key (${describeValue(key)}) is not of key group ${keyGroup} of ${maxParallelism}`,
        );
      }
      for (const end = next + entries; next < end; next++) {
        const isDeleted = rows.deleted?.has(next) === true;
        if (target !== undefined) this.put(target, rows, next, isDeleted ? undefined : value);
        if (!isDeleted) value++;
      }
    }
  }

  /** The rows of a namespace, which may lie apart here or not. */
  private removeAll(target: RowGroup, namespace: Namespace): void {
    const { directories, emptied } = this.options;
    const directory = directories.of(namespace);
    if (directories.lieApart) target.drop(directory);
    else
      for (const row of [...addressesOf(target.place, directory)]) {
        if (row.namespace !== namespace) continue;
        const block = directory.at(target.place, row.hash);
        target.remove(directory, block, block.find(row.hash, row.key, namespace));
      }
    if (directory.count === 0) emptied(directory);
  }

  /** `value`: the index of its value; undefined: it is deleted. */
  private put(target: RowGroup, from: ChunkRows, index: number, value: number | undefined): void {
    const { directories, emptied } = this.options;
    const key = from.keys[index];
    const given = from.namespaces?.[index];
    if (key === undefined) {
      this.removeAll(target, given);
      return;
    }
    const namespace = directories.lieApart ? undefined : given;
    const hash = hashOfRow(key, namespace);
    const directory = directories.of(given);
    const block = directory.at(target.place, hash);
    const at = block.find(hash, key, namespace);
    if (value === undefined) {
      if (at < 0) return;
      target.remove(directory, block, at);
      if (directory.count === 0) emptied(directory);
    } else if (at < 0) {
      target.append(directories.forNew(given, 0), key, namespace, hash, from.values[value], true);
    } else target.own(directory, block).write(at, from.values[value], true);
  }
}
