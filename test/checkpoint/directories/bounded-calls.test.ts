import { beforeEach, describe, expect, it } from "vitest";
import { BoundedCalls } from "../../../src/checkpoint/bounded-calls.ts";
import { StorageStalledError } from "../../../src/errors.ts";
import { latch } from "../../support/latch.ts";
import { ManualClock } from "../../support/manual-clock.ts";

describe("bounded calls", () => {
  let clock: ManualClock;
  let calls: BoundedCalls;
  beforeEach(() => {
    clock = new ManualClock();
    calls = new BoundedCalls(clock);
  });
  const refused = (call: Promise<unknown>) =>
    call.then(
      () => "done",
      (error: unknown) => {
        expect(error).toBeInstanceOf(StorageStalledError);
        return (error as Error).message;
      },
    );

  it("answer what the call answers, and pass on its error", async () => {
    expect(await calls.run("a", async () => 1)).toBe(1);
    const broken = calls.run("a", async () => {
      throw new RangeError("broken");
    });
    await expect(broken).rejects.toThrow(RangeError);
    expect(clock.pending).toEqual([]);
  });

  /** The bound has passed, and what follows from it in the next turn, too. */
  const pass = async (ms: number) => {
    clock.advance(ms);
    await new Promise((turn) => setImmediate(turn));
  };

  it("end for their caller at the bound; the place is left alone until the call is back", async () => {
    const hung = latch();
    const first = refused(calls.run("a", () => hung.opened));
    await pass(10_000);
    expect(await first).toBe("a: it does not answer");
    let begun = false;
    const again = calls.run("a", async () => {
      begun = true;
    });
    expect(await refused(again)).toBe("a: it does not answer");
    expect(begun).toBe(false);
    expect(await calls.run("b", async () => "other")).toBe("other");
    hung.open();
    await hung.opened;
    expect(await calls.run("a", async () => "back")).toBe("back");
  });

  it("are three at a time, so that a thread is left; what waits behind those that hang ends, too", async () => {
    const hung = latch();
    const stuck = ["a", "b", "c"].map((place) => refused(calls.run(place, () => hung.opened)));
    const waiting = refused(calls.run("d", async () => "never"));
    await pass(10_000);
    expect(await Promise.all(stuck)).toEqual(["a", "b", "c"].map((place) => `${place}: it does not answer`));
    expect(await waiting).toContain("d: ");
    expect(await refused(calls.run("e", async () => "never"))).toBe("e: a and b and c does not answer");
    hung.open();
    await hung.opened;
    expect(await calls.run("e", async () => "done")).toBe("done");
  });

  it("go on in turn while the others end", async () => {
    const done = await Promise.all(Array.from({ length: 20 }, (_, i) => calls.run("a", async () => i)));
    expect(done).toHaveLength(20);
  });

  it("have more time for more bytes", async () => {
    const hung = latch();
    let settled = false;
    const writing = refused(
      calls
        .run("a", () => hung.opened, { bytes: 10 * 1024 * 1024 })
        .finally(() => {
          settled = true;
        }),
    );
    await pass(15_000);
    expect(settled).toBe(false);
    await pass(10_000);
    expect(await writing).toContain("it does not answer");
    hung.open();
  });

  it("that have ended while this process was held up are not stuck", async () => {
    const done = latch();
    const first = refused(calls.run("a", () => done.opened));
    clock.advance(60_000);
    done.open();
    expect(await first).toBe("done");
    expect(await calls.run("a", async () => "next")).toBe("next");
  });

  it("wait for their turn as long as those in front of them end", async () => {
    const slow = Array.from({ length: 9 }, () => latch());
    const all = slow.map((each) => refused(calls.run("a", () => each.opened)));
    for (let i = 0; i < slow.length; i += 3) {
      await pass(9_000);
      for (const each of slow.slice(i, i + 3)) each.open();
      await pass(0);
    }
    expect(new Set(await Promise.all(all))).toEqual(new Set(["done"]));
  });

  it("give what comes late to those who can use it, and do afterwards what has to be done there", async () => {
    const hung = latch();
    const late: string[] = [];
    const first = calls.run("a", () => hung.opened.then(() => "file"), {
      onLate: (answer) => void late.push(answer),
    });
    const failed = refused(first);
    await pass(10_000);
    await failed;
    await calls.runOnceAnswering("a", async () => void late.push("afterwards"));
    expect(late).toEqual([]);
    hung.open();
    await pass(0);
    expect(late.sort()).toEqual(["afterwards", "file"]);
  });
});
