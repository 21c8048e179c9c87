/** What a job tries in vain shows in its status and in its events, with the reason, and goes when it works again. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RequestTimeoutError, StorageRefusedError } from "../../../../src/errors.ts";
import { jobTroubles } from "../../../../src/runtime/leader/report/job-troubles.ts";
import { MemoryWorld, snapshotRequest } from "../../../support/memory-world.ts";

describe("one job", () => {
  let world: MemoryWorld;
  beforeEach(() => {
    world = new MemoryWorld({ bounded: false });
  });
  afterEach(() => world.close());

  const events = (what: string) =>
    world.events
      .filter((event) => event.role === "trouble" && event.what === what)
      .map(({ event, from, to, id }) => ({ event, from, to, id: id.split(" ")[0] }));

  test("that waits for slots, and whose storage refuses its snapshots for a while", async () => {
    const full = new StorageRefusedError("the disk is full");
    let refusing = false;
    const put = world.storage.put.bind(world.storage);
    world.storage.put = (...args) => (refusing ? Promise.reject(full) : put(...args));
    world.fill(2000);
    world.startCoordinator();
    await world.submit();

    const waiting = await world.comesTo("no slots", ({ troubles }) => troubles.length > 0);
    expect(waiting.troubles).toEqual([
      {
        what: "waiting for slots",
        reason: "2 slots; the workers offer 0",
        sinceMs: expect.any(Number),
        where: ["leader"],
      },
    ]);
    await world.startWorker();
    await world.startWorker();
    await world.comesTo(
      "it runs",
      ({ phase, troubles }) => phase === "running.processing" && troubles.length === 0,
    );

    refusing = true;
    const what = "writing checkpoints to memory of this process";
    const failing = await world.comesTo("it cannot write", ({ troubles }) => troubles.length > 0);
    expect(failing.troubles).toMatchObject([{ what, reason: full.message }]);
    refusing = false;
    await world.comesTo("it can write", ({ troubles }) => troubles.length === 0);
    const ofSlots = events("waiting for slots");
    expect(ofSlots[0]).toEqual({ event: "trouble.began", from: "working", to: "failing", id: "leader" });
    expect(ofSlots.at(-1)).toEqual({ event: "trouble.passed", from: "failing", to: "working", id: "leader" });
    expect(events(what)[0]).toEqual({
      event: "trouble.began",
      from: "working",
      to: "failing",
      id: expect.stringMatching(/^(worker|leader)$/),
    });
    expect(events(what).at(-1)).toMatchObject({ event: "trouble.passed", to: "working" });
    await world.allCommitted();
  });
});

test("a client that stops a job whose last output cannot be committed is told what it waits for; it stays decided (P49)", async () => {
  const world = new MemoryWorld({ bounded: false });
  const append = world.target.append.bind(world.target);
  world.fill(200);
  world.startCoordinator();
  await world.startWorker();
  await world.startWorker();
  await world.submit();
  await world.runs();
  const silent = new RequestTimeoutError("the target does not answer");
  world.target.append = (...args) => (args[3].length > 0 ? Promise.reject(silent) : append(...args));
  world.fill(200);
  const stop = snapshotRequest({
    request: "stop",
    kind: "savepoint",
    directory: "/savepoints",
    followedBy: "stop",
  });
  await expect(world.client(6000).snapshot(stop)).rejects.toThrow(
    /job words has its savepoint and is settling, .* committing output of counts \(the target does not answer\)\. It stays decided/,
  );
  world.target.append = append;
  await world.ends("stopped");
  expect((await world.client().snapshot(stop)).location).toMatch("/savepoints");
  await world.close();
});

describe("the troubles of all processes of a job", () => {
  const trouble = (what: string, sinceMs: number, reason = "no room") => ({ what, reason, sinceMs });

  test("the same one of several is one, since the first of them", () => {
    expect(
      jobTroubles([
        { where: "leader", troubles: [trouble("a", 30)] },
        { where: "worker 1", troubles: [trouble("b", 20), trouble("a", 10)] },
        { where: "worker 2", troubles: [trouble("a", 25, "no permission")] },
      ]),
    ).toEqual([
      { what: "a", reason: "no room", sinceMs: 10, where: ["leader", "worker 1"] },
      { what: "b", reason: "no room", sinceMs: 20, where: ["worker 1"] },
      { what: "a", reason: "no permission", sinceMs: 25, where: ["worker 2"] },
    ]);
  });

  test("their number is bounded, and that of the processes named", () => {
    const places = Array.from({ length: 100 }, (_, i) => ({
      where: `worker ${i}`,
      troubles: Array.from({ length: 50 }, (_, act) => trouble(`act ${act}`, act)),
    }));
    const found = jobTroubles(places);
    expect(found).toHaveLength(20);
    expect(found[0]?.where).toHaveLength(10);
  });
});
