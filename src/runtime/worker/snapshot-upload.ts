/**
 * The asynchronous part of one subtask's snapshot: encodes the cut in slices between records, and uploads it.
 *
 * Owns: the chunks on their way from the cursors to the storage. Does not own: the cut (chain.ts, heap.ts), when slices
 * run (subtask-loop.ts).
 *
 * U1  What is written is the cut, whatever records do to the live state meanwhile.
 * U2  At most `PENDING_BYTES_MAX` encoded bytes wait for the storage; encoding stops until they have left.
 * U3  State below the inline threshold becomes no object: it travels in the acknowledgement and the manifest (D9).
 */
import type { ObjectHandle, StateHandle } from "../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import type { StateCut } from "../../dataflow/chain.ts";
import { SegmentIndex, type SnapshotSegment } from "../../state/snapshot.ts";
import { newLife } from "../life.ts";

/** Objects stay small enough to be read in one piece. */
const OBJECT_BYTES_MAX = 16 * 1024 * 1024;
const PENDING_BYTES_MAX = 4 * 1024 * 1024;

/** `StateHandle.inline` of keyed state. */
export interface KeyedStateDetail {
  readonly state: string;
  /** The whole of a small state; undefined when it lies in objects. */
  readonly bytes: Uint8Array | undefined;
  /** Per object: which bytes hold which key groups. */
  readonly segments: readonly (readonly SnapshotSegment[])[];
}

export interface SnapshotUploadOptions {
  readonly cuts: readonly StateCut[];
  readonly subtaskIndex: number;
  readonly storage: Pick<CheckpointStorage, "put">;
  readonly inlineBytesMax: number;
  /** Name of the object that holds the given part of this snapshot. */
  readonly objectName: (part: number) => string;
  /** More room for encoded bytes: the loop may go on. */
  readonly onRoom: () => void;
}

export class SnapshotUpload {
  readonly #options: SnapshotUploadOptions;
  readonly #abort = newLife();
  readonly #states: StateHandle[] = [];
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

  /** Encodes until `deadlineMs` (of performance.now). true: there is more, and room for it. */
  step(deadlineMs: number): boolean {
    while (!this.encoded) {
      if (this.#object !== undefined && this.#object.pendingBytes > PENDING_BYTES_MAX) return false;
      const cut = this.#options.cuts[this.#index]!;
      const chunk = cut.cursor.next();
      if (chunk === undefined) this.#endState(cut);
      else {
        const offset = this.#object === undefined ? this.#smallBytes : this.#object.bytes;
        this.#segments.add(chunk, offset);
        this.#add(chunk.bytes);
      }
      if (performance.now() >= deadlineMs) return !this.encoded;
    }
    return false;
  }

  /** After the last step: resolves when every object is durable. */
  async stored(): Promise<readonly StateHandle[]> {
    await Promise.all(this.#finished);
    return this.#states;
  }

  cancel(): void {
    this.#abort.abort(new Error("the checkpoint was given up"));
    for (let i = this.#index; i < this.#options.cuts.length; i++) this.#options.cuts[i]!.cursor.cancel();
    this.#index = this.#options.cuts.length;
    this.#object?.end();
  }

  #add(bytes: Uint8Array): void {
    if (this.#object !== undefined) {
      this.#object.add(bytes);
      if (this.#object.bytes >= OBJECT_BYTES_MAX) this.#closeObject();
      return;
    }
    this.#small.push(bytes);
    this.#smallBytes += bytes.byteLength;
    const continues = this.#uploads.length > 0;
    if (continues || this.#smallBytes > this.#options.inlineBytesMax) this.#openObject();
  }

  #openObject(): void {
    const object = new OpenObject(this.#options.onRoom);
    this.#object = object;
    for (const bytes of this.#small) object.add(bytes);
    this.#small = [];
    this.#smallBytes = 0;
    const name = this.#options.objectName(this.#parts++);
    const upload = this.#options.storage.put(name, object, this.#abort.signal);
    // It may fail while later slices are still being encoded; `stored` tells.
    upload.catch(() => undefined);
    this.#uploads.push(upload);
  }

  #closeObject(): void {
    this.#object?.end();
    this.#object = undefined;
    this.#closedSegments.push(this.#segments.segments());
    this.#segments = new SegmentIndex();
  }

  #endState(cut: StateCut): void {
    const uploads = this.#uploads;
    const small = this.#small;
    if (this.#object !== undefined) this.#closeObject();
    const segments = this.#closedSegments;
    this.#uploads = [];
    this.#small = [];
    this.#smallBytes = 0;
    this.#closedSegments = [];
    this.#segments = new SegmentIndex();
    this.#index++;
    const inline: KeyedStateDetail = {
      state: cut.state,
      bytes: uploads.length === 0 ? Buffer.concat(small) : undefined,
      segments,
    };
    const at = this.#states.length;
    const handle = {
      operator: cut.operator,
      subtaskIndex: this.#options.subtaskIndex,
      kind: "keyed",
      inline,
    } as const;
    this.#states.push({ ...handle, objects: [] });
    const finished = Promise.all(uploads).then((objects) => {
      this.#states[at] = { ...handle, objects };
    });
    finished.catch(() => undefined);
    this.#finished.push(finished);
  }
}

/** The bytes of an object that is still being encoded, as the storage reads them. */
class OpenObject implements AsyncIterable<Uint8Array> {
  readonly #onRoom: () => void;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #wake: (() => void) | undefined;
  bytes = 0;
  pendingBytes = 0;

  constructor(onRoom: () => void) {
    this.#onRoom = onRoom;
  }

  add(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.bytes += chunk.byteLength;
    this.pendingBytes += chunk.byteLength;
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      if (this.#chunks.length > 0) {
        const chunks = this.#chunks;
        this.#chunks = [];
        const joined = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
        yield joined;
        this.pendingBytes -= joined.byteLength;
        this.#onRoom();
      } else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }
}
