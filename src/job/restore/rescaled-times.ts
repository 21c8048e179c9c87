/**
 * Event time of a checkpoint, dealt out to the subtasks of a graph with the same or other parallelisms (P93): pure
 * functions.
 *
 * - RX1 A keyed operator gets the times of its key groups, from whichever subtasks had them.
 * - RX2 The input of a subtask goes on from the least that those before it had come to. A channel that is new has come
 *   to the least of those of its edge; its sender tells its own time at once, behind what is restored.
 * - RX3 An operator that makes event time of its own goes on from all that its subtasks had made.
 * - RX4 What subtasks that had finished knew says nothing of those that run.
 */
import { type EdgeEnds, sendersOf } from "../../../machines/graph/topology.ts";
import type {
  GraphPlan,
  KeyGroupRange,
  Manifest,
  OperatorStateHandle,
  StateHandle,
  SubtaskSnapshot,
  VertexPlan,
} from "../../../machines/protocol.ts";
import {
  ASSIGNED_TIME,
  encodeInputTime,
  encodeOperatorTime,
  INPUT_TIME,
  isEventTime,
  OPERATOR_TIME,
  parseInputTime,
  parseOperatorTime,
  type StoredInputTime,
} from "../../formats/positions/event-time.ts";
import { keyGroupRangeOf } from "../../state/key-groups.ts";

export function endsOf({ edges, vertices }: GraphPlan, id: string): EdgeEnds | undefined {
  const edge = edges.find((one) => one.id === id);
  if (edge === undefined) return undefined;
  const parallelismOf = (vertex: string) => vertices.find((one) => one.id === vertex)?.parallelism ?? 0;
  const { partitioner, from, to } = edge;
  return { partitioner, senders: parallelismOf(from), receivers: parallelismOf(to) };
}

export function hasSameEnds(one: EdgeEnds, other: EdgeEnds): boolean {
  return one.senders === other.senders && one.receivers === other.receivers;
}

/** What the subtask `index` of a vertex gets back of event time. */
export type TimesOf = (vertex: VertexPlan, index: number) => StateHandle[];

export function timesFor(subtasks: readonly SubtaskSnapshot[], from: GraphPlan, to: GraphPlan): TimesOf {
  const former = new Map(
    from.vertices.flatMap((vertex) => vertex.operators.map(({ id }) => [id, vertex] as const)),
  );
  const finished = new Set(subtasks.filter((one) => one.finished).map(({ subtask }) => subtask));
  const stored = subtasks.flatMap(({ states }) =>
    states.filter((state): state is OperatorStateHandle => state.kind === "operator" && isEventTime(state)),
  );
  return (vertex, index) => {
    const edges = to.edges
      .filter((edge) => edge.to === vertex.id)
      .map(({ id }) => ({ id, was: endsOf(from, id), is: endsOf(to, id)! }));
    return vertex.operators.flatMap(({ id }): StateHandle[] => {
      const was = former.get(id);
      const handles = stored.filter(({ operator }) => operator === id);
      const own = handles.filter(({ subtaskIndex }) => subtaskIndex === index);
      if (was === undefined) return own;
      const isRescaled = was.parallelism !== vertex.parallelism;
      const hasNewChannels = edges.some((edge) => edge.was !== undefined && !hasSameEnds(edge.was, edge.is));
      if (!isRescaled && !hasNewChannels) return own;
      const running = range(was.parallelism).filter((one) => !finished.has(`${was.id}/${one}`));
      const those = isRescaled ? running : [index];
      const inputs = inputTimesIn(handles, id, those);
      const input = { operator: id, subtaskIndex: index, entries: inputTime(inputs, edges, index) };
      if (!isRescaled) return [...own.filter(({ state }) => state !== INPUT_TIME), ...inputHandle(input)];
      const known = handles.filter(({ subtaskIndex }) => running.includes(subtaskIndex));
      const keyGroups = keyGroupRangeOf(index, vertex.parallelism, to.maxParallelism);
      return [...inputHandle(input), ...operatorTime(known, index, keyGroups), ...assignedTime(known, index)];
    });
  };
}

/**
 * Why the times of an operator cannot be dealt out to another number of subtasks. Some of its subtasks are ahead, and
 * were cut in the middle of a watermark: what is left of that would have to be done before records that come first.
 */
export function unevenTimes(
  { plan, manifest }: { readonly plan: GraphPlan; readonly manifest: Pick<Manifest, "subtasks"> },
  operator: string,
): string[] {
  const { id, parallelism } = plan.vertices.find(({ operators }) =>
    operators.some((one) => one.id === operator),
  )!;
  const running = manifest.subtasks.filter(({ subtask, finished }) => !finished && isOf(subtask, id));
  const times = running.flatMap(({ states }) =>
    states
      .filter((one) => one.kind === "operator" && one.operator === operator && one.state === OPERATOR_TIME)
      .flatMap((one) => ("entries" in one ? one.entries : []))
      .map((entry) => parseOperatorTime(entry, operator)),
  );
  const isEverywhere = running.every(({ states }) =>
    states.some((one) => one.operator === operator && one.state === OPERATOR_TIME),
  );
  const from = isEverywhere ? least(times.map(({ watermark }) => watermark)) : NOT_BEGUN;
  if (!times.some(({ watermark, isWorkingOff }) => isWorkingOff && watermark > from)) return [];
  return [
    `operator ${operator} was cut while some of its subtasks were ahead of others and had not done what was due, as an unaligned checkpoint may be: restore it with parallelism ${parallelism} and take a savepoint, which is aligned, before you change it; or take another checkpoint`,
  ];
}

const isOf = (subtask: string, vertex: string): boolean =>
  subtask.slice(0, subtask.lastIndexOf("/")) === vertex;

interface InputEdge {
  readonly id: string;
  /** undefined: it is new. */
  readonly was: EdgeEnds | undefined;
  readonly is: EdgeEnds;
}

/** The event time of one subtask's input. */
interface KnownInput {
  readonly index: number;
  readonly combined: number;
  readonly channels: readonly (StoredInputTime & { readonly channel: object })[];
}

type ChannelTime = Pick<StoredInputTime, "watermark" | "isIdle">;

const NOT_BEGUN = Number.NEGATIVE_INFINITY;

function inputTimesIn(
  handles: readonly OperatorStateHandle[],
  operator: string,
  subtasks: readonly number[],
): KnownInput[] {
  return subtasks.map((index) => {
    const entries = handles
      .filter((one) => one.state === INPUT_TIME && one.subtaskIndex === index)
      .flatMap((one) => one.entries.map((entry) => parseInputTime(entry, operator)));
    return {
      index,
      combined: entries.find(({ channel }) => channel === null)?.watermark ?? NOT_BEGUN,
      channels: entries.filter((entry): entry is KnownInput["channels"][number] => entry.channel !== null),
    };
  });
}

/** RX2 */
function inputTime(
  inputs: readonly KnownInput[],
  edges: readonly InputEdge[],
  index: number,
): StoredInputTime[] {
  const combined = least(inputs.map((input) => input.combined));
  const channels = edges.flatMap(({ id, was, is }): StoredInputTime[] => {
    if (was === undefined) return [];
    if (hasSameEnds(was, is))
      return inputs.flatMap((input) =>
        input.channels.filter(({ channel }) => channel!.edge === id && channel!.to === index),
      );
    const time = channelTime(inputs, id, was);
    return sendersOf(is, index).map((from) => ({ channel: { edge: id, from, to: index }, ...time }));
  });
  const told = channels.filter(({ watermark, isIdle }) => isIdle || watermark !== NOT_BEGUN);
  return told.length === 0 && combined === NOT_BEGUN
    ? []
    : [{ channel: null, watermark: combined, isIdle: false }, ...told];
}

/**
 * What a new channel of an edge has come to. A sender that was idle, speaks again and is behind does not hold event
 * time back (WM2), so it counts only where there is no other.
 */
function channelTime(inputs: readonly KnownInput[], edge: string, was: EdgeEnds): ChannelTime {
  const times = inputs.flatMap(({ index, combined, channels }) =>
    sendersOf(was, index).map((from) => {
      const known = channels.find(({ channel }) => channel!.edge === edge && channel!.from === from);
      return { watermark: known?.watermark ?? NOT_BEGUN, isIdle: known?.isIdle ?? false, combined };
    }),
  );
  const active = times.filter(({ isIdle }) => !isIdle);
  const holding = active.filter(({ watermark, combined }) => watermark >= combined);
  const counted = [holding, active, times].find(({ length }) => length > 0) ?? [];
  return {
    watermark: least(counted.map(({ watermark }) => watermark)),
    isIdle: times.length > 0 && active.length === 0,
  };
}

interface InputHandle {
  readonly operator: string;
  readonly subtaskIndex: number;
  readonly entries: readonly StoredInputTime[];
}

function inputHandle({ entries, ...place }: InputHandle): OperatorStateHandle[] {
  if (entries.length === 0) return [];
  const encoded = entries.map(encodeInputTime);
  return [{ kind: "operator", state: INPUT_TIME, distribution: "list", ...place, entries: encoded }];
}

/** RX1 */
function operatorTime(
  handles: readonly OperatorStateHandle[],
  subtaskIndex: number,
  { first, last }: KeyGroupRange,
): OperatorStateHandle[] {
  const times = handles.filter(({ state }) => state === OPERATOR_TIME);
  const entries = times.flatMap(({ operator, entries }) =>
    entries
      .map((entry) => parseOperatorTime(entry, operator))
      .map((time) => ({
        ...time,
        keyGroups: {
          first: Math.max(first, time.keyGroups.first),
          last: Math.min(last, time.keyGroups.last),
        },
      }))
      .filter(({ keyGroups }) => keyGroups.first <= keyGroups.last)
      .map(encodeOperatorTime),
  );
  return entries.length === 0 ? [] : [{ ...times[0]!, subtaskIndex, entries }];
}

/** RX3 */
function assignedTime(handles: readonly OperatorStateHandle[], subtaskIndex: number): OperatorStateHandle[] {
  const times = handles.filter(({ state }) => state === ASSIGNED_TIME);
  const entries = times.flatMap((time) => time.entries);
  return entries.length === 0 ? [] : [{ ...times[0]!, subtaskIndex, entries }];
}

/** The least of the times; of none: not begun. */
const least = (times: readonly number[]): number => (times.length === 0 ? NOT_BEGUN : Math.min(...times));

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
