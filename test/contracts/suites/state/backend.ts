/** A keyed state backend as the suites get it, and what all of them do with its snapshots. */
import type {
  EncodedChunk,
  KeyedBackend,
  KeyedBackendOptions,
  SnapshotCursor,
} from "../../../../src/state/contract.ts";

export interface BackendUnderTest {
  readonly backend: KeyedBackend;
  close(): void;
}

export type OpenBackendUnderTest = (options: KeyedBackendOptions) => BackendUnderTest;

export function drained(cursor: SnapshotCursor): EncodedChunk[] {
  const chunks: EncodedChunk[] = [];
  for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk);
  return chunks;
}

export const bytesOf = (chunks: readonly EncodedChunk[]): Uint8Array =>
  Buffer.concat(chunks.map(({ bytes }) => bytes));
