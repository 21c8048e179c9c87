/** Makes a chunk of rows where they lie in their blocks, and of removals. */
import type { EncodedChunk, Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { isCarried, refuseValue } from "../plain-value.ts";
import { type ChunkGroup, encodeChunk, nameOfValue } from "../snapshot/chunk.ts";
import { type ColumnEncoder, encodeShape } from "../snapshot/columns.ts";
import type { Block } from "./blocks/block.ts";
import type { Removals } from "./removals.ts";

/** Rows of one block. */
interface RowsPart {
  readonly block: Block;
  /** Where they lie in it. */
  readonly places: readonly number[];
}

interface RemovalsPart {
  readonly removals: Removals;
  readonly from: number;
  /** Behind the last one. */
  readonly to: number;
}

export type ChunkPart = RowsPart | RemovalsPart;

/**
 * The parts lie in the order of their groups.
 * @throws Error for a value that cannot be stored
 */
export function encodeParts(
  groups: readonly ChunkGroup[],
  parts: readonly ChunkPart[],
  columns: ColumnEncoder,
): EncodedChunk {
  const rows = parts.filter((part): part is RowsPart => "block" in part);
  for (const part of rows) lookClosely(part);
  const addresses = rows.length === parts.length ? addressesOfRows(rows) : addressesOf(parts);
  return encodeChunk({ ...addresses, groups, values: valuesOf(rows) }, columns);
}

interface Addresses {
  readonly keys: readonly (Key | undefined)[];
  readonly namespaces: readonly Namespace[] | undefined;
  readonly deleted?: ReadonlySet<number>;
}

function addressesOfRows(parts: readonly RowsPart[]): Addresses {
  const keys: Key[] = [];
  for (const { block, places } of parts) for (const at of places) keys.push(block.keys[at]!);
  if (parts.every(({ block }) => block.namespaces === undefined && block.namespace === undefined)) {
    return { keys, namespaces: undefined };
  }
  const namespaces: Namespace[] = [];
  for (const { block, places } of parts) for (const at of places) namespaces.push(block.namespaceAt(at));
  return { keys, namespaces };
}

function addressesOf(parts: readonly ChunkPart[]): Addresses {
  const keys: (Key | undefined)[] = [];
  const namespaces: Namespace[] = [];
  const deleted = new Set<number>();
  for (const part of parts) {
    if ("block" in part) {
      for (const at of part.places) {
        keys.push(part.block.keys[at]);
        namespaces.push(part.block.namespaceAt(at));
      }
    } else {
      for (let i = part.from; i < part.to; i++) {
        deleted.add(keys.length);
        keys.push(part.removals.keys[i]);
        namespaces.push(part.removals.namespaces[i]);
      }
    }
  }
  return { keys, namespaces, deleted };
}

function valuesOf(parts: readonly RowsPart[]): readonly unknown[] | Float64Array | Uint8Array {
  if (parts.length === 0) return [];
  const rows = parts.reduce((sum, { places }) => sum + places.length, 0);
  return numbersOf(parts, rows) ?? columnsOf(parts, rows) ?? readValuesOf(parts);
}

/** What has been set since it was last looked at (PV2 of plain-value.ts). */
function lookClosely({ block, places }: RowsPart): void {
  const { suspects } = block;
  if (suspects === undefined) return;
  for (const at of places) {
    if (suspects[at] === 0) continue;
    const value = block.read(at);
    if (!isCarried(value)) refuseValue(value, nameOfValue(block.keys[at]!));
    suspects[at] = 0;
  }
}

/** Do all rows lie in columns like those of the given block? */
function isLaidOutAs(parts: readonly RowsPart[], { layout }: Block): boolean {
  return parts.every(({ block, places }) => block.layout.isLike(layout) && block.fits(places));
}

/** undefined: not all are numbers in columns. */
function numbersOf(parts: readonly RowsPart[], rows: number): Float64Array | undefined {
  const first = parts[0]!;
  if (first.block.layout.kind !== "numbers" || !isLaidOutAs(parts, first.block)) return undefined;
  const numbers = new Float64Array(rows);
  let at = 0;
  for (const { block, places } of parts) {
    const { width, front } = block.layout;
    for (const place of places) numbers[at++] = block.numbers[place * width + front]!;
  }
  return numbers;
}

/** undefined: they are not rows of one layout, or hold what columns do not. */
function columnsOf(parts: readonly RowsPart[], rows: number): Uint8Array | undefined {
  const { block: first } = parts[0]!;
  const { layout } = first;
  if (layout.kind !== "rows" || !isLaidOutAs(parts, first)) return undefined;
  const columns = layout.names.map((_, index) => {
    const column: unknown[] = [];
    for (const { block, places } of parts) layout.addColumn(block, index, places, column);
    return column;
  });
  return encodeShape(layout.names, columns, rows);
}

function readValuesOf(parts: readonly RowsPart[]): unknown[] {
  const values: unknown[] = [];
  for (const { block, places } of parts) for (const at of places) values.push(block.read(at));
  return values;
}
