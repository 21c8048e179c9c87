/** Processing time that goes on from a snapshot (P96), as a user's test sees it. */
import { describe, expect, test } from "vitest";
import { createMachine, emit } from "xstate";
import {
  ascendingTimestamps,
  countTrigger,
  defineJob,
  type JobBuilder,
  type Stream,
  sessionWindows,
  tumblingWindows,
} from "../../src/index.ts";
import { createTestHarness, type HarnessSnapshot } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Click {
  readonly user: string;
  readonly at: number;
}

const HOUR_MS = 3_600_000;

const clicksOf = (job: JobBuilder) =>
  job
    .source<Click>("clicks", testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
    .keyBy(({ user }) => user);

/** Each click shows the clock, and has a timer for 250 ms later. */
const reminding = (replayClock?: "resume") =>
  defineJob("reminding", {}, (job) => {
    clicksOf(job)
      .process("remind", {
        state: {},
        ...(replayClock && { replayClock }),
        onRecord({ at }, { timers, currentProcessingTime, emit }) {
          timers.registerProcessingTimer(currentProcessingTime + 250);
          emit(`click ${at} at ${currentProcessingTime}`);
        },
        onTimer: ({ time }, { currentProcessingTime }) => `timer ${time} at ${currentProcessingTime}`,
      })
      .sink("out", testSink());
  });

type Harness = Awaited<ReturnType<typeof createTestHarness>>;

async function click(harness: Harness, at: number): Promise<void> {
  await harness.watermark("clicks", at - 1);
  await harness.push("clicks", { user: "ann", at });
}

const out = (harness: Harness): unknown[] => harness.output("out");

/** The job has run until 1000 by both times, with one timer pending for 1250. */
async function cutAt1000(job = reminding("resume")): Promise<HarnessSnapshot> {
  const before = await createTestHarness(job, { nowMs: 1000 });
  await click(before, 1000);
  return before.snapshot();
}

describe("a clock that resumes", () => {
  test("shows records and timers the times that they had, and those in their order", async () => {
    const undisturbed = await createTestHarness(reminding("resume"), { nowMs: 1000 });
    for (const at of [1000, 1100, 1200, 1300, 1400, 1500]) {
      await undisturbed.advanceClock(at - undisturbed.nowMs);
      await click(undisturbed, at);
    }
    const again = await createTestHarness(reminding("resume"), {
      restore: await cutAt1000(),
      nowMs: HOUR_MS,
    });
    await again.advanceClock(0);
    expect(out(again)).toEqual([]);
    for (const at of [1100, 1200, 1300, 1400, 1500]) await click(again, at);
    // The clock goes on with each watermark, so a timer sees it as late as the next one.
    const withoutClock = (one: unknown) => String(one).replace(/(timer .*) at .*/, "$1");
    const shown = out(again);
    expect(shown.map(withoutClock)).toEqual(out(undisturbed).slice(1).map(withoutClock));
    expect(shown).toEqual([
      "click 1100 at 1100",
      "click 1200 at 1200",
      "timer 1250 at 1300",
      "click 1300 at 1300",
      "timer 1350 at 1400",
      "click 1400 at 1400",
      "timer 1450 at 1500",
      "click 1500 at 1500",
    ]);
  });

  test("is not there by default: all that is due fires at once, in front of the records", async () => {
    const again = await createTestHarness(reminding(), {
      restore: await cutAt1000(reminding()),
      nowMs: HOUR_MS,
    });
    await again.advanceClock(0);
    await click(again, 1100);
    expect(out(again)).toEqual([`timer 1250 at ${HOUR_MS}`, `click 1100 at ${HOUR_MS}`]);
  });

  test("is as fast as the wall clock where event time does not go on", async () => {
    const again = await createTestHarness(reminding("resume"), {
      restore: await cutAt1000(),
      nowMs: HOUR_MS,
    });
    await again.advanceClock(250);
    expect(out(again)).toEqual([]);
    await again.advanceClock(1);
    expect(out(again)).toEqual(["timer 1250 at 1251"]);
  });

  test("is the wall clock when event time has caught up, and never ahead of it", async () => {
    const again = await createTestHarness(reminding("resume"), {
      restore: await cutAt1000(),
      nowMs: 5000,
    });
    for (const at of [4900, 5200, 9000]) await click(again, at);
    expect(out(again)).toEqual([
      "timer 1250 at 4900",
      "click 4900 at 4900",
      "click 5200 at 5000",
      "click 9000 at 5000",
    ]);
    await again.advanceClock(10);
    await click(again, 9001);
    expect(out(again).at(-1)).toBe("click 9001 at 5010");
  });

  test("is the wall clock when the input has become idle", async () => {
    const again = await createTestHarness(reminding("resume"), {
      restore: await cutAt1000(),
      nowMs: HOUR_MS,
    });
    await again.idle("clicks");
    await click(again, 1100);
    expect(out(again)).toEqual([`timer 1250 at ${HOUR_MS}`, `click 1100 at ${HOUR_MS}`]);
  });

  test("goes on from a snapshot that was taken before it had caught up", async () => {
    const second = await createTestHarness(reminding("resume"), {
      restore: await cutAt1000(),
      nowMs: HOUR_MS,
    });
    await click(second, 1100);
    const third = await createTestHarness(reminding("resume"), {
      restore: await second.snapshot(),
      nowMs: 2 * HOUR_MS,
    });
    await click(third, 1200);
    await click(third, 1300);
    expect(out(third)).toEqual(["click 1200 at 1200", "timer 1250 at 1300", "click 1300 at 1300"]);
  });

  test("begins with event time where that had not begun at the cut", async () => {
    const before = await createTestHarness(reminding("resume"), { nowMs: 1000 });
    await before.push("clicks", { user: "ann", at: 1000 });
    const again = await createTestHarness(reminding("resume"), {
      restore: await before.snapshot(),
      nowMs: HOUR_MS,
    });
    await click(again, 50_001);
    await click(again, 50_301);
    expect(out(again)).toEqual(["click 50001 at 1000", "timer 1250 at 1300", "click 50301 at 1300"]);
  });

  test("is the wall clock where that was ahead on another machine, or nothing is stored of it", async () => {
    const behind = await createTestHarness(reminding("resume"), { restore: await cutAt1000(), nowMs: 400 });
    await click(behind, 1100);
    const without = await cutAt1000(reminding());
    const added = await createTestHarness(reminding("resume"), { restore: without, nowMs: HOUR_MS });
    await click(added, 1100);
    expect([out(behind), out(added)]).toEqual([["click 1100 at 400"], [`click 1100 at ${HOUR_MS}`]]);
  });
});

test("windows by processing time get the records that they had", async () => {
  const counting = (replayClock?: "resume") =>
    defineJob("counting", {}, (job) => {
      clicksOf(job)
        .window(tumblingWindows({ size: "1 s", time: "processing" }), { ...(replayClock && { replayClock }) })
        .aggregate(
          "perSecond",
          { createAccumulator: () => 0, add: (count: number) => count + 1, getResult: (count) => count },
          (count, { window }) => `${window.start}: ${count}`,
        )
        .sink("out", testSink());
    });
  const run = async (replayClock?: "resume") => {
    const before = await createTestHarness(counting(replayClock), { nowMs: 1000 });
    await click(before, 1000);
    const again = await createTestHarness(counting(replayClock), {
      restore: await before.snapshot(),
      nowMs: HOUR_MS,
    });
    for (const at of [1300, 1900, 2200, 3100, 3200, 3300, 4000]) await click(again, at);
    await again.end();
    return out(again);
  };
  expect(await run("resume")).toEqual(["1000: 3", "2000: 1", "3000: 3", "4000: 1"]);
  expect(await run()).toEqual(["1000: 1", `${HOUR_MS}: 7`]);
});

const inWindows = { replayClock: "resume" } as const;
const startOf = (_: unknown, { window }: { readonly window: { readonly start: number } }) => window.start;

test.each<[string, (clicks: ReturnType<typeof clicksOf>) => Stream<number>]>([
  [
    "windows with a trigger",
    (clicks) =>
      clicks
        .window(tumblingWindows({ size: "1 s", time: "processing" }), {
          ...inWindows,
          trigger: countTrigger(2),
        })
        .process("op", startOf),
  ],
  [
    "sessions",
    (clicks) =>
      clicks.window(sessionWindows({ gap: "1 s", time: "processing" }), inWindows).process("op", startOf),
  ],
  [
    "a join in windows",
    (clicks) =>
      clicks
        .join(clicks)
        .window(tumblingWindows({ size: "1 s", time: "processing" }), inWindows)
        .process("op", (left, _, context) => startOf(left, context)),
  ],
  [
    "a process of two streams",
    (clicks) =>
      clicks.connect(clicks).process("op", {
        state: {},
        replayClock: "resume",
        onFirst: (_, { currentProcessingTime }) => currentProcessingTime,
        onSecond: () => undefined,
      }),
  ],
])("%s: the clock resumes there, too", async (_, build) => {
  const job = defineJob("any", {}, (builder) => void build(clicksOf(builder)).sink("out", testSink()));
  const before = await createTestHarness(job, { nowMs: 1000 });
  await click(before, 1000);
  const again = await createTestHarness(job, { restore: before.snapshot(), nowMs: HOUR_MS });
  for (const at of [3000, 3100, 5000]) await click(again, at);
  await again.end();
  const found = out(again) as number[];
  expect(found.length).toBeGreaterThan(1);
  expect(found.filter((startMs) => startMs > 5000)).toEqual([]);
});

test("the delays of a machine end among the events that they ended among before", async () => {
  const machine = createMachine({
    id: "session",
    initial: "open",
    states: {
      open: { on: { CLICK: { target: "open", reenter: true } }, after: { 250: "closed" } },
      closed: { entry: emit({ type: "closed" }), on: { CLICK: "open" } },
    },
  });
  const sessions = defineJob("sessions", {}, (job) => {
    clicksOf(job)
      .machine("session", {
        machine,
        event: () => ({ type: "CLICK" }),
        time: "processing",
        replayClock: "resume",
      })
      .sink("out", testSink());
  });
  const snapshot = await cutAt1000(sessions);
  const again = await createTestHarness(sessions, { restore: snapshot, nowMs: HOUR_MS });
  for (const at of [1200, 1400]) await click(again, at);
  expect(out(again)).toEqual([]);
  await click(again, 1700);
  expect(out(again)).toEqual([{ type: "closed" }]);
});

describe("refused by name", () => {
  const none = { state: {}, onRecord() {} };

  test("another value than resume, of process and of windows", () => {
    const wrong = 'replayClock must be "resume" (or left out: the worker\'s clock), is the text "pause"';
    expect(() =>
      defineJob("j", {}, (job) => {
        clicksOf(job).process("p", { ...none, replayClock: "pause" as never });
      }),
    ).toThrow(`operator "p": ${wrong}`);
    expect(() =>
      defineJob("j", {}, (job) => {
        const windows = tumblingWindows({ size: 5, time: "processing" });
        clicksOf(job)
          .window(windows, { replayClock: "pause" as never })
          .reduce("w", (one) => one);
      }),
    ).toThrow(`operator "w": ${wrong}`);
  });

  test("a source in front of it that has no watermarks", () => {
    expect(() =>
      defineJob("j", {}, (job) => {
        job
          .source<Click>("clicks", testSource())
          .keyBy(({ user }) => user)
          .process("p", { ...none, replayClock: "resume" })
          .sink("out", testSink());
      }),
    ).toThrow(/operator "p": replayClock "resume" catches up with event time, and source "clicks"/);
  });

  test("windows that use no clock", () => {
    expect(() =>
      defineJob("j", {}, (job) => {
        clicksOf(job)
          .window(tumblingWindows({ size: 5 }), { replayClock: "resume" })
          .reduce("w", (one) => one);
      }),
    ).toThrow('operator "w": replayClock is for windows by processing time');
  });
});
