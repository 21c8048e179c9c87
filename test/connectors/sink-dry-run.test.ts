/**
 * What a sink says when it may only look (`restore --dry-run`): the words of the real check, and nothing is made or
 * changed.
 */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareSubmission } from "../../src/cli/assembly.ts";
import { submissionOf } from "../../src/cli/submission/submission.ts";
import { fileSink } from "../../src/connectors/file-sink.ts";
import { generatorSource } from "../../src/connectors/generator-source.ts";
import { type JetStreamSinkOptions, jetstreamSink } from "../../src/connectors/jetstream/sink.ts";
import type { Sink } from "../../src/dataflow/sink.ts";
import { EnvironmentError } from "../../src/errors.ts";
import { defineJob } from "../../src/job/builder.ts";
import { NO_PROJECT } from "../../src/job/code/project-code.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { MemoryStaging, sinkEnvironment } from "../../src/testing/sink-environment.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";

const accounts = ["plain", "few", "sized", "submissions"].map(
  (name) => `${name} { users [{ user: ${name}, password: x }], jetstream ${limitsOf(name)} }`,
);

function limitsOf(account: string): string {
  return { few: "{ max_streams: 3 }", sized: "{ max_bytes_required: true }" }[account] ?? "enabled";
}

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    configuration: `accounts { ${accounts.join("\n")} }\nno_auth_user: plain`,
  });
});
afterAll(() => server.stop());

async function said<T>(sink: Sink<T>, nats: unknown, dryRun: boolean): Promise<string | undefined> {
  const environment = sinkEnvironment({ nats, staging: new MemoryStaging(), ...(dryRun && { dryRun }) });
  try {
    await sink.check(environment);
    return undefined;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

const markers = (name: string) => `tidemark-marker.${name}.>`;
const batches = { allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true };

const jetstream: readonly (readonly [string, JetStreamSinkOptions<string>, RegExp | undefined])[] = [
  ["plain", { stream: "NEW", subject: "NEW.x" }, /stream NEW does not exist/],
  ["plain", { stream: "KV_new", subject: "$KV.new.x" }, /nats kv add new/],
  ["plain", { stream: "PLAIN", subject: "PLAIN.x" }, /PLAIN cannot take exactly-once output/],
  ["plain", { stream: "PLAIN", subject: "away.x", guarantee: "at-least-once" }, /away\.x/],
  ["plain", { stream: "PLAIN", subject: "away.x", provision: true }, /away\.x/],
  ["plain", { stream: "READY", subject: "away.x" }, /away\.x/],
  ["plain", { stream: "READY", subject: "READY.x" }, undefined],
  ["plain", { stream: "MEMORY", subject: "MEMORY.x", provision: true }, /storage is not file/],
  ["plain", { stream: "NEW", subject: () => "NEW.x", provision: true }, /creating it needs its subjects/],
  ["plain", { stream: "NEW", subject: "x.y", subjects: ["NEW.>"], provision: true }, /x\.y/],
  ["plain", { stream: "NEW", subject: "READY.x", provision: true }, /belong in part to stream READY/],
  [
    "plain",
    { stream: "PLAIN", subject: "PLAIN.x", markerPrefix: "READY.m", provision: true },
    /PLAIN cannot be changed \(.*subjects\).*overlap/,
  ],
  [
    "plain",
    { stream: "KV_new", subject: "new.x", provision: true },
    /is the KV bucket new, which takes only/,
  ],
  ["few", { stream: "NEW", subject: "NEW.x", provision: true }, /maximum number of streams/],
  ["few", { stream: "NEW", subject: "READY.x", provision: true }, /NEW cannot be created/],
  ["sized", { stream: "NEW", subject: "NEW.x", provision: true }, /--max-bytes=…/],
  ["sized", { stream: "KV_new", subject: "$KV.new.x", provision: true }, /--max-bucket-size=…/],
  // What the real one makes or changes.
  ["plain", { stream: "PLAIN", subject: "PLAIN.x", provision: true }, undefined],
  ["plain", { stream: "NEW", subject: "NEW.x", provision: true }, undefined],
  ["plain", { stream: "KV_new", subject: () => "$KV.new.x", provision: true }, undefined],
];

test("of a stream: missing, unsuitable, and all that can keep it from being made or mended", async () => {
  for (const account of ["plain", "few", "sized"]) {
    const connection = await connect({ servers: server.url, user: account, pass: "x" });
    const manager = await jetstreamManager(connection);
    const add = (name: string, more: object) =>
      manager.streams.add({
        ...{ name, subjects: [`${name}.>`], max_bytes: 1024 ** 2, ...more },
      } as Partial<StreamConfig> & { name: string });
    await add("PLAIN", {});
    await add("READY", { ...batches, subjects: ["READY.>", markers("READY")] });
    await add("MEMORY", { storage: "memory" });
    const streams = async () => (await manager.streams.list().next()).map(({ config }) => config);
    const nats = new NatsEnvironment(connection);
    for (const [whose, options, words] of jetstream) {
      if (whose !== account) continue;
      const sink = jetstreamSink<string>({ encode: "text", ...options });
      const before = await streams();
      const dry = await said(sink, nats, true);
      expect(await streams()).toEqual(before);
      expect.soft(dry).toBe(await said(sink, nats, false));
      if (words === undefined) expect.soft(dry).toBeUndefined();
      else {
        expect.soft(dry).toMatch(words);
        // Nor does a check that refuses leave anything half done.
        expect.soft(await streams()).toEqual(before);
      }
    }
    await connection.close();
  }
});

test("a submission that is refused has made nothing, whichever of its sinks is the one; what fails later is named with what was made", async () => {
  const connection = await connect({ servers: server.url, user: "submissions", pass: "x" });
  const manager = await jetstreamManager(connection);
  const nats = new NatsEnvironment(connection);
  await manager.streams.add({ name: "READY", subjects: ["READY.>", markers("READY")], ...batches });
  const streams = async () => (await manager.streams.list().next()).map(({ config }) => config);
  const before = await streams();
  const provision = (stream: string, subject: string, subjects = [subject]) =>
    jetstreamSink<number>({ stream, subject, subjects, provision: true });
  const submitted = async (...sinks: Sink<number>[]) => {
    const job = defineJob("many", {}, (made) => {
      const numbers = made.source("in", generatorSource({ count: 1, generate: (n) => n }));
      for (const [index, sink] of sinks.entries()) numbers.sink(`out-${index}`, sink);
    });
    const prepared = prepareSubmission({ job, code: NO_PROJECT }, {});
    const environment = sinkEnvironment({ nats, staging: new MemoryStaging() });
    return await submissionOf(prepared, environment, "anywhere").then(
      () => undefined,
      (error: Error) => error.message,
    );
  };
  for (const [bad, words] of [
    [jetstreamSink<number>({ stream: "GONE", subject: "GONE.x" }), /stream GONE does not exist/],
    [provision("OTHER", "READY.x"), /belong in part to stream READY/],
    // This stream is one that only the neighbour is about to make.
    [provision("OTHER", "NEW.x"), /belong in part to stream NEW/],
    [provision("NEW", "elsewhere.x"), /elsewhere\.x/],
  ] as const) {
    expect(await submitted(provision("NEW", "NEW.x", ["NEW.>"]), bad)).toMatch(words);
    expect(await streams()).toEqual(before);
  }
  const failing: Sink<number> = {
    ...fileSink<number>({ directory: "/", encode: String }),
    check: async ({ dryRun }) => {
      if (!dryRun) throw new EnvironmentError("the disk is full");
    },
  };
  expect(await submitted(provision("NEW", "NEW.x"), failing)).toBe(
    `the disk is full; made for the job before that, and still there: stream NEW (to delete it: nats stream rm NEW --server=${server.url})`,
  );
  expect(await submitted(provision("NEW", "NEW.x"), provision("NEWER", "NEWER.x"))).toBeUndefined();
  expect((await streams()).map(({ name }) => name)).toEqual(["NEW", "NEWER", "READY"]);
  await connection.close();
});

test("of a directory: a file in its way, one that cannot be written, one that is yet to be made", async () => {
  const root = await mkdtemp(join(tmpdir(), "tidemark-dry-"));
  try {
    writeFileSync(join(root, "file"), "");
    mkdirSync(join(root, "there"));
    mkdirSync(join(root, "spoilt"));
    writeFileSync(join(root, "spoilt/.tidemark"), "");
    const places = ["file", "file/x", "file/x/y", "spoilt", "there", "new", "new/deep"];
    const before = readdirSync(root, { recursive: true });
    const ofAll = async (dryRun: boolean) => {
      const all: (string | undefined)[] = [];
      for (const at of [...places.map((place) => join(root, place)), "/sys/kernel/x"])
        all.push(await said(fileSink({ directory: at, encode: "text" }), undefined, dryRun));
      return all;
    };
    const dry = await ofAll(true);
    expect(readdirSync(root, { recursive: true })).toEqual(before);
    expect(dry).toEqual(await ofAll(false));
    expect(dry.map((words) => words === undefined)).toEqual([
      ...[false, false, false, false, true, true, true],
      false,
    ]);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
