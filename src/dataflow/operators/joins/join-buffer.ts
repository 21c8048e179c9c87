/**
 * The records of one side that still may find a partner, by key and event time.
 *
 * Owns: the rows of one table, the order of each key's times over them, which rows are due. Does not own: how long a
 * record stays, who its partners are (the operator).
 *
 * - JB1 Each row holds the records of one key and one time, in the order in which they came. So what comes with a new
 *   record is one row that changes, however many the key has.
 * - JB2 What lies in memory beside the rows follows from them, and is made again from the restored ones.
 */
import { ABSENT, type StateRow, type StateTable } from "../../../state/contract.ts";
import type { Key } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { ownKey } from "../../../state/snapshot/own-key.ts";
import type { Slices } from "../contract.ts";
import { SortedTimes } from "./sorted-times.ts";

const ROWS_PER_SLICE = 256;
const NO_TIMES = new SortedTimes();

export interface JoinBufferOptions {
  readonly state: KeyedState;
  /** The name of the table among the operator's states. */
  readonly table: string;
  /** A row of time `t` may go when the watermark has come to `t + staysMs`. */
  readonly staysMs: number;
  /** Rows that are due within so many ms of each other go together. At least 1. */
  readonly granuleMs: number;
  /** true: of the rows that may go, the newest one of each key stays. Default false. */
  readonly keepsNewest?: boolean;
}

export class JoinBuffer {
  private readonly options: JoinBufferOptions;
  private readonly table: StateTable;
  private readonly timesOfKey = new Map<Key, SortedTimes>();
  /** The keys that have rows which are due in a granule, by the number of the granule. */
  private readonly dueKeys = new Map<number, Set<Key>>();
  private readonly granules = new SortedTimes();
  /** The restored rows that are not known here yet; undefined: all are. */
  private unknown: Generator<StateRow, void, undefined> | undefined;

  constructor(options: JoinBufferOptions) {
    this.options = options;
    this.table = options.state.table(options.table);
    this.unknown = this.table.rows();
  }

  /** Takes in what was restored, some hundred rows to a slice. Without it the first use does so for all of them. */
  restored(): Slices {
    return { step: () => this.noteSome() };
  }

  /** Keeps a record of the current key. */
  add(time: number, value: unknown): void {
    this.noteRest();
    const { table } = this;
    table.setCurrentNamespace(time);
    const held = table.read();
    if (held === ABSENT) {
      table.write([value]);
      this.noteRow(this.options.state.currentKey, time);
    } else table.write([...(held as readonly unknown[]), value]);
  }

  /** Puts a record of the current key in the place of those of its time. */
  put(time: number, value: unknown): void {
    this.noteRest();
    const { table } = this;
    table.setCurrentNamespace(time);
    const isNew = table.read() === ABSENT;
    table.write([value]);
    if (isNew) this.noteRow(this.options.state.currentKey, time);
  }

  /** The times at which this key has records. Valid until the buffer changes. */
  times(key: Key): SortedTimes {
    this.noteRest();
    return this.timesOfKey.get(key) ?? NO_TIMES;
  }

  /** The records of the current key at one of its times. */
  recordsAt(time: number): readonly unknown[] {
    this.table.setCurrentNamespace(time);
    return this.table.read() as readonly unknown[];
  }

  /** Whether rows are due at this watermark. */
  hasDue(watermark: number): boolean {
    this.noteRest();
    const { first } = this.granules;
    return first !== undefined && this.endOf(first) <= watermark;
  }

  /** Removes some of the rows that are due. true: there are more. */
  removeSome(watermark: number): boolean {
    let left = ROWS_PER_SLICE;
    while (this.hasDue(watermark)) {
      const granule = this.granules.first!;
      const keys = this.dueKeys.get(granule)!;
      for (const key of keys) {
        left = this.removeOf(key, watermark, left);
        if (left === 0) return true;
        keys.delete(key);
      }
      this.dueKeys.delete(granule);
      this.granules.removeFirst();
    }
    return false;
  }

  private noteRest(): void {
    if (this.unknown !== undefined) while (this.noteSome());
  }

  /** true: there are more. */
  private noteSome(): boolean {
    for (let left = ROWS_PER_SLICE; left > 0; left--) {
      const row = this.unknown?.next();
      if (row === undefined || row.done === true) {
        this.unknown = undefined;
        return false;
      }
      this.noteRow(row.value.key, row.value.namespace as number);
    }
    return true;
  }

  private noteRow(key: Key, time: number): void {
    let times = this.timesOfKey.get(key);
    if (times === undefined) {
      times = new SortedTimes();
      this.timesOfKey.set(ownKey(key), times);
    }
    times.add(time);
    const { staysMs, granuleMs } = this.options;
    const granule = Math.floor((time + staysMs) / granuleMs);
    const due = this.dueKeys.get(granule);
    if (due !== undefined) {
      if (!due.has(key)) due.add(ownKey(key));
      return;
    }
    this.dueKeys.set(granule, new Set([ownKey(key)]));
    this.granules.add(granule);
  }

  /** When all rows of a granule are due. */
  private endOf(granule: number): number {
    return (granule + 1) * this.options.granuleMs - 1;
  }

  /** Answers how many more rows this slice may remove; 0: the key is to be asked again. */
  private removeOf(key: Key, watermark: number, max: number): number {
    const times = this.timesOfKey.get(key);
    if (times === undefined) return max;
    const { state } = this.options;
    state.setCurrentKey(key);
    let left = max;
    for (; left > 0 && this.mayGo(times, watermark); left--) {
      this.table.setCurrentNamespace(times.first);
      this.table.remove();
      times.removeFirst();
    }
    if (times.isEmpty) this.timesOfKey.delete(key);
    return left;
  }

  /** Whether the first row of a key may go. */
  private mayGo(times: SortedTimes, watermark: number): boolean {
    const { staysMs, keepsNewest = false } = this.options;
    const decides = keepsNewest ? times.second : times.first;
    return decides !== undefined && decides + staysMs <= watermark;
  }
}
