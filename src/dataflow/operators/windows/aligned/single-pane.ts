/**
 * Windows that follow each other, each one pane, and over when they have fired: tumbling windows and calendar windows
 * without allowed lateness.
 *
 * Owns: when such windows fire. Does not own: what they hold (contents.ts), what leaves them (window-output.ts), all
 * other aligned windows (paned.ts).
 *
 * - WT1 A window fires once for each key, when the watermark has reached its last ms: keys by key group, then in their
 *   own order. Its rows go with that, in front of the next cut at the latest. So what is left after a restore is what
 *   has not fired.
 * - WT2 A record is late when its window's last ms is not behind the watermark (Flink's WindowOperator.isWindowLate).
 */
import type { StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import { compareNames } from "../../../../state/name-order.ts";
import type { Collect } from "../../../source.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { OpenOperator, OpenWindows, Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import type { KeySelector } from "../../keyed/key-selector.ts";
import { noSlices } from "../../slices.ts";
import { type Contents, PANES } from "../contents.ts";
import { checkTimestamp, KEYS_PER_SLICE } from "../definition.ts";
import type { LateRecords } from "../late-records.ts";
import type { WindowOutput } from "../window-output.ts";
import type { AlignedWindows } from "./assigner.ts";
import { isDue, PaneTimes } from "./pane-times.ts";

export interface AlignedParts {
  readonly operator: string;
  readonly keyOf: KeySelector;
  readonly windows: AlignedWindows;
  readonly state: KeyedState;
  readonly time: EventTime;
  readonly contents: Contents;
  readonly late: LateRecords;
  readonly output: WindowOutput;
}

/** Keys whose rows are removed at once, while a cut could come: some 50 us. */
const REMOVED_AT_ONCE = 1024;

/** The keys of one key group for which a window fires, in order. */
interface Firing {
  readonly start: number;
  readonly end: number;
  readonly keyGroup: number;
  readonly keys: readonly Key[];
  /** The place of the next one. */
  at: number;
  /** The rows of those in front of this place are gone. */
  removed: number;
}

export class SinglePaneWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: AlignedParts;
  private readonly panes: StateTable;
  private readonly times: PaneTimes;
  private firing: Firing | undefined = undefined;
  /** The first key group that has not been looked at for the window that fires. */
  private nextGroup: number;
  /** The pane that the contents are at; NaN: none, or it is not known. */
  private start = Number.NaN;
  private end = Number.NaN;

  constructor(parts: AlignedParts) {
    this.parts = parts;
    this.state = parts.state;
    this.panes = parts.state.table(PANES);
    this.times = new PaneTimes(parts.windows);
    this.nextGroup = parts.state.keyGroups.first;
    this.inputs = [this.inputOf(parts)];
    parts.state.beforeCut = () => this.removeFired();
  }

  restored(): Slices {
    for (const pane of this.panes.openNamespaces()) this.times.add(pane as number);
    return noSlices;
  }

  /** End of the first window that holds something. Infinity: none does. */
  get nextEnd(): number {
    return this.times.nextEnd(Number.NEGATIVE_INFINITY);
  }

  advance(time: number): Slices | undefined {
    if (!isDue(this.nextEnd, time)) return undefined;
    return { step: () => this.fireSome(time) };
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  openWindows(): OpenWindows {
    const { lastEndMs } = this.times.openWindows(Number.NEGATIVE_INFINITY);
    return { windows: this.panes.rowCount, of: "keys", lastEndMs };
  }

  private inputOf({ operator, keyOf, state, time, contents, late }: AlignedParts): Collect<unknown> {
    return (value, timestamp) => {
      let isLate = false;
      let key: Key | undefined;
      try {
        if (!(timestamp >= this.start && timestamp < this.end)) this.enter(timestamp);
        if (this.end - 1 <= time.watermark) isLate = true;
        else {
          key = keyOf(value);
          state.setCurrentKey(key);
          if (contents.add(value)) this.times.add(this.start);
        }
      } catch (error) {
        throw failureAtKey(operator, error, state, key);
      }
      if (isLate) late.refuse(value, timestamp, "late", this.end);
    };
  }

  private enter(timestamp: number): void {
    checkTimestamp(timestamp);
    const { windows, contents } = this.parts;
    this.start = windows.paneOf(timestamp);
    this.end = windows.paneEnd(this.start);
    contents.enter(this.start);
  }

  /** Fires the next few keys. false: no window is due. */
  private fireSome(time: number): boolean {
    const firing = this.firing ?? this.nextGroupOf(time);
    if (firing === undefined) return false;
    const { keys } = firing;
    const to = Math.min(keys.length, firing.at + KEYS_PER_SLICE);
    while (firing.at < to) this.fire(keys[firing.at++]!, firing);
    if (firing.at === keys.length) this.endGroup(firing);
    else if (firing.at - firing.removed >= REMOVED_AT_ONCE) this.removeFired();
    return true;
  }

  /** Goes to the next key group of the first window that is due, or of one behind it. */
  private nextGroupOf(time: number): Firing | undefined {
    const { windows, state, contents } = this.parts;
    for (let end = this.nextEnd; isDue(end, time); end = this.nextEnd) {
      const start = windows.startOf(end);
      contents.enter(start);
      // The next record is to enter its own pane.
      this.end = Number.NaN;
      while (this.nextGroup <= state.keyGroups.last) {
        const keyGroup = this.nextGroup++;
        const keys: Key[] = [];
        this.panes.readGroup(keyGroup, keys);
        if (keys.length === 0) continue;
        this.firing = { start, end, keyGroup, keys: keys.sort(compareNames), at: 0, removed: 0 };
        return this.firing;
      }
      this.nextGroup = state.keyGroups.first;
      this.times.drop(end);
    }
    return undefined;
  }

  private fire(key: Key, { start, end }: Firing): void {
    const { operator, state, contents, output } = this.parts;
    let held: unknown;
    try {
      state.setCurrentKey(key);
      held = contents.read();
      if (!contents.isIncremental) contents.remove();
    } catch (error) {
      throw failureAtKey(operator, error, state, key);
    }
    output.fire(contents, held, { key, start, end, timestamp: end - 1, firing: "onTime", index: 0 });
  }

  private endGroup(firing: Firing): void {
    if (firing.removed > 0) this.removeFired();
    else if (this.parts.contents.isIncremental) this.panes.dropGroup(firing.keyGroup);
    this.firing = undefined;
  }

  /** Removes the rows for which the window has fired (WT1), which else go with all others of their key group. */
  private removeFired(): void {
    const { firing } = this;
    const { state, contents } = this.parts;
    if (firing === undefined || !contents.isIncremental) return;
    for (; firing.removed < firing.at; firing.removed++) {
      state.setCurrentKey(firing.keys[firing.removed]!);
      contents.remove();
    }
  }
}
