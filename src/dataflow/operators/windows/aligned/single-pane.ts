/**
 * Windows that follow each other, each one pane, and over when they have fired: tumbling windows and calendar windows
 * without allowed lateness.
 *
 * Owns: when such windows fire. Does not own: what they hold (contents.ts), what leaves them (window-output.ts), all
 * other aligned windows (paned.ts).
 *
 * - WT1 A window fires once for each key, when the watermark has reached its last ms, and its rows go with that. So
 *   what is left after a restore is what has not fired.
 * - WT2 A record is late when its window's last ms is not behind the watermark (Flink's WindowOperator.isWindowLate).
 */
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { Collect } from "../../../source.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { OpenOperator, Slices } from "../../contract.ts";
import { failureOf } from "../../failure.ts";
import type { KeySelector } from "../../keyed/key-selector.ts";
import { type Contents, PANES } from "../contents.ts";
import { checkTimestamp, KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import { DueKeys } from "../due-keys.ts";
import type { LateRecords } from "../late-records.ts";
import type { WindowOutput } from "../window-output.ts";
import type { AlignedWindows } from "./assigner.ts";

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

export class SinglePaneWindows implements OpenOperator {
  readonly inputs: readonly Collect<unknown>[];
  readonly state: KeyedState;
  private readonly parts: AlignedParts;
  /** By the end of their window. */
  private readonly due = new DueKeys();
  /** The pane that the contents are at; NaN: none, or it is not known. */
  private start = Number.NaN;
  private end = Number.NaN;

  constructor(parts: AlignedParts) {
    this.parts = parts;
    this.state = parts.state;
    this.inputs = [this.inputOf(parts)];
  }

  restored(): Slices {
    const { windows, state } = this.parts;
    return rowByRow(state.table(PANES), ({ key, keyGroup, namespace }) => {
      this.due.add(windows.paneEnd(namespace as number), keyGroup, key);
    });
  }

  /** End of the first window that holds something. Infinity: none does. */
  get nextEnd(): number {
    return this.due.earliest;
  }

  advance(time: number): Slices | undefined {
    if (this.due.earliest > time + 1) return undefined;
    return { step: () => this.fireSome(time) };
  }

  figures(): Readonly<Record<string, number>> {
    return this.parts.late.figures();
  }

  private inputOf({ operator, keyOf, state, time, contents, late }: AlignedParts): Collect<unknown> {
    return (value, timestamp) => {
      let isLate = false;
      try {
        if (!(timestamp >= this.start && timestamp < this.end)) this.enter(timestamp);
        if (this.end - 1 <= time.watermark) isLate = true;
        else {
          const key = keyOf(value);
          state.setCurrentKey(key);
          if (contents.add(value)) this.due.add(this.end, state.currentKeyGroup, key);
        }
      } catch (error) {
        throw failureOf(operator, error);
      }
      if (isLate) late.refuse(value, timestamp, "late");
    };
  }

  private enter(timestamp: number): void {
    checkTimestamp(timestamp);
    const { windows, contents } = this.parts;
    this.start = windows.paneOf(timestamp);
    this.end = windows.paneEnd(this.start);
    contents.enter(this.start);
  }

  /** Fires the next few keys. */
  private fireSome(time: number): boolean {
    const { due } = this;
    for (let keys = 0; keys < KEYS_PER_SLICE; keys++) {
      if (!due.next(time + 1)) return false;
      this.fire(due.key, due.time);
    }
    return true;
  }

  private fire(key: Key, end: number): void {
    const { operator, windows, state, contents, output } = this.parts;
    const start = windows.startOf(end);
    let held: unknown;
    try {
      contents.enter(start);
      state.setCurrentKey(key);
      held = contents.read();
      contents.remove();
    } catch (error) {
      throw failureOf(operator, error);
    } finally {
      // The next record is to enter its own pane.
      this.end = Number.NaN;
    }
    output.fire(contents, held, { key, start, end, timestamp: end - 1, firing: "onTime", index: 0 });
  }
}
