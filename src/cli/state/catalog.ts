/** What states a manifest holds, with what the job's plan says of them. */
import type {
  GraphPlan,
  KeyedStateHandle,
  OperatorPlan,
  OperatorStateHandle,
  SubtaskName,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { didYouMean } from "../../config/suggestion.ts";
import { timerStates } from "../../dataflow/operators/keyed/operator-timers.ts";
import { isSplitsName } from "../../dataflow/operators/source.ts";
import { RequestRefusedError } from "../../errors.ts";
import { isEventTime } from "../../formats/positions/event-time.ts";
import { stateOfTimes } from "../../state/ttl/time-to-live.ts";

export interface KeyedEntry {
  readonly operator: string;
  readonly state: string;
  /** As the user declared it; "timers"; "table": rows of an operator of the engine's own. */
  readonly kind: "value" | "list" | "map" | "reducing" | "aggregating" | "timers" | "table";
  readonly handles: readonly KeyedStateHandle[];
  /** The table of the times at which its values were stored, where they have a time to live. */
  readonly times?: { readonly state: string; readonly handles: readonly KeyedStateHandle[] };
}

export interface UnkeyedEntry {
  readonly operator: string;
  readonly state: string;
  readonly kind: "list" | "union" | "broadcast" | "positions" | "event time" | "own";
  readonly parts: readonly { readonly subtask: SubtaskName; readonly handle: OperatorStateHandle }[];
}

export type CatalogEntry = KeyedEntry | UnkeyedEntry;

export const isKeyed = (entry: CatalogEntry): entry is KeyedEntry => "handles" in entry;

/** The states in the order of the plan's operators, those that are declared and hold nothing included. */
export function catalogOf(
  plan: GraphPlan,
  { subtasks }: { readonly subtasks: readonly Pick<SubtaskSnapshot, "subtask" | "states">[] },
): CatalogEntry[] {
  const states = subtasks.flatMap(({ subtask, states }) => states.map((handle) => ({ subtask, handle })));
  return plan.vertices
    .flatMap(({ operators }) => operators)
    .flatMap((operator) => {
      const own = states.filter(({ handle }) => handle.operator === operator.id);
      const keyed = own.flatMap(({ handle }) => (handle.kind === "keyed" ? [handle] : []));
      const unkeyed = own.flatMap(({ subtask, handle }) =>
        handle.kind === "operator" ? [{ subtask, handle }] : [],
      );
      return [...keyedEntries(operator, keyed), ...unkeyedEntries(operator, unkeyed)];
    });
}

function keyedEntries(operator: OperatorPlan, handles: readonly KeyedStateHandle[]): KeyedEntry[] {
  const stored = handles.map(({ state }) => state);
  const isTimes = (state: string) => {
    const of = stateOfTimes(state);
    return of !== undefined && operator.stateTtls?.[of] !== undefined;
  };
  const names = [...new Set([...(operator.states ?? []), ...stored])].filter((state) => !isTimes(state));
  return names.sort().map((state) => {
    const times = stored.find((name) => isTimes(name) && stateOfTimes(name) === state);
    return {
      operator: operator.id,
      state,
      kind: kindOf(operator, state),
      handles: handles.filter((handle) => handle.state === state),
      ...(times !== undefined && {
        times: { state: times, handles: handles.filter((handle) => handle.state === times) },
      }),
    };
  });
}

/** The kind of a keyed state that an operator has, declared or of its own. */
export function kindOf(
  { stateKinds = {}, ownStates, states = [] }: OperatorPlan,
  state: string,
): KeyedEntry["kind"] {
  if (Object.hasOwn(timerStates, state)) return "timers";
  const kind = stateKinds[state];
  if (kind !== undefined) return kind as KeyedEntry["kind"];
  return ownStates === true || !states.includes(state) ? "table" : "value";
}

function unkeyedEntries(operator: OperatorPlan, parts: UnkeyedEntry["parts"]): UnkeyedEntry[] {
  const { id, operatorStates = {} } = operator;
  const names = new Set([...Object.keys(operatorStates), ...parts.map(({ handle }) => handle.state)]);
  return [...names].sort().map((state) => {
    const own = parts.filter(({ handle }) => handle.state === state);
    const distribution = own[0]?.handle.distribution ?? operatorStates[state]!;
    return { operator: id, state, kind: enginesKindOf(operator, state) ?? distribution, parts: own };
  });
}

/** What a state without key is that the engine keeps itself; undefined: a user has named it, or a connector. */
export function enginesKindOf(
  { bounded }: OperatorPlan,
  state: string,
): "positions" | "event time" | undefined {
  // Only sources have it; another operator of the user's may call a state so.
  if (bounded !== undefined && isSplitsName(state)) return "positions";
  return isEventTime({ state }) ? "event time" : undefined;
}

/**
 * The states that were asked for; all, where nothing was.
 * @throws RequestRefusedError naming what is there, or near
 */
export function chosen(
  catalog: readonly CatalogEntry[],
  job: string,
  operator: string | undefined,
  state: string | undefined,
): CatalogEntry[] {
  if (operator === undefined) return [...catalog];
  const own = catalog.filter((entry) => entry.operator === operator);
  if (own.length === 0) {
    const known = [...new Set(catalog.map((entry) => entry.operator))];
    throw new RequestRefusedError(
      `job ${job} has no operator "${operator}" with state${didYouMean(operator, known)}`,
    );
  }
  if (state === undefined) return own;
  const found = own.filter((entry) => entry.state === state);
  if (found.length > 0) return found;
  const known = own.map((entry) => entry.state);
  throw new RequestRefusedError(
    `operator ${operator} of job ${job} has no state "${state}"${didYouMean(state, known)}`,
  );
}
