/**
 * Rows with a key, as a sink stages them: which operation, how long the key is, and the row in its server's own words.
 *
 * Layout of a row: u32 bytes of it, with the highest bit set for a deletion; u32 bytes of its key, which it begins
 * with; the bytes. Little endian.
 *
 * - XK1 Within one transaction the last row of a key wins, so a statement never meets a key twice.
 * - XK2 Rows come out in the order of their keys' bytes, whoever writes them: two transactions that touch the same keys
 *   then lock them in one order and do not deadlock.
 */
import type { ByteBlock } from "../transactions/byte-block.ts";
import type { StagedTransaction } from "../transactions/target.ts";

const DELETION = 0x8000_0000;
const HEADER_BYTES = 8;

export interface KeyedRow {
  readonly isDeletion: boolean;
  readonly bytes: Buffer;
}

interface FoundRow extends KeyedRow {
  readonly key: Buffer;
}

/** Appends a row. `appendKey` and `appendRest` add its two parts to the block. */
export function appendKeyedRow(block: ByteBlock, isDeletion: boolean, key: string, rest: string): void {
  const at = block.length;
  block.u32(0);
  block.u32(0);
  block.text(key);
  const keyBytes = block.length - at - HEADER_BYTES;
  block.text(rest);
  const bytes = block.length - at - HEADER_BYTES;
  block.setU32(at, isDeletion ? (bytes | DELETION) >>> 0 : bytes);
  block.setU32(at + 4, keyBytes);
}

/** The rows of one transaction that count, collected from its batches. */
class KeyedRows {
  readonly #last = new Map<string, FoundRow>();

  /** Adds a batch, which stays as it is. */
  add(batch: Uint8Array): void {
    for (const row of rowsIn(batch)) this.#last.set(row.key.toString("latin1"), row);
  }

  /** In the order of their keys (XK2). */
  sorted(): KeyedRow[] {
    return [...this.#last.values()].sort((a, b) => Buffer.compare(a.key, b.key));
  }
}

/** The rows of the transaction that count, in order. undefined: they would take more memory than `bytesMax`. */
export async function collectedRows(
  transaction: StagedTransaction<Uint8Array>,
  bytesMax: number,
): Promise<KeyedRow[] | undefined> {
  const rows = new KeyedRows();
  let bytes = 0;
  for await (const batch of transaction.batches()) {
    bytes += batch.length;
    if (bytes > bytesMax) return undefined;
    rows.add(batch);
  }
  return rows.sorted();
}

/** The rows of a batch, in the order in which they were written. */
export function* rowsIn(batch: Uint8Array): Generator<FoundRow> {
  const buffer = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    const keyBytes = buffer.readUInt32LE(at + 4);
    const start = at + HEADER_BYTES;
    at = start + (length & ~DELETION);
    yield {
      isDeletion: length >= DELETION,
      key: buffer.subarray(start, start + keyBytes),
      bytes: buffer.subarray(start, at),
    };
  }
}
