/**
 * Windows that a trigger decides on: any windows, in event time or by the clock.
 *
 * Owns: when the trigger is asked, what its answers do, when windows go. Does not own: where windows lie
 * (placement.ts), what a trigger sees (decision.ts), what windows hold (sessions/session-contents.ts).
 *
 * - WG1 A row of "windows" holds all windows of a key, with their timers and the state of their trigger. A timer is
 *   gone before the trigger is asked about it. So a cut between two slices holds exactly what is left to do.
 * - WG2 An index names each key with something to do, at its time or earlier: a trigger's timer, the end of a window's
 *   allowed lateness. Found too early, the key is named again. Each window says for when the index names it, so the
 *   index is the same after a restore.
 * - WG3 A firing is "early" before the end of its window, "onTime" when the time has come there, and "late" after that.
 *   A window that holds nothing does not fire.
 * - WG4 A window goes when its last ms and its allowed lateness are not behind the time: with contents, timers, the
 *   state of its trigger and of its functions. A session leaves its bounds for one more gap.
 * - WG5 Where firings are taken back, a firing first emits what the one before it has emitted, marked.
 */
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { Collect } from "../../../source.ts";
import type { OpenOperator, OpenWindows, OperatorServices, Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import type { KeySelector } from "../../keyed/key-selector.ts";
import type { TimerKind } from "../../keyed/operator-timers.ts";
import { noSlices } from "../../slices.ts";
import { checkTimestamp, KEYS_PER_SLICE, rowByRow, type WindowDefinition } from "../definition.ts";
import { type DueKeys, dueKeysOf } from "../due-keys.ts";
import type { LateRecords } from "../late-records.ts";
import type { SessionContents } from "../sessions/session-contents.ts";
import type { WindowFiring, WindowOutput } from "../window-output.ts";
import { Decision } from "./decision.ts";
import { joined, type LiveWindow, newWindow } from "./live-window.ts";
import { OpenEnds } from "./open-ends.ts";
import type { Place, Placement } from "./placement.ts";
import type { Retractions } from "./retractions.ts";
import type { TriggerResult, WindowTrigger } from "./trigger.ts";

/** Table: key -> its windows, in order. */
export const WINDOWS = "windows";

export interface TriggeredParts {
  readonly definition: Pick<WindowDefinition, "time" | "allowedLateness" | "endOfInput">;
  readonly services: Pick<OperatorServices, "id" | "checks" | "time" | "processingTime">;
  readonly keyOf: KeySelector;
  readonly placement: Placement;
  readonly trigger: WindowTrigger;
  readonly state: KeyedState;
  /** The states of window functions, each a table of one value for each key and window. */
  readonly windowStates: readonly string[];
  readonly contents: SessionContents;
  readonly late: LateRecords;
  readonly output: WindowOutput;
  /** undefined: nothing is taken back. */
  readonly retractions: Retractions | undefined;
}

/** What is to be emitted when the row is written. */
interface Firing {
  readonly window: LiveWindow;
  readonly read: unknown;
  readonly firing: WindowFiring;
  readonly index: number;
  /** What is taken back. */
  readonly emitted: readonly unknown[];
}

const NONE: readonly LiveWindow[] = [];
const NOTHING: readonly unknown[] = [];
const NEVER = Number.POSITIVE_INFINITY;
/** A trigger that registers again and again what is due at once would never end. */
const TIMERS_AT_ONCE_MAX = 1_000;

export class TriggeredWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: TriggeredParts;
  private readonly table: StateTable;
  private readonly decision: Decision;
  private readonly due: Readonly<Record<TimerKind, DueKeys>>;
  private readonly openEnds = new OpenEnds();
  /** How far processing time has been worked off. */
  private clockReached = Number.NEGATIVE_INFINITY;
  /** The time of the windows as the trigger sees it while what is due at an earlier one is done; undefined: all is. */
  private visited: number | undefined = undefined;
  /** The time that was asked for. */
  private asked = NEVER;
  /** End of the first window of the record that came last. */
  private firstEnd = NEVER;

  constructor(parts: TriggeredParts) {
    this.parts = parts;
    this.state = parts.state;
    this.table = parts.state.table(WINDOWS);
    this.due = { event: dueKeysOf(parts.state), processing: dueKeysOf(parts.state) };
    const { services, trigger, definition } = parts;
    this.decision = new Decision({
      services,
      trigger,
      time: definition.time,
      reached: () => this.reached(),
      clockReached: () => this.clockReached,
    });
    this.inputs = [(value, timestamp) => this.take(value, timestamp)];
  }

  restored(): Slices {
    const rows = rowByRow(this.table, ({ key, keyGroup, value }) => {
      this.openEnds.changed(NONE, value as readonly LiveWindow[]);
      for (const { eventDue, processingDue } of value as readonly LiveWindow[]) {
        if (eventDue !== NEVER) this.due.event.add(eventDue, keyGroup, key);
        if (processingDue !== NEVER) this.due.processing.add(processingDue, keyGroup, key);
      }
    });
    return {
      step: () => {
        if (rows.step()) return true;
        this.ask();
        return false;
      },
    };
  }

  advance(time: number): Slices | undefined {
    return this.due.event.earliest > time ? undefined : { step: () => this.visitSome("event", time) };
  }

  advanceProcessingTime(timeMs: number): Slices | undefined {
    this.clockReached = Math.max(this.clockReached, timeMs);
    const to = this.clockReached;
    return {
      step: () => {
        if (this.visitSome("processing", to)) return true;
        this.ask();
        return false;
      },
    };
  }

  finish(): Slices {
    const { definition, placement } = this.parts;
    if (definition.endOfInput === "drop") return noSlices;
    if (definition.time === "processing") return this.advanceProcessingTime(NEVER)!;
    return placement.isGlobal ? this.fireRest() : noSlices;
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  openWindows(): OpenWindows {
    return this.openEnds.report(this.reached());
  }

  /** How far the time of the windows has come. */
  private reached(): number {
    if (this.visited !== undefined) return this.visited;
    return this.parts.definition.time === "event" ? this.parts.services.time.watermark : this.clockReached;
  }

  private take(value: unknown, recordTimestamp: number): void {
    const { definition, services, keyOf, placement, late } = this.parts;
    const firings: Firing[] = [];
    let refused: "late" | "outside" | undefined;
    let key: Key | undefined;
    let timestamp = recordTimestamp;
    try {
      if (definition.time === "processing")
        timestamp = Math.max(services.processingTime.nowMs(), this.clockReached + 1);
      else if (!placement.isGlobal) checkTimestamp(timestamp);
      key = keyOf(value);
      this.state.setCurrentKey(key);
      refused = this.place(key, value, timestamp, firings);
    } catch (error) {
      throw failureAtKey(services.id, error, this.state, key);
    }
    if (refused !== undefined) late.refuse(value, timestamp, refused, this.firstEnd);
    else this.emit(key, firings);
    if (this.due.processing.earliest < this.asked) this.ask();
  }

  /** Puts the record into its windows. Answers why none took it. */
  private place(
    key: Key,
    value: unknown,
    timestamp: number,
    firings: Firing[],
  ): "late" | "outside" | undefined {
    const before = this.read();
    const places = this.parts.placement.placesOf(before, timestamp, value);
    this.firstEnd = places?.[0]?.end ?? timestamp + 1;
    if (places === undefined) return "late";
    if (places.length === 0) return "outside";
    const after = [...before];
    let taken = 0;
    for (const place of places) {
      if (this.cleanupTime(place.end) <= this.reached()) continue;
      taken++;
      const shift = after.length - before.length;
      const window = this.windowAt(key, before, place, timestamp);
      after.splice(place.from + shift, place.to - place.from, window);
      this.add(key, window, value, timestamp, firings);
    }
    if (taken === 0) return "late";
    if (this.firstEnd - 1 <= this.reached()) this.parts.late.behind(this.firstEnd, taken < places.length);
    this.table.write(after);
    this.openEnds.changed(before, after);
    return undefined;
  }

  /** A copy of the window as it is there, or a new one, or one of what several sessions were. */
  private windowAt(key: Key, before: readonly LiveWindow[], place: Place, timestamp: number): LiveWindow {
    const { from, to, start, end, gap } = place;
    const replaced = before.slice(from, to);
    const [one] = replaced;
    let window: LiveWindow;
    if (one === undefined) window = newWindow({ start, end });
    else if (replaced.length === 1 && one.start === start && one.end === end) window = { ...one };
    else {
      window = joined(replaced, { start, end });
      window.held = this.heldOf(replaced);
      window.isOnTime &&= end - 1 <= this.reached();
      const states = replaced.filter(({ trigger }) => trigger !== null).map(({ trigger }) => trigger);
      this.decision.onMerge(key, window, timestamp, states);
    }
    window.gap = Math.max(window.gap, gap);
    return window;
  }

  private heldOf(windows: readonly LiveWindow[]): unknown {
    let held: unknown = null;
    for (const window of windows) {
      if (window.held === null) continue;
      held = held === null ? window.held : this.parts.contents.merge(held, window.held);
    }
    return held;
  }

  private add(key: Key, window: LiveWindow, value: unknown, timestamp: number, firings: Firing[]): void {
    const { contents } = this.parts;
    window.held =
      window.held === null ? contents.first(value, this.nameOf(window)) : contents.add(window.held, value);
    window.timestamp = Math.max(window.timestamp, timestamp);
    window.hasChanged = true;
    const answer = this.decision.onRecord(key, window, value, timestamp);
    const hasPassed = window.end - 1 <= this.reached();
    this.act(window, answer, hasPassed ? "late" : "early", firings);
    this.remember(key, window);
  }

  /** Tells the window from all others of the key. */
  private nameOf({ start, end }: LiveWindow): number {
    const { merges, isGlobal } = this.parts.placement;
    if (isGlobal) return 0;
    return merges ? start : end;
  }

  /** Does what the trigger has answered, but for the emission. */
  private act(window: LiveWindow, answer: TriggerResult, firing: WindowFiring, firings: Firing[]): void {
    const { contents } = this.parts;
    const { held, emitted } = window;
    if (held === null || answer === "continue") return;
    if (answer !== "purge") {
      const read = contents.read(held);
      firings.push({ window, read, firing, index: window.firings, emitted });
      window.firings++;
      window.hasChanged = false;
      window.isOnTime ||= firing === "onTime";
    }
    if (answer === "fire") return;
    contents.drop(held);
    window.held = null;
    window.hasChanged = false;
    window.emitted = NOTHING;
  }

  private emit(key: Key, firings: readonly Firing[]): void {
    const { output, contents, placement, retractions } = this.parts;
    for (const { window, read, firing, index, emitted } of firings) {
      const { start, end } = window;
      const timestamp = placement.isGlobal ? window.timestamp : end - 1;
      this.enter(window);
      retractions?.begin(emitted, timestamp);
      output.fire(contents, read, { key, start, end, timestamp, firing, index });
      if (retractions !== undefined) this.keepEmitted(window, retractions.end());
    }
  }

  private enter(window: LiveWindow): void {
    for (const name of this.parts.windowStates) this.state.setCurrentNamespace(name, this.nameOf(window));
  }

  /** What was emitted is stored, if the window is there still and holds what was emitted. */
  private keepEmitted({ start, end, held }: LiveWindow, emitted: readonly unknown[]): void {
    if (held === null) return;
    const windows = this.read();
    const at = windows.findIndex((window) => window.start === start && window.end === end);
    if (at < 0 || windows[at]!.stage === "closed") return;
    this.table.write(windows.with(at, { ...windows[at]!, emitted }));
  }

  private read(): readonly LiveWindow[] {
    const windows = this.table.read();
    return windows === ABSENT ? NONE : (windows as readonly LiveWindow[]);
  }

  /** When a window with this end goes; for a session, when it is closed. */
  private cleanupTime(end: number): number {
    return end - 1 + this.parts.definition.allowedLateness;
  }

  private goesAt({ stage, end, gap }: LiveWindow): number {
    return this.cleanupTime(end) + (stage === "closed" ? gap : 0);
  }

  /** Sees to it that the index names the current key when something is to be done with the window, or earlier. */
  private remember(key: Key, window: LiveWindow): void {
    const isByEvents = this.parts.definition.time === "event";
    const goes = this.goesAt(window);
    const event = Math.min(isByEvents ? goes : NEVER, ...window.event);
    if (event < window.eventDue) {
      window.eventDue = event;
      this.due.event.add(event, this.state.currentKeyGroup, key);
    }
    const processing = Math.min(isByEvents ? NEVER : goes, ...window.processing);
    if (processing < window.processingDue) {
      window.processingDue = processing;
      this.due.processing.add(processing, this.state.currentKeyGroup, key);
    }
  }

  private visitSome(kind: TimerKind, limit: number): boolean {
    const due = this.due[kind];
    for (let keys = 0; keys < KEYS_PER_SLICE; keys++) {
      if (!due.next(limit)) return false;
      this.visit(kind, due.key, due.time);
    }
    return true;
  }

  /** Does what is to be done with a key's windows up to a time. */
  private visit(kind: TimerKind, key: Key, to: number): void {
    const { services, definition } = this.parts;
    const firings: Firing[] = [];
    const gone: LiveWindow[] = [];
    const isOwn = kind === definition.time;
    try {
      this.state.setCurrentKey(key);
      const before = this.read();
      if (isOwn) this.visited = to;
      const after: LiveWindow[] = [];
      for (const was of before) {
        const window = { ...was };
        this.fireTimers(key, window, kind, to, firings);
        const isLeft = !isOwn || this.isLeft(window, to, gone);
        if (!isLeft) continue;
        const due = kind === "event" ? "eventDue" : "processingDue";
        if (window[due] <= to) window[due] = NEVER;
        this.remember(key, window);
        after.push(window);
      }
      this.store(after);
      this.openEnds.changed(before, after);
    } catch (error) {
      throw failureAtKey(services.id, error, this.state, key);
    } finally {
      this.visited = undefined;
    }
    this.emit(key, firings);
    for (const window of gone) this.clear(window);
  }

  private store(windows: readonly LiveWindow[]): void {
    if (windows.length === 0) this.table.remove();
    else this.table.write(windows);
  }

  private fireTimers(key: Key, window: LiveWindow, kind: TimerKind, to: number, firings: Firing[]): void {
    for (let fired = 0; ; fired++) {
      const time = Math.min(...window[kind]);
      if (time > to) return;
      if (fired === TIMERS_AT_ONCE_MAX) {
        const { name } = this.parts.trigger;
        throw new Error(
          `trigger "${name}" has registered ${fired} timers in a row that were due at once (${time} ms): register later ones`,
        );
      }
      window[kind] = window[kind].filter((other) => other !== time);
      const answer = this.decision.onTimer(key, window, time, kind);
      const hasPassed = window.end - 1 <= this.reached();
      const atEnd = window.isOnTime ? "late" : "onTime";
      this.act(window, answer, hasPassed ? atEnd : "early", firings);
    }
  }

  /** false: the window goes. One that is `gone` has something to clear. */
  private isLeft(window: LiveWindow, to: number, gone: LiveWindow[]): boolean {
    if (window.stage === "open" && this.goesAt(window) <= to) {
      gone.push({ ...window });
      window.stage = "closed";
      window.held = null;
      window.trigger = null;
      window.event = [];
      window.processing = [];
      window.emitted = NOTHING;
    }
    return window.stage === "open" || (this.parts.placement.merges && this.goesAt(window) > to);
  }

  /** Clears what lies beside the row of a window of the current key. */
  private clear(window: LiveWindow): void {
    if (window.held !== null) this.parts.contents.drop(window.held);
    this.enter(window);
    for (const name of this.parts.windowStates) this.state.removeValue(name);
  }

  /** At the end of input, windows without an end fire what has not fired. */
  private fireRest(): Slices {
    const keys = this.state.keys();
    return {
      step: () => {
        const next = keys.next();
        if (next.done === true) return false;
        const firings: Firing[] = [];
        try {
          this.state.setCurrentKey(next.value);
          const before = this.read();
          const windows = before.map((window) => ({ ...window }));
          for (const window of windows) if (window.hasChanged) this.act(window, "fire", "onTime", firings);
          this.store(windows);
          this.openEnds.changed(before, windows);
        } catch (error) {
          throw failureAtKey(this.parts.services.id, error, this.state, next.value);
        }
        this.emit(next.value, firings);
        return true;
      },
    };
  }

  private ask(): void {
    this.asked = this.due.processing.earliest;
    if (this.asked !== NEVER) this.parts.services.processingTime.wakeAt(this.asked);
  }
}
