/** Joins whose windows or interval are others than those of the state that is restored. */
import { describe, expect, test } from "vitest";
import {
  ascendingTimestamps,
  defineJob,
  type Job,
  type KeyedStream,
  type Stream,
  sessionWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}
type Side = KeyedStream<Item, string>;

const jobOf = (build: (left: Side, right: Side) => Stream<string, never>): Job =>
  defineJob("joined", {}, (job) => {
    const side = (id: string): Side =>
      job
        .source<Item>(id, testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
        .keyBy(({ key }) => key);
    build(side("left"), side("right")).sink("out", testSink());
  });

const shown = (left: Item, right: Item): string => `${left.at} with ${right.at}`;
const joinedIn = (windows: WindowAssigner, options: object = {}): Job =>
  jobOf((left, right) => left.join(right).window(windows, options).process("pairs", shown));
const groupedIn = (windows: WindowAssigner, options: object = {}): Job =>
  jobOf((left, right) =>
    left
      .coGroup(right)
      .window(windows, options)
      .process("pairs", (all) => String(all.length)),
  );
const within = (lower: number, upper: number, options: object = {}): Job =>
  jobOf((left, right) => left.intervalJoin(right).between(lower, upper, options).process("pairs", shown));

const size100 = tumblingWindows({ size: 100 });
const size70 = tumblingWindows({ size: 70 });
const finishing = { migrateWindows: "finish-old" };

/** What comes out behind the change: a pair was open at 110 and 130, and others come at 145 and 150. */
async function changed(before: Job, after: Job): Promise<string[]> {
  const first = await createTestHarness(before);
  await first.push("left", { key: "a", at: 110 });
  await first.push("right", { key: "a", at: 130 });
  for (const side of ["left", "right"]) await first.watermark(side, 109);
  const snapshot = first.snapshot();
  await first.close();
  const second = await createTestHarness(after, { restore: snapshot });
  await second.push("left", { key: "a", at: 145 });
  await second.push("right", { key: "a", at: 150 });
  await second.end();
  const out = second.output<string>("out");
  await second.close();
  return out;
}

describe("window joins", () => {
  test.each([
    ["others of their kind", size70],
    ["sessions", sessionWindows({ gap: 20 })],
  ])(
    "pair what old windows hold at their own end, and new records in new windows: %s",
    async (_, windows) => {
      const out = await changed(joinedIn(size100), joinedIn(windows, finishing));
      expect(out.toSorted()).toEqual(["110 with 130", "145 with 150"]);
    },
  );

  test("begin without them, if they are dropped", async () => {
    expect(await changed(joinedIn(size100), joinedIn(size70, { migrateWindows: "drop-old" }))).toEqual([
      "145 with 150",
    ]);
  });

  test.each([
    ["join", joinedIn],
    ["coGroup", groupedIn],
  ])("with other windows are refused by their name, where nothing is said: %s", async (_, job) => {
    await expect(changed(job(size100), job(size70))).rejects.toThrow(
      /operator pairs has windows \(tumbling 70 ms\) now and had others \(tumbling 100 ms\).*say by migrateWindows/,
    );
  });

  test.each([
    ["join", joinedIn],
    ["coGroup", groupedIn],
  ])("know two words, and name another one: %s", (_, job) => {
    for (const word of ["finish", "drop", true, null])
      expect(() => job(size100, { migrateWindows: word })).toThrow(
        /operator "pairs": migrateWindows must be "finish-old" or "drop-old", got /,
      );
    expect(() => job(size100, { migrateWindow: "finish-old" })).toThrow(
      /operator "pairs": .*"migrateWindow".*migrateWindows/,
    );
  });
});

describe("interval joins", () => {
  test("with another interval are refused by their name, with both", async () => {
    await expect(changed(within(-50, 50), within(-50, 100))).rejects.toThrow(
      /operator pairs has .*from -50 ms to 100 ms.*had others .*from -50 ms to 50 ms/,
    );
  });

  test("have no windows that could be finished: the option is refused", () => {
    expect(() => within(-50, 50, finishing)).toThrow(/operator "pairs": .*"migrateWindows"/);
  });
});
