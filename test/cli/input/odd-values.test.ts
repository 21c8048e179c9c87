/**
 * What cannot be carried is refused by the same sentence whether a record stays in its process or crosses to another.
 */

import { existsSync, mkdirSync } from "node:fs";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until, Workspace } from "../workspace.ts";

/** Both have two subtasks of each operator and read the same stream: one in one worker, the other in two. */
const jobs = ["alone", "apart"] as const;
type Job = (typeof jobs)[number];
const ORDINARY = 40;

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
const published: Request[] = [];

/**
 * A message is `<way> <kind> <number>`. The odd value is made the first time only, so the job goes on after its
 * restart.
 */
const jobFile = (name: Job) => `import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineJob, fileSink, jetstreamSource, valueState } from "tidemark";

class Order {}
const odd = {
  getter: (record) => ({ ...record, get kind() { return record.kind; } }),
  proxy: (record) => new Proxy(record, {}),
  instance: (record) => Object.assign(new Order(), record),
  bare: (record) => Object.assign(Object.create(null), record),
  symbol: (record) => ({ ...record, [Symbol("trace")]: 1 }),
  hidden: (record) => Object.defineProperty({ ...record }, "secret", { value: 1 }),
  named: (record) => ({ ...record, tags: Object.assign(["a"], { sum: 1 }) }),
};
const isFirst = (number) => {
  try {
    writeFileSync(fileURLToPath(new URL("made-${name}/" + number, import.meta.url)), "", { flag: "wx" });
    return true;
  } catch {
    return false;
  }
};
const on = (way, record) => (record.way === way && isFirst(record.number) ? odd[record.kind](record) : record);

export default defineJob(
  "${name}",
  {
    parallelism: 2,
    checkpointing: { interval: "100ms" },
    restart: { strategy: "fixed-delay", attempts: 1000, delay: "10ms" },
  },
  (job) => {
    job
      .source("in", jetstreamSource({ stream: "IN", subjects: ["in.0", "in.1"], decode: "text" }))
      .map("make", (text) => {
        const [way, kind, number] = text.split(" ");
        return on("edge", { way, kind, number: Number(number), tags: ["a"], madeBy: process.pid });
      })
      .keyBy(({ number }) => number)
      .process("keep", {
        state: { last: valueState(null) },
        onRecord(record, { state }) {
          state.last.set(on("state", record));
          return on("sink", { ...record, keptBy: process.pid });
        },
      })
      .sink("lines", fileSink({ directory: "out-${name}" }));
  },
);
`;

interface Line extends Request {
  readonly madeBy: number;
  readonly keptBy: number;
}

/** A request as its line has it. */
interface Request {
  readonly way: string;
  readonly kind: string;
  readonly number: number;
  readonly tags: readonly string[];
}

const here = (...args: string[]) => [...args, "--server", server.url];
const lines = (job: Job) =>
  existsSync(workspace.path(`out-${job}`)) ? (workspace.lines(`out-${job}`) as unknown as Line[]) : [];
const written = (job: Job): Request[] =>
  lines(job)
    .map(({ madeBy, keptBy, ...request }) => request)
    .sort((a, b) => a.number - b.number);

async function publish(way: string, kind: string): Promise<void> {
  const number = published.length;
  published.push({ way, kind, number, tags: ["a"] });
  await jetstream(cluster.nats.connection).publish(
    `in.${Math.floor(number / 2) % 2}`,
    `${way} ${kind} ${number}`,
  );
}

/** Resolves when both jobs have committed all that was published. */
const bothHaveAll = () =>
  until(
    () => jobs.every((job) => lines(job).length >= published.length),
    () => `${published.length} lines of both jobs; there are ${jobs.map((job) => lines(job).length)}`,
  );

/** The place and reason of the job's failure, once it has failed: the sentence that holds `words`. */
async function refusalOf(job: Job, words: string): Promise<string> {
  let sentences: string[] = [];
  await until(
    async () => {
      const report = await createClient(cluster).status(job);
      sentences = (report?.failures ?? []).map(({ where, reason }) => `${where}: ${reason}`);
      return sentences.some((sentence) => sentence.includes(words));
    },
    () => `job ${job} refuses by ${words}; its failures are ${JSON.stringify(sentences)}`,
  );
  return sentences.find((sentence) => sentence.includes(words))!;
}

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), {});
  workspace = await Workspace.create();
  const manager = await jetstreamManager(cluster.nats.connection);
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  for (let i = 0; i < ORDINARY; i++) await publish("nowhere", "ordinary");
  workspace.start(here("coordinator"));
  for (const job of jobs) {
    mkdirSync(workspace.path(`made-${job}`));
    workspace.write(`${job}.mjs`, jobFile(job));
    expect(await workspace.run(here("submit", `${job}.mjs`))).toMatchObject({ code: 0 });
  }
  workspace.start(here("worker", "alone.mjs", "--slots", "2"));
  for (let i = 0; i < 2; i++) workspace.start(here("worker", "apart.mjs", "--slots", "1"));
  await bothHaveAll();
});
afterAll(async () => {
  await workspace?.remove();
  await cluster?.nats.connection.close();
  await server?.stop();
});

test("one job stays in one process, the other's records cross in both directions", () => {
  const crossings = (job: Job) => new Set(lines(job).map(({ madeBy, keptBy }) => `${madeBy} ${keptBy}`));
  expect(crossings("alone").size).toBe(1);
  expect(crossings("apart").size).toBe(4);
});

test.each([
  ["edge", "getter", "make", 'has a getter, "kind"'],
  ["edge", "proxy", "make", "is a proxy"],
  ["edge", "instance", "make", "class Order"],
  ["edge", "bare", "make", "without prototype"],
  ["state", "symbol", "keep", "Symbol(trace)"],
  ["state", "hidden", "keep", 'a hidden field (not enumerable), "secret"'],
  ["sink", "named", "lines", 'a field "sum"'],
])("%s, %s: both refuse it in the same words and write nothing of it", async (way, kind, operator, words) => {
  await publish(way, kind);
  const [alone, apart] = [await refusalOf("alone", words), await refusalOf("apart", words)];
  expect(alone).toContain(`operator "${operator}"`);
  expect(apart).toBe(alone);
  await bothHaveAll();
  for (const job of jobs) expect(written(job)).toEqual(published);
});

test("what JSON knows of an odd value is written by both, at the first try", async () => {
  const restarts = () =>
    Promise.all(jobs.map(async (job) => (await createClient(cluster).status(job))?.restarts));
  const before = await restarts();
  for (const kind of ["getter", "proxy", "bare", "hidden"]) await publish("sink", kind);
  await bothHaveAll();
  for (const job of jobs) expect(written(job)).toEqual(published);
  expect(await restarts()).toEqual(before);
});
