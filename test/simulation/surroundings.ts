/**
 * What the processes of a simulation reach over the network: the bus, the record store, the storage and the sink's
 * target, each with the delays, losses and doubtful outcomes that the weather has at that moment.
 *
 * A process that is dead hears no answer, and one that is cut off reaches nothing. What has been asked for may be done
 * all the same.
 */
import type { CopyFiles } from "../../src/checkpoint/local-copies.ts";
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import type { MemorySinkTarget, MemoryTarget } from "../../src/connectors/memory-sink.ts";
import { DisconnectedError, StorageStalledError, UnknownOutcomeError } from "../../src/errors.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import type { RecordStore } from "../../src/runtime/record-store.ts";
import type { Place } from "./decisions.ts";
import type { Scheduler, VirtualProcess } from "./scheduler.ts";
import { CALM, type Weather } from "./weather.ts";

const TRAVEL_MS_MAX = 2;
/** The share of repetitions that come right behind the original. */
const RIGHT_BEHIND_SHARE = 0.5;
const REPEATED_MS_MAX = 3000;
const LATE_MS_MAX = 6000;
const STORAGE_SLOW_MS_MAX = 3000;
const DISK_SLOW_MS_MAX = 1000;

export class Network {
  weather: Weather = CALM;
  /** Faults that have happened: losses, repetitions, doubtful outcomes. */
  faults = 0;
  /** Local copies that took the place of objects of the storage. */
  copiesRead = 0;
  /** Told of each. */
  onFault: (what: string) => void = () => {};
  readonly broker: MemoryBroker;
  readonly #scheduler: Scheduler;
  /** The broker's own steps. */
  readonly #itself: VirtualProcess;
  readonly #owners = new Map<MemoryBus, VirtualProcess>();
  /** When the last message of each pair arrives: the next one comes behind it. */
  readonly #arrivals = new Map<string, number>();

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
    this.#itself = scheduler.process("broker");
    this.broker = new MemoryBroker({
      later: (turn) => this.#itself.acts("routes", turn),
      carry: (arrive, from, to) => this.#carry(arrive, from, to),
    });
  }

  connect(process: VirtualProcess): MemoryBus {
    const bus = this.broker.connect({
      now: () => this.#scheduler.nowMs,
      startTimer: (ms, fire) => {
        const timer = process.after(ms, fire);
        return () => timer.cancel();
      },
    });
    this.#owners.set(bus, process);
    return bus;
  }

  /** What its machine knows of the connection is gone with it. */
  forget(bus: MemoryBus): void {
    this.broker.forget(bus);
    this.#owners.delete(bus);
  }

  /** Whether a fault of this share strikes: told, counted, and how much of it in [0, 1). */
  #strikes(place: Place, kind: string, share: number): number | undefined {
    const amount = place.strikes(kind, share, this.#scheduler.nowMs);
    if (amount === undefined) return undefined;
    this.faults++;
    this.onFault(`${place.name} ${kind}`);
    return amount;
  }

  #travelMs(place: Place): number {
    const { slow, slowMs } = this.weather;
    const late = this.#strikes(place, "is slow", slow);
    return late === undefined ? place.random.next() * TRAVEL_MS_MAX : late * slowMs;
  }

  #carry(arrive: () => void, from: MemoryBus, to: MemoryBus): void {
    const receiver = this.#owners.get(to);
    if (receiver === undefined) return;
    const isWord = from === to;
    const pair = `${this.#owners.get(from)?.name}>${receiver.name}`;
    const place = this.#scheduler.decisions.place(pair);
    if (!isWord && this.#strikes(place, "loses a message", this.weather.loss) !== undefined) return;
    const twice = isWord ? undefined : this.#strikes(place, "repeats a message", this.weather.repetition);
    this.#arrive(receiver, pair, place, arrive);
    if (twice === undefined) return;
    if (twice < RIGHT_BEHIND_SHARE) this.#arrive(receiver, pair, place, arrive);
    // It comes behind others that were sent later, as something that was sent again.
    else
      this.#scheduler.add(receiver, this.#scheduler.nowMs + twice * REPEATED_MS_MAX, `hears ${pair}`, arrive);
  }

  /** In order, as on one connection; also when an earlier one takes long. */
  #arrive(receiver: VirtualProcess, pair: string, place: Place, arrive: () => void): void {
    const atMs = Math.max(this.#arrivals.get(pair) ?? 0, this.#scheduler.nowMs + this.#travelMs(place));
    this.#arrivals.set(pair, atMs);
    this.#scheduler.add(receiver, atMs, `hears ${pair}`, arrive);
  }

  records(process: VirtualProcess, bus: MemoryBus, store: RecordStore): RecordStore {
    const place = this.#scheduler.decisions.place(`${process.name}>records`);
    const there = async (what: string): Promise<void> => {
      assertConnected(bus);
      await process.passes(this.#travelMs(place), `asks ${what}`);
      assertConnected(bus);
    };
    const back = async (what: string): Promise<void> => {
      await process.passes(this.#travelMs(place), `hears ${what}`);
      assertConnected(bus);
    };
    return {
      bucket: store.bucket,
      read: async (key) => {
        await there("record");
        const found = await store.read(key);
        await back("record");
        return found;
      },
      compareAndSet: async (key, value, revision) => {
        await there("write");
        const { unknownLost, unknownStored, late } = this.weather;
        if (this.#strikes(place, "loses a write", unknownLost) !== undefined)
          throw new UnknownOutcomeError("no answer: the write was lost");
        const delay = this.#strikes(place, "stores late", late);
        if (delay !== undefined) {
          const atMs = this.#scheduler.nowMs + delay * LATE_MS_MAX;
          this.#scheduler.add(this.#itself, atMs, "stores late", () => {
            void store.compareAndSet(key, value, revision);
          });
          throw new UnknownOutcomeError("no answer: the write is still on its way");
        }
        const answer = await store.compareAndSet(key, value, revision);
        if (this.#strikes(place, "loses the answer to a write", unknownStored) !== undefined)
          throw new UnknownOutcomeError("no answer: it was lost");
        await process.passes(this.#travelMs(place), "hears write");
        if (bus.connectedForMs() === 0) throw new UnknownOutcomeError("no answer: cut off");
        return answer;
      },
      keys: async (prefix) => {
        await there("keys");
        const keys = await store.keys(prefix);
        await back("keys");
        return keys;
      },
    };
  }

  storage(process: VirtualProcess, bus: MemoryBus, storage: CheckpointStorage): CheckpointStorage {
    const place = this.#scheduler.decisions.place(`${process.name}>storage`);
    const reach = async (what: string): Promise<void> => {
      const { storageFails, storageSlow } = this.weather;
      const slowMs = (this.#strikes(place, "waits", storageSlow) ?? 0) * STORAGE_SLOW_MS_MAX;
      await process.passes(slowMs + this.#travelMs(place), what);
      if (bus.connectedForMs() === 0 || this.#strikes(place, `fails: ${what}`, storageFails) !== undefined)
        throw new StorageStalledError(`${what} made no progress`);
    };
    return {
      description: storage.description,
      put: async (name, content, signal) => {
        await reach("put");
        signal?.throwIfAborted();
        const handle = await storage.put(name, content, signal);
        await reach("put answer");
        return handle;
      },
      get: async (handle) => {
        await reach("get");
        return storage.get(handle);
      },
      assertPresent: async (handle) => {
        await reach("look");
        return storage.assertPresent(handle);
      },
      delete: async (name) => {
        await reach("delete");
        return storage.delete(name);
      },
      async *list(prefix) {
        await reach("list");
        yield* storage.list(prefix);
      },
      async *listUnfinished(prefix) {
        await reach("list unfinished");
        yield* storage.listUnfinished(prefix);
      },
    };
  }

  /** A disk of the machine that the process runs on: nothing is lost on the way, but it may be slow or fail. */
  disk(process: VirtualProcess, disk: CopyFiles): CopyFiles {
    const place = this.#scheduler.decisions.place(`${process.name}>disk`);
    const reach = async (what: string): Promise<void> => {
      const { storageFails, storageSlow } = this.weather;
      const slowMs = (this.#strikes(place, "is slow", storageSlow) ?? 0) * DISK_SLOW_MS_MAX;
      await process.passes(slowMs, `${what} on disk`);
      if (this.#strikes(place, `fails: ${what}`, storageFails) !== undefined)
        throw new Error(`${what}: input/output error`);
    };
    return {
      put: async (name, content, signal) => {
        await reach("put");
        return await disk.put(name, content, signal);
      },
      get: async (handle) => {
        await reach("get");
        const content = await disk.get(handle);
        this.copiesRead++;
        return content;
      },
      delete: async (name) => {
        await reach("delete");
        return await disk.delete(name);
      },
    };
  }

  /** A delivery by the process whose step it is, to a place without transactions. */
  delivery<T>(there: T[]): (values: readonly T[]) => Promise<void> {
    const process = this.#caller();
    const place = this.#placeOfTarget(process);
    return async (values) => {
      await process.passes(this.#travelMs(place), "delivers");
      this.#unknown(place, "loses a delivery");
      there.push(...values);
      this.#unknown(place, "loses the answer to a delivery");
      await process.passes(this.#travelMs(place), "hears delivery");
    };
  }

  /** Reached by the process whose step it is. */
  target<T>(target: MemorySinkTarget<T>): MemoryTarget<T> {
    return {
      read: async (key) => {
        const process = this.#caller();
        const place = this.#placeOfTarget(process);
        await process.passes(this.#travelMs(place), "reads marker");
        this.#unknown(place, "loses a marker");
        return target.read(key);
      },
      append: async (key, revision, marker, values) => {
        const process = this.#caller();
        const place = this.#placeOfTarget(process);
        await process.passes(this.#travelMs(place), "appends");
        this.#unknown(place, "loses a commit");
        const moved = await target.append(key, revision, marker, values);
        this.#unknown(place, "loses the answer to a commit");
        await process.passes(this.#travelMs(place), "hears append");
        return moved;
      },
    };
  }

  #caller(): VirtualProcess {
    const process = this.#scheduler.current;
    if (process === undefined) throw new Error("a sink is reached outside of a step");
    return process;
  }

  #placeOfTarget(process: VirtualProcess): Place {
    return this.#scheduler.decisions.place(`${process.name}>target`);
  }

  #unknown(place: Place, what: string): void {
    if (this.#strikes(place, what, this.weather.targetUnknown) !== undefined)
      throw new UnknownOutcomeError(`no answer: ${place.name} ${what}`);
  }
}

function assertConnected(bus: MemoryBus): void {
  if (bus.connectedForMs() === 0) throw new DisconnectedError("cut off");
}
