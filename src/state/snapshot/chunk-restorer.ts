/** Reads the chunks of a snapshot, and gives their rows one by one to the table that they belong to. */
import { ABSENT, type Namespace, type SnapshotBytes, type StateRestorer } from "../contract.ts";
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
} from "./chunk.ts";
import { ColumnDecoder } from "./columns.ts";
import { corrupt } from "./corrupt.ts";

export interface ChunkRestorerOptions {
  readonly source: SnapshotBytes;
  /** Those of the subtask. Rows of others are passed over. */
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  /**
   * Called before the first `put`: so many entries of a group are in the source. A group is counted from the subtask's
   * first one.
   */
  readonly expect?: (group: number, entries: number) => void;
  /** The strings among the names are their own (own-key.ts). @param value ABSENT: the row is deleted */
  readonly put: (group: number, key: Key, namespace: Namespace, value: unknown) => void;
  /** All rows of a namespace in a group are deleted (CH4 of chunk.ts). */
  readonly removeAll: (group: number, namespace: Namespace) => void;
  /** Called when the rows of a chunk are there. */
  readonly took: (bytes: number, entries: number) => void;
}

export class ChunkRestorer implements StateRestorer {
  private readonly options: ChunkRestorerOptions;
  private readonly columns = new ColumnDecoder();
  private at = 0;

  constructor(options: ChunkRestorerOptions) {
    this.options = options;
  }

  next(): boolean {
    const { source, keyGroups, maxParallelism } = this.options;
    if (this.at === 0) this.count();
    if (this.at < source.bytes.byteLength) {
      const header = readChunkHeader(source, this.at);
      const { groups } = header;
      const held = { first: groups[0]!.keyGroup, last: groups[groups.length - 1]!.keyGroup };
      if (held.last >= maxParallelism) {
        throw corrupt(source, this.at, `it holds key group ${held.last} of a job that has ${maxParallelism}`);
      }
      if (rangesIntersect(held, keyGroups)) {
        this.take(header);
        this.options.took(header.end - this.at, header.entries);
      }
      this.at = header.end;
    }
    return this.at < source.bytes.byteLength;
  }

  /** Tells how many entries there are before the first one is given. */
  private count(): void {
    const { source, keyGroups, expect } = this.options;
    if (expect === undefined) return;
    const counts = new Map<number, number>();
    for (let at = 0; at < source.bytes.byteLength; ) {
      const { groups, end } = readChunkHeader(source, at);
      for (const { keyGroup, entries } of groups) {
        if (this.isOwn(keyGroup)) counts.set(keyGroup, (counts.get(keyGroup) ?? 0) + entries);
      }
      at = end;
    }
    for (const [keyGroup, entries] of counts) expect(keyGroup - keyGroups.first, entries);
  }

  private take(header: ChunkHeader): void {
    const { source, keyGroups } = this.options;
    const deleted = readChunkDeletions(source, header);
    const keys = readChunkKeys(source, header, deleted);
    const namespaces = readChunkNamespaces(source, header);
    const values = readChunkValues(source, header, header.entries - (deleted?.size ?? 0), this.columns);
    let row = 0;
    let value = 0;
    for (const { keyGroup, entries } of header.groups) {
      const isOwn = this.isOwn(keyGroup);
      const known = keys.slice(row, row + entries).find((key) => key !== undefined);
      if (isOwn && known !== undefined) this.checkGroup(known, keyGroup);
      for (const end = row + entries; row < end; row++) {
        const held = deleted?.has(row) === true ? ABSENT : values[value++];
        if (isOwn) this.give(keyGroup - keyGroups.first, keys[row], namespaces?.[row], held);
      }
    }
  }

  private isOwn(keyGroup: number): boolean {
    const { keyGroups } = this.options;
    return keyGroup >= keyGroups.first && keyGroup <= keyGroups.last;
  }

  private give(group: number, key: Key | undefined, namespace: Namespace, value: unknown): void {
    if (key === undefined) this.options.removeAll(group, namespace);
    else this.options.put(group, key, namespace, value);
  }

  /** One key stands for all: other key groups mean another maxParallelism or another hash. */
  private checkGroup(key: Key, keyGroup: number): void {
    const { source, maxParallelism } = this.options;
    if (keyGroupOf(key, maxParallelism) === keyGroup) return;
    throw corrupt(
      source,
      this.at,
      `a key (${describeValue(key)}) is not of key group ${keyGroup} of ${maxParallelism}`,
    );
  }
}
