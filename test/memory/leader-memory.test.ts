/** The memory of a leader over the bus (P98): the suite of storages, lost messages, other leaders, strangers. */
import { randomUUID } from "node:crypto";
import { describe, expect, it, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import {
  ObjectMissingError,
  ObjectTooLargeError,
  StorageRefusedError,
  StorageStalledError,
} from "../../src/errors.ts";
import { MemoryBroker } from "../../src/memory/bus.ts";
import { LeaderMemory } from "../../src/memory/leader-memory.ts";
import { MemoryService } from "../../src/memory/memory-service.ts";
import { LEADER_MEMORY, MemoryStorage } from "../../src/memory/storage.ts";
import { bytes, listed, names, noise, rejection, same } from "../../src/testing/storage-content.ts";
import { describeStorageContract } from "../contracts/suites/storage.contract.ts";
import { eventually } from "../support/until.ts";

const MIB = 1024 * 1024;
const { leaderMemory } = createSubjects();

interface WorldOptions {
  readonly drop?: (subject: string) => boolean;
  readonly stateBytesMax?: number;
  readonly leaders?: readonly string[];
}

function world({ drop = () => false, stateBytesMax = 8 * MIB, leaders = ["a"] }: WorldOptions = {}) {
  const broker = new MemoryBroker({ drop });
  const storages = new Map(
    leaders.map((leader) => {
      const storage = new MemoryStorage({ description: LEADER_MEMORY });
      const service = new MemoryService({
        bus: broker.connect(),
        subject: leaderMemory(leader),
        storage,
        clock: systemClock,
        stateBytesMax: 8 * MIB,
      });
      return [leader, { storage, service }] as const;
    }),
  );
  const storage = new LeaderMemory({
    bus: broker.connect(),
    subjectOf: leaderMemory,
    find: async () => leaders,
    newId: randomUUID,
    stateBytesMax,
  });
  return { broker, storages, storage, of: (leader: string) => storages.get(leader)!.storage };
}

describeStorageContract("memory of the leader, over the bus", {
  async open() {
    const { storage, of } = world();
    return {
      storage,
      async corrupt(name) {
        const [object] = await listed(of("a").list(name));
        await of("a").delete(name);
        await of("a").put(name, [new Uint8Array(object?.bytes ?? 0)]);
      },
    };
  },
  unfinishedFromBytes: 2 * MIB,
});

test("an object of many messages is there once, whole, whichever message or answer was lost", async () => {
  for (const lost of [1, 2, 3, 4, 5]) {
    let messages = 0;
    const { storage, of } = world({ drop: () => ++messages === lost });
    const content = noise(MIB, lost);
    const handle = await storage.put("job/x", [content]);
    expect(same(await of("a").get(handle), content)).toBe(true);
    expect(same(await storage.get(handle), content)).toBe(true);
    expect(await listed(storage.listUnfinished(""))).toEqual([]);
  }
}, 60_000);

test("a put goes to the leader that has deployed, and is found by who knows none", async () => {
  const { storage, of } = world({ leaders: ["a", "b"] });
  storage.leader = "b";
  const handle = await storage.put("job/x", [bytes("x")]);
  expect(names(await listed(of("b").list("")))).toEqual(["job/x"]);
  expect(await listed(of("a").list(""))).toEqual([]);
  storage.leader = "a";
  const missing = await rejection(storage.get(handle));
  expect(missing).toBeInstanceOf(ObjectMissingError);
  expect((missing as Error).message).toContain("it went with the process that had it");
});

test("a leader that is gone is a stall, with the reason; the next that may lead is asked", async () => {
  const { storage, storages, of } = world({ leaders: ["a", "b"] });
  await of("b").put("job/x", [bytes("x")]);
  storages.get("a")!.service.close();
  expect(await listed(storage.list("job/"))).toEqual([{ name: "job/x", bytes: 1 }]);
  storages.get("b")!.service.close();
  const error = await rejection(listed(storage.list("job/")));
  expect(error).toBeInstanceOf(StorageStalledError);
  expect((error as StorageStalledError).reason).toContain("the leader, in whose memory checkpoints are");
});

test("what a later leader has is found when the one that has deployed is gone, and nothing is put there", async () => {
  const { storage, storages, of } = world({ leaders: ["a", "b"] });
  storage.leader = "a";
  const handle = await of("b").put("job/message", [bytes("a large deployment")]);
  storages.get("a")!.service.close();
  expect(same(await storage.get(handle), bytes("a large deployment"))).toBe(true);
  await expect(storage.put("job/x", [bytes("x")])).rejects.toThrow(StorageStalledError);
  expect(names(await listed(of("b").list("")))).toEqual(["job/message"]);
});

test("what is larger than a state may be is refused with its whole size, and nothing of it stays", async () => {
  const { storage, of } = world({ stateBytesMax: MIB });
  const error = await rejection(storage.put("job/large", [noise(2 * MIB, 1), noise(MIB, 2)]));
  expect(error).toBeInstanceOf(ObjectTooLargeError);
  expect(error).toMatchObject({ bytes: 3 * MIB, bytesMax: MIB, retry: "now" });
  await storage.put("job/fits", [noise(MIB, 1)]);
  expect(names(await listed(of("a").list("")))).toEqual(["job/fits"]);
  expect(await listed(storage.listUnfinished(""))).toEqual([]);
});

test("a leader whose own limit is lower refuses it, too", async () => {
  const { storage } = world({ stateBytesMax: 64 * MIB });
  await expect(storage.put("job/large", [noise(9 * MIB, 1)])).rejects.toThrow(StorageRefusedError);
});

describe("a stranger", () => {
  it.each([
    new Uint8Array(),
    bytes("hello"),
    new Uint8Array([0xff, 0xff, 0xff, 0xff, 1]),
    new Uint8Array(64),
  ])("gets no answer to %j, and changes nothing", async (message) => {
    const { broker, storage, of } = world();
    await storage.put("job/x", [bytes("x")]);
    const stranger = broker.connect();
    const asked = stranger.request(leaderMemory("a"), message, 200);
    await expect(asked).rejects.toThrow();
    await eventually(async () => expect(names(await listed(of("a").list("")))).toEqual(["job/x"]));
  });

  test("that answers in the place of the leader is not believed", async () => {
    const { broker, storage } = world();
    const handle = await storage.put("job/x", [bytes("x")]);
    broker.connect().subscribe(leaderMemory("a"), (_, reply) => reply?.(bytes("no answer of ours")));
    expect(same(await storage.get(handle), bytes("x"))).toBe(true);
  });
});
