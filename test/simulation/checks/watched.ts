/** The places where a job leaves what outlives its processes, watched. */
import type { JobRecord, SavepointMetadata } from "../../../machines/protocol.ts";
import type { Content } from "../../../src/checkpoint/content.ts";
import { splitLocation } from "../../../src/checkpoint/savepoint.ts";
import type { ObjectHandle } from "../../../src/checkpoint/storage.ts";
import { MemorySinkTarget } from "../../../src/connectors/memory-sink.ts";
import { jobKey } from "../../../src/formats/job-record.ts";
import { parseSavepoint } from "../../../src/formats/savepoint-metadata.ts";
import type { TransactionMarker } from "../../../src/formats/transactions/transaction-marker.ts";
import { MemoryRecordStore } from "../../../src/memory/record-store.ts";
import { MemoryStorage } from "../../../src/memory/storage.ts";
import type { CompareAndSet } from "../../../src/runtime/record-store.ts";

export class WatchedRecordStore extends MemoryRecordStore {
  onStored: (record: JobRecord) => void = () => {};

  override async compareAndSet(
    key: string,
    value: Uint8Array,
    expectedRevision: number,
  ): Promise<CompareAndSet> {
    const answer = await super.compareAndSet(key, value, expectedRevision);
    if (answer.outcome === "stored" && key.startsWith(jobKey("")))
      this.onStored(JSON.parse(new TextDecoder().decode(value)) as JobRecord);
    return answer;
  }
}

export class WatchedStorage extends MemoryStorage {
  onDeleted: (name: string) => void = () => {};
  /** The job that an object of this name belongs to has ended. */
  isOver: (name: string) => boolean = () => false;
  /** What was put behind the end of its job. */
  readonly #late = new Set<string>();
  readonly #contents = new Map<string, Uint8Array>();

  /** What is stored; undefined: it is not there. */
  content(name: string): Uint8Array | undefined {
    return this.#contents.get(name);
  }

  names(): string[] {
    return [...this.#contents.keys()];
  }

  cameLate(name: string): boolean {
    return this.#late.has(name);
  }

  override async put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const handle = await super.put(name, content, signal);
    if (this.isOver(name)) this.#late.add(name);
    this.#contents.set(name, await this.get(handle));
    return handle;
  }

  override async delete(name: string): Promise<void> {
    if (this.#contents.delete(name)) this.onDeleted(name);
    await super.delete(name);
  }
}

/** undefined: it is not there. */
export function savepointIn(storage: WatchedStorage, location: string): SavepointMetadata | undefined {
  const { name } = splitLocation(location);
  const metadata = storage.names().find((one) => one.startsWith(`${name}/metadata.`));
  return metadata === undefined ? undefined : parseSavepoint(storage.content(metadata)!, location, metadata);
}

export class WatchedTarget<T> extends MemorySinkTarget<T> {
  readonly #onCommitted: (key: string, marker: TransactionMarker, values: readonly T[]) => void;

  constructor(onCommitted: (key: string, marker: TransactionMarker, values: readonly T[]) => void) {
    super();
    this.#onCommitted = onCommitted;
  }

  override async append(
    key: string,
    revision: number,
    marker: TransactionMarker,
    values: readonly T[],
  ): Promise<number | undefined> {
    const moved = await super.append(key, revision, marker, values);
    if (moved !== undefined) this.#onCommitted(key, marker, values);
    return moved;
  }
}
