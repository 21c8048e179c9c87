/**
 * A client that asks for a savepoint hears what became of it, and the job is where it was said to be, whatever fails
 * meanwhile.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { readSavepoint, splitLocation } from "../../../src/checkpoint/savepoint.ts";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import type { SnapshotRequest } from "../../../src/control/messages.ts";
import { DisconnectedError, RequestRefusedError, StorageRefusedError } from "../../../src/errors.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";
import { wordCount } from "../../support/graphs/word-count.ts";
import { latch } from "../../support/latch.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../support/memory-world.ts";
import { patientSignal } from "../../support/suite/patience.ts";
import { until } from "../../support/until.ts";

/** Two of the source, two of the count. */
const SUBTASKS = 4;

let world: MemoryWorld;
let asked = 0;
afterEach(() => world.close());

/**
 * Two workers, one leader, no checkpoint but those that are asked for, unbounded input of which everything so far may
 * be processed.
 */
async function started(options: WorldOptions = {}): Promise<void> {
  world = new MemoryWorld({ interval: "1 h", bounded: false, ...options });
  await world.begins(20_000);
  await world.runs();
}

/** Takes a savepoint within a bound: no client waits for ever. */
const takes = (followedBy: SnapshotRequest["followedBy"]) =>
  world
    .client()
    .snapshot(
      snapshotRequest({ request: `r${++asked}`, kind: "savepoint", directory: "/savepoints", followedBy }),
      patientSignal(),
    );

/** What it holds can be read: it is complete. */
const savepoint = (location: string | null) => readSavepoint(String(location), world.savepoints);

async function goesOn(location: string | null): Promise<void> {
  world.fill(3000);
  await world.submit({ location: String(location), mode: "no-claim", drop: [], writeAgain: false });
  await world.allCommitted();
}

function once(): { readonly reached: Promise<void>; readonly reach: () => boolean } {
  const { opened: reached, open } = latch();
  let over = false;
  const reach = () => {
    if (over) return false;
    over = true;
    open();
    return true;
  };
  return { reached, reach };
}

describe("a stop", () => {
  test("is decided with its savepoint: a leader that is gone right after it leaves a job that stops", async () => {
    await started();
    const leader = world.leader;
    const decided = once();
    world.afterStore = ({ savepoints }) => {
      if (savepoints.length > 0 && decided.reach()) world.cutOff(leader);
    };
    world.startCoordinator();
    const { location } = await takes("stop");
    await decided.reached;
    await world.ends("stopped");
    await goesOn(location);
  });

  test.each(["stop", "drain"] as const)(
    "(%s) of a job that loses a worker before it is complete is refused, the job goes on, a second one works",
    async (followedBy) => {
      await started();
      const begun = once();
      const signal = followedBy === "drain" ? "send.drain" : "send.trigger";
      world.onEvent = ({ effects }) => {
        if (effects.includes(signal) && begun.reach()) world.cutOff(world.firstWorker);
      };
      const first = takes(followedBy);
      first.catch(() => {});
      await begun.reached;
      await world.startWorker();
      await expect(first).rejects.toThrow(/did not succeed/);
      await world.runs();
      expect((await world.record()).status).toBe("running");
      const { location } = await takes("stop");
      await world.ends("stopped");
      await goesOn(location);
    },
  );

  test.each(["stop", "drain"] as const)(
    "(%s) that is under way is not suspended: that is refused, and it stops",
    async (followedBy) => {
      await started();
      const copying = once();
      const { opened: held, open: go } = latch();
      world.beforeSave = async () => {
        if (copying.reach()) await held;
      };
      const taken = takes(followedBy);
      await copying.reached;
      const suspended = world.client().suspend("words");
      await expect(suspended).rejects.toThrow(RequestRefusedError);
      await expect(suspended).rejects.toThrow(
        'job words is stopping with a savepoint already: wait for that, or end it with "tidemark cancel words"',
      );
      go();
      await taken;
      await world.ends("stopped");
      await expect(world.client().suspend("words")).rejects.toThrow(
        "job words is stopped: there is nothing to suspend",
      );
    },
  );

  test("whose savepoint is being copied when the job fails is refused, and leaves nothing", async () => {
    await started();
    const copying = once();
    const { opened: held, open: go } = latch();
    world.beforeSave = async () => {
      if (copying.reach()) await held;
    };
    const first = takes("stop");
    first.catch(() => {});
    await copying.reached;
    const { generation } = await world.record();
    await world.replace(world.firstWorker);
    await world.comesTo("the next generation runs", (now) => now.generation > generation);
    await world.runs();
    go();
    await expect(first).rejects.toThrow(/did not succeed/);
    await until("nothing is left", async () => ((await namesOf()).length === 0 ? true : undefined));
    const { location } = await takes("stop");
    await world.ends("stopped");
    await goesOn(location);
  });
});

test("a stop before which all input is processed is refused in words, and the job finishes", async () => {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-stop-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "go");
  const pace = { recordsPerSecond: Number.MAX_SAFE_INTEGER, heldUntil: { file, records: 100 } };
  const { opened: reserved, open: reserve } = latch();
  world = new MemoryWorld({
    interval: "1 h",
    build: (builder, { logs, target }) =>
      wordCount(builder, throttled(memorySource(logs, { until: "end" }), pace), memorySink(target)),
  });
  world.beforeStore = ({ reservedCheckpointId }) => (reservedCheckpointId > 0 ? reserved : Promise.resolve());
  const ended = new Set<string>();
  const { opened: allEnded, open: end } = latch();
  world.onEvent = ({ event, id }) => {
    if (event === "finish.completed" && ended.add(id).size === SUBTASKS) end();
  };
  await world.begins(20_000);
  await world.runs();
  const stopped = takes("stop");
  stopped.catch(() => {});
  await world.comesTo("the job is to stop", ({ phase }) => phase === "running.stopping");
  writeFileSync(file, "");
  await allEnded;
  reserve();
  await expect(stopped).rejects.toThrow(
    "did not succeed: every subtask has finished, so no job could go on from it: the job is about to end",
  );
  await world.finished();
  expect(await namesOf()).toEqual([]);
  world.expectExact();
});

describe("a savepoint", () => {
  test("that is being copied when the job fails is complete all the same", async () => {
    await started();
    const copying = once();
    const { opened: held, open: go } = latch();
    world.beforeSave = async () => {
      if (copying.reach()) await held;
    };
    const taken = takes("go-on");
    await copying.reached;
    world.cutOff(world.firstWorker);
    await world.comesTo("the job notices", ({ phase }) => !phase.startsWith("running."));
    go();
    const { location } = await taken;
    await world.startWorker();
    await world.runs();
    expect((await savepoint(location)).drained).toBe(false);
    await world.allCommitted();
  });

  test.each(["send.trigger", "store.savepoint", "store.savepointEntry"])(
    "whose leader is cut off at its %s is taken by the next one",
    async (effect) => {
      await started();
      const leader = world.leader;
      const reached = once();
      world.onEvent = ({ effects }) => {
        if (effects.includes(effect) && reached.reach()) world.cutOff(leader);
      };
      world.startCoordinator();
      const { location } = await takes("go-on");
      await reached.reached;
      expect((await savepoint(location)).location).toBe(location);
      await world.allCommitted();
      await world.client().cancel("words");
      await world.ends("canceled");
    },
  );

  describe("whose leader is gone", () => {
    /** It gets as far as its second object, and no further before `goOn`. */
    async function goneWhileCopying(): Promise<{ readonly begun: string; readonly goOn: () => void }> {
      await started();
      const leader = world.leader;
      const copying = once();
      const { opened: held, open: goOn } = latch();
      let objects = 0;
      world.beforeSave = async () => {
        if (++objects !== 2 || !copying.reach()) return;
        world.cutOff(leader);
        await held;
      };
      world.startCoordinator();
      const taken = takes("go-on");
      await copying.reached;
      const [begun = ""] = (await world.record()).begunSavepoints;
      const name = splitLocation(begun).name;
      expect((await namesOf()).filter((each) => each.startsWith(name))).toHaveLength(1);
      expect((await savepoint((await taken).location)).drained).toBe(false);
      return { begun, goOn };
    }

    const isGone = (begun: string) =>
      until(
        "nothing is left of it",
        async () =>
          !(await namesOf()).some((name) => name.startsWith(splitLocation(begun).name)) || undefined,
      );

    test("while it copied leaves nothing of it: the next one takes another", async () => {
      const { begun } = await goneWhileCopying();
      await isGone(begun);
      await world.client().cancel("words");
      await world.ends("canceled");
      await until(
        "the record forgets it",
        async () => (await world.record()).begunSavepoints.length === 0 || undefined,
      );
      const [left = ""] = (await world.record()).savepoints.map(({ location }) => location);
      expect((await savepoint(left)).location).toBe(left);
    });

    test("and goes on copying never completes it, and what it has added goes, too", async () => {
      const { begun, goOn } = await goneWhileCopying();
      await isGone(begun);
      const { token, generation } = await world.record();
      const proving = once();
      world.beforeStore = async (record) => {
        if (record.token < token) proving.reach();
      };
      goOn();
      await proving.reached;
      const added = (await namesOf()).filter((name) => name.startsWith(splitLocation(begun).name));
      expect(added.length).toBeGreaterThan(0);
      expect(added.some((name) => name.includes("metadata"))).toBe(false);
      await world.replace(world.firstWorker);
      await world.comesTo("the next generation runs", (now) => now.generation > generation);
      await isGone(begun);
    });

    test("before it was entered, but complete, stays", async () => {
      await started();
      const leader = world.leader;
      const copied = once();
      world.onEvent = ({ effects }) => {
        if (effects.includes("store.savepointEntry") && copied.reach()) world.cutOff(leader);
      };
      world.startCoordinator();
      const { location } = await takes("go-on");
      await until(
        "the next leader has looked at it",
        async () => (await world.record()).begunSavepoints.length === 0 || undefined,
      );
      const names = (await namesOf()).filter((name) => name.includes("metadata"));
      const places = names.map((name) => `/savepoints/${name.slice(0, name.lastIndexOf("/"))}`);
      expect(places).toHaveLength(2);
      expect(places).toContain(location);
      for (const place of places) expect((await savepoint(place)).location).toBe(place);
    });
  });

  test("that a job has claimed goes, also when its leader is gone right after the job's first checkpoint", async () => {
    await started();
    const location = String((await takes("stop")).location);
    await world.ends("stopped");
    const leader = world.leader;
    const claimed = once();
    world.afterStore = ({ origin }) => {
      if (origin?.mode !== "claimed" || !claimed.reach()) return;
      world.cutOff(leader);
      throw new DisconnectedError("the answer to the write is lost");
    };
    world.startCoordinator();
    await world.submit({ location, mode: "claim", drop: [], writeAgain: false });
    const checkpoint = world.client().snapshot(snapshotRequest({ request: "first", kind: "checkpoint" }));
    await claimed.reached;
    await checkpoint;
    const left = async () =>
      (await namesOf()).filter((name) => name.startsWith(splitLocation(location).name));
    await until("nothing is left of it", async () => (await left()).length === 0 || undefined);
    await until(
      "the record forgets it",
      async () => (await world.record()).begunSavepoints.length === 0 || undefined,
    );
  });

  test("asked of a leader that has not yet claimed the job is taken", async () => {
    await started();
    const leader = world.leader;
    const claiming = once();
    const { token } = await world.record();
    let asking = Promise.resolve<unknown>(undefined);
    world.beforeStore = async (record) => {
      if (record.token === token || !claiming.reach()) return;
      asking = takes("go-on");
      // Long enough for the request to come before the claim is answered.
      await new Promise((resolve) => setTimeout(resolve, 500));
    };
    world.startCoordinator();
    world.cutOff(leader);
    await claiming.reached;
    expect(await asking).toMatchObject({ state: "completed" });
  });

  describe("of a job that does not run", () => {
    async function submitted(readyTimeout: string): Promise<void> {
      world = new MemoryWorld({ interval: "1 h", bounded: false, readyTimeout });
      world.fill(2000);
      world.startCoordinator();
      await world.submit();
    }

    test("is refused in words when it does not run in time", async () => {
      await submitted("500 ms");
      await expect(takes("go-on")).rejects.toThrow("the job was not running in time");
    });

    test("is taken when it runs in time", async () => {
      await submitted("1 h");
      await Promise.all([world.startWorker(), world.startWorker()]);
      const { location } = await takes("go-on");
      expect((await savepoint(location)).manifest.subtasks.length).toBeGreaterThan(0);
    });
  });

  test("that cannot be written leaves nothing", async () => {
    await started();
    let objects = 0;
    world.beforeSave = async () => {
      if (++objects === 2) throw new StorageRefusedError("no space left");
    };
    await expect(takes("go-on")).rejects.toThrow(/could not be written to \/savepoints\/.*no space left/);
    await until(
      "nothing is left",
      async () =>
        ((await namesOf()).length === 0 && (await world.record()).begunSavepoints.length === 0) || undefined,
    );
    await takes("go-on");
  });

  test("that has lost an object is refused at once, by the object's name", async () => {
    await started();
    const { location } = await takes("stop");
    await world.ends("stopped");
    const [lost = ""] = (await namesOf()).filter((name) => !name.includes("metadata"));
    await world.savepoints.delete(lost);
    const restored = world.submit({
      location: String(location),
      mode: "no-claim",
      drop: [],
      writeAgain: false,
    });
    await expect(restored).rejects.toThrow(`cannot restore from ${location}`);
    await expect(restored).rejects.toThrow(lost);
    expect((await world.record()).status).toBe("stopped");
  });
});

async function namesOf(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of world.savepoints.list("")) names.push(name);
  return names;
}

test("a restored job reads a split that has come to its source since, from its beginning and once, also after a crash", async () => {
  await started();
  const { location } = await takes("stop");
  await world.ends("stopped");
  const added = new MemoryLog<string>();
  for (let i = 0; i < 5000; i++) added.append(`w${i % 50}`);
  world.logs.push(added);
  await goesOn(location);
  await world.replace(world.firstWorker);
  world.fill(1000);
  for (let i = 0; i < 1000; i++) added.append(`w${i % 50}`);
  await world.allCommitted();
});
