/** What small states hold, for `checkpoints show`: those that travel in the manifest, the first few lines of each. */
import type { GraphPlan, StateHandle, SubtaskName } from "../../../machines/protocol.ts";
import { describeError } from "../../errors.ts";
import { moment } from "../output/text.ts";
import { type CatalogEntry, catalogOf, isKeyed } from "./catalog.ts";
import { keyedLines, type StateLine, unkeyedLines } from "./lines.ts";
import { fromJson } from "./value-json.ts";

const LINES_MAX = 10;
const LINE_CHARS_MAX = 200;

/** The lines of one state of one subtask. */
export interface ShownState {
  readonly kind: CatalogEntry["kind"];
  readonly lines: readonly StateLine[];
  /** How many are left out. */
  readonly more: number;
  /** Why it cannot be read. */
  readonly problem?: string;
}

/** undefined: it lies in objects, is empty, or is the table of another state's times. */
export async function shownOf(
  plan: GraphPlan,
  subtask: SubtaskName,
  handle: StateHandle,
): Promise<ShownState | undefined> {
  const entry = catalogOf(plan, { subtasks: [{ subtask, states: [handle] }] }).find(
    ({ operator, state }) => operator === handle.operator && state === handle.state,
  );
  if (entry === undefined || !isInline(handle)) return undefined;
  const { kind } = entry;
  const lines: StateLine[] = [];
  let more = 0;
  try {
    for await (const line of linesOf(entry, plan)) {
      if (lines.length < LINES_MAX) lines.push(line);
      else more++;
    }
  } catch (error) {
    return { kind, lines, more, problem: describeError(error) };
  }
  return lines.length === 0 ? undefined : { kind, lines, more };
}

function isInline(handle: StateHandle): boolean {
  return handle.kind === "operator" || handle.pieces.every(({ content }) => content instanceof Uint8Array);
}

function linesOf(
  entry: CatalogEntry,
  { maxParallelism }: GraphPlan,
): Iterable<StateLine> | AsyncIterable<StateLine> {
  if (!isKeyed(entry)) return unkeyedLines(entry);
  return keyedLines(entry, {
    maxParallelism,
    read: () => Promise.reject(new Error("it lies in the manifest")),
  });
}

/** `"hello": 2`, `split words-0: 3` */
export function describeShown({ kind, lines, more, problem }: ShownState): string[] {
  return [
    ...lines.map((line) => describeLine(kind, line)),
    ...(more === 0 ? [] : [`… and ${more} more: "tidemark state dump" writes all`]),
    ...(problem === undefined ? [] : [`it cannot be read: ${problem}`]),
  ];
}

function describeLine(kind: ShownState["kind"], { key, entry, namespace, time, value }: StateLine): string {
  const address = [
    ...(key === undefined ? [] : [JSON.stringify(key)]),
    ...(entry === undefined ? [] : [`[${JSON.stringify(entry)}]`]),
    ...(namespace === undefined ? [] : [`(${JSON.stringify(namespace)})`]),
    ...(time === undefined ? [] : [`at ${whenOf(time)}`]),
  ].join(" ");
  const split = kind === "positions" ? splitIn(value) : undefined;
  // What a timer holds is only its place among others of its time.
  const text =
    time !== undefined
      ? address
      : (split ?? (address === "" ? JSON.stringify(value) : `${address}: ${JSON.stringify(value)}`));
  return text.length <= LINE_CHARS_MAX ? text : `${text.slice(0, LINE_CHARS_MAX - 1)}…`;
}

function whenOf(time: unknown): string {
  const ms = fromJson(time);
  return typeof ms === "number" && Math.abs(ms) <= 8.64e15 ? moment(ms) : JSON.stringify(time);
}

function splitIn(value: unknown): string {
  const { split, position } = value as {
    readonly split: { readonly id: string };
    readonly position?: unknown;
  };
  const isAtBeginning = fromJson(position) === undefined;
  return `split ${split.id}: ${isAtBeginning ? "at its beginning" : JSON.stringify(position)}`;
}
