/** A job that scales by itself, with real processes and a load that the test sets: nothing is lost or comes twice. */
import { expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";

const shared = new SharedServer("auto-scaling");

/** Each record costs as many microseconds as the file `load` says. */
const JOB = `import { readFileSync } from "node:fs";
import { defineJob, fileSink, generatorSource, valueState } from "tidemark";

const place = new URL("load", import.meta.url);
let microseconds = Number(readFileSync(place, "utf8"));
setInterval(() => (microseconds = Number(readFileSync(place, "utf8"))), 100).unref();

export default defineJob("counting", {
  parallelism: "auto",
  scaling: { min: 1, max: 2, target: 0.9, window: "1 s", cooldown: "1 s" },
  checkpointing: { interval: "200ms" },
}, (job) => {
  job
    .source("numbers", generatorSource({ ratePerSecond: 300, splits: 1, generate: (index) => ({ number: index }) }))
    .keyBy((seen) => seen.number % 10)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(seen, { key, state }) {
        const untilMs = performance.now() + microseconds / 1000;
        while (performance.now() < untilMs);
        const count = state.count.get() + 1;
        state.count.set(count);
        return \`\${key} \${count} \${seen.number}\`;
      },
    })
    .sink("lines", fileSink({ directory: "out" }));
});
`;

test("a load that rises leads to more subtasks, and one that falls to fewer, with the reasons on the feed", async () => {
  const { workspace, asks, json, here } = shared;
  // The counting operator is chained to its source where each has one subtask.
  const counters = ({ subtasks }: JobReport): number => {
    const of = (vertex: string) => subtasks.filter(({ subtask }) => subtask.startsWith(`${vertex}/`)).length;
    return of("count") || of("numbers");
  };
  const comesTo = (subtasks: number) =>
    shared.jobComesTo(
      "counting",
      (report) => report.phase === "running.processing" && counters(report) === subtasks,
      `${subtasks} subtasks`,
    );
  workspace.write("load", "10");
  workspace.write("job.mjs", JOB);
  const leader = workspace.start(here("coordinator"));
  workspace.start(here("worker", "job.mjs", "--slots", "1"));
  workspace.start(here("worker", "job.mjs", "--slots", "1"));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  await comesTo(1);
  workspace.write("load", "4000");
  await comesTo(2);
  workspace.write("load", "10");
  await comesTo(1);
  expect(leader.stderr).toMatch(
    /"parallelism":2,"reason":"the busiest worker was busy for \d+ % of 1 s.*scaling\.decided/,
  );
  expect(leader.stderr).toMatch(
    /"parallelism":1,"reason":"the busiest worker was busy for \d+ % of 4 s.*scaling\.decided/,
  );
  await json("stop", "counting", "--to", workspace.path("savepoints"));
  const lines = workspace.lines("out");
  expect(lines.length).toBeGreaterThan(1000);
  expect(wrongCounts(lines, lines.length)).toEqual([]);
  leader.kill("SIGKILL");
});
