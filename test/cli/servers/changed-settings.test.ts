/**
 * Whole jobs whose streams, buckets, account or user are changed under them: the job ends or waits, and says in one
 * sentence what is in the way and what mends it. Once that is done it goes on, and the output is exact.
 */
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { backupStream, restoreStream, type StreamBackup } from "../../support/servers/stream-backup.ts";
import { wrongCounts } from "../jobs.ts";
import { type Command, kill, until, Workspace } from "../workspace.ts";

/** Records before the change, and as many after it. */
const HALF = 40;

interface Job {
  readonly account: string;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly workspace: Workspace;
  readonly in: string;
  readonly out: string;
  readonly records: string;
  readonly checkpoints: string;
  readonly backups: Map<string, StreamBackup>;
}

type Settings = Readonly<Record<string, unknown>>;
type Place = "in" | "out" | "records" | "checkpoints";

interface Change {
  readonly change: (job: Job) => Promise<unknown>;
  /** The job ends with exit code 1, or another one, and this is why. */
  readonly ends?: RegExp;
  readonly code?: number;
  /** It goes on, and this is shown as a trouble. Neither of the two: nothing is in the way. */
  readonly waits?: RegExp;
  /** "printed": the command that was printed. undefined: it cannot be taken back. */
  readonly mend?: "printed" | ((job: Job) => Promise<unknown>);
  /** The account of the job; default one that is not changed. */
  readonly account?: string;
  /** The worker is killed after the change. */
  readonly crash?: true;
  /**
   * What is published after the change is refused, or stored where the job does not read; the rest comes once it is
   * mended.
   */
  readonly unpublished?: true;
}

let server: TestServer;
const connections: NatsConnection[] = [];

// Accounts of jobs whose account or user is changed: what is said of each is the configuration of the server.
const ALL = "jetstream: enabled";
const accounts = new Map([
  ["MAIN", { user: "password: x", limits: ALL }],
  ...["DENIED", "SMALL", "GONE", "FEW"].map((name) => [name, { user: "password: x", limits: ALL }] as const),
]);
const configuration = () => `accounts {
${[...accounts].map(([name, { user, limits }]) => `  ${name} { users [{ user: ${name}, ${user} }, { user: test-${name}, password: x }], ${limits} }`).join("\n")}
}
no_auth_user: MAIN`;
let reloading: Promise<void> = Promise.resolve();
const reload = (name: string, changed: { user?: string; limits?: string }): Promise<void> => {
  accounts.set(name, { user: "password: x", limits: ALL, ...changed });
  reloading = reloading.then(() => server.reload(configuration()));
  return reloading;
};

beforeAll(async () => {
  server = await startTestServer({ configuration: configuration() });
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await server.stop();
});

const edit = (place: Place, settings: Settings) => (job: Job) =>
  job.manager.streams.update(job[place], settings as never);
const remove = (place: Place) => async (job: Job) => {
  job.backups.set(place, await backupStream(job.connection, job[place]));
  await job.manager.streams.delete(job[place]);
};
const restore = (place: Place, settings?: Settings) => (job: Job) =>
  restoreStream(job.connection, job.backups.get(place)!, settings as never);
const makeAnew =
  (place: Place) =>
  async ({ manager, [place]: stream }: Job) => {
    const { config } = await manager.streams.info(stream);
    await manager.streams.delete(stream);
    await manager.streams.add(config);
  };
const account = (name: string, changed: { user?: string; limits?: string }) => ({
  account: name,
  change: () => reload(name, changed),
  mend: () => reload(name, {}),
});

const changes: { readonly [name: string]: Change } = {
  "output: sealed": {
    change: edit("out", { sealed: true }),
    ends: /stream OUT-\S+ cannot take .*it is sealed.*put a copy with other settings in its place \(nats stream backup OUT-/,
    mend: async (job) => {
      await remove("out")(job);
      await restore("out", { sealed: false, deny_purge: false, deny_delete: false, allow_rollup_hdrs: true })(
        job,
      );
    },
  },
  "output: deleted": {
    change: remove("out"),
    ends: /stream OUT-\S+, which the job has written to, does not exist any more: restore it from a backup/,
    mend: restore("out"),
  },
  "output: made anew": {
    change: makeAnew("out"),
    ends: /marker \S+ in stream OUT-\S+ is missing.*start the job fresh, or restore the target/,
  },
  "output: max_msg_size": {
    change: edit("out", { max_msg_size: 5 }),
    ends: /stream OUT-\S+ cannot take .*max_msg_size is 5/,
    mend: "printed",
  },
  "output: max_msgs, discard new": {
    change: edit("out", { max_msgs: 42, discard: "new" }),
    ends: /stream OUT-\S+ refuses a transaction: maximum messages exceeded/,
    mend: "printed",
  },
  "output: no batches": {
    change: edit("out", { allow_atomic: false }),
    ends: /stream OUT-\S+ cannot take .*allow_atomic is off/,
    mend: "printed",
  },
  "output: subjects": {
    change: (job) => edit("out", { subjects: [`tidemark-marker.${job.out}.>`] })(job),
    ends: /stream OUT-\S+ does not take subject out\.\S+ any more/,
    mend: "printed",
  },
  "output: a transform": {
    change: edit("out", { subject_transform: { src: ">", dest: "moved.>" } }),
    ends: /subject_transform renames the markers.*take it out: nats stream edit OUT-\S+ --interactive/,
    mend: edit("out", { subject_transform: undefined }),
  },
  "output: sourced": { change: (job) => edit("out", { sources: [{ name: job.in }] })(job) },
  "input: sealed": {
    change: edit("in", { sealed: true }),
    waits: /reading stream IN-\S+, still tried: it is sealed: nothing more will come/,
    unpublished: true,
  },
  "input: deleted": {
    change: remove("in"),
    ends: /stream "IN-\S+" does not exist any more.*another one to the job, also when it comes from a backup.*tidemark run .*--fresh/,
    unpublished: true,
  },
  "input: made anew": {
    change: makeAnew("in"),
    ends: /stream "IN-\S+" is not the one the job has read.*tidemark run .*--fresh/,
  },
  "input: subjects": {
    change: edit("in", { subjects: ["elsewhere"] }),
    waits: /reading stream IN-\S+, still tried: it does not take "in\.\S+" any more/,
    mend: "printed",
    unpublished: true,
  },
  "input: a transform": {
    change: edit("in", { subject_transform: { src: ">", dest: "moved.>" } }),
    waits:
      /reading stream IN-\S+, still tried: its subject_transform stores what comes for "in\.\S+" under moved\.>/,
    mend: edit("in", { subject_transform: undefined }),
    unpublished: true,
  },
  "input: interest": {
    change: edit("in", { retention: "interest" }),
    ends: /stream "IN-\S+" had limits retention .* and has interest retention now/,
    mend: "printed",
    crash: true,
  },
  "records: made anew": {
    change: makeAnew("records"),
    ends: /the record of job job is gone from KV bucket \S+: .*restore stream KV_/,
    code: 3,
  },
  "records: deleted": {
    change: remove("records"),
    waits:
      /writing the job record, still tried: .*of KV bucket \S+: it does not exist any more: restore stream KV_/,
  },
  "records: max_msg_size": {
    change: edit("records", { max_msg_size: 50 }),
    waits: /writing the job record, still tried: .* of KV bucket \S+: it takes messages of at most 50 bytes/,
    mend: "printed",
  },
  "records: no acknowledgements": {
    change: edit("records", { no_ack: true }),
    waits: /writing the job record, still tried: .* of KV bucket \S+: it acknowledges nothing/,
    mend: "printed",
  },
  "checkpoints: subjects": {
    change: edit("checkpoints", { subjects: ["nowhere"] }),
    waits: /writing checkpoints to object store bucket \S+, still tried: its stream OBJ_\S+ does not take/,
    mend: "printed",
  },
  "user: may not publish to the output (reload)": {
    ...account("DENIED", { user: 'password: x, permissions { publish { deny: "out.>" } }' }),
    waits: /committing to stream OUT-\S+, still tried: .*may not publish to "out\.\S+"; allow it/,
  },
  "user: credentials that are refused (reload)": {
    ...account("GONE", { user: "password: y" }),
    waits: /connecting to NATS, still tried: the server refuses the credentials of this process/,
  },
  "account: storage (reload)": {
    ...account("SMALL", { limits: "jetstream { max_file: 1KB }" }),
    waits: /writing the job record, still tried: .*resource limits exceeded for account.*nats account info/,
    unpublished: true,
  },
  "account: consumers (reload)": {
    ...account("FEW", { limits: "jetstream { max_consumers: 1 }" }),
    waits: /reading stream IN-\S+, still tried: .*allows no further consumer.*nats account info/,
    crash: true,
  },
};

const jobFile = ({ in: input, out }: Job, id: string) => `
import { defineJob, jetstreamSink, jetstreamSource, valueState } from "tidemark";
export default defineJob("job", { checkpointing: { interval: "100ms" } }, (job) => {
  job
    .source("in", jetstreamSource({ stream: "${input}", subjects: ["in.${id}"], decode: "text" }))
    .map("number", Number)
    .keyBy((number) => number % 10)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(number, { key, state }) {
        state.count.set(state.count.get() + 1);
        return \`\${key} \${state.count.get()} \${number}\`;
      },
    })
    .sink("out", jetstreamSink({ stream: "${out}", subject: "out.${id}", encode: "text" }));
});
`;

/** A line that cannot be read is an error: it is not missing. */
async function output({ manager, out }: Job): Promise<string[]> {
  const { state } = await manager.streams.info(out);
  const lines: string[] = [];
  for (let sequence = state.first_seq; sequence <= state.last_seq; sequence++) {
    const message = await manager.streams.getMessage(out, { seq: sequence });
    if (message?.subject.startsWith("out.")) lines.push(message.string());
  }
  return lines;
}

/** The output, read when no other row's reload has just taken JetStream away for a moment. */
async function readable(job: Job): Promise<string[]> {
  let lines: string[] | undefined;
  await until(
    async () => {
      lines = await output(job).catch(() => undefined);
      return lines !== undefined;
    },
    () => "the output can be read",
  );
  return lines!;
}

/** Until so many have been written; what the command said is in the failure. */
const written = (job: Job, count: number, command: Command) => {
  let last = 0;
  return until(
    async () => {
      // The settings that change are also those under which this is read.
      const lines = await output(job).catch(() => undefined);
      last = lines?.length ?? last;
      return last >= count;
    },
    () => `${last} of ${count} lines; it said ${command.stdout}${command.stderr}`,
  );
};

test.concurrent.each(Object.entries(changes))("%s", async (name, change) => {
  const id = String(Object.keys(changes).indexOf(name));
  const inAccount = change.account ?? "MAIN";
  const connection = await connect({ servers: server.url, user: `test-${inAccount}`, pass: "x" });
  connections.push(connection);
  const workspace = await Workspace.create();
  const job: Job = {
    account: inAccount,
    connection,
    manager: await jetstreamManager(connection, { checkAPI: false }),
    workspace,
    in: `IN-${id}`,
    out: `OUT-${id}`,
    records: `KV_p${id}-jobs`,
    checkpoints: `OBJ_p${id}-checkpoints`,
    backups: new Map(),
  };
  try {
    await lives(job, id, change);
  } finally {
    await workspace.remove();
  }
});

async function lives(job: Job, id: string, change: Change): Promise<void> {
  const { manager, workspace } = job;
  await manager.streams.add({ name: job.in, subjects: [`in.${id}`] });
  await manager.streams.add({
    name: job.out,
    subjects: [`out.${id}`, `tidemark-marker.${job.out}.>`],
    ...{ allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true },
  });
  workspace.write("job.mjs", jobFile(job, id));
  const js = jetstream(job.connection);
  const publish = async (from: number, to: number) => {
    for (let number = from; number < to; number++) await js.publish(`in.${id}`, String(number));
  };
  const here = ["--server", server.url, "--prefix", `p${id}`, "--user", job.account, "--password", "x"];
  const run = () => workspace.start(["run", "job.mjs", ...here]);

  await publish(0, HALF);
  let command = run();
  await written(job, HALF, command);
  await change.change(job);
  if (!change.unpublished) await publish(HALF, 2 * HALF);
  if (change.crash)
    for (const { pid, commandLine } of workspace.processes()) if (commandLine.includes(" worker ")) kill(pid);

  const { ends, waits, mend } = change;
  let said = "";
  if (ends !== undefined) {
    const { code, stderr } = await command.ended;
    expect(stderr).toMatch(ends);
    expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
    expect(code).toBe(change.code ?? 1);
    said = stderr;
  } else if (waits !== undefined) {
    said = await command.says(new RegExp(`trouble: ${waits.source}`));
  }
  if (mend === undefined && (ends ?? waits) !== undefined) return;
  if (mend === "printed") {
    const found = /nats stream edit .*? --force/.exec(said.slice(said.search(ends ?? waits!)));
    workspace.shell(found![0], server.url);
  } else await mend?.(job);
  if (change.unpublished) await publish(HALF, 2 * HALF);
  if (ends !== undefined) {
    command = run();
    // The first run may have written all of it: a signal before this one listens would just kill it.
    await command.says("checkpoints every");
  }
  await written(job, 2 * HALF, command);
  command.kill("SIGINT");
  expect(await command.ended).toMatchObject({ code: 0 });
  expect(wrongCounts(await readable(job), 2 * HALF)).toEqual([]);
}
