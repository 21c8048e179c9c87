/**
 * `restore --dry-run` says what `restore` would: for each reason to refuse, in the same words, and it makes nothing.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { jetstreamManager } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { until } from "../workspace.ts";

const shared = new SharedServer("dry");

interface JobText {
  readonly name?: string;
  readonly options?: string;
  readonly splits?: number;
  readonly stream?: string;
  readonly counter?: string;
  readonly extra?: string;
  readonly directory?: string;
}

/** A source that ends at once, and one that never does. */
const jobText = (some: JobText) => {
  const { name = "second", options = "", splits = 2, stream = "IN", counter = "count" } = some;
  const { extra = "", directory = name } = some;
  return `
import { defineJob, fileSink, generatorSource, jetstreamSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("${name}", { parallelism: 2, checkpointing: { interval: "200ms", inlineThreshold: 0 }, ${options} }, (job) => {
  job
    .source("few", generatorSource({ count: 8, splits: ${splits}, generate: (index) => index }))
    .sink("fewer", fileSink({ directory: "${directory}-few" }));
  job
    .source("words", jetstreamSource({ stream: "${stream}", decode: "text" }))
    .keyBy((word) => word)
    .process("${counter}", {
      state: { count: valueState(0) },
      onRecord: (word, { state }) => {
        state.count.set(state.count.get() + 1);
        return word;
      },
    })
    .sink("lines", fileSink({ directory: "${directory}" }));
  ${extra}
});
`;
};

interface Situation extends JobText {
  readonly from?: string;
  readonly more?: readonly string[];
  readonly code?: number;
}

/** A sink beside the others. */
const sink = (options: string) => ({
  extra: `job.source("n", generatorSource({ count: 1, generate: () => "" })).sink("out", jetstreamSink({ encode: "text", ${options} }));`,
});

test("each refusal in the same words with the same code, and nothing is made or changed", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const { connection } = cluster.nats;
  const manager = await jetstreamManager(connection);
  for (const name of ["IN", "OTHER", "PLAIN"]) await manager.streams.add({ name, subjects: [`${name}.>`] });
  for (const word of ["a", "b", "c"]) connection.publish(`IN.${word}`, word);
  const client = createClient(cluster);
  workspace.write("first.js", jobText({ name: "first" }));
  const coordinator = workspace.start(here("coordinator"));
  expect(await asks("submit", "first.js")).toMatchObject({ code: 0 });
  const worker = workspace.start(here("worker", "first.js", "--slots", "2"));
  await until(
    async () => existsSync(workspace.path("first")) && workspace.lines("first").length === 3,
    () => "the words are counted, and the source that ends has ended",
  );
  const savepoints = workspace.path("savepoints");
  const { location } = (await json("savepoint", "first", "--to", savepoints)) as { location: string };

  let files = 0;
  const tried = async ([words, situation]: readonly [RegExp, Situation], dry: boolean) => {
    const { from = location, more = [], code = 4, ...text } = situation;
    const file = `job${++files}.js`;
    workspace.write(file, jobText(text));
    const answer = await asks("restore", file, "--from", from, ...more, ...(dry ? ["--dry-run"] : []));
    expect.soft(answer.stderr).toMatch(words);
    expect.soft({ words, code: answer.code }).toEqual({ words, code });
    return ourWords(answer.stderr);
  };
  /**
   * All that is there beside job files, logs, and the renewals of leases. Consumers without a durable name belong to a
   * process that looks at a bucket, and the server drops them some seconds after it has gone.
   */
  const world = async () => {
    const streams: unknown[] = [];
    for await (const { config, state, created } of manager.streams.list()) {
      const consumers: string[] = [];
      for await (const { name, config: consumer } of manager.consumers.list(config.name))
        if (consumer.durable_name !== undefined) consumers.push(name);
      streams.push({ config, created, messages: state.messages, consumers: consumers.sort() });
    }
    const left = readdirSync(workspace.path("."), { recursive: true }) as string[];
    return { streams, files: left.filter((name) => !/^job\d+\.js$/.test(name)).sort() };
  };
  const refuseAlike = async (situations: readonly (readonly [RegExp, Situation])[]) => {
    const before = await world();
    const rehearsed: string[] = [];
    for (const situation of situations) rehearsed.push(await tried(situation, true));
    expect(await world()).toEqual(before);
    for (const [at, situation] of situations.entries())
      expect(rehearsed[at]).toBe(await tried(situation, false));
  };
  /** Nothing that has ended is being cleaned up any more. */
  const settled = async () => {
    let seen: unknown;
    await until(
      async () => {
        const before = seen;
        seen = await world();
        return isDeepStrictEqual(seen, before);
      },
      () => "nothing changes any more",
    );
  };
  const passes = async (text: JobText, ...more: string[]) => {
    const before = await world();
    workspace.write("job0.js", jobText(text));
    const shown = await asks("restore", "job0.js", "--from", location, "--dry-run", ...more);
    expect(shown).toMatchObject({ code: 0, stderr: "" });
    expect(await world()).toEqual(before);
    return shown.stdout;
  };

  const running = [/job first is running already/, { name: "first", more: ["--fresh"] }] as const;
  expect(await tried(running, true)).toBe(await tried(running, false));
  await client.suspend("first");
  await until(
    async () => (await client.status("first"))?.status === "suspended",
    () => "suspended",
  );
  worker.kill("SIGTERM");
  await worker.ended;
  await settled();
  await refuseAlike([
    [/can be resumed from its own checkpoint .*add --fresh/, { name: "first" }],
    [/source few has finished in the state, and "[^"]+" would never be read/, { splits: 3 }],
    [/source words has read .*IN.*mean nothing in .*OTHER.*--drop words/, { stream: "OTHER" }],
    [/operator count has state \(count\) and is not in the job/, { counter: "tally" }],
    [/maxParallelism is 64, the state has 128/, { options: "maxParallelism: 64" }],
    [/parallelism/, { options: "parallelism: 300, maxParallelism: 128", code: 2 }],
    [/has parallelism 300, and the state only 128 key groups/, { options: "parallelism: 300" }],
    [/job first \(suspended\) keeps these checkpoints/, { from: "checkpoint:first/999999" }],
    [/there is no directory .*other on host/, { from: `${savepoints}-other/x` }],
    [/there is no savepoint at .*it was looked for on host/, { from: join(savepoints, "other") }],
    [/--skip-gaps nobody: the job has no source of this name/, { more: ["--skip-gaps", "nobody"], code: 2 }],
    [/stream "GONE" does not exist.*nats stream add GONE/, { stream: "GONE", code: 3 }],
    [/first\.js\/x-few is a file, or lies below one/, { directory: "first.js/x", code: 2 }],
    [/PLAIN cannot take exactly-once output/, { ...sink('stream: "PLAIN", subject: "PLAIN.x"'), code: 3 }],
    [/but this coordinator keeps them in/, { options: storageIn(workspace.path("cp")) }],
  ]);

  // What would be made is not, and the table shows what fits.
  const provided = sink('stream: "NEW", subject: "NEW.x", provision: true');
  expect(await passes({ ...provided, directory: "deep/down" })).toMatch(/^ *count +matched/m);
  expect(await passes({ options: "parallelism: 3" })).toMatch(/^ *count +matched/m);
  expect(await passes({ counter: "tally" }, "--drop", "count")).toMatch(/^ *count +dropped/m);

  // Objects that only the copying meets.
  const [object = ""] = readdirSync(location).filter((name) => !name.startsWith("metadata."));
  const content = readFileSync(join(location, object));
  writeFileSync(
    join(location, object),
    content.map((byte) => byte ^ 1),
  );
  await refuseAlike([[/cannot restore from .* corrupt/, {}]]);
  rmSync(join(location, object));
  await refuseAlike([[/cannot restore from .* is not in directory/, {}]]);
  writeFileSync(join(location, object), content);

  // No coordinator, then one that cannot write where it keeps its checkpoints.
  coordinator.kill("SIGTERM");
  await coordinator.ended;
  await settled();
  // It bounds the connection, too: a busy machine needs more than a second for that.
  await refuseAlike([[/no coordinator leads/, { more: ["--connect-timeout", "5"], code: 3 }]]);
  const directory = workspace.path("checkpoints");
  workspace.start(here("coordinator", "--checkpoint-dir", directory));
  await until(
    async () => (await asks("status", "first", "--connect-timeout", "1")).code === 0,
    () => "another coordinator leads",
  );
  await settled();
  await passes({ options: storageIn(directory) });
  rmSync(directory, { recursive: true });
  workspace.write("checkpoints", "");
  await refuseAlike([[/cannot restore from .*writing ".*" to directory/, { options: storageIn(directory) }]]);
  expect(await client.status("second")).toBeUndefined();
});

const storageIn = (directory: string) =>
  `checkpointing: { interval: "200ms", storage: "filesystem", directory: ${JSON.stringify(directory)} }`;

/** The text without the call of the operating system that failed, and without the name of what was to be written. */
const ourWords = (text: string) => text.replace(/: E[A-Z]+: .*/, "").replace(/writing "[^"]*"/, "writing");
