/**
 * Rows with a key, as a sink stages them: which operation, how long the key is, and the row in its server's own words.
 *
 * Layout of a row: u32 bytes of its text, with the highest bit set for a deletion; u32 characters of its key, which it
 * begins with; the text. Little endian.
 *
 * - XK1 Within one transaction the last row of a key wins, so a statement never meets a key twice. That two keys are
 *   one is told by their text: a table whose key can be spelled in several ways is left to the server.
 * - XK2 Rows come out in the order of their keys' text, whichever writer has them: two transactions that touch the same
 *   keys then lock them in one order and do not deadlock.
 */
import type { ByteBlock } from "../transactions/byte-block.ts";
import type { StagedTransaction } from "../transactions/target.ts";

const DELETION = 0x8000_0000;
const HEADER_BYTES = 8;

/** A row to be written, or the key of one to be deleted. */
export interface KeyedRow {
  readonly isDeletion: boolean;
  readonly key: string;
  /** Begins with the key. */
  readonly text: string;
}

export function appendKeyedRow(block: ByteBlock, isDeletion: boolean, key: string, rest: string): void {
  const at = block.length;
  block.u32(0);
  block.u32(key.length);
  block.text(key + rest);
  const bytes = block.length - at - HEADER_BYTES;
  block.setU32(at, isDeletion ? (bytes | DELETION) >>> 0 : bytes);
}

/** The rows of a batch, in the order in which they were written. */
export function rowsIn(batch: Uint8Array): KeyedRow[] {
  const buffer = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  const rows: KeyedRow[] = [];
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    const keyLength = buffer.readUInt32LE(at + 4);
    const start = at + HEADER_BYTES;
    at = start + (length & ~DELETION);
    const text = buffer.toString("utf8", start, at);
    rows.push({ isDeletion: length >= DELETION, key: text.slice(0, keyLength), text });
  }
  return rows;
}

/** The rows of a batch with what stands in front of them, each as it could be a batch. */
export function framedRows(batch: Uint8Array): Uint8Array[] {
  const buffer = Buffer.from(batch.buffer, batch.byteOffset, batch.byteLength);
  const rows: Uint8Array[] = [];
  for (let at = 0; at < buffer.length; ) {
    const end = at + HEADER_BYTES + (buffer.readUInt32LE(at) & ~DELETION);
    rows.push(buffer.subarray(at, end));
    at = end;
  }
  return rows;
}

/** The rows of the transaction that count, in order. undefined: they would take more memory than `bytesMax`. */
export async function collectedRows(
  transaction: StagedTransaction<Uint8Array>,
  bytesMax: number,
): Promise<KeyedRow[] | undefined> {
  const last = new Map<string, KeyedRow>();
  let bytes = 0;
  for await (const batch of transaction.batches()) {
    bytes += batch.length;
    if (bytes > bytesMax) return undefined;
    for (const row of rowsIn(batch)) last.set(row.key, row);
  }
  return [...last.keys()].sort().map((key) => last.get(key)!);
}
