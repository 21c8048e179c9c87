/**
 * Windows with a bound that is too small for the disorder of their records. Where a watermark follows each record of
 * one split it is exact which records fire a window again and which are late.
 */
import { type Stream, tumblingWindows } from "../../../src/index.ts";
import type { ExpectedRow, Row } from "../verdict.ts";
import type { TimedRecord } from "./workload.ts";

export const STRICT = { split: 0, disorderMs: 300, sizeMs: 500, latenessMs: 500 };

export const floorTo = (at: number, size: number): number => Math.floor(at / size) * size;

export function strictBranch(records: Stream<TimedRecord>): Stream<Row> {
  const strict = records
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: STRICT.sizeMs }), {
      allowedLateness: STRICT.latenessMs,
      lateOutput: "late",
    })
    .process("strict", (records, { key, window, firing, index }): Row => {
      const numbers = records.map(({ n }) => n);
      return { branch: "strict", key, of: `${window.start}/${index}`, value: { firing, numbers } };
    });
  const late = strict
    .sideOutput("late")
    .map("late", ({ value: { key, n }, cause }): Row => ({ branch: "late", key, of: n, value: cause }));
  return strict.union(late);
}

/** The split record by record: each meets the watermark that the records in front of it have made. */
export function* expectedStrict(split: readonly TimedRecord[]): Generator<ExpectedRow> {
  const windows = new Map<string, { key: string; start: number; numbers: number[]; firings: number }>();
  let watermark = Number.NEGATIVE_INFINITY;
  let rank = 0;
  const lastMsOf = (start: number): number => start + STRICT.sizeMs - 1;
  const fire = (
    one: { key: string; start: number; numbers: number[]; firings: number },
    firing: "onTime" | "late",
  ): ExpectedRow => ({
    branch: "strict",
    key: one.key,
    of: `${one.start}/${one.firings++}`,
    value: { firing, numbers: [...one.numbers] },
    rank: rank++,
  });
  function* advance(to: number): Generator<ExpectedRow> {
    const due = [...windows.values()].filter(
      ({ start }) => lastMsOf(start) > watermark && lastMsOf(start) <= to,
    );
    for (const one of due.sort((a, b) => a.start - b.start)) yield fire(one, "onTime");
    watermark = to;
  }
  for (const { key, n, at } of split) {
    const start = floorTo(at, STRICT.sizeMs);
    if (lastMsOf(start) + STRICT.latenessMs <= watermark)
      yield { branch: "late", key, of: n, value: "late", rank: rank++ };
    else {
      const name = `${key} ${start}`;
      const one = windows.get(name) ?? { key, start, numbers: [], firings: 0 };
      windows.set(name, one);
      one.numbers.push(n);
      if (lastMsOf(start) <= watermark) yield fire(one, "late");
    }
    yield* advance(Math.max(watermark, at - STRICT.disorderMs - 1));
  }
  yield* advance(Number.POSITIVE_INFINITY);
}
