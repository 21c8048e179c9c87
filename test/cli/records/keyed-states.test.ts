/** Keyed state of every kind goes through the checkpoints of real workers: one of them is killed on the way. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { type Command, until, Workspace } from "../workspace.ts";

const PREFIX = "states";
const KEYS = 5;
const ENTRIES = 40;

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
const parts: Command[] = [];

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix: PREFIX });
  workspace = await Workspace.create();
});
afterAll(async () => {
  for (const part of parts) part.kill("SIGKILL");
  await workspace?.remove();
  await cluster?.nats.connection.close();
  await server?.stop();
});

const job = `
import {
  aggregatingState, defineJob, fileSink, generatorSource, listState, mapState, reducingState, valueState,
} from "tidemark";
export default defineJob("states", { parallelism: 2, checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("numbers", generatorSource({ ratePerSecond: 800, splits: 2, generate: (index) => index }))
    .keyBy((number) => number % ${KEYS})
    .process("remember", {
      state: {
        count: valueState(0),
        seen: listState(),
        entries: mapState(),
        largest: reducingState((a, b) => Math.max(a, b)),
        mean: aggregatingState({
          createAccumulator: () => ({ sum: 0, count: 0 }),
          add: ({ sum, count }, number) => ({ sum: sum + number, count: count + 1 }),
          getResult: ({ sum, count }) => sum / count,
        }),
      },
      onRecord(number, { state }) {
        const { count, seen, entries, largest, mean } = state;
        count.set(count.get() + 1);
        seen.add(number);
        const entry = number % 3 === 0 ? number % ${ENTRIES} : "of " + (number % ${ENTRIES});
        entries.set(entry, (entries.get(entry) ?? 0) + 1);
        if (number % 400 === 0) entries.delete(entry);
        largest.add(number);
        mean.add(number);
      },
      onEnd: ({ key, state: { count, seen, entries, largest, mean } }) =>
        JSON.stringify({
          key,
          count: count.get(),
          seen: seen.get().sort((a, b) => a - b),
          entries: [...entries],
          largest: largest.get(),
          mean: mean.get(),
        }),
    })
    .sink("states", fileSink({ directory: "states" }));
});
`;

interface States {
  readonly key: number;
  readonly seen: readonly number[];
}

/** The same by plain loops over the numbers that the key has seen; those of one entry come from one split, in order. */
function expected({ key, seen }: States): unknown {
  const entries = new Map<string | number, number>();
  for (const number of seen) {
    const entry = number % 3 === 0 ? number % ENTRIES : `of ${number % ENTRIES}`;
    entries.set(entry, (entries.get(entry) ?? 0) + 1);
    if (number % 400 === 0) entries.delete(entry);
  }
  const numbers = [...entries].filter(([name]) => typeof name === "number");
  const texts = [...entries].filter(([name]) => typeof name === "string");
  return {
    key,
    count: seen.length,
    seen,
    entries: [
      ...numbers.sort(([a], [b]) => Number(a) - Number(b)),
      ...texts.sort(([a], [b]) => (a < b ? -1 : 1)),
    ],
    largest: seen.at(-1),
    mean: seen.reduce((a, b) => a + b, 0) / seen.length,
  };
}

test("value, list, map, reducing and aggregating state are exact after a worker was killed", async () => {
  const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", PREFIX];
  const start = (...args: string[]) => {
    const part = workspace.start(here(...args));
    parts.push(part);
    return part;
  };
  const comesTo = async (what: string, met: (now: JobReport) => boolean): Promise<JobReport> => {
    let last: JobReport | undefined;
    await until(
      async () => {
        last = await createClient(cluster).status("states");
        return last !== undefined && met(last);
      },
      () => `${what}; at last ${JSON.stringify(last)}`,
    );
    return last!;
  };
  workspace.write("job.js", job);
  start("coordinator");
  expect(await workspace.run(here("submit", "job.js"))).toMatchObject({ code: 0 });
  const started = [start("worker", "job.js"), start("worker", "job.js")];
  const { subtasks, workers, checkpoints } = await comesTo(
    "some checkpoints",
    (now) => now.checkpoints.completed > 1 && now.subtasks.length > 0,
  );
  const before = checkpoints.latest!.checkpointId;
  const used = workers.find(({ worker }) => worker === subtasks[0]!.worker);
  const doomed = started.find(({ pid }) => pid === used?.processId);
  expect(doomed).toBeDefined();
  doomed!.kill("SIGKILL");
  start("worker", "job.js");
  await comesTo(
    "a checkpoint of the job that goes on",
    ({ checkpoints, restarts }) => restarts > 0 && checkpoints.latest!.checkpointId > before,
  );
  expect(
    await workspace.run(here("stop", "states", "--drain", "--to", workspace.path("savepoints"))),
  ).toMatchObject({ code: 0 });
  const states = workspace.lines("states").map((line) => JSON.parse(line) as States);
  expect(states.map(({ key }) => key).sort()).toEqual(Array.from({ length: KEYS }, (_, key) => key));
  for (const state of states) expect(state).toEqual(expected(state));
  // Each number was seen once, from each of the two splits up to some number.
  const all = states.flatMap(({ seen }) => seen);
  for (const split of [0, 1]) {
    const numbers = all.filter((number) => number % 2 === split).sort((a, b) => a - b);
    expect(numbers).toEqual(numbers.map((_, index) => index * 2 + split));
    expect(numbers.length).toBeGreaterThan(0);
  }
});
