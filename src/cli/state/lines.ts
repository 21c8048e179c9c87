/** States as lines of JSON, one for each value, entry, list, timer, split: what `tidemark state` prints. */
import type { SubtaskName } from "../../../machines/protocol.ts";
import type { Namespace, StateTable } from "../../state/contract.ts";
import { ABSENT } from "../../state/contract.ts";
import type { Key, ListState } from "../../state/descriptor.ts";
import { stateKinds } from "../../state/handles/kinds.ts";
import type { HeapBackend } from "../../state/heap/backend.ts";
import { decodeEntry } from "../../state/snapshot/codec.ts";
import { timerIn } from "../../state/timers/row-namespace.ts";
import type { KeyedEntry, UnkeyedEntry } from "./catalog.ts";
import { type Portion, portionsOf, type TablesOptions, type TableToRead } from "./stored-tables.ts";
import { toJson } from "./value-json.ts";

/** One line; values are JSON as value-json.ts makes it. Fields that say nothing are left out. */
export interface StateLine {
  readonly operator: string;
  readonly state: string;
  /** Only where the state belongs to no key. */
  readonly subtask?: SubtaskName;
  readonly key?: unknown;
  /** The key of an entry of a map. */
  readonly entry?: unknown;
  /** What tells rows of one key apart, in a table. */
  readonly namespace?: unknown;
  /** The time of a timer, in ms. */
  readonly time?: unknown;
  readonly value: unknown;
  /** When it was stored, in ms, where it has a time to live; of a list one for each value. */
  readonly at?: unknown;
}

/** The lines of a keyed state, key group by key group. */
export async function* keyedLines(
  entry: KeyedEntry,
  options: Omit<TablesOptions, "operator">,
): AsyncGenerator<StateLine, void, undefined> {
  for await (const portion of portionsOf(tablesOf(entry), { ...options, operator: entry.operator }))
    for (const key of portion.backend.keys(entry.state)) yield* linesOfKey(entry, portion, key);
}

/** How many values, entries, lists or rows it holds. */
export async function countKeyed(
  entry: KeyedEntry,
  options: Omit<TablesOptions, "operator">,
): Promise<number> {
  let rows = 0;
  const values = tablesOf(entry).slice(0, 1);
  for await (const { backend, tables } of portionsOf(values, { ...options, operator: entry.operator }))
    rows += entry.kind === "list" ? countKeys(backend, entry.state) : tables[0]!.rowCount;
  return rows;
}

function countKeys(backend: HeapBackend, state: string): number {
  let keys = 0;
  for (const _ of backend.keys(state)) keys++;
  return keys;
}

/** The table of values, and that of their times if there is one. */
export function tablesOf({ state, kind, handles, times }: KeyedEntry): TableToRead[] {
  return [
    { state, handles, options: { listsNamespaces: hasNamespaces(kind) } },
    ...(times === undefined ? [] : [times]),
  ];
}

/** What one key has. */
export function* linesOfKey(
  { operator, state, kind }: Pick<KeyedEntry, "operator" | "state" | "kind">,
  { backend, tables: [values, times] }: Portion,
  key: Key,
): Generator<StateLine, void, undefined> {
  backend.setCurrentKey(key);
  const line = { operator, state, key: toJson(key) };
  if (kind === "list") {
    const list = listOf(values!, times);
    if (list !== undefined) yield { ...line, ...list };
    return;
  }
  const namespaces = hasNamespaces(kind) ? values!.namespaces() : [undefined];
  for (const namespace of namespaces) {
    const value = readAt(values!, namespace);
    if (value !== ABSENT)
      yield { ...line, ...addressOf(kind, namespace), value: toJson(value), ...timeOf(times, namespace) };
  }
}

/** A key may have several rows. */
const hasNamespaces = (kind: KeyedEntry["kind"]): boolean =>
  kind !== "value" && kind !== "reducing" && kind !== "aggregating";

function readAt(table: StateTable, namespace: Namespace): unknown {
  table.setCurrentNamespace(namespace);
  return table.read();
}

function addressOf(kind: KeyedEntry["kind"], rowNamespace: Namespace): Partial<StateLine> {
  if (rowNamespace === undefined) return {};
  if (kind === "map") return { entry: toJson(rowNamespace) };
  if (kind !== "timers") return { namespace: toJson(rowNamespace) };
  const { time, namespace } = timerIn(rowNamespace);
  return { time: toJson(time), ...(namespace !== undefined && { namespace: toJson(namespace) }) };
}

function timeOf(times: StateTable | undefined, namespace: Namespace): Partial<StateLine> {
  const found = times === undefined ? ABSENT : readAt(times, namespace);
  return found === ABSENT ? {} : { at: toJson((found as { readonly at: number }).at) };
}

/** A list of the current key; undefined: there is none. */
function listOf(
  values: StateTable,
  times: StateTable | undefined,
): Pick<StateLine, "value" | "at"> | undefined {
  values.setCurrentNamespace(undefined);
  if (values.read() !== ABSENT) {
    const handle = stateKinds.list.open(values, { kind: "list" }, false);
    return { value: (handle as unknown as ListState<unknown>).get().map(toJson) };
  }
  // Values that expire are a row each.
  const namespaces = values.namespaces();
  if (namespaces.length === 0) return undefined;
  const at = namespaces.map((namespace) => timeOf(times, namespace).at ?? null);
  return { value: namespaces.map((namespace) => toJson(readAt(values, namespace))), at };
}

/** The lines of state that belongs to no key. */
export function* unkeyedLines({
  operator,
  state,
  kind,
  parts,
}: UnkeyedEntry): Generator<StateLine, void, undefined> {
  for (const { subtask, handle } of parts) {
    const line = { operator, state, subtask };
    for (const stored of handle.entries) {
      const value = decodeEntry(stored);
      if (kind !== "broadcast") yield { ...line, value: toJson(value) };
      else {
        const [entry, held] = value as readonly [unknown, unknown];
        yield { ...line, entry: toJson(entry), value: toJson(held) };
      }
    }
  }
}
