/** Jobs that go on with other windows: those that were open are finished at their own ends, or dropped. */
import { describe, expect, test } from "vitest";
import {
  ascendingTimestamps,
  calendarWindows,
  continuousEventTimeTrigger,
  countWindows,
  defineJob,
  type Job,
  type KeyedStream,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  valueState,
  type WindowAssigner,
  type WindowContext,
  type WindowOptions,
} from "../../../src/index.ts";
import { createTestHarness, type TestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}

type Keyed = KeyedStream<Item, string>;

function jobOf(build: (items: Keyed) => Stream<unknown>): Job {
  return defineJob("changing", {}, (job) => {
    const items = job
      .source<Item>("items", testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
      .keyBy(({ key }) => key);
    build(items).sink("out", testSink());
  });
}

const span = ({ key, window, firing, index }: WindowContext, sum: unknown) =>
  `${key} ${window.start}-${window.end} ${JSON.stringify(sum)} ${firing} ${index}`;
const counting = {
  createAccumulator: () => 0,
  add: (count: number) => count + 1,
  merge: (a: number, b: number) => a + b,
  getResult: (count: number) => count,
};
const { merge: _, ...unmergeable } = counting;

type How = (windows: WindowAssigner, options?: WindowOptions) => Job;

const sums: How = (windows, options) =>
  jobOf((items) =>
    items
      .window(windows, options)
      .aggregate("windows", counting, (sum, context) => span(context as never, sum)),
  );
const recordsInAggregates: How = (windows, options) =>
  jobOf((items) =>
    items
      .window(windows, options)
      .aggregate("windows", unmergeable, (sum, context) => span(context as never, sum)),
  );
const lists: How = (windows, options) =>
  jobOf((items) =>
    items.window(windows, options).process("windows", (all, context) =>
      span(
        context as never,
        all.map(({ at }) => at),
      ),
    ),
  );

const finishing = { migrateWindows: "finish-old" } as const;

async function push(harness: TestHarness, ...items: readonly (readonly [key: string, at: number])[]) {
  for (const [key, at] of items) await harness.push("items", { key, at });
}

/** What the second job answers. */
async function changed(
  before: Job,
  after: Job,
  begin: (harness: TestHarness) => Promise<void>,
  goOn: (harness: TestHarness) => Promise<void>,
): Promise<unknown[]> {
  const first = await createTestHarness(before);
  await begin(first);
  const snapshot = await first.snapshot();
  await first.close();
  const second = await createTestHarness(after, { restore: snapshot });
  await goOn(second);
  const out = second.output("out");
  await second.close();
  return out;
}

const opened = async (harness: TestHarness) => {
  await push(harness, ["a", 10], ["a", 20], ["b", 120], ["a", 130]);
  await harness.watermark("items", 99);
};
const goOn = async (harness: TestHarness) => {
  await push(harness, ["a", 135], ["a", 150]);
  await harness.watermark("items", 139);
  await harness.watermark("items", 199);
  await harness.end("items");
};
const size100 = tumblingWindows({ size: 100 });
const size70 = tumblingWindows({ size: 70 });

describe("finish-old", () => {
  test("open windows fire at their own ends, and new records come to new windows", async () => {
    expect(await changed(sums(size100), sums(size70, finishing), opened, goOn)).toEqual([
      "a 70-140 1 onTime 0",
      "b 100-200 1 onTime 0",
      "a 100-200 1 onTime 0",
      "a 140-210 1 onTime 0",
    ]);
  });

  test("they keep their records, apart from those of new windows that begin at the same time", async () => {
    const size200 = tumblingWindows({ size: 200, offset: 100 });
    expect(await changed(lists(size100), lists(size200, finishing), opened, goOn)).toEqual([
      "b 100-200 [120] onTime 0",
      "a 100-200 [130] onTime 0",
      "a 100-300 [135,150] onTime 0",
    ]);
  });

  test("windows that overlapped are finished one by one, whatever they held", async () => {
    const before = slidingWindows({ size: 100, slide: 50 });
    const expected = [
      "a 70-140 1 onTime 0",
      "b 50-150 1 onTime 0",
      "a 50-150 1 onTime 0",
      "b 100-200 1 onTime 0",
      "a 100-200 1 onTime 0",
      "a 140-210 1 onTime 0",
    ];
    for (const how of [sums, recordsInAggregates])
      expect((await changed(how(before), how(size70, finishing), opened, goOn)).toSorted()).toEqual(
        expected.toSorted(),
      );
  });

  test("sessions end when they would have ended, and new records do not join them", async () => {
    const before = sessionWindows({ gap: 30 });
    for (const how of [sums, recordsInAggregates])
      expect(await changed(how(before), how(sessionWindows({ gap: 20 }), finishing), opened, goOn)).toEqual([
        "b 120-150 1 onTime 0",
        "a 130-160 1 onTime 0",
        "a 135-170 2 onTime 0",
      ]);
    expect(await changed(lists(before), lists(size70, finishing), opened, goOn)).toEqual([
      "a 70-140 [135] onTime 0",
      "b 120-150 [120] onTime 0",
      "a 130-160 [130] onTime 0",
      "a 140-210 [150] onTime 0",
    ]);
  });

  test("another allowed lateness: what has fired does not fire again", async () => {
    const before = sums(size100, { allowedLateness: 50 });
    const after = sums(size100, { allowedLateness: 500, ...finishing });
    const out = await changed(before, after, opened, async (harness) => {
      await push(harness, ["a", 30]);
      await goOn(harness);
    });
    expect(out).toEqual([
      "a 0-100 1 late 0",
      "b 100-200 1 onTime 0",
      "a 100-200 1 onTime 0",
      "a 100-200 2 onTime 0",
    ]);
  });

  test("a second change before they have fired keeps those of both", async () => {
    const first = await createTestHarness(lists(size100));
    await opened(first);
    const second = await createTestHarness(lists(size70, finishing), { restore: first.snapshot() });
    await push(second, ["a", 135], ["a", 150]);
    const third = await createTestHarness(lists(sessionWindows({ gap: 10 }), finishing), {
      restore: second.snapshot(),
    });
    await push(third, ["a", 155]);
    await third.end("items");
    expect(third.output("out")).toEqual([
      "a 70-140 [135] onTime 0",
      "b 100-200 [120] onTime 0",
      "a 100-200 [130] onTime 0",
      "a 140-210 [150] onTime 0",
      "a 155-165 [155] onTime 0",
    ]);
    expect(third.pending()).toEqual([]);
    await Promise.all([first.close(), second.close(), third.close()]);
  });

  test("windows by the clock fire when it has passed their ends", async () => {
    const time = "processing" as const;
    const before = sums(tumblingWindows({ size: 100, time }));
    const after = sums(tumblingWindows({ size: 1_000, time }), finishing);
    const out = await changed(
      before,
      after,
      async (harness) => push(harness, ["a", 1], ["b", 2]),
      async (harness) => {
        await push(harness, ["a", 3]);
        await harness.advanceClock(101);
        await push(harness, ["a", 4]);
        expect(harness.output("out")).toEqual(["b 0-100 1 onTime 0", "a 0-100 1 onTime 0"]);
        await harness.advanceClock(1_000);
      },
    );
    expect(out).toEqual(["a 0-1000 2 onTime 0"]);
  });

  test("twice from one snapshot, and from one that was taken before anything came, it is the same", async () => {
    const first = await createTestHarness(sums(size100));
    await opened(first);
    const after = sums(size70, finishing);
    const snapshot = first.snapshot();
    const second = await createTestHarness(after, { restore: snapshot });
    const unchanged = second.snapshot();
    const answers = await Promise.all(
      [snapshot, snapshot, unchanged].map(async (restore) => {
        const harness = await createTestHarness(after, { restore });
        await goOn(harness);
        const out = harness.output("out");
        await harness.close();
        return out;
      }),
    );
    expect(answers[0]).toHaveLength(4);
    expect(answers[1]).toEqual(answers[0]);
    expect(answers[2]).toEqual(answers[0]);
    await Promise.all([first.close(), second.close()]);
  });

  test("the option may stay, and go when all have fired", async () => {
    const first = await createTestHarness(sums(size100));
    await opened(first);
    const second = await createTestHarness(sums(size70, finishing), { restore: first.snapshot() });
    await expect(createTestHarness(sums(size70), { restore: second.snapshot() })).rejects.toThrow(
      /still holds windows that it had before.*migrateWindows/,
    );
    const again = await createTestHarness(sums(size70, finishing), { restore: second.snapshot() });
    await again.watermark("items", 199);
    expect(again.output("out")).toEqual(["b 100-200 1 onTime 0", "a 100-200 1 onTime 0"]);
    const last = await createTestHarness(sums(size70), { restore: again.snapshot() });
    await push(last, ["a", 205]);
    await last.end("items");
    expect(last.output("out")).toEqual(["a 140-210 1 onTime 0"]);
    await Promise.all([first, second, again, last].map((harness) => harness.close()));
  });
});

/** Windows over the records of two streams. */
function bothSides(windows: WindowAssigner, options?: Pick<WindowOptions, "migrateWindows">): Job {
  return defineJob("changing", {}, (job) => {
    const [left, right] = ["left", "right"].map((id) =>
      job
        .source<Item>(id, testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
        .keyBy(({ key }) => key),
    );
    const timesOf = (items: readonly Item[]) => items.map(({ at }) => at).join(" ");
    left!
      .coGroup(right!)
      .window(windows, options)
      .process("windows", (lefts, rights, context) =>
        span(context as never, `${timesOf(lefts)}, ${timesOf(rights)}`),
      )
      .sink("out", testSink());
  });
}

describe("windows of two streams", () => {
  const beganBefore = async () => {
    const first = await createTestHarness(bothSides(size100));
    await first.push("left", { key: "a", at: 10 });
    await first.push("right", { key: "a", at: 130 });
    await first.push("left", { key: "a", at: 140 });
    for (const side of ["left", "right"]) await first.watermark(side, 99);
    expect(first.output("out")).toEqual(['a 0-100 "10, " onTime 0']);
    const snapshot = first.snapshot();
    await first.close();
    return snapshot;
  };
  const answers = async (after: Job) => {
    const second = await createTestHarness(after, { restore: await beganBefore() });
    await second.push("left", { key: "a", at: 50 });
    await second.push("right", { key: "a", at: 145 });
    await second.end();
    const out = second.output("out");
    expect(second.pending()).toEqual([]);
    await second.close();
    return out;
  };

  test.each([
    [size70, 'a 140-210 ", 145" onTime 0'],
    [sessionWindows({ gap: 30 }), 'a 145-175 ", 145" onTime 0'],
  ])("are finished with the records of each side: %j", async (windows, fired) => {
    const out = await answers(bothSides(windows, finishing));
    expect(out.toSorted()).toEqual(['a 100-200 "140, 130" onTime 0', fired]);
  });

  test("are dropped, and what was late is late", async () => {
    expect(await answers(bothSides(size70, { migrateWindows: "drop-old" }))).toEqual([
      'a 140-210 ", 145" onTime 0',
    ]);
  });

  test("are refused without the option", () =>
    expect(answers(bothSides(size70))).rejects.toThrow(
      /operator windows has windows .*say by migrateWindows/,
    ));
});

describe("calendar windows", () => {
  const days = calendarWindows({ every: "day", zone: "Europe/Berlin" });
  /** In local time; that day has 23 hours. */
  const [begins, ends] = [Date.parse("2026-03-29T00:00+01:00"), Date.parse("2026-03-30T00:00+02:00")];
  const hour = 3_600_000;

  test("end when their day does, also where it has 23 hours", async () => {
    const out = await changed(
      lists(days),
      lists(tumblingWindows({ size: "1 d" }), finishing),
      (harness) => push(harness, ["a", begins + 1], ["b", begins + hour]),
      async (harness) => {
        await push(harness, ["a", begins + 2 * hour]);
        await harness.watermark("items", ends - 2);
        expect(harness.output("out")).toEqual([]);
        await harness.watermark("items", ends - 1);
      },
    );
    expect(ends - begins).toBe(23 * hour);
    expect(out.toSorted()).toEqual([
      `a ${begins}-${ends} [${begins + 1}] onTime 0`,
      `b ${begins}-${ends} [${begins + hour}] onTime 0`,
    ]);
  });

  test.each([
    ["another zone", days, calendarWindows({ every: "day", zone: "UTC" }), "2026-03-29T00:00Z"],
    [
      "another length",
      days,
      calendarWindows({ every: "month", zone: "Europe/Berlin" }),
      "2026-03-01T00:00+01:00",
    ],
    ["days of UTC before", tumblingWindows({ size: "1 d" }), days, "2026-03-29T00:00+01:00"],
  ])("come in the place of others: %s", async (_, before, after, firstStart) => {
    const at = begins + 5 * hour;
    const starts: unknown[] = [];
    await changed(
      lists(before),
      lists(after, finishing),
      (harness) => push(harness, ["old", at]),
      async (harness) => {
        await push(harness, ["new", at]);
        await harness.end();
        starts.push(...harness.output("out").map((text) => String(text).split("-")[0]));
      },
    );
    const oldStart = before === days ? begins : Date.parse("2026-03-29T00:00Z");
    expect(starts.toSorted()).toEqual([`new ${Date.parse(firstStart)}`, `old ${oldStart}`]);
  });
});

describe("drop-old", () => {
  test("begins without the windows that were open, and knows still what is late", async () => {
    const after = sums(size70, { migrateWindows: "drop-old" });
    const out = await changed(sums(size100), after, opened, async (harness) => {
      await push(harness, ["late", 5]);
      await goOn(harness);
    });
    expect(out).toEqual(["a 70-140 1 onTime 0", "a 140-210 1 onTime 0"]);
  });

  test("keeps the states of keys, and takes windows of any kind", async () => {
    const seen = (windows: WindowAssigner, options: Pick<WindowOptions, "migrateWindows">) =>
      jobOf((items) =>
        items
          .window(windows, { ...options, keyState: { seen: valueState(0) } })
          .process("windows", (all, { key, keyState }) => {
            keyState.seen.set(keyState.seen.get() + all.length);
            return `${key} ${keyState.seen.get()}`;
          }),
      );
    const after = seen(sessionWindows({ gap: 10 }), { migrateWindows: "drop-old" });
    expect(await changed(seen(size100, {}), after, opened, goOn)).toEqual(["a 3", "a 4"]);
  });
});

describe("refused", () => {
  const refusal = (before: Job, after: Job) => expect(changed(before, after, opened, goOn)).rejects;

  test("other windows of which nothing is said", () =>
    refusal(sums(size100), sums(size70)).toThrow(
      /operator windows has windows \(tumbling 70 ms\) now and had others \(tumbling 100 ms\).*say by migrateWindows/,
    ));

  test.each([
    ["windows by count", sums(countWindows({ size: 5 })), sums(size70, finishing), /by count.*no end/],
    [
      "windows with a trigger",
      sums(size100, { trigger: continuousEventTimeTrigger(10) }),
      sums(size70, finishing),
      /a trigger.*"drop-old"/,
    ],
    [
      "windows in another time",
      sums(tumblingWindows({ size: 100, time: "processing" })),
      sums(size70, finishing),
      /that of processing and is that of event now/,
    ],
    ["records as aggregates", lists(size100), sums(size70, finishing), /hold records, and are to hold agg/],
    ["aggregates as records", sums(size100), lists(size70, finishing), /hold aggregates, and the window fun/],
    [
      "too many to finish",
      sums(slidingWindows({ size: 5_000, slide: 2 })),
      sums(size70, finishing),
      /each record lies in 2500 of them/,
    ],
  ])("%s", (_, before, after, message) => refusal(before, after).toThrow(message));

  test("a merge that is gone, when windows overlapped", () =>
    refusal(sums(slidingWindows({ size: 200, slide: 50 })), recordsInAggregates(size70, finishing)).toThrow(
      /operator "windows".*no merge any more/,
    ));

  test.each([
    [
      "another word",
      { migrateWindows: "keep" } as never,
      size70,
      /must be "finish-old" or "drop-old", got "keep"/,
    ],
    ["new windows by count", finishing, countWindows({ size: 2 }), /cannot finish others: take "drop-old"/],
    [
      "new windows with a trigger",
      { ...finishing, trigger: continuousEventTimeTrigger(1) },
      size70,
      /"drop-old"/,
    ],
  ] as [string, WindowOptions, WindowAssigner, RegExp][])("at build: %s", (_, options, windows, message) => {
    expect(() => sums(windows, options)).toThrow(message);
  });
});
