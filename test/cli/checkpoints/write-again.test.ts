/** A savepoint that its job went back behind, restored by real processes (P59). */
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { readAll } from "../../support/servers/streams.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

/** Held by the savepoint, and published behind it. */
const HELD = 20;
const BEHIND = 10;

const shared = new SharedServer("again");
const { here, asks, json } = shared;

const JOB = `import { defineJob, jetstreamSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("copy", { checkpointing: { interval: "1 h" }, restart: { initialBackoff: "100ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "IN" }))
    .keyBy(() => 0)
    .process("count", { state: { seen: valueState(0) }, onRecord(n, { state }) { state.seen.set(state.seen.get() + 1); return [n, state.seen.get()]; } })
    .sink("out", jetstreamSink({ stream: "OUT", subject: "out.x", provision: true }));
});
`;

async function reads(records: number): Promise<void> {
  let seen: unknown;
  await until(
    async () => {
      const report = await createClient(shared.cluster).status("copy");
      seen = report?.subtasks;
      return (
        report?.phase === "running.processing" &&
        report.subtasks.some(({ recordsIn }) => recordsIn >= records)
      );
    },
    () => `${records} are read; ${JSON.stringify(seen)}`,
  );
}

const worker = (): Command => shared.workspace.start(here("worker", "job.mjs", "--slots", "1"));

test("it is refused with the ways on; with --write-again it goes on, nothing is missing, and what was written stays", async () => {
  const { nats } = shared.cluster;
  const publish = async (from: number, to: number) => {
    for (let n = from; n < to; n++) nats.connection.publish("in.x", String(n));
    await nats.connection.flush();
  };
  const output = async () => {
    const found = (await readAll(nats, "OUT")).filter(({ subject }) => subject === "out.x");
    return found.map(({ text }) => JSON.parse(text) as [number, number]).sort(([a], [b]) => a - b);
  };
  const once = Array.from({ length: HELD + BEHIND }, (_, n) => [n, n + 1]);
  await (await nats.manager()).streams.add({ name: "IN", subjects: ["in.x"] });
  await publish(0, HELD);
  shared.workspace.write("job.mjs", JOB);
  shared.workspace.start(here("coordinator"));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  const first = worker();
  await reads(HELD);
  const place = ["--to", shared.workspace.path("savepoints")];
  const { location } = await json("savepoint", "copy", ...place);
  first.kill("SIGKILL");
  await publish(HELD, HELD + BEHIND);
  worker();
  await reads(HELD + BEHIND);
  const newer = await json("stop", "copy", ...place);
  expect(await output()).toEqual(once);

  const restore = (...more: string[]) =>
    asks("restore", "job.mjs", "--from", String(location), "--fresh", ...more);
  for (const dryRun of [["--dry-run"], []]) {
    const refused = await restore(...dryRun);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(
      new RegExp(
        `^tidemark: cannot restore from ${location}: job copy went back behind it, to its beginning, and wrote its output anew from there .*` +
          `Go on with .*--from ${newer.location}; or add --write-again: then nothing is missing, and what the job wrote behind its beginning may be ` +
          "there twice; or --drop out: then what the savepoint holds for it is left out\n$",
      ),
    );
  }
  expect(await output()).toEqual(once);

  expect(await restore("--write-again", "--dry-run")).toMatchObject({ code: 0, stderr: "" });
  expect(await restore("--write-again")).toMatchObject({
    code: 0,
    stderr: "",
    stdout: expect.stringContaining(`job copy is submitted, restored from ${location}\n`),
  });
  worker();
  await reads(BEHIND);
  await json("stop", "copy", ...place);
  expect(await output()).toEqual(once.flatMap((record) => [record, record]));
});
