/**
 * JetStream that is switched off for the account at one step of a commit, and on again: what was decided is committed
 * once.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectNats } from "../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";
import { CrashBench, type CrashCase } from "./crashes/crash-case.ts";

const accounts = (jetStream: string) => `accounts {
  A { users [{ user: a, password: x }]${jetStream} }
  B { users [{ user: b, password: x }], jetstream: enabled }
}`;
const ON = accounts(", jetstream: enabled");
const OFF = accounts("");

let server: TestServer;
let nats: NatsEnvironment;
let bench: CrashBench;
const directory = mkdtempSync(join(tmpdir(), "tidemark-recovery-"));

beforeAll(async () => {
  server = await startTestServer({ configuration: ON });
  const url = server.url.replace("nats://", "nats://a:x@");
  nats = await connectNats({ servers: url, name: "test" });
  bench = await CrashBench.open(url, nats, directory);
});
afterAll(async () => {
  await bench.close();
  await nats.connection.close();
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
});

const LOOKS = 20;

/**
 * Waits until the other writers have committed what was decided. The server stores the batch of an unreplicated stream
 * message by message, and leaves a part of it, without its marker, if JetStream is switched off in between.
 */
async function nothingIsCommitted(): Promise<void> {
  const manager = await nats.manager();
  let last = "";
  let alike = 0;
  await until(
    "no stream grows any more",
    async () => {
      const sequences: string[] = [];
      for await (const { config, state } of manager.streams.list())
        if (config.name.startsWith("OUT")) sequences.push(`${config.name} ${state.last_seq}`);
      const now = sequences.join(", ");
      alike = now === last ? alike + 1 : 0;
      last = now;
      return alike === LOOKS;
    },
    { describe: () => last },
  );
}

const rows: readonly (CrashCase & { readonly title: string })[] = [
  {
    title: "the decision is stored, and no worker knows of it",
    victim: "coordinator",
    faults: [{ when: "held", point: "send checkpoint.completed" }],
  },
  {
    title: "all messages of the batch are sent but its last, the marker",
    victim: "worker",
    faults: [{ when: "held", point: "batch part" }],
  },
  {
    title: "the first of several batches is stored",
    victim: "worker",
    faults: [{ when: "held", point: "batch part", nth: 2 }],
  },
];

test.each(rows)("$title", async ({ title: _, ...crashCase }) => {
  const outcome = await bench.run({
    ...crashCase,
    whileHeld: async () => {
      await nothingIsCommitted();
      await server.reload(OFF);
    },
    afterHeld: () => server.reload(ON),
  });
  expect(outcome.problems).toEqual([]);
  expect(outcome.hits).toBe(1);
});
