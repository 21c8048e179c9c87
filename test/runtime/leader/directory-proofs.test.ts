/** Whether a worker's checkpoint directory is its leader's, found out by real files in real directories. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileStorage } from "../../../src/checkpoint/file-storage.ts";
import type { CheckpointStorage } from "../../../src/checkpoint/storage.ts";
import type { LeaderAnswer } from "../../../src/control/messages.ts";
import { MemoryStorage } from "../../../src/memory/storage.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { DirectoryClaim } from "../../../src/runtime/directory-claim.ts";
import { type Claimant, DirectoryProofs } from "../../../src/runtime/leader/directory-proofs.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { until } from "../../support/until.ts";

const BOUND_MS = 20_000;

let root: string;
let clock: ManualClock;
let troubles: Troubles;
let secrets = 0;

beforeEach(async () => {
  root = realpathSync(await mkdtemp(join(tmpdir(), "tidemark-proofs-")));
  clock = new ManualClock();
  troubles = new Troubles(clock);
});
afterEach(() => rm(root, { recursive: true, force: true }));

const at = (name: string) => join(root, name);
const leaderOf = (directory: string, leader = "l1") =>
  new DirectoryProofs({
    storage: new FileStorage(directory),
    leader,
    host: "leader-host",
    clock,
    troubles,
    newId: () => `secret${++secrets}`,
    boundMs: BOUND_MS,
  });
const workerIn = (directory: string) => new DirectoryClaim(new FileStorage(directory), "w1", "random");
const registration = (claim: DirectoryClaim): Claimant => ({
  id: "w1",
  name: "worker w1",
  kind: "the worker",
  leaderKind: "the coordinator",
  keeps: "checkpoints of job words",
  directory: claim.present,
});
/** One registration, as a worker does it. */
const ask = async (leader: DirectoryProofs, claim: DirectoryClaim): Promise<LeaderAnswer | undefined> => {
  const answer = await leader.judge(registration(claim));
  if (answer?.answer === "unproven") await claim.prove(answer.note);
  else await claim.end();
  return answer;
};
const filesIn = (directory: string) => readdirSync(directory);

test("one directory under two paths is one: proven by the second registration, and no file stays", async () => {
  mkdirSync(at("one"));
  symlinkSync(at("one"), at("other-name"));
  const leader = leaderOf(at("one"));
  const worker = workerIn(at("other-name"));
  expect(await ask(leader, worker)).toMatchObject({ answer: "unproven" });
  expect(filesIn(at("one"))).toHaveLength(2);
  expect(await ask(leader, worker)).toBeUndefined();
  await until("the notes are gone", () => filesIn(at("one")).length === 0);
  // The next leader knows nothing of that.
  const next = leaderOf(at("one"), "l2");
  expect(await ask(next, worker)).toMatchObject({ answer: "unproven" });
  expect(await ask(next, worker)).toBeUndefined();
  await until("the notes are gone", () => filesIn(at("one")).length === 0);
});

test("two directories of one name are two: refused after a while, with both hosts, both paths and the next step", async () => {
  const leader = leaderOf(at("here"));
  const worker = workerIn(at("there"));
  for (let waitedMs = 0; waitedMs < BOUND_MS; waitedMs += 5000) {
    expect(await ask(leader, worker)).toMatchObject({ answer: "unproven" });
    clock.advance(5000);
  }
  const [trouble] = troubles.list();
  expect(trouble?.what).toBe("finding out whether worker w1 has the same checkpoint directory");
  const refused = await ask(leader, worker);
  if (refused?.answer !== "refused") throw new Error(`it was ${refused?.answer}`);
  expect(refused.reason).toMatch(`worker w1 keeps checkpoints of job words in ${at("there")} on host `);
  expect(refused.reason).toMatch(
    `the coordinator in ${at("here")} on host leader-host, and neither sees a file`,
  );
  expect(refused.reason).toMatch("--checkpoint-dir");
  expect(troubles.list()).toEqual([]);
  await until("the notes are gone", () => [...filesIn(at("here")), ...filesIn(at("there"))].length === 0);
});

test.each(["worker", "coordinator"] as const)("what only the %s sees is a stale mount", async (sees) => {
  const leader = leaderOf(at("here"));
  const worker = workerIn(at("there"));
  const [from, to] = sees === "worker" ? [at("here"), at("there")] : [at("there"), at("here")];
  let answer: LeaderAnswer | undefined;
  for (let waitedMs = 0; waitedMs <= BOUND_MS; waitedMs += 5000) {
    answer = await leader.judge(registration(worker));
    for (const name of filesIn(from)) copyFileSync(join(from, name), join(to, name));
    if (answer?.answer === "unproven") await worker.prove(answer.note);
    for (const name of filesIn(from)) copyFileSync(join(from, name), join(to, name));
    clock.advance(5000);
  }
  expect(answer).toMatchObject({
    answer: "refused",
    reason: expect.stringMatching(
      sees === "worker"
        ? "a file that is written by the worker is not seen by the coordinator: one of the two mounts is stale"
        : "a file that is written by the coordinator is not seen by the worker: one of the two mounts is stale",
    ),
  });
});

test("a file that is seen late is a proof", async () => {
  const leader = leaderOf(at("here"));
  const worker = workerIn(at("there"));
  expect(await ask(leader, worker)).toMatchObject({ answer: "unproven" });
  clock.advance(BOUND_MS / 2);
  await rm(at("there"), { recursive: true });
  symlinkSync(at("here"), at("there"));
  expect(await ask(leader, worker)).toMatchObject({ answer: "unproven" });
  expect(await ask(leader, worker)).toBeUndefined();
});

test.each(["here", "there"])(
  "a directory that is not there at present (%s) is a trouble, and no worker is refused",
  async (away) => {
    const leader = leaderOf(at("here"));
    const worker = workerIn(at("there"));
    await rm(at(away), { recursive: true });
    for (let waitedMs = 0; waitedMs < 3 * BOUND_MS; waitedMs += 5000) {
      expect(await ask(leader, worker)).toMatchObject({ answer: "unproven" });
      clock.advance(5000);
    }
    expect(troubles.list()[0]?.reason).toMatch(`directory ${at(away)} cannot be `);
  },
);

test("a worker that is gone before its proof leaves no trouble and no file of the leader", async () => {
  const leader = leaderOf(at("here"));
  const worker = workerIn(at("there"));
  await ask(leader, worker);
  await ask(leader, worker);
  clock.advance(10_000);
  expect(troubles.list()).toHaveLength(1);
  clock.advance(10_000);
  expect(troubles.list()).toEqual([]);
  await until("the leader's note is gone", () => filesIn(at("here")).length === 0);
});

test("what a killed process has left goes with the next proof, once it is old; files of the user that begin with a dot stay", async () => {
  await ask(leaderOf(at("here")), workerIn(at("here")));
  const left = filesIn(at("here"));
  expect(left).toHaveLength(2);
  const own = [".bashrc", ".gitkeep", ".nfs0000000000001", ".tidemark"];
  for (const name of own) writeFileSync(join(at("here"), name), "");
  const aDayAgo = Date.now() / 1000 - 86_400;
  for (const name of filesIn(at("here"))) utimesSync(join(at("here"), name), aDayAgo, aDayAgo);
  expect(await new FileStorage(at("here")).notes.obstacle()).toBeUndefined();
  expect(filesIn(at("here")).sort()).toEqual([...own].sort());
});

test("a storage that is no directory needs no proof", async () => {
  const memory: CheckpointStorage = new MemoryStorage();
  const claim = new DirectoryClaim(memory, "w1", "random");
  expect(claim.present).toBeNull();
  expect(await leaderOf(at("here")).judge(registration(claim))).toBeUndefined();
  expect(existsSync(at("here"))).toBe(true);
  expect(filesIn(at("here"))).toEqual([]);
});
