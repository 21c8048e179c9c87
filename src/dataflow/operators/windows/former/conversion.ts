/**
 * Makes former windows of the state of windows that the job has no more.
 *
 * Owns: which of these are open, and what each holds. Does not own: when they fire (former-windows.ts).
 *
 * Windows that have fired are left out, also those that stayed for late records: what comes belongs to the job's
 * present windows. All tables of the former windows are empty afterwards, for the present ones.
 */
import type { WindowsPlan } from "../../../../../machines/protocol.ts";
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { EventTime } from "../../../time/event-time.ts";
import type { Slices } from "../../contract.ts";
import { failureAtKey } from "../../failure.ts";
import type { Aggregation } from "../aggregation.ts";
import type { AlignedWindows } from "../aligned/assigner.ts";
import { type AlignedBounds, alignedBy } from "../aligned/bounds.ts";
import { PaneTimes } from "../aligned/pane-times.ts";
import { Accumulators, PANES, RECORDS } from "../contents.ts";
import { rowByRow } from "../definition.ts";
import type { Session } from "../sessions/session.ts";
import type { Part } from "../sessions/session-contents.ts";
import { SESSIONS } from "../sessions/session-windows.ts";
import { FiredUpTo } from "./fired-up-to.ts";
import type { FormerParts } from "./former-windows.ts";
import { MergedPanes } from "./merged-panes.ts";
import { FORMER, FORMER_RECORDS, type FormerWindow, TABLES_OF_OTHERS } from "./tables.ts";

export interface ConversionParts extends FormerParts {
  readonly time: EventTime;
}

/** Begins the conversion of all that was restored. */
export function conversionOf(
  plan: WindowsPlan,
  aggregation: Aggregation | undefined,
  parts: ConversionParts,
): Slices {
  const { state } = parts;
  const rows = new FormerRows(parts);
  const { bounds } = plan;
  const converts =
    bounds.kind === "sessions"
      ? rowByRow(state.table(SESSIONS), ({ key, value }) => {
          rows.begin(key);
          rows.write(openSessions(value as readonly Session[], plan.keepsRecords, rows));
        })
      : convertsAligned(plan, bounds, aggregation, parts, rows);
  const clears = TABLES_OF_OTHERS.map((name) => cleared(state.table(name), parts));
  return {
    step() {
      if (converts.step()) return true;
      while (clears.length > 0 && !clears[0]!.step()) clears.shift();
      return clears.length > 0;
    },
  };
}

function cleared(table: StateTable, { state }: FormerParts): Slices {
  let slices: Slices | undefined;
  return {
    step() {
      slices ??= rowByRow(table, ({ key, namespace }) => {
        state.setCurrentKey(key);
        table.setCurrentNamespace(namespace);
        table.remove();
      });
      return slices.step();
    },
  };
}

/** The rows of former windows, and of their records. */
class FormerRows {
  readonly state: FormerParts["state"];
  private readonly table: StateTable;
  private readonly records: StateTable;
  private readonly formerRecords: StateTable;
  private nextId = 0;
  private moved = new Map<number, Part>();

  constructor({ state }: FormerParts) {
    this.state = state;
    this.table = state.table(FORMER);
    this.records = state.table(RECORDS);
    this.formerRecords = state.table(FORMER_RECORDS);
  }

  /** What follows is about this key. */
  begin(key: Key): void {
    this.state.setCurrentKey(key);
    const ids = this.read().flatMap(({ records }) => (records ?? []).map(({ id }) => id));
    this.nextId = ids.reduce((next, id) => Math.max(next, id + 1), 0);
    this.moved = new Map();
  }

  /** Windows of the key, beside those of still older definitions. */
  write(windows: readonly FormerWindow[]): void {
    if (windows.length > 0) this.table.write([...this.read(), ...windows]);
  }

  /** Moves records to where the present windows have none. A part that several windows have is moved once. */
  move({ id, count }: Part): Part {
    const known = this.moved.get(id);
    if (known !== undefined) return known;
    const part = { id: this.nextId++, count };
    for (let i = 0; i < count; i++) {
      this.records.setCurrentNamespace(`${id}/${i}`);
      this.formerRecords.setCurrentNamespace(`${part.id}/${i}`);
      this.formerRecords.write(this.records.read());
    }
    this.moved.set(id, part);
    return part;
  }

  private read(): readonly FormerWindow[] {
    const row = this.table.read();
    return row === ABSENT ? [] : (row as readonly FormerWindow[]);
  }
}

function openSessions(
  sessions: readonly Session[],
  keepsRecords: boolean,
  rows: FormerRows,
): readonly FormerWindow[] {
  return sessions
    .filter(({ stage }) => stage === "open")
    .map(({ start, end, firings, held }) => ({
      start,
      end,
      firings,
      held: keepsRecords ? null : held,
      records: keepsRecords ? (held as readonly Part[]).map((part) => rows.move(part)) : null,
    }));
}

/** The panes of one key. */
interface PanesOfKey {
  readonly keyGroup: number;
  readonly panes: number[];
}

/** A key is converted when all its panes are known. */
function convertsAligned(
  plan: WindowsPlan,
  bounds: AlignedBounds,
  aggregation: Aggregation | undefined,
  parts: ConversionParts,
  rows: FormerRows,
): Slices {
  const table = parts.state.table(PANES);
  const found = new Map<Key, PanesOfKey>();
  const collects = rowByRow(table, ({ key, keyGroup, namespace }) => {
    const known = found.get(key);
    if (known === undefined) found.set(key, { keyGroup, panes: [namespace as number] });
    else known.panes.push(namespace as number);
  });
  const keys = new AlignedKeys(plan, alignedBy(bounds), aggregation, parts, rows);
  let next: Iterator<[Key, PanesOfKey]> | undefined;
  return {
    step() {
      if (collects.step()) return true;
      next ??= found.entries();
      const { done, value } = next.next();
      if (done === true) return false;
      keys.convert(...value);
      return true;
    },
  };
}

class AlignedKeys {
  private readonly windows: AlignedWindows;
  private readonly parts: ConversionParts;
  private readonly rows: FormerRows;
  private readonly fired: FiredUpTo;
  private readonly counts: StateTable;
  /** undefined: records are kept. */
  private readonly values: Accumulators | undefined;
  private readonly canMerge: boolean;

  constructor(
    plan: WindowsPlan,
    windows: AlignedWindows,
    aggregation: Aggregation | undefined,
    parts: ConversionParts,
    rows: FormerRows,
  ) {
    this.windows = windows;
    this.parts = parts;
    this.rows = rows;
    this.fired = new FiredUpTo(plan, windows, parts);
    this.counts = parts.state.table(PANES);
    this.canMerge = windows.isSinglePane || aggregation?.merge !== undefined;
    this.values =
      plan.keepsRecords || aggregation === undefined
        ? undefined
        : new Accumulators(parts.options, aggregation);
  }

  convert(key: Key, { keyGroup, panes }: PanesOfKey): void {
    try {
      this.rows.begin(key);
      this.rows.write(
        this.openWindows(
          panes.sort((a, b) => a - b),
          this.fired.of(keyGroup, key),
        ),
      );
    } catch (error) {
      throw failureAtKey(this.parts.operator, error, this.parts.state, key);
    }
  }

  private openWindows(panes: readonly number[], firedTo: number): FormerWindow[] {
    const { windows } = this;
    const times = new PaneTimes(windows);
    for (const pane of panes) times.add(pane);
    const found: FormerWindow[] = [];
    const merged = this.values === undefined ? undefined : this.mergedOf(panes, this.values);
    let from = 0;
    let to = 0;
    let reached = firedTo;
    times.drop(reached);
    for (let end = times.nextEnd(reached); end < Number.POSITIVE_INFINITY; end = times.nextEnd(reached)) {
      const start = windows.startOf(end);
      while (to < panes.length && panes[to]! < end) to++;
      while (panes[from]! < start) from++;
      found.push({
        ...{ start, end, firings: 0 },
        held: merged === undefined ? null : merged.of(from, to),
        records: merged === undefined ? this.recordsOf(panes.slice(from, to)) : null,
      });
      reached = end;
      times.drop(reached);
    }
    return found;
  }

  private mergedOf(panes: readonly number[], contents: Accumulators): MergedPanes {
    const values = panes.map((pane) => {
      contents.enter(pane);
      return contents.read();
    });
    return new MergedPanes(values, (held, later) => {
      if (this.canMerge) return contents.merge(held, later);
      throw new Error(
        'windows that overlapped are to be finished (migrateWindows: "finish-old"), and the aggregate has no merge any ' +
          "more: give it back",
      );
    });
  }

  private recordsOf(panes: readonly number[]): readonly Part[] {
    return panes.map((pane) => this.rows.move({ id: pane, count: this.countOf(pane) }));
  }

  private countOf(pane: number): number {
    this.counts.setCurrentNamespace(pane);
    return this.counts.read() as number;
  }
}
