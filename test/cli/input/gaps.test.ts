/** Input that goes away unread, as the user of a job meets it (P42). */
import { type JetStreamManager, jetstream } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { startConnectedServer } from "../../support/servers/connected.ts";
import type { TestServer } from "../../support/servers/nats.ts";
import { backupStream, restoreStream } from "../../support/servers/stream-backup.ts";
import { type Command, kill, until, Workspace } from "../workspace.ts";

let server: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let workspace: Workspace;

beforeAll(async () => {
  const connected = await startConnectedServer();
  ({ server, connection, manager } = connected);
  return connected.close;
});
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const onServer = (...args: string[]) => [...args, "--server", server.url];

async function publish(from: number, to: number): Promise<void> {
  const js = jetstream(connection);
  for (let n = from; n <= to; n++) await js.publish("in.a", String(n));
}

const lines = () => {
  try {
    return workspace.lines();
  } catch {
    return [];
  }
};
const counted = (least: number, command: Command) =>
  until(
    () => lines().length >= least,
    () => `${least} lines; there are ${lines().length}; it said ${command.stdout}${command.stderr}`,
  );

async function suspend(command: Command): Promise<void> {
  command.kill("SIGINT");
  expect(await command.ended).toMatchObject({ code: 0 });
}

const COUNTING = `import { defineJob, fileSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("counts", { checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("in", jetstreamSource({ stream: "IN", decode: "text" }))
    .keyBy(() => "all")
    .process("count", {
      state: { count: valueState(0) },
      onRecord(text, { state, emit }) {
        state.count.set(state.count.get() + 1);
        emit(\`\${state.count.get()} \${text}\`);
      },
    })
    .sink("lines", fileSink({ directory: "out" }));
});
`;

test("a stream that comes back from a backup is another one until the user accepts it as a copy; then its state goes on", async () => {
  await manager.streams.add({ name: "IN", subjects: ["in.>"] });
  // The record of "counts" is the next test's.
  workspace.write("job.mjs", COUNTING.replace('"counts"', '"copied"'));
  await publish(1, 20);
  const first = workspace.start(onServer("run", "job.mjs"));
  await counted(20, first);
  await suspend(first);
  const backup = await backupStream(connection, "IN");
  await manager.streams.delete("IN");
  await restoreStream(connection, backup);
  await publish(21, 30);

  const refused = await workspace.run(onServer("run", "job.mjs"));
  expect(refused).toMatchObject({ code: 4 });
  expect(refused.stderr).toMatch(/source in has read stream IN that was made at .*--accept-stream in/);
  const wrong = await workspace.run(onServer("run", "job.mjs", "--accept-stream", "out"));
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("these do: in") });

  const going = workspace.start(onServer("run", "job.mjs", "--accept-stream", "in"));
  await counted(30, going);
  await suspend(going);
  // It holds from then on.
  await publish(31, 40);
  const later = workspace.start(onServer("run", "job.mjs"));
  await counted(40, later);
  await suspend(later);
  expect(lines().sort()).toEqual(Array.from({ length: 40 }, (_, i) => `${i + 1} ${i + 1}`).sort());
  await manager.streams.delete("IN");
});

test("a job stops in front of what a limit took, and --skip-gaps goes on with its state, through a crash", async () => {
  await manager.streams.add({ name: "IN", subjects: ["in.>"], max_msgs: 100 });
  workspace.write("job.mjs", COUNTING);
  await publish(1, 100);
  const first = workspace.start(onServer("run", "job.mjs"));
  await first.says(/in: where input goes away unread, the job stops in front of it/);
  await counted(100, first);
  await suspend(first);
  await publish(101, 250);

  const stopped = await workspace.run(onServer("run", "job.mjs"));
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toContain("sequences 101 to 150 are gone, which the job has not read");
  expect(stopped.stderr).toMatch(/tidemark run --server=nats:\S+ .*job\.mjs --skip-gaps in/);
  expect(stopped.stderr).toContain("Its state is kept");

  // The user, who has to decide, sees how far the job has come.
  const described = await workspace.run(onServer("describe", "counts"));
  expect(described.stdout).toMatch(/input of in +1 split of stream IN: all\n/);
  expect(described.stdout).toContain('the job stops in front of it, with its state (gaps: "fail"');
  const row =
    /SUBTASK +STREAM +SUBJECTS +LAST READ +ACCOUNTED FOR +END +SKIPPED\nin\/0 +IN +all +100 +100 +nothing\n/;
  expect(described.stdout).toMatch(row);
  expect((await workspace.run(onServer("checkpoints", "show", "counts"))).stdout).toMatch(row);
  for (const command of [["describe"], ["checkpoints", "show"]]) {
    const { stdout } = await workspace.run(onServer(...command, "counts", "--json"));
    const { splits, positions } = JSON.parse(stdout) as { splits: unknown; positions: unknown };
    expect(command[0] === "describe" ? positions : splits).toEqual([
      {
        source: "in",
        subtask: "in/0",
        split: "all",
        jetstream: {
          ...{ stream: "IN", subjects: [], lastRead: 100, accounted: 100, end: null, gaps: "fail" },
          skipped: { ranges: 0, sequences: 0 },
        },
        position: expect.stringContaining("read: 100"),
      },
    ]);
  }

  const wrong = await workspace.run(onServer("run", "job.mjs", "--skip-gaps", "out"));
  expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("these can: in") });

  const going = workspace.start(onServer("run", "job.mjs", "--skip-gaps", "in", "--events", "events.jsonl"));
  await going.says(/in: where input goes away unread, it is skipped.*as --skip-gaps says/);
  await going.says(/in\/0: 1 range of 50 sequences skipped/);
  await counted(200, going);
  const status = await workspace.run(onServer("status", "counts", "--json"));
  expect((JSON.parse(status.stdout) as JobReport).subtasks).toContainEqual(
    expect.objectContaining({ subtask: "in/0", skipped: { ranges: 1, sequences: 50 } }),
  );
  expect(workspace.read("events.jsonl")).toMatch(/"event":"source.skipped".*"ranges":1,"sequences":50/);
  // The position holds it: after a crash it is neither a problem nor counted again.
  for (const { pid, commandLine } of workspace.processes())
    if (commandLine.includes(" worker ")) kill(pid, "SIGKILL");
  await publish(251, 300);
  await counted(250, going);
  expect((await workspace.run(onServer("status", "counts"))).stdout).toMatch(
    /in\/0 .*1 range of 50 sequences skipped, which may have held unread input/,
  );
  await suspend(going);
  expect((await workspace.run(onServer("checkpoints", "show", "counts"))).stdout).toMatch(
    /in\/0 +IN +all +300 +300 +1 range of 50 sequences skipped/,
  );
  const numbers = [
    ...Array.from({ length: 100 }, (_, i) => i + 1),
    ...Array.from({ length: 150 }, (_, i) => i + 151),
  ];
  expect(lines().sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))).toEqual(
    numbers.map((n, i) => `${i + 1} ${n}`),
  );
});

test("a key-value bucket as input goes on after its values were replaced meanwhile", async () => {
  await manager.streams.add({
    name: "KV_settings",
    subjects: ["$KV.settings.>"],
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
  });
  const put = async (value: number) => {
    for (const key of ["a", "b", "c"])
      await jetstream(connection).publish(`$KV.settings.${key}`, String(value));
  };
  workspace.write(
    "job.mjs",
    `import { defineJob, fileSink, jetstreamSource } from "tidemark";
export default defineJob("changes", { checkpointing: { interval: "100ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "KV_settings" })).map("show", String).sink("out", fileSink({ directory: "out" }));
});
`,
  );
  await put(1);
  const first = workspace.start(onServer("run", "job.mjs"));
  await first.says(
    /it is skipped.*messages of stream KV_settings go away by design: it keeps the last message of each subject/,
  );
  await counted(3, first);
  await suspend(first);
  await put(2);
  await put(3);
  const second = workspace.start(onServer("run", "job.mjs"));
  await counted(6, second);
  await suspend(second);
  expect(lines().sort()).toEqual(["1", "1", "1", "3", "3", "3"]);
});

test("a job that would read what it writes is refused by source and sink, unless it says that it wants to", async () => {
  await manager.streams.add({ name: "RING", subjects: ["ring.>"] });
  const job = (source: string, subject: string) =>
    workspace.write(
      "job.mjs",
      `import { defineJob, jetstreamSink, jetstreamSource } from "tidemark";
export default defineJob("ring", { checkpointing: { interval: "100ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "RING", ${source} })).sink("out", jetstreamSink({ stream: "RING", subject: ${subject}, provision: true }));
});
`,
    );
  const own = /source "in" reads what sink "out" of the same job writes to stream "RING"/;
  for (const source of ["", 'subjects: ["ring.*"]']) {
    job(source, '"ring.x"');
    expect(await workspace.run(onServer("run", "job.mjs"))).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(own),
    });
  }
  // If it depends on the records the user is told; what is bounded, apart or wanted is no loop.
  job('subjects: ["ring.a"]', "(it) => it");
  const warned = workspace.start(onServer("run", "job.mjs"));
  await warned.says(
    /the sink's subjects depend on the records: where they match ring\.a, the job feeds itself/,
  );
  await warned.says(/checkpoints every/);
  await suspend(warned);
  job('until: "end"', '"ring.x"');
  expect(await workspace.run(onServer("run", "job.mjs", "--fresh"))).toMatchObject({ code: 0 });
});

test.each([
  {
    startAt: '"first"',
    there: 20,
    told: /in\/0: 1 range of 10 sequences skipped, which may have held unread input/,
  },
  {
    startAt: '"new"',
    there: 0,
    told: /begins at sequence 11, but the job goes on at sequence 1: sequences 1 to 10 are gone/,
  },
  {
    startAt: "{ sequence: 3 }",
    there: 20,
    told: /begins at sequence 11, but the job goes on at sequence 3: sequences 3 to 10 are gone/,
  },
])(
  "before its first checkpoint a job begins anew at $startAt, and what was read and is gone is told",
  async ({ startAt, there, told }) => {
    const name = `EARLY${there}${startAt.length}`;
    await manager.streams.add({ name, subjects: [`${name}.x`] });
    const add = async (from: number, to: number) => {
      for (let n = from; n <= to; n++) await jetstream(connection).publish(`${name}.x`, String(n));
    };
    workspace.write(
      "job.mjs",
      `import { defineJob, fileSink, jetstreamSource } from "tidemark";
export default defineJob("${name}", { checkpointing: { interval: "1 h" }, restart: { initialBackoff: "100ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "${name}", startAt: ${startAt}, decode: "text" })).sink("lines", fileSink({ directory: "out" }));
});
`,
    );
    await add(1, there);
    const running = workspace.start(onServer("run", "job.mjs"));
    await running.says("checkpoints every");
    if (there === 0) await running.says(/generation 1: /);
    await add(there + 1, 20);
    await until(
      async () => {
        const { stdout } = await workspace.run(onServer("status", name, "--json"));
        return (
          (JSON.parse(stdout || "{}") as Partial<JobReport>).subtasks?.some(
            ({ recordsIn }) => recordsIn >= 18,
          ) === true
        );
      },
      () => `all is read; ${running.stdout}`,
    );
    await manager.streams.purge(name, { seq: 11 });
    await add(21, 25);
    for (const { pid, commandLine } of workspace.processes())
      if (commandLine.includes(" worker ")) kill(pid, "SIGKILL");
    await running.says(told);
    if (startAt !== '"first"') {
      expect((await running.ended).code).toBe(1);
      expect(lines()).toEqual([]);
      return;
    }
    await suspend(running);
    expect(lines().map(Number)).toEqual(Array.from({ length: 15 }, (_, n) => n + 11));
  },
);
