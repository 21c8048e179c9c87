/**
 * States have versions: what does not fit is refused before anything is stopped or made, with both versions, and what a
 * migration is there for goes on (P101).
 */
import { existsSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const shared = new SharedServer("versions");

/** Counts words; `count` is what the state holds of one, and how that is read and made. */
const jobText = (options: string, read: string, write: string) => `
import { defineJob, fileSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("words", { parallelism: 2, checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("lines", jetstreamSource({ stream: "IN", subjects: ["in"], decode: "text" }))
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(${options}) },
      onRecord(word, { state }) {
        const held = state.count.get();
        const count = ${read} + 1;
        state.count.set(${write});
        return word + " " + count;
      },
    })
    .sink("out", fileSink({ directory: "out" }));
});
`;

const NUMBER = jobText("0", "held", "count");
const OBJECT = jobText('{ n: 0 }, { version: "2" }', "held.n", "{ n: count }");
const migrating = (migrate: string) =>
  jobText(`{ n: 0 }, { version: "2", migrate: ${migrate} }`, "held.n", "{ n: count }");
const TEXT = jobText(
  '"0", { version: "3", migrate: { "2": (value) => String(value.n) } }',
  "Number(held)",
  "String(count)",
);

async function said(...words: string[]): Promise<void> {
  const { workspace, cluster } = shared;
  const before = existsSync(workspace.path("out")) ? workspace.lines().length : 0;
  for (const word of words) cluster.nats.connection.publish("in", word);
  await until(
    () => existsSync(workspace.path("out")) && workspace.lines().length === before + words.length,
    () => "the words are counted",
  );
}

const start = (...more: string[]): Command => shared.workspace.start(shared.here("run", "job.mjs", ...more));

async function suspended(run: Command): Promise<void> {
  run.kill("SIGINT");
  expect(await run.ended).toMatchObject({ code: 0 });
}

test("values of another version are refused by name, migrated where that is said, and then of the new version", async () => {
  const { workspace, cluster, asks, json } = shared;
  await (await jetstreamManager(cluster.nats.connection)).streams.add({ name: "IN", subjects: ["in"] });
  workspace.write("job.mjs", NUMBER);
  const first = start();
  await said("a", "b", "a");

  workspace.write("job.mjs", OBJECT);
  const words =
    'state "count" of operator count is stored in version "1" and has version "2" now: give it migrate: { "1": (value) => ... }';
  // The job runs, and goes on all the same.
  workspace.write("fork.mjs", OBJECT.replace('"words"', '"fork"'));
  const { location } = (await json("savepoint", "words", "--to", workspace.path("saved"))) as {
    location: string;
  };
  const rehearsed = await asks("run", "fork.mjs", "--from", location);
  expect(rehearsed).toMatchObject({ code: 4, stderr: expect.stringContaining(words) });
  await said("a");
  await suspended(first);
  for (const more of [[], ["--from", "checkpoint:words", "--fresh"]])
    expect(await asks("run", "job.mjs", ...more)).toMatchObject({
      code: 4,
      stderr: expect.stringContaining(words),
    });

  workspace.write("job.mjs", migrating('{ "1": (value) => ({ n: value * 10 }) }'));
  const second = start();
  await said("a", "c");
  await suspended(second);
  expect(workspace.lines().sort()).toEqual(["a 1", "a 2", "a 3", "a 31", "b 1", "c 1"]);
  const { states } = (await json("state", "ls", "words")) as {
    states: { state: string; versions?: string[] }[];
  };
  expect(states.find(({ state }) => state === "count")).toMatchObject({ versions: ["2"] });

  workspace.write("job.mjs", TEXT);
  const third = start("--from", "checkpoint:words", "--fresh");
  await said("a", "b");
  await suspended(third);
  expect(workspace.lines()).toEqual(expect.arrayContaining(["a 32", "b 11"]));
});

test("a migration that fails says so by operator and state, and the next one goes on", async () => {
  const { workspace, cluster } = shared;
  const streams = (await jetstreamManager(cluster.nats.connection)).streams;
  await streams.delete("IN");
  await streams.add({ name: "IN", subjects: ["in"] });
  workspace.write("job.mjs", NUMBER);
  const first = start();
  await said("a", "b");
  await suspended(first);
  workspace.write("job.mjs", migrating('{ "1": (value) => { throw new Error("not like that"); } }'));
  const second = start("--config", "restart.strategy=none");
  const { code, stderr, stdout } = await second.ended;
  expect(code).toBe(1);
  expect(stdout + stderr).toContain('operator "count" failed: not like that');
  workspace.write("job.mjs", migrating('{ "1": (value) => ({ n: value }) }'));
  const third = start();
  await said("a");
  await suspended(third);
  expect(workspace.lines().sort()).toEqual(["a 1", "a 2", "b 1"]);
});
