/** Timestamps that are no milliseconds, in a whole job: nothing fails, so the user is told. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { ascendingTimestamps } from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

let world: MemoryWorld;

afterEach(() => world.close());

/** A job with one source of these timestamps. */
async function reading(timestampOf: (nowMs: number) => number): Promise<MemoryLog<number>> {
  const log = new MemoryLog<number>();
  world = new MemoryWorld({
    parallelism: 1,
    bounded: false,
    build: (job) =>
      job
        .source("clicks", memorySource([log]), {
          timestamp: (at) => at,
          watermarks: ascendingTimestamps(),
          watermarkInterval: 10,
        })
        .sink("out", memorySink(new MemorySinkTarget<number>())),
  });
  await world.begins(0);
  log.append(timestampOf(Date.now()));
  return log;
}

const told = (change: "began" | "passed") =>
  world.events.filter(({ event, what }) => event === `trouble.${change}` && /timestamps/.test(String(what)));

test.each<[string, (nowMs: number) => number, RegExp]>([
  ["seconds", (nowMs) => Math.floor(nowMs / 1000), /January 1970.*give milliseconds, seconds \* 1000/],
  ["microseconds", (nowMs) => nowMs * 1000, /far future.*Math\.floor\(microseconds \/ 1000\)/],
])("%s: a trouble says so", async (_, timestampOf, reason) => {
  await reading(timestampOf);
  await until("the trouble", () => told("began").length > 0);
  expect(told("began")[0]).toMatchObject({
    what: 'reading the timestamps of source "clicks" as milliseconds',
    reason: expect.stringMatching(reason),
  });
});

test("a trouble of one record is over when the next ones are milliseconds", async () => {
  const log = await reading((nowMs) => Math.floor(nowMs / 1000));
  await until("the trouble", () => told("began").length > 0);
  log.append(Date.now());
  await until("its end", () => told("passed").length > 0);
});
