/**
 * The walk over one table at a cut: gives its rows in chunks while the live table goes on changing.
 *
 * Owns: which rows belong to the cut, and what they held then (HT2 to HT4 of table.ts). Does not own: the live rows,
 * the bytes of a chunk (snapshot/chunk.ts).
 */
import { OperatorError } from "../../errors.ts";
import type { EncodedChunk, Namespace, SnapshotCursor } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { isCarried, refuseValue } from "../plain-value.ts";
import { type ChunkGroup, encodeChunk, nameOfValue } from "../snapshot/chunk.ts";
import { type ColumnEncoder, encodeShape } from "../snapshot/columns.ts";
import type { Block } from "./blocks/block.ts";
import type { GroupView, RowGroup } from "./row-group.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 1024;

interface HeapCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: readonly RowGroup[];
  readonly cut: number;
  readonly columns: ColumnEncoder;
  /** The cursor does not need the block any more, which may be one that the group has no more. */
  readonly passed: (group: RowGroup, block: Block) => void;
  readonly closed: (cursor: HeapCursor) => void;
}

/** Rows of one block that go into a chunk. */
interface Piece {
  readonly block: Block;
  /** Where they lie in it. */
  readonly places: readonly number[];
}

interface Passed {
  readonly group: RowGroup;
  readonly block: Block;
}

interface Collected {
  readonly groups: ChunkGroup[];
  readonly pieces: Piece[];
  /** The blocks of which these are the last rows. */
  readonly passed: Passed[];
  rows: number;
}

export class HeapCursor implements SnapshotCursor {
  /** The rows that it has given, and their size. */
  entries = 0;
  bytes = 0;
  private readonly options: HeapCursorOptions;
  /** Views of groups that have changed since the cut, and are not read yet. */
  private readonly views = new Map<RowGroup, GroupView>();
  private open = true;
  private group = 0;
  /** The current group at the cut; undefined until its walk has begun. */
  private view: GroupView | undefined = undefined;
  /** The next block of it, and the next place there. */
  private index = 0;
  private at = 0;
  private entriesMax = CHUNK_ENTRIES_FIRST;

  constructor(options: HeapCursorOptions) {
    this.options = options;
  }

  /** `view`: the group as it was before its first change after the newest cut. */
  keepView(group: RowGroup, view: GroupView): void {
    if (group.cut >= this.options.cut || group.place < this.group) return;
    if (group.place === this.group && this.view !== undefined) return;
    this.views.set(group, view);
  }

  /** The block of this index in the group, if it was not changed since `cut`. */
  needsBlock(group: RowGroup, index: number, cut: number): boolean {
    if (cut >= this.options.cut || group.place < this.group) return false;
    return group.place > this.group || index >= this.index;
  }

  next(): EncodedChunk | undefined {
    if (!this.open) return undefined;
    const collected = this.collect();
    if (collected.rows === 0) {
      this.close();
      return undefined;
    }
    const chunk = this.storing(() => this.encode(collected));
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

  /** Whole groups while they fit, or as much of one as fits (CH2). */
  private collect(): Collected {
    const { groups, firstKeyGroup } = this.options;
    const collected: Collected = { groups: [], pieces: [], passed: [], rows: 0 };
    for (; this.group < groups.length; this.group++) {
      const begun = this.view !== undefined;
      if (this.view === undefined) {
        const view = this.beginView(groups[this.group]!, collected.rows);
        if (view === "empty") continue;
        if (view === "does not fit") break;
      }
      const entries = this.collectGroup(this.view!, collected);
      if (entries > 0) collected.groups.push({ keyGroup: firstKeyGroup + this.group, entries });
      if (this.index < this.view!.blocks.length) break;
      this.view = undefined;
      this.index = 0;
      if (begun && entries > 0) {
        this.group++;
        break;
      }
    }
    return collected;
  }

  private beginView(group: RowGroup, rows: number): "empty" | "does not fit" | "begun" {
    const kept = this.views.get(group);
    const count = kept?.count ?? group.count;
    if (count === 0) {
      this.views.delete(group);
      return "empty";
    }
    if (rows > 0 && rows + count > this.entriesMax) return "does not fit";
    this.views.delete(group);
    this.view = kept ?? group.view();
    return "begun";
  }

  /** Answers how many rows it has taken. */
  private collectGroup({ blocks }: GroupView, collected: Collected): number {
    const before = collected.rows;
    while (this.index < blocks.length && collected.rows < this.entriesMax) {
      const block = blocks[this.index]!;
      const places: number[] = [];
      for (; this.at < block.places && collected.rows + places.length < this.entriesMax; this.at++) {
        if (block.isTaken(this.at)) places.push(this.at);
      }
      if (places.length > 0) collected.pieces.push({ block, places });
      collected.rows += places.length;
      if (this.at === block.places) {
        collected.passed.push({ group: this.options.groups[this.group]!, block });
        this.index++;
        this.at = 0;
      }
    }
    return collected.rows - before;
  }

  private encode({ groups, pieces, rows }: Collected): EncodedChunk {
    for (const piece of pieces) lookClosely(piece);
    const keys: Key[] = [];
    for (const { block, places } of pieces) for (const at of places) keys.push(block.keys[at]!);
    const values = numbersOf(pieces, rows) ?? columnsOf(pieces, rows) ?? valuesOf(pieces);
    return encodeChunk({ keys, namespaces: namespacesOf(pieces), groups, values }, this.options.columns);
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

/** What has been set since it was last looked at (PV2 of plain-value.ts). */
function lookClosely({ block, places }: Piece): void {
  const { suspects } = block;
  if (suspects === undefined) return;
  for (const at of places) {
    if (suspects[at] === 0) continue;
    const value = block.read(at);
    if (!isCarried(value)) refuseValue(value, nameOfValue(block.keys[at]!));
    suspects[at] = 0;
  }
}

function namespacesOf(pieces: readonly Piece[]): Namespace[] | undefined {
  if (pieces.every(({ block }) => block.namespaces === undefined && block.namespace === undefined)) {
    return undefined;
  }
  const namespaces: Namespace[] = [];
  for (const { block, places } of pieces) for (const at of places) namespaces.push(block.namespaceAt(at));
  return namespaces;
}

/** Do all rows lie in columns like those of the given block? */
function isLaidOutAs(pieces: readonly Piece[], { layout }: Block): boolean {
  return pieces.every(({ block, places }) => block.layout.isLike(layout) && block.fits(places));
}

/** undefined: not all are numbers in columns. */
function numbersOf(pieces: readonly Piece[], rows: number): Float64Array | undefined {
  const first = pieces[0]!;
  if (first.block.layout.kind !== "numbers" || !isLaidOutAs(pieces, first.block)) return undefined;
  const numbers = new Float64Array(rows);
  let at = 0;
  for (const { block, places } of pieces)
    for (const place of places) numbers[at++] = block.numbers[place * 2 + 1]!;
  return numbers;
}

/** undefined: they are not rows of one layout, or hold what columns do not. */
function columnsOf(pieces: readonly Piece[], rows: number): Uint8Array | undefined {
  const { block: first } = pieces[0]!;
  const { layout } = first;
  if (layout.kind !== "rows" || !isLaidOutAs(pieces, first)) return undefined;
  const columns = layout.names.map((_, index) => {
    const column: unknown[] = [];
    for (const { block, places } of pieces) layout.addColumn(block, index, places, column);
    return column;
  });
  return encodeShape(layout.names, columns, rows);
}

function valuesOf(pieces: readonly Piece[]): unknown[] {
  const values: unknown[] = [];
  for (const { block, places } of pieces) for (const at of places) values.push(block.read(at));
  return values;
}
