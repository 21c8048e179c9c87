/**
 * Aligned windows in general: those that share panes (sliding, cumulating), and those that stay for late records.
 *
 * Owns: when such windows fire, again for late records, too, and when panes go. Does not own: what panes hold
 * (contents.ts), how they are merged (pane-group.ts), what leaves (window-output.ts).
 *
 * - PN1 A record is added to one pane, however many windows hold it.
 * - PN2 A window fires for the keys that hold something in it, when the watermark has reached its last ms: windows by
 *   their end, keys by key group, then in their order. Within the allowed lateness it fires again with each record.
 * - PN3 A row of "fired" says that all keys of the group which are not behind its key have fired with a window, or
 *   that it had passed when a record came. One is written when a group has fired, and in front of a cut in its middle,
 *   for the last key that still has a row: the others have none that could fire. Where panes stay for late records,
 *   each key has a row, for itself alone. So a cut in the middle of a watermark is gone on from exactly there.
 * - PN4 A pane goes when the last of its windows has fired and its allowed lateness is over.
 */
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { Collect } from "../../../source.ts";
import type { OpenOperator, OpenWindows, Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import { noSlices } from "../../slices.ts";
import { PANES } from "../contents.ts";
import { checkTimestamp, KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import type { Firing } from "../window-output.ts";
import { FiredMarks } from "./fired-marks.ts";
import { PaneGroup } from "./pane-group.ts";
import { isDue, PaneTimes } from "./pane-times.ts";
import type { AlignedParts } from "./single-pane.ts";
import { StayingPanes } from "./staying-panes.ts";

export interface PanedParts extends AlignedParts {
  /** In ms, also Infinity. */
  readonly allowedLateness: number;
}

/** V8 takes constants of the same module for known, and looks imported ones up at each use. */
const NOTHING = ABSENT;
const KEYS = KEYS_PER_SLICE;
/** Rows that one slice takes in: some 50 us. */
const ROWS_PER_SLICE = 1024;
/** Key groups without rows that one slice looks at. */
const GROUPS_PER_SLICE = 128;

/** The window that fires at the moment. */
interface Pass {
  readonly end: number;
  /** What its results are told with, one after the other. */
  readonly firing: Firing & { key: Key; index: number };
  /** Start of the window behind it. */
  readonly nextStart: number;
  /** The panes that are new to it. */
  readonly panes: readonly number[];
  keyGroup: number;
  /** How many of the panes the key group has taken in. */
  taken: number;
  /** undefined: the key group is still taking panes in. */
  group: PaneGroup | undefined;
  /** The place of the next key in it. */
  at: number;
  /** The keys in front of this place have fired already. */
  fired: number;
  /** The window has fired for the whole group, and the panes that lie in no later one are gone. */
  hasFired: boolean;
}

export class PanedWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: PanedParts;
  private readonly panes: StateTable;
  private readonly fired: FiredMarks;
  /** undefined: nothing stays for late records. */
  private readonly staying: StayingPanes | undefined;
  private readonly groups = new Map<number, PaneGroup>();
  private readonly times: PaneTimes;
  /** All windows that end here or earlier have fired. */
  private firedTo = Number.NEGATIVE_INFINITY;
  /** Panes that start before have been taken in, except by groups that held nothing in them. */
  private takenTo = Number.NEGATIVE_INFINITY;
  private pass: Pass | undefined = undefined;
  /** Those that a group takes in; the same arrays for each. */
  private readonly rows = { keys: [] as Key[], values: [] as unknown[], count: 0 };
  /** The pane of the last record, its end, and the ends of its first and last window. */
  private pane = Number.NaN;
  private paneEnd = Number.NaN;
  private firstEnd = Number.NaN;
  private lastEnd = Number.NaN;

  constructor(parts: PanedParts) {
    this.parts = parts;
    this.state = parts.state;
    this.times = new PaneTimes(parts.windows);
    this.panes = parts.state.table(PANES);
    this.fired = new FiredMarks(parts.state);
    this.staying = parts.allowedLateness > 0 ? new StayingPanes(parts) : undefined;
    this.inputs = [this.inputOf(parts)];
    parts.state.beforeCut = () => this.markPass();
  }

  restored(): Slices {
    const { time } = this.parts;
    // Within that watermark, the rows tell what has fired.
    if (time.isEven) this.haveFired(time.watermark + 1);
    else this.fired.resume();
    if (this.staying === undefined) {
      for (const pane of this.panes.openNamespaces()) this.times.add(pane as number);
      return noSlices;
    }
    const panes = rowByRow(this.panes, ({ key, keyGroup, namespace }) => {
      const pane = namespace as number;
      this.addPane(pane, this.parts.windows.lastEnd(pane), keyGroup, key);
    });
    const firings = this.staying.restored();
    return { step: () => panes.step() || firings.step() };
  }

  /** End of the first window that holds something and has not fired. Infinity: none does. */
  get nextEnd(): number {
    return this.times.nextEnd(this.firedTo);
  }

  advance(time: number): Slices | undefined {
    if (!isDue(this.times.nextEnd(this.firedTo), time) && this.staying?.isLeaving(time) !== true) {
      this.haveFired(time + 1);
      return undefined;
    }
    const several = (most: number): number => this.fireSome(time, most) || this.removeSome(time);
    return { step: () => several(1) > 0, several };
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  openWindows(): OpenWindows {
    return this.times.openWindows(this.firedTo);
  }

  private inputOf(parts: PanedParts): Collect<unknown> {
    const { operator, keyOf, state, time, contents, late, allowedLateness } = parts;
    return (value, timestamp) => {
      let refused: "late" | "outside" | undefined;
      let key: Key | undefined;
      try {
        if (!(timestamp >= this.pane && timestamp < this.paneEnd)) this.enter(timestamp);
        if (this.lastEnd < this.firstEnd) refused = "outside";
        else if (this.lastEnd - 1 + allowedLateness <= time.watermark) refused = "late";
        else {
          key = keyOf(value);
          state.setCurrentKey(key);
          if (contents.add(value)) this.addPane(this.pane, this.lastEnd, state.currentKeyGroup, key);
          else if (this.pane < this.takenTo) this.groups.get(state.currentKeyGroup)?.change(key);
        }
      } catch (error) {
        throw failureAtKey(operator, error, state, key);
      }
      if (refused !== undefined) late.refuse(value, timestamp, refused, this.firstEnd);
      else if (this.firstEnd - 1 <= time.watermark) this.fireBehind(key!);
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

  /** The key holds something in a pane in which it held nothing, and whose last window ends at `lastEnd`. */
  private addPane(pane: number, lastEnd: number, keyGroup: number, key: Key): void {
    this.staying?.hold(keyGroup, key);
    if (lastEnd <= this.firedTo) {
      this.staying?.add(pane, keyGroup, key);
    } else {
      this.times.add(pane);
      if (pane < this.takenTo) this.groupAt(keyGroup).insert(pane, key);
    }
  }

  private groupAt(keyGroup: number): PaneGroup {
    let group = this.groups.get(keyGroup);
    if (group === undefined) {
      group = new PaneGroup(this.parts.contents);
      this.groups.set(keyGroup, group);
    }
    return group;
  }

  /** The current key's record has come into windows of which some have passed. */
  private fireBehind(key: Key): void {
    const { windows, time, allowedLateness, late } = this.parts;
    const { firstEnd, lastEnd } = this;
    late.behind(firstEnd, firstEnd - 1 + allowedLateness <= time.watermark);
    let passed = firstEnd;
    for (let end = firstEnd; end <= lastEnd && end - 1 <= time.watermark; end = windows.nextEnd(end)) {
      passed = end;
      if (end - 1 + allowedLateness > time.watermark) this.fireAgain(key, end);
    }
    this.fired.raise(passed);
  }

  private fireAgain(key: Key, end: number): void {
    const { operator, windows, contents, output } = this.parts;
    const start = windows.startOf(end);
    let held: unknown = NOTHING;
    let index = 0;
    try {
      for (let pane = start; pane < end; pane = windows.paneEnd(pane)) {
        contents.enter(pane);
        const later = contents.read();
        if (later !== NOTHING) held = held === NOTHING ? later : contents.merge(held, later);
      }
      index = this.staying?.countFiring(key, end) ?? 0;
    } catch (error) {
      throw failureAtKey(operator, error, this.state, key);
    } finally {
      this.leave();
    }
    output.fire(contents, held, { key, start, end, timestamp: end - 1, firing: "late", index });
  }

  /** Does the next slices of the windows that are due, at most `most`. Answers how many; 0: no window is due. */
  private fireSome(time: number, most: number): number {
    const pass = this.pass ?? this.beginPass(time);
    if (pass === undefined) return 0;
    const { group } = pass;
    if (group === undefined) this.takeSome(pass);
    else if (pass.at < group.inOrder.length) return this.fireKeys(group, pass, most);
    else if (!pass.hasFired) this.endGroup(group, pass);
    else this.leaveGroup(group, pass);
    return 1;
  }

  private beginPass(time: number): Pass | undefined {
    const end = this.times.nextEnd(this.firedTo);
    if (!isDue(end, time)) {
      this.haveFired(time + 1);
      if (this.parts.time.ahead === undefined) this.fired.endResuming();
      return undefined;
    }
    const { windows, state } = this.parts;
    const start = windows.startOf(end);
    const nextStart = windows.startOf(windows.nextEnd(end));
    const panes = this.times.between(this.takenTo, end);
    this.leave();
    const keyGroup = state.keyGroups.first;
    const atGroup = { keyGroup, taken: 0, group: undefined, at: 0, fired: 0, hasFired: false };
    const firing = { key: "", start, end, timestamp: end - 1, firing: "onTime", index: 0 } as const;
    this.pass = { end, firing: { ...firing }, nextStart, panes, ...atGroup };
    return this.pass;
  }

  private haveFired(end: number): void {
    if (end <= this.firedTo) return;
    this.firedTo = end;
    this.times.drop(end);
  }

  /** Takes what key groups hold in panes that are new, up to one that holds something in the window. */
  private takeSome(pass: Pass): void {
    const { state } = this.parts;
    let rows = 0;
    for (let groups = 0; groups < GROUPS_PER_SLICE && pass.keyGroup <= state.keyGroups.last; groups++) {
      while (pass.taken < pass.panes.length) {
        if (rows >= ROWS_PER_SLICE) return;
        const pane = pass.panes[pass.taken++]!;
        rows += this.takePane(pane, pass.keyGroup, pass.taken === pass.panes.length);
      }
      const group = this.groups.get(pass.keyGroup);
      if (group !== undefined) {
        this.beginGroup(group, pass);
        return;
      }
      this.nextGroup(pass);
    }
    if (pass.keyGroup <= state.keyGroups.last) return;
    this.takenTo = pass.end;
    this.haveFired(pass.end);
    this.pass = undefined;
  }

  private beginGroup(group: PaneGroup, pass: Pass): void {
    const { operator, state, contents } = this.parts;
    try {
      group.order((key, pane) => {
        state.setCurrentKey(key);
        contents.enter(pane);
        return contents.read();
      });
    } catch (error) {
      throw failureAtKey(operator, error, state, group.mergedKey);
    }
    pass.group = group;
    if (this.staying !== undefined) return;
    const { inOrder } = group;
    const keyAt = (place: number): Key => group.keyAt(inOrder[place]!);
    pass.fired = this.fired.countFired(pass.keyGroup, inOrder.length, keyAt, pass.end);
  }

  /** Answers how many rows that are. */
  private takePane(pane: number, keyGroup: number, isLast: boolean): number {
    const { operator, contents } = this.parts;
    const { rows } = this;
    this.panes.setCurrentNamespace(pane);
    rows.count = this.panes.readGroup(keyGroup, rows.keys, contents.isIncremental ? rows.values : undefined);
    if (rows.count === 0) return 0;
    const group = this.groupAt(keyGroup);
    try {
      group.take(pane, rows, isLast);
    } catch (error) {
      throw failureAtKey(operator, error, this.state, group.mergedKey);
    }
    return rows.count;
  }

  private nextGroup(pass: Pass): void {
    pass.keyGroup++;
    pass.taken = 0;
    pass.group = undefined;
    pass.at = 0;
    pass.fired = 0;
    pass.hasFired = false;
  }

  private fireKeys(group: PaneGroup, pass: Pass, slices: number): number {
    const before = pass.at;
    const to = Math.min(group.inOrder.length, before + slices * KEYS);
    if (this.parts.contents.isIncremental && this.staying === undefined) this.fireMerged(group, pass, to);
    else this.fireOneByOne(group, pass, to);
    return Math.ceil((to - before) / KEYS);
  }

  /** Nothing but what was merged is needed: that of most windows, so this loop is short. */
  private fireMerged(group: PaneGroup, pass: Pass, to: number): void {
    const { contents, output } = this.parts;
    const { inOrder } = group;
    const { firing, fired } = pass;
    group.lookAhead(pass.at, to);
    for (let place = pass.at < fired ? fired : pass.at; place < to; place++) {
      const slot = inOrder[place]!;
      const known = group.known(slot);
      firing.key = group.keyAt(slot);
      output.fire(contents, known === NOTHING ? this.merged(group, slot) : known, firing);
    }
    pass.at = to;
  }

  private merged(group: PaneGroup, slot: number): unknown {
    try {
      return group.read(slot);
    } catch (error) {
      throw failureAtKey(this.parts.operator, error, this.state, group.keyAt(slot));
    }
  }

  private fireOneByOne(group: PaneGroup, pass: Pass, to: number): void {
    const { contents, output } = this.parts;
    const { inOrder } = group;
    const { firing } = pass;
    while (pass.at < to) {
      const place = pass.at++;
      const slot = inOrder[place]!;
      const held = this.heldAt(group, slot, pass, place >= pass.fired);
      if (held === NOTHING) continue;
      firing.key = group.keyAt(slot);
      if (this.staying !== undefined) firing.index = this.staying.countFiring(firing.key, pass.end);
      output.fire(contents, held, firing);
    }
  }

  /** What the window holds for a key. ABSENT: it has fired for it already. */
  private heldAt(group: PaneGroup, slot: number, pass: Pass, isLeft: boolean): unknown {
    const { operator, state, contents } = this.parts;
    try {
      state.setCurrentKey(group.keyAt(slot));
      const isDue = this.staying === undefined ? isLeft : this.fired.fireOwn(pass.end);
      if (contents.isIncremental) return isDue ? group.read(slot) : NOTHING;
      const held = isDue ? group.readAll(slot) : NOTHING;
      if (this.staying === undefined && group.removeBefore(slot, pass.nextStart)) this.fired.remove();
      return held;
    } catch (error) {
      throw failureAtKey(operator, error, state, group.keyAt(slot));
    }
  }

  /** All keys of the group have fired: lets go of its panes that lie in no later window. */
  private endGroup(group: PaneGroup, pass: Pass): void {
    const { contents } = this.parts;
    group.forPanesBefore(pass.nextStart, (pane, keys) => {
      if (this.staying !== undefined) {
        for (const key of keys()) this.staying.add(pane, pass.keyGroup, key);
      } else if (contents.isIncremental) {
        this.panes.setCurrentNamespace(pane);
        this.panes.dropGroup(pass.keyGroup);
      }
    });
    const emptied = group.drop(pass.nextStart);
    pass.hasFired = true;
    if (this.staying !== undefined) return;
    this.fired.removeAll(emptied);
    this.mark(group, group.inOrder.length, pass.end);
  }

  /** In front of a cut in the middle of a window (PN3). */
  private markPass(): void {
    const { pass } = this;
    if (pass?.group === undefined || pass.hasFired || this.staying !== undefined) return;
    if (pass.at > pass.fired) this.mark(pass.group, pass.at, pass.end);
  }

  /** Keys in front of the place `to` have fired: the last of them that still has a row says so. */
  private mark(group: PaneGroup, to: number, end: number): void {
    let place = to - 1;
    while (place >= 0 && !group.hasRows(group.inOrder[place]!)) place--;
    if (place < 0) return;
    this.state.setCurrentKey(group.keyAt(group.inOrder[place]!));
    this.fired.raise(end);
  }

  /** Makes the panes ready for the next window, little by little. */
  private leaveGroup(group: PaneGroup, pass: Pass): void {
    try {
      if (group.turnSome()) return;
    } catch (error) {
      throw failureAtKey(this.parts.operator, error, this.state, group.mergedKey);
    }
    if (group.isEmpty) this.groups.delete(pass.keyGroup);
    this.nextGroup(pass);
  }

  /** Removes a little of what has stayed long enough. 0: nothing has. */
  private removeSome(time: number): 0 | 1 {
    const { staying } = this;
    if (staying?.isLeaving(time) !== true) return 0;
    staying.removeSome(time, () => this.fired.remove());
    this.leave();
    return 1;
  }
}
