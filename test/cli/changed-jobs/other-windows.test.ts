/** A job that goes on with other windows: refused in words, or by --drop and migrateWindows, with real processes. */
import { existsSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const shared = new SharedServer("windows");

/** Each window that fires is a line: its bounds, and how many records it had. */
const jobText = (sizeMs: number, options = "{}") => `
import { ascendingTimestamps, defineJob, fileSink, jetstreamSource, tumblingWindows } from "tidemark";
export default defineJob("windowed", { checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("times", jetstreamSource({ stream: "TIMES", decode: "text" }), {
      timestamp: (time) => Number(time),
      watermarks: ascendingTimestamps(),
    })
    .keyBy(() => "all")
    .window(tumblingWindows({ size: ${sizeMs} }), ${options})
    .process("counts", (times, { window }) => \`\${window.start}-\${window.end} \${times.join(" ")}\`)
    .sink("lines", fileSink({ directory: "lines" }));
});
`;

test("refused, finished, dropped", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const { connection } = cluster.nats;
  await (await jetstreamManager(connection)).streams.add({ name: "TIMES", subjects: ["times"] });
  const publish = (...times: number[]) => {
    for (const time of times) connection.publish("times", String(time));
  };
  const coordinator = workspace.start(here("coordinator"));
  let worker: Command | undefined;
  const lines = () => (existsSync(workspace.path("lines")) ? workspace.lines("lines").toSorted() : []);
  const fires = (...wanted: string[]) =>
    until(
      async () => wanted.every((line) => lines().includes(line)),
      () => `${wanted.join(", ")} in ${lines().join(", ")}`,
    );
  const savepoints = workspace.path("savepoints");
  const stop = async () => {
    const { location } = (await json("stop", "windowed", "--to", savepoints)) as { location: string };
    worker?.kill("SIGTERM");
    await worker?.ended;
    return location;
  };
  const starts = () => {
    worker = workspace.start(here("worker", "job.mjs", "--slots", "4"));
  };

  workspace.write("job.mjs", jobText(100));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  starts();
  publish(10, 20, 110);
  await fires("0-100 10 20");
  const first = await stop();

  workspace.write("job.mjs", jobText(70));
  const refused = await asks("restore", "job.mjs", "--from", first);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/tumbling 70 ms.*tumbling 100 ms.*migrateWindows.*--drop counts/);

  workspace.write("job.mjs", jobText(70, '{ migrateWindows: "finish-old" }'));
  const rehearsed = await asks("restore", "job.mjs", "--from", first, "--dry-run");
  expect(rehearsed).toMatchObject({ code: 0, stdout: expect.stringMatching(/open fire at their own ends/) });
  expect(await asks("restore", "job.mjs", "--from", first)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /operator counts has other windows: tumbling 70 ms now, tumbling 100 ms before/,
    ),
  });
  starts();
  publish(120, 130, 250);
  await fires("70-140 120 130", "100-200 110");
  const second = await stop();

  workspace.write("job.mjs", jobText(30, '{ migrateWindows: "drop-old" }'));
  const dropping = await asks("restore", "job.mjs", "--from", second, "--dry-run");
  expect(dropping).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ *counts +dropped/m) });
  expect(dropping.stdout).toMatch(/those that were open are dropped/);
  workspace.write("job.mjs", jobText(30));
  expect(await asks("restore", "job.mjs", "--from", second, "--drop", "counts")).toMatchObject({ code: 0 });
  starts();
  publish(400, 450);
  await fires("390-420 400");
  await stop();
  expect(lines()).toEqual(["0-100 10 20", "100-200 110", "390-420 400", "70-140 120 130"]);
  coordinator.kill("SIGKILL");
});

test("a worker that is lost before the new windows have had a checkpoint: those that were open are finished all the same", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const { connection } = cluster.nats;
  await (await jetstreamManager(connection)).streams.add({ name: "LOST", subjects: ["lost"] });
  const publish = async (...times: number[]) => {
    for (const time of times) connection.publish("lost", String(time));
    await connection.flush();
  };
  const text = (sizeMs: number, options?: string, interval = "100ms") =>
    jobText(sizeMs, options)
      .replace("TIMES", "LOST")
      .replace("100ms", interval)
      .replace("watermarks:", "watermarkInterval: 0, watermarks:");
  const client = createClient(cluster);
  let generation = 0;
  /** Late records tell how far the input was read; a subtask that begins again begins to count again. */
  const isLate = (wanted: number, since: number) =>
    until(
      async () => {
        const report = await client.status("windowed");
        const late = (report?.subtasks ?? [])
          .flatMap(({ operators }) => operators)
          .map(({ figures }) => figures.late ?? 0);
        generation = report?.generation ?? 0;
        return generation > since && late.includes(wanted);
      },
      () => `${wanted} late records behind generation ${since}`,
    );
  const coordinator = workspace.start(here("coordinator"));
  const starts = () => workspace.start(here("worker", "job.mjs", "--slots", "4"));
  const stop = async () => (await json("stop", "windowed", "--to", workspace.path("savepoints"))).location;

  workspace.write("job.mjs", text(100));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  const first = starts();
  await publish(10, 20, 110, 5);
  await isLate(1, 0);
  const location = await stop();
  first.kill("SIGTERM");
  await first.ended;

  workspace.write("job.mjs", text(70, '{ migrateWindows: "finish-old" }', "1h"));
  expect(await asks("restore", "job.mjs", "--from", String(location))).toMatchObject({ code: 0 });
  const second = starts();
  await publish(120, 130, 6);
  await isLate(1, 0);
  second.kill("SIGKILL");
  await second.ended;
  starts();
  await isLate(1, generation);
  await publish(250, 7);
  await isLate(2, 0);
  await stop();
  expect(workspace.lines("lines").toSorted()).toEqual(["0-100 10 20", "100-200 110", "70-140 120 130"]);
  coordinator.kill("SIGKILL");
});
