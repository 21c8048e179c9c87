/** The beginning of a vertex that reads: records come in from the reader, which the subtask polls. */
import type { OperatorStateHandle, StateHandle } from "../../../machines/protocol.ts";
import {
  encodeSplitPosition,
  parseSplitPosition,
  type StoredSplitPosition,
} from "../../formats/positions/split-position.ts";
import type { Source } from "../source.ts";
import type { SourceEventTime } from "../time/source-time.ts";
import type { OperatorKind } from "./contract.ts";

export interface SourceDefinition {
  readonly source: Source<unknown>;
  readonly eventTime?: SourceEventTime;
}

/** Tag of the side output of records whose timestamp lies too far in the future. */
const AHEAD = "ahead";

export const source: OperatorKind<SourceDefinition> = {
  name: "source",
  describe: ({ source, eventTime }) => ({
    source,
    ...(eventTime && { eventTime }),
    ...(hasAhead(eventTime) && { tags: [AHEAD], ports: ["read", AHEAD] }),
    beginsVertex: true,
  }),
  open: ({ eventTime }, _services, outputs) => ({
    inputs: hasAhead(eventTime) ? [outputs.main, outputs.tagged(AHEAD)] : [outputs.main],
  }),
};

const hasAhead = (eventTime: SourceEventTime | undefined) => eventTime?.maxAhead?.beyond === "sideOutput";

/** Name of the state that holds a source's splits and how far each was read: one entry a split. */
const SPLITS_STATE = "splits";

export function splitsHandle(
  operator: string,
  subtaskIndex: number,
  positions: readonly StoredSplitPosition[],
): OperatorStateHandle {
  const entries = positions.map(encodeSplitPosition);
  return { kind: "operator", operator, state: SPLITS_STATE, distribution: "list", subtaskIndex, entries };
}

/** The splits of a source in these states; undefined: the states know nothing of the source. */
export function splitsIn(
  states: readonly StateHandle[],
  operator: string,
): StoredSplitPosition[] | undefined {
  const handles = states.filter((one) => isSplits(one) && one.operator === operator);
  if (handles.length === 0) return undefined;
  return handles.flatMap((handle) =>
    isSplits(handle) ? handle.entries.map((entry) => parseSplitPosition(entry, operator)) : [],
  );
}

export function isSplits(state: StateHandle): state is OperatorStateHandle {
  return state.kind === "operator" && isSplitsName(state.state);
}

/** Whether a source keeps its positions under this name. */
export const isSplitsName = (state: string): boolean => state === SPLITS_STATE;
