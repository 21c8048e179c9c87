/**
 * What each subtask gets back: the state of a checkpoint, dealt out to the subtasks of a graph with the same or other
 * parallelisms. A pure function, for recovery and for restores alike.
 *
 * - AS1 Each key group, entry, transaction and stored record comes to exactly one subtask, but for entries that are
 *   meant for several (`union`, `broadcast`) and keyed records of channels: each subtask gets those of all key groups
 *   that the former receiver had, and takes the records of its own.
 * - AS2 Under unchanged parallelism each subtask gets back what it had.
 * - AS3 What follows each other for one receiver keeps its order.
 *
 * Rules: Flink's StateAssignmentOperation, RoundRobinOperatorStateRepartitioner, SubtaskStateMapper.
 */
import type {
  ChannelStateHandle,
  CommittableHandle,
  EdgePlan,
  GraphPlan,
  KeyedStateHandle,
  KeyGroupRange,
  Manifest,
  OperatorStateHandle,
  StateHandle,
  SubtaskName,
  VertexPlan,
} from "../../../machines/protocol.ts";
import { keyGroupRangeOf, rangesIntersect } from "../../state/key-groups.ts";
import { hasCopy } from "./broadcast-copies.ts";
import { finishedIn, finishedOperators, isFinished } from "./finished-operators.ts";

/** What one subtask gets back. */
export interface SubtaskRestore {
  readonly states: readonly StateHandle[];
  readonly transactions: readonly CommittableHandle[];
  /** The records to process when the state is there, before any frame of a channel, in this order. */
  readonly channels: readonly ChannelStateHandle[];
  readonly finished: boolean;
}

export const NOTHING: SubtaskRestore = { states: [], transactions: [], channels: [], finished: false };

/**
 * What the subtasks of the new graph get back of a manifest that fits both graphs (restore-plan.ts).
 *
 * @param from the graph that it was taken of
 * @param dropped operators that begin without state
 */
export function assign(
  manifest: Pick<Manifest, "subtasks">,
  from: GraphPlan,
  to: GraphPlan,
  dropped: readonly string[] = [],
): ReadonlyMap<SubtaskName, SubtaskRestore> {
  const dealt = deal(manifest, from, to, dropped);
  const unions = [...dealt.values()].flatMap(({ states }) => states.filter(isUnion));
  if (unions.length === 0) return dealt;
  const all = grouped(unions);
  return new Map(
    to.vertices.flatMap(({ id, parallelism, operators }) => {
      const ids = new Set(operators.map((operator) => operator.id));
      const own = all.filter(([one]) => ids.has(one!.operator));
      return indices(parallelism).map((index): [SubtaskName, SubtaskRestore] => {
        const restore = dealt.get(`${id}/${index}`)!;
        const states = restore.states.filter((state) => !isUnion(state));
        return [
          `${id}/${index}`,
          { ...restore, states: [...states, ...own.map((one) => wholeOf(one, index))] },
        ];
      });
    }),
  );
}

/**
 * The same, as a manifest of the new graph has it: what is meant for each subtask (`union`) lies with one of them, in
 * order.
 */
export function deal(
  { subtasks }: Pick<Manifest, "subtasks">,
  from: GraphPlan,
  to: GraphPlan,
  dropped: readonly string[] = [],
): ReadonlyMap<SubtaskName, SubtaskRestore> {
  const states = subtasks.flatMap((one) => one.states);
  const transactions = subtasks.flatMap((one) => one.transactions);
  const channels = subtasks.flatMap((one) => one.channels);
  const finished = finishedIn(to, finishedOperators(from, subtasks), dropped);
  const before = new Map(
    from.vertices.flatMap(({ operators, parallelism }) =>
      operators.map(({ id }) => [id, parallelism] as const),
    ),
  );
  const assigned = to.vertices.flatMap((vertex) => {
    const kept = new Set(vertex.operators.map(({ id }) => id).filter((id) => !dropped.includes(id)));
    const keyed = states.filter((one) => one.kind === "keyed").filter(({ operator }) => kept.has(operator));
    const operatorState = states
      .filter((one) => one.kind === "operator")
      .filter(({ operator }) => kept.has(operator));
    const committables = transactions.filter(({ sink }) => kept.has(sink));
    const edges = to.edges.filter((edge) => edge.to === vertex.id);
    return indices(vertex.parallelism).map((index): [SubtaskName, SubtaskRestore] => [
      `${vertex.id}/${index}`,
      {
        states: [
          ...keyedOf(keyed, keyGroupRangeOf(index, vertex.parallelism, to.maxParallelism)),
          ...grouped(operatorState).flatMap((one) =>
            entriesOf(one, index, before.get(one[0]!.operator) ?? vertex.parallelism, vertex.parallelism),
          ),
        ],
        transactions: committables.filter(({ writer }) => heirOf(writer, vertex.parallelism) === index),
        channels: edges.flatMap((edge) => recordsOf(edge, index, channels, from, vertex, to.maxParallelism)),
        finished: isFinished(vertex, index, finished),
      },
    ]);
  });
  return new Map(assigned);
}

function keyedOf(handles: readonly KeyedStateHandle[], range: KeyGroupRange): KeyedStateHandle[] {
  return handles.flatMap((handle) => {
    const pieces = handle.pieces.filter(({ segments }) =>
      segments.some(({ keyGroups }) => rangesIntersect(keyGroups, range)),
    );
    return pieces.length > 0 || covers(range, handle.keyGroups) ? [{ ...handle, pieces }] : [];
  });
}

const covers = (range: KeyGroupRange, { first, last }: KeyGroupRange): boolean =>
  range.first === first && range.last === last;

/** Handles of one state of one operator, in the order of the subtasks that had them. */
function grouped(handles: readonly OperatorStateHandle[]): OperatorStateHandle[][] {
  const groups = new Map<string, OperatorStateHandle[]>();
  for (const handle of handles) {
    const key = `${handle.operator} ${handle.state}`;
    const group = groups.get(key) ?? [];
    group.push(handle);
    groups.set(key, group);
  }
  const byIndex = (a: OperatorStateHandle, b: OperatorStateHandle): number => a.subtaskIndex - b.subtaskIndex;
  return [...groups.values()].map((group) => group.sort(byIndex));
}

/** What subtask `index` of `is` gets of one state that `was` subtasks had. */
function entriesOf(
  handles: readonly OperatorStateHandle[],
  index: number,
  was: number,
  is: number,
): OperatorStateHandle[] {
  const { distribution } = handles[0]!;
  switch (distribution) {
    case "own":
      return handles.filter(({ subtaskIndex }) => heirOf(subtaskIndex, is) === index);
    case "broadcast":
      return handles
        .filter((copy) => hasCopy(copy, index % was))
        .map(({ equalIn, ...copy }) => ({ ...copy, subtaskIndex: index }));
    case "union":
    case "list": {
      if (was === is) return handles.filter(({ subtaskIndex }) => subtaskIndex === index);
      const all = handles.flatMap(({ entries }) => entries);
      return withEntries(
        handles,
        index,
        all.slice(share(all.length, index, is), share(all.length, index + 1, is)),
      );
    }
  }
}

const isUnion = (state: StateHandle): state is OperatorStateHandle =>
  state.kind === "operator" && state.distribution === "union";

const wholeOf = (handles: readonly OperatorStateHandle[], index: number): OperatorStateHandle => ({
  ...handles[0]!,
  subtaskIndex: index,
  entries: handles.flatMap(({ entries }) => entries),
});

const withEntries = (
  [first]: readonly OperatorStateHandle[],
  subtaskIndex: number,
  entries: readonly Uint8Array[],
): OperatorStateHandle[] => [{ ...first!, subtaskIndex, entries }];

/** The beginning of the share of part `index`, of `count` things in `parts` parts: the first ones get one more. */
function share(count: number, index: number, parts: number): number {
  return index * Math.floor(count / parts) + Math.min(index, count % parts);
}

/** The subtask that takes over what subtask `index` had to itself: the same one while it is there. */
const heirOf = (index: number, parallelism: number): number => index % parallelism;

function recordsOf(
  edge: EdgePlan,
  index: number,
  channels: readonly ChannelStateHandle[],
  from: GraphPlan,
  { parallelism }: VertexPlan,
  maxParallelism: number,
): ChannelStateHandle[] {
  const receiver = from.edges.find(({ id }) => id === edge.id)?.to;
  const was = from.vertices.find(({ id }) => id === receiver)?.parallelism ?? parallelism;
  const range = (of: number, count: number) => keyGroupRangeOf(of, count, maxParallelism);
  return channels.filter((channel) => {
    if (channel.edge !== edge.id) return false;
    if (was === parallelism) return channel.to === index;
    if (edge.partitioner === "hash")
      return rangesIntersect(range(channel.to, was), range(index, parallelism));
    if (edge.partitioner === "broadcast") return channel.to === index % was;
    return heirOf(channel.to, parallelism) === index;
  });
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
