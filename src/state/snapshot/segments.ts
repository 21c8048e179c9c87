/** The index over the chunks of a snapshot: which bytes hold which key groups. */
import type { SnapshotSegment } from "../../../machines/protocol.ts";
import type { EncodedChunk } from "../contract.ts";

const SEGMENT_BYTES_MIN = 65_536;

/**
 * The index that goes into the manifest: which bytes hold which key groups. At most one segment for each key group,
 * and none is small, so that it stays small itself (P10).
 */
export class SegmentIndex {
  private readonly closed: SnapshotSegment[] = [];
  private open: SnapshotSegment | undefined;

  /** Called for every chunk, in order. `offset`: where its bytes begin, right behind the chunk before. */
  add(chunk: EncodedChunk, offset: number): void {
    const open = this.open;
    const bytes = chunk.bytes.byteLength;
    if (open === undefined) {
      this.open = { keyGroups: chunk.keyGroups, offset, bytes };
    } else if (open.bytes >= SEGMENT_BYTES_MIN && open.keyGroups.last < chunk.keyGroups.first) {
      this.closed.push(open);
      this.open = { keyGroups: chunk.keyGroups, offset, bytes };
    } else {
      const keyGroups = { first: open.keyGroups.first, last: chunk.keyGroups.last };
      this.open = { keyGroups, offset: open.offset, bytes: open.bytes + bytes };
    }
  }

  segments(): SnapshotSegment[] {
    return this.open === undefined ? [...this.closed] : [...this.closed, this.open];
  }
}
