/**
 * What becomes of stored windows where the job has others now: they are refused, dropped or finished.
 *
 * Owns: whether that is possible, and which state it leaves. Does not own: how windows are finished
 * (dataflow/operators/windows/former/).
 */
import type {
  GraphPlan,
  Manifest,
  MigrateWindows,
  OperatorPlan,
  StateHandle,
  SubtaskName,
  SubtaskSnapshot,
  WindowsPlan,
} from "../../../machines/protocol.ts";
import { alignedBy } from "../../dataflow/operators/windows/aligned/bounds.ts";
import { FORMER, FORMER_RECORDS } from "../../dataflow/operators/windows/former/tables.ts";
import { isStateOfKeys } from "../../dataflow/operators/windows/triggered/triggered-window.ts";
import { encodeFormerWindows, FORMER_WINDOWS } from "../../formats/positions/former-windows.ts";
import { operatorsOf } from "../plan.ts";

/** Each window that is finished has a row of its own: sliding windows would make too many. */
const WINDOWS_MAX = 1_000;

/** One operator whose windows are others now. */
export interface WindowMigration {
  readonly mode: MigrateWindows;
  /** Why that cannot be done. Empty: it can. */
  readonly problems: readonly string[];
  readonly note: string;
  /** Beside the state that is finished. */
  readonly former: WindowsPlan | undefined;
}

/** The kinds of operators of which one takes the place of another when only windows change. */
const INTERCHANGEABLE: readonly string[] = ["window", "sessionWindow", "triggeredWindow", "countWindow"];

/** It has the option `migrateWindows`. */
export const canMigrate = ({ kind }: OperatorPlan): boolean =>
  kind === "windowJoin" || INTERCHANGEABLE.includes(kind);

/** It holds windows that were to be finished. */
export const isFormerState = (state: string): boolean => state === FORMER || state === FORMER_RECORDS;

export const unfinishedWindows = (id: string): string =>
  `operator ${id} still holds windows that it had before: leave migrateWindows: "finish-old" there until they have ` +
  `fired, or drop all its state with --drop ${id}`;

/** Records that were joined by their windows, and have not reached these yet: the new windows cannot divide them. */
export function combinedRecords(
  { plan, manifest }: { readonly plan: GraphPlan; readonly manifest: Pick<Manifest, "subtasks"> },
  migrations: ReadonlyMap<string, WindowMigration>,
): string[] {
  const filled = new Set(manifest.subtasks.flatMap(({ channels }) => channels.map(({ edge }) => edge)));
  return plan.edges.flatMap(({ id, to }) => {
    const operator = plan.vertices.find((vertex) => vertex.id === to)?.operators[0];
    if (!filled.has(id) || operator?.windowsPlan?.combines !== true || !migrations.has(operator.id))
      return [];
    return [
      `records that were joined by the windows of operator ${operator.id} lay on edge ${id}: restore it with the windows ` +
        "that it had, and take a savepoint that is not unaligned, before you change them",
    ];
  });
}

/** What was restored with other windows, and failed before its first checkpoint, is to be finished still. */
export function unknownWindows(
  snapshots: readonly SubtaskSnapshot[],
  to: GraphPlan,
  migrations: ReadonlyMap<string, WindowMigration>,
  dropped: readonly string[],
): string[] {
  const unfinished = new Set(
    snapshots
      .flatMap(({ states }) => states)
      .filter(({ state }) => state === FORMER_WINDOWS)
      .map(({ operator }) => operator),
  );
  return operatorsOf(to)
    .filter(({ id, migrateWindows }) => unfinished.has(id) && migrateWindows !== "finish-old")
    .filter(({ id }) => !dropped.includes(id) && migrations.get(id)?.mode !== "drop-old")
    .map(({ id }) => unfinishedWindows(id));
}

/** undefined: the windows are the same, or nothing was said of others. */
function windowMigration(old: OperatorPlan, now: OperatorPlan): WindowMigration | undefined {
  const { id, migrateWindows: mode } = now;
  if (mode === undefined || old.windows === undefined || old.windows === now.windows) return undefined;
  if (old.kind !== now.kind && ![old.kind, now.kind].every((kind) => INTERCHANGEABLE.includes(kind)))
    return undefined;
  const changed = `operator ${id} has other windows: ${now.windows} now, ${old.windows} before`;
  if (mode === "drop-old") {
    const note = `${changed}: those that were open are dropped with what they hold (migrateWindows: "drop-old")`;
    return { mode, problems: [], note, former: undefined };
  }
  return {
    mode,
    problems: unfinishable(old, now).map(
      (why) =>
        `${changed}, and ${why}, so they cannot be finished (migrateWindows: "finish-old"): leave them as they were, ` +
        'or begin without them by migrateWindows: "drop-old"',
    ),
    note: `${changed}: those that are open fire at their own ends, without new records (migrateWindows: "finish-old")`,
    former: old.windowsPlan,
  };
}

function unfinishable({ windowsPlan: old }: OperatorPlan, { windowsPlan: now }: OperatorPlan): string[] {
  if (old === undefined || now === undefined)
    return [
      "windows by count, without end, with a trigger, retract or states have no end of their own to fire at",
    ];
  const problems: string[] = [];
  if (old.time !== now.time)
    problems.push(`their time was that of ${old.time} and is that of ${now.time} now`);
  if (old.aggregates !== now.aggregates)
    problems.push(
      old.aggregates
        ? "they hold aggregates, and the window function gets records now"
        : "they hold records, and are to hold aggregates now",
    );
  const { bounds } = old;
  const each = bounds.kind === "sessions" ? 1 : alignedBy(bounds).windowsPerPane;
  if (each > WINDOWS_MAX)
    problems.push(
      `each record lies in ${each} of them, of which each would be finished alone (at most ${WINDOWS_MAX})`,
    );
  return problems;
}

/** The migrations of two graphs, by operator. An operator that begins without state has none. */
export function windowMigrations(
  from: GraphPlan,
  to: GraphPlan,
  dropped: readonly string[],
): ReadonlyMap<string, WindowMigration> {
  const before = new Map(operatorsOf(from).map((operator) => [operator.id, operator]));
  const found = new Map<string, WindowMigration>();
  for (const now of operatorsOf(to)) {
    const old = before.get(now.id);
    const migration = old === undefined ? undefined : windowMigration(old, now);
    if (migration !== undefined && !dropped.includes(now.id)) found.set(now.id, migration);
  }
  return found;
}

/** State of windows that are dropped. Event time stays, so what was late is late; states of keys stay, too. */
export function isDroppedWindow(
  { kind, operator, state }: Pick<StateHandle, "kind" | "operator" | "state">,
  migrations: ReadonlyMap<string, WindowMigration>,
): boolean {
  if (migrations.get(operator)?.mode !== "drop-old") return false;
  return state === FORMER_WINDOWS || (kind === "keyed" && !isStateOfKeys(state));
}

/**
 * The states of one subtask as the new graph takes them: without dropped windows, and beside others what these were.
 *
 * State that was restored and never cut again is still of the windows before those: it says so already.
 */
export function migratedStates(
  states: readonly StateHandle[],
  subtask: SubtaskName,
  operators: readonly OperatorPlan[],
  migrations: ReadonlyMap<string, WindowMigration>,
): StateHandle[] {
  const kept = states.filter((state) => !isDroppedWindow(state, migrations));
  const told = new Set(kept.filter(({ state }) => state === FORMER_WINDOWS).map(({ operator }) => operator));
  const subtaskIndex = Number(subtask.slice(subtask.lastIndexOf("/") + 1));
  const added = operators.flatMap(({ id }): StateHandle[] => {
    const former = migrations.get(id)?.former;
    if (former === undefined || told.has(id)) return [];
    const entries = [encodeFormerWindows(former)];
    return [
      {
        kind: "operator",
        operator: id,
        state: FORMER_WINDOWS,
        distribution: "broadcast",
        subtaskIndex,
        entries,
      },
    ];
  });
  return [...kept, ...added];
}
