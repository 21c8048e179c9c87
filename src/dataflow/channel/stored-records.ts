/**
 * Records of a channel as a checkpoint stores them: the messages that carry them on the wire (frame-codec.ts, each
 * self-contained), each behind its length, uint32.
 *
 * Owns: that layout. Does not own: which records are stored (collection.ts), where
 * (runtime/worker/snapshots/channel-state.ts).
 */
import { ColumnDecoder } from "../../state/snapshot/columns.ts";
import type { InFlightRecords, RecordsFrame } from "./frame.ts";
import {
  countOf,
  decodeRecords,
  type FrameEncoder,
  kindOf,
  MESSAGE,
  otherVersion,
} from "./remote/frame-codec.ts";

export function countRecords(records: InFlightRecords): number {
  return records instanceof Uint8Array ? countOf(records) : records.values.length;
}

/** @throws ValueRefusedError for what is no plain value (state/plain-value.ts) */
export function encodeStored(records: InFlightRecords, encoder: FrameEncoder): Uint8Array[] {
  const message =
    records instanceof Uint8Array
      ? records
      : encoder.records(0, records.values, records.timestamps, records.marks);
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(message.length, 0);
  return [length, message];
}

/** @throws Error when `bytes` is not a sequence of such messages */
export function* decodeStored(bytes: Uint8Array): Generator<RecordsFrame> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const columns = new ColumnDecoder();
  for (let at = 0; at < bytes.length; ) {
    const length = view.getUint32(at);
    const message = bytes.subarray(at + 4, at + 4 + length);
    if (message.length !== length || kindOf(message) !== MESSAGE.records)
      throw new Error(otherVersion(message) ?? `no records message of ${length} bytes at byte ${at}`);
    yield decodeRecords(message, columns);
    at += 4 + length;
  }
}
