/** Other windows over stored state: what lies on the way to them, and what was restored and never cut again. */
import { expect, test } from "vitest";
import type { ChannelStateHandle, GraphPlan, SubtaskSnapshot } from "../../../machines/protocol.ts";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { PANES } from "../../../src/dataflow/operators/windows/contents.ts";
import { parseFormerWindows } from "../../../src/formats/positions/former-windows.ts";
import {
  ascendingTimestamps,
  defineJob,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowOptions,
} from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { planOf } from "../../../src/job/plan.ts";
import { planRestore, snapshotsFor } from "../../../src/job/restore/restore-plan.ts";
import { keyedHandle, manifestOf, subtaskSnapshot } from "../../support/job-record.ts";
import { testSink, testSource } from "../connectors.ts";

interface Bid {
  readonly item: string;
  readonly price: number;
}

const higher = (one: Bid, other: Bid) => (one.price > other.price ? one : other);

/** Two subtasks of operator "top". */
function planWith(windows: WindowAssigner, options: WindowOptions = {}, combine = false): GraphPlan {
  const job = defineJob("bids", { parallelism: 2 }, (builder) => {
    builder
      .source<Bid>("bids", testSource(), { watermarks: ascendingTimestamps() })
      .keyBy(({ item }) => item)
      .window(windows, options)
      .reduce("top", higher, undefined, { combine })
      .sink("out", testSink());
  });
  return planOf(buildGraph(job, resolveJobConfig(job.options).config));
}

const [ten, twenty] = [10, 20].map((size) => tumblingWindows({ size }));
const finishing = { migrateWindows: "finish-old" } as const;
const dropping = { migrateWindows: "drop-old" } as const;

const subtasks: readonly SubtaskSnapshot[] = [0, 1].map((index) => {
  const object = { name: `top-${index}`, bytes: 5, digest: "sha256:00" };
  const states = [{ ...keyedHandle("top", [object], index, 2), state: PANES }];
  return subtaskSnapshot({ subtask: `top/${index}`, states });
});
const cut = manifestOf(7, { subtasks });

const problemsOf = (was: GraphPlan, is: GraphPlan, manifest = cut, dropped: readonly string[] = []) =>
  planRestore({ plan: was, splits: {}, manifest }, is, dropped).problems;

test.each([finishing, dropping])(
  "records that were joined by their windows and lie in a channel are refused, and told what helps: %j",
  (option) => {
    const [was, is] = [planWith(ten!, {}, true), planWith(twenty!, option, true)];
    const [edge] = was.edges;
    const channel: ChannelStateHandle = {
      ...{ edge: edge!.id, from: 0, to: 1, records: 3 },
      ...{ bytes: 9, inline: null, object: null, offset: 0 },
    };
    const lying = manifestOf(7, {
      subtasks: subtasks.map((one) => (one.subtask === "top/1" ? { ...one, channels: [channel] } : one)),
    });
    expect(problemsOf(was, is, lying)).toEqual([
      expect.stringMatching(
        /^records that were joined by the windows of operator top lay on edge \S+: restore it with the windows that it had/,
      ),
    ]);
    // The same windows take them, and so do other ones of records that nothing has joined.
    expect(problemsOf(was, planWith(ten!, option, true), lying)).toEqual([]);
    expect(problemsOf(planWith(ten!), planWith(twenty!, option), lying)).toEqual([]);
    expect(problemsOf(was, is)).toEqual([]);
  },
);

/** The windows that are to be finished, by subtask. */
const formerIn = (snapshots: readonly SubtaskSnapshot[]) =>
  snapshots.flatMap(({ subtask, states }) =>
    states.flatMap((state) =>
      state.kind === "operator"
        ? state.entries.map((entry) => ({
            subtasks: [Number(subtask.split("/")[1]), ...(state.equalIn ?? [])],
            bounds: parseFormerWindows(entry, state.operator).bounds,
          }))
        : [],
    ),
  );

test("what was restored and never cut is still of the windows before, however often it is restored", () => {
  const [first, second] = [planWith(ten!), planWith(twenty!, finishing)];
  const third = planWith(slidingWindows({ size: 20, slide: 10 }), finishing);
  const once = manifestOf(1, { subtasks: snapshotsFor({ plan: first, manifest: cut }, second, []) });
  const former = formerIn(once.subtasks);
  expect(former).toEqual([
    { subtasks: [0, 1], bounds: first.vertices[1]!.operators[0]!.windowsPlan!.bounds },
  ]);
  for (const next of [second, third, planWith(ten!, finishing)]) {
    expect(problemsOf(second, next, once)).toEqual([]);
    const again = snapshotsFor({ plan: second, manifest: once }, next, []);
    expect(formerIn(again)).toEqual(former);
    expect(again.map(({ states }) => states.filter(({ kind }) => kind === "keyed"))).toEqual(
      once.subtasks.map(({ states }) => states.filter(({ kind }) => kind === "keyed")),
    );
  }
});

test("what is still to be finished is not forgotten: the option stays, or the state is dropped", () => {
  const [first, second] = [planWith(ten!), planWith(twenty!, finishing)];
  const once = manifestOf(1, { subtasks: snapshotsFor({ plan: first, manifest: cut }, second, []) });
  for (const forgetful of [planWith(twenty!), planWith(twenty!, dropping)])
    expect(problemsOf(second, forgetful, once)).toEqual([
      expect.stringMatching(/^operator top still holds windows that it had before: .*--drop top$/),
    ]);
  expect(problemsOf(second, planWith(twenty!), once, ["top"])).toEqual([]);
  const third = planWith(tumblingWindows({ size: 30 }), dropping);
  expect(problemsOf(second, third, once)).toEqual([]);
  expect(formerIn(snapshotsFor({ plan: second, manifest: once }, third, []))).toEqual([]);
});
