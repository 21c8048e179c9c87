/** What a running job tells of its event time: who holds it, and why. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../../src/connectors/memory-source.ts";
import type { OperatorsTime } from "../../../../../src/control/event-time-messages.ts";
import { ascendingTimestamps, NO_TIMESTAMP, type SourceOptions } from "../../../../../src/index.ts";
import type { JobBuilder } from "../../../../../src/job/builder.ts";
import { MemoryWorld } from "../../../../support/memory-world.ts";

interface Timed {
  readonly at: number;
}

const watermarked = {
  timestamp: ({ at }: Timed) => at,
  watermarks: ascendingTimestamps(),
  watermarkInterval: 10,
};
const timed: SourceOptions<Timed> = { ...watermarked, parallelism: 1 };
const NOT_TIMED = { parallelism: 1 } as const;

let world: MemoryWorld;

afterEach(() => world.close());

async function begins(build: (builder: JobBuilder) => void): Promise<void> {
  world = new MemoryWorld({ parallelism: 1, bounded: false, build });
  await world.begins(0);
}

/** The event time of an operator, as soon as it meets this. */
async function timeOf(operator: string, met: (time: OperatorsTime) => boolean): Promise<OperatorsTime> {
  const find = (times: readonly OperatorsTime[]) =>
    times.find(({ operators }) => operators.includes(operator));
  const report = await world.comesTo(`the event time of ${operator}`, ({ eventTime }) => {
    const found = find(eventTime);
    return found !== undefined && met(found);
  });
  return find(report.eventTime)!;
}

const heldFor = (reason: string) => (time: OperatorsTime) =>
  time.holders.length === 1 && time.holders[0]!.reason === reason;

test("the slowest split of all is named behind an exchange and a union, with what it has left", async () => {
  const logs = [new MemoryLog<Timed>(), new MemoryLog<Timed>(), new MemoryLog<Timed>()] as const;
  await begins((builder) => {
    const two = builder.source("two", memorySource([logs[0], logs[1]]), timed);
    const one = builder.source("one", memorySource([logs[2]]), timed);
    two
      .union(one)
      .rebalance()
      .map("seen", (record) => record)
      .sink("out", memorySink(new MemorySinkTarget()));
  });
  logs[0].append({ at: 500 });
  logs[1].append({ at: 200 });
  logs[2].append({ at: 900 });
  const time = await timeOf(
    "seen",
    ({ watermark, holders }) => watermark === 199 && holders[0]?.reason === "silent",
  );
  expect(time).toMatchObject({ status: "active", operators: ["seen", "out"], holdersMore: 0 });
  expect(time.holders).toHaveLength(1);
  const [holder] = time.holders;
  expect(holder).toMatchObject({ operator: "two", subtask: "two/0", watermark: 199, pending: 0 });
  expect(holder!.lastRecordMs).toBeLessThanOrEqual(holder!.sinceMs);
  // The others wait for a second one, too.
  logs[1].append({ at: 800 });
  const next = await timeOf("seen", ({ watermark }) => watermark === 499);
  expect(next.holders).toMatchObject([{ subtask: "two/0", watermark: 499 }]);
  expect(next.holders[0]!.split).not.toBe(holder!.split);
});

test("records without timestamps, and a source without watermarks, are told apart from silence", async () => {
  const log = new MemoryLog<Timed>();
  const other = new MemoryLog<Timed>();
  await begins((builder) => {
    const times = builder.source("times", memorySource([log]), timed);
    times.sink("alone", memorySink(new MemorySinkTarget()));
    times
      .union(builder.source("none", memorySource([other]), NOT_TIMED))
      .rebalance()
      .map("seen", (record) => record)
      .sink("out", memorySink(new MemorySinkTarget()));
  });
  log.append({ at: NO_TIMESTAMP });
  await timeOf("alone", ({ holders }) => holders[0]?.lastRecordMs !== undefined);
  // Only one that comes later than event time was seen to stand shows that it does not go on.
  log.append({ at: NO_TIMESTAMP });
  await timeOf("alone", heldFor("noProgress"));
  log.append({ at: 700 });
  expect(await timeOf("alone", ({ watermark }) => watermark === 699)).toMatchObject({
    holders: [{ operator: "times" }],
  });
  const time = await timeOf("seen", heldFor("noWatermarks"));
  expect(time).toMatchObject({ watermark: null, holders: [{ operator: "none", subtask: "none/0" }] });
  const shown = (await world.client().status("words"))!.eventTime.flatMap(({ operators }) => operators);
  expect(shown).not.toContain("none");
});

test("requests hold event time back only behind them", async () => {
  const log = new MemoryLog<Timed>();
  let answer = (): void => {};
  await begins((builder) =>
    builder
      .source("times", memorySource([log]), timed)
      .async("ask", {
        mode: "ordered",
        request: (record) => new Promise((done) => (answer = () => done(record))),
      })
      .rebalance()
      .map("seen", (record) => record)
      .sink("out", memorySink(new MemorySinkTarget())),
  );
  log.append({ at: 100 });
  const held = await timeOf("seen", heldFor("requests"));
  expect(held.holders).toMatchObject([{ operator: "ask", subtask: "ask/0", requests: 1, watermark: null }]);
  expect(await timeOf("times", ({ watermark }) => watermark === 99)).toMatchObject({
    holders: [{ operator: "times" }],
  });
  answer();
  await timeOf("seen", ({ watermark, holders }) => watermark === 99 && holders[0]?.operator === "times");
});

test("event time that is assigned on the way is held by the operator itself", async () => {
  const log = new MemoryLog<Timed>();
  await begins((builder) =>
    builder
      .source("given", memorySource([log]), NOT_TIMED)
      .assignTimestamps("assigned", watermarked)
      .map("seen", (record) => record)
      .sink("out", memorySink(new MemorySinkTarget())),
  );
  const own = { operator: "assigned", subtask: "assigned/0" };
  expect(await timeOf("seen", heldFor("noRecord"))).toMatchObject({ watermark: null, holders: [own] });
  log.append({ at: 100 });
  const silent = await timeOf("seen", heldFor("silent"));
  expect(silent).toMatchObject({ watermark: 99, holders: [own] });
});

test("a job without watermarks tells nothing of event time", async () => {
  await begins((builder) =>
    builder
      .source("given", memorySource([new MemoryLog<Timed>()]), NOT_TIMED)
      .sink("out", memorySink(new MemorySinkTarget())),
  );
  const report = await world.comesTo("it runs", ({ phase }) => phase === "running.processing");
  expect(report.eventTime).toEqual([]);
  expect(report.subtasks.map(({ eventTime }) => eventTime)).toEqual(report.subtasks.map(() => undefined));
});
