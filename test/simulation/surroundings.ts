/**
 * What the processes of a simulation reach over the network: the bus, the record store, the storage and the sink's target, each with the
 * delays, losses and doubtful outcomes that the weather has at that moment.
 *
 * A process that is dead hears no answer, and one that is cut off reaches nothing. What has been asked for may be done all the same.
 */
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import type { MemorySinkTarget, MemoryTarget } from "../../src/connectors/memory-sink.ts";
import { DisconnectedError, StorageStalledError, UnknownOutcomeError } from "../../src/errors.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import type { RecordStore } from "../../src/runtime/record-store.ts";
import type { Scheduler, VirtualProcess } from "./scheduler.ts";
import { CALM, type Weather } from "./weather.ts";

const TRAVEL_MS_MAX = 2;
const LATE_MS_MAX = 6000;
const STORAGE_SLOW_MS_MAX = 3000;

export class Network {
  weather: Weather = CALM;
  /** Faults that have happened: losses, repetitions, doubtful outcomes. */
  faults = 0;
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

  /** True with this share, and counted. */
  strikes(share: number): boolean {
    const struck = share > 0 && this.#scheduler.random.next() < share;
    if (struck) this.faults++;
    return struck;
  }

  travelMs(): number {
    const { random } = this.#scheduler;
    const { slow, slowMs } = this.weather;
    return random.next() * (this.strikes(slow) ? slowMs : TRAVEL_MS_MAX);
  }

  #carry(arrive: () => void, from: MemoryBus, to: MemoryBus): void {
    const receiver = this.#owners.get(to);
    if (receiver === undefined) return;
    const isWord = from === to;
    if (!isWord && this.strikes(this.weather.loss)) return;
    const pair = `${this.#owners.get(from)?.name}>${receiver.name}`;
    const times = !isWord && this.strikes(this.weather.repetition) ? 2 : 1;
    for (let time = 0; time < times; time++) {
      // In order, as on one connection; also when an earlier one takes long.
      const atMs = Math.max(this.#arrivals.get(pair) ?? 0, this.#scheduler.nowMs + this.travelMs());
      this.#arrivals.set(pair, atMs);
      this.#scheduler.add(receiver, atMs, `hears ${pair}`, arrive);
    }
  }

  records(process: VirtualProcess, bus: MemoryBus, store: RecordStore): RecordStore {
    const there = async (what: string): Promise<void> => {
      assertConnected(bus);
      await process.passes(this.travelMs(), `asks ${what}`);
      assertConnected(bus);
    };
    const back = async (what: string): Promise<void> => {
      await process.passes(this.travelMs(), `hears ${what}`);
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
        if (this.strikes(unknownLost)) throw new UnknownOutcomeError("no answer: the write was lost");
        if (this.strikes(late)) {
          const waitMs = this.#scheduler.random.next() * LATE_MS_MAX;
          this.#scheduler.add(this.#itself, this.#scheduler.nowMs + waitMs, "stores late", () => {
            void store.compareAndSet(key, value, revision);
          });
          throw new UnknownOutcomeError("no answer: the write is still on its way");
        }
        const answer = await store.compareAndSet(key, value, revision);
        if (this.strikes(unknownStored)) throw new UnknownOutcomeError("no answer: it was lost");
        await process.passes(this.travelMs(), "hears write");
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
    const reach = async (what: string): Promise<void> => {
      const { storageFails, storageSlow } = this.weather;
      const slowMs = this.strikes(storageSlow) ? this.#scheduler.random.next() * STORAGE_SLOW_MS_MAX : 0;
      await process.passes(slowMs + this.travelMs(), what);
      if (bus.connectedForMs() === 0 || this.strikes(storageFails))
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

  /** Of the process whose step it is, to a place without transactions. */
  delivery<T>(place: T[]): (values: readonly T[]) => Promise<void> {
    const process = this.#scheduler.current;
    if (process === undefined) throw new Error("a sink is opened outside of a step");
    return async (values) => {
      await process.passes(this.travelMs(), "delivers");
      if (this.strikes(this.weather.targetUnknown)) throw new UnknownOutcomeError("no answer: it was lost");
      place.push(...values);
      if (this.strikes(this.weather.targetUnknown)) throw new UnknownOutcomeError("no answer: that was lost");
      await process.passes(this.travelMs(), "hears delivery");
    };
  }

  /** Reached by the process whose step it is. */
  target<T>(target: MemorySinkTarget<T>): MemoryTarget<T> {
    const passes = async (what: string): Promise<void> => {
      const process = this.#scheduler.current;
      if (process === undefined) throw new Error(`${what} outside of a step`);
      await process.passes(this.travelMs(), what);
    };
    const unknown = (what: string): void => {
      if (this.strikes(this.weather.targetUnknown)) throw new UnknownOutcomeError(`no answer: ${what}`);
    };
    return {
      read: async (key) => {
        await passes("reads marker");
        unknown("the marker was not read");
        return target.read(key);
      },
      append: async (key, revision, marker, values) => {
        await passes("appends");
        unknown("the commit was lost");
        const moved = await target.append(key, revision, marker, values);
        unknown("the answer to the commit was lost");
        await passes("hears append");
        return moved;
      },
    };
  }
}

function assertConnected(bus: MemoryBus): void {
  if (bus.connectedForMs() === 0) throw new DisconnectedError("cut off");
}
