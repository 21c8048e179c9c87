/** Timers, `open`, `close` and the state of subtasks, over workers of which one is killed while timers wait. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Output, Reading } from "../../recovery/jobs/timed.ts";
import { TestCluster } from "../../support/servers/cluster.ts";
import { bundled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { publishAll, readAll } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";

const READINGS = 1_200;
const SENSORS = 12;

/** Up to 4.5 s out of order; the job allows 5 s. */
const readings: readonly Reading[] = Array.from({ length: READINGS }, (_, n) => ({
  sensor: `sensor-${Math.floor(n / 7) % SENSORS}`,
  n,
  at: 1_000_000 + n * 1_000 - ((n * 5) % 6) * 900,
}));
const numbers = (of: readonly Reading[]): number[] => of.map(({ n }) => n);
const sensors: readonly string[] = [...new Set(readings.map(({ sensor }) => sensor))];

let server: TestServer;
let cluster: TestCluster;
let directory: string;
let output: readonly Output[];
let killed = 0;
/** Lines of `open` and `close`. */
let lives: readonly string[];

const outputOf = <K extends Output["kind"]>(kind: K) =>
  output.filter((one): one is Extract<Output, { kind: K }> => one.kind === kind);

/** The job runs once, and loses a worker; each test looks at a part of what came out. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-timed-"));
  const livesFile = join(directory, "lives");
  server = await startTestServer();
  cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: "timed",
    jobFile: bundled("test/recovery/jobs/timed.ts"),
    environment: { LIVES_FILE: livesFile },
  });
  await (await cluster.nats.manager()).streams.add({ name: "IN", subjects: ["in.*"] });
  await publishAll(
    cluster.nats,
    readings.map((reading) => ({ subject: `in.${reading.n % 2}`, text: JSON.stringify(reading) })),
  );
  const workers = ["worker-1", "worker-2", "worker-3"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator");
  await cluster.submit();
  const report = await until("some checkpoints are complete", async () => {
    const found = await cluster.report();
    return (found?.checkpoints.completed ?? 0) > 1 ? found : undefined;
  });
  const victim = report.subtasks.find(({ subtask }) => subtask === "order/0")?.worker;
  killed = report.workers.find(({ worker }) => worker === victim)!.processId;
  await workers.find(({ processId }) => processId === killed)!.kill();
  const record = await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  expect(record.generation).toBeGreaterThan(1);
  const messages = await readAll(cluster.nats, "OUT");
  output = messages
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as Output);
  lives = await until("all that was opened by workers that live is closed", () => {
    const lines = readFileSync(livesFile, "utf8").trim().split("\n");
    const left = unclosed(lines).filter((life) => !life.startsWith(`${killed} `));
    return left.length === 0 ? lines : undefined;
  });
});

afterAll(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What was opened and not closed: process, subtask, which `open` of the process. */
function unclosed(lines: readonly string[]): string[] {
  const closed = new Set(lines.filter((line) => line.startsWith("close ")).map((line) => line.slice(6)));
  return lines
    .flatMap((line) => (line.startsWith("open ") ? [line.slice(5)] : []))
    .filter((life) => !closed.has(life));
}

describe("after the kill", () => {
  test.each(sensors)("event timers give out each reading of %s once, in the order of its time", (sensor) => {
    const sorted = readings.filter((one) => one.sensor === sensor).sort((a, b) => a.at - b.at || a.n - b.n);
    expect(numbers(sorted)).not.toEqual(numbers(readings.filter((one) => one.sensor === sensor)));
    const found = outputOf("ordered").filter((one) => one.sensor === sensor);
    expect(found.map(({ n }) => n)).toEqual(numbers(sorted));
    expect(found.map(({ nth }) => nth)).toEqual(sorted.map((_, index) => index + 1));
  });

  test("timers of processing time fire once for each reading, and the state that they count in has no gap", () => {
    const found = outputOf("repeated");
    expect(found.map(({ n }) => n).sort((a, b) => a - b)).toEqual(numbers(readings));
    for (const sensor of sensors) {
      const counts = found.filter((one) => one.sensor === sensor).map(({ nth }) => nth);
      expect(counts).toEqual(counts.map((_, index) => index + 1));
    }
  });

  test("the state of a subtask loses no reading and doubles none", () => {
    const batches = outputOf("batch").map((batch) => batch.readings);
    expect(batches.flat().sort((a, b) => a - b)).toEqual(numbers(readings));
    expect(batches.filter(({ length }) => length !== 7).length).toBeLessThanOrEqual(2);
  });

  test("what a worker that lives has opened is closed once, and opened again in the next generation", () => {
    const opens = lives.filter((line) => line.startsWith("open "));
    const closes = lives.filter((line) => line.startsWith("close "));
    expect(new Set(closes).size).toBe(closes.length);
    for (const subtask of [0, 1]) {
      const ofSubtask = opens.filter((line) => line.split(" ")[2] === String(subtask));
      expect(ofSubtask.length).toBeGreaterThan(1);
    }
    // SIGKILL leaves no time to close anything.
    expect(unclosed(lives).map((life) => Number(life.split(" ")[0]))).toEqual([killed]);
  });
});
