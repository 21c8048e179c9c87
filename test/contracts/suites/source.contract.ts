/** What every replayable source owes the engine, whatever it reads. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import type { SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import {
  type Source,
  type SourceReader,
  type SplitPosition,
  splitsOf,
} from "../../../src/dataflow/source.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";

/** Two splits with the records `0:0 … 0:<count-1>` and `1:0 … 1:<count-1>`. */
export interface SourceWorld {
  readonly nats: unknown;
  /** Bounded: ends where the input ends now. */
  bounded(): Source<string>;
  /** undefined: this source's input does not grow. */
  readonly unbounded: (() => Source<string>) | undefined;
  /** One more record per split. */
  grow(): Promise<void>;
  close(): Promise<void>;
}

export function describeSourceContract(name: string, open: (count: number) => Promise<SourceWorld>): void {
  describe(`source contract: ${name}`, () => {
    let world: SourceWorld;
    const readers: SourceReader<string>[] = [];

    beforeEach(async () => {
      world = await open(1000);
    });

    afterEach(async () => {
      for (const reader of readers.splice(0)) await reader.close();
      await world.close();
    });

    const environment = (): SubtaskEnvironment => ({
      job: "contract",
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      troubles: new Troubles(systemClock),
      signal: new AbortController().signal,
      nats: world.nats,
      incarnation: "i",
      generation: 1,
      nonce: "n",
      operator: "source",
      subtaskIndex: 0,
      parallelism: 1,
      fail: (error) => {
        throw error;
      },
    });

    async function openAll(
      source: Source<string>,
      positions?: readonly SplitPosition[],
    ): Promise<SourceReader<string>> {
      const from =
        positions ?? (await source.discover(environment())).map((split) => ({ split, position: undefined }));
      const reader = await source.open(environment(), from);
      readers.push(reader);
      return reader;
    }

    /** Polls until `count` records are there or the source has ended. */
    async function read(reader: SourceReader<string>, count: number, perPoll = 13): Promise<string[]> {
      const records: string[] = [];
      let wake = (): void => {};
      reader.onAvailable(() => wake());
      while (records.length < count) {
        const status = reader.poll(
          (record) => records.push(record),
          Math.min(perPoll, count - records.length),
        );
        if (status === "ended") break;
        if (status === "idle" && records.length < count) await woken((done) => (wake = done));
      }
      return records;
    }

    const ofSplit = (records: readonly string[], split: number) =>
      records.filter((record) => record.startsWith(`${split}:`));
    const whole = (split: number, count = 1000) => Array.from({ length: count }, (_, i) => `${split}:${i}`);

    test("gives every record of every split once, in the order of its split, and then ends", async () => {
      const source = world.bounded();
      expect(source.bounded).toBe(true);
      const reader = await openAll(source);
      const records = await read(reader, Number.POSITIVE_INFINITY);
      expect(ofSplit(records, 0)).toEqual(whole(0));
      expect(ofSplit(records, 1)).toEqual(whole(1));
      expect(reader.poll(() => expect.unreachable(), 10)).toBe("ended");
    });

    test("tells the split of each record, and what each split has left", async () => {
      const reader = await openAll(world.bounded());
      const wrong: string[] = [];
      let wake = (): void => {};
      reader.onAvailable(() => wake());
      for (;;) {
        const status = reader.poll((record) => {
          if (!record.startsWith(`${reader.currentSplit}:`)) wrong.push(record);
        }, 13);
        if (status === "ended") break;
        if (status === "idle") await woken((done) => (wake = done));
      }
      expect(wrong).toEqual([]);
      expect([0, 1].map((split) => reader.splitStatus?.(split))).toEqual(["ended", "ended"]);
    });

    test("gives nothing of a split that is paused, and all of it afterwards", async () => {
      const reader = await openAll(world.bounded());
      let isPaused = true;
      reader.pauseSplits?.((split) => isPaused && split === 1);
      const first = await read(reader, 1000);
      expect(first).toEqual(whole(0));
      expect(reader.poll(() => expect.unreachable(), 10)).toBe("idle");
      expect(reader.splitStatus?.(1)).not.toBe("ended");
      isPaused = false;
      reader.pauseSplits?.(() => false);
      expect(await read(reader, Number.POSITIVE_INFINITY)).toEqual(whole(1));
    });

    test("tells how much of its splits is left", async (context) => {
      const reader = await openAll(world.bounded());
      if (reader.splitPending === undefined) return context.skip("it does not know");
      const left = () => [0, 1].map((split) => reader.splitPending?.(split));
      expect(left()).toEqual([1000, 1000]);
      await read(reader, 500);
      expect(left().reduce((sum, one) => sum! + one!)).toBe(1500);
      await read(reader, Number.POSITIVE_INFINITY);
      expect(left()).toEqual([0, 0]);
    });

    test("never gives more than was asked for", async () => {
      const reader = await openAll(world.bounded());
      let given = 0;
      for (let all = 0; all < 20; all += given) {
        given = 0;
        const status = reader.poll(() => given++, 3);
        expect(given).toBeLessThanOrEqual(3);
        if (status === "idle") await woken((done) => reader.onAvailable(done));
      }
    });

    test.each([0, 1, 500, 1999, 2000])("goes on from a snapshot after %i records", async (count) => {
      const source = world.bounded();
      const first = await openAll(source);
      const before = await read(first, count);
      const positions = structuredClone(first.snapshot());
      await first.close();
      const after = await read(await openAll(source, positions), Number.POSITIVE_INFINITY);
      const records = [...before, ...after];
      expect(ofSplit(records, 0)).toEqual(whole(0));
      expect(ofSplit(records, 1)).toEqual(whole(1));
    });

    test("splits may be read by different subtasks", async () => {
      const source = world.bounded();
      const splits = await source.discover(environment());
      for (const index of [0, 1]) {
        const dealt = splitsOf(splits, index, 2).map((split) => ({ split, position: undefined }));
        const records = await read(await openAll(source, dealt), Number.POSITIVE_INFINITY);
        expect(records).toEqual(whole(index));
      }
    });

    test("a subtask without splits has nothing to read", async () => {
      const reader = await openAll(world.bounded(), []);
      expect(reader.poll(() => expect.unreachable(), 10)).toBe("ended");
      expect(reader.snapshot()).toEqual([]);
    });

    test("the end of bounded input is where it was at discovery (P31)", async () => {
      const source = world.bounded();
      const positions = (await source.discover(environment())).map((split) => ({
        split,
        position: undefined,
      }));
      await world.grow();
      const records = await read(await openAll(source, positions), Number.POSITIVE_INFINITY);
      expect(ofSplit(records, 0)).toEqual(whole(0));
      expect(ofSplit(records, 1)).toEqual(whole(1));
    });

    test("an unbounded source is idle at its end and wakes when there is more", async ({ skip }) => {
      if (world.unbounded === undefined) return skip("its input does not grow");
      const reader = await openAll(world.unbounded());
      await read(reader, 2000);
      let wake = (): void => {};
      reader.onAvailable(() => wake());
      const records: string[] = [];
      const grown = world.grow();
      while (records.length < 2) {
        const status = reader.poll((record) => records.push(record), 10);
        if (status === "idle" && records.length < 2) await woken((done) => (wake = done));
      }
      await grown;
      expect(records.sort()).toEqual(["0:1000", "1:1000"]);
    });
  });
}

function woken(arm: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the source never woke")), WAIT_BOUND_MS);
    arm(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
