/** What keeps a subtask from taking input, as its report tells it: asked for at any time, it changes nothing. */
import { expect, test } from "vitest";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";

function turnsWith(room: { hasRoom(): boolean }) {
  const later: (() => void)[] = [];
  const turns = new Turns({
    input: { take: () => "idle", takeBarrier: () => false, onAvailable() {} },
    timers: { isDue: false, step() {}, onDue() {} },
    clock: {
      nowMs: () => 0,
      elapsedMs: () => 0,
      after: () => ({ cancel() {} }),
      later: (run) => void later.push(run),
    },
    rooms: [{ ...room, onRoom() {} }],
    outputs: [],
    flushMs: 1,
    onEnded() {},
    onFailure(error) {
      throw error;
    },
  });
  return { turns, turn: () => later.shift()!() };
}

test("a room is asked in turns only, because it sends what waits when it is asked", () => {
  let asked = 0;
  let isThere = false;
  const { turns, turn } = turnsWith({
    hasRoom() {
      asked++;
      return isThere;
    },
  });
  expect(turns.obstacle).toBeUndefined();
  expect(asked).toBe(0);

  turns.start();
  turn();
  const inTurns = asked;
  expect(inTurns).toBeGreaterThan(0);
  expect(turns.obstacle).toBe("noRoom");
  expect(asked).toBe(inTurns);

  isThere = true;
  turns.wake();
  turn();
  expect(turns.obstacle).toBeUndefined();
  turns.hold();
  expect(turns.obstacle).toBe("stopped");
});
