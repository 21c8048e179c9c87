/**
 * What real processes show of a real job whose records, keys, state and credentials hold a secret word: nothing, in the
 * logs of all of them, on the terminal, in events, `status`, `list`, `verify`, and the job's record. Once while the job
 * runs, and once for each way in which a record makes it fail.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until, Workspace } from "../workspace.ts";

/** Words, because any digits come up in times and process ids. */
const SECRET = "s3cret-quagga";
const PASSWORD = "pass-w0rd-okapi";

let server: TestServer;
let nats: NatsConnection;
let workspace: Workspace;
let url: string;

beforeAll(async () => {
  server = await startTestServer({ configuration: `authorization { user: "ann", password: "${PASSWORD}" }` });
  url = server.url.replace("nats://", `nats://ann:${PASSWORD}@`);
  nats = await connect({ servers: server.url, user: "ann", pass: PASSWORD });
});
afterAll(async () => {
  await nats.close();
  await server.stop();
});
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

/** A job that reads, keys by, keeps and writes what is secret, and does `harm` to what it has counted. */
function jobFile(name: string, harm: string): string {
  return `import { defineJob, jetstreamSink, jetstreamSource, valueState } from "tidemark";
class Card { constructor(card) { this.card = card; } }
export default defineJob("${name}", { parallelism: 2, checkpointing: { interval: "100 ms" }, restart: { ${harm === "" ? 'initialBackoff: "100 ms"' : 'strategy: "none"'} } }, (job) => {
  job
    .source("cards", jetstreamSource({ stream: "IN-${name}", subjects: ["in-${name}"]${harm === "" ? "" : ', until: "end"'} }))
    .keyBy((record) => ${harm === "key" ? "[record.card]" : "record.card"})
    .process("keep", {
      state: { last: valueState(null) },
      onRecord(record, { state }) {
        state.last.set(${harm === "state" ? "new Card(record.card)" : "record"});
        return ${harm === "class" ? "new Card(record.card)" : harm === "promise" ? "Promise.resolve(record.card)" : "record"};
      },
    })
    .filter("wanted", (record) => ${harm === "filter" ? "record.card" : "true"})
    .rebalance()
    .map("hand", (record) => record)
    .sink("out", jetstreamSink({
      stream: "OUT-${name}",
      subject: (record) => ${harm === "subject" ? `"out-${name}." + record.card + " x"` : harm === "outside" ? "record.card" : `"out-${name}.x"`},
      ${harm === "headers" ? "headers: (record) => ({ x: [record.card] })," : ""}
      ${harm === "encode" ? 'encode: (record) => record.card.length > 0 ? [record.card] : "",' : ""}
    }));
});
`;
}

async function openJob(
  name: string,
  harm: string,
  payload = JSON.stringify({ card: SECRET }),
): Promise<void> {
  const { streams } = await jetstreamManager(nats);
  await streams.add({ name: `IN-${name}`, subjects: [`in-${name}`] });
  await streams.add({
    ...{ name: `OUT-${name}`, subjects: [`out-${name}.>`, `tidemark-marker.OUT-${name}.>`] },
    ...{ allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true },
  });
  workspace.write(`${name}.mjs`, jobFile(name, harm));
  await jetstream(nats).publish(`in-${name}`, payload);
}

const start = (name: string) =>
  workspace.start([
    ...["run", `${name}.mjs`, "--events", `${name}.jsonl`, "--log-level", "debug", "--server", url],
  ]);

/** All that can be read of the job: by its name, what was shown there. */
async function shown(name: string, run: { stdout: string; stderr: string }): Promise<Record<string, string>> {
  const all: Record<string, string> = { "standard output": run.stdout, "standard error": run.stderr };
  const logs = workspace.path(`.tidemark/logs/${name}`);
  for (const file of readdirSync(logs)) all[file] = readFileSync(join(logs, file), "utf8");
  all.events = readFileSync(workspace.path(`${name}.jsonl`), "utf8");
  const record = await (await new Kvm(nats).open("tidemark-jobs")).get(`job.${name}`);
  all["the job's record"] = record!.string();
  return all;
}

async function asked(line: readonly string[]): Promise<Record<string, string>> {
  const { stdout, stderr } = await workspace.run([...line, "--server", url, "--connect-timeout", "1"]);
  return { [line.join(" ")]: `${stdout}${stderr}` };
}

function expectNone(all: Record<string, string>): void {
  expect(Object.values(all).join("").length).toBeGreaterThan(500);
  for (const [place, text] of Object.entries(all))
    for (const secret of [SECRET, PASSWORD, "quagga"]) {
      const at = text.indexOf(secret);
      expect(at === -1 ? "" : text.slice(Math.max(0, at - 200), at + 100), place).toBe("");
    }
}

test("a job that runs, is killed in part, and is suspended", async () => {
  await openJob("runs", "");
  const run = start("runs");
  const { streams } = await jetstreamManager(nats);
  const written = async () =>
    (await streams.info("OUT-runs", { subjects_filter: "out-runs.x" })).state.subjects?.["out-runs.x"] ?? 0;
  await until(
    async () => (await written()) === 1,
    () => run.stderr,
  );
  const others = workspace.processes().filter(({ pid }) => pid !== run.pid);
  for (const { commandLine } of others) expect(commandLine).not.toContain(PASSWORD);
  const worker = others.find(({ commandLine }) => commandLine.includes(" worker "))!;
  process.kill(worker.pid, "SIGKILL");
  await jetstream(nats).publish("in-runs", JSON.stringify({ card: SECRET }));
  await until(
    async () => (await written()) === 2 || run.stderr !== "",
    () => run.stderr,
  );
  expectNone(await asked(["status", "runs", "--json"]));
  run.kill("SIGINT");
  const all = await shown("runs", await run.ended);
  const lines = [["list"], ["status"], ["describe"], ["checkpoints", "ls"], ["checkpoints", "verify"]];
  for (const words of lines)
    Object.assign(all, await asked(words[0] === "list" ? words : [...words, "runs"]));
  expectNone(all);
});

const GARBAGE = `{"card":"${SECRET}" ${SECRET}}`;
interface Harm {
  readonly name: string;
  /** Of the failure. */
  readonly words: RegExp;
  readonly payload?: string;
}
const HARMS: readonly Harm[] = [
  { name: "garbage", words: /JSON/, payload: GARBAGE },
  { name: "key", words: /key/ },
  { name: "state", words: /class Card|instance/ },
  { name: "class", words: /class Card|instance/ },
  { name: "promise", words: /promise/ },
  { name: "filter", words: /a text of \d+ characters/ },
  { name: "subject", words: /subject/ },
  { name: "outside", words: /subject/ },
  { name: "headers", words: /header/ },
  { name: "encode", words: /encode/ },
];

test("a record that makes the job fail, in each way", async () => {
  const left = [...HARMS];
  const one = async (): Promise<void> => {
    for (let harm = left.pop(); harm !== undefined; harm = left.pop()) {
      const { name, words, payload } = harm;
      await openJob(name, name, payload);
      const ended = await start(name).ended;
      expect(ended.stderr, name).toMatch(words);
      expect(ended.code, name).toBe(1);
      const all = await shown(name, ended);
      expectNone({ ...all, ...(await asked(["status", name])) });
    }
  };
  await Promise.all([one(), one(), one()]);
});
