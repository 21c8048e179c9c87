/**
 * A job whose latest manifest is whole as an object and no manifest: it stops by name and keeps what it has (P20, P61).
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ObjectHandle } from "../../machines/protocol.ts";
import { encodeValue } from "../../src/formats/codec.ts";
import { encodeRecord, jobKey } from "../../src/formats/job-record.ts";
import { readManifest } from "../../src/runtime/manifest.ts";
import { changed } from "../formats/wrong-values.ts";
import { MemoryWorld } from "../support/memory-world.ts";

let world: MemoryWorld;
beforeEach(() => {
  world = new MemoryWorld({ bounded: false });
});
afterEach(() => world.close());

test("it is named with the field that is wrong, and with its own manifest back the job goes on", async () => {
  await world.begins(2000);
  await world.allCommitted();
  await world.client().suspend("words");
  await world.ends("suspended");
  const { checkpoints } = await world.record();
  const right = checkpoints.at(-1)!.manifest;
  const manifest = await readManifest(world.storage, right);

  const foreign = { name: "other/i/1/checkpoint-1/words-0.0", bytes: 1, digest: "sha256:0" };
  for (const [wrong, problem] of [
    [{ ...manifest, subtasks: [], job: "other" }, "it is the manifest of job other"],
    [
      changed(
        manifest,
        ["subtasks", 0, "channels"],
        [{ edge: "e", from: 0, to: 0, records: 1, bytes: 1, inline: null, object: foreign, offset: 0 }],
      ),
      `of job words names the object "${foreign.name}", which is none of this job's`,
    ],
    [changed(manifest, ["subtasks", 0, "states"], 7), "subtasks.0.states: expected array, found 7"],
    [changed(manifest, ["subtasks", 0, "subtask"], "words"), "subtasks.0.subtask: no name of a subtask"],
    [
      { ...manifest, format: 2 },
      "it was written by a newer version of Tidemark (format 2, this one reads 1)",
    ],
  ] as const) {
    const name = `words/wrong/1/checkpoint-1/${problem.length}`;
    await pointTo(await world.storage.put(name, [encodeValue(wrong)]));
    await world.submit();
    const { failures } = await world.ends("failed");
    expect(failures.at(-1)?.reason).toContain(`(object ${name})`);
    expect(failures.at(-1)?.reason).toContain(problem);
    expect(world.crashes).toEqual([]);
  }

  await pointTo(right);
  world.fill(1000);
  await world.submit();
  await world.allCommitted();
});

/** Writes into the record that the latest manifest is this object. */
async function pointTo(manifest: ObjectHandle): Promise<void> {
  const record = await world.record();
  const key = jobKey("words");
  const latest = { ...record.checkpoints.at(-1)!, manifest };
  const checkpoints = [...record.checkpoints.slice(0, -1), latest];
  const { revision } = (await world.store.read(key))!;
  await world.store.compareAndSet(key, encodeRecord({ ...record, checkpoints }), revision);
}
