/**
 * Leases that others hold, looked at without competing for them (P50): is there a leader behind this one?
 *
 * A lease is held until it is given back, or until it has been seen unchanged for longer than it lasts, by this
 * process's own clock. So the first look at a lease that no process renews any more says "held".
 */

import type { Clock } from "../../clock.ts";
import { retryOf } from "../../errors.ts";
import { parseLease } from "../../formats/lease.ts";
import type { RecordStore } from "../record-store.ts";

interface Look {
  readonly revision: number;
  /** When this revision was seen first. */
  readonly sinceMs: number;
  /** It has been seen to change while it was watched: its holder lives. */
  readonly renewed: boolean;
  readonly released: boolean;
  readonly place: string;
}

/** Clocks of two machines may run at rates this much apart. */
const CLOCK_DRIFT = 1.1;
const LOOKS_PER_LEASE = 4;
const UNKNOWN = "an unknown process";
const FREE: Look = { revision: 0, sinceMs: 0, renewed: false, released: true, place: "" };

export class LeaseWatch {
  readonly #options: { readonly store: RecordStore; readonly clock: Clock; readonly leaseMs: number };
  readonly #looks = new Map<string, { readonly look: Look; readonly atMs: number }>();

  constructor(options: { readonly store: RecordStore; readonly clock: Clock; readonly leaseMs: number }) {
    this.#options = options;
  }

  /** The process that holds the lease, as far as is known; undefined: none. One read every quarter of a lease. */
  async holder(key: string): Promise<string | undefined> {
    const look = await this.#look(key);
    return this.#isOver(look) ? undefined : look.place;
  }

  /** The holder by a new read of the lease: a process that took it before this call is seen. */
  async presentHolder(key: string): Promise<string | undefined> {
    const look = await this.#readAgain(key);
    return this.#isOver(look) ? undefined : look.place;
  }

  /** The holder once the lease was renewed or is over: waits as long as a lease lasts. */
  async livingHolder(key: string): Promise<string | undefined> {
    const { clock, leaseMs } = this.#options;
    for (;;) {
      const look = await this.#readAgain(key);
      if (this.#isOver(look)) return undefined;
      if (look.renewed) return look.place;
      await new Promise<void>((resolve) => clock.after(leaseMs / LOOKS_PER_LEASE, resolve));
    }
  }

  #isOver({ released, sinceMs }: Look): boolean {
    const { clock, leaseMs } = this.#options;
    return released || clock.elapsedMs() - sinceMs > leaseMs * CLOCK_DRIFT;
  }

  async #look(key: string): Promise<Look> {
    const { clock, leaseMs } = this.#options;
    const before = this.#looks.get(key);
    const isFresh = before !== undefined && clock.elapsedMs() - before.atMs < leaseMs / LOOKS_PER_LEASE;
    return isFresh ? before.look : await this.#readAgain(key);
  }

  async #readAgain(key: string): Promise<Look> {
    const { clock, leaseMs } = this.#options;
    const before = this.#looks.get(key);
    const atMs = clock.elapsedMs();
    // What changed long ago says nothing about now.
    const recent = before !== undefined && atMs - before.atMs < 2 * leaseMs;
    const look = await this.#read(key, before?.look, recent);
    this.#looks.set(key, { look, atMs });
    return look;
  }

  async #read(key: string, before: Look | undefined, recent: boolean): Promise<Look> {
    const { store, clock } = this.#options;
    try {
      const found = await store.read(key);
      if (found === undefined) return FREE;
      const sinceMs = found.revision === before?.revision ? before.sinceMs : clock.elapsedMs();
      const renewed = recent && before?.released === false && before.revision !== found.revision;
      const lease = parseLease(found.value);
      const { released, place } = "value" in lease ? lease.value : { released: false, place: UNKNOWN };
      return { revision: found.revision, sinceMs, renewed, released, place };
    } catch (error) {
      if (retryOf(error) !== "now") throw error;
      // Not seen is not unchanged.
      return {
        revision: before?.revision ?? 0,
        sinceMs: clock.elapsedMs(),
        renewed: false,
        released: false,
        place: before?.place ?? UNKNOWN,
      };
    }
  }
}
