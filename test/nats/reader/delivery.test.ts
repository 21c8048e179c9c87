import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { filtersOverlap, isSubjectFilter } from "../../../src/formats/positions/subject-filter.ts";
import { Delivery, endsWithRandomToken } from "../../../src/nats/reader/delivery.ts";
import { PullWindow } from "../../../src/nats/reader/pull-window.ts";
import { FilterSet } from "../../../src/nats/reader/subject-filter.ts";

describe("what a reply subject says", () => {
  const number = fc.integer({ min: 0, max: 2 ** 45 });
  const timeMs = fc.integer({ min: 1e12, max: 4e12 });

  test.each([
    ["short", "$JS.ACK.S.c", ""],
    ["with domain and account", "$JS.ACK.hub.ACCHASH.S.c", ""],
    ["with a random token", "$JS.ACK._.ACCHASH.S.c", ".x7Kq"],
  ])("is read from its end (%s)", (_form, head, tail) => {
    fc.assert(
      fc.property(
        number,
        number,
        timeMs,
        number,
        (streamSequence, deliverySequence, timestampMs, pending) => {
          const reply = `${head}.1.${streamSequence}.${deliverySequence}.${timestampMs}123456.${pending}${tail}`;
          const bytes = Buffer.from(`MSG subject 1 ${reply} 10\r\n`);
          const start = bytes.indexOf("$JS");
          const end = start + reply.length;
          const hasRandomToken = endsWithRandomToken(bytes, start, end);
          expect(hasRandomToken).toBe(tail !== "");
          const delivery = new Delivery();
          delivery.read(bytes, start, end, hasRandomToken);
          expect(delivery).toMatchObject({ streamSequence, deliverySequence, timestampMs, pending });
          const fromText = new Delivery();
          fromText.readText(reply, hasRandomToken);
          expect(fromText).toMatchObject({ streamSequence, deliverySequence, timestampMs, pending });
        },
      ),
    );
  });

  test("of any length", () => {
    const delivery = new Delivery();
    delivery.readText(`$JS.ACK.${"S".repeat(400)}.c.1.7.8.1700000000000000000.9`, false);
    expect(delivery).toMatchObject({ streamSequence: 7, deliverySequence: 8, pending: 9 });
  });
});

describe("the window of pulls", () => {
  /** A server that serves open pulls in turn, and ends them by size or time whenever it likes. */
  test("keeps at most two pulls open and never asks for more than there is room for", () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("deliver" as const), n: fc.nat(40) }) },
      { weight: 3, arbitrary: fc.record({ kind: fc.constant("poll" as const), n: fc.nat(60) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant("end" as const), n: fc.nat(1) }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const window = new PullWindow(64, 6400);
        const open: number[] = [];
        let buffered = 0;
        const pull = () => {
          const next = window.next(buffered, buffered * 10);
          if (next !== undefined) open.push(next.records);
          expect(open.length).toBeLessThanOrEqual(2);
          expect(buffered + open.reduce((sum, left) => sum + left, 0)).toBeLessThanOrEqual(64);
        };
        pull();
        expect(open).toEqual([16]);
        for (const { kind, n } of steps) {
          if (kind === "poll") buffered = Math.max(0, buffered - n);
          for (let i = 0; kind === "deliver" && i < n && open.length > 0; i++) {
            const left = open.shift()! - 1;
            if (left > 0) open.push(left);
            buffered++;
            window.arrived();
            if (i % 3 === 0) pull();
          }
          if (kind === "end" && open.length > n) window.ended(open.splice(n, 1)[0]!, false);
          pull();
          expect(window.open).toBe(open.length > 0);
        }
      }),
    );
  });

  test("grows for a record that does not fit, and shrinks after it", () => {
    const window = new PullWindow(64, 4000);
    expect(window.next(0, 0)).toEqual({ records: 16, bytes: 1000 });
    window.ended(16, true);
    expect(window.next(0, 0)).toEqual({ records: 16, bytes: 2000 });
    window.ended(16, true);
    expect(window.next(0, 0)).toEqual({ records: 16, bytes: 4000 });
    window.arrived();
    window.ended(15, true);
    expect(window.next(1, 3000)).toBeUndefined();
    expect(window.next(0, 0)).toEqual({ records: 16, bytes: 1000 });
  });

  test("asks for the share that the connection bears, and still grows for a record that does not fit", () => {
    const window = new PullWindow(64, 4000);
    expect(window.next(0, 0, 1 / 4)).toEqual({ records: 16, bytes: 250 });
    window.ended(16, true);
    expect(window.next(0, 0, 1 / 4)).toEqual({ records: 16, bytes: 500 });
  });
});

test("subject filters", () => {
  for (const filter of ["a", "a.b", "*", ">", "a.*.c", "a.>"]) expect(isSubjectFilter(filter)).toBe(true);
  for (const filter of ["", "a.", ".a", "a..b", "a b", "a.>.b", "a*", ">>"])
    expect(isSubjectFilter(filter)).toBe(false);
  expect(filtersOverlap("a.*", "a.b")).toBe(true);
  expect(filtersOverlap("a.>", "a.b.c")).toBe(true);
  expect(filtersOverlap("*.b", "a.*")).toBe(true);
  expect(filtersOverlap("a.>", "a")).toBe(false);
  expect(filtersOverlap("a.*", "a.b.c")).toBe(false);
  expect(filtersOverlap("a.b", "a.c")).toBe(false);
});

test("a set of filters finds an overlap exactly where a comparison of all pairs does", () => {
  const token = fc.constantFrom("a", "b", "c", "*");
  const filter = fc
    .tuple(fc.array(token, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([tokens, open]) => [...tokens, ...(open ? [">"] : [])].join("."));
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 8 }), filter, (some, one) => {
      const set = new FilterSet();
      for (const it of some) set.add(it);
      const found = set.overlapping(one);
      expect(found !== undefined).toBe(some.some((it) => filtersOverlap(it, one)));
      if (found !== undefined) expect(filtersOverlap(found, one)).toBe(true);
    }),
    { numRuns: 2000 },
  );
});
