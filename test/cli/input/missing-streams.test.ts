/**
 * A job whose streams are not there: each is named with the command that makes it, and a process that can wait waits.
 */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { type Command, until, Workspace } from "../workspace.ts";

/** Its sink to the bucket TOTALS writes the length of each line under its subject. */
const JOB = `
import { defineJob, jetstreamSink, jetstreamSource } from "tidemark";
export default defineJob("lengths", { checkpointing: { interval: "100 ms" } }, (job) => {
  const subjects = (...some) => ({ stream: "LINES", subjects: some, decode: "text" });
  const lines = job.source("a", jetstreamSource(subjects("lines.0")))
    .union(job.source("b", jetstreamSource(subjects("lines.$x.>"))))
    .map("length", (line) => line.length);
  lines.sink("lengths", jetstreamSink({ stream: "LENGTHS", subject: (n) => "lengths." + n }));
  lines.sink("totals", jetstreamSink({ stream: "KV_TOTALS", subject: "$KV.TOTALS.latest" }));
});
`;

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
  workspace.write("job.mjs", JOB);
});
afterEach(() => workspace.remove());

const CONTEXT = "--context=.tidemark/nats/context.json";

/** The command that the line about this stream tells to run. */
function commandAbout(stream: string, text: string): string {
  const lines = text.match(new RegExp(`^.*stream "?${stream}"? .*$`, "gm")) ?? [];
  const command =
    /(?:reate it|run): (nats .*?--(?:server|context)=\S+?(?: && nats .*?--(?:server|context)=\S+?)?)(?=;| \(|$)/.exec(
      lines.at(-1) ?? "",
    );
  return command?.[1] ?? `no command in ${text}`;
}

describe("with a nats-server of its own", () => {
  const urlOf = async (command: Command) =>
    /nats-server .* at (\S+),/.exec(await command.says(/nats-server .* at/))![1]!;

  test("run waits, and the commands that it prints are all that it takes", async () => {
    const first = workspace.start(["run", "job.mjs"]);
    const url = await urlOf(first);
    const said = await first.says(/stream KV_TOTALS does not exist.*/);
    expect(said).toContain("waiting for what the job needs");
    // Both sources read the one stream.
    expect(said.match(/stream "LINES" does not exist/g)).toHaveLength(1);
    expect(commandAbout("LINES", said)).toBe(
      `nats stream add LINES --subjects='lines.0,lines.$x.>' --defaults ${CONTEXT}`,
    );
    workspace.shell(commandAbout("LINES", said));
    workspace.shell(commandAbout("KV_TOTALS", said));
    // Not as the sink needs it.
    workspace.shell(`nats stream add LENGTHS --subjects=lengths.\\> ${CONTEXT}`);
    const lacking = await first.says(/stream LENGTHS cannot take exactly-once output.*\n/);
    workspace.shell(commandAbout("LENGTHS", lacking));
    await first.says("everything that the job needs is there");
    await first.says("checkpoints every");

    workspace.shell(`nats pub 'lines.$x.y' twelve-chars ${CONTEXT}`);
    await until(
      async () => (await recordsOf("lengths.12")) === 1 && (await recordsOf("$KV.TOTALS.latest")) === 1,
      () => first.stdout,
    );
    first.kill("SIGINT");
    expect(await first.ended).toMatchObject({ code: 0, stderr: "" });

    const second = workspace.start(["run", "job.mjs"]);
    expect(await urlOf(second)).toBe(url);
    await second.says("checkpoints every");
    workspace.shell(`nats pub lines.0 twelve-chars ${CONTEXT}`);
    await until(
      async () => (await recordsOf("lengths.12")) === 2,
      () => second.stdout,
    );
    second.kill("SIGINT");
    expect(await second.ended).toMatchObject({ code: 0, stderr: "" });
  });

  test("Ctrl-C ends the wait at once; with --json it is told on standard error", async () => {
    const waiting = workspace.start(["run", "job.mjs", "--json"], { ownGroup: true });
    await waiting.says(
      'waiting for what the job needs.*\n.*stream "LINES" does not exist.*--context=.tidemark/nats/context.json',
    );
    expect(waiting.stdout).toBe("");
    waiting.kill("SIGINT");
    expect(await waiting.ended).toMatchObject({ code: 130, stdout: "" });
    await until(
      () => workspace.processes().length === 0,
      () => `the end of ${JSON.stringify(workspace.processes())}`,
    );
  });
});

describe("with a server of the user's", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.stop());

  test.each(["run", "submit"])("%s ends, and names all that is missing", async (command) => {
    workspace.shell(`nats stream add LENGHTS --subjects=of.lines --server=${server.url}`);
    const { code, stderr } = await workspace.run([command, "job.mjs", "--server", server.url]);
    expect(stderr).toMatch(/stream LENGTHS does not exist.*; or did you mean stream LENGHTS\?\n/);
    expect(code).toBe(3);
    expect(stderr).toContain('stream "LINES" does not exist; create it: nats stream add LINES');
    expect(stderr).toContain("stream LENGTHS does not exist. Create it: nats stream add LENGTHS");
    expect(commandAbout("KV_TOTALS", stderr)).toMatch(/^nats kv add TOTALS --server=/);
    expect(stderr).not.toContain("waiting");
  });
});

/** Messages that a stream holds under this subject. */
async function recordsOf(subject: string): Promise<number> {
  const { url, token } = JSON.parse(workspace.read(".tidemark/nats/context.json"));
  const nats = await connect({ servers: url, token });
  const manager = await jetstreamManager(nats);
  const stream = await manager.streams.find(subject);
  const { state } = await manager.streams.info(stream, { subjects_filter: subject });
  await nats.close();
  return state.subjects?.[subject] ?? 0;
}
