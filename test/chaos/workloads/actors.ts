/**
 * What keys keep for a while: actors of state machines with delays by event time, and by a processing time that
 * resumes; timers by such a clock; values that expire by event time. Beside them actors that send each other events.
 */
import { assign, emit, setup } from "xstate";
import { defineJob, listState, type Stream, type, valueState } from "../../../src/index.ts";
import { nextFold, splitOf } from "../../support/graphs/keyed-count.ts";
import { checkRows, type ExpectedRow, type Row, type RowAt } from "../verdict.ts";
import { STRICT } from "./strict.ts";
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
  type WorkloadInput,
  type WorkloadOptions,
} from "./workload.ts";

const REMINDED_AFTER_MS = 200;
const LAPSED_AFTER_MS = 500;
/** By the clock of the worker. */
const LEFT_AFTER_MS = 100;
const RUNG_AFTER_MS = 150;
const FORGOTTEN_AFTER_MS = 900;
const LIFE_MS = 600;
/** By how much the clocks of two processes of one machine may differ. */
const CLOCK_GRAIN_MS = 2;

interface Visit {
  readonly from: number;
  readonly count: number;
  readonly fold: number;
}

/** Goes on for as long as records follow each other, and tells what it was. */
const visitMachine = (delays: { readonly remind?: number; readonly end: number }) =>
  setup({
    types: {
      context: {} as Visit,
      events: {} as { type: "SEEN"; n: number },
      input: {} as { n: number },
      output: {} as Visit,
    },
    actions: {
      remind: (_, _params: { readonly visit: Visit }) => {},
      count: assign({
        count: ({ context }) => context.count + 1,
        fold: ({ context, event }) => nextFold(context.fold, event.n),
      }),
    },
  }).createMachine({
    id: "visit",
    context: ({ input }) => ({ from: input.n, count: 0, fold: 0 }),
    initial: "open",
    states: {
      open: {
        on: { SEEN: { target: "open", reenter: true, actions: "count" } },
        after: {
          ...(delays.remind !== undefined && {
            [delays.remind]: {
              actions: {
                type: "remind" as const,
                params: ({ context }: { context: Visit }) => ({ visit: context }),
              },
            },
          }),
          [delays.end]: "over",
        },
      },
      over: { type: "final" },
    },
    output: ({ context }) => context,
  });

const eventOf = ({ n }: TimedRecord) => ({ type: "SEEN" as const, n });

function visits(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .machine("visit", {
      machine: visitMachine({ remind: REMINDED_AFTER_MS, end: LAPSED_AFTER_MS }),
      event: eventOf,
      input: ({ n }) => ({ n }),
      effect: ({ params }, { key }): Row => {
        const visit = (params as { readonly visit: Visit }).visit;
        return { branch: "reminded", key, of: `${visit.from}/${visit.count}`, value: visit };
      },
      done: (visit, { key }): Row => ({ branch: "visit", key, of: visit.from, value: visit }),
    });
}

function stays(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .machine("stay", {
      machine: visitMachine({ end: LEFT_AFTER_MS }),
      time: "processing",
      replayClock: "resume",
      endOfInput: "fire",
      event: eventOf,
      input: ({ n }) => ({ n }),
      done: (visit, { key }): Row => ({ branch: "stay", key, of: visit.from, value: visit }),
    });
}

/** Each record rings once; the clock is never seen to go back, nor ahead of the time that it is. */
function rings(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .process("ring", {
      state: { seenAt: valueState(0) },
      output: type<Row>(),
      endOfInput: "fire",
      replayClock: "resume",
      onRecord({ n }, { key, state, timers, currentProcessingTime, emit }) {
        const before = state.seenAt.get();
        const ahead = currentProcessingTime - Date.now();
        if (before > currentProcessingTime)
          emit({ branch: "went-back", key, of: n, value: before - currentProcessingTime });
        if (ahead > CLOCK_GRAIN_MS) emit({ branch: "went-ahead", key, of: n, value: ahead });
        state.seenAt.set(currentProcessingTime);
        timers.registerProcessingTimer(currentProcessingTime + RUNG_AFTER_MS, n);
      },
      onTimer({ namespace }, { key, emit }) {
        emit({ branch: "rung", key, of: Number(namespace), value: null });
      },
    });
}

function forgotten(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .process("forget", {
      state: { recent: listState<number>({ ttl: { after: FORGOTTEN_AFTER_MS, time: "event" } }) },
      output: type<Row>(),
      onRecord({ n }, { state }) {
        state.recent.add(n);
      },
      onExpire: ({ value, time }, { key }): Row => ({ branch: "forgotten", key, of: value, value: time }),
    });
}

function lives(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .process("live", {
      state: { count: valueState(0, { ttl: { after: LIFE_MS, time: "event" } }) },
      output: type<Row>(),
      onRecord({ n }, { key, state, emit }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        emit({ branch: "life", key, of: n, value: count });
      },
      onExpire: ({ value, time }, { key }): Row => ({ branch: "life", key, of: `end at ${time}`, value }),
    });
}

const heirOf = (key: string): string => `k${Number(key.slice(1)) + 1}`;

/** Each record of a key is a gift for the next one, and each gift is counted by the actor that gets it. */
const giver = setup({
  types: {
    context: {} as { readonly taken: number },
    events: {} as
      | { type: "SEEN"; from: string; n: number }
      | { type: "GIFT"; to: string; from: string; n: number },
    emitted: {} as
      | { type: "GIFT"; to: string; from: string; n: number }
      | { type: "taken"; of: string; taken: number },
  },
}).createMachine({
  id: "giver",
  context: { taken: 0 },
  initial: "open",
  states: {
    open: {
      on: {
        SEEN: {
          actions: emit(({ event: { from, n } }) => ({ type: "GIFT", to: heirOf(from), from, n })),
        },
        GIFT: {
          actions: [
            assign({ taken: ({ context }) => context.taken + 1 }),
            emit(({ context, event: { from, n } }) => ({
              type: "taken",
              of: `${from}/${n}`,
              taken: context.taken,
            })),
          ],
        },
      },
    },
  },
});

function gifts(records: Stream<TimedRecord>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .machine("give", {
      machine: giver,
      event: ({ key, n }) => ({ type: "SEEN" as const, from: key, n }),
      addressee: (event) => (event.type === "GIFT" ? event.to : undefined),
      emit: (event, { key }): readonly Row[] | undefined =>
        event.type === "GIFT"
          ? undefined
          : [
              { branch: "gift", key, of: event.of, value: null },
              { branch: "taken", key, of: event.taken, value: null },
            ],
    })
    .flatMap("gifts", (rows) => rows as readonly Row[]);
}

function actorsJob(options: WorkloadOptions) {
  const { checkpointing, ...others } = jobOptionsOf(options);
  const exact = { ...others, checkpointing: { ...checkpointing, iterations: "exact" as const } };
  return defineJob(options.name, exact, (job) => {
    const { split, disorderMs } = STRICT;
    const all = timedSource(job, "read", options);
    const one = timedSource(job, "read-strict", options, { splits: [split], disorderMs, parallelism: 1 });
    sinkRows(visits(one).union(lives(one), stays(all), rings(all), forgotten(all), gifts(all)), options);
  });
}

/** Calls `take` for each record of a split, and `advance` when a watermark behind it has gone on. */
function* withWatermarks(
  split: readonly TimedRecord[],
  take: (record: TimedRecord, watermark: number) => Iterable<ExpectedRow>,
  advance: (to: number) => Iterable<ExpectedRow>,
): Generator<ExpectedRow> {
  let watermark = Number.NEGATIVE_INFINITY;
  for (const record of split) {
    yield* take(record, watermark);
    const next = record.at - STRICT.disorderMs - 1;
    if (next <= watermark) continue;
    watermark = next;
    yield* advance(watermark);
  }
  yield* advance(Number.POSITIVE_INFINITY);
}

function* expectedVisits(split: readonly TimedRecord[]): Generator<ExpectedRow> {
  const open = new Map<string, Visit & { readonly at: number; readonly isReminded: boolean }>();
  let rank = 0;
  const visitOf = ({ from, count, fold }: Visit): Visit => ({ from, count, fold });
  function take({ key, n, at }: TimedRecord): readonly ExpectedRow[] {
    const { from, count, fold } = open.get(key) ?? { from: n, count: 0, fold: 0 };
    open.set(key, { from, count: count + 1, fold: nextFold(fold, n), at, isReminded: false });
    return [];
  }
  function* advance(to: number): Generator<ExpectedRow> {
    for (const [key, visit] of open) {
      const value = visitOf(visit);
      if (!visit.isReminded && visit.at + REMINDED_AFTER_MS <= to) {
        open.set(key, { ...visit, isReminded: true });
        yield { branch: "reminded", key, of: `${visit.from}/${visit.count}`, value, rank: rank++ };
      }
      if (visit.at + LAPSED_AFTER_MS > to) continue;
      open.delete(key);
      yield { branch: "visit", key, of: visit.from, value, rank: rank++ };
    }
  }
  yield* withWatermarks(split, take, advance);
}

/** The rows of a life and those of its end come in one order. */
function* expectedLives(split: readonly TimedRecord[]): Generator<ExpectedRow> {
  const living = new Map<string, { readonly count: number; readonly endsAt: number }>();
  let rank = 0;
  function* take({ key, n, at }: TimedRecord, watermark: number): Generator<ExpectedRow> {
    const { count: before = 0, endsAt = 0 } = living.get(key) ?? {};
    const count = before + 1;
    // An older record takes nothing from the time that is left.
    living.set(key, { count, endsAt: Math.max(endsAt, Math.max(at, watermark) + LIFE_MS) });
    yield { branch: "life", key, of: n, value: count, rank: rank++ };
  }
  function* advance(to: number): Generator<ExpectedRow> {
    for (const [key, { count, endsAt }] of living) {
      if (endsAt > to) continue;
      living.delete(key);
      yield { branch: "life", key, of: `end at ${endsAt}`, value: count, rank: rank++ };
    }
  }
  yield* withWatermarks(split, take, advance);
}

/** Where a stay begins depends on the clock. Those that are told must divide the records among themselves. */
function* expectedStays(
  key: string,
  records: readonly TimedRecord[],
  told: ReadonlySet<string>,
): Generator<ExpectedRow> {
  let stay: Visit | undefined;
  const rowOf = (value: Visit): ExpectedRow => ({
    branch: "stay",
    key,
    of: value.from,
    value,
    rank: value.from,
  });
  for (const { n } of records) {
    if (stay === undefined || told.has(`stay ${key} ${n}`)) {
      if (stay !== undefined) yield rowOf(stay);
      stay = { from: n, count: 0, fold: 0 };
    }
    stay = { from: stay.from, count: stay.count + 1, fold: nextFold(stay.fold, n) };
  }
  if (stay !== undefined) yield rowOf(stay);
}

export function* expectedActors(input: WorkloadInput, output: readonly RowAt[]): Generator<ExpectedRow> {
  const all = [...timedRecords(input.records, input.keys)];
  const split = all.filter((record) => splitOf(record, input.splits) === STRICT.split);
  const told = new Set(output.map(({ row }) => `${row.branch} ${row.key} ${row.of}`));
  for (const [key, records] of recordsByKey(all)) {
    yield* expectedStays(key, records, told);
    const heir = heirOf(key);
    for (const { n, at } of records) {
      yield { branch: "gift", key: heir, of: `${key}/${n}`, value: null, rank: n };
      yield { branch: "taken", key: heir, of: n, value: null, rank: n };
      yield { branch: "rung", key, of: n, value: null, rank: n };
      yield { branch: "forgotten", key, of: n, value: at + FORGOTTEN_AFTER_MS, rank: at };
    }
  }
  yield* expectedVisits(split);
  yield* expectedLives(split);
}

export const actors: Workload = {
  name: "actors",
  load: 4,
  job: actorsJob,
  input: timedInput,
  check(input, output) {
    const rows = rowsOf(output);
    return checkRows(expectedActors(input, rows), rows);
  },
};
