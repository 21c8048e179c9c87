/** The record store in memory. As in a KV bucket, a revision is a number in the sequence of all writes to the store. */
import { invariant } from "../errors.ts";
import type { CompareAndSet, RecordStore, StoredRecord } from "../runtime/record-store.ts";

/** The keys that NATS allows, so that a key that works here works there. */
const legalKey = /^[-/=\w]+(\.[-/=\w]+)*$/;

export class MemoryRecordStore implements RecordStore {
  readonly bucket = "memory";
  readonly #records = new Map<string, StoredRecord>();
  #lastRevision = 0;

  async read(key: string): Promise<StoredRecord | undefined> {
    checkKey(key);
    const record = this.#records.get(key);
    return record && { value: record.value.slice(), revision: record.revision };
  }

  async compareAndSet(key: string, value: Uint8Array, expectedRevision: number): Promise<CompareAndSet> {
    checkKey(key);
    if ((this.#records.get(key)?.revision ?? 0) !== expectedRevision) return { outcome: "refused" };
    const revision = ++this.#lastRevision;
    this.#records.set(key, { value: value.slice(), revision });
    return { outcome: "stored", revision };
  }

  async keys(prefix: string): Promise<string[]> {
    return [...this.#records.keys()].filter((key) => key.startsWith(prefix)).sort();
  }
}

function checkKey(key: string): void {
  invariant(legalKey.test(key), `"${key}" is no key of a record`);
}
