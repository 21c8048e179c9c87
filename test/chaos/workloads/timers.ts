/**
 * Timers of keys. Event timers bring the records of a key into the order of time and end its sessions; each record that
 * goes on with a session puts its timer off. Processing-time timers repeat each record twice, the second time by a
 * timer that the first one has registered.
 */
import { defineJob, listState, type Stream, type, valueState } from "../../../src/index.ts";
import { nextFold } from "../../support/graphs/keyed-count.ts";
import { checkRows, type ExpectedRow, type Row } from "../verdict.ts";
import {
  jobOptionsOf,
  recordsByKey,
  rowsOf,
  sinkRows,
  type TimedRecord,
  timedInput,
  timedRecords,
  timedSource,
  type Workload,
  type WorkloadOptions,
} from "./workload.ts";

const GAP_MS = 700;
const REPEATED_AFTER_MS = 150;
const REPETITIONS = 2;

interface Session {
  readonly from: number;
  readonly to: number;
  readonly count: number;
  /** Depends on the order of the records. */
  readonly fold: number;
}

function orderedByTime(records: Stream<TimedRecord>): Stream<TimedRecord> {
  return records
    .keyBy(({ key }) => key)
    .process("order", {
      state: { waiting: listState<TimedRecord>() },
      output: type<TimedRecord>(),
      onRecord(record, { state, timers }) {
        state.waiting.add(record);
        timers.registerEventTimer(record.at);
      },
      onTimer({ time }, { state, emit }) {
        const all = state.waiting.get();
        state.waiting.set(all.filter(({ at }) => at > time));
        const due = all.filter(({ at }) => at <= time).sort((a, b) => a.at - b.at || a.n - b.n);
        for (const record of due) emit(record);
      },
    });
}

function sessionsOf(ordered: Stream<TimedRecord>): Stream<Row> {
  const rowOf = (key: string, session: Session): Row => ({
    branch: "session",
    key,
    of: session.from,
    value: session,
  });
  return ordered
    .keyBy(({ key }) => key)
    .process("sessions", {
      state: { session: valueState<Session | undefined>(undefined) },
      output: type<Row>(),
      onRecord({ n, at }, { key, state, timers, emit }) {
        let open = state.session.get();
        if (open !== undefined) timers.deleteEventTimer(open.to + GAP_MS);
        if (open !== undefined && at > open.to + GAP_MS) {
          emit(rowOf(key, open));
          open = undefined;
        }
        const { from = at, count = 0, fold = 0 } = open ?? {};
        state.session.set({ from, to: at, count: count + 1, fold: nextFold(fold, n) });
        timers.registerEventTimer(at + GAP_MS);
      },
      onTimer(_, { key, state, emit }) {
        const open = state.session.get();
        if (open === undefined) throw new Error(`${key}: a timer without a session`);
        emit(rowOf(key, open));
        state.session.clear();
      },
    });
}

/** For each repetition one row that names the record, and one that counts them. */
function repeated(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .process("repeat", {
      state: { given: valueState(0) },
      output: type<Row>(),
      endOfInput: "fire",
      onRecord({ n }, { timers, currentProcessingTime }) {
        timers.registerProcessingTimer(currentProcessingTime + REPEATED_AFTER_MS, `${n}/1`);
      },
      onTimer({ namespace }, { key, state, timers, currentProcessingTime, emit }) {
        const [n, turn] = String(namespace).split("/").map(Number) as [number, number];
        const given = state.given.get() + 1;
        state.given.set(given);
        emit({ branch: "repeated", key, of: `${n}/${turn}`, value: null });
        emit({ branch: "given", key, of: given, value: null });
        if (turn < REPETITIONS)
          timers.registerProcessingTimer(currentProcessingTime + REPEATED_AFTER_MS, `${n}/${turn + 1}`);
      },
    });
}

function timersJob(options: WorkloadOptions) {
  return defineJob(options.name, jobOptionsOf(options), (job) => {
    const records = timedSource(job, "read", options);
    sinkRows(sessionsOf(orderedByTime(records)).union(repeated(records)), options);
  });
}

function* expectedOf(key: string, records: readonly TimedRecord[]): Generator<ExpectedRow> {
  const sessions: { from: number; to: number; count: number; fold: number }[] = [];
  for (const { n, at } of [...records].sort((a, b) => a.at - b.at || a.n - b.n)) {
    const open = sessions.at(-1);
    if (open !== undefined && at - open.to <= GAP_MS)
      Object.assign(open, { to: at, count: open.count + 1, fold: nextFold(open.fold, n) });
    else sessions.push({ from: at, to: at, count: 1, fold: nextFold(0, n) });
  }
  for (const session of sessions)
    yield { branch: "session", key, of: session.from, value: session, rank: session.from };
  for (const { n } of records)
    for (let turn = 1; turn <= REPETITIONS; turn++)
      yield { branch: "repeated", key, of: `${n}/${turn}`, value: null };
  for (let given = 1; given <= records.length * REPETITIONS; given++)
    yield { branch: "given", key, of: given, value: null, rank: given };
}

function* expected(records: number, keys: number): Generator<ExpectedRow> {
  for (const [key, ofKey] of recordsByKey(timedRecords(records, keys))) yield* expectedOf(key, ofKey);
}

export const timers: Workload = {
  name: "timers",
  load: 2,
  job: timersJob,
  input: timedInput,
  check: ({ records, keys }, output) => checkRows(expected(records, keys), rowsOf(output)),
};
