import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CheckpointOptions } from "../../../machines/protocol.ts";
import {
  decodeControl,
  decodeGrant,
  decodeRecords,
  encodeControl,
  encodeGrant,
  encodeTotal,
  FrameEncoder,
  kindOf,
  MESSAGE,
  sequenceOf,
} from "../../../src/dataflow/channel/frame-codec.ts";
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
    expect(() => decodeRecords(roundTrip([{ a: 1 }]).message.subarray(0, 18), new ColumnDecoder())).toThrow();
  });
});

describe("control frames", () => {
  const options: CheckpointOptions = {
    ...{ alignment: "aligned", alignedTimeoutMs: 0, triggeredAtMs: 1 },
    ...{ savepoint: null, stop: false },
  };
  const barrier = encodeControl(1, { kind: "barrier", checkpointId: 7, options });

  it("come back as they were", () => {
    expect(decodeControl(barrier)).toEqual({ kind: "barrier", checkpointId: 7, options });
  });

  it("are none when their numbers are no ids or counts", () => {
    for (const [kind, message] of [
      [MESSAGE.barrier, barrier],
      [MESSAGE.cancelMarker, encodeControl(1, { kind: "cancelMarker", checkpointId: 7 })],
      [MESSAGE.round, encodeControl(1, { kind: "round", round: 7, dirty: false })],
      [MESSAGE.grant, encodeGrant(1, 2, 3)],
    ] as const) {
      expect(kindOf(message)).toBe(kind);
      for (const wrong of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
        const copy = Buffer.from(message);
        copy.writeDoubleBE(wrong, 16);
        expect(kindOf(copy), `${wrong}`).toBeUndefined();
      }
    }
  });

  it("with options that are none are refused by field", () => {
    const wrong = { ...options, alignment: "sideways" } as never;
    const message = encodeControl(1, { kind: "barrier", checkpointId: 7, options: wrong });
    expect(() => decodeControl(message)).toThrow(/alignment: .*found 'sideways'/);
    expect(() => decodeControl(barrier.subarray(0, 26))).toThrow("no options of a checkpoint");
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
    const barrier = encodeControl(9, barrierFrame(2 ** 41));
    expect(barrier.length).toBeLessThan(150);
    expect(sequenceOf(barrier)).toBe(9);
    expect(decodeControl(barrier)).toEqual(barrierFrame(2 ** 41));
    const savepoint = barrierFrame(7, "aligned-with-timeout", 100);
    const options = { ...savepoint.options, savepoint: "file:///over/there", stop: true } as const;
    expect(decodeControl(encodeControl(9, { ...savepoint, options }))).toEqual({ ...savepoint, options });
    const marker = { kind: "cancelMarker", checkpointId: 2 ** 41 } as const;
    expect(decodeControl(encodeControl(9, marker))).toEqual(marker);
    expect(decodeControl(encodeControl(10, { kind: "endOfData" }))).toEqual({ kind: "endOfData" });
    expect(sequenceOf(encodeTotal(11))).toBe(11);
    expect(decodeGrant(encodeGrant(5, 3, 99_000))).toEqual({ framesTaken: 3, bytesTaken: 99_000 });
  });

  it("that are cut off or of another format are no messages", () => {
    const barrier = encodeControl(9, barrierFrame(1));
    expect(kindOf(barrier)).toBe(MESSAGE.barrier);
    expect(kindOf(barrier.subarray(0, 23))).toBeUndefined();
    expect(() => decodeControl(barrier.subarray(0, -1))).toThrow();
    expect(
      kindOf(encodeControl(9, { kind: "cancelMarker", checkpointId: 1 }).subarray(0, 23)),
    ).toBeUndefined();
    expect(kindOf(new Uint8Array(0))).toBeUndefined();
    expect(kindOf(new Uint8Array(16))).toBeUndefined();
    expect(kindOf(encodeGrant(1, 1, 1).subarray(0, 24))).toBeUndefined();
  });
});
