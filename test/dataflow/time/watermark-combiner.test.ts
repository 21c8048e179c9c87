import { describe, expect, test } from "vitest";
import { WatermarkCombiner } from "../../../src/dataflow/time/watermark-combiner.ts";

const SENDERS = 3;
const MIN = Number.NEGATIVE_INFINITY;
const MAX = Number.POSITIVE_INFINITY;

type Event =
  | { readonly kind: "advanced"; readonly sender: number; readonly to: number }
  | { readonly kind: "spoke" | "becameIdle" | "finished"; readonly sender: number };

const EVENTS: readonly Event[] = [0, 1, 2].flatMap((sender): Event[] => [
  { kind: "advanced", sender, to: 1 },
  { kind: "advanced", sender, to: 2 },
  { kind: "spoke", sender },
  { kind: "becameIdle", sender },
  { kind: "finished", sender },
]);

/** What the events say of each sender, without any rule about their combination. */
interface Told {
  readonly status: ("active" | "idle" | "finished")[];
  readonly watermark: number[];
  readonly wasEverIdle: boolean[];
}

function apply(combiner: WatermarkCombiner, told: Told, event: Event): void {
  const { sender } = event;
  if (event.kind === "advanced") combiner.advanced(sender, event.to);
  else combiner[event.kind](sender);
  if (told.status[sender] === "finished") return;
  if (event.kind === "advanced") {
    told.watermark[sender] = Math.max(told.watermark[sender]!, event.to);
    told.status[sender] = "active";
  } else if (event.kind === "spoke") told.status[sender] = "active";
  else if (event.kind === "becameIdle") {
    told.status[sender] = "idle";
    told.wasEverIdle[sender] = true;
  } else told.status[sender] = "finished";
}

function watermarksOf({ status, watermark }: Told, wanted: Told["status"][number]): number[] {
  return watermark.filter((_, i) => status[i] === wanted);
}

function check(combiner: WatermarkCombiner, before: number, told: Told, story: readonly Event[]): void {
  const { watermark, isIdle } = combiner;
  const active = watermarksOf(told, "active");
  const idle = watermarksOf(told, "idle");
  const problems: string[] = [];
  if (watermark < before) problems.push("it went back");
  if ((watermark === MAX) !== told.status.every((status) => status === "finished"))
    problems.push("Infinity is the end of all senders, and nothing else");
  if (isIdle !== (active.length === 0 && idle.length > 0)) problems.push("all are idle, or not");
  if (active.length === 0 && idle.length > 0 && watermark < Math.max(...idle))
    problems.push("the greatest of the idle ones was told");
  // Only one that was idle can be behind.
  told.status.forEach((status, i) => {
    if (status === "active" && !told.wasEverIdle[i] && watermark > told.watermark[i]!)
      problems.push(`sender ${i} was overtaken`);
  });
  const neverIdle = told.wasEverIdle.every((was) => !was);
  if (neverIdle && active.length > 0 && watermark !== Math.max(before, Math.min(...active)))
    problems.push("not the least of the active ones");
  if (problems.length > 0)
    throw new Error(`${problems.join(", ")}: ${watermark} after ${JSON.stringify(story)}`);
}

describe("the combined watermark of three senders", () => {
  test("keeps WM1 to WM4 in all orders of up to five events", () => {
    let stories = 0;
    const explore = (story: readonly Event[]): void => {
      const combiner = new WatermarkCombiner(SENDERS);
      const told: Told = {
        status: ["active", "active", "active"],
        watermark: [MIN, MIN, MIN],
        wasEverIdle: [false, false, false],
      };
      let before = MIN;
      for (const [i, event] of story.entries()) {
        before = combiner.watermark;
        apply(combiner, told, event);
        if (i === story.length - 1) check(combiner, before, told, story);
      }
      stories++;
      if (story.length < 5) for (const event of EVENTS) explore([...story, event]);
    };
    explore([]);
    expect(stories).toBe(1 + 15 + 15 ** 2 + 15 ** 3 + 15 ** 4 + 15 ** 5);
  });

  test("those that hold it are the ones without which it would go on, in all orders of up to four events", () => {
    const combined = (story: readonly Event[], ...more: readonly (readonly number[])[]) => {
      const combiner = new WatermarkCombiner(SENDERS);
      for (const event of story)
        if (event.kind === "advanced") combiner.advanced(event.sender, event.to);
        else combiner[event.kind](event.sender);
      for (const senders of more) for (const sender of senders) combiner.advanced(sender, 100);
      return combiner;
    };
    const wrong: unknown[] = [];
    let held = 0;
    const explore = (story: readonly Event[]): void => {
      const combiner = combined(story);
      const active = [0, 1, 2].filter((sender) => combiner.senderIsActive(sender));
      const holders = combiner.holders(SENDERS);
      const others = active.filter((sender) => !holders.includes(sender));
      if (holders.length > 0 !== active.length > 0) wrong.push({ story, holders, active });
      if (holders.length > 0) {
        held++;
        if (combined(story, others).watermark !== combiner.watermark) wrong.push({ story, holders, others });
        if (combined(story, others, holders).watermark !== 100) wrong.push({ story, holders });
      }
      if (story.length < 4) for (const event of EVENTS) explore([...story, event]);
    };
    explore([]);
    expect(wrong).toEqual([]);
    expect(held).toBeGreaterThan(10_000);
    expect(new WatermarkCombiner(SENDERS).holders(2)).toEqual([0, 1]);
  });

  const told = (events: (combiner: WatermarkCombiner) => void) => {
    const combiner = new WatermarkCombiner(SENDERS);
    events(combiner);
    return [combiner.watermark, combiner.isIdle];
  };

  test("one that goes idle lets the others go on at once", () => {
    expect(
      told((c) => {
        c.advanced(0, 5);
        c.advanced(1, 7);
        c.becameIdle(2);
      }),
    ).toEqual([5, false]);
  });

  test("one that was idle counts again only from where the others are", () => {
    const combiner = new WatermarkCombiner(SENDERS);
    combiner.becameIdle(2);
    combiner.advanced(0, 10);
    combiner.advanced(1, 10);
    combiner.advanced(2, 4);
    combiner.advanced(0, 12);
    combiner.advanced(1, 12);
    expect(combiner.watermark).toBe(12);
    combiner.advanced(2, 12);
    combiner.advanced(0, 20);
    combiner.advanced(1, 20);
    expect(combiner.watermark).toBe(12);
  });

  test("finished and idle senders together are not the end", () => {
    expect(
      told((c) => {
        for (const sender of [0, 1, 2]) c.advanced(sender, sender + 1);
        c.finished(0);
        c.becameIdle(1);
        c.becameIdle(2);
      }),
    ).toEqual([3, true]);
  });

  test("an idle one that ends is no idle one any more", () => {
    expect(
      told((c) => {
        c.becameIdle(0);
        c.finished(0);
        c.finished(1);
        c.finished(2);
      }),
    ).toEqual([MAX, false]);
  });

  test("it goes on from what a snapshot holds", () => {
    const combiner = new WatermarkCombiner(2);
    combiner.restore(0, { watermark: 3, isIdle: true });
    combiner.restore(1, { watermark: 9, isIdle: false });
    combiner.restored(9);
    expect([combiner.watermark, combiner.isIdle]).toEqual([9, false]);
    combiner.advanced(0, 5);
    expect(combiner.watermark).toBe(9);
    expect([combiner.sender(0), combiner.sender(1)]).toEqual([
      { watermark: 5, isIdle: false },
      { watermark: 9, isIdle: false },
    ]);
  });
});
