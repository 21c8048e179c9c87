/** Which sources keep pace without being told to, with whom, and how closely. */
import { describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import {
  ascendingTimestamps,
  calendarWindows,
  countWindows,
  defineJob,
  type JobBuilder,
  type SourceOptions,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../../src/index.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}

const MINUTE = 60_000;
const timed: SourceOptions<Item> = { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() };

const sourceOf = (job: JobBuilder, id: string, options: SourceOptions<Item> = timed) =>
  job.source(id, memorySource([new MemoryLog<Item>()]), options);

const out = () => memorySink(new MemorySinkTarget<Item>());

/** The drift of each source that keeps pace, in ms, by its group. */
function pacesOf(build: (job: JobBuilder) => void): Record<string, Record<string, number>> {
  const groups: Record<string, Record<string, number>> = {};
  for (const { definition } of defineJob("job", {}, build).operators) {
    const { alignment } = definition.details.eventTime ?? {};
    if (alignment?.isDefault !== true) continue;
    groups[alignment.group] = { ...groups[alignment.group], [definition.id]: alignment.maxDriftMs };
  }
  return groups;
}

const windowed =
  (assigner: WindowAssigner<Item>, options = timed) =>
  (job: JobBuilder) =>
    sourceOf(job, "in", options)
      .keyBy(({ key }) => key)
      .window(assigner)
      .reduce("count", (a) => a)
      .sink("out", out());

describe("a source keeps pace by default", () => {
  test.each([
    ["a tumbling window", tumblingWindows({ size: "5 min" }), 5 * MINUTE],
    ["a sliding window", slidingWindows({ size: "10 min", slide: "1 min" }), 10 * MINUTE],
    ["a session's gap", sessionWindows<Item>({ gap: "2 min" }), 2 * MINUTE],
    ["a calendar day", calendarWindows({ every: "day" }), 24 * 60 * MINUTE],
    ["a second at least", tumblingWindows({ size: "10 ms" }), 1000],
  ])("by %s", (_, assigner, driftMs) => {
    expect(Object.values(pacesOf(windowed(assigner)))).toEqual([{ in: driftMs }]);
  });

  test.each([
    ["windows of a count", windowed(countWindows({ size: 3 }))],
    ["windows of processing time", windowed(tumblingWindows({ size: "1 min", time: "processing" }))],
    ["sessions whose gaps follow from the records", windowed(sessionWindows<Item>({ gap: () => 5 }))],
    [
      "a map",
      (job: JobBuilder) =>
        sourceOf(job, "in")
          .map("map", (item) => item)
          .sink("out", out()),
    ],
    ['windows, but with "off"', windowed(tumblingWindows({ size: "1 min" }), { ...timed, alignment: "off" })],
    [
      "windows, but with an alignment of its own",
      windowed(tumblingWindows({ size: "1 min" }), { ...timed, alignment: { maxDrift: "1 h" } }),
    ],
    [
      "windows of another event time",
      (job: JobBuilder) =>
        sourceOf(job, "in")
          .assignTimestamps("again", { watermarks: ascendingTimestamps() })
          .keyBy(({ key }) => key)
          .window(tumblingWindows({ size: "1 min" }))
          .reduce("count", (a) => a)
          .sink("out", out()),
    ],
  ])("not in front of %s", (_, build) => {
    expect(pacesOf(build)).toEqual({});
  });

  test("by the longest of the windows behind it, and alone where sources do not meet", () => {
    const paces = pacesOf((job) => {
      for (const [id, size] of [
        ["a", "1 min"],
        ["b", "3 min"],
      ] as const) {
        const first = sourceOf(job, id)
          .keyBy(({ key }) => key)
          .window(tumblingWindows({ size }))
          .reduce(`${id}-count`, (item) => item);
        first
          .keyBy(({ key }) => key)
          .window(tumblingWindows({ size: "1 h" }))
          .reduce(`${id}-hours`, (item) => item)
          .sink(`${id}-out`, out());
        first.sink(`${id}-minutes`, out());
      }
      sourceOf(job, "other").sink("other-out", out());
    });
    expect(Object.values(paces)).toEqual([{ a: 60 * MINUTE }, { b: 60 * MINUTE }]);
  });

  test("with the sources that it meets in a join or behind a union", () => {
    const paces = pacesOf((job) => {
      const keyed = (id: string) => sourceOf(job, id).keyBy(({ key }) => key);
      keyed("a")
        .intervalJoin(keyed("b"))
        .between("-1 min", "2 min")
        .process("join", (left) => left)
        .sink("pairs", out());
      sourceOf(job, "c")
        .map("map", (item) => item)
        .union(sourceOf(job, "d").filter("filter", () => true))
        .keyBy(({ key }) => key)
        .window(tumblingWindows({ size: "1 min" }))
        .reduce("count", (item) => item)
        .sink("counts", out());
    });
    expect(Object.values(paces)).toEqual([
      { a: 3 * MINUTE, b: 3 * MINUTE },
      { c: MINUTE, d: MINUTE },
    ]);
  });
});
