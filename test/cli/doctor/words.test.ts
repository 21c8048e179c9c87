/** What `status` and `doctor` say of event time and of a job that does not do well, in words. */
import { describe, expect, test } from "vitest";
import { diagnose } from "../../../src/cli/doctor/diagnosis.ts";
import { eventTimeLines } from "../../../src/cli/output/event-time.ts";
import type { OperatorsTime, TimeHolder } from "../../../src/control/event-time-messages.ts";
import { report } from "../job-report.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const MINUTE = 60_000;

const holder = (changes: Partial<TimeHolder> = {}): TimeHolder => ({
  operator: "orders",
  subtask: "orders/1",
  split: "eu",
  watermark: null,
  sinceMs: NOW - 3 * MINUTE,
  reason: "noRecord",
  ...changes,
});

const time = (changes: Partial<OperatorsTime> = {}): OperatorsTime => ({
  operators: ["count", "out"],
  status: "active",
  watermark: NOW - 12_000,
  sinceMs: NOW - 3 * MINUTE,
  holders: [],
  holdersMore: 0,
  ...changes,
});

const lines = (changes: Partial<OperatorsTime>) => eventTimeLines([time(changes)], NOW);

describe("status", () => {
  test.each([
    [{}, "2026-03-01T11:59:48.000Z, 12 s behind the clock"],
    [{ watermark: NOW + 2 * MINUTE }, "2026-03-01T12:02:00.000Z, 2 m ahead of the clock"],
    [{ watermark: null }, "none yet"],
    [{ watermark: null, status: "idle" }, "none yet, idle"],
    [{ status: "idle" }, "2026-03-01T11:59:48.000Z, 12 s behind the clock, idle"],
    [{ watermark: null, status: "ended" }, "at its end"],
    [{ watermark: -9e15 }, /^-9000000000000000, \d+ d behind the clock$/],
  ] as const)("tells how far event time is: %j", (changes, words) => {
    const [line, ...more] = lines(changes);
    expect(line!.replace(/^event time {3}count, out: /, "")).toMatch(words);
    expect(more).toEqual([]);
  });

  const nothing = { pending: 0 };
  test.each([
    [{ ...nothing }, "no record has come yet, and nothing is pending; it is never taken for idle"],
    [{ idleAfterMs: 60_000 }, "no record has come yet; it is idle after 1 m without one"],
    [
      { watermark: 5, ...nothing },
      "no record has come since the job was started last, and nothing is pending; it is never taken for idle",
    ],
    [
      { reason: "silent", lastRecordMs: NOW - 4 * MINUTE, pending: 1200, idleAfterMs: 1 },
      "no record has come for 4 m, and 1,200 messages are pending; so it is not idle",
    ],
    [
      { reason: "noProgress", lastRecordMs: NOW - 1000 },
      "records come, the last one 1 s ago, and none has given it a watermark",
    ],
    [
      { reason: "noProgress", lastRecordMs: NOW - 1000, watermark: 4 },
      "records come, the last one 1 s ago, and none has moved its watermark",
    ],
    [{ reason: "noWatermarks" }, "the source makes no watermarks"],
    [{ reason: "paused" }, "it waits for slower splits"],
    [{ reason: "noRoom" }, "it is not read, because what is behind it takes no more records"],
    [{ reason: "stopped" }, "the job takes no input at present"],
  ] as const)("tells why a split holds it: %j", (changes, words) => {
    expect(lines({ holders: [holder(changes)] }).slice(1)).toEqual([
      `             held by split eu of source orders (orders/1) for 3 m: ${words}`,
    ]);
  });

  test.each([
    [
      { reason: "requests", requests: 3 },
      "requests of operator ask (ask/0) for 3 m: event time goes out behind 3 records whose requests have no answer yet",
    ],
    [
      { reason: "requests" },
      "requests of operator ask (ask/0) for 3 m: it takes no more records until some have their answers",
    ],
    [
      { reason: "firing" },
      "operator ask (ask/0) for 3 m: what is due there, such as timers and windows, is being worked off",
    ],
    [
      { reason: "rules" },
      "operator ask (ask/0) for 3 m: one of its inputs is held back until another one has brought something",
    ],
  ] as const)("tells what in a subtask holds it: %j", (changes, words) => {
    const { split: _, ...own } = holder(changes);
    const [, line] = lines({ holders: [{ ...own, operator: "ask", subtask: "ask/0" }] });
    expect(line!.trim()).toBe(`held by ${words}`);
  });

  test("names who is last where event time goes on, and a few of many that hold it", () => {
    expect(lines({ holders: [holder({ sinceMs: NOW - 200 })] })[1]!.trim()).toBe(
      "behind split eu of source orders (orders/1)",
    );
    const many = ["a", "b", "c", "d"].map((split) => holder({ split }));
    const said = lines({ holders: many, holdersMore: 7 });
    expect(said).toHaveLength(5);
    expect(said.at(-1)!.trim()).toBe("and by 8 more");
  });
});

describe("doctor", () => {
  const find = (changes: Parameters<typeof report>[0]) => diagnose(report(changes), NOW);

  test("has nothing to say of a job that does well", () => {
    expect(find({ eventTime: [time({ holders: [holder({ sinceMs: NOW - 200 })] })] })).toEqual([]);
  });

  test("tells each holder once, with all operators that wait, and what mends it", () => {
    const sources = time({ operators: ["orders"], holders: [holder({ pending: 0 })] });
    const [held, ...more] = find({
      eventTime: [sources, time({ watermark: null, holders: [holder({ pending: 0 })] })],
    });
    expect(more).toEqual([]);
    expect(held).toEqual({
      finding: "eventTimeHeld",
      says:
        "split eu of source orders (orders/1) holds the event time of orders, count, out for 3 m (none yet): no record has come yet, " +
        "and nothing is pending; it is never taken for idle",
      help: 'if records may stay away so long, give source orders "idleAfter": a split without any holds nothing back then',
    });
  });

  test.each([
    [{ pending: 4 }, /messages do not come/],
    [{ idleAfterMs: 1000 }, /a shorter "idleAfter"/],
    [{ reason: "noProgress" }, /give source orders "timestamp"/],
    [{ reason: "noProgress", watermark: 4 }, /maxTimestampAhead/],
    [{ reason: "noWatermarks" }, /give source orders "watermarks"/],
    [{ reason: "paused" }, /maxDrift/],
    [{ reason: "requests" }, /capacity/],
    [{ reason: "firing" }, /parallelism/],
    [{ reason: "noRoom" }, /slowest operator or sink/],
    [{ reason: "rules" }, /waitFor/],
    [{ reason: "stopped" }, /goes on/],
  ] as const)("has help for %j", (changes, help) => {
    expect(find({ eventTime: [time({ holders: [holder(changes)] })] })[0]!.help).toMatch(help);
  });

  const failure = { atMs: NOW, where: "count/0", reason: "it broke", recovered: false };
  test.each([
    [
      { status: "failed", phase: "failed", failures: [failure] },
      "failed",
      "the job has failed: count/0: it broke",
    ],
    [
      { phase: "waiting", waitingFor: "2 slots more" },
      "waitingForWorkers",
      "the job waits for 2 slots more; it has 0 workers",
    ],
    [{ status: "suspended", phase: "suspended" }, "notRunning", "the job is suspended"],
    [
      { phase: "backingOff", failures: [failure] },
      "restarts",
      "the job has failed and does not run again yet, it is waiting to be started again after a failure: count/0: it broke",
    ],
    [
      { checkpoints: { hold: "a disposal is under way" } },
      "checkpointsHeld",
      "no checkpoint begins: a disposal is under way",
    ],
    [
      { checkpoints: { latestAborted: { checkpointId: 4, reason: "it was late" } } },
      "checkpointAborted",
      "checkpoint 4 was given up, and none has been complete since: it was late",
    ],
    [
      { troubles: [{ what: "writing", reason: "no room", sinceMs: NOW - MINUTE, where: ["leader"] }] },
      "trouble",
      "writing does not succeed for 1 m (leader): no room",
    ],
  ] as const)("tells %j", (changes, finding, says) => {
    expect(find(changes)).toMatchObject([{ finding, says }]);
  });

  test("a failure that the job has recovered from, and a checkpoint that others have followed, are over", () => {
    const latest = { checkpointId: 5, completedAtMs: NOW, durationMs: 1, bytes: 1 };
    expect(
      find({
        failures: [{ ...failure, recovered: true }],
        checkpoints: { latest, latestAborted: { checkpointId: 4, reason: "it was late" } },
      }),
    ).toEqual([]);
  });

  test("counts late records over all subtasks, by operator and kind", () => {
    const of = (subtask: `count/${number}`, figures: Record<string, number>) => ({
      ...report().subtasks[1]!,
      subtask,
      operators: [{ operator: "count", figures }],
    });
    const found = find({
      subtasks: [of("count/0", { late: 2, eventTimers: 3 }), of("count/1", { late: 1, outside: 0 })],
    });
    expect(found).toMatchObject([
      { finding: "recordsLate", says: "3 records of operator count were late and took no part" },
    ]);
  });

  test("a checkpoint that takes long names whom it waits for", () => {
    const pending = {
      checkpointId: 7,
      requested: "periodic",
      ageMs: 125_400,
      acknowledged: 1,
      subtasks: 2,
      missing: [{ subtask: "count/1", phase: "aligning", channels: [] }],
    } as const;
    expect(find({ checkpoints: { pending: [pending] } })).toMatchObject([
      { finding: "checkpointSlow", says: "checkpoint 7 has been under way for 125 s, and waits for count/1" },
    ]);
    expect(find({ checkpoints: { pending: [{ ...pending, ageMs: 100 }] } })).toEqual([]);
  });
});
