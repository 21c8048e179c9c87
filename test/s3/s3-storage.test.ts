/** Checkpoint storage on a real S3 server (UO1 to UO4). */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  EnvironmentError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
} from "../../src/errors.ts";
import { assertBucket, connectS3 } from "../../src/s3/s3-client.ts";
import { openS3Storage, S3Storage } from "../../src/s3/s3-storage.ts";
import { bytes, gate, listed, names, noise, rejection, same } from "../../src/testing/storage-content.ts";
import { describeStorageContract } from "../contracts/suites/storage.contract.ts";
import { S3_MISSING, type S3Server, s3Binary, startS3Server } from "../support/servers/s3.ts";

const MIB = 1024 * 1024;
const BUCKET = "checkpoints";

describe.skipIf(s3Binary === undefined)(`S3 (${s3Binary === undefined ? S3_MISSING : "versitygw"})`, () => {
  let server: S3Server;
  beforeAll(async () => {
    server = await startS3Server();
    await server.makeBucket(BUCKET);
  });
  afterAll(() => server.stop());
  beforeEach(() => {
    for (const [name, value] of Object.entries(server.environment)) vi.stubEnv(name, value);
    return () => vi.unstubAllEnvs();
  });

  const open = () => openS3Storage(`s3://${BUCKET}/${randomUUID()}`, undefined);

  describeStorageContract("S3", {
    async open() {
      const prefix = randomUUID();
      return {
        storage: await openS3Storage(`s3://${BUCKET}/${prefix}`, server.endpoint),
        corrupt: (name) => server.corrupt(BUCKET, `${prefix}/${name}`),
      };
    },
    unfinishedFromBytes: 12 * MIB,
  });

  test("an object of several parts comes back whole, and put again it is the same one", async () => {
    const storage = await open();
    const content = noise(27 * MIB + 5, 1);
    const handle = await storage.put("large", [content]);
    expect(same(await storage.get(handle), content)).toBe(true);
    expect(await storage.put("large", [content])).toEqual(handle);
    const other = noise(27 * MIB + 5, 2);
    await expect(storage.put("large", [other])).rejects.toThrow(StorageRefusedError);
    expect(same(await storage.get(handle), content)).toBe(true);
    expect(await listed(storage.listUnfinished(""))).toEqual([]);
  });

  test.each([1_000, 9 * MIB])(
    "of two contents of %d bytes that are put at the same time one is stored, and the other refused",
    async (size) => {
      const storage = await open();
      const contents = [noise(size, 7), noise(size, 8)];
      const outcomes = await Promise.allSettled(contents.map((content) => storage.put("race", [content])));
      const stored = outcomes.findIndex(({ status }) => status === "fulfilled");
      expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
      expect((outcomes[1 - stored] as PromiseRejectedResult).reason).toBeInstanceOf(StorageRefusedError);
      const { value } = outcomes[stored] as PromiseFulfilledResult<Awaited<ReturnType<S3Storage["put"]>>>;
      expect(same(await storage.get(value), contents[stored]!)).toBe(true);
    },
  );

  test("an upload that is aborted in the middle of its parts is taken back, with the reason", async () => {
    const storage = await open();
    const reason = new Error("checkpoint 7 was aborted");
    const controller = new AbortController();
    const sent = gate();
    async function* content() {
      for (let i = 0; i < 3; i++) yield noise(8 * MIB, i);
      sent.open();
      await new Promise(() => undefined);
    }
    const putting = rejection(storage.put("aborted", content(), controller.signal));
    await sent.opened;
    controller.abort(reason);
    expect(await putting).toBe(reason);
    expect(await listed(storage.listUnfinished(""))).toEqual([]);
    expect(await listed(storage.list(""))).toEqual([]);
  });

  test("an abort that comes while the object is being made leaves none", async () => {
    const storage = await open();
    const reason = new Error("too late");
    const controller = new AbortController();
    async function* content() {
      yield bytes("all of it");
      setImmediate(() => controller.abort(reason));
    }
    const outcome = await rejection(storage.put("late", content(), controller.signal));
    // Either the put was through before the abort came, or nothing is there.
    expect(names(await listed(storage.list("")))).toEqual(outcome === undefined ? ["late"] : []);
    expect([undefined, reason]).toContain(outcome);
  });

  test("lists more objects than one page holds", async () => {
    const storage = await open();
    const wanted = Array.from({ length: 1_010 }, (_, i) => `many/${String(i).padStart(4, "0")}`);
    for (let at = 0; at < wanted.length; at += 50)
      await Promise.all(wanted.slice(at, at + 50).map((name) => storage.put(name, [bytes("x")])));
    expect(names(await listed(storage.list("many/")))).toEqual(wanted);
  });

  test("a bucket that is gone is a stall, not missing objects; without a prefix the whole bucket is the storage", async () => {
    await server.makeBucket("whole-bucket");
    const storage = await openS3Storage("s3://whole-bucket", server.endpoint);
    const handle = await storage.put("a/b", [bytes("x")]);
    expect(await listed(storage.list(""))).toEqual([{ name: "a/b", bytes: 1 }]);
    const elsewhere = new S3Storage(await connectS3("s3://gone", server.endpoint), "s3://gone-bucket");
    const error = await rejection(elsewhere.get(handle));
    expect(error).toBeInstanceOf(StorageStalledError);
    await storage.delete("a/b");
    await expect(storage.get(handle)).rejects.toThrow(ObjectMissingError);
  });

  test("a server that is gone is a fault that passes, with its reason, and goes on when it is back", async () => {
    const storage = await open();
    const handle = await storage.put("before", [bytes("x")]);
    await server.kill();
    const reading = await rejection(storage.get(handle));
    expect(reading).toBeInstanceOf(StorageStalledError);
    expect((reading as StorageStalledError).reason).toMatch(/ECONNREFUSED/);
    const writing = await rejection(storage.put("during", [bytes("y")]));
    expect(writing).toBeInstanceOf(StorageRefusedError);
    expect((writing as StorageRefusedError).reason).toMatch(/ECONNREFUSED/);
    await server.restart();
    expect(same(await storage.get(handle), bytes("x"))).toBe(true);
    await storage.put("during", [bytes("y")]);
  });

  describe("what is missing is said before a job begins", () => {
    const opening = (location: string) => rejection(openS3Storage(location, server.endpoint));
    test("the bucket", async () => {
      const error = await opening("s3://no-such-bucket/x");
      expect(error).toBeInstanceOf(EnvironmentError);
      expect((error as Error).message).toBe(
        "s3://no-such-bucket/x: there is no bucket no-such-bucket; make it: aws s3 mb s3://no-such-bucket",
      );
    });
    test("the right credentials", async () => {
      vi.stubEnv("AWS_SECRET_ACCESS_KEY", "another");
      expect(await opening(`s3://${BUCKET}`)).toMatchObject({
        message: expect.stringContaining(`bucket ${BUCKET} refuses these credentials (AWS_ACCESS_KEY_ID`),
      });
    });
    test("any credentials", async () => {
      for (const name of ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) vi.stubEnv(name, "");
      vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
      vi.stubEnv("HOME", "/nowhere");
      expect(await opening(`s3://${BUCKET}`)).toMatchObject({
        message: expect.stringContaining("no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
      });
    });
    test("the server", async () => {
      const error = await rejection(
        (async () => assertBucket(await connectS3("s3://b", "http://127.0.0.1:1"), "s3://b"))(),
      );
      expect((error as Error).message).toMatch(/its server does not answer: .*; with a server of your own/);
    });
  });
});
