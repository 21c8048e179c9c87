import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { lstat, mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { jetstreamManager } from "@nats-io/jetstream";
import { Objm } from "@nats-io/obj";
import { connect, type NatsConnection, TimeoutError } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { gathered } from "../../src/checkpoint/content.ts";
import { FileStorage } from "../../src/checkpoint/file-storage.ts";
import type { CheckpointStorage, ObjectHandle } from "../../src/checkpoint/storage.ts";
import {
  ConfigurationError,
  InvariantError,
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
} from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { type NatsObjectStorage, openNatsObjectStorage } from "../../src/nats/storage/object-storage.ts";
import { listed as all, bytes, noise, same } from "../../src/testing/storage-content.ts";
import { latch } from "../support/latch.ts";
import { corruptFile, flipLastBit, replaceLastChunk } from "../support/objects.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { eventually } from "../support/until.ts";
import { describeStorageContract } from "./suites/storage.contract.ts";

const fastReconnect = { maxReconnectAttempts: -1, reconnectTimeWait: 50, noAsyncTraces: true };

describeStorageContract("memory", {
  async open() {
    const storage = new MemoryStorage();
    return {
      storage,
      // Nothing outside can reach the bytes: another object of the same name stands in for changed ones.
      async corrupt(name) {
        const [object] = await all(storage.list(name));
        await storage.delete(name);
        await storage.put(name, [new Uint8Array(object?.bytes ?? 0)]);
      },
    };
  },
  unfinishedFromBytes: "none",
});

for (const writeBufferBytes of [0, 20_480])
  describeStorageContract(`directory, write buffer of ${writeBufferBytes} bytes`, {
    async open() {
      const directory = await mkdtemp(join(tmpdir(), "tidemark-storage-"));
      return {
        storage: new FileStorage(directory, { writeBufferBytes }),
        corrupt: (name) => corruptFile(join(directory, name)),
        close: () => rm(directory, { recursive: true }),
      };
    },
  });

it("gathers pieces that are smaller than the write buffer, and only those", async () => {
  async function* pieces() {
    for (const length of [3, 4, 20, 9, 1, 2]) yield new Uint8Array(length);
  }
  const lengthsWith = async (bytesMin: number) => {
    const lengths: number[] = [];
    for await (const { length } of gathered(pieces(), bytesMin)) lengths.push(length);
    return lengths;
  };
  expect(await lengthsWith(10)).toEqual([27, 10, 2]);
  expect(await lengthsWith(0)).toEqual([3, 4, 20, 9, 1, 2]);
});

describe("NATS object store", () => {
  let server: TestServer;
  let connection: NatsConnection;
  let buckets = 0;
  beforeAll(async () => {
    server = await startTestServer();
    connection = await connect({ servers: server.url, ...fastReconnect });
  });
  afterAll(async () => {
    await connection.close();
    await server.stop();
  });
  describeStorageContract("NATS object store", {
    async open() {
      const bucket = `objects-${buckets++}`;
      return {
        storage: await openNatsObjectStorage(new NatsEnvironment(connection, undefined), { bucket }),
        corrupt: (name) => replaceLastChunk(connection, bucket, name, flipLastBit),
      };
    },
  });
});

/** How many chunks wait in `holdingChunks`. */
let heldChunks = 0;

/**
 * Chunks reach the server only once `released`, as on a disk that is busy; of the first `lost` ones their sender has
 * given up hope by then.
 */
function holdingChunks(real: NatsConnection, released: Promise<void>, lost = 0): NatsConnection {
  let given = lost;
  const late = async (args: Parameters<NatsConnection["request"]>) => {
    heldChunks++;
    await released;
    heldChunks--;
    return await real.request(...args);
  };
  return new Proxy(real, {
    get(target, property) {
      const value = Reflect.get(target, property, target) as unknown;
      if (property !== "request") return typeof value === "function" ? value.bind(target) : value;
      return async (...args: Parameters<NatsConnection["request"]>) => {
        if (!args[0].startsWith("$O.objects.C.")) return await target.request(...args);
        const answer = late(args);
        if (given-- <= 0) return await answer;
        throw new TimeoutError();
      };
    },
  });
}

describe("NATS object storage", () => {
  let server: TestServer;
  let connection: NatsConnection;
  let environment: NatsEnvironment;
  let storage: NatsObjectStorage;
  beforeAll(async () => {
    server = await startTestServer();
    connection = await connect({ servers: server.url, ...fastReconnect });
    environment = new NatsEnvironment(connection, undefined);
    storage = await openNatsObjectStorage(environment, { bucket: "objects" });
  });
  afterAll(async () => {
    await connection.close();
    await server.stop();
  });

  async function streamState() {
    const manager = await jetstreamManager(connection);
    return await manager.streams.info("OBJ_objects", { subjects_filter: ">" });
  }

  async function consumers(): Promise<number> {
    return (await streamState()).state.consumer_count;
  }

  it("is read by the client library, and reads what the client library wrote", async () => {
    const content = noise(1_300_000, 5);
    const handle = await storage.put("tools/ours", [content]);
    const library = await new Objm(connection).open("objects");
    expect(same((await library.getBlob("tools/ours")) ?? new Uint8Array(), content)).toBe(true);
    expect((await library.list()).map((info) => info.name)).toContain("tools/ours");

    await library.putBlob({ name: "tools/theirs" }, content);
    expect(same(await storage.get({ ...handle, name: "tools/theirs" }), content)).toBe(true);
    // A tombstone of the library frees the name too.
    await library.delete("tools/theirs");
    await expect(storage.get({ ...handle, name: "tools/theirs" })).rejects.toThrow(ObjectMissingError);
    await storage.put("tools/theirs", [bytes("new")]);
    await storage.delete("tools/theirs");
    await storage.delete("tools/ours");
  });

  it("makes no bucket for a reader, to whom one that is not there is an empty one", async () => {
    const handle = await storage.put("elsewhere", [bytes("x")]);
    const reader = await openNatsObjectStorage(environment, { bucket: "nowhere", readOnly: true });
    expect(await all(reader.list(""))).toEqual([]);
    await expect(reader.get(handle)).rejects.toThrow(ObjectMissingError);
    const names = await (await jetstreamManager(connection)).streams.names().next();
    expect(names).toEqual(["OBJ_objects"]);
    await storage.delete("elsewhere");
  });

  it.each([
    ["does not let objects be replaced and deleted", { deny_purge: true }],
    ["drop pieces of objects", { max_msgs_per_subject: 1 }],
    ["max_msg_size", { max_msg_size: 1000 }],
    ["sealed", { sealed: true }],
  ])("refuses a bucket that would not take or keep objects: %s", async (why, config) => {
    const manager = await jetstreamManager(connection);
    const { sealed, ...created } = { sealed: false, ...config };
    await manager.streams.add({
      ...{ name: "OBJ_bad", subjects: ["$O.bad.C.>", "$O.bad.M.>"], discard: "new" as never },
      ...{ allow_rollup_hdrs: !("deny_purge" in config) },
      ...created,
    });
    if (sealed) await manager.streams.update("OBJ_bad", { sealed } as never);
    await expect(openNatsObjectStorage(environment, { bucket: "bad" })).rejects.toThrow(why);
    await manager.streams.delete("OBJ_bad");
  });

  it("makes a bucket on disk, without time-to-live, that refuses when it is full", async () => {
    expect((await streamState()).config).toMatchObject({
      storage: "file",
      discard: "new",
      allow_direct: false,
      max_age: 0,
    });
  });

  it("frees everything at a delete, also with a second put of the same content", async () => {
    const content = noise(1_200_000, 6);
    await storage.put("free/1", [content]);
    await storage.put("free/1", [content]);
    const failed = storage.put("free/1", [bytes("other")]);
    await expect(failed).rejects.toThrow(StorageRefusedError);
    await storage.delete("free/1");
    await eventually(async () => expect((await streamState()).state.messages).toBe(0));
  });

  it("names an object that has lost a chunk, at once and without leaving a consumer", async () => {
    const before = await consumers();
    for (const size of [1_000, 1_200_000]) {
      const handle = await storage.put(`lost/${size}`, [noise(size, 7)]);
      await replaceLastChunk(connection, "objects", handle.name, () => undefined);
      for (const look of [() => storage.get(handle), () => storage.assertPresent(handle)]) {
        const failure = await look().catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ObjectMissingError);
        expect((failure as Error).message).toContain("lost 1 of its");
      }
    }
    await eventually(async () => expect(await consumers()).toBeLessThanOrEqual(before));
  });

  it("puts again what a broken delete left half", async () => {
    const content = noise(1_000, 8);
    await storage.put("half", [content]);
    await replaceLastChunk(connection, "objects", "half", () => undefined);
    const handle = await storage.put("half", [content]);
    expect(same(await storage.get(handle), content)).toBe(true);
  });

  it("refuses when the bucket is full, says what to do, and keeps what is there", async () => {
    const open = (maxBytes: number) => openNatsObjectStorage(environment, { bucket: "small", maxBytes });
    const small = await open(2_000_000);
    const kept = await small.put("kept", [noise(1_000_000, 1)]);
    const failure = await small.put("more", [noise(3_000_000, 2)]).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(StorageRefusedError);
    expect((failure as Error).message).toMatch(/maximum bytes exceeded.*raise its limit/);
    expect((await small.get(kept)).length).toBe(1_000_000);
    // The chunks of the refused put are gone again, and a larger limit is taken over by the next one to open.
    await eventually(() => small.put("little", [noise(500_000, 3)]));
    await (await open(20_000_000)).put("more", [noise(3_000_000, 2)]);
  });

  it("stalls instead of hanging when the server does not answer", async () => {
    // The server's good answers are not bound to be that fast: opened without asking it, and filled by the patient one.
    const impatient = await openNatsObjectStorage(environment, {
      bucket: "objects",
      stallTimeoutMs: 300,
      readOnly: true,
    });
    const handle = await storage.put("stall", [noise(1_200_000, 1)]);
    await server.kill("SIGSTOP");
    try {
      await expect(impatient.get(handle)).rejects.toThrow(StorageStalledError);
      await expect(impatient.put("stall/2", [bytes("x")])).rejects.toThrow(StorageStalledError);
      await expect(impatient.delete("stall")).rejects.toThrow(StorageStalledError);
      const aborted = storage.put("stall/3", [bytes("x")], AbortSignal.timeout(50));
      await expect(aborted).rejects.toThrow("timeout");
    } finally {
      await server.kill("SIGCONT");
    }
    expect((await storage.get(handle)).length).toBe(1_200_000);
  });

  it("leaves nothing when the abort comes at the last step", async () => {
    for (let i = 0; i < 30; i++) {
      const controller = new AbortController();
      const putting = storage.put(`late/${i}`, [bytes("x")], controller.signal);
      setTimeout(() => controller.abort(new Error("late")), i / 10);
      await putting.then(
        () => storage.delete(`late/${i}`),
        (error) => expect(error).toMatchObject({ message: "late" }),
      );
    }
    await eventually(async () => expect(await all(storage.list("late/"))).toEqual([]));
  });

  it("reads on after a restart of the server, and says that a broken put has to be made again", async () => {
    const handle = await storage.put("restart/0", [noise(40_000_000, 1)]);
    const reading = storage.get(handle);
    await sleep(20);
    await server.restart();
    expect((await reading).length).toBe(40_000_000);

    async function* slowly() {
      for (let i = 0; i < 10; i++) {
        yield noise(600_000, i);
        if (i === 4) await server.restart();
      }
    }
    await expect(storage.put("restart/1", slowly())).rejects.toThrow(StorageStalledError);
    expect(await all(storage.list("restart/1"))).toEqual([]);
    await storage.delete("restart/0");
  });

  it("loses and doubles nothing while the server is killed over and over", async () => {
    const handles: ObjectHandle[] = [];
    let stalled = 0;
    let restarting = Promise.resolve();
    for (let i = 0; i < 60; i++) {
      if (i % 15 === 7) {
        await restarting;
        restarting = server.restart();
      }
      const content = noise(50_000 * (i % 20), i);
      for (;;) {
        try {
          handles.push(await storage.put(`chaos/${i}`, [content]));
          break;
        } catch (error) {
          if (!(error instanceof StorageStalledError)) throw error;
          stalled++;
          await sleep(20);
        }
      }
    }
    await restarting;
    expect(stalled).toBeGreaterThan(0);
    expect((await all(storage.list("chaos/"))).length).toBe(60);
    for (const handle of handles) await storage.get(handle);
    for (const handle of handles) await storage.delete(handle.name);
  });

  it.each([
    ["canceled", 0],
    ["failed", 3],
  ] as const)(
    "leaves no chunk of a put that is %s, however late the server takes them",
    async (how, lost) => {
      const { messages } = (await streamState()).state;
      const slow = latch();
      const held = new NatsEnvironment(holdingChunks(connection, slow.opened, lost), undefined);
      const holding = await openNatsObjectStorage(held, { bucket: "objects" });
      const controller = new AbortController();
      const putting = holding.put(`${how}/late`, [noise(6_000_000, 1)], controller.signal);
      let over = false;
      putting.catch(() => {
        over = true;
      });
      await eventually(() => expect(heldChunks).toBeGreaterThan(lost));
      if (how === "canceled") controller.abort(new Error("the checkpoint was given up"));
      await sleep(50);
      // While something of it is on its way it is not over.
      expect(over).toBe(false);
      slow.open();
      await expect(putting).rejects.toThrow(how === "canceled" ? "given up" : StorageStalledError);
      expect(heldChunks).toBe(0);
      expect((await streamState()).state.messages).toBe(messages);
    },
  );

  it("frees the chunks of a put whose process died, and nothing else", async () => {
    const handle = await storage.put("orphans/kept", [noise(1_000_000, 1)]);
    const { messages } = (await streamState()).state;
    const token = Buffer.from("orphans/half").toString("base64url");
    const js = (await jetstreamManager(connection)).jetstream();
    for (let i = 0; i < 3; i++) await js.publish(`$O.objects.C.${token}.dead${i}`, bytes("chunk"));
    const left = await all(storage.listUnfinished("orphans/"));
    expect(new Set(left.map(({ name }) => name))).toEqual(new Set(["orphans/half"]));
    await storage.delete("orphans/half");
    expect(await all(storage.listUnfinished("orphans/"))).toEqual([]);
    expect((await storage.get(handle)).length).toBe(1_000_000);
    expect((await streamState()).state.messages).toBe(messages);
  });

  it("names what lies in the place of an info, and deletes no chunk of another object with it", async () => {
    const other = await storage.put("odd/other", [noise(1_000, 2)]);
    const handle = await storage.put("odd/one", [noise(1_000, 1)]);
    const infoOf = (name: string) => `$O.objects.M.${Buffer.from(name).toString("base64")}`;
    const manager = await jetstreamManager(connection);
    const infoIn = async (name: string) =>
      (await manager.streams.getMessage("OBJ_objects", { last_by_subj: infoOf(name) }))!.json<{
        nuid: string;
      }>();
    const [ours, theirs] = [await infoIn(handle.name), await infoIn(other.name)];
    const odd: readonly (readonly [value: string, words: string])[] = [
      ["garbage", "it is no JSON"],
      ["", "it is no JSON"],
      ["[]", "expected object"],
      [JSON.stringify({ ...ours, size: -1 }), "size"],
      [JSON.stringify({ ...ours, chunks: "many" }), "chunks: expected number"],
      [JSON.stringify(theirs), "it is the info of another object"],
      [JSON.stringify({ ...ours, nuid: theirs.nuid }), "it names chunks that are not of this object"],
      [JSON.stringify({ ...ours, nuid: ">" }), "it names chunks that are not of this object"],
    ];
    for (const [value, words] of odd) {
      await manager.jetstream().publish(infoOf(handle.name), value);
      for (const look of [() => storage.get(handle), () => storage.assertPresent(handle)]) {
        const failure = await look().catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ObjectCorruptError);
        expect((failure as Error).message).toMatch(
          /"odd\/one" in object store bucket objects is corrupt: its info/,
        );
        expect((failure as Error).message).toContain(words);
      }
      await expect(storage.put(handle.name, [noise(1_000, 1)])).rejects.toThrow("the name is taken");
      expect((await all(storage.list("odd/"))).map(({ name }) => name)).toEqual(["odd/one", "odd/other"]);
      expect((await all(storage.listUnfinished("odd/other"))).length).toBe(0);
      await storage.delete(handle.name);
      expect((await all(storage.list("odd/"))).map(({ name }) => name)).toEqual(["odd/other"]);
      expect((await storage.get(other)).length).toBe(1_000);
      await storage.put(handle.name, [noise(1_000, 1)]);
    }
    for (const { name } of [handle, other]) await storage.delete(name);
  });

  it("says that an object is missing when its bucket is gone", async () => {
    const gone = await openNatsObjectStorage(environment, { bucket: "gone" });
    const handle = await gone.put("x", [bytes("x")]);
    await (await jetstreamManager(connection)).streams.delete("OBJ_gone");
    await expect(gone.get(handle)).rejects.toThrow(ObjectMissingError);
  });
});

describe("file storage", () => {
  let directory: string;
  let storage: CheckpointStorage;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "tidemark-storage-"));
    storage = new FileStorage(join(directory, "made/by/it"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("leaves neither unfinished files nor empty directories", async () => {
    await storage.put("a/b/c", [bytes("x")]);
    await expect(storage.put("a/b/c", [bytes("y")])).rejects.toThrow(StorageRefusedError);
    expect(await readdir(join(directory, "made/by/it/a/b"))).toEqual(["c"]);
    await storage.delete("a/b/c");
    expect(await readdir(join(directory, "made/by/it"))).toEqual([]);
  });

  it("frees what a process that died in the middle of a put has left", async () => {
    await storage.put("a/whole", [bytes("x")]);
    await writeFile(join(directory, "made/by/it/a/.half.0123abcd"), "half");
    expect(await all(storage.listUnfinished("a/"))).toEqual([{ name: "a/half", bytes: 4 }]);
    await storage.delete("a/half");
    expect(await readdir(join(directory, "made/by/it/a"))).toEqual(["whole"]);
  });

  it("puts and deletes in the same directory at the same time", async () => {
    for (let i = 0; i < 30; i++) {
      await storage.put(`d/e/${i}`, [bytes("x")]);
      await Promise.all([storage.delete(`d/e/${i}`), storage.put(`d/e/${i + 1}`, [bytes("x")])]);
    }
  });

  it.each(["../x", "a/../../x", "a//b", "/a", "a/", "", ".", "a/.hidden", "a\0b", "a\\b"])(
    "refuses the name %j",
    async (name) => {
      await expect(storage.put(name, [bytes("x")])).rejects.toThrow(InvariantError);
    },
  );

  it("refuses a file as directory", async () => {
    await writeFile(join(directory, "file"), "");
    expect(() => new FileStorage(join(directory, "file"))).toThrow(ConfigurationError);
    expect(() => new FileStorage(join(directory, "file/below"))).toThrow(ConfigurationError);
  });

  it("names what lies in the place of an object, at once, and neither lists, replaces nor deletes it", async () => {
    const root = join(directory, "made/by/it");
    const content = [bytes("content")];
    const socket = createServer();
    const places: Readonly<Record<string, (path: string) => unknown>> = {
      "a directory": (path) => mkdir(join(path, "below"), { recursive: true }),
      "a FIFO": (path) => execFileSync("mkfifo", [path]),
      "a socket": (path) => once(socket.listen(path), "listening"),
      "a device": (path) => symlink("/dev/zero", path),
      "a symbolic link that leads back to itself": (path) => symlink(path, path),
    };
    try {
      for (const [what, make] of Object.entries(places)) {
        const handle = await storage.put("j/i/1/checkpoint-1/manifest", content);
        const path = join(root, handle.name);
        await rm(path);
        await make(path);
        for (const look of [() => storage.get(handle), () => storage.assertPresent(handle)]) {
          const failure = await look().catch((error: unknown) => error);
          expect(failure).toBeInstanceOf(ObjectCorruptError);
          expect((failure as Error).message).toMatch(
            `object "${handle.name}" in directory ${root} is corrupt: ${what} is in its place`,
          );
        }
        await expect(storage.put(handle.name, content)).rejects.toThrow(StorageRefusedError);
        expect(await all(storage.list("j/"))).toEqual([]);
        await storage.delete(handle.name);
        // A link's name goes, and nothing else of it.
        const isLink = what === "a device" || what.startsWith("a symbolic link");
        expect(
          await lstat(path).then(
            () => "there",
            () => "gone",
          ),
        ).toBe(isLink ? "gone" : "there");
        await rm(path, { recursive: true, force: true });
      }
    } finally {
      socket.close();
    }
  });

  it("reads no more of a file than its object has, and follows a link to one", async () => {
    const path = join(directory, "made/by/it/x");
    const handle = await storage.put("x", [bytes("content")]);
    await rename(path, join(directory, "moved"));
    await symlink(join(directory, "moved"), path);
    expect(same(await storage.get(handle), bytes("content"))).toBe(true);
    // More than a buffer can hold, and no block of it is on the disk.
    await truncate(path, 2 ** 40);
    await expect(storage.get(handle)).rejects.toThrow(`${2 ** 40} bytes; expected 7 bytes`);
    await truncate(path, 0);
    await expect(storage.get(handle)).rejects.toThrow("0 bytes; expected 7 bytes");
    await storage.delete("x");
    expect(await readdir(directory)).toContain("moved");
  });

  it("refuses to write below what cannot be a directory, at once", async () => {
    await expect(new FileStorage("/proc").put("nowhere/x", [bytes("x")])).rejects.toThrow(
      StorageRefusedError,
    );
  });

  it("reports a refused write with its cause", async () => {
    await storage.put("taken", [bytes("x")]);
    await expect(storage.put("taken/below", [bytes("x")])).rejects.toThrow(StorageRefusedError);
    // Not even root writes here.
    await expect(new FileStorage("/sys/kernel").put("x/y", [bytes("x")])).rejects.toThrow(
      StorageRefusedError,
    );
  });

  it("takes an unmounted directory for a stall, not for missing objects", async () => {
    const root = join(directory, "made/by/it");
    const handle = await storage.put("x", [bytes("x")]);
    await rename(root, `${root}-away`);
    await expect(storage.get(handle)).rejects.toThrow(StorageStalledError);
    await mkdir(root);
    await expect(storage.get(handle)).rejects.toThrow(ObjectMissingError);
  });
});

describe("memory storage", () => {
  it("refuses an object above its limit", async () => {
    const storage = new MemoryStorage({ objectBytesMax: 10 });
    await storage.put("fits", [new Uint8Array(10)]);
    await expect(storage.put("large", [new Uint8Array(6), new Uint8Array(5)])).rejects.toThrow(
      StorageRefusedError,
    );
    expect(await all(storage.list("large"))).toEqual([]);
  });
});
