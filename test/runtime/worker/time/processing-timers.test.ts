/** PT1, PT2 and TN6: when processing-time timers get a turn. */
import { afterEach, expect, test } from "vitest";
import type { Slices } from "../../../../src/dataflow/operators/contract.ts";
import { AT_ONCE } from "../../../../src/dataflow/time/processing-time.ts";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";
import { ProcessingClock, ProcessingTimers } from "../../../../src/runtime/worker/time/processing-timers.ts";
import { ManualClock, settled } from "../../../support/manual-clock.ts";

let turns: Turns | undefined;

afterEach(() => turns?.close());

/** A subtask whose chain writes down what it is asked, and whose input is always there. */
function opened({ steps = 1 } = {}) {
  const clock = new ManualClock(10_000);
  const story: string[] = [];
  const processing = new ProcessingClock(clock);
  const chain = {
    isAdvancing: false,
    advanceProcessingTime(timeMs: number): Slices | undefined {
      story.push(`passed ${timeMs}`);
      let left = steps;
      return left === 0
        ? undefined
        : {
            step() {
              story.push(`step ${left}`);
              return --left > 0;
            },
          };
    },
  };
  const input: string[] = [];
  const barriers: string[] = [];
  let ask = () => {};
  let room = true;
  let roomCame = () => {};
  turns = new Turns({
    input: {
      take() {
        const next = input.shift();
        if (next === undefined) return "idle";
        story.push(next);
        return "more";
      },
      takeBarrier() {
        const next = barriers.shift();
        if (next !== undefined) story.push(next);
        return next !== undefined;
      },
      onAvailable(wake) {
        ask = wake;
      },
    },
    timers: new ProcessingTimers(processing, chain),
    clock,
    rooms: [{ hasRoom: () => room, onRoom: (wake) => (roomCame = wake) }],
    outputs: [],
    flushMs: 1,
    onEnded: () => {},
    onFailure: (error) => story.push(String(error)),
  });
  turns.start();
  return {
    clock,
    story,
    chain,
    processing,
    barriers,
    give: (...records: string[]) => {
      input.push(...records);
      ask();
    },
    setRoom: (has: boolean) => {
      room = has;
      if (has) roomCame();
    },
  };
}

async function turnsPass(): Promise<void> {
  for (let i = 0; i < 10; i++) await settled();
}

test("a timer fires when its millisecond is over, and the earliest one counts", async () => {
  const { clock, story, processing } = opened();
  processing.wakeAt(10_100);
  processing.wakeAt(10_050);
  processing.wakeAt(10_070);
  expect(clock.pending).toEqual([51]);
  clock.advance(50);
  await turnsPass();
  expect(story).toEqual([]);
  clock.advance(1);
  await turnsPass();
  expect(story).toEqual(["passed 10050", "step 1"]);
});

test("a time that has passed fires at once, also when the clock is set back", async () => {
  const { clock, story, processing } = opened({ steps: 0 });
  processing.wakeAt(5000);
  clock.advance(0);
  await turnsPass();
  expect(story).toEqual(["passed 9999"]);
  processing.wakeAt(10_010);
  clock.setBack(1000);
  clock.advance(11);
  await turnsPass();
  expect(story).toEqual(["passed 9999", "passed 9010"]);
  processing.wakeAt(10_010);
  expect(clock.pending).toEqual([1000]);
});

test("what is due at once fires before the next record", async () => {
  const { clock, story, processing, give } = opened();
  processing.wakeAt(20_000);
  processing.wakeAt(AT_ONCE);
  give("a");
  await turnsPass();
  expect(story).toEqual(["passed 9999", "step 1", "a"]);
  expect(clock.pending).toEqual([]);
});

test("no record is taken before all that are due have fired; barriers pass", async () => {
  const { clock, story, processing, give, barriers } = opened({ steps: 2 });
  processing.wakeAt(10_000);
  clock.advance(1);
  barriers.push("barrier of a channel");
  give("a", "b");
  turns!.atBorder(() => story.push("barrier"));
  await turnsPass();
  expect(story).toEqual([
    ...["barrier", "barrier of a channel", "passed 10000"],
    ...["step 2", "step 1", "a", "b"],
  ]);
});

test("timers wait while event time is worked off, while input is held, and for room", async () => {
  const { clock, story, processing, chain, give, setRoom } = opened();
  processing.wakeAt(10_000);
  chain.isAdvancing = true;
  clock.advance(1);
  give("event time");
  await turnsPass();
  expect(story).toEqual(["event time"]);
  chain.isAdvancing = false;
  turns!.hold();
  turns!.wake();
  await turnsPass();
  setRoom(false);
  turns!.release();
  await turnsPass();
  expect(story).toEqual(["event time"]);
  setRoom(true);
  await turnsPass();
  expect(story).toEqual(["event time", "passed 10000", "step 1"]);
});

test("nothing is set on the clock any more when the subtask is closed", () => {
  const { clock, processing } = opened();
  processing.wakeAt(10_050);
  processing.close();
  processing.wakeAt(10_040);
  expect(clock.pending).toEqual([]);
});
