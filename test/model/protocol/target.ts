/**
 * The target of one sink subtask: its log of committed transactions and the marker that guards it (P22, P23).
 *
 * The rules are those of src/dataflow/transaction-marker.ts. To take the marker over is one step here: in production it
 * is read and compared and set until nothing has come in between, which is the same.
 */
import { takeOver } from "../../../src/dataflow/transaction-marker.ts";
import { canonical } from "../checker/interner.ts";
import type { Effect, ProcessModel, Step } from "../process.ts";
import {
  type Content,
  type Marker,
  type MarkerAnswer,
  type MarkerCommit,
  type MarkerOpen,
  targetOf,
} from "./words.ts";

interface Committed extends Content {
  /** Generation that committed it. */
  readonly by: number;
  /** Highest generation that had opened the sink by then. */
  readonly opened: number;
}

export interface TargetState {
  readonly marker: Marker | null;
  readonly log: readonly Committed[];
  readonly opened: number;
  /** A sink was opened whose marker no restore can explain (P20). */
  readonly refusal: string;
}

export interface TargetFaults {
  /** P23 taken out: opening leaves the marker as it is. */
  readonly opensWithoutTakeover?: boolean;
  /** The commit compares nothing. */
  readonly commitsBlindly?: boolean;
}

export function targetServer(subtask: string, faults: TargetFaults = {}): ProcessModel<TargetState> {
  return {
    id: targetOf(subtask),
    durable: {},
    starts: "first",
    neverCrashes: true,
    boot: () => [{ state: { marker: null, log: [], opened: 0, refusal: "" }, effects: [] }],
    step(state, event) {
      if (event.type === "marker.open") return open(state, event as MarkerOpen, faults);
      return event.type === "marker.commit" ? commit(state, event as MarkerCommit, faults) : [];
    },
    key: canonical,
    show: ({ marker, log }) =>
      `marker ${marker === null ? "none" : showMarker(marker)}, holds ${log.map(showContent).join(" ") || "nothing"}`,
    showEvent: (event) => showRequest(event as MarkerOpen | MarkerCommit),
  };
}

export function showContent({ checkpointId, from, to, finish }: Content): string {
  return `${checkpointId}:(${from},${to}]${finish ? "+finish" : ""}`;
}

const showMarker = ({ generation, checkpointId }: Marker): string =>
  `of generation ${generation} at ${checkpointId}`;

function showRequest(event: MarkerOpen | MarkerCommit): string {
  return event.type === "marker.open"
    ? `open by generation ${event.generation}, restored ${event.restoredCheckpointId}`
    : `commit ${showContent(event.content)} by generation ${event.generation}`;
}

const answer = (to: string, message: MarkerAnswer): Effect => ({ kind: "send", to, message });

function open(state: TargetState, event: MarkerOpen, faults: TargetFaults): Step<TargetState>[] {
  const { from, generation, restoredCheckpointId } = event;
  const found = state.marker;
  // Opened already; the first answer may still arrive.
  if (found?.generation === generation || state.opened === generation) return [];
  const owner = { job: "j", incarnation: "i", generation, nonce: nonceOf(generation) };
  const before =
    found === null
      ? undefined
      : {
          ...owner,
          generation: found.generation,
          nonce: nonceOf(found.generation),
          checkpointId: found.checkpointId,
          part: 1,
          parts: 1,
        };
  try {
    const { checkpointId } = takeOver(before, owner, { restoredCheckpointId, memory: undefined }, "marker");
    const marker = { generation, checkpointId };
    const next = {
      ...state,
      opened: Math.max(state.opened, generation),
      marker: faults.opensWithoutTakeover && found !== null ? found : marker,
    };
    return [
      { state: next, effects: [answer(from, { type: "marker.opened", generation, marker: next.marker })] },
    ];
  } catch (error) {
    const { name, message } = error as Error;
    const refusal = name === "FencedError" ? state.refusal : message;
    return [
      {
        state: { ...state, refusal },
        effects: [answer(from, { type: "marker.refused", generation, reason: name })],
      },
    ];
  }
}

function commit(state: TargetState, event: MarkerCommit, faults: TargetFaults): Step<TargetState>[] {
  const { from, generation, content, expected } = event;
  const { marker } = state;
  const { checkpointId } = content;
  const done = answer(from, { type: "marker.moved", generation, checkpointId });
  if (marker === null) return [];
  const matches = marker.generation === expected.generation && marker.checkpointId === expected.checkpointId;
  if (
    matches ||
    (faults.commitsBlindly &&
      !state.log.some((one) => one.by === generation && one.checkpointId === checkpointId))
  ) {
    const moved = {
      generation: Math.max(marker.generation, expected.generation),
      checkpointId: Math.max(marker.checkpointId, checkpointId),
    };
    const log = [...state.log, { ...content, by: generation, opened: state.opened }];
    return [{ state: { ...state, marker: moved, log }, effects: [done] }];
  }
  // Its answer was lost, or another attempt was first: the marker itself says that it is done.
  const owned = marker.generation === expected.generation;
  return owned && marker.checkpointId >= checkpointId ? [{ state, effects: [done] }] : [];
}

export const nonceOf = (generation: number): string => `n${generation}`;
