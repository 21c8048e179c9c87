/** Whole jobs in virtual time: right whatever happens, and the same again on the same seed. */
import { describe, expect, test } from "vitest";
import { Decisions } from "./decisions.ts";
import { keptSeeds } from "./runner/failing-seed.ts";
import { replayOf } from "./runner/runner.ts";
import { Scheduler } from "./scheduler.ts";
import { simulate } from "./simulate.ts";

test.each([0, ...(await keptSeeds())])(
  "a job goes well on seed %i, which is zero or failed once",
  async (seed) => {
    const { findings } = await simulate(seed);
    expect(findings.map((finding) => `${finding} (${replayOf(seed)})`)).toEqual([]);
  },
);

test("a job goes the same way again on the same seed, and another way on another one", async () => {
  const [first, again, other] = [await simulate(7), await simulate(7), await simulate(8)];
  expect(again.story).toEqual(first.story);
  expect(again).toEqual(first);
  expect(other.traceHash).not.toBe(first.traceHash);
});

describe("the scheduler", () => {
  const ran = async (act: (scheduler: Scheduler, log: string[]) => void, boundMs = 10_000) => {
    const scheduler = new Scheduler(new Decisions(1));
    const log: string[] = [];
    act(scheduler, log);
    await scheduler.run(() => false, boundMs);
    return log;
  };

  test("lets timers fire in the order of their times, and not before them", async () => {
    const log = await ran((scheduler, done) => {
      const process = scheduler.process("p");
      for (const ms of [500, 20, 3000, 100])
        process.after(ms, () => {
          expect(scheduler.nowMs).toBeGreaterThanOrEqual(ms);
          done.push(String(ms));
        });
      process.after(50, () => done.push("canceled")).cancel();
    });
    expect(log).toEqual(["20", "100", "500", "3000"]);
  });

  test("settles promises before the next step", async () => {
    const log = await ran((scheduler, done) => {
      const process = scheduler.process("p");
      void process.passes(1, "first").then(async () => {
        for (let i = 0; i < 20; i++) await undefined;
        done.push("first");
      });
      void process.passes(1, "second").then(() => done.push("second"));
    });
    expect(log).toEqual(["first", "second"]);
  });

  test("does what a paused process owes when it goes on, in order, and nothing of a dead one (VS3)", async () => {
    const log = await ran((scheduler, done) => {
      const [paused, dead] = [scheduler.process("paused"), scheduler.process("dead")];
      paused.pausedUntilMs = 5000;
      dead.dead = true;
      for (const ms of [1000, 2000, 6000]) {
        paused.after(ms, () => done.push(`${ms} at ${Math.floor(scheduler.nowMs / 1000)} s`));
        dead.after(ms, () => done.push("dead"));
      }
    });
    expect(log).toEqual(["1000 at 5 s", "2000 at 5 s", "6000 at 6 s"]);
  });

  test("does what a process owes in order, also when a pause was made longer meanwhile (VS3)", async () => {
    const log = await ran((scheduler, done) => {
      const process = scheduler.process("p");
      process.pausedUntilMs = 3000;
      scheduler.add(process, 1000, "first", () => done.push("first"));
      const other = scheduler.process("other");
      scheduler.add(other, 1500, "pauses", () => {
        process.pausedUntilMs = 5000;
      });
      scheduler.add(process, 2000, "second", () => done.push("second"));
    });
    expect(log).toEqual(["first", "second"]);
  });

  test("loses no step where one run ends and the next begins", async () => {
    const scheduler = new Scheduler(new Decisions(1));
    let fired = false;
    scheduler.process("p").after(500, () => {
      fired = true;
    });
    expect(await scheduler.run(() => fired, 100)).toBe(false);
    expect(await scheduler.run(() => fired, 1000)).toBe(true);
  });
});
