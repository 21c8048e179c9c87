/**
 * Values, times and answers that mean nothing, as a stranger brings them: each is refused by the name of the operator
 * and of the place, before anything is made of it, and no rejection is left behind that would end a process.
 */
import { afterAll, describe, expect, test } from "vitest";
import { setup } from "xstate";
import {
  ascendingTimestamps,
  broadcastState,
  calendarWindows,
  cumulateWindows,
  defineJob,
  type JobBuilder,
  type KeyedStream,
  NO_TIMESTAMP,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type,
  valueState,
} from "../../src/index.ts";
import { createTestHarness, type TestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}

const YEAR = 365.25 * 86_400_000;
const FARTHEST = 250_000 * YEAR;
const rejected = () => Promise.reject(new Error("no caller waits for this"));

const unhandled: unknown[] = [];
const note = (error: unknown) => void unhandled.push(error);
process.on("unhandledRejection", note);
afterAll(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  expect(unhandled).toEqual([]);
});

const jobOf = (build: (items: Stream<Item>, job: JobBuilder) => Stream<unknown, never>) =>
  defineJob("strange", {}, (job) => {
    const items = job.source<Item>("items", testSource(), {
      timestamp: ({ at }) => at,
      watermarks: ascendingTimestamps(),
    });
    build(items, job).sink("out", testSink());
  });

const keyedJob = (build: (items: KeyedStream<Item, string>, job: JobBuilder) => Stream<unknown, never>) =>
  jobOf((items, job) => build(items.keyBy(({ key }) => key) as KeyedStream<Item, string>, job));

async function running<R>(
  job: ReturnType<typeof jobOf>,
  act: (harness: TestHarness) => Promise<R>,
): Promise<R> {
  const harness = await createTestHarness(job);
  try {
    return await act(harness);
  } finally {
    await harness.close();
  }
}

const item = (at: unknown = 1, key = "ann") => ({ key, at });

describe("times", () => {
  const strange: [string, unknown, string][] = [
    ["NaN", Number.NaN, "the number NaN"],
    ["infinite", Number.POSITIVE_INFINITY, "the number Infinity"],
    ["half a ms", 1.5, "the number 1.5"],
    ["a text", "2026-01-01", "a text of 10 characters"],
    ["a Date", new Date(5), "a Date"],
    ["a bigint", 5n, "a bigint"],
    ["missing", undefined, "undefined"],
    ["a promise", rejected, "a promise"],
    ["the largest integer", Number.MAX_SAFE_INTEGER, "the number 9007199254740991"],
    ["the smallest integer", Number.MIN_SAFE_INTEGER, "the number -9007199254740991"],
    ["a year later than any", FARTHEST + 1, `the number ${FARTHEST + 1}`],
  ];
  const given = (at: unknown) => (typeof at === "function" ? at() : at);

  test.each(strange)("of a source: %s", async (_, at, words) => {
    const job = keyedJob((items) => items.window(tumblingWindows({ size: 10 })).process("count", () => 1));
    await running(job, async (harness) => {
      await expect(harness.push("items", { key: "ann", at: given(at) })).rejects.toThrow(
        `operator "items" failed: timestamp answered ${words}; a whole number of ms since 1970`,
      );
      await expect(harness.push("items", item())).rejects.toThrow("the job has failed in this harness");
    });
  });

  test("of a source whose function throws", async () => {
    const job = defineJob("strange", {}, (builder) => {
      const timestamp = () => {
        throw new Error("no time here");
      };
      builder
        .source("items", testSource(), { timestamp, watermarks: ascendingTimestamps() })
        .sink("out", testSink());
    });
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow('operator "items" failed: no time here');
    });
  });

  test.each(strange)("given out by a function: %s", async (_, at) => {
    const job = keyedJob((items) =>
      items.process("emit", {
        state: {},
        onRecord: (_item, { emit }) => emit("late", given(at) as number),
      }),
    );
    // undefined and Infinity mean something there.
    if (at === undefined || at === Number.POSITIVE_INFINITY) return;
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(
        /operator "emit" failed: emit was given as timestamp .*; needed is a whole number of ms since 1970/,
      );
    });
  });

  test.each(strange)("of a timer: %s", async (_, at) => {
    const job = keyedJob((items) =>
      items.process("wait", {
        state: {},
        onRecord: (_item, { timers }) => timers.registerProcessingTimer(given(at) as number),
        onTimer: () => 1,
      }),
    );
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(
        /operator "wait" failed: registerProcessingTimer was given as time .*; needed is a whole number of ms since 1970/,
      );
    });
  });

  test("of the test itself", async () => {
    await running(
      jobOf((items) => items.map("same", (one) => one)),
      async (harness) => {
        await expect(harness.watermark("items", Number.NaN)).rejects.toThrow(
          'watermark of source "items" is the number NaN; needed is a whole number of ms',
        );
        await expect(harness.push("items", item(), 0.5)).rejects.toThrow(
          /push to source "items": the timestamp is/,
        );
        await harness.push("items", item(), NO_TIMESTAMP);
        expect(harness.output("out")).toEqual([item()]);
      },
    );
  });

  test.each([
    ["tumbling", tumblingWindows({ size: 10 }), 1],
    ["sliding", slidingWindows({ size: 10, slide: 5 }), 2],
    ["cumulating", cumulateWindows({ size: 10, step: 5 }), 2],
    ["sessions", sessionWindows({ gap: 10 }), 1],
    ["of the calendar", calendarWindows({ every: "month", zone: "Europe/Berlin" }), 1],
    ["as long as can be", tumblingWindows({ size: 100 * YEAR }), 1],
  ])("as far away as they may be have windows: %s", async (_, windows, firings) => {
    const job = keyedJob((items) =>
      items.window(windows).process("count", (records, { window }) => [window.start, records.length]),
    );
    await running(job, async (harness) => {
      for (const at of [-FARTHEST, FARTHEST]) await harness.push("items", item(at, String(at)));
      await harness.end();
      const fired = harness.output<[number, number]>("out");
      expect(fired.map(([, records]) => records)).toEqual(new Array(2 * firings).fill(1));
      for (const [start] of fired) expect(Math.abs(Math.abs(start) - FARTHEST)).toBeLessThan(101 * YEAR);
    });
  });

  test("at the end of input are none for a window: what to do is said", async () => {
    const job = keyedJob((items) =>
      items
        .process("atEnd", {
          state: {},
          output: type<string>(),
          timestamps: "required",
          onRecord: (_item, { timers }) => timers.registerEventTimer(Number.POSITIVE_INFINITY),
          onTimer: (_timer, { key, emit }) => emit(key),
        })
        .keyBy((key) => key)
        .window(tumblingWindows({ size: 10 }))
        .process("count", () => 1),
    );
    await running(job, async (harness) => {
      await harness.push("items", item());
      await expect(harness.end()).rejects.toThrow(
        /operator "count" failed: a record has the timestamp Infinity.*give it to emit\(value, timestamp\)/,
      );
    });
  });

  test.each<[string, unknown, string]>([
    ["nothing", 0, "a number"],
    ["a text", "5 s", "a text of 3 characters"],
    ["longer than a life", 101 * YEAR, "a number"],
    ["a promise", rejected, "a promise"],
  ])("gaps of sessions: %s", async (_, gap, words) => {
    const windows = sessionWindows<Item>({ gap: () => given(gap) as number });
    const job = keyedJob((items) => items.window(windows).process("count", () => 1));
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(
        `operator "count" failed: gap of its sessionWindows must answer a whole number of ms, from 1 to 100 years; it ` +
          `answered ${words}`,
      );
    });
  });
});

describe("promises where nothing waits", () => {
  const words = /must not be async, it returned a promise.*ask other services in async\(id, \{ request \}\)/;

  test.each(["onRecord", "onTimer", "onEnd", "onFinish", "onExpire"])("%s", async (member) => {
    const job = keyedJob((items) =>
      items.process("wait", {
        state: { last: valueState(0, { ttl: { after: 5, time: "event" } }), stays: valueState(0) },
        onRecord: (_item, { state, timers }) => {
          state.last.set(1);
          state.stays.set(1);
          timers.registerEventTimer(3);
        },
        onTimer: () => {},
        [member]: rejected,
      }),
    );
    await running(job, async (harness) => {
      const act = async () => {
        await harness.push("items", item());
        await harness.watermark("items", 10);
        await harness.push("items", item(20));
        await harness.end();
      };
      const failure = await act().catch((error: unknown) => String(error));
      expect(failure).toMatch(`operator "wait" failed: ${member} `);
      expect(failure).toMatch(words);
    });
  });

  test("a key selector, asked twice", async () => {
    const job = jobOf((items) =>
      items.keyBy(rejected as never).process("count", { state: {}, onRecord: () => 1 }),
    );
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(
        'operator "count" failed: a key selector returned a promise; keys are strings',
      );
    });
  });

  test("the event of a machine, and its context", async () => {
    const { assign, createMachine } = setup({ types: { context: {} as { seen: unknown } } });
    const machine = createMachine({
      context: { seen: 0 },
      on: { SEE: { actions: assign({ seen: rejected }) } },
    });
    for (const [event, words] of [
      [rejected, "event answered a promise; an event is needed"],
      [
        () => ({ type: "SEE" }),
        'what is set as state "actors of the machine" cannot be carried: field "context.seen" is a',
      ],
    ] as const) {
      const job = keyedJob((items) => items.machine("see", { machine, event: event as never }));
      await running(job, async (harness) => {
        await expect(harness.push("items", item())).rejects.toThrow(`operator "see" failed: ${words}`);
      });
    }
  });
});

describe("requests", () => {
  const asking = (request: () => unknown, more: object = {}) =>
    keyedJob((items) => items.async("ask", { request, ...more }));

  test.each<[string, () => unknown, string]>([
    ["nothing", () => undefined, "request answered undefined: a record is needed"],
    ["null", async () => null, "request answered null: a record is needed"],
    ["an array with a hole", async () => [1, undefined], "request answered undefined in an array"],
    ["a generator", async function* () {}, "request answered an async generator: a record is needed"],
    ["a function", async () => () => 1, "request answered a function: a record is needed"],
    [
      "promises in an array",
      async () => [rejected()],
      "request answered an array with promises in it: await Promise.all",
    ],
    [
      "a throw",
      () => rejected(),
      "the request for an object failed in attempt 1 of 1: no caller waits for this",
    ],
  ])("that answer %s", async (_, request, words) => {
    await running(asking(request), async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(`operator "ask" failed: ${words}`);
    });
  });

  test("that change their record are told so", async () => {
    const job = keyedJob((items) =>
      items.async("ask", { request: async (one) => Object.assign(one, { asked: true }) }),
    );
    await running(job, async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(/never changed in place: make a new one/);
    });
  });

  test.each<[string, () => unknown, string]>([
    [
      "throws",
      () => {
        throw new Error("which?");
      },
      "retries.when threw: which?",
    ],
    ["answers nothing", () => {}, "retries.when answered undefined, and true or false is needed"],
    ["answers a promise", rejected, "retries.when answered a promise, and true or false is needed"],
  ])("whose `when` %s are not repeated, and both are told", async (_, when, words) => {
    let calls = 0;
    const request = () => {
      calls++;
      throw new Error("busy");
    };
    await running(asking(request, { retries: { attempts: 3, when } }), async (harness) => {
      await expect(harness.push("items", item())).rejects.toThrow(
        `operator "ask" failed: the request for an object failed in attempt 1 of 3: busy; and ${words}`,
      );
    });
    expect(calls).toBe(1);
  });

  test("that are opened by what never ends: the bound counts real time", async () => {
    const job = keyedJob((items) =>
      items.async("ask", { open: () => new Promise(() => {}), request: () => 1 }, { openTimeout: 20 }),
    );
    await expect(createTestHarness(job)).rejects.toThrow(
      'operator "ask" failed: open of subtask 0: has not ended within 20 ms (openTimeout)',
    );
  });
});

test.each(["state", "timers"] as const)(
  "onBroadcast that asks for %s is told that it has no key",
  async (member) => {
    const job = keyedJob((items, builder) =>
      items.connect(builder.source<Item>("rules", testSource()).broadcast()).process("match", {
        broadcast: { rules: broadcastState() },
        state: { seen: valueState(0) },
        onRecord: () => 1,
        onBroadcast: (_rule, context) =>
          (context as unknown as Record<string, { seen: unknown }>)[member]!.seen,
      }),
    );
    await running(job, async (harness) => {
      await expect(harness.push("rules", item())).rejects.toThrow(
        `operator "match" failed: onBroadcast has no key, and so no ${member}: forEachKey`,
      );
    });
  },
);
