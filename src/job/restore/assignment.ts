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
import { sendersOf } from "../../../machines/graph/topology.ts";
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
  SubtaskSnapshot,
  VertexPlan,
} from "../../../machines/protocol.ts";
import { isSplits } from "../../dataflow/operators/source.ts";
import { isEventTime } from "../../formats/positions/event-time.ts";
import { parseSplitPosition } from "../../formats/positions/split-position.ts";
import { keyGroupRangeOf, rangesIntersect } from "../../state/key-groups.ts";
import { hasCopy } from "./broadcast-copies.ts";
import { finishedIn, finishedOperators, isFinished } from "./finished-operators.ts";
import { endsOf, hasSameEnds, timesFor } from "./rescaled-times.ts";

/** What one subtask gets back. */
export interface SubtaskRestore {
  readonly states: readonly StateHandle[];
  readonly transactions: readonly CommittableHandle[];
  /** The records to process when the state is there, before any frame of a channel, in this order. */
  readonly channels: readonly ChannelStateHandle[];
  readonly finished: boolean;
  /** Ids of the splits of the vertex' source whose positions some subtask gets back: no other one begins with them. */
  readonly knownSplits: ReadonlySet<string>;
}

export const NOTHING: SubtaskRestore = {
  states: [],
  transactions: [],
  channels: [],
  finished: false,
  knownSplits: new Set(),
};

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
  const finished = finishedIn(to, finishedOperators(from, subtasks), dropped);
  const stored = subtasks.map((snapshot) => ({ snapshot, index: indexOf(snapshot.subtask) }));
  const before = new Map(
    from.vertices.flatMap(({ operators, parallelism }) =>
      operators.map(({ id }) => [id, parallelism] as const),
    ),
  );
  const times = timesFor(subtasks, from, to);
  const assigned = to.vertices.flatMap((vertex) => {
    const { parallelism } = vertex;
    const kept = new Set(vertex.operators.map(({ id }) => id).filter((id) => !dropped.includes(id)));
    const isKept = ({ operator }: StateHandle) => kept.has(operator);
    const was = (operator: string) => before.get(operator) ?? parallelism;
    const keyed = stored.flatMap(({ snapshot, index }) =>
      snapshot.states.flatMap((state) => (state.kind === "keyed" && isKept(state) ? [{ state, index }] : [])),
    );
    const operatorState = subtasks.flatMap(({ states }) =>
      states.filter((one) => one.kind === "operator").filter((one) => isKept(one) && !isEventTime(one)),
    );
    const committables = subtasks.flatMap(({ transactions }) =>
      transactions.filter(({ sink }) => kept.has(sink)),
    );
    const edges = to.edges.filter((edge) => edge.to === vertex.id);
    const knownSplits = splitsKnownIn(vertex, operatorState);
    return indices(parallelism).map((index): [SubtaskName, SubtaskRestore] => [
      `${vertex.id}/${index}`,
      {
        states: [
          ...keyed.flatMap((one) => {
            if (was(one.state.operator) === parallelism) return one.index === index ? [one.state] : [];
            return keyedOf(one.state, keyGroupRangeOf(index, parallelism, to.maxParallelism));
          }),
          ...times(vertex, index).filter(isKept),
          ...grouped(operatorState).flatMap((one) =>
            entriesOf(one, index, was(one[0]!.operator), parallelism),
          ),
        ],
        transactions: committables.filter(({ writer }) => heirOf(writer, parallelism) === index),
        channels: edges.flatMap((edge) => recordsOf(edge, index, subtasks, from, to)),
        finished: isFinished(vertex, index, finished),
        knownSplits,
      },
    ]);
  });
  return new Map(assigned);
}

/** The pieces that hold some of the key groups. */
function keyedOf(handle: KeyedStateHandle, range: KeyGroupRange): KeyedStateHandle[] {
  const pieces = handle.pieces.flatMap((piece) => {
    const segments = piece.segments.filter(({ keyGroups }) => rangesIntersect(keyGroups, range));
    return segments.length === 0 ? [] : [{ ...piece, segments }];
  });
  return pieces.length > 0 ? [{ ...handle, pieces }] : [];
}

function splitsKnownIn(
  { operators: [first] }: VertexPlan,
  states: readonly OperatorStateHandle[],
): ReadonlySet<string> {
  const positions = states
    .filter((state) => first?.kind === "source" && state.operator === first.id && isSplits(state))
    .flatMap(({ operator, entries }) => entries.map((entry) => parseSplitPosition(entry, operator)));
  return new Set(positions.map(({ split }) => split.id));
}

const indexOf = (subtask: SubtaskName): number => Number(subtask.slice(subtask.lastIndexOf("/") + 1));

/**
 * Handles of one state of one operator in one version, in the order of the subtasks that had them. Those that finished
 * under an earlier version of the job keep its version.
 */
function grouped(handles: readonly OperatorStateHandle[]): OperatorStateHandle[][] {
  const groups = new Map<string, OperatorStateHandle[]>();
  for (const handle of handles) {
    const key = JSON.stringify([handle.operator, handle.state, handle.version]);
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

/**
 * The records that lay on an edge, for one receiving subtask. If the edge had other ends, each handle comes to one of
 * the channels that the receiver has now, and to several receivers where each is to keep its own of them (P93).
 */
function recordsOf(
  edge: EdgePlan,
  index: number,
  subtasks: readonly SubtaskSnapshot[],
  from: GraphPlan,
  to: GraphPlan,
): ChannelStateHandle[] {
  const stored = subtasks.flatMap(({ channels }) => channels.filter((channel) => channel.edge === edge.id));
  if (stored.length === 0) return [];
  const was = endsOf(from, edge.id);
  const is = endsOf(to, edge.id)!;
  if (was === undefined || hasSameEnds(was, is)) return stored.filter((channel) => channel.to === index);
  const senders = sendersOf(is, index);
  const range = (of: number, count: number) => keyGroupRangeOf(of, count, to.maxParallelism);
  const comesHere = (receiver: number): boolean => {
    if (was.receivers === is.receivers) return receiver === index;
    if (is.partitioner === "hash")
      return rangesIntersect(range(receiver, was.receivers), range(index, is.receivers));
    if (is.partitioner === "broadcast") return receiver === index % was.receivers;
    return is.partitioner === "custom" || heirOf(receiver, is.receivers) === index;
  };
  return stored
    .filter((channel) => comesHere(channel.to))
    .map((channel) => ({
      ...channel,
      from: senders[channel.from % senders.length]!,
      to: index,
      rescaled: true,
    }));
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
