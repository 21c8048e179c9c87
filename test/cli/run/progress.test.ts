/** What `tidemark run` shows: words for a report, and where they go. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { reasonInWords } from "../../../machines/words.ts";
import { LateLines } from "../../../src/cli/run/late-lines.ts";
import { ProgressScreen, ProgressText, TroubleLines, TroubleText } from "../../../src/cli/run/progress.ts";
import { WaitingLines } from "../../../src/cli/run/waiting.ts";
import { report } from "../job-report.ts";

describe("one line for a report", () => {
  test("counts what the sources have read, and how fast", () => {
    const text = new ProgressText(["in"]);
    expect(text.describe(report(), 0)).toBe(
      "processing records  generation 1: 0 records read, 0/s  no checkpoint yet",
    );
    expect(text.describe(report({ read: 2_000 }), 1_000)).toMatch("2,000 records read, 2,000/s");
    const latest = { checkpointId: 3, completedAtMs: 0, durationMs: 12.4, bytes: 2_560 };
    expect(
      text.describe(report({ read: 6_000, checkpoints: { latest, aborted: 2 }, restarts: 1 }), 2_000),
    ).toBe(
      "processing records  generation 1: 6,000 records read, 3,000/s  checkpoint 3 (12 ms, 2.5 KiB)  2 aborted  1 restart",
    );
  });

  test("a new generation counts from 0, and its rate never falls below 0", () => {
    const text = new ProgressText(["in"]);
    text.describe(report({ read: 5_000 }), 0);
    expect(text.describe(report({ read: 10, generation: 2 }), 1_000)).toMatch(
      "generation 2: 10 records read, 0/s",
    );
  });

  test("the rate is that of the last seconds", () => {
    const text = new ProgressText(["in"]);
    for (let second = 0; second <= 20; second++)
      text.describe(report({ read: second * 1_000 }), second * 1_000);
    expect(text.describe(report({ read: 20_000 }), 30_000)).toMatch(" 0/s");
  });

  test("says what a job waits for", () => {
    const waiting = report({ phase: "waiting", waitingFor: "2 slots; the workers offer 1" });
    expect(new ProgressText(["in"]).describe(waiting, 0)).toMatch(
      /^waiting for 2 slots; the workers offer 1 {2}/,
    );
  });
});

test("each failure and each reason of an abort is told once", () => {
  const text = new TroubleText();
  const failures = [{ atMs: 1, where: "in/0", reason: "broken", recovered: false }];
  expect(text.news(report({ failures }))).toEqual(["failure: in/0: broken"]);
  const aborted = { checkpointId: 9, reason: "the bucket is full" };
  const now = report({
    failures: [...failures, { ...failures[0]!, atMs: 2 }],
    checkpoints: { latestAborted: aborted },
  });
  expect(text.news(now)).toEqual(["checkpoint 9 aborted, the job goes on: the bucket is full"]);
  expect(text.news(now)).toEqual([]);
  const nextOne = { checkpointId: 10, reason: 'writing "j/1/checkpoint-10": no room' };
  expect(text.news(report({ checkpoints: { latestAborted: nextOne } }))).toHaveLength(1);
  const sameAgain = { checkpointId: 11, reason: 'writing "j/1/checkpoint-11": no room' };
  expect(text.news(report({ checkpoints: { latestAborted: sameAgain } }))).toEqual([]);
  const ended = report({
    checkpoints: { latestAborted: { checkpointId: 10, reason: reasonInWords("job-stopped") } },
  });
  expect(text.news(ended)).toEqual([]);
  const ofWorker = (worker: string, reason: string) =>
    report({ failures: [{ ...failures[0]!, where: `worker ${worker}`, reason }] });
  expect(text.news(ofWorker("5f", "no answer"))).toEqual(["failure: worker 5f: no answer"]);
  expect(text.news(ofWorker("6a", "no answer"))).toEqual([]);
  expect(text.news(ofWorker("6a", "it ended"))).toEqual(["failure: worker 6a: it ended"]);
});

describe("the screen", () => {
  let written = "";
  const screen = (isTTY: boolean) =>
    new ProgressScreen({ isTTY, columns: 30, write: (text) => (written += text) });
  beforeEach(() => {
    written = "";
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  test("of a terminal: one line that is replaced, shortened to fit, below those that stay", () => {
    const shown = screen(true);
    shown.begin(() => `a line of progress that is longer than the screen is wide`);
    vi.advanceTimersByTime(500);
    const line = "a line of progress that is lo";
    expect(written).toBe(`${line}\r\x1b[2K${line}`);
    written = "";
    shown.say("news");
    expect(written).toBe(`\r\x1b[2Knews\n${line}`);
    written = "";
    shown.end();
    expect(written).toBe("\r\x1b[2K");
  });

  test("elsewhere: whole lines, one in five seconds, no control characters", () => {
    const shown = screen(false);
    let n = 0;
    shown.begin(() => (n++ === 0 ? undefined : `progress ${n}, however long the line may become`));
    vi.advanceTimersByTime(15_000);
    shown.say("news");
    shown.end();
    expect(written).toBe(
      "progress 2, however long the line may become\nprogress 3, however long the line may become\nnews\n",
    );
  });
});

describe("what is tried in vain", () => {
  const publishing = { what: "publishing to stream OUT", reason: "no permission", sinceMs: 0 };

  test("one line when it begins and one when it is over, whichever roads it comes over", () => {
    const lines = new TroubleLines();
    expect(lines.news("worker-1", [publishing])).toEqual([
      "trouble: publishing to stream OUT, still tried: no permission",
    ]);
    expect(lines.news("leader", [publishing])).toEqual([]);
    expect(lines.news("worker-1", [])).toEqual([]);
    expect(lines.news("leader", [])).toEqual(["trouble is over: publishing to stream OUT"]);
    expect(lines.news("worker-1", [publishing])).toHaveLength(1);
  });

  test("a reason that is another one is told, one that comes again is not", () => {
    const lines = new TroubleLines();
    const silent = { ...publishing, reason: "no answer" };
    lines.news("worker-1", [silent]);
    expect(lines.news("worker-1", [publishing])).toEqual([
      "trouble: publishing to stream OUT, still tried: no permission",
    ]);
    expect(lines.news("worker-1", [silent])).toEqual([]);
  });

  test("a reason that differs in its numbers only is told once", () => {
    const lines = new TroubleLines();
    const at = (id: number) => ({ ...publishing, reason: `checkpoint ${id}: no room` });
    expect(lines.news("leader", [at(1)])).toHaveLength(1);
    expect(lines.news("leader", [at(2)])).toEqual([]);
  });
});

test("a command that waits says every ten seconds what for", () => {
  const lines = new WaitingLines(0);
  const draining = report({ phase: "running.draining" });
  expect(lines.news(draining, 9_999)).toBeUndefined();
  expect(lines.news(draining, 10_000)).toBe(
    "waiting for 10 s; job j is ending its sources to be drained. Ctrl-C ends this command, not what it has asked for",
  );
  expect(lines.news(draining, 19_999)).toBeUndefined();
  const trouble = { what: "publishing to OUT", reason: "no permission", sinceMs: 0, where: ["leader"] };
  const waiting = report({
    phase: "waiting",
    waitingFor: "2 slots; the workers offer 0",
    troubles: [trouble],
  });
  expect(lines.news(waiting, 20_000)).toMatch(
    "job j is waiting for workers: 2 slots; the workers offer 0; publishing to OUT (no permission).",
  );
});

test("late records are said when some were not taken, once a minute while there are more, and at the end", () => {
  const late = new LateLines();
  const withLate = (notTaken: number) => {
    const lateness = { records: 9, notTaken, maxMs: 700, allowedMs: 0, buckets: [[700, 9] as const] };
    const [subtask] = report().subtasks;
    return { subtasks: [{ ...subtask!, operators: [{ operator: "count", figures: {}, lateness }] }] };
  };
  const line = (notTaken: number) =>
    `late records: count: 9 too late, ${notTaken} of them not taken or in part only; by p50 700 ms, p99 700 ms, max ` +
    '700 ms; allowedLateness "700 ms", or watermarks 700 ms later, would have taken 99 % of them whole';
  expect(late.news(report(), 0)).toEqual([]);
  expect(late.news(withLate(0), 0)).toEqual([]);
  expect(late.news(withLate(1), 1000)).toEqual([line(1)]);
  expect(late.news(withLate(2), 60_999)).toEqual([]);
  expect(late.news(withLate(2), 61_000)).toEqual([line(2)]);
  expect(late.news(withLate(2), 200_000)).toEqual([]);
  expect(late.news(withLate(3), 100_000)).toEqual([]);
  expect(late.news({ subtasks: [] }, 101_000)).toEqual([]);
  expect(late.atEnd()).toEqual([line(3)]);
  expect(late.atEnd()).toEqual([]);
});
