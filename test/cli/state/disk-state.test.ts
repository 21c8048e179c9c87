/** State on disk as its user knows it: real processes, one of which is killed, real files. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { countingJob } from "../jobs.ts";
import { kill, until, Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const RECORDS = 20_000;
const KEYS = 4_000;
/** A few hundred rows fit into the smallest cache: most of the keys lie on disk. */
const ON_DISK = 'state: { backend: "disk", directory: "./rows", cacheSize: "64 KiB" }';

const job = (options: string) =>
  countingJob({ count: RECORDS, ratePerSecond: 4_000, held: true, options }).replace(
    "seen.number % 10",
    `seen.number % ${KEYS}`,
  );

/** The directories of workers, below the one that the job names. */
const directories = () => (existsSync(workspace.path("rows")) ? readdirSync(workspace.path("rows")) : []);
const storeBytes = () =>
  directories().flatMap((name) =>
    readdirSync(workspace.path(join("rows", name)))
      .filter((store) => store.startsWith("g"))
      .map((store) => readFileSync(workspace.path(join("rows", name, store, "data.mdb"))).length),
  );

test("a worker with state on disk is killed: no count has a gap, and files go with the processes", async () => {
  workspace.write("job.mjs", job(ON_DISK));
  const command = workspace.start(["run", "job.mjs"]);
  await until(
    () => existsSync(workspace.path("out")) && workspace.lines().length > 0,
    () => `committed output; ${command.stderr}`,
  );
  expect(directories().length).toBeGreaterThan(0);
  await until(
    () => Math.max(...storeBytes()) > 10_000,
    () => `rows in the store; ${storeBytes()}`,
  );
  const killed = workspace.processes().find(({ commandLine }) => / worker /.test(commandLine))!;
  kill(killed.pid, "SIGKILL");
  await command.says(/worker.*(lost|died|gone|killed|SIGKILL)/i);
  workspace.release();
  const { code, stderr } = await command.ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const counts = new Map<number, number[]>();
  for (const line of workspace.lines()) {
    const [key, count] = line.split(" ").map(Number);
    counts.set(key!, [...(counts.get(key!) ?? []), count!]);
  }
  expect(counts.size).toBe(KEYS);
  const each = Array.from({ length: RECORDS / KEYS }, (_, i) => i + 1);
  for (const found of counts.values()) expect(found.sort((a, b) => a - b)).toEqual(each);
  // What the killed process has left is all that there is, until a later worker finds that it has gone.
  expect(directories().map(ownerOf)).toEqual([killed.pid]);
});

const ownerOf = (name: string): number =>
  JSON.parse(readFileSync(workspace.path(join("rows", name, "owner.json")), "utf8")).pid;

test("a directory that cannot be made is refused by its name, before the job begins", async () => {
  workspace.write("job.mjs", job(ON_DISK));
  workspace.write("rows", "a file");
  const { code, stderr } = await workspace.run(["worker", "job.mjs", "--server", "nats://127.0.0.1:1"]);
  expect(stderr).toMatch(
    /state directory .*rows.* on host .* cannot be made: .*; give one where this user may/,
  );
  expect(code).toBe(3);
});

test.skipIf(process.getuid?.() === 0)("one that this user may not write is, too", async () => {
  workspace.write("job.mjs", job(ON_DISK));
  mkdirSync(workspace.path("rows"));
  chmodSync(workspace.path("rows"), 0o500);
  const { stderr } = await workspace.run(["worker", "job.mjs", "--server", "nats://127.0.0.1:1"]);
  expect(stderr).toMatch(/state directory .*rows.* cannot be made: .*EACCES/);
});

test.each<[what: string, options: string, says: RegExp]>([
  ["state", ON_DISK, /state directory .*rows.* cannot be made: .*give one where this user may write/],
  [
    "local copies",
    'checkpointing: { localRecovery: true, localDirectory: "./rows" }',
    /the directory of local copies .*rows.* cannot be used: .*give one where this user may write/,
  ],
])(
  "`run` tries one start of each worker with a directory of %s that cannot be made, and says why once",
  async (_what, options, says) => {
    const code = job("OPTIONS").replace(/checkpointing: \{[^}]*\}, OPTIONS/, options);
    workspace.write("job.mjs", code);
    workspace.write("rows", "a file");
    const { code: exit, stderr } = await workspace.run(["run", "job.mjs"]);
    expect(stderr).toMatch(says);
    expect(stderr.match(/directory .*rows/g)).toHaveLength(1);
    expect(exit).toBe(3);
    const log = readFileSync(workspace.path(".tidemark/logs/counting/worker-1.log"), "utf8");
    expect(log.match(/directory .*rows/g)).toHaveLength(1);
  },
);
