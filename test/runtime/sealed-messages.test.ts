/** A message between leader and worker is taken from the one that knows the secret, and from no other one (P69). */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ControlLink } from "../../src/control/link.ts";
import { sealOf } from "../../src/control/seal.ts";
import { shapes } from "../../src/control/shapes.ts";
import { encodeDetour, encodeMessage, encodeSealed } from "../../src/control/wire.ts";
import type { Shape } from "../../src/formats/shape.ts";
import { MemoryBroker, type MemoryBus } from "../../src/memory/bus.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { subtaskSnapshot } from "../support/job-record.ts";
import { ManualClock } from "../support/manual-clock.ts";

const SECRET = "what these two have in common";
const FAR = Number.MAX_SAFE_INTEGER;
const deployment = {
  ...{ job: "words", incarnation: "x", region: 0, generation: FAR, nonce: "n", placement: {}, splits: {} },
  ...{
    restore: null,
    parallelism: {},
    planSince: 0,
    inherits: null,
    settle: false,
    leader: "l",
    incremental: true,
    maxParallelism: 128,
    iterations: "refuse",
  },
};
const of = { generation: FAR, subtask: "count/0" };
const registration = {
  ...{
    type: "worker.register",
    job: "words",
    worker: "w",
    codeFingerprint: "c",
    parallelism: {},
    slots: 30_000,
  },
  ...{ processId: 1, host: "h", storage: "s", directory: null, secret: SECRET, inbox: "_INBOX.w", nth: FAR },
};

/** Each with numbers that would do harm. */
const MESSAGES: readonly { readonly shape: Shape<unknown>; readonly message: object & { type: string } }[] = [
  ...[
    registration,
    { type: "worker.crashed", job: "words", worker: "w", secret: SECRET, reason: "r" },
    { type: "job.cancel", job: "words", secret: SECRET, meant: { life: "s", nonce: "n" } },
    { type: "job.dispose", job: "words", secret: SECRET, requestId: "r", what: "job" },
  ].map((message) => ({ shape: shapes.leaderRequest, message })),
  {
    shape: shapes.standbyRequest,
    message: {
      ...{ type: "standby.prove", coordinator: "c", secret: SECRET, place: "p" },
      ...{ storage: "s", directory: null },
    },
  },
  ...[
    { type: "worker.ping" },
    { type: "worker.state", look: { kind: "list" } },
    { type: "generation.deploy", deployment },
    { type: "generation.teardown", job: "words", region: 0, generation: FAR },
  ].map((message) => ({ shape: shapes.workerRequest, message })),
  ...[
    { type: "generation.started", generation: FAR },
    { type: "drain.requested", generation: FAR },
    {
      ...{ type: "checkpoint.triggered", generation: FAR, checkpointId: FAR },
      options: {
        alignment: "aligned",
        alignedTimeoutMs: 0,
        triggeredAtMs: 0,
        savepoint: null,
        stop: false,
        base: null,
      },
    },
    { type: "checkpoint.completed", generation: FAR, checkpointId: FAR },
    { type: "checkpoint.aborted", generation: FAR, checkpointId: FAR, reason: "expired" },
  ].map((message) => ({ shape: shapes.generationRequest, message })),
  ...[
    { type: "subtask.restored", ...of },
    { type: "subtask.ended", ...of },
    { type: "subtask.committed", ...of, upTo: FAR },
    { type: "subtask.failed", ...of, reason: "r", retry: "never" },
    { type: "subtask.acknowledged", ...of, checkpointId: FAR, snapshot: subtaskSnapshot({}) },
    { type: "subtask.declined", ...of, checkpointId: FAR, reason: "declined", detail: "d" },
    { type: "subtask.discarded", ...of, checkpointId: FAR, objects: [] },
  ].map((message) => ({ shape: shapes.subtaskMessage, message })),
];

const bits = (bytes: Uint8Array): Uint8Array[] =>
  Array.from(bytes, (_, at) => bytes.map((byte, i) => (i === at ? byte ^ (1 << (at % 8)) : byte)));

let peer: ControlLink;
let receiver: ControlLink;
let stranger: MemoryBus;
let storage: MemoryStorage;
let closing: { close(): unknown }[];
beforeEach(() => {
  const broker = new MemoryBroker();
  storage = new MemoryStorage();
  const clock = new ManualClock();
  peer = new ControlLink({ bus: broker.connect(), id: "peer", clock, storage });
  receiver = new ControlLink({ bus: broker.connect(), id: "receiver", clock, storage });
  stranger = broker.connect();
  closing = [peer.bus, receiver.bus, stranger];
});
afterEach(() => {
  for (const one of closing) one.close();
});

function serve(shape: Shape<unknown>, heard: unknown[], subject = "here"): void {
  const onError = (error: unknown) => heard.push(error);
  const handle = (message: unknown) => {
    heard.push(message);
    return { answer: "accepted" };
  };
  receiver.serve(subject, shape, handle, onError, SECRET);
}

describe.each(MESSAGES)("$message.type", ({ shape, message }) => {
  it("is taken with its seal, again when it is repeated, and never without it", async () => {
    const heard: unknown[] = [];
    serve(shape, heard);
    expect(await peer.ask("here", message, shapes.shortAnswer, 1000, { secret: SECRET })).toEqual({
      answer: "accepted",
    });
    const content = encodeMessage(message);
    const sealed = encodeSealed({ content, seal: sealOf(SECRET, "here", content) });
    stranger.publish("here", sealed);
    await stranger.flush();
    expect(heard).toEqual([message, message]);

    const others = [
      content,
      encodeSealed({ content, seal: "" }),
      encodeSealed({ content, seal: sealOf(SECRET, "there", content) }),
      encodeSealed({ content, seal: sealOf("the secret before", "here", content) }),
      encodeSealed({ content, seal: sealOf(SECRET, "here", content, "an answer") }),
      encodeSealed({ content: sealed, seal: sealOf(SECRET, "here", sealed) }),
      ...bits(sealed),
      ...Array.from(sealed, (_, length) => sealed.subarray(0, length)),
    ];
    for (const other of others) stranger.publish("here", other);
    await stranger.flush();
    // A bit of the envelope may be flipped that changes nothing of what is in it.
    expect(heard).toEqual(heard.map(() => message));
    expect(heard.length).toBeLessThan(5);
    // Where its sender waits it is told.
    await expect(stranger.request("here", content, 1000)).resolves.toEqual(
      encodeMessage({
        answer: "refused",
        reason:
          "this is no request to a process of Tidemark: a message without the seal of the process that may send it",
      }),
    );
  });
});

it("takes its detour through the storage sealed, too, and an object that a stranger names is not read", async () => {
  const heard: { reason: string }[] = [];
  const read: string[] = [];
  const get = storage.get.bind(storage);
  storage.get = (handle) => {
    read.push(handle.name);
    return get(handle);
  };
  serve(shapes.subtaskMessage, heard);
  const message = { type: "subtask.failed", ...of, reason: "r".repeat(500_000), retry: "never" };
  const detour = { storage, at: { job: "words", incarnation: "i", generation: 1 } };
  await peer.ask("here", message, shapes.shortAnswer, 1000, { secret: SECRET, detour });
  await expect(
    peer.ask("here", message, shapes.shortAnswer, 1000, { secret: "another one", detour }),
  ).rejects.toThrow();
  expect(heard.map(({ reason }) => reason.length)).toEqual([500_000]);
  expect(read).toHaveLength(1);
});

it.each([
  "in.0",
  "$JS.API.STREAM.PURGE.IN",
  "words.control",
  "_INBOX",
  "_INBOX.*",
  "_INBOX.a.>",
  "_INBOX..a",
])("registers no worker whose inbox is none, because the leader asks there: %s", async (inbox) => {
  const heard: unknown[] = [];
  serve(shapes.leaderRequest, heard);
  const content = encodeMessage({ ...registration, inbox });
  const said = await stranger.request(
    "here",
    encodeSealed({ content, seal: sealOf(SECRET, "here", content) }),
    1000,
  );
  expect(Buffer.from(said).toString("latin1")).toContain("inbox: ");
  expect(heard).toEqual([]);
});

it("lies nowhere else where any connection may ask: what such a message names is not read", async () => {
  const heard: unknown[] = [];
  const get = storage.get.bind(storage);
  storage.get = (handle) => {
    heard.push(handle);
    return get(handle);
  };
  receiver.serve(
    "leader",
    shapes.leaderRequest,
    (message) => heard.push(message),
    (error) => heard.push(error),
    ({ secret }) => secret,
  );
  const content = encodeMessage({ type: "job.status", job: "words", secret: SECRET });
  const object = await storage.put("words/i/1/message/m", [content]);
  const named = encodeDetour(object);
  for (const body of [named, encodeSealed({ content: named, seal: sealOf(SECRET, "leader", named) })])
    expect(Buffer.from(await stranger.request("leader", body, 1000)).toString("latin1")).toContain(
      "a message that names an object in the place of its content",
    );
  expect(heard).toEqual([]);
});

it("is answered by the one that knows the secret: other answers, and answers to other requests, are none", async () => {
  const ping = { type: "worker.ping" };
  const request = sealOf(SECRET, "here", encodeMessage(ping));
  const content = encodeMessage({ answer: "stale" });
  const wrong = ["", sealOf(SECRET, "here", content), sealOf(SECRET, "here", content, "another request")];
  const right = encodeMessage({ answer: "accepted" });
  stranger.subscribe("here", (_, reply) => {
    reply?.(content);
    for (const seal of wrong) reply?.(encodeSealed({ content, seal }));
    reply?.(encodeSealed({ content: right, seal: sealOf(SECRET, "here", right, request) }));
  });
  expect(await peer.ask("here", ping, shapes.shortAnswer, 1000, { secret: SECRET })).toEqual({
    answer: "accepted",
  });
});
