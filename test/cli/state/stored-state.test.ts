/** `tidemark state ls|get|dump`: what a job has in its states is read out of a checkpoint or a savepoint. */
import { existsSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const shared = new SharedServer("state");

const JOB = `
import { defineJob, fileSink, jetstreamSource, listState, mapState, operatorListState, reducingState, valueState } from "tidemark";
export default defineJob("words", { parallelism: 2, checkpointing: { interval: "200ms", retained: 50 } }, (job) => {
  const words = job.source("lines", jetstreamSource({ stream: "IN", subjects: ["in.a", "in.b"], decode: "text" }));
  const counted = words
    .keyBy((word) => (word === "7" ? 7 : word))
    .process("count", {
      state: {
        count: valueState(0),
        last: valueState(null, { ttl: { after: "9 d" } }),
        all: listState(),
        lately: listState({ ttl: { after: "9 d" } }),
        nth: mapState(),
        sum: reducingState((a, b) => a + b),
      },
      onRecord(word, { state, timers }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        state.last.set({ at: new Date(0), id: BigInt(count), maybe: undefined });
        state.all.add(word + count);
        state.lately.add(count);
        state.nth.set(count, new Map([[word, count]]));
        state.sum.add(count);
        timers.registerProcessingTimer(4_000_000_000_000);
        return word;
      },
      onTimer() {},
    });
  counted
    .process("keep", {
      state: { kept: operatorListState() },
      onRecord(word, { state }) {
        state.kept.add({ word });
        return word;
      },
    })
    .sink("out", fileSink({ directory: "out" }));
});
`;

const WORDS = [...Array.from({ length: 40 }, () => "hello"), "world", "7"];

/** The job has counted the words, and still runs. */
async function counted(): Promise<Command> {
  const { workspace, cluster, here } = shared;
  const { connection } = cluster.nats;
  const manager = await jetstreamManager(connection);
  await manager.streams.delete("IN").catch(() => {});
  await manager.streams.add({ name: "IN", subjects: ["in.>"] });
  workspace.write("words.mjs", JOB);
  const run = workspace.start(here("run", "words.mjs"));
  for (const word of WORDS) connection.publish("in.a", word);
  await until(
    () => existsSync(workspace.path("out")) && workspace.lines().length === WORDS.length,
    () => "the words are counted",
  );
  return run;
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** The lines that a command prints. */
async function lines(...command: string[]): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await shared.asks(...command);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return jsonLines(stdout);
}

test("states of a suspended job are listed, and each key is found with its type", async () => {
  const run = await counted();
  // While it runs, too.
  expect(await lines("state", "get", "words", "count", "count", "hello")).toMatchObject([{ value: 40 }]);
  run.kill("SIGINT");
  expect(await run.ended).toMatchObject({ code: 0 });

  const listed = await shared.json("state", "ls", "words");
  expect(listed).toMatchObject({ job: "words", from: { kind: "checkpoint" } });
  const rows = (listed.states as { operator: string; state: string; kind: string; rows: number }[]).map(
    (one) => [one.operator, one.state, one.kind, one.rows],
  );
  expect(rows).toEqual([
    ["lines", "splits", "positions", 2],
    ["count", "all", "list", 3],
    ["count", "count", "value", 3],
    ["count", "event timers", "timers", 0],
    ["count", "last", "value", 3],
    ["count", "lately", "list", 3],
    ["count", "nth", "map", 42],
    ["count", "processing timers", "timers", 3],
    ["count", "sum", "reducing", 3],
    ["keep", "kept", "list", 42],
    ["out", expect.any(String), "own", expect.any(Number)],
  ]);

  const get = async (...args: string[]) =>
    (await lines("state", "get", "words", ...args)).map(({ value }) => value);
  expect(await get("count", "count", "hello")).toEqual([40]);
  expect(await get("count", "count", "7")).toEqual([1]);
  const [last] = await lines("state", "get", "words", "count", "last", "world");
  expect(last).toMatchObject({
    key: "world",
    value: { at: { $date: "1970-01-01T00:00:00.000Z" }, id: { $bigint: "1" }, maybe: { $undefined: true } },
    at: expect.any(Number),
    from: { kind: "checkpoint", ageMs: expect.any(Number) },
  });
  expect(await get("count", "all", "hello")).toEqual([Array.from({ length: 40 }, (_, i) => `hello${i + 1}`)]);
  expect(await get("count", "lately", "hello")).toEqual([Array.from({ length: 40 }, (_, i) => i + 1)]);
  const nth = await lines("state", "get", "words", "count", "nth", "hello");
  expect(nth.map(({ entry }) => entry)).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  expect(nth[3]).toMatchObject({ entry: 4, value: { $map: [["hello", 4]] } });
  expect(await lines("state", "get", "words", "count", "processing timers", "world")).toMatchObject([
    { key: "world", time: 4_000_000_000_000 },
  ]);
  expect((await get("keep", "kept")).length).toBe(42);

  const dumped = await lines("state", "dump", "words", "count");
  expect(dumped[0]).toMatchObject({ tidemark: "state", format: 1, job: "words" });
  expect(dumped.filter(({ state }) => state === "count").map(({ key, value }) => [key, value])).toEqual(
    expect.arrayContaining([
      ["hello", 40],
      ["world", 1],
      [7, 1],
    ]),
  );

  const shown = await shared.asks("checkpoints", "show", "words");
  expect(shown.stdout).toMatch(/state of count \(count\): .*\n(?: {4}.*\n)* {4}"hello": 40\n/);
  expect(shown.stdout).toMatch(/split .*: \{"read":42/);
});

test("a savepoint is read without its job, and by its own name only", async () => {
  const run = await counted();
  const { location } = (await shared.json("stop", "words", "--to", shared.workspace.path("saved"))) as {
    location: string;
  };
  await run.ended;
  expect(await shared.asks("dispose", "job:words")).toMatchObject({ code: 0 });
  const gone = await shared.asks("state", "ls", "words");
  expect(gone).toMatchObject({ code: 4, stderr: expect.stringContaining("there is no job words") });
  const at = ["--savepoint", location];
  expect(await lines("state", "get", "words", "count", "count", "hello", ...at)).toMatchObject([
    { value: 40, from: { kind: "savepoint", location } },
  ]);
  const other = await shared.asks("state", "ls", "word", ...at);
  expect(other).toMatchObject({ code: 4, stderr: expect.stringContaining("is of job words, not of word") });
});

test("what is not there is refused with what is near, or with the key that looks alike", async () => {
  const run = await counted();
  run.kill("SIGINT");
  await run.ended;
  const cases: readonly (readonly [command: readonly string[], code: number, words: string])[] = [
    [["ls", "wordz"], 4, "there is no job wordz"],
    [["get", "words", "cuont", "count", "hello"], 4, 'no operator "cuont" with state; did you mean "count"?'],
    [["get", "words", "count", "cuont", "hello"], 4, 'no state "cuont"; did you mean "count"?'],
    [["get", "words", "count", "count"], 4, "belongs to keys: name one"],
    [["get", "words", "count", "count", "nobody"], 4, "has nothing for this key (of checkpoint"],
    [["get", "words", "count", "count", '"7"'], 4, "for the number that looks like it: give '7'"],
    [["get", "words", "count", "count", '{"a":1}'], 2, "the key is an object; keys are texts, numbers"],
    [["get", "words", "count", "count", '{"$bigint":"x"}'], 2, "the key: $bigint cannot be read"],
    [["get", "words", "keep", "kept", "hello"], 4, "belongs to no key (list): leave the key out"],
    [["ls", "words", "--checkpoint", "999"], 4, "has no checkpoint 999; it retains"],
    [["ls", "words", "--checkpoint", "1", "--savepoint", "/tmp/x"], 2, "name two places"],
    [["ls", "words", "--savepoint", "some/where"], 2, "is a relative path"],
    [["ls", "words", "--savepoint", "/nowhere/words-savepoint-1"], 4, "cannot be read"],
  ];
  await Promise.all(
    cases.map(async ([command, code, words]) => {
      const ended = await shared.asks("state", ...command);
      expect({ command, ...ended }).toMatchObject({ command, code, stdout: "" });
      expect(ended.stderr).toContain(words);
    }),
  );
});
