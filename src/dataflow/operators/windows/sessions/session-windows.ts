/**
 * Sessions: windows of a key that end when no record has come for a gap of event time.
 *
 * Owns: when sessions fire, are closed and go. Does not own: which sessions a record joins (session.ts), what they hold
 * (session-contents.ts), what leaves them (window-output.ts).
 *
 * - WS1 A row of "sessions" holds all sessions of a key, and says of each whether it has fired. So what is left after a
 *   restore is what has not fired.
 * - WS2 A record is late when the session that it would be in, once joined, has its last ms and the allowed lateness
 *   not behind the watermark, or when it reaches into a closed one.
 * - WS3 A session fires when the watermark has reached its last ms, and again for each late record, or at its new end
 *   if a late record has moved that ahead. Its contents go when the allowed lateness is over, and its bounds a gap
 *   later.
 * - WS4 The index names each key with sessions at a time that is not behind the first of what is to be done: a session
 *   that grows moves nothing. Found too early, the key is named again. So all is done in the order of its time.
 */
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { Collect } from "../../../source.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { OpenOperator, OpenWindows, Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import type { KeySelector } from "../../keyed/key-selector.ts";
import { checkTimestamp, KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import { type DueKeys, dueKeysOf } from "../due-keys.ts";
import type { LateRecords } from "../late-records.ts";
import { OpenCount } from "../open-count.ts";
import type { WindowFiring, WindowOutput } from "../window-output.ts";
import { join, type Session } from "./session.ts";
import type { SessionContents } from "./session-contents.ts";

/** Table: key -> its sessions. */
export const SESSIONS = "sessions";

/** The gap behind a record, in ms. */
export type GapOf = (value: unknown) => number;

export interface SessionParts {
  readonly operator: string;
  readonly keyOf: KeySelector;
  readonly gapOf: GapOf;
  /** No session is longer, in ms; Infinity: no bound. */
  readonly longest: number;
  /** In ms, also Infinity. */
  readonly allowedLateness: number;
  readonly state: KeyedState;
  readonly time: EventTime;
  readonly contents: SessionContents;
  readonly late: LateRecords;
  readonly output: WindowOutput;
}

const NONE: readonly Session[] = [];

export class SessionWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: SessionParts;
  private readonly table: StateTable;
  private readonly due: DueKeys;
  private readonly openCount = new OpenCount();
  /** End of the session in which the record that was refused last would be. */
  private refusedEnd = 0;

  constructor(parts: SessionParts) {
    this.parts = parts;
    this.state = parts.state;
    this.table = parts.state.table(SESSIONS);
    this.due = dueKeysOf(parts.state);
    this.inputs = [this.inputOf(parts)];
  }

  restored(): Slices {
    return rowByRow(this.table, ({ key, keyGroup, value }) => {
      for (const session of value as readonly Session[]) {
        if (session.stage === "open") this.openCount.opened(session.end);
        const wanted = this.timeOf(session);
        if (wanted !== Number.POSITIVE_INFINITY) this.due.add(wanted, keyGroup, key);
      }
    });
  }

  /** When something is to be done next. Infinity: nothing is. */
  get nextEnd(): number {
    return this.due.earliest;
  }

  advance(time: number): Slices | undefined {
    if (this.due.earliest > time + 1) return undefined;
    return { step: () => this.visitSome(time) };
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  openWindows(): OpenWindows {
    return this.openCount.report();
  }

  private inputOf({ operator, keyOf, state, late }: SessionParts): Collect<unknown> {
    return (value, timestamp) => {
      let key: Key | undefined;
      let taken: Session | undefined;
      try {
        checkTimestamp(timestamp);
        key = keyOf(value);
        state.setCurrentKey(key);
        taken = this.take(key, value, timestamp);
      } catch (error) {
        throw failureAtKey(operator, error, state, key);
      }
      if (taken === undefined) late.refuse(value, timestamp, "late", this.refusedEnd);
      else if (taken.stage === "fired") {
        late.behind(taken.end, false);
        this.fire(key, taken, "late");
      }
    };
  }

  /** Answers the session that has the record now; undefined: it is late. One that has "fired" is to fire again. */
  private take(key: Key, value: unknown, timestamp: number): Session | undefined {
    const { gapOf, longest, allowedLateness, time, contents } = this.parts;
    const read = this.table.read();
    const sessions = read === ABSENT ? NONE : (read as readonly Session[]);
    const gap = gapOf(value);
    const joining = join(sessions, timestamp, gap, longest);
    if (joining === undefined || joining.end - 1 + allowedLateness <= time.watermark) {
      this.refusedEnd = joining?.end ?? timestamp + Math.min(gap, longest);
      return undefined;
    }
    const { from, to, start, end } = joining;
    const hasPassed = end - 1 <= time.watermark;
    let held: unknown;
    let firings = 0;
    let longestGap = gap;
    let dueAt = Number.POSITIVE_INFINITY;
    let merged = 0;
    for (let i = from; i < to; i++) {
      const one = sessions[i]!;
      if (one.stage === "open") merged++;
      held = i === from ? one.held : contents.merge(held, one.held);
      firings = Math.max(firings, one.firings);
      longestGap = Math.max(longestGap, one.gap);
      dueAt = Math.min(dueAt, one.dueAt);
    }
    held = from === to ? contents.first(value, start) : contents.add(held, value);
    const wanted = hasPassed ? end + allowedLateness : end;
    const session: Session = {
      start,
      end,
      gap: longestGap,
      stage: hasPassed ? "fired" : "open",
      firings: firings + (hasPassed ? 1 : 0),
      dueAt: this.remember(key, wanted, dueAt),
      held,
    };
    this.table.write(
      sessions.length === to - from
        ? [session]
        : [...sessions.slice(0, from), session, ...sessions.slice(to)],
    );
    if (!hasPassed) this.openCount.opened(end);
    if (merged > 0) this.openCount.over(merged);
    return session;
  }

  /** Sees to it that the index names the current key at `wanted` or earlier. Answers when; `known`: it does then. */
  private remember(key: Key, wanted: number, known: number): number {
    if (known <= wanted) return known;
    if (wanted !== Number.POSITIVE_INFINITY) this.due.add(wanted, this.state.currentKeyGroup, key);
    return wanted;
  }

  private fire(key: Key, { start, end, firings, held }: Session, firing: WindowFiring): void {
    const { operator, state, contents, output } = this.parts;
    let read: unknown;
    try {
      read = contents.read(held);
    } catch (error) {
      throw failureAtKey(operator, error, state, key);
    }
    output.fire(contents, read, { key, start, end, timestamp: end - 1, firing, index: firings - 1 });
  }

  private visitSome(time: number): boolean {
    for (let keys = 0; keys < KEYS_PER_SLICE; keys++) {
      if (!this.due.next(time + 1)) return false;
      this.visit(this.due.key, this.due.time);
    }
    return true;
  }

  /** Does what is to be done with a key's sessions up to a time, the end of a session or of its lateness. */
  private visit(key: Key, to: number): void {
    const { operator, state, contents } = this.parts;
    const firing: Session[] = [];
    const over: Session[] = [];
    try {
      state.setCurrentKey(key);
      const read = this.table.read();
      if (read === ABSENT) return;
      const left: Session[] = [];
      for (const before of read as readonly Session[]) {
        const after = this.progress(before, to);
        if (before.stage === "open" && after.stage !== "open") firing.push({ ...after, held: before.held });
        if (before.stage !== "closed" && after.stage === "closed") over.push(before);
        const wanted = this.timeOf(after);
        if (wanted <= to) continue;
        const known = after.dueAt > to ? after.dueAt : Number.POSITIVE_INFINITY;
        left.push({ ...after, dueAt: this.remember(key, wanted, known) });
      }
      if (left.length === 0) this.table.remove();
      else this.table.write(left);
      if (firing.length > 0) this.openCount.over(firing.length);
    } catch (error) {
      throw failureAtKey(operator, error, state, key);
    }
    for (const session of firing) this.fire(key, session, "onTime");
    for (const { held } of over) contents.drop(held);
  }

  /** The session as it is when event time has come to `to`. */
  private progress(session: Session, to: number): Session {
    let after = session;
    if (after.stage === "open" && this.timeOf(after) <= to) {
      after = { ...after, stage: "fired", firings: after.firings + 1 };
    }
    if (after.stage === "fired" && this.timeOf(after) <= to)
      after = { ...after, stage: "closed", held: null };
    return after;
  }

  /** When something is to be done with it next: it fires, is closed, goes. */
  private timeOf({ stage, end, gap }: Session): number {
    if (stage === "open") return end;
    const over = end + this.parts.allowedLateness;
    return stage === "fired" ? over : over + gap;
  }
}
