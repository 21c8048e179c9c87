/**
 * What a drawn job must hold as keyed state when it has read so much of its input: computed with arrays and maps from
 * the drawing alone, by no code of the engine's.
 *
 * - EK1 Rows are told as texts, so that two of them are compared by one comparison. A value in which the order of
 *   records shows is told without it.
 */
import {
  type DrawnJob,
  type DrawnOperator,
  groupOf,
  type Item,
  type KeyKind,
  keyOf,
  told,
} from "../drawing.ts";
import { type Circumstances, type Expected, grouped, roundsOf, streamsOf } from "./oracle.ts";

/** The rows of one state of one operator: the value's text by the key's. */
export interface ExpectedTable {
  readonly operator: string;
  readonly state: string;
  readonly rows: ReadonlyMap<string, string>;
}

/** The text of a key. Keys of two types are never equal. */
export const keyText = (key: unknown): string => `${typeof key} ${String(key)}`;

/** @param read how far each split was read. @returns the tables of all operators whose state can be foretold */
export function expectedTables(
  job: DrawnJob,
  read: NonNullable<Circumstances["read"]>,
): readonly ExpectedTable[] {
  // What is told at the end may have been told by some subtasks, and not by others.
  const { inputs } = streamsOf(job, { read, drained: false, endsVaguely: "everywhere" });
  return job.operators.flatMap((operator) => {
    const ports = inputs.get(operator.id)!;
    const isKnown =
      ports.every((port) => !port.vague && !port.lacks && !port.repeats && !port.tellsEnd && !port.delays) &&
      // Records on their way back are in no checkpoint.
      !(operator.kind === "loop" && job.options.checkpointing?.iterations === "force");
    return isKnown ? tablesOf(operator, ports) : [];
  });
}

function tablesOf(operator: DrawnOperator, ports: readonly Expected[]): readonly ExpectedTable[] {
  const { id } = operator;
  const [items = [], others = []] = ports.map((port) => port.items);
  if (operator.kind === "loop" && operator.visits !== undefined)
    return [table(`${id}-round`, "visits", operator.visits, roundsOf(items).visitors, countOf)];
  if (!("keys" in operator)) return [];
  const { keys } = operator;
  switch (operator.kind) {
    case "count":
    case "every":
    case "rules":
      return [table(id, "count", keys, items, countOf)];
    case "first":
      return [table(id, "seen", keys, items, () => true)];
    case "rounds":
      return [
        table(id, "since", keys, items, ({ length }) => length % 3 || undefined),
        table(id, "rounds", keys, items, ({ length }) => Math.floor(length / 3) || undefined),
      ];
    case "total":
      return [table(id, "total", keys, items, totalOf)];
    case "collection":
      return [table(id, "all", keys, items, (group) => group.map(({ n }) => n))];
    case "pair":
      return [table(id, "left", keys, items, countOf), table(id, "right", keys, others, countOf)];
    case "reduce":
    case "combined":
      return [aggregates(id, keys, items)];
    default:
      // How much of it has fired follows from the watermark at the cut.
      return [];
  }
}

const countOf = ({ length }: readonly Item[]): number => length;
const totalOf = (group: readonly Item[]) => ({
  count: group.length,
  sum: group.reduce((sum, { n }) => sum + n, 0),
});

/** @param rowOf undefined: there is no row */
function table(
  operator: string,
  state: string,
  keys: KeyKind,
  items: readonly Item[],
  rowOf: (group: readonly Item[]) => unknown,
): ExpectedTable {
  const rows = new Map<string, string>();
  for (const group of grouped(items, keys).values()) {
    const value = rowOf(group);
    if (value !== undefined) rows.set(keyText(keyOf[keys](group[0]!)), valueText(value));
  }
  return { operator, state, rows };
}

/** Its keys are the numbers of the groups. */
function aggregates(id: string, keys: KeyKind, items: readonly Item[]): ExpectedTable {
  const rows = new Map<string, string>();
  for (const [group, { length }] of grouped(items, keys))
    rows.set(keyText(groupOf(group)), valueText(told(id, group, length)));
  return { operator: id, state: "aggregate", rows };
}

/** Numbers in an array have no order, and fields of an object neither. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify(value.toSorted((a, b) => a - b));
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  return JSON.stringify(value, Object.keys(value).sort());
}
