/**
 * Who holds event time back, as `status` and `doctor` say it of a running job: a split that has had no record, requests
 * without an answer, records without a timestamp.
 */
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import type { OperatorsTime } from "../../../src/control/event-time-messages.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { until } from "../workspace.ts";

const shared = new SharedServer("times");

/** The event time of an operator, as soon as it meets this; asked without a process for each look. */
async function timeOf(operator: string, met: (time: OperatorsTime) => boolean): Promise<OperatorsTime> {
  const client = createClient(shared.cluster);
  let last: OperatorsTime | undefined;
  await until(
    async () => {
      const report = await client.status("told").catch(() => undefined);
      last = report?.eventTime.find(({ operators }) => operators.includes(operator));
      return last !== undefined && met(last);
    },
    () => `the event time of ${operator} is as wanted, at last ${JSON.stringify(last)}`,
  );
  return last!;
}

const publish = async (subject: string, ...values: readonly object[]) => {
  for (const value of values) shared.cluster.nats.connection.publish(subject, JSON.stringify(value));
  await shared.cluster.nats.connection.flush();
};

const addStream = async (name: string) => {
  const { streams } = await shared.cluster.nats.manager();
  await streams.add({ name, subjects: [`${name}.>`] });
};

const TOLD = `
import { boundedOutOfOrderness, defineJob, fileSink, jetstreamSource, tumblingWindows } from "tidemark";
export default defineJob("told", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  const items = job.source("items", jetstreamSource({ stream: "ITEMS", subjects: ["ITEMS.eu", "ITEMS.us"] }), {
    timestamp: ({ at }) => at ?? Number.NEGATIVE_INFINITY,
    watermarks: boundedOutOfOrderness("1 s"),
    parallelism: 1,
    // MORE
  });
  items
    .map("read", (item) => item, { parallelism: 1 })
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: "10 s" }))
    .process("count", (all) => all.length)
    .sink("counts", fileSink({ directory: "counts" }));
});
`;

const at = Date.parse("2026-01-01T00:00:30Z");

test("a split without a record is named with its source by the operators that wait for it, and idleAfter lets them go on", async () => {
  const { workspace, here, asks, json } = shared;
  await addStream("ITEMS");
  workspace.write("told.mjs", TOLD);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "told.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await publish("ITEMS.us", { key: "a", at }, { key: "b", at: at + 1 });
  const held = await timeOf(
    "count",
    ({ holders }) => holders.length === 1 && Date.now() - holders[0]!.sinceMs >= 5000,
  );
  expect(held).toMatchObject({
    status: "active",
    watermark: null,
    holders: [{ operator: "items", subtask: "items/0", reason: "noRecord", watermark: null, pending: 0 }],
    holdersMore: 0,
  });
  const { split } = held.holders[0]!;
  expect(split).toContain("ITEMS.eu");
  const words = `split ${split} of source items \\(items/0\\)`;
  const { stdout } = await asks("status", "told");
  expect(stdout).toMatch(
    new RegExp(
      `^event time {3}count, counts: none yet\\n +held by ${words} for \\d+ s: no record has come yet, and nothing is pending; it is never taken for idle$`,
      "m",
    ),
  );
  const doctor = await asks("doctor", "told");
  expect(doctor).toMatchObject({ code: 0 });
  expect(doctor.stdout).toMatch(
    new RegExp(`^- ${words} holds the event time of items, read, count, counts for \\d+ s`, "m"),
  );
  expect(doctor.stdout).toContain('give source items "idleAfter"');
  const { findings } = await json("doctor", "told");
  expect(findings).toMatchObject([{ finding: "eventTimeHeld" }]);

  // What the doctor says helps.
  const { location } = await json("stop", "told", "--to", workspace.path("savepoints"));
  workspace.write("told.mjs", TOLD.replace("// MORE", 'idleAfter: "1 s",'));
  expect(await asks("restore", "told.mjs", "--from", String(location))).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await publish("ITEMS.us", { key: "a", at: at + 20_000 });
  const free = await timeOf("count", ({ watermark }) => watermark !== null);
  expect(free.watermark).toBe(at + 20_000 - 1000 - 1);
  expect((await asks("status", "told")).stdout).toMatch(
    /^event time {3}count, counts: 2026-01-01T00:00:48.999Z, \d+ d behind the clock/m,
  );
});
