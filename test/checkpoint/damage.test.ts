/**
 * Damage to what a job keeps in storage: a manifest, an object of its state, a savepoint and its metadata, each damaged
 * in each way, in both storages, while the job is down and while it runs. Either the output is exact all the same, or
 * the job stops, by the object's name, and with the object back it goes on to exact output. Nothing crashes (P20, P73).
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CheckpointingConfig, ObjectHandle } from "../../machines/protocol.ts";
import { readSavepoint } from "../../src/checkpoint/savepoint.ts";
import { neededObjects, snapshotObjects } from "../../src/checkpoint/storage.ts";
import { garbageOf } from "../../src/cli/stored/garbage.ts";
import { verify } from "../../src/cli/stored/verification.ts";
import { memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import type { JobBuilder } from "../../src/job/builder.ts";
import { connectNats } from "../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { readManifest } from "../../src/runtime/manifest.ts";
import { wordCount } from "../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest } from "../support/memory-world.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { bucketDepot, DAMAGES, type Damage, type Depot, directoryDepot } from "./depots.ts";

type Kind = "manifest" | "state";
const KINDS: readonly Kind[] = ["manifest", "state"];
type Place = "directory" | "object store";

/** What is said of it, after its name and its place. */
const WORDS: Readonly<Record<Place, Readonly<Record<Damage, RegExp>>>> = {
  directory: {
    cut: /is corrupt: \d+ bytes; expected \d+ bytes/,
    flipped: /is corrupt: \d+ bytes, sha256:\w+; expected \d+ bytes/,
    swapped: /is corrupt: \d+ bytes/,
    absent: /is not in directory/,
    other: /is corrupt: a directory is in its place/,
  },
  "object store": {
    cut: /is corrupt: its chunks give sha256:\w+, expected/,
    flipped: /is corrupt: its chunks give sha256:\w+, expected/,
    swapped: /is corrupt: its chunks give sha256:\w+, expected|has chunks of more than \d+ bytes/,
    absent: /is not in object store bucket/,
    other: /is corrupt: its info cannot be read: it is no JSON/,
  },
};

/** It is found by its name, which holds its digest, but not its size. What is not found is no savepoint. */
const METADATA_WORDS: Readonly<Record<Damage, RegExp>> = {
  cut: /is (corrupt|another one): /,
  flipped: /is corrupt: /,
  swapped: /is corrupt: |has chunks of more than/,
  absent: /there is no savepoint at/,
  other: /is corrupt: |there is no savepoint at/,
};

const RECORDS_AHEAD = 2000;
const SLOW_MS = 0.05;

/** Counts words so slowly that records wait in front of it. */
function countSlowly(builder: JobBuilder, { logs, target }: MemoryWorld): void {
  wordCount(builder, memorySource(logs, {}), memorySink(target), () => {
    const untilMs = performance.now() + SLOW_MS;
    while (performance.now() < untilMs);
  });
}

let server: TestServer;
let nats: NatsEnvironment;
let buckets = 0;
beforeAll(async () => {
  server = await startTestServer();
  nats = await connectNats({ servers: server.url, name: "test" });
});
afterAll(async () => {
  await nats?.connection.close();
  await server?.stop();
});

describe.each<Place>(["directory", "object store"])("%s", (place) => {
  let depot: Depot;
  let world: MemoryWorld;

  beforeEach(async () => {
    depot = place === "directory" ? await directoryDepot() : await bucketDepot(nats, `damage${++buckets}`);
    const { storage } = depot;
    world = new MemoryWorld({ bounded: false, interval: "1 h", storage, savepoints: storage });
    await world.begins(2000);
    await world.runs();
    await world.allCommitted();
  });
  afterEach(async () => {
    await world.close();
    expect(world.crashes).toEqual([]);
    await depot.close();
  });

  /** One object of each kind of the latest checkpoint, and another one of its kind. */
  async function objects(): Promise<ReadonlyMap<Kind, readonly [ObjectHandle, ObjectHandle]>> {
    const latest = (await world.record()).checkpoints.at(-1)!.manifest;
    const { subtasks } = await readManifest(depot.storage, latest);
    const states = subtasks.flatMap(snapshotObjects);
    const found = new Map<Kind, readonly [ObjectHandle, ObjectHandle]>();
    found.set("manifest", [latest, states[0]!]);
    found.set("state", [states[0]!, states[1]!]);
    return found;
  }
  const checkpoint = (request: string) =>
    world.client().snapshot(snapshotRequest({ request, kind: "checkpoint" }));

  test("while the job is down: verify names it, the job stops by its name, and goes on with it back", async () => {
    await world.client().suspend("words");
    await world.ends("suspended");
    await damageAll();
    world.fill(1000);
    await world.submit();
    await world.allCommitted();
  });

  async function damageAll(): Promise<void> {
    const found = await objects();
    for (const kind of KINDS) {
      const [object, other] = found.get(kind)!;
      const content = await depot.storage.get(object);
      for (const damage of DAMAGES) {
        await depot.damage(object, damage, other);
        await isNamed(object, damage);
        await world.submit();
        const { failures } = await world.ends("failed");
        // A recovery that misses a manifest says what that means, in place of the storage's words.
        const told =
          kind === "manifest" && damage === "absent"
            ? /is missing .*restore the object/
            : WORDS[place][damage];
        expect(failures.at(-1)?.reason, `${kind} ${damage}`).toMatch(told);
        expect(failures.at(-1)?.reason).toContain(object.name);
        await depot.mend(object, content);
      }
    }
  }

  /** By `verify`, and a collection takes nothing. */
  async function isNamed(object: ObjectHandle, damage: Damage): Promise<void> {
    const record = await world.record();
    const { damage: named } = await verify(record, depot.storage, false);
    expect(named.map(({ name }) => name)).toEqual([object.name]);
    expect(named[0]).toMatchObject({
      kind: damage === "absent" ? "missing" : "corrupt",
      reason: expect.stringMatching(WORDS[place][damage]),
    });
    const fast = await verify(record, depot.storage, true);
    if (damage === "absent" || damage === "other")
      expect(fast.damage.map(({ name }) => name)).toEqual([object.name]);
    expect((await garbageOf(record, depot.storage)).objects.map(({ name }) => name)).not.toContain(
      object.name,
    );
  }

  async function beginsAnew(checkpointing: Partial<CheckpointingConfig>): Promise<void> {
    await world.close();
    const { storage } = depot;
    world = new MemoryWorld({ bounded: false, interval: "1 h", storage, savepoints: storage, checkpointing });
    await world.begins(2000);
    await world.runs();
    await world.allCommitted();
  }

  test("while the job runs, of a state that a newer checkpoint has in common with it: named for both", async () => {
    await checkpoint("first");
    const [object, other] = (await objects()).get("state")!;
    await depot.damage(object, "absent", other);
    world.fill(1);
    await checkpoint("second");
    const record = await world.record();
    const { subtasks } = await readManifest(depot.storage, record.checkpoints.at(-1)!.manifest);
    expect(subtasks.flatMap(snapshotObjects).map(({ name }) => name)).toContain(object.name);
    const { damage } = await verify(record, depot.storage, false);
    expect(damage.map(({ name }) => name)).toEqual([object.name]);
    await world.allCommitted();
    expect((await world.runs()).failures).toEqual([]);
  });

  test("while the job runs, and each checkpoint stores all: the next one and the output are as if nothing were", async () => {
    await beginsAnew({ incremental: false });
    let asked = 0;
    for (const kind of KINDS)
      for (const damage of DAMAGES) {
        world.fill(200);
        await checkpoint(`before${++asked}`);
        const [object, other] = (await objects()).get(kind)!;
        await depot.damage(object, damage, other);
        world.fill(200);
        await checkpoint(`after${asked}`);
        const found = await verify(await world.record(), depot.storage, false);
        expect(found.damage, `${kind} ${damage}`).toEqual([]);
      }
    await world.allCommitted();
    const { failures } = await world.runs();
    expect(failures).toEqual([]);
  });

  test("of a savepoint: a restore is refused by its name, and taken with it back", async () => {
    const location = (await savepoint("kept")) ?? "";
    const restore = () =>
      world.rehearse("fork", { location, mode: "no-claim", drop: [], writeAgain: false }).then(
        () => "taken",
        (error: unknown) => (error as Error).message,
      );
    expect(await restore()).toBe("taken");
    const { manifest } = await readSavepoint(location, depot.storage);
    const [state, another] = manifest.subtasks.flatMap(neededObjects);
    const metadata = await metadataOf(location);
    for (const [object, other] of [
      [state!, another!],
      [metadata, state!],
    ] as const) {
      const content = await depot.storage.get(object);
      for (const damage of DAMAGES) {
        await depot.damage(object, damage, other);
        const said = await restore();
        const words = object === metadata ? METADATA_WORDS[damage] : WORDS[place][damage];
        expect(said, `${object.name} ${damage}`).toMatch(words);
        await depot.mend(object, content);
      }
    }
    expect(await restore()).toBe("taken");
    world.fill(100);
    await world.allCommitted();
  });

  test("of records that barriers have overtaken: a restart stops by its name, and goes on with it back", async () => {
    await world.close();
    const { storage } = depot;
    const checkpointing = { unaligned: true };
    world = new MemoryWorld({ bounded: false, interval: "1 h", storage, build: countSlowly, checkpointing });
    await world.begins(RECORDS_AHEAD);
    for (const damage of DAMAGES) {
      await world.runs();
      const [object, other] = await overtaken(damage);
      const content = await storage.get(object);
      await depot.damage(object, damage, other);
      const { damage: named } = await verify(await world.record(), storage, false);
      expect(named.map(({ name }) => name)).toEqual([object.name]);
      await world.replace(world.lastWorker);
      const { failures } = await world.ends("failed");
      expect(failures.at(-1)?.reason, damage).toMatch(WORDS[place][damage]);
      expect(failures.at(-1)?.reason).toContain(object.name);
      await depot.mend(object, content);
      await world.submit();
    }
    await world.allCommitted();
  });

  /** Of the latest checkpoint: the object that holds the overtaken records of one subtask, and another one. */
  async function overtaken(request: string): Promise<readonly [ObjectHandle, ObjectHandle]> {
    for (let asked = 1; asked < 100; asked++) {
      world.fill(RECORDS_AHEAD);
      await checkpoint(`${request}${asked}`);
      const { subtasks } = await readManifest(
        depot.storage,
        (await world.record()).checkpoints.at(-1)!.manifest,
      );
      const objects = subtasks.flatMap(({ channels }) => channels.flatMap(({ object }) => object ?? []));
      const other = subtasks.flatMap(snapshotObjects).find(({ name }) => name !== objects[0]?.name);
      if (objects[0] !== undefined && other !== undefined) return [objects[0], other];
    }
    throw new Error("no barrier has overtaken anything");
  }

  async function savepoint(request: string): Promise<string | undefined> {
    await world.client().snapshot(snapshotRequest({ request, kind: "savepoint", directory: "/kept" }));
    return (await world.record()).savepoints.find((each) => each.request === request)?.location;
  }

  async function metadataOf(location: string): Promise<ObjectHandle> {
    const prefix = `${location.slice(location.lastIndexOf("/") + 1)}/metadata.`;
    for await (const object of depot.storage.list(prefix))
      return { ...object, digest: `sha256:${object.name.slice(prefix.length)}` };
    throw new Error(`no metadata at ${location}`);
  }
});
