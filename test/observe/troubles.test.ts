import { describe, expect, test } from "vitest";
import { EnvironmentError, RequestTimeoutError, StorageRefusedError } from "../../src/errors.ts";
import { type TroubleChange, Troubles } from "../../src/observe/troubles.ts";
import { ManualClock } from "../support/manual-clock.ts";

const PUBLISHING = "publishing to stream COUNTS";
const denied = new EnvironmentError('this NATS user may not publish to "counts.a"; allow it');
const silent = new RequestTimeoutError("no answer in time");

function watched() {
  const clock = new ManualClock();
  const troubles = new Troubles(clock);
  const said: string[] = [];
  troubles.onChange(({ change, trouble }: TroubleChange) =>
    said.push(`${change}: ${trouble.what}: ${trouble.reason}`),
  );
  return { clock, troubles, said };
}

describe("a trouble", () => {
  test("becomes visible when an act has been failing for three seconds, and goes when it passes", () => {
    const { clock, troubles, said } = watched();
    const publishing = troubles.watch(PUBLISHING);
    const sinceMs = clock.nowMs();
    publishing.failed(denied);
    clock.advance(2999);
    publishing.failed(denied);
    expect(troubles.list()).toEqual([]);
    clock.advance(1);
    expect(troubles.list()).toEqual([{ what: PUBLISHING, reason: denied.message, sinceMs }]);
    publishing.passed();
    publishing.passed();
    expect(troubles.list()).toEqual([]);
    expect(said).toEqual([
      `began: ${PUBLISHING}: ${denied.message}`,
      `passed: ${PUBLISHING}: ${denied.message}`,
    ]);
  });

  test("is none when the act passes before, however often it fails", () => {
    const { clock, troubles, said } = watched();
    const publishing = troubles.watch(PUBLISHING);
    for (let i = 0; i < 10; i++) {
      publishing.failed(silent);
      clock.advance(2000);
      publishing.passed();
      clock.advance(2000);
    }
    expect(troubles.list()).toEqual([]);
    expect(said).toEqual([]);
  });

  test("becomes visible although the second try hangs", () => {
    const { clock, troubles } = watched();
    troubles.watch(PUBLISHING).failed(silent);
    clock.advance(60_000);
    expect(troubles.list()).toHaveLength(1);
  });

  test("says why the latest try failed, with the causes below it, in one line", () => {
    const { clock, troubles, said } = watched();
    const publishing = troubles.watch(PUBLISHING);
    publishing.failed(silent);
    publishing.failed(new Error("cannot be\n  written", { cause: denied }));
    clock.advance(3000);
    expect(troubles.list()[0]?.reason).toBe(`cannot be written: ${denied.message}`);
    publishing.failed(silent);
    publishing.failed(silent);
    expect(said.slice(1)).toEqual([`changed: ${PUBLISHING}: ${silent.message}`]);
  });

  test("is no other one when only numbers of its reason are others, and shows the latest", () => {
    const { clock, troubles, said } = watched();
    const writing = troubles.watch("writing the job record");
    for (const id of [7, 8, 9]) writing.failed(new Error(`"j/1/checkpoint-${id}": no room`));
    clock.advance(3000);
    writing.failed(new Error('"j/1/checkpoint-10": no room'));
    expect(troubles.list()[0]?.reason).toBe('"j/1/checkpoint-10": no room');
    writing.failed(new Error('"j/1/checkpoint-11": no permission'));
    expect(said).toEqual([
      'began: writing the job record: "j/1/checkpoint-9": no room',
      'changed: writing the job record: "j/1/checkpoint-11": no permission',
    ]);
  });

  test("of a storage has the same reason whichever object it happens to", () => {
    const { clock, troubles, said } = watched();
    const writing = troubles.watch("writing checkpoints to bucket b");
    const refused = (object: string) =>
      new StorageRefusedError(`writing "${object}" to bucket b: it is full`, { reason: "it is full" });
    writing.failed(refused("count/0"));
    clock.advance(3000);
    writing.failed(refused("numbers/1"));
    expect(said).toEqual(["began: writing checkpoints to bucket b: it is full"]);
  });

  test("becomes visible later when its watch says so", () => {
    const { clock, troubles } = watched();
    troubles.watch("waiting for slots", 15_000).failed("2 slots; the workers offer 0");
    clock.advance(14_999);
    expect(troubles.list()).toEqual([]);
    clock.advance(1);
    expect(troubles.list()).toHaveLength(1);
  });

  test("is one for all that watch the same act, until it passes for each of them", () => {
    const { clock, troubles, said } = watched();
    const [first, second] = [troubles.watch(PUBLISHING), troubles.watch(PUBLISHING)];
    first.failed(silent);
    second.failed(silent);
    clock.advance(3000);
    expect(troubles.list()).toHaveLength(1);
    first.passed();
    expect(troubles.list()).toHaveLength(1);
    second.forget();
    expect(troubles.list()).toEqual([]);
    expect(said).toHaveLength(2);
  });

  test("leaves no timer behind when the act is given up, and nothing is said after the end", () => {
    const { clock, troubles, said } = watched();
    const publishing = troubles.watch(PUBLISHING);
    publishing.failed(silent);
    publishing.forget();
    expect(clock.pending).toEqual([]);
    publishing.failed(silent);
    troubles.close();
    expect(clock.pending).toEqual([]);
    publishing.failed(silent);
    expect(clock.pending).toEqual([]);
    clock.advance(3000);
    expect(said).toEqual([]);
  });
});

test("what is shown is bounded in number and length, the oldest first", () => {
  const { clock, troubles } = watched();
  for (let i = 0; i < 50; i++) {
    troubles.watch(`act ${i} ${"x".repeat(1000)}`).failed(new Error("y".repeat(10_000)));
    clock.advance(1);
  }
  clock.advance(3000);
  const shown = troubles.list();
  expect(shown).toHaveLength(20);
  expect(shown[0]?.what).toMatch(/^act 0 x{1,200}…$/);
  for (const { what, reason } of shown) {
    expect(what.length).toBeLessThanOrEqual(200);
    expect(reason.length).toBeLessThanOrEqual(500);
  }
});
