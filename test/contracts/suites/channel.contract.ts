/** What every channel does (src/dataflow/channel/channel.ts), whatever carries it. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { InputChannel, OutputChannel } from "../../../src/dataflow/channel/channel.ts";
import type { ControlFrame, Frame, RecordsFrame } from "../../../src/dataflow/channel/frame.ts";
import { FrameEncoder } from "../../../src/dataflow/channel/remote/frame-codec.ts";
import { decodeStored, encodeStored } from "../../../src/dataflow/channel/stored-records.ts";
import { InvariantError } from "../../../src/errors.ts";
import { barrierFrame } from "../../support/frames.ts";

export interface OpenedChannel {
  readonly output: OutputChannel;
  readonly input: InputChannel;
  /** Resolves when all that was sent, in both directions, has arrived. */
  settle(): Promise<void>;
  /** What the channel reported as failures. */
  readonly failures: readonly Error[];
  close(): Promise<void>;
}

/** Opens a channel whose window holds `framesMax` records frames. */
export type OpenChannel = (framesMax: number) => Promise<OpenedChannel>;

export function records(...values: unknown[]): RecordsFrame {
  return { kind: "records", values, timestamps: undefined, marks: undefined };
}

/** @param marks the place, the watermark and whether the sender is idle, of each */
export function marked(
  values: readonly unknown[],
  ...marks: readonly (readonly [at: number, watermark: number, isIdle: boolean])[]
): RecordsFrame {
  return {
    kind: "records",
    values,
    timestamps: undefined,
    marks: marks.map(([at, watermark, isIdle]) => ({ at, watermark, isIdle })),
  };
}

export function channelContract(name: string, open: OpenChannel, runs = 50): void {
  const withChannel = async (framesMax: number, body: (channel: OpenedChannel) => Promise<void>) => {
    const channel = await open(framesMax);
    try {
      await channel.output.opened();
      await body(channel);
      expect(channel.failures).toEqual([]);
    } finally {
      await channel.close();
    }
  };

  describe(`channel contract: ${name}`, () => {
    it("hands over records, timestamps, barriers and the end in the order sent", () =>
      withChannel(8, async ({ output, input, settle }) => {
        const frames: Frame[] = [
          records({ word: "a", count: 1 }, { word: "b", count: 2 }),
          {
            kind: "records",
            values: ["x", null, 3],
            timestamps: [10, 20, Number.NEGATIVE_INFINITY],
            marks: undefined,
          },
          marked(["y", "z"], [0, 5, false], [2, 7, true]),
          marked([], [0, Number.NEGATIVE_INFINITY, true]),
          barrierFrame(7),
          records(new Map([["k", 1n]]), new Date(5), [undefined, Number.NaN]),
          { kind: "endOfData" },
          barrierFrame(2 ** 40, "aligned-with-timeout", 250),
          { kind: "cancelMarker", checkpointId: 2 ** 40 + 1 },
          { kind: "round", round: 2 ** 33, dirty: true },
          { kind: "round", round: 2 ** 33 + 1, dirty: false },
        ];
        for (const frame of frames) output.send(frame);
        await settle();
        expect(takeAll(input)).toEqual(frames);
        expect(input.take()).toBeUndefined();
      }));

    it("shows the next frame without taking it", () =>
      withChannel(8, async ({ output, input, settle }) => {
        expect(input.peek()).toBeUndefined();
        output.send(records(1));
        output.send(records(2));
        await settle();
        expect(input.peek()).toEqual(records(1));
        expect(input.peek()).toEqual(records(1));
        expect(input.take()).toEqual(records(1));
        expect(input.peek()).toEqual(records(2));
      }));

    it("knows how many records wait", () =>
      withChannel(8, async ({ output, input, settle }) => {
        output.send(records(1, 2));
        output.send({ kind: "round", round: 1, dirty: true });
        output.send(records(3));
        await settle();
        expect(input.waitingRecords).toBe(3);
        input.take();
        expect(input.waitingRecords).toBe(1);
        takeAll(input);
        expect(input.waitingRecords).toBe(0);
      }));

    it("has no credit when the window is full, and has it again when the reader took what was there", () =>
      withChannel(8, async ({ output, input, settle }) => {
        let wakes = 0;
        output.onRoom(() => wakes++);
        expect(sendWhileCredit(output)).toBe(8);
        await settle();
        expect(output.hasRoom()).toBe(false);
        expect(takeAll(input)).toHaveLength(8);
        await settle();
        expect(output.hasRoom()).toBe(true);
        expect(wakes).toBeGreaterThan(0);
        expect(sendWhileCredit(output)).toBe(8);
      }));

    it("refuses records without credit", () =>
      withChannel(8, async ({ output }) => {
        sendWhileCredit(output);
        expect(() => output.send(records("too much"))).toThrow(InvariantError);
      }));

    it("lets control frames pass a full window, in their place", () =>
      withChannel(8, async ({ output, input, settle }) => {
        sendWhileCredit(output);
        output.send(barrierFrame(1));
        output.send({ kind: "endOfData" });
        await settle();
        const kinds = takeAll(input).map((frame) => frame.kind);
        expect(kinds).toEqual([...Array(8).fill("records"), "barrier", "endOfData"]);
      }));

    it("carries an overdraft in its place, and gives credit only when it is paid", () =>
      withChannel(8, async ({ output, input, settle }) => {
        sendWhileCredit(output);
        output.overdraw(records("overdrawn"));
        output.send(barrierFrame(1));
        await settle();
        for (let i = 0; i < 8; i++) input.take();
        expect(input.take()).toEqual(records("overdrawn"));
        expect(input.take()).toEqual(barrierFrame(1));
        await settle();
        expect(output.hasRoom()).toBe(true);
      }));

    it("wakes the reader when a frame arrives at an empty channel", () =>
      withChannel(8, async ({ output, input, settle }) => {
        let wakes = 0;
        input.onFrame(() => wakes++);
        output.send(records(1));
        await settle();
        expect(wakes).toBeGreaterThan(0);
        input.take();
        wakes = 0;
        output.send(barrierFrame(1));
        await settle();
        expect(wakes).toBeGreaterThan(0);
      }));

    it("tells of barriers and markers when they arrive, in front of whatever is read (CN4)", () =>
      withChannel(8, async ({ output, input, settle }) => {
        const heard: Frame[] = [];
        input.onArrival((frame) => heard.push(frame));
        output.send(records(1));
        output.send(barrierFrame(1));
        output.send({ kind: "endOfData" });
        output.send({ kind: "cancelMarker", checkpointId: 2 });
        await settle();
        expect(heard).toEqual([barrierFrame(1), { kind: "cancelMarker", checkpointId: 2 }]);
        expect(takeAll(input)).toHaveLength(4);
      }));

    it("collects what waits in front of a barrier, and takes nothing away (CN5)", () =>
      withChannel(8, async ({ output, input, settle }) => {
        const timed: Frame = { kind: "records", values: ["x", "y"], timestamps: [10, 20], marks: undefined };
        for (const frame of [records(0), records(1, 2), barrierFrame(1), timed, barrierFrame(2), records(3)])
          output.send(frame);
        await settle();
        input.take();
        expect(collect(input, 1)).toEqual([records(1, 2)]);
        expect(collect(input, 2)).toEqual([records(1, 2), timed]);
        expect(takeAll(input)).toEqual([records(1, 2), barrierFrame(1), timed, barrierFrame(2), records(3)]);
      }));

    it("collects what still comes until the barrier does, whatever is read meanwhile (CN5)", () =>
      withChannel(8, async ({ output, input, settle }) => {
        output.send(records(1));
        await settle();
        const collected = collect(input, 5);
        input.take();
        output.send(barrierFrame(4));
        output.send(records(2));
        output.send({ kind: "endOfData" });
        await settle();
        expect(takeAll(input)).toHaveLength(3);
        output.send(barrierFrame(5));
        output.send(records(3));
        await settle();
        expect(collected).toEqual([records(1), records(2)]);
      }));

    it("stops collecting at a marker, at a newer barrier, and when it is told to", () =>
      withChannel(8, async ({ output, input, settle }) => {
        const last: readonly (ControlFrame | undefined)[] = [
          { kind: "cancelMarker", checkpointId: 5 },
          barrierFrame(6),
          undefined,
        ];
        for (const frame of last) {
          const collected = collect(input, 5);
          output.send(records(1));
          if (frame !== undefined) output.send(frame);
          await settle();
          if (frame === undefined) input.stopCollecting();
          output.send(records(2));
          await settle();
          expect(collected).toEqual([records(1)]);
          takeAll(input);
        }
      }));

    it("ignores what is sent to a reader that has closed", () =>
      withChannel(8, async ({ output, input, settle }) => {
        input.close();
        output.send(records(1));
        output.send(barrierFrame(1));
        await settle();
        expect(input.take()).toBeUndefined();
      }));

    it("keeps order and window under any interleaving of writer and reader", async () => {
      const step = fc.oneof(
        fc.constant("send" as const),
        fc.constant("send" as const),
        fc.constant("take" as const),
        fc.constant("take" as const),
        fc.constant("barrier" as const),
        fc.constant("settle" as const),
      );
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 9 }),
          fc.array(step, { maxLength: 120 }),
          (framesMax, steps) =>
            withChannel(framesMax, async ({ output, input, settle }) => {
              const sent: Frame[] = [];
              const taken: Frame[] = [];
              const recordsIn = (frames: Frame[]) =>
                frames.filter((frame) => frame.kind === "records").length;
              for (const next of steps) {
                if (next === "settle") await settle();
                if (next === "take") {
                  const frame = input.take();
                  if (frame !== undefined) taken.push(frame);
                }
                const frame: Frame | undefined =
                  next === "barrier"
                    ? barrierFrame(sent.length)
                    : next === "send" && output.hasRoom()
                      ? records({ at: sent.length })
                      : undefined;
                if (frame === undefined) continue;
                output.send(frame);
                sent.push(frame);
                expect(recordsIn(sent) - recordsIn(taken)).toBeLessThanOrEqual(framesMax);
              }
              await settle();
              taken.push(...takeAll(input));
              expect(taken).toEqual(sent);
            }),
        ),
        { numRuns: runs },
      );
    });
  });
}

/** Decoded, whatever carries them. */
function collect(input: InputChannel, checkpointId: number): RecordsFrame[] {
  const collected: RecordsFrame[] = [];
  const encoder = new FrameEncoder();
  input.collectBefore(checkpointId, (one) =>
    collected.push(...decodeStored(Buffer.concat(encodeStored(one, encoder)))),
  );
  return collected;
}

export function takeAll(input: InputChannel): Frame[] {
  const frames: Frame[] = [];
  for (let frame = input.take(); frame !== undefined; frame = input.take()) frames.push(frame);
  return frames;
}

function sendWhileCredit(output: OutputChannel): number {
  let sent = 0;
  while (output.hasRoom() && sent < 10_000) output.send(records(sent++));
  return sent;
}
