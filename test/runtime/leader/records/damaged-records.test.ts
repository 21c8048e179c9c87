/** What lies in the place of a job's record: the job is named, left alone, and goes on when the record is put back. */
import { describe, expect, it } from "vitest";
import type { JobRecord } from "../../../../machines/protocol.ts";
import { encodeRecord, jobKey, parseRecord } from "../../../../src/formats/job-record.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

const KEY = jobKey("words");
const NAMED = `record "${KEY}" of KV bucket memory is no record of a job`;
const MENDS = `"nats kv del memory ${KEY}"`;

const text = (value: string) => new TextEncoder().encode(value);
const changed = (record: JobRecord, some: object) => text(JSON.stringify({ ...record, ...some }));

const DAMAGES: readonly (readonly [string, string, (record: JobRecord) => Uint8Array])[] = [
  ["garbage", "it is no JSON", () => text("garbage")],
  ["nothing", "it is no JSON", () => text("")],
  ["a cut record", "it is no JSON", (record) => encodeRecord(record).subarray(0, 700)],
  [
    "a record with a flipped byte",
    "format: expected 1",
    (record) => flipped(encodeRecord(record), '"format"'),
  ],
  ["the record of another job", "it is that of job other", (record) => changed(record, { job: "other" })],
  [
    "a member of another type",
    "checkpoints: expected array",
    (record) => changed(record, { checkpoints: {} }),
  ],
  ["an absurd number", "generation: ", (record) => changed(record, { generation: 1e300 })],
  [
    "a newer format",
    "written by a newer version of Tidemark (format 2",
    (record) => changed(record, { format: 2 }),
  ],
];

function flipped(bytes: Uint8Array, at: string): Uint8Array {
  const copy = bytes.slice();
  const place = new TextDecoder().decode(bytes).indexOf(at) + 2;
  copy[place] = copy[place]! ^ 1;
  return copy;
}

/** Writes over whatever is there. @returns the record that was there, if it was one */
async function put(world: MemoryWorld, valueFor: (before: Uint8Array) => Uint8Array): Promise<Uint8Array> {
  return await until("the value is stored", async () => {
    const now = (await world.store.read(KEY))!;
    const answer = await world.store.compareAndSet(KEY, valueFor(now.value), now.revision);
    return answer.outcome === "stored" ? now.value : undefined;
  });
}

describe.each(["alive", "down"] as const)("the leader %s: in the place of a job's record", (leader) => {
  it.concurrent.each(DAMAGES)(
    "%s is named, and the job goes on when the record is back",
    async (_what, problem, damage) => {
      const world = new MemoryWorld({ interval: "20 ms", bounded: false });
      await world.begins(200);
      await world.comesTo("a checkpoint", ({ checkpoints }) => checkpoints.completed > 0);
      if (leader === "down") world.cutOff(world.leader);
      const good = await put(world, (before) => damage(parseRecord(before, KEY, "memory")));
      if (leader === "down") world.startCoordinator();
      const words = await until("the leader names it", () =>
        world
          .client()
          .status("words")
          .then(
            () => undefined,
            ({ message }: Error) => (message.includes(NAMED) ? message : undefined),
          ),
      );
      expect(words).toContain(problem);
      expect(words).toContain(MENDS);
      await put(world, () => good);
      world.fill(100);
      await until("the job is led again", () =>
        world
          .client()
          .status("words")
          .then(
            (report) => report?.phase === "running.processing" || undefined,
            () => undefined,
          ),
      );
      await world.allCommitted();
      await world.close();
    },
  );
});
