import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CheckpointOptions } from "../../../machines/protocol.ts";
import {
  decodeControl,
  decodeGrant,
  decodeRecords,
  decodeTotal,
  digestBefore,
  encodeControl,
  encodeGrant,
  encodeTotal,
  FrameEncoder,
  kindOf,
  MESSAGE,
  sequenceOf,
} from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { ColumnDecoder } from "../../../src/state/snapshot/columns.ts";
import { anything } from "../../support/anything.ts";
import { barrierFrame } from "../../support/frames.ts";

const PLAIN_MAPS = 2;

function roundTrip(values: readonly unknown[], timestamps?: readonly number[], encoder = new FrameEncoder()) {
  const message = encoder.records(1, values, timestamps);
  return { message, frame: decodeRecords(message, new ColumnDecoder()) };
}

describe("records", () => {
  it("carry number, count, values and timestamps", () => {
    const values = [{ word: "a" }, "b", 3, null];
    const { message, frame } = roundTrip(values, [1, 2.5, NO_TIMESTAMP, 2 ** 50]);
    expect(kindOf(message)).toBe(MESSAGE.records);
    expect(sequenceOf(new FrameEncoder().records(2 ** 40, values, undefined))).toBe(2 ** 40);
    expect(frame).toEqual({ kind: "records", values, timestamps: [1, 2.5, NO_TIMESTAMP, 2 ** 50] });
    expect(Array.isArray(frame.timestamps)).toBe(true);
  });

  it("take no bytes for timestamps that are not there", () => {
    const values = Array.from({ length: 1000 }, (_, i) => i % 30);
    const without = roundTrip(values).message.length;
    const withThem = roundTrip(
      values,
      values.map((i) => i),
    ).message.length;
    expect(without).toBeLessThan(1100);
    expect(withThem - without).toBeGreaterThan(7999);
  });

  it("come back as they were", () => {
    const value = anything({ key: fc.string() });
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 20 }), (values) => {
        expect(roundTrip(values).frame.values).toEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  it("do not alias the message", () => {
    const { message, frame } = roundTrip([{ bytes: new Uint8Array([1, 2, 3]) }, new Float32Array([1.5])]);
    message.fill(0);
    expect(frame.values).toEqual([{ bytes: new Uint8Array([1, 2, 3]) }, new Float32Array([1.5])]);
  });

  it("are refused when the content is not what the header says", () => {
    const message = Buffer.from(roundTrip([1, 2, 3]).message);
    message.writeUInt32BE(4, 4);
    expect(() => decodeRecords(message, new ColumnDecoder())).toThrow("4 records");
    expect(() => decodeRecords(roundTrip([{ a: 1 }]).message.subarray(0, 22), new ColumnDecoder())).toThrow();
  });
});

describe("records of any bytes", () => {
  it("are records, or an error, and cost no more than their bytes do", () => {
    const seeds = [
      new FrameEncoder().records(1, [{ a: 1, b: "x" }, "text", [1, 2]], [1, 2, 3]),
      new FrameEncoder().records(
        1,
        Array.from({ length: 20 }, (_, i) => ({ user: `u${i}`, score: i / 3, on: i > 3 })),
        undefined,
      ),
    ];
    const bytes = fc.record({
      seed: fc.constantFrom(...seeds),
      changes: fc.array(fc.record({ at: fc.nat(400), to: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
    });
    fc.assert(
      fc.property(bytes, ({ seed, changes }) => {
        const message = Buffer.from(seed);
        for (const { at, to } of changes) message[at % message.length] = to;
        if (kindOf(message) !== MESSAGE.records) return;
        let frame: ReturnType<typeof decodeRecords> | undefined;
        try {
          frame = decodeRecords(message, new ColumnDecoder());
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
        }
        if (frame !== undefined) expect(frame.values.length).toBeLessThanOrEqual(message.length);
      }),
      { numRuns: 2000 },
    );
  });

  it("with a count beyond their bytes cost nothing (FC4)", () => {
    const forged = Buffer.from(new FrameEncoder().records(1, [1, 2, 3], [1, 2, 3]));
    forged.writeUInt32BE(200_000_000, 4);
    const before = process.memoryUsage().rss;
    expect(() => decodeRecords(forged, new ColumnDecoder())).toThrow("200000000 timestamps");
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
  });
});

describe("control frames", () => {
  const options: CheckpointOptions = {
    ...{ alignment: "aligned", alignedTimeoutMs: 0, triggeredAtMs: 1, base: 6 },
    ...{ savepoint: null, stop: false },
  };
  const barrier = encodeControl(1, { kind: "barrier", checkpointId: 7, options }, 9);

  it("come back as they were", () => {
    expect(decodeControl(barrier)).toEqual({ kind: "barrier", checkpointId: 7, options });
  });

  it("are none when their numbers are no ids or counts", () => {
    for (const [kind, message] of [
      [MESSAGE.barrier, barrier],
      [MESSAGE.cancelMarker, encodeControl(1, { kind: "cancelMarker", checkpointId: 7 }, 9)],
      [MESSAGE.round, encodeControl(1, { kind: "round", round: 7, dirty: false }, 9)],
      [MESSAGE.grant, encodeGrant(1, 2, 3)],
    ] as const) {
      expect(kindOf(message)).toBe(kind);
      for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
        const copy = Buffer.from(message);
        copy.writeDoubleBE(wrong, 20);
        expect(kindOf(copy), `${wrong}`).toBeUndefined();
      }
    }
  });

  it("with options that are none are refused by field", () => {
    const wrong = { ...options, alignment: "sideways" } as never;
    const message = encodeControl(1, { kind: "barrier", checkpointId: 7, options: wrong }, 9);
    expect(() => decodeControl(message)).toThrow(/alignment: .*found a text of 8 characters/);
    expect(() => decodeControl(barrier.subarray(0, 38))).toThrow("no options of a checkpoint");
  });
});

describe("records with ever new shapes", () => {
  const dictionary = (i: number) => ({ [`user-${i}`]: { score: i } });
  const many = Array.from({ length: 500 }, (_, i) => dictionary(i));

  it("go as plain maps, and back again when the shapes settle", () => {
    const encoder = new FrameEncoder();
    const first = roundTrip(many, undefined, encoder);
    expect(first.message[2]! & PLAIN_MAPS).toBe(PLAIN_MAPS);
    expect(first.frame.values).toEqual(many);
    const steady = many.map((_, i) => ({ i }));
    let flags = PLAIN_MAPS;
    for (let i = 0; i < 200 && (flags & PLAIN_MAPS) !== 0; i++)
      flags = roundTrip(steady, undefined, encoder).message[2]!;
    expect(flags & PLAIN_MAPS).toBe(0);
  });

  it("are noticed when they are nested", () => {
    const nested = many.map((value) => ({ fixed: 1, by: [value] }));
    expect(roundTrip(nested).message[2]! & PLAIN_MAPS).toBe(PLAIN_MAPS);
  });

  it("never lose what plain maps cannot carry (FC2)", () => {
    const extras = [new Map([["k", 1]]), new Set([new Map()]), [[new Map()]], { deep: { map: new Map() } }];
    for (const extra of [...extras, -0, "\ud83d", Buffer.from("ab")]) {
      const values = [...many, extra];
      const { message, frame } = roundTrip(values);
      expect(message[2]! & PLAIN_MAPS).toBe(0);
      expect(isDeepStrictEqual(frame.values, values)).toBe(true);
    }
    const dates = [...many, new Date(7), new Uint8Array([1]), 12n, undefined];
    const { message, frame } = roundTrip(dates);
    expect(message[2]! & PLAIN_MAPS).toBe(PLAIN_MAPS);
    expect(frame.values).toEqual(dates);
  });

  it("of a stable kind keep their shapes inline", () => {
    const steady = Array.from({ length: 1000 }, (_, i) => ({ user: `u${i}`, score: i, active: true }));
    const { message, frame } = roundTrip(steady);
    expect(message[2]! & PLAIN_MAPS).toBe(0);
    expect(message.length / steady.length).toBeLessThan(12);
    expect(frame.values).toEqual(steady);
  });
});

describe("control messages", () => {
  it("are tiny and come back", () => {
    const barrier = encodeControl(9, barrierFrame(2 ** 41), 9);
    expect(barrier.length).toBeLessThan(150);
    expect(sequenceOf(barrier)).toBe(9);
    expect(decodeControl(barrier)).toEqual(barrierFrame(2 ** 41));
    expect(digestBefore(barrier)).toBe(9);
    const savepoint = barrierFrame(7, "aligned-with-timeout", 100);
    const options = { ...savepoint.options, savepoint: "file:///over/there", stop: true } as const;
    expect(decodeControl(encodeControl(9, { ...savepoint, options }, 9))).toEqual({ ...savepoint, options });
    const marker = { kind: "cancelMarker", checkpointId: 2 ** 41 } as const;
    expect(decodeControl(encodeControl(9, marker, 9))).toEqual(marker);
    expect(decodeControl(encodeControl(10, { kind: "endOfData" }, 9))).toEqual({ kind: "endOfData" });
    const total = encodeTotal(11, 3, 2 ** 32 - 1);
    expect(sequenceOf(total)).toBe(11);
    expect(decodeTotal(total)).toEqual({ number: 3, digest: 2 ** 32 - 1 });
    expect(decodeGrant(encodeGrant(5, 3, 99_000))).toEqual({ framesTaken: 3, bytesTaken: 99_000 });
  });

  it("that are cut off or of another format are no messages", () => {
    const barrier = encodeControl(9, barrierFrame(1), 9);
    expect(kindOf(barrier)).toBe(MESSAGE.barrier);
    expect(kindOf(barrier.subarray(0, 35))).toBeUndefined();
    expect(() => decodeControl(barrier.subarray(0, -1))).toThrow();
    expect(
      kindOf(encodeControl(9, { kind: "cancelMarker", checkpointId: 1 }, 9).subarray(0, 27)),
    ).toBeUndefined();
    expect(kindOf(new Uint8Array(0))).toBeUndefined();
    expect(kindOf(new Uint8Array(20))).toBeUndefined();
    expect(kindOf(encodeGrant(1, 1, 1).subarray(0, 28))).toBeUndefined();
  });
});
