/**
 * Rules that change and go to every key, records that wait for the first rule or for all of them, aggregations in two
 * stages, and timestamps that are assigned on the way.
 *
 * Which rule a record meets depends on what comes first. So each record tells its rule, and all else must follow from
 * that: no rule is skipped or applied twice, and each is applied to a key at one place among its records.
 */
import {
  boundedOutOfOrderness,
  broadcastState,
  defineJob,
  type JobBuilder,
  type Stream,
  tumblingWindows,
  type,
  valueState,
} from "../../../src/index.ts";
import { nextFold, splitOf } from "../../support/graphs/keyed-count.ts";
import { checkRows, type ExpectedRow, type Row, type RowAt } from "../verdict.ts";
import { scatter } from "./scatter.ts";
import { expectedStrict, floorTo, STRICT, strictBranch } from "./strict.ts";
import {
  type InputMessage,
  jobOptionsOf,
  recordsByKey,
  rowsOf,
  sinkRows,
  slowed,
  type TimedRecord,
  timedInput,
  timedRecords,
  timedSource,
  unionOf,
  type Workload,
  type WorkloadInput,
  type WorkloadOptions,
} from "./workload.ts";

interface Rule {
  /** From 1, in the order in which they are published. */
  readonly version: number;
  readonly weight: number;
}

/** There is one rule for so many records. */
const RECORDS_EACH = 20;
/** The source of all rules is through when the records are at this part of theirs. */
const ALL_RULES_HURRY = 4;
const WINDOW_MS = 1000;
const MOVED_MS = 500;
const MOVED_DISORDER_MS = 1000;
const CURRENT = "current";

const rulesIn = (records: number): number => Math.ceil(records / RECORDS_EACH);
const ruleOf = (version: number): Rule => ({ version, weight: scatter(version) % 1000 });

function rulesOf(job: JobBuilder, id: string, options: WorkloadOptions, hurry: number): Stream<Rule> {
  // It has the pace of both subtasks of the records, for each of which there are fewer rules.
  const source = slowed<Rule>(options, [options.splits], (2 / RECORDS_EACH) * hurry);
  return job.source(id, source, { parallelism: 1 });
}

/** Each rule changes what every key has kept; a record takes the rule in, too. */
function metByRecords(records: Stream<TimedRecord>, rules: Stream<Rule>): Stream<Row> {
  const rowOf = (key: string, of: string, value: unknown): Row => ({ branch: "rules", key, of, value });
  return records
    .keyBy(({ key }) => key)
    .connect(rules.broadcast({ waitFor: "first" }))
    .process("meet", {
      broadcast: { rules: broadcastState<string, Rule>() },
      state: { kept: valueState({ count: 0, fold: 0 }) },
      output: type<Row>(),
      onBroadcast(rule, { broadcast, forEachKey, emit }) {
        broadcast.rules.set(CURRENT, rule);
        forEachKey("kept", (key, kept) => {
          const { count, fold } = kept.get();
          const next = { count, fold: nextFold(fold, rule.weight) };
          kept.set(next);
          emit(rowOf(key, `rule ${rule.version}`, next));
        });
      },
      onRecord({ key, n }, { broadcast, state, emit }) {
        const { version, weight } = broadcast.rules.get(CURRENT) ?? { version: 0, weight: 0 };
        const { count, fold } = state.kept.get();
        const next = { count: count + 1, fold: nextFold(nextFold(fold, n), weight) };
        state.kept.set(next);
        emit(rowOf(key, `record ${n}`, { ...next, version }));
      },
    });
}

/** Each record meets all rules there are. */
function metByHeld(records: Stream<TimedRecord>, rules: Stream<Rule>): Stream<Row> {
  return records
    .keyBy(({ key }) => key)
    .connect(rules.broadcast({ waitFor: "caughtUp" }))
    .process("hold", {
      broadcast: { weights: broadcastState<number, number>() },
      state: { fold: valueState(0) },
      output: type<Row>(),
      onBroadcast({ version, weight }, { broadcast }) {
        broadcast.weights.set(version, weight);
      },
      onRecord({ key, n }, { broadcast, state, emit }) {
        let sum = 0;
        for (const weight of broadcast.weights.values()) sum += weight;
        const fold = nextFold(state.fold.get(), n);
        state.fold.set(fold);
        emit({ branch: "held", key, of: n, value: { fold, sum } });
      },
    });
}

function combined(records: Stream<TimedRecord>): readonly Stream<Row>[] {
  const windows = records
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: WINDOW_MS }))
    .aggregate(
      "combined",
      {
        createAccumulator: () => ({ count: 0, squares: 0 }),
        add: ({ count, squares }, { n }: TimedRecord) => ({ count: count + 1, squares: squares + n * n }),
        merge: (a, b) => ({ count: a.count + b.count, squares: a.squares + b.squares }),
        getResult: (result) => result,
      },
      (value, { key, window }): Row => ({ branch: "combined", key, of: window.start, value }),
      { combine: true },
    );
  const running = records
    .map("counted", ({ key, n }) => ({ key, n, sum: n }))
    .keyBy(({ key }) => key)
    .reduce("running", (a, b) => ({ key: a.key, n: Math.max(a.n, b.n), sum: a.sum + b.sum }), {
      combine: true,
    })
    .map("running-rows", ({ key, n, sum }): Row => ({ branch: "running", key, of: n, value: sum }));
  return [windows, running];
}

/** Records of two subtasks mix: the job tells which were late. */
function moved(records: Stream<TimedRecord>): readonly Stream<Row>[] {
  const windows = records
    .assignTimestamps("move", {
      timestamp: ({ at }) => at + MOVED_MS,
      watermarks: boundedOutOfOrderness(MOVED_DISORDER_MS),
      watermarkInterval: 0,
    })
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: WINDOW_MS }), { lateOutput: "late" })
    .process("moved", (all, { key, window }): Row => {
      return { branch: "moved", key, of: window.start, value: all.map(({ n }) => n) };
    });
  const late = windows
    .sideOutput("late")
    .map("moved-late", ({ value: { key, n } }): Row => ({ branch: "moved-late", key, of: n, value: null }));
  return [windows, late];
}

function rulesJob(options: WorkloadOptions) {
  // The engine decides how barriers go while records wait, unless the job says that they overtake.
  const { unaligned = false } = options;
  const { checkpointing, ...others } = jobOptionsOf(options);
  const { unaligned: _, ...aligned } = checkpointing ?? {};
  const jobOptions = { ...others, checkpointing: unaligned ? { ...aligned, unaligned } : aligned };
  return defineJob(options.name, jobOptions, (job) => {
    const { split, disorderMs } = STRICT;
    const records = timedSource(job, "read", options);
    const held = timedSource(job, "read-held", options, { splits: [split], parallelism: 1, hurry: 2 });
    const untimed = timedSource(job, "read-untimed", options, {
      splits: [split],
      parallelism: 1,
      isUntimed: true,
    }).assignTimestamps(
      "assign",
      { timestamp: ({ at }) => at, watermarks: boundedOutOfOrderness(disorderMs), watermarkInterval: 0 },
      { parallelism: 1 },
    );
    const met = metByRecords(records, rulesOf(job, "read-rules", options, 1));
    const heldRows = metByHeld(held, rulesOf(job, "read-all-rules", options, ALL_RULES_HURRY));
    const timed = [strictBranch(untimed), ...combined(records), ...moved(records)];
    sinkRows(unionOf([met, heldRows, ...timed]), options);
  });
}

function* rulesInput(size: WorkloadInput): Generator<InputMessage> {
  yield* timedInput(size);
  for (let version = 1; version <= rulesIn(size.records); version++)
    yield { split: size.splits, text: JSON.stringify(ruleOf(version)) };
}

const versionIn = (row: Row | undefined): number =>
  Number((row?.value as { readonly version?: number } | undefined)?.version ?? 0);

/** A record and each rule behind it, up to the next record, which met a rule that is not older. */
function* expectedMet(
  key: string,
  records: readonly TimedRecord[],
  rules: number,
  told: ReadonlyMap<string, Row>,
): Generator<ExpectedRow> {
  let fold = 0;
  let count = 0;
  let version = 0;
  let rank = 0;
  const rowOf = (of: string, value: unknown): ExpectedRow => ({
    branch: "rules",
    key,
    of,
    value,
    rank: rank++,
  });
  function* applyTo(last: number): Generator<ExpectedRow> {
    // A key is there from its first record on.
    for (let next = version + 1; count > 0 && next <= last; next++) {
      fold = nextFold(fold, ruleOf(next).weight);
      yield rowOf(`rule ${next}`, { count, fold });
    }
    version = last;
  }
  for (const { n } of records) {
    const met = versionIn(told.get(`rules ${key} record ${n}`));
    yield* applyTo(Math.min(rules, Math.max(1, version, met)));
    fold = nextFold(nextFold(fold, n), ruleOf(version).weight);
    count++;
    yield rowOf(`record ${n}`, { count, fold, version });
  }
  yield* applyTo(rules);
}

function* expectedHeld(key: string, records: readonly TimedRecord[], rules: number): Generator<ExpectedRow> {
  let sum = 0;
  for (let version = 1; version <= rules; version++) sum += ruleOf(version).weight;
  let fold = 0;
  for (const { n } of records) {
    fold = nextFold(fold, n);
    yield { branch: "held", key, of: n, value: { fold, sum }, rank: n };
  }
}

function* expectedCombined(
  key: string,
  records: readonly TimedRecord[],
  told: ReadonlyMap<string, Row>,
): Generator<ExpectedRow> {
  const windows = new Map<number, { count: number; squares: number }>();
  let sum = 0;
  for (const [index, { n, at }] of records.entries()) {
    const start = floorTo(at, WINDOW_MS);
    const { count, squares } = windows.get(start) ?? { count: 0, squares: 0 };
    windows.set(start, { count: count + 1, squares: squares + n * n });
    sum += n;
    // What came joined is told as one.
    if (told.has(`running ${key} ${n}`) || index === records.length - 1)
      yield { branch: "running", key, of: n, value: sum, rank: n };
  }
  for (const [start, value] of windows) yield { branch: "combined", key, of: start, value, rank: start };
}

function* expectedMoved(
  key: string,
  records: readonly TimedRecord[],
  told: ReadonlyMap<string, Row>,
): Generator<ExpectedRow> {
  const windows = new Map<number, number[]>();
  for (const { n, at } of records) {
    const start = floorTo(at + MOVED_MS, WINDOW_MS);
    if (told.has(`moved-late ${key} ${n}`)) yield { branch: "moved-late", key, of: n, value: null };
    else windows.set(start, [...(windows.get(start) ?? []), n]);
  }
  for (const [start, value] of windows) yield { branch: "moved", key, of: start, value, rank: start };
}

export function* expectedRules(input: WorkloadInput, output: readonly RowAt[]): Generator<ExpectedRow> {
  const all = [...timedRecords(input.records, input.keys)];
  const split = all.filter((record) => splitOf(record, input.splits) === STRICT.split);
  const rules = rulesIn(input.records);
  const told = new Map(output.map(({ row }) => [`${row.branch} ${row.key} ${row.of}`, row]));
  for (const [key, records] of recordsByKey(all)) {
    yield* expectedMet(key, records, rules, told);
    yield* expectedCombined(key, records, told);
    yield* expectedMoved(key, records, told);
  }
  for (const [key, records] of recordsByKey(split)) yield* expectedHeld(key, records, rules);
  yield* expectedStrict(split);
}

export const rules: Workload = {
  name: "rules",
  load: 4,
  job: rulesJob,
  input: rulesInput,
  check(input, output) {
    const rows = rowsOf(output);
    return checkRows(expectedRules(input, rows), rows);
  },
};
