/**
 * Windows that a job has no more, which fire once, at their end, and take no record.
 *
 * Owns: when they fire. Does not own: how they come out of the state of other windows (conversion.ts).
 *
 * - FW1 A row of "former windows" holds those of a key that have not fired, each with its bounds: so they stay what
 *   they were, whatever windows the job has.
 * - FW2 A window fires when the time has reached its last ms, in front of the job's present windows.
 */
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { OpenWindows, Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import type { Aggregation } from "../aggregation.ts";
import type { ContentsOptions } from "../contents.ts";
import { KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import { type DueKeys, dueKeysOf } from "../due-keys.ts";
import { OpenCount } from "../open-count.ts";
import { SessionRecords } from "../sessions/session-contents.ts";
import type { Resulting, WindowOutput } from "../window-output.ts";
import { FORMER, FORMER_RECORDS, type FormerWindow } from "./tables.ts";

export interface FormerParts {
  readonly operator: string;
  readonly state: KeyedState;
  readonly output: WindowOutput;
  readonly options: ContentsOptions;
}

export class FormerWindows {
  private readonly parts: FormerParts;
  private readonly table: StateTable;
  private readonly records: SessionRecords;
  private readonly values: Resulting;
  /** By the end of their windows. */
  private readonly due: DueKeys;
  private readonly openCount = new OpenCount();

  constructor(parts: FormerParts, aggregation: Aggregation | undefined) {
    this.parts = parts;
    this.table = parts.state.table(FORMER);
    this.due = dueKeysOf(parts.state);
    this.records = new SessionRecords(parts.options, aggregation, FORMER_RECORDS);
    this.values = { result: (held) => aggregation!.result(held) };
  }

  restored(): Slices {
    return rowByRow(this.table, ({ key, keyGroup, value }) => {
      for (const { end } of value as readonly FormerWindow[]) this.openCount.opened(end);
      const ends = new Set((value as readonly FormerWindow[]).map(({ end }) => end));
      for (const end of ends) this.due.add(end, keyGroup, key);
    });
  }

  /** End of the first one. Infinity: there is none. */
  get nextEnd(): number {
    return this.due.earliest;
  }

  openWindows(): OpenWindows {
    return this.openCount.report();
  }

  advance(time: number): Slices | undefined {
    if (this.due.earliest > time + 1) return undefined;
    return {
      step: () => {
        for (let keys = 0; keys < KEYS_PER_SLICE; keys++) {
          if (!this.due.next(time + 1)) return false;
          this.fire(this.due.key, this.due.time);
        }
        return true;
      },
    };
  }

  private fire(key: Key, to: number): void {
    const { operator, state, output } = this.parts;
    const firing: { readonly window: FormerWindow; readonly read: unknown }[] = [];
    try {
      state.setCurrentKey(key);
      const row = this.table.read();
      if (row === ABSENT) return;
      const windows = row as readonly FormerWindow[];
      const left = windows.filter(({ end }) => end > to);
      for (const window of windows)
        if (window.end <= to)
          firing.push({
            window,
            read: window.records === null ? window.held : this.records.read(window.records),
          });
      if (left.length === 0) this.table.remove();
      else this.table.write(left);
      this.openCount.over(firing.length);
      this.dropRecords(windows, left);
    } catch (error) {
      throw failureAtKey(operator, error, state, key);
    }
    for (const { window, read } of firing) {
      const { start, end, firings: index, records } = window;
      const contents = records === null ? this.values : this.records;
      output.fire(contents, read, { key, start, end, timestamp: end - 1, firing: "onTime", index });
    }
  }

  /** Windows that overlap have parts in common. */
  private dropRecords(before: readonly FormerWindow[], left: readonly FormerWindow[]): void {
    const parts = before.flatMap(({ records }) => records ?? []);
    if (parts.length === 0) return;
    const kept = new Set(left.flatMap(({ records }) => records ?? []).map(({ id }) => id));
    const gone = new Map(parts.filter(({ id }) => !kept.has(id)).map((part) => [part.id, part]));
    this.records.drop([...gone.values()]);
  }
}
