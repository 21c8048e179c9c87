/**
 * The asynchronous part of one subtask's snapshot: encodes the cut in slices between records, and uploads it.
 *
 * Owns: the chunks on their way from the cursors to the storage. Does not own: the cut (chain.ts, heap/cursor.ts), when
 * slices run (subtask/turns.ts).
 *
 * UP1  What is written is the cut, whatever records do to the live state meanwhile.
 * UP2  Encoding stops while more than `PENDING_BYTES_MAX` encoded bytes of all objects wait for the storage. So at most
 *     that waits, one chunk, and the bytes below the inline threshold with which an object begins.
 * UP3  State below the inline threshold becomes no object: it travels in the acknowledgement and the manifest (D9).
 */
import type { ObjectHandle, SnapshotSegment, StatePiece } from "../../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import { formatSize } from "../../../config/quantity.ts";
import { ObjectTooLargeError, StorageRefusedError } from "../../../errors.ts";
import { SegmentIndex } from "../../../state/snapshot/segments.ts";
import { newLife } from "../../life.ts";
import { type BasedCut, inlineBytesOf, type SnapshotOfState } from "./state-layers.ts";

/** Objects stay small enough to be read in one piece. */
const OBJECT_BYTES_MAX = 16 * 1024 * 1024;
const PENDING_BYTES_MAX = 4 * 1024 * 1024;

export interface SnapshotUploadOptions {
  readonly clock: Clock;
  readonly cuts: readonly BasedCut[];
  readonly storage: Pick<CheckpointStorage, "put">;
  readonly inlineBytesMax: number;
  /** Name of the object that holds the given part of this snapshot. */
  readonly objectName: (part: number) => string;
  /** Called when there is room for encoded bytes again: encoding may go on. */
  readonly onRoom: () => void;
}

export class SnapshotUpload {
  readonly #options: SnapshotUploadOptions;
  readonly #abort = newLife();
  readonly #states: SnapshotOfState[] = [];
  /** Encoded bytes of all objects that the storage has not taken yet (UP2). */
  #pendingBytes = 0;
  #index = 0;
  #object: OpenObject | undefined;
  #small: Uint8Array[] = [];
  #smallBytes = 0;
  #segments = new SegmentIndex();
  #closedSegments: (readonly SnapshotSegment[])[] = [];
  #uploads: Promise<ObjectHandle>[] = [];
  #parts = 0;
  #finished: Promise<void>[] = [];

  constructor(options: SnapshotUploadOptions) {
    this.#options = options;
  }

  get encoded(): boolean {
    return this.#index >= this.#options.cuts.length;
  }

  /** Encodes until `deadlineMs` (of `Clock.elapsedMs`). Answers whether there is more, and room for it. */
  step(deadlineMs: number): boolean {
    while (!this.encoded) {
      if (this.#pendingBytes > PENDING_BYTES_MAX) return false;
      const cut = this.#options.cuts[this.#index]!;
      if (!cut.cursor.seek()) this.#encodeNext(cut);
      if (this.#options.clock.elapsedMs() >= deadlineMs) return !this.encoded;
    }
    return false;
  }

  /** Called after the last step; resolves when every object is durable. */
  async stored(): Promise<readonly SnapshotOfState[]> {
    await Promise.all(this.#finished);
    return this.#states;
  }

  cancel(): void {
    this.#abort.abort(new Error("the checkpoint was given up"));
    for (let i = this.#index; i < this.#options.cuts.length; i++) this.#options.cuts[i]!.cursor.cancel();
    this.#index = this.#options.cuts.length;
    this.#object?.end();
  }

  #encodeNext(cut: BasedCut): void {
    const chunk = cut.cursor.next();
    if (chunk === undefined) this.#endState(cut);
    else {
      const offset = this.#object === undefined ? this.#smallBytes : this.#object.bytes;
      this.#segments.add(chunk, offset);
      this.#add(chunk.bytes, this.#options.inlineBytesMax - inlineBytesOf(cut.base));
    }
  }

  #add(bytes: Uint8Array, inlineBytesMax: number): void {
    if (this.#object !== undefined) {
      this.#object.add(bytes);
      if (this.#object.bytes >= OBJECT_BYTES_MAX) this.#closeObject();
      return;
    }
    this.#small.push(bytes);
    this.#smallBytes += bytes.byteLength;
    const continues = this.#uploads.length > 0;
    if (continues || this.#smallBytes > inlineBytesMax) this.#openObject();
  }

  #openObject(): void {
    const object = new OpenObject((bytes) => {
      this.#pendingBytes += bytes;
      if (bytes < 0) this.#options.onRoom();
    });
    this.#object = object;
    for (const bytes of this.#small) object.add(bytes);
    this.#small = [];
    this.#smallBytes = 0;
    const name = this.#options.objectName(this.#parts++);
    const upload = this.#options.storage.put(name, object, this.#abort.signal);
    // It may fail while later slices are still being encoded, which then wait for nothing; `stored` tells.
    upload.catch(() => object.abandon());
    this.#uploads.push(upload);
  }

  #closeObject(): void {
    this.#object?.end();
    this.#object = undefined;
    this.#closedSegments.push(this.#segments.segments());
    this.#segments = new SegmentIndex();
  }

  #endState({ cursor: _, ...cut }: BasedCut): void {
    const uploads = this.#uploads;
    const small = this.#small;
    if (this.#object !== undefined) this.#closeObject();
    const segments = this.#closedSegments;
    const inlineSegments = this.#segments.segments();
    this.#uploads = [];
    this.#small = [];
    this.#smallBytes = 0;
    this.#closedSegments = [];
    this.#segments = new SegmentIndex();
    this.#index++;
    const at = this.#states.length;
    const kind = cut.base === undefined ? {} : { changes: true as const };
    this.#states.push({ ...cut, pieces: piecesInline(small, inlineSegments, kind) });
    const stored = Promise.all(uploads).catch((error: unknown) => {
      throw error instanceof ObjectTooLargeError ? tooLarge(cut, error) : error;
    });
    const finished = stored.then((objects) => {
      if (objects.length === 0) return;
      const pieces = objects.map((content, i) => ({ content, segments: segments[i]!, ...kind }));
      this.#states[at] = { ...cut, pieces };
    });
    finished.catch(() => undefined);
    this.#finished.push(finished);
  }
}

/** Says which state it is, of which operator: that is what its user can change. */
function tooLarge(
  { operator, state }: Pick<SnapshotOfState, "operator" | "state">,
  { bytes, bytesMax }: ObjectTooLargeError,
): StorageRefusedError {
  const reason =
    `state "${state}" of operator "${operator}" takes ${formatSize(bytes)} in one subtask, and the storage at most ` +
    `${formatSize(bytesMax)} of a state (checkpointing.memoryStateMax); raise that, or use another checkpointing.storage`;
  return new StorageRefusedError(reason, { reason });
}

/** The one piece of a small state, with its chunks in it; none for an empty one. */
function piecesInline(
  chunks: readonly Uint8Array[],
  segments: readonly SnapshotSegment[],
  kind: Pick<StatePiece, "changes">,
): StatePiece[] {
  return chunks.length === 0 ? [] : [{ content: Buffer.concat(chunks), segments, ...kind }];
}

/** The bytes of an object that is still being encoded, as the storage reads them. */
class OpenObject implements AsyncIterable<Uint8Array> {
  /** Told of bytes that wait from now on, and, below zero, of those that do not any more. */
  readonly #onPending: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #abandoned = false;
  #wake: (() => void) | undefined;
  bytes = 0;

  constructor(onPending: (bytes: number) => void) {
    this.#onPending = onPending;
  }

  add(chunk: Uint8Array): void {
    this.bytes += chunk.byteLength;
    if (this.#abandoned) return;
    this.#chunks.push(chunk);
    this.#onPending(chunk.byteLength);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The storage has given the object up: it reads no more bytes. */
  abandon(): void {
    this.#abandoned = true;
    this.#release(this.#chunks);
    this.#chunks = [];
  }

  #release(chunks: readonly Uint8Array[]): void {
    const bytes = chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
    if (bytes > 0) this.#onPending(-bytes);
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      if (this.#chunks.length > 0) {
        const chunks = this.#chunks;
        this.#chunks = [];
        try {
          yield chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
        } finally {
          this.#release(chunks);
        }
      } else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
