import { beforeEach, describe, expect, it } from "vitest";
import { BoundedCalls, BoundedStorage } from "../../src/checkpoint/bounded-calls.ts";
import { StorageStalledError } from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { latch } from "../support/latch.ts";
import { ManualClock } from "../support/manual-clock.ts";

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

  it("end for their caller at the bound; the place is left alone until the call is back", async () => {
    const hung = latch();
    const first = refused(calls.run("a", () => hung.opened));
    clock.advance(10_000);
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
    clock.advance(10_000);
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

  it("leave a put more time for more bytes", async () => {
    const hung = latch();
    const inner = new MemoryStorage();
    inner.put = () => hung.opened.then(() => ({ name: "x", bytes: 0, digest: "" }));
    const storage = new BoundedStorage(inner, calls);
    let settled = false;
    const putting = refused(storage.put("x", [new Uint8Array(10 * 1024 * 1024)])).finally(() => {
      settled = true;
    });
    clock.advance(15_000);
    expect(settled).toBe(false);
    clock.advance(10_000);
    expect(await putting).toContain("it does not answer");
    hung.open();
  });
});
