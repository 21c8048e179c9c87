/** What a restore has copied while no record names it yet, and the job of that name that has ended is cleaned up. */
import { afterEach, expect, test } from "vitest";
import { listAll, type ObjectHandle } from "../../../../src/checkpoint/storage.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { latch } from "../../../support/latch.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

class HeldStorage extends MemoryStorage {
  /** Lists wait for this. */
  listing: Promise<unknown> = Promise.resolve();
  /** After each manifest: the put waits for this. */
  afterManifest: (name: string) => Promise<void> = async () => {};

  override async *list(...args: Parameters<MemoryStorage["list"]>): ReturnType<MemoryStorage["list"]> {
    await this.listing;
    yield* super.list(...args);
  }

  override async put(...args: Parameters<MemoryStorage["put"]>): Promise<ObjectHandle> {
    const handle = await super.put(...args);
    if (handle.name.endsWith("manifest")) await this.afterManifest(handle.name);
    return handle;
  }
}

let world: MemoryWorld;

afterEach(() => world.close());

test("stays, and the job begins with it", async () => {
  const storage = new HeldStorage();
  world = new MemoryWorld({
    ...{ storage, bounded: false },
    checkpointing: { retention: "retain-on-cancellation" },
  });
  await world.begins(1000);
  await world.allCommitted();
  const { opened, open } = latch();
  storage.listing = opened;
  await world.client().cancel("words");
  await world.ends("canceled");
  const { incarnation } = await world.record();

  const copies: string[] = [];
  storage.afterManifest = async (name) => {
    if (name.includes(incarnation)) return;
    copies.push(name);
    // It comes last in a list, so all else that the cleaning deletes is gone before it.
    const stray = "words/~/0/checkpoint-1/stray";
    await storage.put(stray, [new Uint8Array(1)], new AbortController().signal);
    open();
    const names = async () => (await listAll(storage, "")).map((object) => object.name);
    await until("the ended job is cleaned up", async () => !(await names()).includes(stray) || undefined);
  };
  await world.submit({ location: "checkpoint:words", mode: "no-claim", drop: [], writeAgain: false });
  expect(copies).toHaveLength(1);
  await world.runs();
  world.expectExact();
});
