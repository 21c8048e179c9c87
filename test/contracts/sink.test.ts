import * as nodeFiles from "node:fs/promises";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll } from "vitest";
import { fileSink } from "../../src/connectors/file-sink.ts";
import { jetstreamSink } from "../../src/connectors/jetstream/sink.ts";
import { MemorySinkTarget, type MemoryTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import type { MarkerKey, TransactionTarget } from "../../src/connectors/transactions/target.ts";
import { transactionalSink } from "../../src/connectors/transactions/transactional-sink.ts";
import type { TransactionMarker } from "../../src/formats/transactions/transaction-marker.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { markerTiming } from "../../src/nats/publisher/sink-marker.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { closeFaultyFiles, faultyFiles } from "./suites/faulty-files.ts";
import { inheritedContract } from "./suites/inherited.contract.ts";
import {
  type FaultPlan,
  partMessages,
  type SinkContract,
  type SinkFixture,
  sinkContract,
} from "./suites/sink.contract.ts";

function contracts(contract: SinkContract): void {
  sinkContract(contract);
  inheritedContract(contract);
}

contracts({
  name: "memory",
  recordsAreThere: true,
  runs: 300,
  refused: [], // A value of any kind can be kept in memory.
  async fixture() {
    const target = new MemorySinkTarget<string>();
    const options = { partMessagesMax: partMessages };
    return {
      sink: memorySink(target, options),
      nats: undefined,
      faulty: (plan) => ({ sink: memorySink(faultyTarget(target, plan), options) }),
      committed: async () => [...target.committed],
      loseMarkers: async () => target.markers.clear(),
      stop: async () => {},
    };
  },
});

function faultyTarget(target: MemoryTarget<string>, plan: FaultPlan): MemoryTarget<string> {
  return {
    read: (key) => plan.call(() => target.read(key)),
    append: (key, revision, marker, values) => plan.call(() => target.append(key, revision, marker, values)),
  };
}

/** A target as its author would write it: the marker and the records in one step. */
function tableTarget(
  rows: string[],
  markers: Map<string, TransactionMarker>,
): TransactionTarget<readonly string[]> {
  const nameOf = ({ incarnation, operator, writer }: MarkerKey) => `${incarnation}/${operator}/${writer}`;
  return {
    readMarker: async (key) => markers.get(nameOf(key)),
    async replaceMarker(key, expected, next, transaction) {
      const written: string[] = [];
      for await (const batch of transaction?.batches() ?? []) written.push(...batch);
      if (JSON.stringify(markers.get(nameOf(key))) !== JSON.stringify(expected)) return false;
      markers.set(nameOf(key), next);
      rows.push(...written);
      return true;
    },
    async close() {},
  };
}

contracts({
  name: "transactionalSink",
  runs: 300,
  refused: [], // Its records are values as state holds them.
  async fixture() {
    const rows: string[] = [];
    const markers = new Map<string, TransactionMarker>();
    const sinkOf = (plan?: FaultPlan) =>
      transactionalSink<string>({
        kind: "table",
        markersOf: async (job) => [...markers.values()].filter((marker) => marker.job === job),
        async open() {
          const target = tableTarget(rows, markers);
          if (plan === undefined) return target;
          return {
            ...target,
            readMarker: (key) => plan.call(() => target.readMarker(key)),
            replaceMarker: (...call) => plan.call(() => target.replaceMarker(...call)),
          };
        },
      });
    return {
      sink: sinkOf(),
      nats: undefined,
      faulty: (plan) => ({ sink: sinkOf(plan) }),
      committed: async () => [...rows],
      loseStaged: ({ staged }, staging) => staging.lose(staged.at(-1)!),
      loseMarkers: async () => markers.clear(),
      stop: async () => {},
    };
  },
});

contracts({
  name: "file",
  runs: 60,
  refused: ["two\nlines"],
  async fixture() {
    const directory = await mkdtemp(join(tmpdir(), "tidemark-sink-"));
    return {
      sink: fileSink<string>({ directory, encode: "text" }),
      nats: undefined,
      faulty: (plan) => ({ sink: fileSink<string>({ directory, encode: "text" }, faultyFiles(plan)) }),
      committed: () => linesIn(directory),
      async loseStaged({ detail }) {
        const path = join(directory, ".tidemark", (detail as { file: string }).file);
        await nodeFiles.rename(path, `${path}.kept`);
        return () => nodeFiles.rename(`${path}.kept`, path);
      },
      loseMarkers: () => rm(join(directory, ".tidemark"), { recursive: true }),
      async stop() {
        await closeFaultyFiles();
        await rm(directory, { recursive: true });
      },
    };
  },
});

async function linesIn(directory: string): Promise<string[]> {
  const files = (await readdir(directory)).filter((file) => !file.startsWith(".")).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), "utf8")));
  return texts.flatMap((text) => text.split("\n").slice(0, -1));
}

let server: TestServer;
let connection: NatsConnection;
let streams = 0;

beforeAll(async () => {
  markerTiming.batchTimeoutMs = 500;
  markerTiming.confirmDelayMs = 20;
  server = await startTestServer();
  connection = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
});
afterAll(async () => {
  await connection?.close();
  await server?.stop();
});

contracts({
  name: "JetStream",
  runs: 25,
  refused: [
    "!out.*",
    "!out.>",
    "!out..x",
    "!out.a b",
    "!",
    "!elsewhere.x",
    "!tidemark-marker.HERE.life1.out.0",
    "x".repeat(1024 * 1024),
  ],
  fixture: jetstreamFixture,
  stagesParts: true,
  async outage() {
    await server.kill("SIGKILL");
    await new Promise((resolve) => setTimeout(resolve, 150));
    await server.restart();
  },
});

async function jetstreamFixture(): Promise<SinkFixture> {
  streams += 1;
  const stream = `OUT${streams}`;
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const sink = jetstreamSink<string>({
    stream,
    // A record that begins with "!" chooses its subject.
    subject: (record) => (record.startsWith("!") ? record.slice(1).replace("HERE", stream) : "out.data"),
    encode: "text",
    partMessagesMax: partMessages,
  });
  await manager.streams.add({
    name: stream,
    subjects: ["out.>", `tidemark-marker.${stream}.>`],
    allow_atomic: true,
    allow_rollup_hdrs: true,
    allow_msg_ttl: true,
  });
  return {
    sink,
    nats: new NatsEnvironment(connection, undefined),
    faulty: (plan) => ({ sink, nats: new NatsEnvironment(faultyConnection(connection, plan), undefined) }),
    async committed() {
      const { state } = await manager.streams.info(stream);
      const found: string[] = [];
      for (let seq = Math.max(state.first_seq, 1); seq <= state.last_seq; seq += 1) {
        const message = await manager.streams.getMessage(stream, { seq });
        if (message?.subject.startsWith("out.")) found.push(message.string());
      }
      return found;
    },
    loseStaged: ({ staged }, staging) => staging.lose(staged.at(-1)!),
    async loseMarkers() {
      await manager.streams.purge(stream, { filter: `tidemark-marker.${stream}.>` });
    },
    async stop() {
      await manager.streams.delete(stream);
    },
  };
}

/** Faults hit the requests: the last message of a batch, and the read of the marker. */
function faultyConnection(real: NatsConnection, plan: FaultPlan): NatsConnection {
  return new Proxy(real, {
    get(target, property) {
      if (property === "request") {
        return (...args: Parameters<NatsConnection["request"]>) => plan.call(() => target.request(...args));
      }
      const value = Reflect.get(target, property, target) as unknown;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
