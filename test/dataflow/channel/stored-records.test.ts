import { describe, expect, it } from "vitest";
import { FrameEncoder } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { countRecords, decodeStored, encodeStored } from "../../../src/dataflow/channel/stored-records.ts";
import { records } from "../../contracts/suites/channel.contract.ts";

describe("stored records", () => {
  it("come back, whether they were stored as frames or as the messages that carried them", () => {
    const timed = {
      kind: "records",
      values: [{ a: 1 }, { a: 2 }],
      timestamps: [5, 6],
      marks: [{ at: 1, watermark: 4, isIdle: false }],
    } as const;
    const encoder = new FrameEncoder();
    const message = encoder.records(17, timed.values, timed.timestamps, timed.marks);
    const bytes = Buffer.concat(
      [records("x", null), message, timed].flatMap((one) => encodeStored(one, encoder)),
    );
    expect([...decodeStored(bytes)]).toEqual([records("x", null), timed, timed]);
    expect([countRecords(timed), countRecords(message)]).toEqual([2, 2]);
    expect([...decodeStored(new Uint8Array())]).toEqual([]);
  });

  it("that are cut off or something else are refused", () => {
    const bytes = Buffer.concat(encodeStored(records(1, 2), new FrameEncoder()));
    expect(() => [...decodeStored(bytes.subarray(0, -1))]).toThrow("no records message");
    expect(() => [...decodeStored(bytes.subarray(0, 2))]).toThrow();
    expect(() => [...decodeStored(bytes.subarray(4))]).toThrow();
  });
});
