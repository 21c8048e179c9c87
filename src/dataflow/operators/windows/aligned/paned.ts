/**
 * Aligned windows in general: those that share panes (sliding, cumulating), and those that stay for late records.
 *
 * Owns: when such windows fire, again for late records, too, and when panes go. Does not own: what panes hold
 * (contents.ts), how they are merged (key-panes.ts), what leaves (window-output.ts).
 *
 * - PN1 A record is added to one pane, however many windows hold it.
 * - PN2 A window fires for the keys that hold something in it, when the watermark has reached its last ms: windows by
 *   their end, keys by key group, then in their order. Within the allowed lateness it fires again with each record.
 * - PN3 A row of "fired" says that all keys of the group which are not behind its key have fired with a window, or
 *   that it had passed when a record came. One is written for the last key of each slice that still holds something:
 *   the others hold nothing that could fire. Where panes stay for late records, each key has a row, for itself alone.
 *   So a cut in the middle of a watermark is gone on from exactly there.
 * - PN4 A pane goes when the last of its windows has fired and its allowed lateness is over.
 */
import { ABSENT, type StateRow, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import { compareNames } from "../../../../state/name-order.ts";
import type { Collect } from "../../../source.ts";
import type { OpenOperator, Slices } from "../../contract.ts";
import { failureOf } from "../../failure.ts";
import { PANES } from "../contents.ts";
import { checkTimestamp, KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import { DueKeys } from "../due-keys.ts";
import { NO_PANE, PaneGroup } from "./pane-group.ts";
import { isDue, PaneTimes } from "./pane-times.ts";
import type { AlignedParts } from "./single-pane.ts";

/** Table: key -> end of the last window that has fired for it and the keys in front of it. */
export const FIRED = "fired";
/** Table, where windows stay for late records: (key, end of a window) -> how often it has fired. */
export const FIRINGS = "firings";

export interface PanedParts extends AlignedParts {
  /** In ms, also Infinity. */
  readonly allowedLateness: number;
}

/** The window that fires at the moment. */
interface Pass {
  readonly start: number;
  readonly end: number;
  /** Start of the window behind it. */
  readonly nextStart: number;
  /** The place of the next key group. */
  nextGroup: number;
  group: PaneGroup | undefined;
  keyGroup: number;
  /** The place of the next key in it. */
  at: number;
  /** The keys in front of this place have fired already. */
  fired: number;
}

export class PanedWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: PanedParts;
  private readonly fired: StateTable;
  private readonly firings: StateTable | undefined;
  private readonly groups = new Map<number, PaneGroup>();
  /** The key groups that are known, in order; undefined: one has come. */
  private groupsInOrder: readonly number[] | undefined = undefined;
  private readonly times: PaneTimes;
  /** Panes whose windows have all fired, and which stay for late records. */
  private readonly leaving = new DueKeys();
  /** The rows of `firings`, by the end of their window. */
  private readonly counted = new DueKeys();
  /** In the middle of the first watermark after a restore: the rows of "fired" by key group (PN3). */
  private resuming: Map<number, StateRow[]> | undefined = undefined;
  /** All windows that end here or earlier have fired. */
  private firedTo = Number.NEGATIVE_INFINITY;
  private pass: Pass | undefined = undefined;
  /** The pane of the last record, its end, and the ends of its first and last window. */
  private pane = Number.NaN;
  private paneEnd = Number.NaN;
  private firstEnd = Number.NaN;
  private lastEnd = Number.NaN;

  constructor(parts: PanedParts) {
    this.parts = parts;
    this.state = parts.state;
    this.times = new PaneTimes(parts.windows);
    this.fired = parts.state.table(FIRED);
    this.firings = parts.allowedLateness > 0 ? parts.state.table(FIRINGS) : undefined;
    this.inputs = [this.inputOf(parts)];
  }

  restored(): Slices {
    const { state, time } = this.parts;
    // Within that watermark, the rows tell what has fired.
    if (time.isWorkingOff) this.resuming = rowsByGroup(this.fired);
    else this.haveFired(time.watermark + 1);
    const panes = rowByRow(state.table(PANES), ({ key, keyGroup, namespace }) => {
      this.addPane(namespace as number, keyGroup, key);
    });
    if (this.firings === undefined) return panes;
    const firings = rowByRow(this.firings, ({ key, keyGroup, namespace }) => {
      this.counted.add(namespace as number, keyGroup, key);
    });
    return { step: () => panes.step() || firings.step() };
  }

  /** End of the first window that holds something and has not fired. Infinity: none does. */
  get nextEnd(): number {
    return this.times.nextEnd(this.firedTo);
  }

  advance(time: number): Slices | undefined {
    if (!isDue(this.times.nextEnd(this.firedTo), time) && !this.isLeaving(time)) {
      this.haveFired(time + 1);
      return undefined;
    }
    return { step: () => this.fireSome(time) || this.removeSome(time) };
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  private inputOf(parts: PanedParts): Collect<unknown> {
    const { operator, keyOf, state, time, contents, late, allowedLateness } = parts;
    return (value, timestamp) => {
      let refused: "late" | "outside" | undefined;
      let key: Key = "";
      try {
        if (!(timestamp >= this.pane && timestamp < this.paneEnd)) this.enter(timestamp);
        if (this.lastEnd < this.firstEnd) refused = "outside";
        else if (this.lastEnd - 1 + allowedLateness <= time.watermark) refused = "late";
        else {
          key = keyOf(value);
          state.setCurrentKey(key);
          if (contents.add(value)) this.addPane(this.pane, state.currentKeyGroup, key);
          else if (this.pane < this.firedTo) this.groups.get(state.currentKeyGroup)?.forget(key);
        }
      } catch (error) {
        throw failureOf(operator, error);
      }
      if (refused !== undefined) late.refuse(value, timestamp, refused);
      else if (this.firstEnd - 1 <= time.watermark) this.fireBehind(key);
    };
  }

  private enter(timestamp: number): void {
    checkTimestamp(timestamp);
    const { windows, contents } = this.parts;
    this.pane = windows.paneOf(timestamp);
    this.paneEnd = windows.paneEnd(this.pane);
    this.firstEnd = windows.firstEnd(this.pane);
    this.lastEnd = windows.lastEnd(this.pane);
    contents.enter(this.pane);
  }

  /** The contents are at another pane: the next record is to enter its own. */
  private leave(): void {
    this.paneEnd = Number.NaN;
  }

  /** The key holds something in a pane in which it held nothing. */
  private addPane(pane: number, keyGroup: number, key: Key): void {
    let group = this.groups.get(keyGroup);
    if (group === undefined) {
      group = new PaneGroup();
      this.groups.set(keyGroup, group);
      this.groupsInOrder = undefined;
    }
    if (this.firings !== undefined) group.hold(key);
    if (this.parts.windows.lastEnd(pane) <= this.firedTo) {
      this.leaving.add(pane, keyGroup, key);
    } else {
      group.add(pane, key);
      this.times.add(pane);
    }
  }

  /** The current key's record has come into windows of which some have passed. */
  private fireBehind(key: Key): void {
    const { windows, time, allowedLateness, late } = this.parts;
    const { firstEnd, lastEnd } = this;
    if (firstEnd - 1 + allowedLateness <= time.watermark) late.partlyLate++;
    let passed = firstEnd;
    for (let end = firstEnd; end <= lastEnd && end - 1 <= time.watermark; end = windows.nextEnd(end)) {
      passed = end;
      if (end - 1 + allowedLateness > time.watermark) this.fireAgain(key, end);
    }
    const before = this.fired.read();
    if (before === ABSENT || (before as number) < passed) this.fired.write(passed);
  }

  private fireAgain(key: Key, end: number): void {
    const { operator, windows, contents, output } = this.parts;
    const start = windows.startOf(end);
    let held: unknown = ABSENT;
    let index = 0;
    try {
      for (let pane = start; pane < end; pane = windows.paneEnd(pane)) {
        contents.enter(pane);
        const later = contents.read();
        if (later !== ABSENT) held = held === ABSENT ? later : contents.merge(held, later);
      }
      index = this.countFiring(key, end);
    } catch (error) {
      throw failureOf(operator, error);
    } finally {
      this.leave();
    }
    output.fire(contents, held, { key, start, end, timestamp: end - 1, firing: "late", index });
  }

  /** Answers how often the window has fired for the current key before. */
  private countFiring(key: Key, end: number): number {
    const { firings } = this;
    if (firings === undefined) return 0;
    firings.setCurrentNamespace(end);
    const before = firings.read();
    if (before === ABSENT) this.counted.add(end, this.state.currentKeyGroup, key);
    const index = before === ABSENT ? 0 : (before as number);
    firings.write(index + 1);
    return index;
  }

  /** Fires the next few keys. false: no window is due. */
  private fireSome(time: number): boolean {
    const pass = this.pass ?? this.beginPass(time);
    if (pass === undefined) return false;
    const { group } = pass;
    if (group === undefined) this.beginGroup(pass);
    else if (pass.at === group.keys.length) {
      group.compact();
      pass.group = undefined;
    } else this.fireKeys(group, pass);
    return true;
  }

  private fireKeys(group: PaneGroup, pass: Pass): void {
    const to = Math.min(group.keys.length, pass.at + KEYS_PER_SLICE);
    let last = -1;
    while (pass.at < to) {
      const place = pass.at++;
      const isLeft = place >= pass.fired;
      this.fire(group, place, pass, isLeft);
      if (isLeft && group.oldest[place]! < NO_PANE) last = place;
    }
    if (last < 0 || this.firings !== undefined) return;
    this.state.setCurrentKey(group.keys[last]!);
    this.fired.write(pass.end);
  }

  private beginPass(time: number): Pass | undefined {
    const end = this.times.nextEnd(this.firedTo);
    if (!isDue(end, time)) {
      this.haveFired(time + 1);
      this.resuming = undefined;
      return undefined;
    }
    const { windows } = this.parts;
    const start = windows.startOf(end);
    const nextStart = windows.startOf(windows.nextEnd(end));
    this.leave();
    this.pass = { start, end, nextStart, nextGroup: 0, group: undefined, keyGroup: 0, at: 0, fired: 0 };
    return this.pass;
  }

  /** Goes to the next key group; behind the last one the window has fired. */
  private beginGroup(pass: Pass): void {
    this.groupsInOrder ??= [...this.groups.keys()].sort((a, b) => a - b);
    if (pass.nextGroup === this.groupsInOrder.length) {
      this.haveFired(pass.end);
      this.pass = undefined;
      return;
    }
    pass.keyGroup = this.groupsInOrder[pass.nextGroup++]!;
    pass.group = this.groups.get(pass.keyGroup)!;
    pass.group.take(pass.end);
    pass.at = 0;
    pass.fired = this.firedIn(pass.group, pass);
  }

  private haveFired(end: number): void {
    if (end <= this.firedTo) return;
    this.firedTo = end;
    this.times.drop(end);
  }

  /** How many keys of the group have fired with the window before the restore. */
  private firedIn({ keys }: PaneGroup, { keyGroup, end }: Pass): number {
    let fired = 0;
    if (this.firings !== undefined) return fired;
    for (const { key, value } of this.resuming?.get(keyGroup) ?? []) {
      if ((value as number) < end) continue;
      while (fired < keys.length && compareNames(keys[fired]!, key) <= 0) fired++;
    }
    return fired;
  }

  private fire(group: PaneGroup, place: number, pass: Pass, isLeft: boolean): void {
    const { operator, state, contents, output } = this.parts;
    const { start, end } = pass;
    const key = group.keys[place]!;
    let held = group.results[place];
    let index = 0;
    let isDue = isLeft;
    try {
      const leaves = group.oldest[place]! < pass.nextStart;
      if (held === ABSENT || leaves || this.firings !== undefined) state.setCurrentKey(key);
      if (this.firings !== undefined) isDue = this.markFired(end);
      if (isDue) {
        if (held === ABSENT) held = group.read(place, contents);
        index = this.countFiring(key, end);
      }
      if (leaves) this.dropPanes(group, place, pass);
    } catch (error) {
      throw failureOf(operator, error);
    }
    if (isDue) output.fire(contents, held, { key, start, end, timestamp: end - 1, firing: "onTime", index });
  }

  /** The current key's own row. false: it says so already, from in front of the restore. */
  private markFired(end: number): boolean {
    if (this.resuming !== undefined) {
      const fired = this.fired.read();
      if (fired !== ABSENT && (fired as number) >= end) return false;
    }
    this.fired.write(end);
    return true;
  }

  /** The current key's panes that lie in no later window. */
  private dropPanes(group: PaneGroup, place: number, { nextStart, keyGroup }: Pass): void {
    const { contents } = this.parts;
    for (let pane = group.oldest[place]!; pane < nextStart; pane = group.oldest[place]!) {
      if (this.firings === undefined) {
        contents.enter(pane);
        contents.remove();
      } else this.leaving.add(pane, keyGroup, group.keys[place]!);
      group.dropOldest(place);
    }
    if (group.oldest[place] === NO_PANE && this.firings === undefined) this.fired.remove();
  }

  private isLeaving(time: number): boolean {
    const { windows, allowedLateness } = this.parts;
    const { earliest: pane } = this.leaving;
    const last = pane === Number.POSITIVE_INFINITY ? pane : windows.lastEnd(pane);
    return isDue(last, time - allowedLateness) || isDue(this.counted.earliest, time - allowedLateness);
  }

  /** Removes the next few rows whose time for late records is over. */
  private removeSome(time: number): boolean {
    const { state, contents, windows, allowedLateness } = this.parts;
    if (this.firings === undefined || !this.isLeaving(time)) return false;
    const limit = time - allowedLateness;
    for (let rows = 0; rows < KEYS_PER_SLICE && this.counted.next(limit + 1); rows++) {
      state.setCurrentKey(this.counted.key);
      this.firings.setCurrentNamespace(this.counted.time);
      this.firings.remove();
    }
    const { earliest } = this.leaving;
    if (earliest === Number.POSITIVE_INFINITY || !isDue(windows.lastEnd(earliest), limit)) return true;
    for (let rows = 0; rows < KEYS_PER_SLICE && this.leaving.next(earliest); rows++) {
      state.setCurrentKey(this.leaving.key);
      contents.enter(this.leaving.time);
      contents.remove();
      if (this.groups.get(state.currentKeyGroup)!.release(this.leaving.key)) this.fired.remove();
    }
    this.leave();
    return true;
  }
}

function rowsByGroup(table: StateTable): Map<number, StateRow[]> {
  const groups = new Map<number, StateRow[]>();
  for (const row of table.rows()) {
    const rows = groups.get(row.keyGroup);
    if (rows === undefined) groups.set(row.keyGroup, [row]);
    else rows.push(row);
  }
  return groups;
}
