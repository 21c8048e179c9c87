/**
 * The walk over one table at a cut: gives its rows, or those that have changed since an earlier cut, in chunks while
 * the live table goes on changing.
 *
 * Owns: which rows belong to the cut, and what they held then (HT2 to HT4 of table.ts). Does not own: the live rows,
 * the bytes of a chunk (snapshot/chunk.ts).
 */
import { OperatorError } from "../../errors.ts";
import type { EncodedChunk, SnapshotCursor } from "../contract.ts";
import type { ChunkGroup } from "../snapshot/chunk.ts";
import type { ColumnEncoder } from "../snapshot/columns.ts";
import type { Block } from "./blocks/block.ts";
import { type ChunkPart, encodeParts } from "./chunk-parts.ts";
import type { GroupView, RowGroup } from "./row-group.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 1024;
/** So many places are looked at for changed rows in one go: at most some 0.2 ms. */
const PLACES_LOOKED_AT = 65536;
/** Rows have changed since cuts from 0 on. */
const EVER = -1;

interface HeapCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: readonly RowGroup[];
  readonly cut: number;
  /** Only what has changed since this cut is given; undefined: all rows are. */
  readonly base: number | undefined;
  readonly columns: ColumnEncoder;
  /** The cursor does not need the block any more, which may be one that the group has no more. */
  readonly passed: (group: RowGroup, block: Block) => void;
  readonly closed: (cursor: HeapCursor) => void;
}

interface Passed {
  readonly group: RowGroup;
  readonly block: Block;
}

interface Collected {
  readonly groups: ChunkGroup[];
  readonly parts: ChunkPart[];
  /** The blocks of which these are the last rows. */
  readonly passed: Passed[];
  entries: number;
  lookedAt: number;
}

export class HeapCursor implements SnapshotCursor {
  readonly base: number | undefined;
  /** What it has given, and its size. */
  entries = 0;
  bytes = 0;
  private readonly options: HeapCursorOptions;
  /** The rows to be given have changed since this cut, and not since that of the cursor. */
  private readonly since: number;
  /** Views of groups that have changed since the cut, and are not read yet. */
  private readonly views = new Map<RowGroup, GroupView>();
  private open = true;
  private group = 0;
  /** The current group at the cut; undefined until its walk has begun. */
  private view: GroupView | undefined = undefined;
  /** The next removal in it, the next block of it, and the next place there. */
  private removal = 0;
  private index = 0;
  private at = 0;
  private entriesMax = CHUNK_ENTRIES_FIRST;

  constructor(options: HeapCursorOptions) {
    this.options = options;
    this.base = options.base;
    this.since = options.base ?? EVER;
  }

  /** `view`: the group as it was before its first change after the newest cut. */
  keepView(group: RowGroup, view: GroupView): void {
    if (group.cut >= this.options.cut || group.cut < this.since || group.place < this.group) return;
    if (group.place === this.group && this.view !== undefined) return;
    this.views.set(group, view);
  }

  /** The block of this index in the group, if it was not changed since `cut`. */
  needsBlock(group: RowGroup, index: number, cut: number): boolean {
    if (cut >= this.options.cut || cut < this.since || group.place < this.group) return false;
    return group.place > this.group || index >= this.index;
  }

  seek(): boolean {
    if (!this.open || this.base === undefined) return false;
    let lookedAt = 0;
    while (this.group < this.options.groups.length) {
      if (this.view === undefined && this.beginView(0) === "empty") {
        this.group++;
        continue;
      }
      const { blocks, removed } = this.view!;
      if (this.removal < removed) return false;
      while (this.index < blocks.length) {
        const block = blocks[this.index]!;
        if (this.isRead(block)) {
          if (lookedAt >= PLACES_LOOKED_AT) return true;
          lookedAt += block.places - this.at;
          if (this.toNextRow(block)) return false;
          this.at = 0;
          this.index++;
          this.options.passed(this.options.groups[this.group]!, block);
        } else this.index++;
      }
      this.endGroup();
    }
    return false;
  }

  next(): EncodedChunk | undefined {
    if (!this.open) return undefined;
    const collected = this.collect();
    if (collected.entries === 0) {
      this.close();
      return undefined;
    }
    const { groups, parts } = collected;
    const chunk = this.storing(() => encodeParts(groups, parts, this.options.columns));
    this.entries += chunk.entries;
    this.bytes += chunk.bytes.byteLength;
    for (const { group, block } of collected.passed) this.options.passed(group, block);
    const entriesWanted = Math.floor((CHUNK_BYTES * chunk.entries) / chunk.bytes.byteLength);
    this.entriesMax = Math.min(CHUNK_ENTRIES_MAX, Math.max(CHUNK_ENTRIES_MIN, entriesWanted));
    return chunk;
  }

  cancel(): void {
    this.close();
  }

  private close(): void {
    if (!this.open) return;
    this.open = false;
    this.view = undefined;
    this.views.clear();
    this.options.closed(this);
  }

  /** Whole groups while they fit, or as much of one as fits; changes of groups without such bounds (CH2). */
  private collect(): Collected {
    const { groups, firstKeyGroup } = this.options;
    const collected: Collected = { groups: [], parts: [], passed: [], entries: 0, lookedAt: 0 };
    while (this.group < groups.length) {
      const begun = this.view !== undefined;
      if (this.view === undefined) {
        const view = this.beginView(collected.entries);
        if (view === "does not fit") break;
        if (view === "empty") {
          this.group++;
          continue;
        }
      }
      const entries = this.collectGroup(this.view!, collected);
      if (entries > 0) collected.groups.push({ keyGroup: firstKeyGroup + this.group, entries });
      if (this.removal < this.view!.removed || this.index < this.view!.blocks.length) break;
      this.endGroup();
      if (this.base === undefined ? begun && entries > 0 : isEnough(collected)) break;
    }
    return collected;
  }

  /** `entries`: how many stand in front of it in the chunk. */
  private beginView(entries: number): "empty" | "does not fit" | "begun" {
    const group = this.options.groups[this.group]!;
    const kept = this.views.get(group);
    if (this.base === undefined) {
      const count = kept?.count ?? group.count;
      if (count === 0) {
        this.views.delete(group);
        return "empty";
      }
      if (entries > 0 && entries + count > this.entriesMax) return "does not fit";
    } else if (kept === undefined && (group.cut < this.since || group.cut >= this.options.cut))
      return "empty";
    this.views.delete(group);
    const view = kept ?? group.view();
    this.view = view;
    this.removal = this.base === undefined ? view.removed : view.removals.firstSince(this.base);
    return "begun";
  }

  private endGroup(): void {
    this.view = undefined;
    this.index = 0;
    this.group++;
  }

  /** Answers how many entries it has taken. */
  private collectGroup({ blocks, removals, removed }: GroupView, collected: Collected): number {
    const before = collected.entries;
    if (this.removal < removed) {
      const end = Math.min(removed, this.removal + this.entriesMax - collected.entries);
      collected.parts.push({ removals, from: this.removal, to: end });
      collected.entries += end - this.removal;
      this.removal = end;
    }
    while (this.index < blocks.length && collected.entries < this.entriesMax && !isEnough(collected)) {
      const block = blocks[this.index]!;
      if (this.isRead(block)) this.collectBlock(block, collected);
      else this.index++;
    }
    return collected.entries - before;
  }

  private collectBlock(block: Block, collected: Collected): void {
    const places: number[] = [];
    const room = this.entriesMax - collected.entries;
    collected.lookedAt += block.places - this.at;
    for (; places.length < room && this.toNextRow(block); this.at++) places.push(this.at);
    if (places.length > 0) collected.parts.push({ block, places });
    collected.entries += places.length;
    if (this.at < block.places) return;
    collected.passed.push({ group: this.options.groups[this.group]!, block });
    this.index++;
    this.at = 0;
  }

  /**
   * A block that was not needed at the cut has been changed in place, and is newer than the cut. One that is older than
   * the base has no changes.
   */
  private isRead(block: Block): boolean {
    return block.cut >= this.since && block.cut < this.options.cut;
  }

  /** Goes to the next row of the block that is to be given, or to its end. */
  private toNextRow(block: Block): boolean {
    this.at = block.nextChanged(this.at, this.since);
    return this.at < block.places;
  }

  /** What `act` refuses is a value of the operator's. */
  private storing<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const { operator, state } = this.options;
      const why = error instanceof Error ? `: ${error.message}` : "";
      throw new OperatorError(
        operator,
        new Error(`state "${state}" holds a value that cannot be stored${why}`, { cause: error }),
      );
    }
  }
}

/** Changes are few and far between: a chunk ends where it has taken long enough to find some. */
function isEnough({ entries, lookedAt }: Collected): boolean {
  return entries > 0 && lookedAt >= PLACES_LOOKED_AT;
}
