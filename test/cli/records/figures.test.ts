/**
 * What operators have counted, as `status` shows it of a running job: late records, timers, requests, values that
 * will expire; and a stream that is held back until its rules are there, stopped with a savepoint and restored.
 */
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { until } from "../workspace.ts";

const shared = new SharedServer("figures");

/** `status --json` comes to what is wanted; asked without a process for each look. */
async function figuresOf(operator: string, wanted: Readonly<Record<string, number>>): Promise<void> {
  const client = createClient(shared.cluster);
  let found: Record<string, number> = {};
  await until(
    async () => {
      found = {};
      for (const { operators } of (await client.status("told"))?.subtasks ?? [])
        for (const one of operators.filter((each) => each.operator === operator))
          for (const [name, value] of Object.entries(one.figures)) found[name] = (found[name] ?? 0) + value;
      return Object.entries(wanted).every(([name, value]) => found[name] === value);
    },
    () => `${operator} has ${JSON.stringify(wanted)}, at last ${JSON.stringify(found)}`,
  );
}

const publish = async (subject: string, ...values: readonly object[]) => {
  for (const value of values) shared.cluster.nats.connection.publish(subject, JSON.stringify(value));
  await shared.cluster.nats.connection.flush();
};

const addStreams = async (...names: readonly string[]) => {
  const { streams } = await shared.cluster.nats.manager();
  for (const name of names) await streams.add({ name, subjects: [`${name}.>`] });
};

const TOLD = `
import { boundedOutOfOrderness, defineJob, fileSink, jetstreamSource, tumblingWindows, valueState } from "tidemark";
export default defineJob("told", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  const items = job
    .source("items", jetstreamSource({ stream: "ITEMS" }), {
      timestamp: ({ at }) => at,
      watermarks: boundedOutOfOrderness(1),
      watermarkInterval: 0,
      parallelism: 1,
    })
    .keyBy(({ key }) => key);
  items.window(tumblingWindows({ size: 10 })).process("count", (all) => all.length).sink("counts", fileSink({ directory: "counts" }));
  items
    .process("wait", {
      state: { last: valueState(0, { ttl: { after: "1 d" } }) },
      onRecord({ at }, { state, timers }) {
        state.last.set(at);
        timers.registerEventTimer(at + 1_000_000);
        timers.registerProcessingTimer(4_000_000_000_000);
      },
      onTimer() {},
    })
    .sink("none", fileSink({ directory: "none" }));
  items.async("ask", { mode: "unordered", request: () => new Promise(() => {}), timeout: "1 d" }).sink("answers", fileSink({ directory: "answers" }));
});
`;

test("status tells late records, timers and requests under way, in words and as JSON", async () => {
  const { workspace, here, asks, json } = shared;
  await addStreams("ITEMS");
  workspace.write("told.mjs", TOLD);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "told.mjs")).toMatchObject({ code: 0 });
  const worker = workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await publish(
    "ITEMS.x",
    { key: "a", at: 100 },
    { key: "a", at: 5 },
    { key: "b", at: 7 },
    { key: "b", at: 101 },
  );
  await figuresOf("count", { late: 2 });
  await figuresOf("ask", { inFlight: 4, waiting: 0, retrying: 0 });
  await figuresOf("wait", { eventTimers: 4, processingTimers: 2 });
  const { stdout } = await asks("status", "told");
  expect(stdout).toMatch(/^figures +count: .*\blate 2\b/m);
  expect(stdout).toMatch(/^figures +wait: .*\bevent timers 4\b/m);
  expect(stdout).toMatch(/^figures +ask: .*\bin flight 4\b/m);
  // The watermark is 98 and the end of the windows 10: 90 ms more, and both records are taken.
  expect(stdout).toMatch(
    /^lateness +count: 2 too late, 2 of them not .*max 90 ms; allowedLateness "90 ms", or /m,
  );
  const status = await json("status", "told");
  expect(status.lateness).toEqual([
    { operator: "count", records: 2, notTaken: 2, p50Ms: 90, p99Ms: 90, maxMs: 90, allowedMs: 0 },
  ]);
  const warning = worker.stderr.split("\n").find((line) => line.includes("records came too late"));
  expect(JSON.parse(warning ?? "{}")).toMatchObject({
    ...{ operator: "count", timestamp: 5, watermark: 98, lateByMs: 93, neededMs: 90 },
    record: expect.stringMatching(/^\{ key: a text of 1 character, at: a number/),
  });
  expect(JSON.stringify(status)).toMatch(/"operator":"ask","figures":\{"inFlight":\d/);

  // The same values under other times to live: what would become of them is said before anything is.
  const { location } = await json("savepoint", "told", "--to", workspace.path("savepoints"));
  for (const [ttl, words] of [
    [
      ', { ttl: { after: "1 h" } }',
      "has another time to live: .*: values that are restored live by the new one",
    ],
    [
      ', { ttl: { after: "1 d", time: "event" } }',
      "has another time to live: 1 d by event time now, .*: each value that is restored has this time before it",
    ],
    ["", "has no time to live any more .*: its values stay"],
  ] as const) {
    workspace.write(
      "other.mjs",
      TOLD.replace('"told"', '"other"').replace(', { ttl: { after: "1 d" } }', ttl),
    );
    const shown = await asks("restore", "other.mjs", "--from", String(location), "--dry-run");
    expect(shown).toMatchObject({ code: 0 });
    expect(shown.stdout + shown.stderr).toMatch(new RegExp(`state "last" of operator wait ${words}`));
  }
  expect(await asks("status", "other")).not.toMatchObject({ code: 0 });
  expect(await asks("cancel", "told")).toMatchObject({ code: 0 });
});

const HELD = `
import { broadcastState, defineJob, fileSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("told", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  const rules = job.source("rules", jetstreamSource({ stream: "RULES" }), { parallelism: 1 });
  job
    .source("values", jetstreamSource({ stream: "VALUES" }))
    .keyBy(({ key }) => key)
    .connect(rules.broadcast({ waitFor: "first" }))
    .process("apply", {
      broadcast: { rules: broadcastState() },
      state: { count: valueState(0) },
      onBroadcast: ({ name }, { broadcast }) => broadcast.rules.set(name, true),
      onRecord({ key }, { broadcast, state }) {
        state.count.set(state.count.get() + 1);
        return key + " " + state.count.get() + " " + broadcast.rules.size;
      },
    })
    .sink("lines", fileSink({ directory: "lines" }));
});
`;

test("what is held back until its rules are there is in a savepoint, waits after the restore too, and comes once", async () => {
  const { workspace, here, asks, json } = shared;
  await addStreams("RULES", "VALUES");
  workspace.write("told.mjs", HELD);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "told.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  const keys = ["a", "b", "c", "d", "e", "f"];
  await publish("VALUES.x", ...keys.map((key) => ({ key })));
  await figuresOf("apply", { subtasksWaiting: 2 });
  const { location } = await json("stop", "told", "--to", workspace.path("savepoints"));
  await publish("VALUES.x", ...keys.map((key) => ({ key })));
  expect(await asks("restore", "told.mjs", "--from", String(location))).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await figuresOf("apply", { subtasksWaiting: 2 });
  await publish("RULES.x", { name: "only" });
  const lines = () => workspace.lines("lines").sort();
  await until(
    () => lines().length >= 2 * keys.length,
    () => `all values are there, at last ${lines().join(", ")}`,
  );
  expect(lines()).toEqual(keys.flatMap((key) => [`${key} 1 1`, `${key} 2 1`]));
  expect(await asks("cancel", "told")).toMatchObject({ code: 0 });
});

const TIMERS = `
import { ascendingTimestamps, defineJob, fileSink, jetstreamSource } from "tidemark";
export default defineJob("told", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  job
    .source("items", jetstreamSource({ stream: "TIMED" }), {
      timestamp: ({ at }) => at,
      watermarks: ascendingTimestamps(),
    })
    .keyBy(({ key }) => key)
    .process("wait", {
      state: {},
      onRecord({ at }, { timers }) {
        timers.registerEventTimer(at + 1_000_000);
      },
      onTimer: ({ time }, { key, currentWatermark }) => key + " " + time + " " + currentWatermark,
    })
    .sink("lines", fileSink({ directory: "lines" }));
});
`;

test("a stop leaves event timers in its savepoint; with --drain event time comes to its end, and all fire", async () => {
  const { workspace, here, asks, json } = shared;
  await addStreams("TIMED");
  workspace.write("told.mjs", TIMERS);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "told.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await publish("TIMED.x", ...["a", "b", "c"].map((key, at) => ({ key, at })));
  await figuresOf("wait", { eventTimers: 3 });
  const stopped = await json("stop", "told", "--to", workspace.path("savepoints"));
  expect(stopped).toMatchObject({ drained: false });
  expect(workspace.lines("lines")).toEqual([]);
  expect(await asks("restore", "told.mjs", "--from", String(stopped.location))).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  await figuresOf("wait", { eventTimers: 3 });
  expect(await json("stop", "told", "--drain", "--to", workspace.path("drained"))).toMatchObject({
    drained: true,
  });
  expect(workspace.lines("lines").sort()).toEqual([
    "a 1000000 Infinity",
    "b 1000001 Infinity",
    "c 1000002 Infinity",
  ]);
});

const CROWDED = `
import { defineJob, fileSink, jetstreamSource, boundedOutOfOrderness, valueState } from "tidemark";
const spin = (ms) => { for (const end = performance.now() + ms; performance.now() < end; ); };
export default defineJob("told", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  job
    .source("clicks", jetstreamSource({ stream: "CLICKS" }), {
      timestamp: ({ at }) => at,
      watermarks: boundedOutOfOrderness(0),
      watermarkInterval: 0,
      parallelism: 1,
    })
    .keyBy(({ user }) => user)
    .process("seen", {
      state: { last: valueState(0, { ttl: { after: 1000, time: "event" } }) },
      onRecord({ at }, { state }) {
        state.last.set(at);
      },
      // So long does it take to work off what has expired.
      onExpire: () => spin(20),
    })
    .sink("none", fileSink({ directory: "none" }));
});
`;

test("status tells values that have expired and are still there, and hot keys without what they are", async () => {
  const { workspace, here, asks, json } = shared;
  await addStreams("CLICKS");
  workspace.write("told.mjs", CROWDED);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "told.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "told.mjs", "--slots", "2"));
  const clicks = Array.from({ length: 4000 }, (_, i) => ({
    user: i % 2 === 0 ? "alice" : `user ${i}`,
    at: 1,
  }));
  await publish("CLICKS.x", ...clicks);
  const client = createClient(shared.cluster);
  const stateOf = async () => {
    const { subtasks = [] } = (await client.status("told")) ?? {};
    const seen = subtasks.flatMap(({ operators }) => operators.flatMap(({ expiring = [] }) => expiring));
    const sum = (of: (one: (typeof seen)[number]) => number) => seen.reduce((all, one) => all + of(one), 0);
    const hot = subtasks.some(({ hotKeys }) => hotKeys !== undefined);
    return { values: sum(({ values }) => values), expired: sum(({ expired }) => expired), hot };
  };
  let found = await stateOf();
  const comesTo = (what: string, isThere: () => boolean) =>
    until(
      async () => {
        found = await stateOf();
        return isThere();
      },
      () => `${what}, at last ${JSON.stringify(found)}`,
    );
  await comesTo("all values, and a hot key", () => found.values === 2001 && found.hot);
  expect(found.expired).toBe(0);
  const hidden = await asks("status", "told");
  expect(hidden.stdout).toMatch(/^expiring +seen\.last: 2,001 values, none expired$/m);
  expect(hidden.stdout).toMatch(
    /^hot keys +seen\/\d: \d+ % one key of key group \d+ .*; "tidemark status [^"]*told --keys" shows it$/m,
  );
  expect(JSON.stringify(await json("status", "told"))).not.toContain("alice");
  const shown = await asks("status", "told", "--keys");
  expect(shown.stdout).toMatch(
    /^hot keys +seen\/\d: \d+ % key "alice" of key group \d+ of its latest records$/m,
  );

  await publish("CLICKS.x", { user: "alice", at: 5000 });
  await comesTo("values that have expired", () => found.expired > 0);
  expect((await asks("status", "told")).stdout).toMatch(
    /^expiring +seen\.last: [\d,]+ values, [\d,]+ of them expired and still there \(some [\d.]+ (B|KiB)\)$/m,
  );
  expect(await asks("cancel", "told")).toMatchObject({ code: 0 });
});
