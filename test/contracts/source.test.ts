import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll } from "vitest";
import { fileSource } from "../../src/connectors/files/source.ts";
import { generatorSource } from "../../src/connectors/generator-source.ts";
import { type JetStreamSourceOptions, jetstreamSource } from "../../src/connectors/jetstream/source.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import { connectDiverting } from "../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { publishAll } from "../support/servers/streams.ts";
import { describeSourceContract, type SourceWorld } from "./suites/source.contract.ts";

describeSourceContract("memory", async (count) => {
  const logs = [new MemoryLog<string>(), new MemoryLog<string>()];
  for (let i = 0; i < count; i++) for (const [split, log] of logs.entries()) log.append(`${split}:${i}`);
  return {
    nats: undefined,
    bounded: () => memorySource(logs, { until: "end" }),
    unbounded: () => memorySource(logs),
    grow: async () => {
      for (const [split, log] of logs.entries()) log.append(`${split}:${log.length}`);
    },
    close: async () => {},
  };
});

describeSourceContract("generator", async (count) => ({
  nats: undefined,
  bounded: () =>
    generatorSource({
      count: count * 2,
      splits: 2,
      generate: (index) => `${index % 2}:${Math.floor(index / 2)}`,
    }),
  unbounded: undefined,
  grow: async () => {},
  close: async () => {},
}));

describeSourceContract("file", async (count) => {
  const directory = await mkdtemp(join(tmpdir(), "tidemark-lines-"));
  const paths = [0, 1].map((split) => join(directory, `${split}.txt`));
  const lines = (split: number, from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => `${split}:${from + i}\n`).join("");
  for (const [split, path] of paths.entries()) await writeFile(path, lines(split, 0, count));
  return {
    nats: undefined,
    bounded: () => fileSource({ paths: directory, decode: "text" }),
    unbounded: () => fileSource({ paths, decode: "text", tail: true }),
    grow: async () => {
      for (const [split, path] of paths.entries()) await appendFile(path, lines(split, count, count + 1));
    },
    close: () => rm(directory, { recursive: true }),
  };
});

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  await server.stop();
});

for (const reader of ["diverting", "public"] as const)
  describeSourceContract(`jetstream, ${reader} reader`, (count) => openStream(count, reader));

async function openStream(count: number, reader: "diverting" | "public"): Promise<SourceWorld> {
  const { connection, diverter } = await connectDiverting({ servers: server.url });
  const nats = new NatsEnvironment(connection, diverter);
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "S", subjects: ["s.*"] });
  const messages = Array.from({ length: count * 2 }, (_, i) => ({
    subject: `s.${i % 2}`,
    text: `${i % 2}:${Math.floor(i / 2)}`,
  }));
  await publishAll(nats, messages);
  const options = { stream: "S", subjects: ["s.0", "s.1"], reader } satisfies JetStreamSourceOptions;
  return {
    nats,
    bounded: () => jetstreamSource({ ...options, decode: "text", until: "end" }),
    unbounded: () => jetstreamSource({ ...options, decode: "text" }),
    grow: () =>
      publishAll(
        nats,
        [0, 1].map((split) => ({ subject: `s.${split}`, text: `${split}:${count}` })),
      ),
    close: async () => {
      await manager.streams.delete("S");
      await connection.close();
    },
  };
}
