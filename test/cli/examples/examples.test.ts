/**
 * The examples run as they stand. A worker of each is killed on the way, and what they have written is compared with
 * what plain loops find.
 */
import { spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { jetstream } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import { readReports } from "../../../src/examples/earthquakes/reports.ts";
import { ORDERS, orderAt } from "../../../src/examples/enrichment/job.ts";
import { loadInput, readInput } from "../../../src/examples/word-count/input.ts";
import { checkOutput } from "../../../src/examples/word-count/outcome.ts";
import { eventsOf } from "../../nexmark/events.ts";
import { answerOf, ORACLES } from "../../nexmark/oracles/oracles.ts";
import { compiled, root } from "../../support/servers/compiled.ts";
import { until } from "../../support/until.ts";
import { comesTo } from "../job-status.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, kill } from "../workspace.ts";
import { alarms, earthquakes, liveRooms, paid, sessions, wordsOf } from "./expected.ts";
import { storedValues } from "./stored-values.ts";

const shared = new SharedServer("examples");

interface Run {
  /** Further arguments of `tidemark run`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** The example as it stands, in a folder of a user who has installed the package. */
function start(example: string, { args = [], env = {} }: Run = {}): Command {
  const { workspace } = shared;
  cpSync(join(root, "src/examples", example), workspace.path(example), { recursive: true });
  return workspace.start(shared.here("run", `${example}/job.ts`, "--json", ...args), { env });
}

/** The example where it lies in a clone, by the command that the clone has built. */
function startInClone(example: string, { args = [], env = {} }: Run = {}): Command {
  const file = join(root, "src/examples", example, "job.ts");
  const main = compiled("src/cli/main.ts");
  return shared.workspace.start(shared.here("run", file, "--json", ...args), { main, env });
}

/** Runs a job to its end. A worker is killed behind the first checkpoint. */
async function killedOnTheWay(name: string, command: Command): Promise<void> {
  const ended = command.ended.then((end) => ({ end }));
  const running = comesTo(shared.cluster, name, "a first checkpoint", (now) => now.checkpoints.completed > 0);
  const first = await Promise.race([ended, running.then(({ workers }) => ({ workers }))]);
  if ("end" in first) throw new Error(`ended too soon: ${JSON.stringify(first.end)}`);
  kill(first.workers[0]!.processId);
  const { end } = await ended;
  expect(end.code, end.stderr).toBe(0);
  const report = JSON.parse(end.stdout.trim().split("\n").at(-1)!) as { readonly restarts: number };
  expect(report.restarts).toBeGreaterThan(0);
}

const sorted = (values: readonly unknown[]): string[] => values.map((value) => JSON.stringify(value)).sort();

/** The records in the files of a sink, or one field of each. */
function written(directory: string, field?: string): string[] {
  const records = shared.workspace.lines(directory) as unknown as Readonly<Record<string, unknown>>[];
  return sorted(field === undefined ? records : records.map((record) => record[field]));
}

test("live rooms: unique visitors, views per minute, and what is late", async () => {
  await killedOnTheWay("live-rooms", startInClone("live-rooms"));
  const { visitors, views, late } = liveRooms();
  expect(late.length).toBeGreaterThan(10);
  expect(written("visitors")).toEqual(sorted(visitors));
  expect(written("views-per-minute")).toEqual(sorted(views));
  expect(written("late", "value")).toEqual(sorted(late));
});

test("earthquakes: alerts from real reports, most of which are out of order, and corrections of them", async () => {
  const reports = readReports();
  let latest = Number.NEGATIVE_INFINITY;
  const behind = reports.map(({ time }) => {
    const byMs = latest - time;
    latest = Math.max(latest, time);
    return byMs;
  });
  expect(reports.length).toBe(1707);
  expect(behind.filter((byMs) => byMs > 0).length).toBe(1295);
  expect(Math.floor(Math.max(...behind) / 3_600_000)).toBe(159);
  await killedOnTheWay("earthquakes", start("earthquakes"));
  const { alerts, late } = earthquakes();
  expect(alerts.filter(({ revision }) => revision > 0).length).toBeGreaterThan(100);
  expect(late.length).toBeGreaterThan(100);
  expect(written("alerts")).toEqual(sorted(alerts));
  expect(written("late", "value")).toEqual(sorted(late));
});

test("fraud: each payment is judged by the rule of its time", async () => {
  await killedOnTheWay("fraud", start("fraud"));
  const expected = alarms() as { readonly rule: number }[];
  expect(new Set(expected.map(({ rule }) => rule)).size).toBeGreaterThan(3);
  expect(written("alarms")).toEqual(sorted(expected));
});

test("orders: sessions of clicks, and orders with the payments of their interval", async () => {
  await killedOnTheWay("orders", start("orders"));
  expect(written("sessions")).toEqual(sorted(sessions()));
  expect(paid().length).toBeLessThan(ORDERS);
  expect(written("paid")).toEqual(sorted(paid()));
});

test("enrichment: a service that fails at times is asked again, and each order comes out once", async () => {
  const service = spawn(process.execPath, [compiled("src/examples/enrichment/service.ts")], {
    env: { ...process.env, PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  service.stdout.on("data", (text: Buffer) => {
    said += text.toString();
  });
  try {
    const url = await until("the service serves", () => /http:\S+/.exec(said)?.[0]);
    await killedOnTheWay("enrichment", start("enrichment", { env: { PRICES_URL: url } }));
  } finally {
    service.kill();
  }
  const expected = Array.from({ length: ORDERS }, (_, id) => orderAt(id));
  const priced = expected.map((order) => ({ ...order, price: order.item * 3 + 1 }));
  expect(written("priced")).toEqual(sorted(priced));
  expect(said).toContain("no price for item");
});

test("hello world: the checkpoint holds the third word's offset, and what came behind it is read again", async () => {
  const { nats } = shared.cluster;
  await (await nats.manager()).streams.add({ name: "WORDS", subjects: ["words"] });
  const publish = async (...words: string[]) => {
    for (const word of words) await jetstream(nats.connection).publish("words", word);
  };
  const run = () => start("hello-world", { args: ["--config", "checkpointing.interval=1h"] });
  /** The words that are counted since the job was started or has restarted. */
  const counted = (words: number, restarts: number) =>
    comesTo(
      shared.cluster,
      "hello-world",
      `${words} words and ${restarts} restarts`,
      (now) => now.restarts === restarts && now.subtasks[0]?.recordsIn === words,
    );
  const suspend = async (command: Command) => {
    command.kill("SIGINT");
    expect((await command.ended).code).toBe(0);
  };

  await publish("hello", "world", "hello");
  const first = run();
  await counted(3, 0);
  await suspend(first);
  expect(await shared.json("describe", "hello-world")).toMatchObject({
    positions: [{ jetstream: { lastRead: 3 } }],
  });
  expect(await storedValues(shared.cluster, "hello-world", "count")).toEqual({ hello: 2, world: 1 });

  await publish("world", "hello");
  const second = run();
  const { workers } = await counted(2, 0);
  kill(workers[0]!.processId);
  await counted(2, 1);
  await suspend(second);
  expect(await storedValues(shared.cluster, "hello-world", "count")).toEqual({ hello: 3, world: 2 });
  expect(written("counts")).toEqual(
    sorted([
      { word: "hello", count: 1 },
      { word: "hello", count: 2 },
      { word: "hello", count: 3 },
      { word: "world", count: 1 },
      { word: "world", count: 2 },
    ]),
  );
});

test("word count: each tenth and each last occurrence of a word, once", async () => {
  const input = wordsOf(readInput().sentences.slice(0, 15_000));
  await loadInput(shared.cluster.nats.connection, input);
  await killedOnTheWay(
    "word-count",
    start("word-count", { args: ["--config", "checkpointing.interval=100ms"] }),
  );
  const { words, lost, duplicated } = await checkOutput(shared.cluster.nats.connection, input);
  expect({ words, lost, duplicated }).toEqual({ words: input.words, lost: 0, duplicated: 0 });
});

test("Nexmark: the hot items of many events", async () => {
  const count = 500_000;
  const args = ["--config", "checkpointing.interval=100ms"];
  const env = { NEXMARK_QUERY: "q5", NEXMARK_EVENTS: String(count) };
  await killedOnTheWay("nexmark-q5", startInClone("nexmark", { args, env }));
  const results = ORACLES.q5.collected();
  for (const row of shared.workspace.lines("nexmark-q5")) results.add(row as unknown as object);
  expect(results.digest()).toEqual(answerOf("q5", eventsOf({ seed: 42, count })));
});
