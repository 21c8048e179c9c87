/** What a client has asked once has no effect when it comes again, in whatever life of the job (P75). */
import { afterEach, beforeEach, expect, test } from "vitest";
import { decodeEnvelope, encodeMessage } from "../../../src/control/wire.ts";
import type { MemoryBus } from "../../../src/memory/bus.ts";
import { MemoryWorld, snapshotRequest } from "../../support/memory-world.ts";

const CONTROL = "tidemark.words.control";

let world: MemoryWorld;
let stranger: MemoryBus;
let heard: Uint8Array[];
beforeEach(async () => {
  world = new MemoryWorld({ bounded: false });
  stranger = world.broker.connect();
  heard = [];
  stranger.subscribe(CONTROL, (body) => void heard.push(body));
  await world.begins(100);
  await world.runs();
});
afterEach(() => world.close());

const messageIn = (body: Uint8Array): { type?: string; answer?: string; reason?: string } => {
  const envelope = decodeEnvelope({ body, header: () => "" });
  return "message" in envelope ? (envelope.message as object) : {};
};

/** All that clients have asked so far, each message once more; answers what each was and what it is told. */
async function replay(): Promise<string[]> {
  const told: string[] = [];
  for (const body of [...heard]) {
    const { type = "" } = messageIn(body);
    if (!type.startsWith("job.") || type === "job.status") continue;
    const { answer } = messageIn(await stranger.request(CONTROL, body, 5000));
    told.push(`${type} ${answer}`);
  }
  return told.filter((line, i) => told.indexOf(line) === i).sort();
}

/** The submission of the present life is there already. */
const NOTHING = [
  ...["cancel", "dispose", "gc", "snapshot"].map((type) => `job.${type} stale`),
  ...["job.submit duplicate", "job.submit stale", "job.suspend stale"],
];

test("requests of a life that is over change nothing in a later one, nor after its end", async () => {
  const client = world.client();
  await client.collect("words", "collection");
  await client.snapshot(snapshotRequest({ request: "checkpoint", kind: "checkpoint" }));
  await expect(client.dispose("words", "job", "disposal")).rejects.toThrow(/words/);
  await client.snapshot(
    snapshotRequest({ request: "stop", kind: "savepoint", directory: "nats:savepoints", followedBy: "stop" }),
  );
  await world.ends("stopped");
  // The same life, but it has ended: a disposal that was refused because the job lived would be carried out.
  expect(await replay()).not.toContainEqual(
    expect.stringMatching(/accepted|disposed|outcome|collected|pending/),
  );
  expect((await world.record()).status).toBe("stopped");

  await world.submit(null, undefined, true);
  await world.runs();
  await client.suspend("words");
  await world.ends("suspended");
  await world.submit();
  await world.runs();
  await client.cancel("words");
  await world.ends("canceled");
  await world.submit(null, undefined, true);
  await world.runs();
  const before = await world.record();

  expect(await replay()).toEqual(NOTHING);
  await client.snapshot(snapshotRequest({ request: "another", kind: "checkpoint" }));
  const after = await world.record();
  expect([after.status, after.incarnation, after.submissionId, after.settleTo]).toEqual([
    "running",
    before.incarnation,
    before.submissionId,
    null,
  ]);
  expect(after.generation).toBe(before.generation);

  await client.cancel("words");
  await world.ends("canceled");
  expect(await replay()).toEqual(NOTHING);
  expect((await world.record()).submissionId).toBe(before.submissionId);
});

test("what has no seal can only look", async () => {
  const ask = async (message: object) =>
    messageIn(await stranger.request(CONTROL, encodeMessage({ job: "words", ...message }), 5000));
  expect(await ask({ type: "job.status" })).toMatchObject({ answer: "status" });
  const { answer, ...meant } = await ask({ type: "job.cancel" });
  expect(answer).toBe("stale");
  expect(await ask({ type: "job.cancel", meant })).toMatchObject({ answer: "stale" });
  expect((await world.record()).settleTo).toBeNull();
});
