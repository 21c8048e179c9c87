/**
 * The copies of broadcast state in a checkpoint, one for each subtask of an operator: pure functions.
 *
 * - BE1 Copies that are equal are stored once, with the subtasks that had them. Others stay as they are, each with its
 *   own subtasks: so nothing is lost, and each subtask gets back what it had (P100).
 * - BE2 At an aligned barrier all subtasks have had the same broadcast records in the same order. If copies are
 *   unequal there, `onBroadcast` has used something else than the record and broadcast state.
 */
import type {
  GraphPlan,
  Manifest,
  OperatorStateHandle,
  StateHandle,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";

/** Whether the subtask had these entries. */
export function hasCopy({ subtaskIndex, equalIn }: OperatorStateHandle, index: number): boolean {
  return subtaskIndex === index || equalIn?.includes(index) === true;
}

/** The same snapshots, in which the first subtask that had a copy has it for all others that had an equal one. */
export function withEqualCopiesOnce(snapshots: readonly SubtaskSnapshot[]): SubtaskSnapshot[] {
  const others = new Map<OperatorStateHandle, number[]>();
  for (const copies of copiesIn(snapshots))
    for (const [first, ...equal] of groups(copies)) {
      others.set(
        first!,
        equal.map(({ subtaskIndex }) => subtaskIndex),
      );
    }
  return snapshots.map((snapshot) => ({
    ...snapshot,
    states: snapshot.states.flatMap((state): StateHandle[] => {
      if (!isCopy(state)) return [state];
      const equalIn = others.get(state);
      if (equalIn === undefined) return [];
      return equalIn.length === 0 ? [state] : [{ ...state, equalIn }];
    }),
  }));
}

/**
 * The states of which not all copies in a manifest are equal although they should be (BE2), each with what helps. Not
 * those of an operator with broadcast records that a barrier has overtaken: its subtasks have not had the same ones.
 */
export function unequalCopies(plan: GraphPlan, { subtasks }: Pick<Manifest, "subtasks">): string[] {
  const overtaken = new Set(subtasks.flatMap(({ channels }) => channels.map(({ edge }) => edge)));
  const isExcused = (vertex: string): boolean =>
    plan.edges.some(
      ({ id, to, partitioner }) => to === vertex && partitioner === "broadcast" && overtaken.has(id),
    );
  const vertexOf = new Map(
    plan.vertices.flatMap(({ id, operators }) =>
      operators.map((operator) => [operator.id, { id, operator }] as const),
    ),
  );
  return copiesIn(subtasks).flatMap((copies) => {
    const { operator: name, state } = copies[0]!;
    const vertex = vertexOf.get(name);
    // What an operator keeps for itself need not be equal.
    const isUsers = vertex?.operator.operatorStates?.[state] !== undefined;
    return copies.length > 1 && isUsers && !isExcused(vertex.id) ? [wordsOf(copies)] : [];
  });
}

const SHOWN_MAX = 5;

function wordsOf(copies: readonly OperatorStateHandle[]): string {
  const { operator, state } = copies[0]!;
  const kinds = copies.map(({ subtaskIndex, equalIn = [] }) =>
    listed([subtaskIndex, ...equalIn].map(String), ", "),
  );
  return (
    `broadcast state "${state}" of operator ${operator} is not the same in all subtasks: one thing in ` +
    `${listed(kinds, ", another in ")}; all are stored, and each subtask gets back its own. Let onBroadcast follow from ` +
    "the record and broadcast state alone: no clock, no random numbers, no keyed state, no variables of the process"
  );
}

function listed(all: readonly string[], between: string): string {
  const more = all.length - SHOWN_MAX;
  return `${all.slice(0, SHOWN_MAX).join(between)}${more > 0 ? ` and ${more} more` : ""}`;
}

const isCopy = (state: StateHandle): state is OperatorStateHandle =>
  state.kind === "operator" && state.distribution === "broadcast";

/** The copies of each state in each version, in the order of the subtasks. */
function copiesIn(snapshots: readonly SubtaskSnapshot[]): OperatorStateHandle[][] {
  const copies = new Map<string, OperatorStateHandle[]>();
  for (const { states } of snapshots)
    for (const state of states) {
      if (!isCopy(state)) continue;
      const name = JSON.stringify([state.operator, state.state, state.version]);
      copies.set(name, [...(copies.get(name) ?? []), state]);
    }
  return [...copies.values()].map((of) => of.sort((a, b) => a.subtaskIndex - b.subtaskIndex));
}

/** Equal ones together. */
function groups(copies: readonly OperatorStateHandle[]): OperatorStateHandle[][] {
  const found: OperatorStateHandle[][] = [];
  for (const copy of copies) {
    const equal = found.find(([one]) => isEqual(one!.entries, copy.entries));
    if (equal === undefined) found.push([copy]);
    else equal.push(copy);
  }
  return found;
}

function isEqual(one: readonly Uint8Array[], other: readonly Uint8Array[]): boolean {
  return one.length === other.length && one.every((entry, i) => Buffer.compare(entry, other[i]!) === 0);
}
