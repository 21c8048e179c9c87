/**
 * The bytes of a sink's transactions on their way to durable objects.
 *
 * Owns: staging segments while their transaction is still open; which of them stay in memory.
 * Does not own: what the bytes say, and where one segment ends.
 *
 * - SJ1 Memory holds the open segment, `stagingMax` segments being staged, and one more that a cut has closed
 *   meanwhile. Durable ones that wait for their commit stay in it as long as they and those being staged hold at most
 *   `keptBytesMax`; the others are read back (P25).
 * - SJ2 A transaction of one small segment travels inline in its committable (P15).
 */
import type { ObjectHandle } from "../../../machines/protocol.ts";
import type { StagingArea } from "../../dataflow/sink.ts";

export const segmentLimits = {
  segmentBytesMax: 1024 * 1024,
  inlineBytesMax: 16 * 1024,
  stagingMax: 4,
  keptBytesMax: 4 * 1024 * 1024,
};

/** One staged object, or the inline bytes of a small transaction. */
export interface Segment {
  readonly length: number;
  /** undefined once it was dropped from memory (SJ1). */
  bytes: Uint8Array | undefined;
  /** undefined: inline. */
  readonly staged: Promise<ObjectHandle> | undefined;
}

export interface StagerEvents {
  /** A segment became durable: `isFull` may have changed. */
  onStaged(): void;
  onFailed(error: unknown): void;
}

export class SegmentStager {
  readonly #staging: StagingArea;
  readonly #events: StagerEvents;
  #stagingNow = 0;
  #keptBytes = 0;

  constructor(staging: StagingArea, events: StagerEvents) {
    this.#staging = staging;
    this.#events = events;
  }

  get isFull(): boolean {
    return this.#stagingNow >= segmentLimits.stagingMax;
  }

  /** The caller leaves `bytes` as they are from here on. */
  inline(bytes: Uint8Array): Segment {
    return { length: bytes.length, bytes, staged: undefined };
  }

  /** The caller leaves `bytes` as they are from here on. */
  stage(bytes: Uint8Array): Segment {
    this.#stagingNow += 1;
    this.#keptBytes += bytes.length;
    const staged = this.#staging.put(bytes);
    const segment: Segment = { length: bytes.length, bytes, staged };
    staged.then(
      () => this.#staged(segment),
      (error: unknown) => this.#events.onFailed(error),
    );
    return segment;
  }

  /** A transaction was committed: its bytes are needed no more. */
  release(segments: readonly Segment[]): void {
    for (const segment of segments) {
      if (segment.bytes !== undefined && segment.staged !== undefined) this.#keptBytes -= segment.length;
      segment.bytes = undefined;
    }
  }

  #staged(segment: Segment): void {
    this.#stagingNow -= 1;
    if (segment.bytes !== undefined && this.#keptBytes > segmentLimits.keptBytesMax) {
      this.#keptBytes -= segment.length;
      segment.bytes = undefined;
    }
    this.#events.onStaged();
  }
}

/** Base64 of the only segment of a transaction that is not staged; undefined: it is staged. */
export function inlineOf(segments: readonly Segment[]): string | undefined {
  const [only] = segments;
  if (only === undefined || only.staged !== undefined || only.bytes === undefined) return undefined;
  return Buffer.from(only.bytes).toString("base64");
}
