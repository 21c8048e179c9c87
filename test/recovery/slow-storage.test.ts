/**
 * What real processes leave in real storage that is too slow for their checkpoints: never more than three times the
 * state, and only what is retained once nothing is under way (P16, P21, P48).
 */
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../src/cli/assembly.ts";
import { connectNats } from "../../src/nats/connection/connect.ts";
import { type Command, until, Workspace } from "../cli/workspace.ts";
import { snapshotRequest } from "../support/memory-world.ts";
import { compiled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { SlowLine } from "../support/slow-line.ts";
import { patientSignal } from "../support/suite/patience.ts";

const KEYS = 500;
const BALLAST_BYTES = 100_000;
/** The pace of a slow server: most of the state within the timeout, never all of it. */
const SLOW_BYTES_PER_MS = 10_000;

const JOB = `import { defineJob, fileSink, generatorSource, valueState } from "tidemark";
const BALLAST = "x".repeat(${BALLAST_BYTES});
export default defineJob("ballast", {
  parallelism: 2,
  checkpointing: { interval: "1h", timeout: "4s", tolerableFailures: "unlimited" },
  heartbeat: { timeout: "5min" },
}, (job) => {
  job
    .source("numbers", generatorSource({ count: 1_000_000, ratePerSecond: 1000, splits: 2, generate: (index) => ({ key: index % ${KEYS} }) }))
    .keyBy((seen) => seen.key)
    .process("count", {
      state: { ballast: valueState("") },
      onRecord(seen, { state, emit }) {
        state.ballast.set(BALLAST);
        emit("x");
      },
    })
    .sink("lines", fileSink({ directory: "out" }));
});
`;

let server: TestServer;
let line: SlowLine;
let manager: JetStreamManager;
let cluster: Cluster;
let workspace: Workspace;
let prefix: string;
let tests = 0;
let asked = 0;

beforeAll(async () => {
  server = await startTestServer();
  line = await SlowLine.to(server.url);
});
afterAll(async () => {
  await line.close();
  await server.stop();
});
beforeEach(async () => {
  prefix = `slow${++tests}`;
  workspace = await Workspace.create();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix });
  manager = await jetstreamManager(cluster.nats.connection);
});
afterEach(async () => {
  line.bytesPerMs = Number.POSITIVE_INFINITY;
  await workspace.remove();
  await cluster.nats.connection.close();
});

interface Place {
  readonly flags: readonly string[];
  /** The server's address for a worker. */
  readonly url: () => string;
  readonly environment: () => Readonly<Record<string, string>>;
  readonly slow: (isSlow: boolean) => void;
  /** The size as the operator of the storage sees it. */
  readonly bytes: () => Promise<number>;
}

const OBJECT_STORE: Place = {
  flags: [],
  url: () => line.url,
  environment: () => ({}),
  slow: (isSlow) => {
    line.bytesPerMs = isSlow ? SLOW_BYTES_PER_MS : Number.POSITIVE_INFINITY;
  },
  async bytes() {
    const stream = `OBJ_${prefix}-checkpoints`;
    return (await manager.streams.info(stream)).state.bytes;
  },
};

const flag = () => workspace.path("slow");
const DIRECTORY: Place = {
  flags: ["--checkpoint-dir", "checkpoints"],
  url: () => server.url,
  environment: () => ({
    NODE_OPTIONS: `--import ${compiled("test/support/suite/slow-files.ts")}`,
    SLOW_DIRECTORY: workspace.path("checkpoints"),
    SLOW_WHILE: flag(),
  }),
  slow: (isSlow) => (isSlow ? writeFileSync(flag(), "") : rmSync(flag(), { force: true })),
  bytes: async () => bytesBelow(workspace.path("checkpoints")),
};

function bytesBelow(directory: string): number {
  let bytes = 0;
  for (const name of readdirSync(directory, { recursive: true }) as string[]) {
    const found = statSync(join(directory, name), { throwIfNoEntry: false });
    if (found?.isFile()) bytes += found.size;
  }
  return bytes;
}

test.each([
  ["the object store", OBJECT_STORE],
  ["a directory", DIRECTORY],
])("%s: checkpoints that expire, and a worker that is killed in the middle of one", async (_, place) => {
  const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", prefix, ...place.flags];
  const startWorker = (): Command =>
    workspace.start(
      ["worker", "job.js", "--slots", "2", "--server", place.url(), "--prefix", prefix, ...place.flags],
      { env: place.environment() },
    );
  const client = createClient(cluster);
  const takesCheckpoint = () =>
    client.snapshot(
      { ...snapshotRequest({ request: `s${++asked}`, kind: "checkpoint" }), job: "ballast" },
      patientSignal(),
    );

  workspace.write("job.js", JOB);
  workspace.start(here("coordinator"));
  const submitted = await workspace.run(here("submit", "job.js"));
  expect(submitted).toMatchObject({ code: 0 });
  const worker = startWorker();
  await until(
    async () => {
      const done = await takesCheckpoint().catch(() => undefined);
      return done !== undefined && (await place.bytes()) > KEYS * BALLAST_BYTES;
    },
    () => worker.stderr,
  );
  const verifies = async () => {
    const { code, stdout } = await workspace.run(here("checkpoints", "verify", "ballast"));
    return code === 0 && stdout.includes("no unreachable object");
  };
  await until(verifies, () => "older ones are deleted");
  const state = await place.bytes();

  place.slow(true);
  let most = 0;
  let expired = 0;
  const expiring = async () => {
    for (let i = 0; i < 3; i++) await takesCheckpoint().catch(() => expired++);
  };
  let over = false;
  void expiring().finally(() => {
    over = true;
  });
  await until(
    async () => {
      most = Math.max(most, await place.bytes());
      return over;
    },
    () => `${expired} have expired; ${most} bytes`,
  );
  expect(expired).toBe(3);
  expect(most).toBeGreaterThan(state);
  expect(most).toBeLessThanOrEqual(3 * state);
  const onlyRetained = async () => {
    let bytes = 0;
    await until(
      async () => {
        bytes = await place.bytes();
        return bytes === state;
      },
      () => `${bytes} bytes instead of ${state}`,
    );
  };
  await onlyRetained();

  takesCheckpoint().catch(() => {});
  await until(
    async () => (await place.bytes()) > state,
    () => "the next one is being written",
  );
  worker.kill("SIGKILL");
  place.slow(false);
  startWorker();
  await onlyRetained();
  expect(await verifies()).toBe(true);
});
