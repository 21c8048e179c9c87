/** Whole jobs in virtual time: right whatever happens, and the same again on the same seed. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { randomFrom } from "../chaos/random.ts";
import { Scheduler } from "./scheduler.ts";
import { simulate } from "./simulate.ts";

const SEEDS = 300;
const SEEDS_PER_TEST = 25;

/** Seeds that have failed once. */
const kept = readFileSync(new URL("seeds.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => /^\d+$/.test(line))
  .map(Number);

async function findingsOf(seed: number): Promise<string[]> {
  const { findings } = await simulate(seed);
  return findings.map((finding) => `${finding} (npm run simulate -- --seed ${seed} --story)`);
}

describe("drawn jobs", () => {
  test.each(Array.from({ length: SEEDS / SEEDS_PER_TEST }, (_, i) => 1 + i * SEEDS_PER_TEST))(
    `on ${SEEDS_PER_TEST} seeds from %i`,
    async (first) => {
      for (let seed = first; seed < first + SEEDS_PER_TEST; seed++)
        expect(await findingsOf(seed)).toEqual([]);
    },
  );

  test.each(kept)("on seed %i, which failed once", async (seed) => {
    expect(await findingsOf(seed)).toEqual([]);
  });

  test("goes the same way again on the same seed, and another way on another one", async () => {
    const [first, again, other] = [await simulate(7), await simulate(7), await simulate(8)];
    expect(again.story).toEqual(first.story);
    expect(again).toEqual(first);
    expect(other.traceHash).not.toBe(first.traceHash);
  });
});

describe("the scheduler", () => {
  const ran = async (act: (scheduler: Scheduler, log: string[]) => void, boundMs = 10_000) => {
    const scheduler = new Scheduler(randomFrom(1));
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

  test("loses no step where one run ends and the next begins", async () => {
    const scheduler = new Scheduler(randomFrom(1));
    let fired = false;
    scheduler.process("p").after(500, () => {
      fired = true;
    });
    expect(await scheduler.run(() => fired, 100)).toBe(false);
    expect(await scheduler.run(() => fired, 1000)).toBe(true);
  });
});
