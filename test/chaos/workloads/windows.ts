/**
 * Windows of event time over input that is out of order: tumbling, sliding and session windows of all splits, in which
 * nothing is late, and tumbling windows of one split with a bound that is too small for its disorder. A watermark
 * behind each record of that one split makes it exact which of its records fire a window again and which are late.
 */
import {
  defineJob,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
} from "../../../src/index.ts";
import { nextFold, splitOf } from "../../support/graphs/keyed-count.ts";
import { checkRows, type ExpectedRow, type Row } from "../verdict.ts";
import { expectedStrict, floorTo, STRICT, strictBranch } from "./strict.ts";
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

const TUMBLING_MS = 1000;
const SLIDING_MS = 1000;
const SLIDE_MS = 250;
const GAP_MS = 700;

function branches(records: Stream<TimedRecord>): Stream<Row> {
  const byKey = records.keyBy(({ key }) => key);
  const tumbling = byKey.window(tumblingWindows({ size: TUMBLING_MS })).aggregate(
    "tumbling",
    {
      createAccumulator: () => ({ count: 0, fold: 0 }),
      add: ({ count, fold }, { n }) => ({ count: count + 1, fold: nextFold(fold, n) }),
      getResult: (result) => result,
    },
    (value, { key, window }): Row => ({ branch: "tumbling", key, of: window.start, value }),
  );
  const sliding = byKey.window(slidingWindows({ size: SLIDING_MS, slide: SLIDE_MS })).aggregate(
    "sliding",
    {
      createAccumulator: () => ({ count: 0, squares: 0 }),
      add: ({ count, squares }, { n }) => ({ count: count + 1, squares: squares + n * n }),
      merge: (a, b) => ({ count: a.count + b.count, squares: a.squares + b.squares }),
      getResult: (result) => result,
    },
    (value, { key, window }): Row => ({ branch: "sliding", key, of: window.start, value }),
  );
  const sessions = byKey
    .window(sessionWindows({ gap: GAP_MS }))
    .process("sessions", (records, { key, window: { start, end } }): Row => {
      const numbers = records.map(({ n }) => n).sort((a, b) => a - b);
      return { branch: "sessions", key, of: start, value: { end, numbers } };
    });
  return tumbling.union(sliding, sessions);
}

function windowsJob(options: WorkloadOptions) {
  return defineJob(options.name, jobOptionsOf(options), (job) => {
    const all = timedSource(job, "read", options);
    const one = timedSource(job, "read-strict", options, {
      splits: [STRICT.split],
      disorderMs: STRICT.disorderMs,
      parallelism: 1,
    });
    sinkRows(branches(all).union(strictBranch(one)), options);
  });
}

function* expectedTumbling(key: string, records: readonly TimedRecord[]): Generator<ExpectedRow> {
  const windows = new Map<number, { count: number; fold: number }>();
  for (const { n, at } of records) {
    const start = floorTo(at, TUMBLING_MS);
    const { count, fold } = windows.get(start) ?? { count: 0, fold: 0 };
    windows.set(start, { count: count + 1, fold: nextFold(fold, n) });
  }
  for (const [start, value] of windows) yield { branch: "tumbling", key, of: start, value, rank: start };
}

function* expectedSliding(key: string, records: readonly TimedRecord[]): Generator<ExpectedRow> {
  const windows = new Map<number, { count: number; squares: number }>();
  for (const { n, at } of records)
    for (let start = floorTo(at, SLIDE_MS); start > at - SLIDING_MS; start -= SLIDE_MS) {
      const { count, squares } = windows.get(start) ?? { count: 0, squares: 0 };
      windows.set(start, { count: count + 1, squares: squares + n * n });
    }
  for (const [start, value] of windows) yield { branch: "sliding", key, of: start, value, rank: start };
}

function* expectedSessions(key: string, records: readonly TimedRecord[]): Generator<ExpectedRow> {
  const byTime = [...records].sort((a, b) => a.at - b.at);
  for (let from = 0; from < byTime.length; ) {
    let to = from + 1;
    // Sessions that only touch are one, too.
    while (to < byTime.length && byTime[to]!.at <= byTime[to - 1]!.at + GAP_MS) to++;
    const numbers = byTime
      .slice(from, to)
      .map(({ n }) => n)
      .sort((a, b) => a - b);
    const start = byTime[from]!.at;
    const value = { end: byTime[to - 1]!.at + GAP_MS, numbers };
    yield { branch: "sessions", key, of: start, value, rank: start };
    from = to;
  }
}

/** What an undisturbed run writes, by plain loops over its input. */
export function* expectedWindows(input: WorkloadInput): Generator<ExpectedRow> {
  const all = [...timedRecords(input.records, input.keys)];
  for (const [key, records] of recordsByKey(all)) {
    yield* expectedTumbling(key, records);
    yield* expectedSliding(key, records);
    yield* expectedSessions(key, records);
  }
  yield* expectedStrict(all.filter((record) => splitOf(record, input.splits) === STRICT.split));
}

export const windows: Workload = {
  name: "windows",
  load: 2,
  job: windowsJob,
  input: timedInput,
  check: (input, output) => checkRows(expectedWindows(input), rowsOf(output)),
};
