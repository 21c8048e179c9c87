/**
 * Joins of two sources that wait for each other, one of which could read much faster: pairs within an interval and
 * within a window, groups of both sides, each record with its version. Beside them the same of one split with a bound
 * that is too small: which records are late depends on what comes first, so the job tells it, and all else must follow
 * from that. A third source has splits of which one half runs ahead in event time.
 */
import {
  defineJob,
  type JobBuilder,
  type Stream,
  sessionWindows,
  tumblingWindows,
} from "../../../src/index.ts";
import { splitOf } from "../../support/graphs/keyed-count.ts";
import { checkRows, type ExpectedRow, type Row, type RowAt } from "../verdict.ts";
import { floorTo, STRICT } from "./strict.ts";
import {
  jobOptionsOf,
  recordsByKey,
  rowsOf,
  START,
  sinkRows,
  splitsOf,
  type TimedRecord,
  timedInput,
  timedRecords,
  timedSource,
  unionOf,
  type Workload,
  type WorkloadInput,
  type WorkloadOptions,
} from "./workload.ts";

const INTERVAL = { lowerMs: -1500, upperMs: 500 };
const WINDOW_MS = 1000;
const GAP_MS = 700;
const AHEAD = { times: 3, disorderMs: 6000 };
const ALIGNED = { maxDrift: "5 s", interval: "100 ms" } as const;
/** How much faster than the other side the left one could read. */
const HURRY = 20;

type Sides = readonly [left: Stream<TimedRecord>, right: Stream<TimedRecord>];

const numberOf = (key: string): number => Number(key.slice(1));
/** What a left and a right record have in common: keys of even numbers are left, and each lies in an even split. */
const pairOf = ({ key }: { readonly key: string }): string => `p${numberOf(key) >> 1}`;
const isLeft = ({ key }: { readonly key: string }): boolean => numberOf(key) % 2 === 0;
const numbersOf = (records: readonly TimedRecord[]): number[] =>
  records.map(({ n }) => n).sort((a, b) => a - b);
const isAhead = (key: string, splits: number): boolean => splitOf({ key, n: 0 }, splits) >= splits / 2;
const aheadOf = ({ key, at }: TimedRecord, splits: number): number =>
  isAhead(key, splits) ? START + (at - START) * AHEAD.times : at;

function pairsWithin([left, right]: Sides): Stream<Row> {
  return left
    .keyBy(pairOf)
    .intervalJoin(right.keyBy(pairOf))
    .between(INTERVAL.lowerMs, INTERVAL.upperMs)
    .process("interval", (one, other, { key, timestamp }): Row => {
      return { branch: "interval", key, of: `${one.n}/${other.n}`, value: timestamp };
    });
}

function pairsInWindow([left, right]: Sides): Stream<Row> {
  return left
    .keyBy(pairOf)
    .join(right.keyBy(pairOf))
    .window(tumblingWindows({ size: WINDOW_MS }))
    .process("join", (one, other, { key, window }): Row => {
      return { branch: "join", key, of: `${one.n}/${other.n}`, value: window.start };
    });
}

function groups([left, right]: Sides): Stream<Row> {
  return left
    .keyBy(pairOf)
    .coGroup(right.keyBy(pairOf))
    .window(sessionWindows({ gap: GAP_MS }))
    .process("group", (ones, others, { key, window: { start, end } }): Row => {
      const value = { end, lefts: numbersOf(ones), rights: numbersOf(others) };
      return { branch: "group", key, of: start, value };
    });
}

function versions([left, right]: Sides): Stream<Row> {
  return left
    .keyBy(pairOf)
    .versionedJoin(right.keyBy(pairOf))
    .process("version", ({ n }, version, { key }): Row => {
      return { branch: "version", key, of: n, value: version?.n ?? null };
    });
}

/** Records of one key, the odd ones on the left. */
function strictSides(records: Stream<TimedRecord>): readonly Stream<Row>[] {
  const left = records.filter("odd", ({ n }) => n % 2 === 1, { parallelism: 1 }).keyBy(({ key }) => key);
  const right = records.filter("even", ({ n }) => n % 2 === 0, { parallelism: 1 }).keyBy(({ key }) => key);
  const lateRow = (branch: string, { key, n }: TimedRecord): Row => ({ branch, key, of: n, value: null });
  const group = left
    .coGroup(right)
    .window(tumblingWindows({ size: STRICT.sizeMs }), { lateOutput: "late" })
    .process("strict-group", (ones, others, { key, window }): Row => {
      const value = { lefts: numbersOf(ones), rights: numbersOf(others) };
      return { branch: "strict-group", key, of: window.start, value };
    });
  const interval = left
    .intervalJoin(right)
    .between(INTERVAL.lowerMs, INTERVAL.upperMs, {
      lateLeftOutput: "lateOnes",
      lateRightOutput: "lateOthers",
    })
    .process("strict-interval", (one, other, { key, timestamp }): Row => {
      return { branch: "strict-interval", key, of: `${one.n}/${other.n}`, value: timestamp };
    });
  const version = left
    .versionedJoin(right, { lateProbeOutput: "lateOnes", lateBuildOutput: "lateOthers" })
    .process("strict-version", ({ n }, build, { key }): Row => {
      return { branch: "strict-version", key, of: n, value: build?.n ?? null };
    });
  const late = [
    group.sideOutput("late").map("late-group", ({ value }) => lateRow("strict-group-late", value)),
    ...(["lateOnes", "lateOthers"] as const).flatMap((tag) => [
      interval.sideOutput(tag).map(`${tag}-interval`, ({ value }) => lateRow("strict-interval-late", value)),
      version.sideOutput(tag).map(`${tag}-version`, ({ value }) => lateRow("strict-version-late", value)),
    ]),
  ];
  return [group, interval, version, ...late];
}

function uneven(job: JobBuilder, options: WorkloadOptions): Stream<Row> {
  const { splits } = options;
  return timedSource(job, "read-uneven", options, {
    timestamp: (record) => aheadOf(record, splits),
    disorderMs: AHEAD.disorderMs,
    alignment: ALIGNED,
  })
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: WINDOW_MS }))
    .process("uneven", (records, { key, window }): Row => {
      return { branch: "uneven", key, of: window.start, value: numbersOf(records) };
    });
}

function joinsJob(options: WorkloadOptions) {
  return defineJob(options.name, jobOptionsOf(options), (job) => {
    const sideOf = (id: string, parity: number, hurry: number): Stream<TimedRecord> =>
      timedSource(job, id, options, {
        splits: splitsOf(options).filter((split) => split % 2 === parity),
        hurry,
        alignment: { group: "sides", ...ALIGNED },
      });
    const sides: Sides = [sideOf("read-left", 0, HURRY), sideOf("read-right", 1, 1)];
    const { split, disorderMs } = STRICT;
    const one = timedSource(job, "read-strict", options, { splits: [split], disorderMs, parallelism: 1 });
    const ofSides = [pairsWithin, pairsInWindow, groups, versions].map((joined) => joined(sides));
    sinkRows(unionOf([...ofSides, uneven(job, options), ...strictSides(one)]), options);
  });
}

/** Whether a pair lies in the interval; it comes at the time of its later record. */
function* expectedPairs(
  branch: string,
  key: string,
  lefts: Records,
  rights: Records,
): Generator<ExpectedRow> {
  for (const one of lefts)
    for (const other of rights) {
      const apart = other.at - one.at;
      if (apart >= INTERVAL.lowerMs && apart <= INTERVAL.upperMs)
        yield { branch, key, of: `${one.n}/${other.n}`, value: Math.max(one.at, other.at) };
    }
}

type Records = readonly TimedRecord[];

function* expectedJoin(key: string, lefts: Records, rights: Records): Generator<ExpectedRow> {
  for (const one of lefts)
    for (const other of rights) {
      const start = floorTo(one.at, WINDOW_MS);
      if (start === floorTo(other.at, WINDOW_MS))
        yield { branch: "join", key, of: `${one.n}/${other.n}`, value: start, rank: start };
    }
}

function* expectedGroups(key: string, lefts: Records, rights: Records): Generator<ExpectedRow> {
  const byTime = [...lefts, ...rights].sort((a, b) => a.at - b.at);
  for (let from = 0; from < byTime.length; ) {
    let to = from + 1;
    while (to < byTime.length && byTime[to]!.at <= byTime[to - 1]!.at + GAP_MS) to++;
    const all = byTime.slice(from, to);
    const start = all[0]!.at;
    const value = {
      end: all.at(-1)!.at + GAP_MS,
      lefts: numbersOf(all.filter(isLeft)),
      rights: numbersOf(all.filter((record) => !isLeft(record))),
    };
    yield { branch: "group", key, of: start, value, rank: start };
    from = to;
  }
}

function* expectedVersions(
  branch: string,
  key: string,
  probes: Records,
  builds: Records,
): Generator<ExpectedRow> {
  for (const { n, at } of probes) {
    let newest: TimedRecord | undefined;
    for (const build of builds)
      if (build.at <= at && build.at >= (newest?.at ?? Number.NEGATIVE_INFINITY)) newest = build;
    yield { branch, key, of: n, value: newest?.n ?? null, rank: at };
  }
}

function* expectedWindows(
  branch: string,
  key: string,
  records: Records,
  {
    sizeMs,
    timeOf,
    madeOf,
  }: {
    readonly sizeMs: number;
    readonly timeOf: (record: TimedRecord) => number;
    readonly madeOf: (records: Records) => unknown;
  },
): Generator<ExpectedRow> {
  const windows = new Map<number, TimedRecord[]>();
  for (const record of records) {
    const start = floorTo(timeOf(record), sizeMs);
    windows.set(start, [...(windows.get(start) ?? []), record]);
  }
  for (const [start, all] of windows) yield { branch, key, of: start, value: madeOf(all), rank: start };
}

/** The records of a split that an operator may have found late: a watermark in front of them had passed them. */
function behindOf(split: Records): ReadonlySet<string> {
  const behind = new Set<string>();
  let greatest = Number.NEGATIVE_INFINITY;
  for (const { key, n, at } of split) {
    if (at < greatest - STRICT.disorderMs) behind.add(`${key} ${n}`);
    greatest = Math.max(greatest, at);
  }
  return behind;
}

function* expectedStrictSides(split: Records, output: readonly RowAt[]): Generator<ExpectedRow> {
  const behind = behindOf(split);
  const told = new Set(output.map(({ row }) => `${row.branch} ${row.key} ${row.of}`));
  const isOdd = ({ n }: TimedRecord): boolean => n % 2 === 1;
  for (const [key, records] of recordsByKey(split)) {
    const inTimeOf = function* (branch: string): Generator<ExpectedRow, Records> {
      const inTime: TimedRecord[] = [];
      for (const record of records) {
        const isLate = told.has(`${branch}-late ${key} ${record.n}`) && behind.has(`${key} ${record.n}`);
        if (isLate) yield { branch: `${branch}-late`, key, of: record.n, value: null };
        else inTime.push(record);
      }
      return inTime;
    };
    const grouped = yield* inTimeOf("strict-group");
    yield* expectedWindows("strict-group", key, grouped, {
      sizeMs: STRICT.sizeMs,
      timeOf: ({ at }) => at,
      madeOf: (all) => ({
        lefts: numbersOf(all.filter(isOdd)),
        rights: numbersOf(all.filter((one) => !isOdd(one))),
      }),
    });
    const paired = yield* inTimeOf("strict-interval");
    const evenOf = (all: Records): Records => all.filter((record) => !isOdd(record));
    yield* expectedPairs("strict-interval", key, paired.filter(isOdd), evenOf(paired));
    const versioned = yield* inTimeOf("strict-version");
    yield* expectedVersions("strict-version", key, versioned.filter(isOdd), evenOf(versioned));
  }
}

export function* expectedJoins(input: WorkloadInput, output: readonly RowAt[]): Generator<ExpectedRow> {
  const { splits } = input;
  const all = [...timedRecords(input.records, input.keys)];
  const pairs = new Set(all.map(pairOf));
  for (const key of pairs) {
    const both = all.filter((record) => pairOf(record) === key);
    const lefts = both.filter(isLeft);
    const rights = both.filter((record) => !isLeft(record));
    yield* expectedPairs("interval", key, lefts, rights);
    yield* expectedJoin(key, lefts, rights);
    yield* expectedGroups(key, lefts, rights);
    yield* expectedVersions("version", key, lefts, rights);
  }
  const timeOf = (record: TimedRecord): number => aheadOf(record, splits);
  for (const [key, records] of recordsByKey(all))
    yield* expectedWindows("uneven", key, records, { sizeMs: WINDOW_MS, timeOf, madeOf: numbersOf });
  yield* expectedStrictSides(
    all.filter((record) => splitOf(record, splits) === STRICT.split),
    output,
  );
}

export const joins: Workload = {
  name: "joins",
  load: 4,
  job: joinsJob,
  input: timedInput,
  check(input, output) {
    const rows = rowsOf(output);
    return checkRows(expectedJoins(input, rows), rows);
  },
};
