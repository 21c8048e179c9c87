/**
 * The server of the job record: one key, changed by compare-and-set (P7, P11).
 *
 * A write may arrive late, again and again, or never; so may its answer: a timeout is an answer that has not come yet,
 * and to send the same value again is to receive the same message again (P8). When a write is refused the answer says
 * what a read at that moment would show, as machines/record.ts judges it.
 */
import type { JobRecord } from "../../../../../machines/protocol.ts";
import { settleWrite } from "../../../../../machines/record.ts";
import { canonical } from "../../../checker/interner.ts";
import type { Effect, ProcessModel, Step } from "../../../process.ts";
import { nameOfPlan, type PlanHistory } from "../../plans.ts";
import { showRecord } from "../../story.ts";
import { type ModelCheckpoint, RECORD, type RecordAnswer, type RecordWrite } from "../../words.ts";

export interface RecordState {
  readonly revision: number;
  readonly record: JobRecord;
  /** Every decision that was ever made, in its order; the record itself retains only the last ones. */
  readonly decided: readonly ModelCheckpoint[];
  /** The plans that the job has had, and the requests of the rescales that were decided; in their order. */
  readonly plans: PlanHistory;
  readonly rescales: readonly string[];
}

/**
 * `answersRivals`: also a write of the same leader that another one of it has overtaken. That happens to a leader only
 * that leads a rescaled job anew while a write is under way.
 */
export function recordServer(initial: JobRecord, answersRivals = false): ProcessModel<RecordState> {
  return {
    id: RECORD,
    durable: {},
    starts: "first",
    neverCrashes: true,
    boot: () => [
      { state: { revision: 1, record: initial, decided: [], plans: [], rescales: [] }, effects: [] },
    ],
    step: (state, event) =>
      event.type === "record.write" ? write(state, event as RecordWrite, answersRivals) : [],
    key: canonical,
    show: ({ revision, record }) => `revision ${revision}: ${showRecord(record)}`,
    showEvent: (event) => {
      const { from, value, revision } = event as RecordWrite;
      return `${value.writeId} of ${from} at revision ${revision}`;
    },
  };
}

function write(
  state: RecordState,
  { from, value, revision }: RecordWrite,
  answersRivals: boolean,
): Step<RecordState>[] {
  const answer = (message: RecordAnswer): Effect[] => [{ kind: "send", to: from, message }];
  if (revision === state.revision) {
    const stored = {
      revision: revision + 1,
      record: value,
      decided: [...state.decided, ...decidedBy(state.record, value)],
      plans: [...state.plans, ...changedPlan(state.record, value)],
      rescales: [...state.rescales, ...rescaledBy(state.record, value)],
    };
    return [
      {
        state: stored,
        effects: answer({ type: "write.stored", writeId: value.writeId, revision: revision + 1 }),
      },
    ];
  }
  const { record } = state;
  const settled = settleWrite(
    { writeId: value.writeId, token: value.token, revision },
    { writeId: record.writeId, token: record.token, revision: state.revision },
  );
  if (settled === "lost") return [{ state, effects: answer({ type: "write.lost" }) }];
  // Its first answer says so, or a later write of the same leader: no actor waits for this one.
  const rival = answersRivals && revision === state.revision - 1;
  if (settled === "stored" || (record.token === value.token && !rival)) return [];
  return [
    {
      state,
      effects: answer({ type: "write.moved", writeId: value.writeId, revision: state.revision, record }),
    },
  ];
}

function decidedBy(before: JobRecord, after: JobRecord): ModelCheckpoint[] {
  const latest = after.checkpoints.at(-1) as ModelCheckpoint | undefined;
  const known = before.checkpoints.at(-1)?.checkpointId;
  return latest === undefined || latest.checkpointId === known ? [] : [latest];
}

/** Those that are there already are of the former plan in any case. */
function changedPlan(before: JobRecord, after: JobRecord): PlanHistory {
  const plan = nameOfPlan(after.plan);
  return nameOfPlan(before.plan) === plan ? [] : [{ since: before.generation + 1, plan }];
}

function rescaledBy({ rescale: before }: JobRecord, { rescale: after }: JobRecord): string[] {
  const isNew =
    after?.state === "pending" && (before?.state !== "pending" || before.request !== after.request);
  return isNew ? [after.request] : [];
}
