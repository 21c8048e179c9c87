/**
 * Event time in snapshots: of a subtask's input, and of its keyed operators. So a restore does not change what is late.
 *
 * Owns: what of it is stored. Does not own: its names and bytes (formats/positions/event-time.ts), a source's splits,
 * whose times are stored beside their positions.
 *
 * A job without event time stores nothing of it.
 */
import type { OperatorStateHandle, StateHandle } from "../../../../machines/protocol.ts";
import type { ChannelId } from "../../../dataflow/channel/frame.ts";
import type { OperatorTime } from "../../../dataflow/time/operator-times.ts";
import type { SenderTime } from "../../../dataflow/time/watermark-combiner.ts";
import {
  encodeInputTime,
  encodeOperatorTime,
  INPUT_TIME,
  OPERATOR_TIME,
  parseInputTime,
  parseOperatorTime,
} from "../../../formats/positions/event-time.ts";

export function inputTimeHandle(
  operator: string,
  subtaskIndex: number,
  combined: number,
  channels: readonly (ChannelId & SenderTime)[],
): OperatorStateHandle[] {
  const told = channels.filter(({ watermark, isIdle }) => isIdle || watermark !== Number.NEGATIVE_INFINITY);
  if (told.length === 0 && combined === Number.NEGATIVE_INFINITY) return [];
  const entries = [
    encodeInputTime({ channel: null, watermark: combined, isIdle: false }),
    ...told.map(({ edge, from, to, watermark, isIdle }) =>
      encodeInputTime({ channel: { edge, from, to }, watermark, isIdle }),
    ),
  ];
  return [{ kind: "operator", operator, state: INPUT_TIME, distribution: "list", subtaskIndex, entries }];
}

export interface InputTime {
  /** The watermark that the input had come to. */
  readonly combined: number;
  channel(id: ChannelId): SenderTime | undefined;
}

export function inputTimeIn(states: readonly StateHandle[], operator: string): InputTime | undefined {
  const entries = entriesOf(states, operator, INPUT_TIME).map((entry) => parseInputTime(entry, operator));
  const combined = entries.find(({ channel }) => channel === null);
  if (combined === undefined) return undefined;
  return {
    combined: combined.watermark,
    channel: ({ edge, from, to }) =>
      entries.find(({ channel }) => channel?.edge === edge && channel.from === from && channel.to === to),
  };
}

export function operatorTimeHandles(
  times: readonly OperatorTime[],
  subtaskIndex: number,
): OperatorStateHandle[] {
  return [...new Set(times.map(({ operator }) => operator))].map((operator) => ({
    kind: "operator",
    operator,
    state: OPERATOR_TIME,
    distribution: "list",
    subtaskIndex,
    entries: times
      .filter((time) => time.operator === operator)
      .map(({ operator: _, ...time }) => encodeOperatorTime(time)),
  }));
}

export function operatorTimesIn(states: readonly StateHandle[]): OperatorTime[] {
  return states.flatMap(({ operator, ...rest }) =>
    "entries" in rest && rest.state === OPERATOR_TIME
      ? rest.entries.map((entry) => ({ operator, ...parseOperatorTime(entry, operator) }))
      : [],
  );
}

function entriesOf(states: readonly StateHandle[], operator: string, state: string): readonly Uint8Array[] {
  return states.flatMap((one) =>
    one.kind === "operator" && one.operator === operator && one.state === state ? one.entries : [],
  );
}
