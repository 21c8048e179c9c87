/** What a job that starts tells of its windows: results that would be dropped behind them, and state that stays. */
import { describe, expect, test } from "vitest";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import {
  ascendingTimestamps,
  defineJob,
  type Job,
  type KeyedStream,
  type Stream,
  sessionWindows,
  tumblingWindows,
  valueState,
  type WindowOptions,
} from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { describePlan, planOf } from "../../../src/job/plan.ts";
import { lateFirings } from "../../../src/job/time/late-firings.ts";
import { testSink, testSource } from "../connectors.ts";

interface Bid {
  readonly auction: number;
  readonly price: number;
}

const keep = (a: Bid, b: Bid): Bid => (a.price < b.price ? b : a);
const auction = (bid: Bid) => bid.auction;

function jobOf(build: (bids: KeyedStream<Bid, number>) => Stream<unknown, never>): Job {
  return defineJob("bids", {}, (job) => {
    const bids = job.source<Bid>("bids", testSource(), { watermarks: ascendingTimestamps() }).keyBy(auction);
    build(bids).sink("out", testSink());
  });
}

const size = "1 min";
const twice = (first: WindowOptions, second: WindowOptions) =>
  jobOf((bids) =>
    bids
      .window(tumblingWindows({ size }), first)
      .reduce("minutes", keep)
      .map("same", (bid) => bid)
      .keyBy(auction)
      .window(sessionWindows({ gap: size }), second)
      .reduce("sessions", keep),
  );
const warningsOf = (job: Job) => lateFirings(job.operators);

describe("windows behind those that fire again for late records", () => {
  test("are told of, with both and what helps, unless they allow as much", () => {
    const lateness = { allowedLateness: "2 min" };
    expect(warningsOf(twice(lateness, {}))).toEqual([
      expect.stringMatching(
        /"minutes" fires again .*2 m.*"sessions" behind it .*late: give it as much allowedL/,
      ),
    ]);
    expect(warningsOf(twice(lateness, { allowedLateness: "1 min" }))).toEqual([
      expect.stringMatching(/takes these results for late after 1 m/),
    ]);
    expect(warningsOf(twice(lateness, lateness))).toEqual([]);
    expect(warningsOf(twice({}, {}))).toEqual([]);
    expect(warningsOf(twice({ allowedLateness: Number.POSITIVE_INFINITY }, lateness))).toHaveLength(1);
  });

  test("joins are, too; timestamps that are given anew, and windows in between, are the end of it", () => {
    const late = (bids: KeyedStream<Bid, number>) =>
      bids.window(tumblingWindows({ size }), { allowedLateness: "2 min" }).reduce("minutes", keep);
    const joined = jobOf((bids) =>
      late(bids)
        .keyBy(auction)
        .intervalJoin(bids)
        .between(0, 5)
        .process("pairs", (left) => left),
    );
    expect(warningsOf(joined)).toEqual([expect.stringMatching(/"minutes" .*"pairs" behind it/)]);
    const anew = jobOf((bids) =>
      late(bids)
        .assignTimestamps("anew", { timestamp: ({ price }) => price, watermarks: ascendingTimestamps() })
        .keyBy(auction)
        .window(tumblingWindows({ size }))
        .reduce("again", keep),
    );
    expect(warningsOf(anew)).toEqual([]);
  });
});

test("the plan names state that stays for keys which do not come again", () => {
  const shown = (build: Parameters<typeof jobOf>[0]) => {
    const job = jobOf(build);
    return describePlan(planOf(buildGraph(job, resolveJobConfig(job.options).config)));
  };
  const counting = (state: object, more: object = {}) =>
    shown((bids) => bids.process("count", { state, onRecord: () => {}, ...more } as never));
  expect(counting({ n: valueState(0) })).toMatch(
    /^state that stays\n +count +n +no time to live, and no timers: keys/m,
  );
  expect(counting({ n: valueState(0, { ttl: { after: "1 h" } }) })).not.toMatch("state that stays");
  expect(counting({ n: valueState(0) }, { onTimer: () => {} })).not.toMatch("state that stays");
  const windows = (keyState: object) =>
    shown((bids) =>
      bids.window(tumblingWindows({ size }), { keyState } as never).process("tops", () => undefined),
    );
  expect(windows({ best: valueState(0) })).toMatch(/^ +tops +key state best +windows leave it with its key/m);
  expect(windows({})).not.toMatch("state that stays");
});
