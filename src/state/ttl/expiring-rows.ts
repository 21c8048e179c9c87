/**
 * The rows of a state whose values live for a time only.
 *
 * Owns: the time of each row, which rows have expired, and removing them. Does not own: the values (the table below),
 * what time it is (the clock that the operator gives), when expired rows are looked for (the operator), what a row
 * means to the user (handles/).
 *
 * - ER1 A row has expired when its time and the time to live have come: `at + afterMs <= now`. It is never read,
 *   counted or listed again, whether or not it has been removed yet.
 * - ER2 A row's time is a row of a second table, with the same key and namespace: `{ at, ordinal }`. So times are cut,
 *   stored and dealt out as keyed state is, and the values of a state look the same with and without them. The ordinal
 *   is given when the row is new; it is what orders rows of one time.
 * - ER3 `at` never goes back while a row is there. -Infinity: no time has come yet at which it could have been stored.
 *   The next time that comes is its time. Infinity: it does not expire.
 * - ER4 The queue has each row once, at the time at which it expires or at an earlier one: a row that is written again
 *   is put back when it comes to the front. So nothing has expired as long as the front of the queue is in the future,
 *   and to renew a row moves nothing. A queue on disk also has rows that were removed, until they come to the front.
 * - ER5 Within the call of a function for one key it is one time, however long the function runs.
 * - ER6 An expired row that the user's function comes to before it was removed is removed at once, and told.
 */
import { invariant } from "../../errors.ts";
import {
  ABSENT,
  type KeyedBackend,
  type KeyRows,
  type Namespace,
  type StateRow,
  type StateTable,
} from "../contract.ts";
import type { KeyGroupRange } from "../key-groups.ts";
import { ownKey, ownString } from "../snapshot/own-key.ts";
import type { TimeOrder } from "../timers/time-order.ts";
import { TimerQueue } from "../timers/timer-queue.ts";
import type { TimeToLive } from "./time-to-live.ts";

/** What time it is for the values of a state, in ms. */
export interface TtlClock {
  /** -Infinity: it has no time yet, or none any more. */
  now(): number;
  /** The time of a value that is stored now (ER3). */
  stamp(): number;
}

/** What an operator gives to the rows before the first use. */
export interface ExpiryHost {
  readonly clock: TtlClock;
  /**
   * Called for each row that has expired, when it is gone; its key is the current one.
   *
   * @param due when it expired, in ms of the clock; -Infinity: it never had a time
   * @param isWithin the user's function for this key is running, and has come to the row
   */
  expired(rows: ExpiringRows, namespace: Namespace, value: unknown, due: number, isWithin: boolean): void;
  /** A row is in front of the queue that was not. */
  onEarlier(due: number): void;
}

export interface ExpiringRowsOptions {
  readonly name: string;
  readonly ttl: TimeToLive;
  readonly values: StateTable;
  readonly times: StateTable;
  readonly backend: Pick<
    KeyedBackend,
    "currentKey" | "currentKeyGroup" | "setCurrentKey" | "leaveCurrentKey" | "openOrder"
  >;
  readonly keyGroups: KeyGroupRange;
  /** All rows are made by `append`. Default false. */
  readonly isAppended?: boolean;
  /** The table of values was opened so. Default false: the key has one row, in the fixed namespace. */
  readonly listsNamespaces?: boolean | undefined;
}

/** How many values there are, for reports. */
export interface ExpiringFigures {
  /** Those that are there, whether or not they have expired. */
  readonly values: number;
  /** Those of them that have expired and are still there; of many an estimate, on disk at least so many. */
  readonly expired: number;
  /** What these would take in a checkpoint, an estimate. Left out: there was none yet. */
  readonly expiredBytes?: number;
}

interface Time {
  readonly at: number;
  readonly ordinal: number;
}

const ROWS_PER_SLICE = 256;
/** So many are looked at for a report, each for less than a microsecond. */
const LOOKED_AT_MAX = 1024;
const { NEGATIVE_INFINITY, POSITIVE_INFINITY } = Number;
/** Time of a row that is not there any more. */
const GONE: Time = { at: POSITIVE_INFINITY, ordinal: -1 };

export class ExpiringRows implements KeyRows {
  readonly name: string;
  readonly ttl: TimeToLive;
  private readonly values: StateTable;
  private readonly times: StateTable;
  private readonly backend: ExpiringRowsOptions["backend"];
  private readonly firstGroup: number;
  private readonly renewsByRead: boolean;
  private readonly isAppended: boolean;
  private readonly listsNamespaces: boolean;
  private readonly queue: TimeOrder;
  private host: ExpiryHost | undefined;
  private nextOrdinal = 0;
  private namespace: Namespace = undefined;
  /** The time of the turn, and the turn. */
  private now = NEGATIVE_INFINITY;
  private turn: number | undefined;

  constructor(options: ExpiringRowsOptions) {
    const {
      name,
      ttl,
      values,
      times,
      backend,
      keyGroups,
      isAppended = false,
      listsNamespaces = false,
    } = options;
    this.name = name;
    this.ttl = ttl;
    this.values = values;
    this.times = times;
    this.backend = backend;
    this.firstGroup = keyGroups.first;
    this.renewsByRead = ttl.updateOn === "readAndWrite";
    this.isAppended = isAppended;
    this.listsNamespaces = listsNamespaces;
    this.queue = backend.openOrder?.() ?? new TimerQueue(keyGroups.last - keyGroups.first + 1);
  }

  attach(host: ExpiryHost): void {
    this.host = host;
  }

  get isInUse(): boolean {
    return this.values.isInUse;
  }

  get keyTurn(): number {
    return this.values.keyTurn;
  }

  setCurrentNamespace(namespace: Namespace): void {
    this.namespace = namespace;
    this.values.setCurrentNamespace(namespace);
  }

  read(): unknown {
    let value = this.values.read();
    if (value === ABSENT) return ABSENT;
    if (this.mayHaveExpired() && this.removeIfExpired()) value = this.values.read();
    if (this.renewsByRead && value !== ABSENT) this.renew();
    return value;
  }

  write(value: unknown): void {
    if (this.mayHaveExpired()) this.removeIfExpired();
    this.values.write(value);
    this.renew();
  }

  /** Writes a row in a namespace of its own, behind all others of the key: a number. */
  append(value: unknown): void {
    this.setCurrentNamespace(this.nextOrdinal);
    this.write(value);
  }

  remove(): void {
    if (this.mayHaveExpired()) this.removeIfExpired();
    this.removeRow();
  }

  namespaces(): readonly Namespace[] {
    this.removeExpiredOfKey();
    return this.values.namespaces();
  }

  countNamespaces(): number {
    this.removeExpiredOfKey();
    return this.values.countNamespaces();
  }

  /** The current key has rows that have not expired. Those that have are removed; nothing is renewed. */
  holdsAny(): boolean {
    if (this.listsNamespaces) return this.countNamespaces() > 0;
    if (this.mayHaveExpired()) this.removeIfExpired();
    return this.values.read() !== ABSENT;
  }

  removeKey(): void {
    const before = this.namespace;
    for (const namespace of this.namespaces()) {
      this.setCurrentNamespace(namespace);
      this.removeRow();
    }
    this.setCurrentNamespace(before);
  }

  /** Nothing has expired before that time; undefined: nothing will. In ms of the clock. */
  get firstDue(): number | undefined {
    return this.queue.firstTime;
  }

  /**
   * Looks at the row in front of the queue, which is due, and removes it if it has expired. No function runs for a key.
   *
   * @param time how late it is; Infinity: the end of input, at which rows without a time expire, too
   */
  expireFirst(time: number): void {
    const { queue, backend } = this;
    const { firstKey, firstNamespace, firstOrdinal, firstGroup: group } = queue;
    const firstTime = queue.firstTime!;
    queue.removeFirst();
    backend.setCurrentKey(firstKey);
    this.setCurrentNamespace(firstNamespace);
    const { at, ordinal } = this.time() ?? GONE;
    if (ordinal !== firstOrdinal) {
      backend.leaveCurrentKey();
      return;
    }
    const due = at + this.ttl.afterMs;
    if (at === NEGATIVE_INFINITY && time !== POSITIVE_INFINITY) {
      this.times.write({ at: time, ordinal: firstOrdinal });
      queue.add(group, time + this.ttl.afterMs, firstOrdinal, firstKey, firstNamespace);
    } else if (due > firstTime) {
      queue.add(group, due, firstOrdinal, firstKey, firstNamespace);
    } else {
      const value = this.values.read();
      this.values.remove();
      this.times.remove();
      this.attached.expired(this, firstNamespace, value, due, false);
    }
    backend.leaveCurrentKey();
  }

  /** Called while no function runs for a key. undefined: the rows have no clock yet. */
  figures(): ExpiringFigures | undefined {
    if (this.host === undefined) return undefined;
    const { rowCount: values } = this.times;
    const expired = Math.min(values, this.countExpired(this.host.clock.now()));
    const {
      values: { bytesPerRow },
      times,
    } = this;
    if (bytesPerRow === undefined) return { values, expired };
    return { values, expired, expiredBytes: Math.round(expired * (bytesPerRow + (times.bytesPerRow ?? 0))) };
  }

  private countExpired(now: number): number {
    const { queue, backend, times, ttl } = this;
    if (queue.firstTime === undefined || queue.firstTime > now) return 0;
    let found = 0;
    const each = queue.lookAtDue(now, LOOKED_AT_MAX, (key, namespace) => {
      backend.setCurrentKey(key);
      times.setCurrentNamespace(namespace);
      const time = times.read();
      if (time === ABSENT) return;
      const { at } = time as Time;
      // One that was written again has not (ER4).
      if (at !== NEGATIVE_INFINITY && at + ttl.afterMs <= now) found++;
    });
    backend.leaveCurrentKey();
    return found * each;
  }

  /** Puts restored rows in order, some hundred to a slice. true: there is more. */
  order(): { step(): boolean } {
    const rows = this.times.rows();
    return inSlices(rows, ({ keyGroup, key, namespace, value }) => {
      const { at, ordinal } = value as Time;
      this.nextOrdinal = Math.max(this.nextOrdinal, ordinal + 1);
      this.queue.add(keyGroup - this.firstGroup, at + this.ttl.afterMs, ordinal, key, namespace);
    });
  }

  /** The values were restored without times of this clock: each has its whole time before it. */
  begin(): { step(): boolean } {
    const rows = this.values.rows();
    const slices = inSlices(rows, ({ key, namespace }) => {
      this.backend.setCurrentKey(key);
      this.setCurrentNamespace(namespace);
      if (this.isAppended) this.nextOrdinal = Math.max(this.nextOrdinal, (namespace as number) + 1);
      this.renew();
    });
    return {
      step: () => {
        const hasMore = slices.step();
        this.backend.leaveCurrentKey();
        return hasMore;
      },
    };
  }

  private get attached(): ExpiryHost {
    invariant(this.host !== undefined, `state "${this.name}" has a time to live and no clock`);
    return this.host;
  }

  /** false: no row of the table has expired (ER4). */
  private mayHaveExpired(): boolean {
    const { keyTurn } = this.values;
    if (this.turn !== keyTurn) {
      this.now = this.attached.clock.now();
      this.turn = keyTurn;
    }
    const { firstTime } = this.queue;
    return firstTime !== undefined && firstTime <= this.now;
  }

  /** The time of the current row. */
  private time(): Time | undefined {
    this.times.setCurrentNamespace(this.namespace);
    const time = this.times.read();
    return time === ABSENT ? undefined : (time as Time);
  }

  /** true: the row that was there is gone; the user's function that was told of it may have written another one. */
  private removeIfExpired(): boolean {
    const time = this.time();
    if (time === undefined || time.at === NEGATIVE_INFINITY) return false;
    const due = time.at + this.ttl.afterMs;
    if (due > this.now) return false;
    const { namespace } = this;
    const value = this.values.read();
    this.removeRow();
    this.attached.expired(this, namespace, value, due, true);
    this.setCurrentNamespace(namespace);
    return true;
  }

  private removeExpiredOfKey(): void {
    if (!this.mayHaveExpired()) return;
    const before = this.namespace;
    for (const namespace of this.values.namespaces()) {
      this.setCurrentNamespace(namespace);
      this.removeIfExpired();
    }
    this.setCurrentNamespace(before);
  }

  private removeRow(): void {
    const time = this.time();
    if (time === undefined) return;
    this.values.remove();
    this.times.remove();
    // The queue may have it at an earlier time than its own.
    this.queue.delete(this.backend.currentKeyGroup - this.firstGroup, time.ordinal, undefined);
  }

  /** The current row was written, or read. */
  private renew(): void {
    const before = this.time();
    const at = this.attached.clock.stamp();
    if (before !== undefined) {
      if (at > before.at) this.times.write({ at, ordinal: before.ordinal });
      return;
    }
    const ordinal = this.nextOrdinal++;
    this.times.write({ at, ordinal });
    const { queue, backend, namespace } = this;
    const due = at + this.ttl.afterMs;
    const first = queue.firstTime;
    queue.add(
      backend.currentKeyGroup - this.firstGroup,
      due,
      ordinal,
      ownKey(backend.currentKey),
      typeof namespace === "string" ? ownString(namespace) : namespace,
    );
    if (first === undefined || due < first) this.attached.onEarlier(due);
  }
}

function inSlices(rows: Iterator<StateRow>, act: (row: StateRow) => void): { step(): boolean } {
  return {
    step() {
      for (let left = ROWS_PER_SLICE; left > 0; left--) {
        const next = rows.next();
        if (next.done === true) return false;
        act(next.value);
      }
      return true;
    },
  };
}
