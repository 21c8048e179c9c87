/**
 * What the lines of a file say about state, and where each of them goes.
 *
 * Owns: what a line may be, and the words for one that means nothing. Does not own: what keeps rows (rows.ts),
 * whether the whole fits the job (load.ts).
 */
import type {
  GraphPlan,
  OperatorPlan,
  OperatorStateHandle,
  SubtaskName,
} from "../../../../machines/protocol.ts";
import { didYouMean } from "../../../config/suggestion.ts";
import { encodeValue } from "../../../formats/codec.ts";
import { parseSplitPosition } from "../../../formats/positions/split-position.ts";
import { ABSENT, type StateTable } from "../../../state/contract.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key, ListState } from "../../../state/descriptor.ts";
import { stateKinds } from "../../../state/handles/kinds.ts";
import { encodeEntry } from "../../../state/snapshot/codec.ts";
import { rowNamespaceOf } from "../../../state/timers/row-namespace.ts";
import { timesTableOf } from "../../../state/ttl/time-to-live.ts";
import { FIRST_VERSION } from "../../../state/versions/state-version.ts";
import { enginesKindOf, kindOf } from "../catalog.ts";
import { fromJson } from "../value-json.ts";
import type { LoadedRows } from "./rows.ts";

type Line = Readonly<Record<string, unknown>>;

interface Placed {
  readonly operator: OperatorPlan;
  readonly vertex: string;
  readonly parallelism: number;
}

export interface LoadedLinesOptions {
  readonly plan: GraphPlan;
  readonly rows: LoadedRows;
  /** In which the lines have the values of a state. */
  readonly versionOf: (operator: string, state: string) => string;
  /** When values are taken to be stored that say nothing of it. */
  readonly nowMs: number;
}

const FIELDS = ["operator", "state", "subtask", "key", "entry", "namespace", "time", "value", "at"];

export class LoadedLines {
  readonly #operators = new Map<string, Placed>();
  readonly #rows: LoadedRows;
  readonly #versionOf: LoadedLinesOptions["versionOf"];
  readonly #nowMs: number;
  /** Entries of state without key, by subtask, then by operator and state. */
  readonly #unkeyed = new Map<
    SubtaskName,
    Map<string, { handle: OperatorStateHandle; entries: Uint8Array[] }>
  >();
  #ordinals = 0;
  /** Lines of what a sink remembers of its target, which no other job can use. */
  passedOver = 0;
  taken = 0;

  constructor({ plan, rows, versionOf, nowMs }: LoadedLinesOptions) {
    for (const { id, parallelism, operators } of plan.vertices)
      for (const operator of operators)
        this.#operators.set(operator.id, { operator, vertex: id, parallelism });
    this.#rows = rows;
    this.#versionOf = versionOf;
    this.#nowMs = nowMs;
  }

  /** @throws Error saying what is wrong with it */
  take(given: unknown): void {
    if (typeof given !== "object" || given === null || Array.isArray(given))
      throw new Error(`it is ${describeValue(given)}, and no object with operator, state and value`);
    const line = given as Line;
    const unknown = Object.keys(line).find((name) => !FIELDS.includes(name));
    if (unknown !== undefined) throw new Error(`it has a field "${unknown}"${didYouMean(unknown, FIELDS)}`);
    if (typeof line.operator !== "string" || typeof line.state !== "string" || !("value" in line))
      throw new Error("it needs operator, state and value");
    const placed = this.#operators.get(line.operator);
    if (placed === undefined)
      throw new Error(
        `there is no operator "${line.operator}"${didYouMean(line.operator, [...this.#operators.keys()])}`,
      );
    if ("key" in line) this.#takeKeyed(line, placed, line.state);
    else this.#takeUnkeyed(line, placed, line.state);
    this.taken++;
  }

  #takeKeyed(line: Line, { operator }: Placed, state: string): void {
    const { id, states = [], stateTtls = {} } = operator;
    if (!states.includes(state))
      throw new Error(`operator "${id}" has no state "${state}" of keys${didYouMean(state, states)}`);
    const key = fromJson(line.key, "key");
    if (!["string", "number", "boolean", "bigint"].includes(typeof key))
      throw new Error(`key is ${describeValue(key)}; keys are texts, numbers, booleans and bigints`);
    const value = fromJson(line.value);
    const kind = kindOf(operator, state);
    if (kind !== "table" && (value === undefined || value === null))
      throw new Error(`value is ${value}, which is no value: leave the line out`);
    const table = this.#rows.at(id, state, key as Key);
    const ttl = stateTtls[state];
    if (ttl === undefined && "at" in line)
      throw new Error(`values of state "${state}" have no time to live: leave out at`);
    const times = ttl === undefined ? undefined : this.#rows.at(id, timesTableOf(state, ttl), key as Key);
    const stored = (at: unknown) => this.#storedAt(at, ttl?.time);
    if (kind !== "list") {
      const namespace = namespaceOf(line, kind);
      put(table, namespace, kind === "timers" && typeof value !== "number" ? this.#ordinals++ : value);
      if (times !== undefined) put(times, namespace, stored(line.at));
      return;
    }
    if (!Array.isArray(value)) throw new Error("value of a list is an array of its values");
    if (times === undefined) putList(table, value);
    else
      for (const [index, one] of value.entries()) {
        put(table, index, one);
        put(times, index, stored(Array.isArray(line.at) ? line.at[index] : line.at));
      }
  }

  /** The row of a value's time. */
  #storedAt(given: unknown, clock: "event" | "processing" | undefined): unknown {
    const at = fromJson(given, "at") ?? (clock === "event" ? Number.NEGATIVE_INFINITY : this.#nowMs);
    if (typeof at !== "number" || Number.isNaN(at))
      throw new Error(`at is ${describeValue(at)}, and no time in ms`);
    return { at, ordinal: this.#ordinals++ };
  }

  #takeUnkeyed(line: Line, placed: Placed, state: string): void {
    const { operator, vertex, parallelism } = placed;
    const { id, operatorStates = {} } = operator;
    const engines = enginesKindOf(operator, state);
    const distribution = engines !== undefined ? "list" : operatorStates[state];
    if (distribution === undefined) {
      // A sink's memory has a name of the sink's.
      if (operator.connector !== undefined) this.passedOver++;
      else if (operator.states?.includes(state) === true)
        throw new Error(`state "${state}" of operator "${id}" belongs to keys: the line needs a key`);
      else
        throw new Error(
          `operator "${id}" has no state "${state}"${didYouMean(state, Object.keys(operatorStates))}`,
        );
      return;
    }
    const value = fromJson(line.value);
    const index = subtaskIndexOf(line.subtask, vertex, parallelism) ?? this.taken % parallelism;
    const content = distribution === "broadcast" ? [fromJson(line.entry, "entry"), value] : value;
    const entry = engines !== undefined ? encodeValue(content) : encodeEntry(content);
    if (engines === "positions") parseSplitPosition(entry, id);
    const subtask = `${vertex}/${index}`;
    const ofSubtask = this.#unkeyed.get(subtask) ?? new Map();
    this.#unkeyed.set(subtask, ofSubtask);
    const name = `${id} ${state}`;
    const version = this.#versionOf(id, state);
    const known = ofSubtask.get(name) ?? {
      handle: {
        ...{ kind: "operator", operator: id, state, distribution, subtaskIndex: index, entries: [] },
        ...(version !== FIRST_VERSION && { version }),
      },
      entries: [],
    };
    ofSubtask.set(name, known);
    known.entries.push(entry);
  }

  /** The state without key of a subtask. A copy of broadcast state that none of the lines is of is the first one. */
  unkeyedOf(subtask: SubtaskName): OperatorStateHandle[] {
    const own = [...(this.#unkeyed.get(subtask)?.values() ?? [])];
    return own.map(({ handle, entries }) => {
      if (handle.distribution !== "broadcast") return { ...handle, entries };
      const { vertex, parallelism } = this.#operators.get(handle.operator)!;
      const name = `${handle.operator} ${handle.state}`;
      const holders = indices(parallelism).filter((index) =>
        this.#unkeyed.get(`${vertex}/${index}`)?.has(name),
      );
      const equalIn = indices(parallelism).filter((index) => !holders.includes(index));
      return {
        ...handle,
        entries,
        ...(holders[0] === handle.subtaskIndex && equalIn.length > 0 && { equalIn }),
      };
    });
  }
}

const indices = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

function namespaceOf(line: Line, kind: string): string | number | undefined {
  if (kind === "map") return nameOf(line, "entry");
  const namespace = "namespace" in line ? nameOf(line, "namespace") : undefined;
  if (kind !== "timers") return namespace;
  const time = fromJson(line.time, "time");
  if (typeof time === "number" && !Number.isNaN(time)) return rowNamespaceOf(time, namespace);
  throw new Error(`time of a timer is ${describeValue(time)}, and no time in ms`);
}

function nameOf(line: Line, field: string): string | number {
  const name = fromJson(line[field], field);
  if (typeof name === "string" || typeof name === "number") return name;
  throw new Error(`${field} is ${describeValue(name)}, and neither text nor number`);
}

function put(table: StateTable, namespace: string | number | undefined, value: unknown): void {
  table.setCurrentNamespace(namespace);
  if (table.read() !== ABSENT) throw new Error("an earlier line has given the same key already");
  table.write(value);
}

function putList(table: StateTable, values: readonly unknown[]): void {
  table.setCurrentNamespace(undefined);
  if (table.read() !== ABSENT) throw new Error("an earlier line has given the same key already");
  const list = stateKinds.list.open(table, { kind: "list" }, false) as unknown as ListState<unknown>;
  list.addAll(values);
}

/** undefined: the line does not say. */
function subtaskIndexOf(given: unknown, vertex: string, parallelism: number): number | undefined {
  if (given === undefined) return undefined;
  const index = indices(parallelism).find((one) => given === `${vertex}/${one}`);
  if (index !== undefined) return index;
  throw new Error(
    `subtask is none of ${vertex}/0 to ${vertex}/${parallelism - 1}: leave it out to have entries dealt out`,
  );
}
