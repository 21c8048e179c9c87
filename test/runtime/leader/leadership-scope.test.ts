/** Which coordinator leads a job that the cluster and a `tidemark run` could both lead (P50). */
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { RequestTimeoutError, UnknownOutcomeError } from "../../../src/errors.ts";
import { jobKey } from "../../../src/formats/job-record.ts";
import { encodeLease, parseLease } from "../../../src/formats/lease.ts";
import { MemoryRecordStore } from "../../../src/memory/record-store.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import type { Coordinator } from "../../../src/runtime/leader/coordinator.ts";
import { Lease } from "../../../src/runtime/leader/lease.ts";
import { latch } from "../../support/latch.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

const OWN = { job: "words", session: "s1" };
const OTHER = { job: "words", session: "s2" };

let world: MemoryWorld;
/** What leaders of the job were asked. */
let asked: number;
beforeEach(() => {
  asked = 0;
  const count = (subject: string): false => {
    if (subject.endsWith(".words.control")) asked++;
    return false;
  };
  world = new MemoryWorld({ bounded: false, drop: count });
  world.fill(20);
});
afterEach(async () => {
  await world.close();
  expect(world.crashes).toEqual([]);
});

function leads(coordinator: Coordinator): Promise<true> {
  return until("leadership", () => coordinator.leading || undefined, { everyMs: 5 });
}

async function workers(): Promise<void> {
  await world.startWorker();
  await world.startWorker();
}

/** A run's own coordinator leads the job, and it runs. */
async function runs(): Promise<Coordinator> {
  const own = world.startCoordinator(OWN);
  await world.submit(null, OWN.session);
  await workers();
  await world.runs();
  return own;
}

/** The next leader goes on from there. */
async function suspends(): Promise<void> {
  await world.client().suspend("words");
  await world.ends("suspended");
}

test("the job of a run is led by its own coordinator, and one of the cluster leaves it alone", async () => {
  const cluster = world.startCoordinator();
  await leads(cluster);
  const own = world.startCoordinator(OWN);
  await world.submit(null, OWN.session);
  await workers();
  const report = await world.runs();
  expect(report.leader).toBe(world.idOf(own));
  expect(await world.record()).toMatchObject({ scope: "job", generation: 1 });
  await expect(world.submit()).rejects.toThrow(
    /^job words is led by the "tidemark run" of process p2 alone: end that one with Ctrl-C or "tidemark cancel words"/,
  );

  // A new leader of the cluster finds the record, and is no leader of it.
  await cluster.stop();
  const next = world.startCoordinator();
  await leads(next);
  await expect(world.submit()).rejects.toThrow(/^job words is led by the "tidemark run"/);
  expect(await world.runs()).toMatchObject({ leader: world.idOf(own), generation: 1, restarts: 0 });
  await world.allCommitted();
});

test("a second run of the same job is refused by name; the first goes on", async () => {
  await runs();
  world.startCoordinator(OTHER);
  await expect(world.submit(null, OTHER.session)).rejects.toThrow(
    /^job words is running already, by the "tidemark run" of process p1: watch it with "tidemark status words"/,
  );
  expect(await world.runs()).toMatchObject({ generation: 1, restarts: 0 });
});

test("a run is refused a job that the cluster leads, and told what to do", async () => {
  const cluster = world.startCoordinator();
  await world.submit();
  await workers();
  await world.runs();
  const own = world.startCoordinator(OWN);
  await expect(world.submit(null, OWN.session)).rejects.toThrow(
    /^job words is running already, led by the coordinator of process p1: .*"tidemark cancel words" .*"tidemark submit FILE"$/,
  );
  await own.stop();
  expect(await world.runs()).toMatchObject({ leader: world.idOf(cluster), generation: 1, restarts: 0 });
  await world.allCommitted();
});

test("what a run has suspended is resumed by submit, and what the cluster has suspended by run", async () => {
  const cluster = world.startCoordinator();
  const own = await runs();
  await suspends();
  await own.stop();
  const suspended = await world.record();

  await world.submit();
  expect(await world.runs()).toMatchObject({ leader: world.idOf(cluster) });
  const resumed = await world.record();
  expect(resumed).toMatchObject({ scope: "cluster", incarnation: suspended.incarnation });
  expect(resumed.token).toBeGreaterThan(suspended.token);
  await suspends();

  const again = world.startCoordinator(OTHER);
  await world.submit(null, OTHER.session);
  expect(await world.runs()).toMatchObject({ leader: world.idOf(again) });
  const back = await world.record();
  expect(back).toMatchObject({ scope: "job", incarnation: suspended.incarnation });
  expect(back.token).toBeGreaterThan(resumed.token);
  await world.allCommitted();
});

test("a run goes on though its coordinator is still claiming what it found when the job is handed in", async () => {
  const own = await runs();
  await suspends();
  await own.stop();

  const submission = latch();
  const claim = latch();
  world.beforeStore = async ({ status }) => {
    if (status === "suspended") return submission.opened;
    submission.open();
    await claim.opened;
  };
  world.afterStore = ({ status }) => {
    if (status === "suspended") claim.open();
  };
  const again = world.startCoordinator(OTHER);
  await world.submit(null, OTHER.session);
  expect(await world.runs()).toMatchObject({ leader: world.idOf(again) });
  await world.allCommitted();
});

test("the job of a run that was killed is told apart, and resumed by submit", async () => {
  const cluster = world.startCoordinator();
  await leads(cluster);
  const own = await runs();
  await world.allCommitted();
  world.cutOff(own);
  world.cutOff(world.firstWorker);
  world.cutOff(world.lastWorker);

  await expect(world.client().status("words")).rejects.toThrow(
    /^job words was left behind by a "tidemark run" that is gone: go on with "tidemark run FILE" or "tidemark submit FILE"/,
  );
  await world.submit();
  await workers();
  world.fill(40);
  expect(await world.runs()).toMatchObject({ leader: world.idOf(cluster) });
  await world.allCommitted();
});

test("a coordinator of the cluster that hangs loses a job to a run, and writes it no more", async () => {
  const cluster = world.startCoordinator();
  await world.submit();
  await workers();
  await world.runs();
  const [first, second] = [world.firstWorker, world.lastWorker];
  world.cutOff(cluster);
  for (const worker of [first, second]) world.cutOff(worker);

  const own = world.startCoordinator(OWN);
  await world.submit(null, OWN.session);
  await workers();
  expect(await world.runs()).toMatchObject({ leader: world.idOf(own) });
  const { token } = await world.record();
  world.reconnect(cluster);
  await world.allCommitted();
  expect(await world.record()).toMatchObject({ scope: "job", token });
  expect(await world.runs()).toMatchObject({ leader: world.idOf(own) });
});

test("a lease is given back although a renewal of unknown outcome was stored", async () => {
  const store = new MemoryRecordStore();
  const doubting = latch();
  let writes = 0;
  let doubts = 0;
  const lossy = {
    bucket: store.bucket,
    async read(key: string) {
      if (writes !== 2 || ++doubts > 1) return await store.read(key);
      doubting.open();
      throw new RequestTimeoutError("no answer in time");
    },
    keys: (prefix: string) => store.keys(prefix),
    async compareAndSet(key: string, value: Uint8Array, revision: number) {
      const answer = await store.compareAndSet(key, value, revision);
      if (++writes !== 2) return answer;
      throw new UnknownOutcomeError("the answer got lost");
    },
  };
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  const lease = new Lease({
    holder: "one",
    place: "here",
    key: "lease",
    leaseMs: 200,
    store: lossy,
    clock: systemClock,
    logger: quiet,
    troubles: new Troubles(systemClock),
    onBegun: () => {},
    onEnded: () => {},
    onCrash: (error) => world.crashes.push(error),
  });
  lease.start();
  await doubting.opened;
  await lease.stop();
  const found = await store.read("lease");
  expect(parseLease(found!.value)).toMatchObject({ value: { holder: "one", released: true } });
});

test("a coordinator that finds out while it stops that another one leads competes no more, and has stopped", async () => {
  const store = new MemoryRecordStore();
  const [renewing, renewed] = [latch(), latch()];
  let writes = 0;
  const slow = {
    bucket: store.bucket,
    read: (key: string) => store.read(key),
    keys: (prefix: string) => store.keys(prefix),
    async compareAndSet(key: string, value: Uint8Array, revision: number) {
      if (++writes === 2) {
        renewing.open();
        await renewed.opened;
      }
      return await store.compareAndSet(key, value, revision);
    },
  };
  const quiet = { debug() {}, info() {}, warn() {}, error() {} };
  let ended = 0;
  const lease = new Lease({
    ...{ holder: "one", place: "here", key: "lease", leaseMs: 200, store: slow, clock: systemClock },
    ...{ logger: quiet, troubles: new Troubles(systemClock), onBegun: () => {} },
    onEnded: () => ended++,
    onCrash: (error) => world.crashes.push(error),
  });
  lease.start();
  await renewing.opened;
  const { revision } = (await store.read("lease"))!;
  const other = { holder: "two", place: "there", token: revision + 1, renewals: 0, released: false };
  await store.compareAndSet("lease", encodeLease(other), revision);
  const stopped = lease.stop();
  renewed.open();
  await stopped;
  expect(ended).toBe(1);
  const found = await store.read("lease");
  expect(parseLease(found!.value)).toEqual({ value: other });
});

/** The record changes, so the write that comes next is too late. */
async function moveRecord(): Promise<void> {
  const { value, revision } = (await world.store.read(jobKey("words")))!;
  await world.store.compareAndSet(jobKey("words"), value, revision);
}

async function loseAnswer(): Promise<void> {
  throw new UnknownOutcomeError("no answer");
}

test.each([
  ["the record changes", moveRecord],
  ["no answer to the write comes", loseAnswer],
])("a job is still led when a worker comes while it is handed in again, and %s", async (_, fails) => {
  await leads(world.startCoordinator());
  await world.submit();
  await world.comesTo("it waits for workers", ({ phase }) => phase === "waiting");
  world.beforeStore = async () => {
    world.beforeStore = async () => {};
    await world.startWorker();
    const before = asked;
    // The first answer is there when the worker asks again.
    await until("the worker has asked twice", () => asked >= before + 2 || undefined, { everyMs: 5 });
    await fails();
  };
  await expect(world.submit()).rejects.toThrow("job words is created already");
  await world.startWorker();
  // No client asks for its status: that alone would make the leader read its record.
  const isRunning = () => world.events.some(({ effects }) => effects.includes("report.recovery"));
  await until("the job runs", () => isRunning() || undefined, { everyMs: 5 });
  await world.allCommitted();
});
