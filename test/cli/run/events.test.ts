/**
 * An outsider reads nothing but the file of --events, of a run with a killed worker, and checks the protocol from it.
 */
import { readdirSync, readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { type OutsidersView, outsidersView } from "../servers/outsider.ts";
import { kill, until, Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const COUNT = 24_000;
/** Wall clock against monotonic clock, whole against fractions of ms. */
const CLOCKS_MS = 3;

async function eventsOfARunWithAKilledWorker(): Promise<FeedEvent[]> {
  workspace.write(
    "job.mjs",
    countingJob({
      count: COUNT,
      ratePerSecond: 4_000,
      held: true,
      options: 'restart: { initialBackoff: "100ms" }',
    }),
  );
  const running = workspace.start(["run", "job.mjs", "--events", "events.jsonl"]);
  await running.says("checkpoints every");
  const read = () => readFileSync(workspace.path("events.jsonl"), "utf8");
  const completed = () => read().split('"checkpoint.completed","from":"persisting"').length - 1;
  await until(
    () => completed() >= 3,
    () => "three checkpoints",
  );
  const victim = workspace.processes().find(({ commandLine }) => commandLine.includes(" worker "))!;
  kill(victim.pid);
  const before = completed();
  await until(
    () => completed() >= before + 10,
    () => `ten more checkpoints than ${before}: ${completed()}`,
  );
  workspace.release();
  const ended = await running.ended;
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  const text = read();
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as FeedEvent);
}

describe("from the events alone", () => {
  test("no commit came before its decision, ids grow, and every phase has its time", async () => {
    const events = await eventsOfARunWithAKilledWorker();
    const view: OutsidersView = outsidersView(events);
    expect(view.wrong).toEqual([]);
    expect(view.generations).toEqual([1, 2]);
    expect(view.failures).toHaveLength(1);
    expect(view.failures[0]).toMatch(
      /^worker \w+ \(pid \d+ on .*its process has ended: by SIGKILL from outside/,
    );
    expect(view.restartMs).toHaveLength(1);
    expect(view.checkpoints.length).toBeGreaterThan(10);
    for (const checkpoint of view.checkpoints) {
      const { waitingMs, decidingMs, committingMs, durationMs, durationMinMs, durationMaxMs } = checkpoint;
      for (const ms of [waitingMs, decidingMs, committingMs]) expect(ms).toBeGreaterThanOrEqual(0);
      expect(durationMs).toBeGreaterThanOrEqual(durationMinMs - CLOCKS_MS);
      expect(durationMs).toBeLessThanOrEqual(durationMaxMs + CLOCKS_MS);
    }
    // Every file that is there was committed before the eyes of the outsider, and no other.
    const files = readdirSync(workspace.path("out")).filter((name) => name.startsWith("part-"));
    expect(new Set(view.commits).size).toBe(files.length);
    expect(view.ended).toBe("finished");
  });
});

describe("the outsider is not blind", () => {
  const at = (more: Partial<FeedEvent> & { readonly [detail: string]: unknown }): FeedEvent => ({
    ...{
      t: 1,
      job: "j",
      generation: 1,
      role: "checkpoint",
      id: "checkpoint/1",
      event: "e",
      from: "a",
      to: "b",
      effects: [],
    },
    ...more,
  });
  const decided = (checkpointId: number, generation = 1) =>
    at({
      id: `checkpoint/${checkpointId}`,
      checkpointId,
      generation,
      event: "record.stored",
      from: "persisting.decision",
      to: "committing",
    });
  const due = (n: number, generation = 1) =>
    at({
      role: "sink-transaction",
      id: "s/0/transaction/x/0",
      generation,
      event: "commit.due",
      to: "committing.trying",
      effects: ["commit.transaction"],
      transaction: `x@${n}`,
    });
  const done = (n: number) =>
    at({
      role: "sink-transaction",
      id: "s/0/transaction/x/0",
      event: "transaction.committed",
      to: "committed",
      transaction: `x@${n}`,
    });

  const prepared = (n: number, generation = 1) =>
    at({
      role: "sink-transaction",
      id: "s/0/transaction/x/0",
      generation,
      event: "transaction.staged",
      to: "prepared",
      transaction: `x@${n}`,
    });
  const restored = (completed: number, generation: number) =>
    at({ role: "job", id: "job", generation, to: "restoring", effects: ["send.deployment"], completed });
  const ended = (generation = 1) =>
    at({ role: "job", id: "job", generation, event: "record.stored", from: "ending", to: "ended" });

  test("a transaction whose checkpoint died with its worker is not committed", () => {
    const events = [decided(1), prepared(2), restored(1, 2), decided(3, 2), ended(2)];
    expect(outsidersView(events).wrong).toEqual([]);
  });

  test("a restored generation may commit again what the one before has committed", () => {
    const twice = [
      decided(1),
      due(1),
      done(1),
      decided(2),
      due(2),
      done(2),
      restored(2, 2),
      done(1),
      done(2),
    ];
    expect(outsidersView(twice).wrong).toEqual([]);
  });

  test.each([
    [
      "a transaction that is decided, by a leader that could not say so, and that no sink commits",
      [decided(1), prepared(2), restored(2, 2), decided(3, 2), ended(2)],
      /x@2 of s\/0 was decided and never committed/,
    ],
    [
      "a commit of what was dropped with its generation",
      [decided(1), prepared(2), restored(1, 2), decided(3, 2), due(2, 2), done(2)],
      /x@2 of s\/0 was dropped with its generation and committed/,
    ],
    [
      "a commit before its decision",
      [due(1), decided(1)],
      /x@1 of s\/0 was to be committed before checkpoint 1 was decided/,
    ],
    ["a commit of a later one", [decided(1), due(2)], /x@2/],
    ["ids that do not grow", [decided(2), decided(1)], /checkpoint 1 was decided after 2/],
    ["one decision twice", [decided(1), decided(1)], /checkpoint 1 was decided after 1/],
    [
      "commits out of order",
      [decided(2), due(2), done(2), due(1), done(1)],
      /x@1 of s\/0 was committed after x@2/,
    ],
    ["a generation that goes back", [decided(1, 2), due(1, 1)], /generation 1/],
    [
      "a decided checkpoint that no sink commits",
      [prepared(1), decided(1), ended()],
      /x@1 of s\/0 was decided and never committed/,
    ],
  ])("%s", (_, events, wrong) => {
    expect(outsidersView(events).wrong.join("\n")).toMatch(wrong);
  });
});
