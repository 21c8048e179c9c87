/**
 * The timers of one operator in one subtask, of event time or of processing time: keyed state with an order.
 *
 * Owns: which timers there are, and firing those that are due. Does not own: when that is (the operator, told by the
 * chain), where rows lie (contract.ts), the order (time-order.ts).
 *
 * - TS1 A timer is a row of a table. Its key is the timer's, its namespace the timer's time and namespace, its value
 *   the ordinal of its registration. So timers are cut, stored, restored and dealt out to other subtasks as keyed state
 *   is, and their order is made anew from the rows.
 * - TS2 A timer is told by (time, key, namespace). Registering it again changes nothing, also not its place in the
 *   order (Flink: InternalTimerServiceImpl).
 * - TS3 Timers fire in ascending time, those of one time by key group, and within a group in the order in which they
 *   were registered: the same after every restore.
 * - TS4 A timer is gone before its function is called, so that one may register it again. What is registered meanwhile
 *   and is due fires in the same pass, each in its place.
 * - TS5 A function that registers again and again what is due at once would never let the job go on: at the end of
 *   input, where no time is too late, and for times that are not behind the timer's own. It is refused after 1,000
 *   timers of one key (rearming.ts).
 */
import { ABSENT, type Namespace, type StateRow, type StateTable } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { KeyedState } from "../keyed-state.ts";
import { ownKey, ownString } from "../snapshot/own-key.ts";
import type { Rearming } from "./rearming.ts";
import { rowNamespaceOf, timerIn } from "./row-namespace.ts";
import type { TimeOrder } from "./time-order.ts";
import { TimerQueue } from "./timer-queue.ts";

/** What is called for a timer; the key is the current one of the operator's state. */
export type FireTimer = (key: Key, time: number, namespace: Namespace) => void;

/** Work in slices, of one timer, or of some hundred rows. true: there is more. */
export interface TimerSlices {
  step(): boolean;
}

export interface TimerSetOptions {
  /** Declared by `stateTable`. */
  readonly table: string;
  /** The operator's keyed state. */
  readonly state: Pick<
    KeyedState,
    "table" | "openOrder" | "keyGroups" | "setCurrentKey" | "currentKey" | "currentKeyGroup"
  >;
  /** Shared by the sets of one operator. */
  readonly rearming: Rearming;
  /** Called when a timer is in front that was not: what waits for the next one may have to wake earlier. */
  readonly onEarlier?: (time: number) => void;
}

const ROWS_PER_SLICE = 256;

export class TimerSet {
  private readonly table: StateTable;
  private readonly state: TimerSetOptions["state"];
  private readonly onEarlier: ((time: number) => void) | undefined;
  private readonly queue: TimeOrder;
  private nextOrdinal = 0;
  /** The rows that are not in the queue yet; undefined: all are. */
  private unordered: Generator<StateRow, void, undefined> | undefined;
  private readonly rearming: Rearming;

  constructor({ table, state, rearming, onEarlier }: TimerSetOptions) {
    const { keyGroups } = state;
    this.table = state.table(table);
    this.state = state;
    this.rearming = rearming;
    this.onEarlier = onEarlier;
    this.queue = state.openOrder() ?? new TimerQueue(keyGroups.last - keyGroups.first + 1);
    this.unordered = this.table.rows();
  }

  /** How many timers there are. Without those of a restored table that are not in order yet. */
  get size(): number {
    return this.queue.size;
  }

  /** The time of the timer that fires next; undefined: there is none. */
  get firstTime(): number | undefined {
    this.orderRest();
    return this.queue.firstTime;
  }

  /**
   * Registers a timer of the current key.
   * @param time Infinity: fires at the end of input
   */
  register(time: number, namespace?: Namespace): void {
    this.orderRest();
    const { table, state, queue } = this;
    table.setCurrentNamespace(rowNamespaceOf(time, namespace));
    if (table.read() !== ABSENT) return;
    this.rearming.registered(state.currentKey, time);
    const ordinal = this.nextOrdinal++;
    table.write(ordinal);
    const ownNamespace = typeof namespace === "string" ? ownString(namespace) : namespace;
    const before = queue.firstTime;
    const group = state.currentKeyGroup - this.state.keyGroups.first;
    queue.add(group, time, ordinal, ownKey(state.currentKey), ownNamespace);
    if (before === undefined || time < before) this.onEarlier?.(time);
  }

  /** Deletes a timer of the current key; does nothing if there is none. */
  delete(time: number, namespace?: Namespace): void {
    this.orderRest();
    const { table, state } = this;
    table.setCurrentNamespace(rowNamespaceOf(time, namespace));
    const ordinal = table.read();
    if (ordinal === ABSENT) return;
    table.remove();
    this.queue.delete(state.currentKeyGroup - this.state.keyGroups.first, ordinal as number, time);
  }

  /**
   * Fires the timers up to `time`, also those that are registered meanwhile. undefined: none is due. A cut between two
   * slices holds those that are left.
   */
  fire(time: number, run: FireTimer): TimerSlices | undefined {
    this.orderRest();
    if (!this.isDue(time)) return undefined;
    this.rearming.begin(time);
    return {
      step: () => {
        if (!this.isDue(time)) return false;
        this.fireFirst(run);
        return this.isDue(time);
      },
    };
  }

  /** Lets all timers go. undefined: there are none. */
  clear(): TimerSlices | undefined {
    return this.fire(Number.POSITIVE_INFINITY, () => {});
  }

  /** Puts restored timers in order, some hundred to a slice. Without it the first use does so for all of them. */
  order(): TimerSlices {
    return { step: () => this.orderSome() };
  }

  private isDue(time: number): boolean {
    const { firstTime } = this.queue;
    return firstTime !== undefined && firstTime <= time;
  }

  private fireFirst(run: FireTimer): void {
    const { firstKey, firstNamespace } = this.queue;
    const firstTime = this.queue.firstTime!;
    this.queue.removeFirst();
    this.state.setCurrentKey(firstKey);
    this.table.setCurrentNamespace(rowNamespaceOf(firstTime, firstNamespace));
    this.table.remove();
    this.rearming.fires(firstTime);
    run(firstKey, firstTime, firstNamespace);
    this.rearming.fires(undefined);
  }

  private orderRest(): void {
    if (this.unordered !== undefined) while (this.orderSome());
  }

  /** true: there are more. */
  private orderSome(): boolean {
    for (let left = ROWS_PER_SLICE; left > 0; left--) {
      const row = this.unordered?.next();
      if (row === undefined || row.done === true) {
        this.unordered = undefined;
        return false;
      }
      const { keyGroup, key, namespace: rowNamespace, value } = row.value;
      const { time, namespace } = timerIn(rowNamespace);
      const ordinal = value as number;
      this.queue.add(keyGroup - this.state.keyGroups.first, time, ordinal, key, namespace);
      this.nextOrdinal = Math.max(this.nextOrdinal, ordinal + 1);
    }
    return true;
  }
}
