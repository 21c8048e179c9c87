/** `tidemark state --live`: what a running job has now, each key whole, and the job does not notice. */
import { existsSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { until } from "../workspace.ts";

const shared = new SharedServer("live");

const jobText = (interval: string) => `
import { defineJob, fileSink, jetstreamSource, listState, mapState, operatorListState, valueState } from "tidemark";
export default defineJob("words", { parallelism: 2, checkpointing: { interval: "${interval}" } }, (job) => {
  job
    .source("lines", jetstreamSource({ stream: "IN", subjects: ["in"], decode: "text" }))
    .keyBy((word) => word)
    .process("count", {
      state: {
        count: valueState(0),
        all: listState(),
        lately: listState({ ttl: { after: "9 d" } }),
        both: mapState(),
      },
      onRecord(word, { state, timers }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        state.all.add({ n: BigInt(count), maybe: undefined });
        state.lately.add([count]);
        state.both.set("a", count);
        state.both.set("b", count);
        timers.registerProcessingTimer(4_000_000_000_000);
        return word;
      },
      onTimer() {},
    })
    .process("keep", {
      state: { kept: operatorListState() },
      onRecord(word, { state }) {
        state.kept.add([word, -0]);
        return word;
      },
    })
    .sink("out", fileSink({ directory: "out" }));
});
`;

type Line = Readonly<Record<string, unknown>>;

async function live(...what: string[]): Promise<Line[]> {
  const { code, stdout, stderr } = await shared.asks("state", "get", "words", "count", ...what, "--live");
  if (code !== 0) throw new Error(stderr);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

test("a key is read where no checkpoint has it yet, in each kind of state, and what cannot be told is refused", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const { connection } = cluster.nats;
  await (await jetstreamManager(connection)).streams.add({ name: "IN", subjects: ["in"] });
  workspace.write("words.mjs", jobText("1 h"));
  const run = workspace.start(here("run", "words.mjs"));
  for (let i = 0; i < 40; i++) connection.publish("in", "hello");
  connection.publish("in", "world");
  await until(
    async () => {
      const found = await live("count", "world").catch(() => []);
      return found[0]?.value === 1 && (await live("count", "hello"))[0]?.value === 40;
    },
    () => "the words are counted",
  );
  const [hello] = await live("count", "hello");
  expect(hello).toMatchObject({
    key: "hello",
    value: 40,
    from: { kind: "live" },
    subtask: expect.stringMatching(/^count\/[01]$/),
  });
  expect(await asks("state", "ls", "words")).toMatchObject({
    code: 4,
    stderr: expect.stringContaining("--live the running job"),
  });
  const [all] = await live("all", "hello");
  expect(all?.value).toEqual(
    Array.from({ length: 40 }, (_, i) => ({ n: { $bigint: String(i + 1) }, maybe: { $undefined: true } })),
  );
  expect((await live("lately", "hello"))[0]?.value).toEqual(Array.from({ length: 40 }, (_, i) => [i + 1]));
  expect((await live("both", "hello")).map(({ entry, value }) => [entry, value])).toEqual([
    ["a", 40],
    ["b", 40],
  ]);

  const listed = await json("state", "ls", "words", "--live");
  expect(listed).toMatchObject({ from: { kind: "live" } });
  expect(
    (listed.states as Line[]).map(({ operator, state, kind, rows }) => [operator, state, kind, rows]),
  ).toEqual([
    ["count", "count", "value", 2],
    ["count", "all", "list", undefined],
    ["count", "lately", "list", 41],
    ["count", "both", "map", 4],
    ["keep", "kept", "list", 41],
  ]);
  const kept = await asks("state", "get", "words", "keep", "kept", "--live");
  const entries = kept.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  expect(entries).toHaveLength(41);
  expect(entries[0]).toMatchObject({
    subtask: expect.any(String),
    value: [expect.any(String), { $number: "-0" }],
  });

  const dumped = await asks("state", "dump", "words", "--live");
  expect(dumped).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/^tidemark: state of job words, live/),
  });
  const [header, ...lines] = dumped.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
  expect(header).toMatchObject({ tidemark: "state", job: "words", from: { kind: "live" } });
  const linesOf = (state: string) =>
    lines
      .filter((line) => line.state === state)
      .map(({ key, entry, value }) => JSON.stringify([key, entry, value]))
      .sort();
  const wanted = (...values: unknown[]) => values.map((value) => JSON.stringify(value)).sort();
  expect(linesOf("count")).toEqual(wanted(["hello", null, 40], ["world", null, 1]));
  expect(linesOf("both")).toEqual(
    wanted(["hello", "a", 40], ["hello", "b", 40], ["world", "a", 1], ["world", "b", 1]),
  );
  expect(linesOf("all")).toHaveLength(2);
  expect(lines.filter(({ state }) => state === "kept")).toHaveLength(41);
  expect(lines.filter(({ state }) => state === "processing timers")).toEqual([]);
  const one = await asks("state", "dump", "words", "count", "count", "--live");
  expect(one.stdout.trimEnd().split("\n")).toHaveLength(3);
  workspace.write("live.ndjson", dumped.stdout);
  const loaded = await asks(
    "state",
    "load",
    "words.mjs",
    "--from",
    "live.ndjson",
    "--to",
    workspace.path("s"),
  );
  expect(loaded).toMatchObject({ code: 2, stderr: expect.stringContaining("it was dumped with --live") });

  const get = ["state", "get", "words", "count"];
  const refusals: readonly (readonly [command: readonly string[], code: number, words: string])[] = [
    [[...get, "count", "nobody", "--live"], 4, "has nothing for this key (of job words, live"],
    [[...get, "cuont", "hello", "--live"], 4, 'has no state "cuont"; did you mean "count"?'],
    [[...get, "processing timers", "hello", "--live"], 4, "only such are read live"],
    [
      ["state", "get", "words", "keep", "kept", "a", "--live"],
      4,
      "belongs to no key (list): leave the key out",
    ],
    [[...get, "count", "--live"], 4, "belongs to keys: name one"],
    [[...get, "count", "hello", "--live", "--checkpoint", "1"], 2, "--live and --checkpoint name two places"],
    [["state", "dump", "words", "--live", "--savepoint", "s"], 2, "--live and --savepoint name two places"],
    [
      ["state", "dump", "words", "count", "cuont", "--live"],
      4,
      'has no state "cuont"; did you mean "count"?',
    ],
    [["state", "ls", "none", "--live"], 4, "there is no job none"],
  ];
  for (const [command, code, words] of refusals) {
    const ended = await asks(...command);
    expect({ command, ...ended }).toMatchObject({
      command,
      code,
      stdout: "",
      stderr: expect.stringContaining(words),
    });
  }
  run.kill("SIGINT");
  await run.ended;
  const ended = await asks(...get, "count", "hello", "--live");
  expect(ended).toMatchObject({ code: expect.any(Number), stdout: "" });
  expect(ended.code).toBeGreaterThan(2);
});

test("looks at a job under load find each key whole, and change nothing of what it comes to", async () => {
  const { workspace, here, asks } = shared;
  const COUNT = 30_000;
  workspace.write(
    "counting.mjs",
    countingJob({ count: COUNT, ratePerSecond: 15_000 })
      .replace("valueState }", "mapState, valueState }")
      .replace("state: { count: valueState(0) }", "state: { count: valueState(0), both: mapState() }")
      .replace(
        "state.count.set(count);",
        'state.count.set(count); state.both.set("a", count); state.both.set("b", count);',
      ),
  );
  const run = workspace.start(here("run", "counting.mjs"));
  let looks = 0;
  const seen = new Set<unknown>();
  await until(
    async () => {
      const { code, stdout } = await asks("state", "get", "counting", "count", "both", "3", "--live");
      if (code !== 0) return existsSync(workspace.path("out")) && run.child.exitCode !== null;
      const [a, b] = stdout
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line) as Line);
      expect(a?.value).toBe(b?.value);
      seen.add(a?.value);
      looks++;
      return run.child.exitCode !== null;
    },
    () => "the job has ended",
  );
  expect((await run.ended).code).toBe(0);
  expect(looks).toBeGreaterThan(0);
  expect(seen.size).toBeGreaterThan(0);
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});
