/** `tidemark state load`: lines become a savepoint from which a job starts, or are refused by line and reason. */
import { existsSync, readdirSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { beforeEach, expect, test } from "vitest";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const shared = new SharedServer("load");

const jobText = (name: string, count = "valueState(0)", parallelism = 2) => `
import { broadcastState, defineJob, fileSink, jetstreamSource, listState, mapState, operatorListState, valueState } from "tidemark";
export default defineJob("${name}", { parallelism: ${parallelism}, checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("lines", jetstreamSource({ stream: "IN", subjects: ["in"], decode: "text" }))
    .keyBy((word) => word)
    .process("count", {
      state: {
        count: ${count},
        all: listState(),
        nth: mapState(),
        last: valueState(null, { ttl: { after: "9 d" } }),
        lately: listState({ ttl: { after: "9 d" } }),
      },
      onRecord(word, { state, timers }) {
        const count = state.count.get() + 1;
        state.count.set(count);
        state.all.add(BigInt(count));
        state.lately.add(new Date(count));
        state.nth.set(count, { word });
        state.last.set({ maybe: undefined });
        timers.registerProcessingTimer(4_000_000_000_000);
        return [word, count, state.all.size, state.lately.size, state.nth.size].join(" ");
      },
      onTimer() {},
    })
    .process("keep", {
      state: { splits: operatorListState() },
      onRecord(word, { state }) {
        state.splits.add([-0, word]);
        return word;
      },
    })
    .sink("out", fileSink({ directory: "${name}" }));
});
`;

beforeEach(async () => {
  const { streams } = await jetstreamManager(shared.cluster.nats.connection);
  await streams.delete("IN").catch(() => {});
  await streams.add({ name: "IN", subjects: ["in"] });
});

const start = (file: string, ...more: string[]): Command =>
  shared.workspace.start(shared.here("run", file, ...more));

/** The lines that a running job has written. */
async function written(job: string, count: number): Promise<string[]> {
  const { workspace } = shared;
  await until(
    () => existsSync(workspace.path(job)) && workspace.lines(job).length === count,
    () => `${count} lines of ${job}`,
  );
  return workspace.lines(job).sort();
}

const publish = (...words: string[]): void => {
  for (const word of words) shared.cluster.nats.connection.publish("in", word);
};

async function suspended(run: Command): Promise<void> {
  run.kill("SIGINT");
  expect(await run.ended).toMatchObject({ code: 0 });
}

/** What a dump says of keyed state and positions, without what differs between two jobs. */
async function dumped(job: string, ...more: string[]): Promise<string[]> {
  const { code, stdout } = await shared.asks("state", "dump", job, ...more);
  expect(code).toBe(0);
  const [, ...lines] = stdout.trimEnd().split("\n");
  return lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ operator }) => operator !== "out")
    .map(({ subtask: _, ...line }) => JSON.stringify(line))
    .sort();
}

test("what was dumped is loaded again, edited, and another job goes on with it, under another parallelism too", async () => {
  const { workspace, asks, json } = shared;
  workspace.write("words.mjs", jobText("words"));
  publish("a", "b", "a", ...Array.from({ length: 40 }, () => "c"));
  const first = start("words.mjs");
  await written("words", 43);
  await suspended(first);

  const before = await dumped("words");
  const { stdout } = await asks("state", "dump", "words");
  workspace.write("words.ndjson", stdout);
  workspace.write("other.mjs", jobText("other", undefined, 3));
  const saved = workspace.path("saved");
  const loaded = await json("state", "load", "other.mjs", "--from", "words.ndjson", "--to", saved);
  const { location } = loaded as { location: string };
  expect(await dumped("other", "--savepoint", location)).toEqual(before);

  // One value is mended.
  workspace.write("words.ndjson", stdout.replace(/("state":"count","key":"a","value":)2/, "$110"));
  const edited = (await json("state", "load", "other.mjs", "--from", "words.ndjson", "--to", saved)) as {
    location: string;
  };
  const second = start("other.mjs", "--from", edited.location);
  publish("a", "b", "c", "d");
  expect(await written("other", 4)).toEqual(["a 11 3 3 3", "b 2 2 2 2", "c 41 41 41 41", "d 1 1 1 1"]);
  await suspended(second);
});

test("lines that someone wrote are the state of a new job, which reads its input from the beginning", async () => {
  const { workspace, json } = shared;
  workspace.write("words.mjs", jobText("words"));
  workspace.write(
    "words.ndjson",
    [
      '{"operator":"count","state":"count","key":"a","value":7}',
      '{"operator":"count","state":"all","key":"a","value":[{"$bigint":"1"},{"$bigint":"2"}]}',
      "",
      '{"operator":"count","state":"nth","key":"a","entry":"x","value":{"$map":[[1,2]]}}',
      '{"operator":"count","state":"nth","key":"a","entry":2,"value":1}',
      '{"operator":"count","state":"last","key":"a","value":1,"at":1700000000000}',
      '{"operator":"count","state":"lately","key":"a","value":["x","y"]}',
      '{"operator":"count","state":"processing timers","key":"a","time":4000000000000,"value":0}',
      '{"operator":"keep","state":"splits","value":{"$number":"-0"}}',
    ].join("\n"),
  );
  const { location, lines } = (await json(
    ...["state", "load", "words.mjs", "--from", "words.ndjson"],
    ...["--to", `nats:${shared.prefix}-SAVED`],
  )) as { location: string; lines: number };
  expect(lines).toBe(8);
  publish("a", "z");
  const run = start("words.mjs", "--from", location);
  // What was stored in 2023 has expired; the list begins to live now.
  expect(await written("words", 2)).toEqual(["a 8 3 3 3", "z 1 1 1 1"]);
  await suspended(run);
});

test("a line that means nothing is refused by its number, and nothing is left", async () => {
  const { workspace, asks } = shared;
  workspace.write("words.mjs", jobText("words"));
  const good = '{"operator":"count","state":"count","key":"a","value":7}';
  const cases: readonly (readonly [line: string, words: string])[] = [
    ["{", "line 2: it is no JSON"],
    ["[1]", "line 2: it is an array"],
    ['{"operator":"count","state":"count","key":"b"}', "line 2: it needs operator, state and value"],
    [
      '{"operator":"cuont","state":"count","key":"b","value":1}',
      'line 2: there is no operator "cuont"; did you mean "count"?',
    ],
    [
      '{"operator":"count","state":"cuont","key":"b","value":1}',
      'line 2: operator "count" has no state "cuont" of keys; did you mean "count"?',
    ],
    [
      '{"operator":"count","state":"count","value":1}',
      'line 2: state "count" of operator "count" belongs to keys: the line needs a key',
    ],
    [
      '{"operator":"count","state":"count","key":{"a":1},"value":1}',
      "line 2: key is an object; keys are texts",
    ],
    [
      '{"operator":"count","state":"count","key":"b","value":null}',
      "line 2: value is null, which is no value",
    ],
    [
      '{"operator":"count","state":"count","key":"b","vlaue":1}',
      'line 2: it has a field "vlaue"; did you mean "value"?',
    ],
    [
      '{"operator":"count","state":"count","key":"b","value":{"$bigint":"x"}}',
      "line 2: the value: $bigint cannot be read",
    ],
    [
      '{"operator":"count","state":"count","key":"b","value":1,"at":5}',
      'line 2: values of state "count" have no time to live',
    ],
    ['{"operator":"count","state":"all","key":"b","value":1}', "line 2: value of a list is an array"],
    [
      '{"operator":"count","state":"nth","key":"b","value":1}',
      "line 2: entry is undefined, and neither text nor number",
    ],
    [
      '{"operator":"count","state":"event timers","key":"b","value":1}',
      "line 2: time of a timer is undefined",
    ],
    ['{"operator":"keep","state":"splits","subtask":"count/9","value":1}', "line 2: subtask is none of"],
    ['{"operator":"lines","state":"splits","value":{"position":1}}', "holds no position of a split"],
    [good, "line 2: an earlier line has given the same key already"],
    ['{"tidemark":"state","format":9}', "line 2: it has format 9, and this version of Tidemark reads 1"],
    ['{"tidemark":"states"}', "line 2: the first line is no header"],
  ];
  const saved = workspace.path("saved");
  for (const [line, words] of cases) {
    workspace.write("words.ndjson", `${good}\n${line}\n`);
    const { code, stderr, stdout } = await asks(
      "state",
      "load",
      "words.mjs",
      "--from",
      "words.ndjson",
      "--to",
      saved,
    );
    expect({ line, code, stdout, stderr }).toMatchObject({
      line,
      code: 2,
      stdout: "",
      stderr: expect.stringContaining(words),
    });
  }
  workspace.write("empty.ndjson", "\n");
  for (const [file, words] of [
    ["none.ndjson", "none.ndjson cannot be read"],
    ["empty.ndjson", "holds no line"],
  ] as const)
    expect(await asks("state", "load", "words.mjs", "--from", file, "--to", saved)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(words),
    });
  expect(readdirSync(saved, { recursive: true, withFileTypes: true }).filter((one) => one.isFile())).toEqual(
    [],
  );
});

test("state of a job that differs is refused as a restore would refuse it", async () => {
  const { workspace, asks } = shared;
  workspace.write("words.mjs", jobText("words"));
  publish("a");
  const run = start("words.mjs");
  await written("words", 1);
  await suspended(run);
  const { stdout } = await asks("state", "dump", "words");
  workspace.write("words.ndjson", stdout);
  const refusals: readonly (readonly [job: string, words: string])[] = [
    [jobText("words", 'valueState(0, { version: "2" })'), 'is stored in version "1" and has version "2" now'],
    [
      jobText("words", "listState()")
        .replace("state.count.get() + 1", "1")
        .replace("state.count.set(count)", ""),
      "is of kind list now and was of kind value",
    ],
    [
      jobText("words").replace('.process("keep"', '.process("hold"'),
      "operator keep has state (splits) and is not in the job",
    ],
  ];
  for (const [text, words] of refusals) {
    workspace.write("changed.mjs", text);
    const args = ["state", "load", "changed.mjs", "--from", "words.ndjson", "--to", workspace.path("saved")];
    expect(await asks(...args)).toMatchObject({
      code: 4,
      stdout: "",
      stderr: expect.stringContaining(words),
    });
  }
});

test("more than is held in memory at a time goes into several pieces", async () => {
  const { workspace, json } = shared;
  workspace.write("words.mjs", jobText("words"));
  const filler = "x".repeat(30_000);
  const lines = Array.from({ length: 2_400 }, (_, key) =>
    JSON.stringify({ operator: "count", state: "nth", key: `k${key}`, entry: 1, value: `${key} ${filler}` }),
  );
  workspace.write("words.ndjson", lines.join("\n"));
  const load = ["state", "load", "words.mjs", "--from", "words.ndjson", "--to", workspace.path("saved")];
  const { location } = (await json(...load)) as { location: string };
  const { states } = (await json("state", "ls", "words", "--savepoint", location)) as {
    states: { state: string; rows: number }[];
  };
  expect(states.find(({ state }) => state === "nth")).toMatchObject({ rows: lines.length });
  for (const key of [0, 1_500, 2_399]) {
    const got = await shared.asks(
      "state",
      "get",
      "words",
      "count",
      "nth",
      `k${key}`,
      "--savepoint",
      location,
    );
    expect(JSON.parse(got.stdout)).toMatchObject({ entry: 1, value: `${key} ${filler}` });
  }
});
