/**
 * Calls to directories that may not answer, such as a network file system whose server is gone. The caller gets an
 * error after a bound, the call itself cannot be taken back: it keeps one of the few threads that Node has for files.
 *
 * - BC1 Each call ends for its caller within its bound, the wait for its turn included.
 * - BC2 At most `CALLS_AT_ONCE` calls are under way, stuck ones included, so that a thread is left for the checkpoints
 *   of all jobs. While all of them are stuck, further calls are refused at once.
 * - BC3 While a call is stuck at a place, none begins there.
 */
import type { Clock, Timer } from "../clock.ts";
import { StorageStalledError } from "../errors.ts";
import type { Content } from "./content.ts";
import type { DirectoryNotes } from "./directory-notes.ts";
import type { CheckpointStorage, ObjectHandle, StoredObject } from "./storage.ts";

const CALL_MS = 10_000;
/** A directory that takes less than 1 MiB a second counts as one that does not answer. */
const BYTES_PER_MS = 1024;
/** Node has four threads for files. */
const CALLS_AT_ONCE = 3;

export class BoundedCalls {
  readonly #clock: Pick<Clock, "after">;
  readonly #waiting: (() => void)[] = [];
  /** By place: how many of its calls have not ended within their bound. */
  readonly #stuck = new Map<string, number>();
  #underWay = 0;

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock;
  }

  /**
   * @param place in messages, and the calls that share a fate: "directory /mnt/x"
   * @throws StorageStalledError when it has not ended after `boundMs`, or could not begin
   */
  async run<T>(place: string, work: () => Promise<T>, boundMs = CALL_MS): Promise<T> {
    let timer: Timer | undefined;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.after(boundMs, resolve);
    });
    try {
      await this.#turn(place, late);
      return await this.#bounded(place, work(), late);
    } finally {
      timer?.cancel();
    }
  }

  async #turn(place: string, late: Promise<void>): Promise<void> {
    this.#refuseStuck(place);
    let isLate = false;
    void late.then(() => {
      isLate = true;
    });
    while (this.#underWay >= CALLS_AT_ONCE) {
      await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), late]);
      if (isLate) throw stalled(place, "others are waited for");
      this.#refuseStuck(place);
    }
    this.#underWay++;
  }

  #refuseStuck(place: string): void {
    const all = [...this.#stuck.values()].reduce((sum, calls) => sum + calls, 0);
    if (this.#stuck.has(place)) throw stalled(place, "it does not answer");
    if (all >= CALLS_AT_ONCE)
      throw stalled(place, `${[...this.#stuck.keys()].join(" and ")} does not answer`);
  }

  async #bounded<T>(place: string, working: Promise<T>, late: Promise<void>): Promise<T> {
    let isStuck = false;
    const ended = () => {
      this.#underWay--;
      if (isStuck) this.#count(place, -1);
      this.#wake();
    };
    working.then(ended, ended);
    const timeout = late.then((): never => {
      isStuck = true;
      this.#count(place, 1);
      this.#wake();
      throw stalled(place, "it does not answer");
    });
    return await Promise.race([working, timeout]);
  }

  #count(place: string, more: number): void {
    const calls = (this.#stuck.get(place) ?? 0) + more;
    if (calls === 0) this.#stuck.delete(place);
    else this.#stuck.set(place, calls);
  }

  /** Those that wait look again. */
  #wake(): void {
    for (const look of this.#waiting.splice(0)) look();
  }
}

function stalled(place: string, reason: string): StorageStalledError {
  return new StorageStalledError(`${place}: ${reason}`, { reason });
}

/** A storage whose calls are bounded. */
export class BoundedStorage implements CheckpointStorage {
  readonly description: string;
  readonly notes?: DirectoryNotes;
  readonly #inner: CheckpointStorage;
  readonly #calls: BoundedCalls;

  constructor(inner: CheckpointStorage, calls: BoundedCalls) {
    this.description = inner.description;
    if (inner.notes !== undefined) this.notes = inner.notes;
    this.#inner = inner;
    this.#calls = calls;
  }

  /** The content comes from memory here: what takes long is the place. */
  put(name: string, content: Content, signal?: AbortSignal): Promise<ObjectHandle> {
    const bytes = Array.isArray(content) ? content.reduce((sum: number, piece) => sum + piece.length, 0) : 0;
    return this.#run(() => this.#inner.put(name, content, signal), bytes);
  }

  get(handle: ObjectHandle): Promise<Uint8Array> {
    return this.#run(() => this.#inner.get(handle), handle.bytes);
  }

  assertPresent(handle: ObjectHandle): Promise<void> {
    return this.#run(() => this.#inner.assertPresent(handle));
  }

  delete(name: string): Promise<void> {
    return this.#run(() => this.#inner.delete(name));
  }

  list(prefix: string): AsyncIterable<StoredObject> {
    return this.#each(this.#inner.list(prefix));
  }

  listUnfinished(prefix: string): AsyncIterable<StoredObject> {
    return this.#each(this.#inner.listUnfinished(prefix));
  }

  async *#each(objects: AsyncIterable<StoredObject>): AsyncGenerator<StoredObject> {
    const iterator = objects[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#run(() => iterator.next());
      if (next.done === true) return;
      yield next.value;
    }
  }

  #run<T>(work: () => Promise<T>, bytes = 0): Promise<T> {
    return this.#calls.run(this.description, work, CALL_MS + bytes / BYTES_PER_MS);
  }
}
