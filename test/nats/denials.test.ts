/** A publication that the server refuses reaches the code that published it, with its subject. */
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { PermissionDeniedError } from "../../src/errors.ts";
import { NatsBus } from "../../src/nats/connection/bus.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { NatsLink } from "../../src/nats/connection/link.ts";
import { AckedPublisher } from "../../src/nats/publisher/acked-publisher.ts";
import { AtomicPublisher } from "../../src/nats/publisher/atomic-publisher.ts";
import { MessageBlock } from "../../src/nats/publisher/message-block.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";

let server: TestServer;
let admin: NatsConnection;
let connection: NatsConnection;
let nats: NatsEnvironment;
let link: NatsLink;

const sentence = (subject: string) => `this NATS user may not publish to "${subject}"; allow it`;

beforeAll(async () => {
  server = await startTestServer({
    configuration: `authorization { users: [
      { user: admin, password: a }
      { user: ann, password: a, permissions: { publish: { deny: ["denied.>", "out.secret"] } } }
    ] }`,
  });
  admin = await connect({ servers: server.url, user: "admin", pass: "a" });
  const manager = await jetstreamManager(admin);
  await manager.streams.add({ name: "OUT", subjects: ["out.>"], allow_atomic: true });
});
beforeEach(async () => {
  await connection?.close();
  connection = await connect({
    servers: server.url,
    user: "ann",
    pass: "a",
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  nats = new NatsEnvironment(connection);
  link = NatsLink.of(connection);
});
afterAll(async () => {
  await connection.close();
  await admin.close();
  await server.stop();
});

test("each owner of the subject is told, and no other one", async () => {
  const told: string[] = [];
  const listen = (name: string, owns: (subject: string) => boolean) =>
    link.denials.onPublish(owns, (error) => told.push(`${name}: ${error.message}`));
  listen("first", (subject) => subject.startsWith("denied."));
  listen("second", (subject) => subject === "denied.a");
  listen("other", (subject) => subject === "denied.b");
  const forget = listen("forgotten", () => true);
  forget();
  connection.publish("denied.a");
  await until("two are told", async () => told.length === 2 || undefined);
  expect(told).toEqual([`first: ${sentence("denied.a")}`, `second: ${sentence("denied.a")}`]);
});

test("a request is refused with its sentence, which does not become a second trouble", async () => {
  const clock = new ManualClock();
  const troubles = new Troubles(clock);
  link.watchWith(troubles);
  const refused = await new NatsBus(nats)
    .request("denied.request", new Uint8Array(), 20_000)
    .catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(PermissionDeniedError);
  expect(refused).toMatchObject({
    retry: "now",
    message: `request to "denied.request": ${sentence("denied.request")}`,
  });
  await connection.flush();
  clock.advance(3000);
  expect(troubles.list()).toEqual([]);
});

test("what has no owner is a trouble of the process, and so is a lost connection", async () => {
  const clock = new ManualClock();
  const troubles = new Troubles(clock);
  link.watchWith(troubles);
  connection.publish("denied.frame");
  await until("it is noticed", async () => clock.pending.length > 0 || undefined);
  clock.advance(3000);
  expect(troubles.list()).toMatchObject([{ what: "publishing over NATS", reason: sentence("denied.frame") }]);
  await server.kill();
  await until("the loss is noticed", async () => link.connectedForMs() === 0 || undefined);
  await until("it is a trouble", async () => clock.pending.length > 0 || undefined);
  clock.advance(3000);
  expect(troubles.list().map(({ what }) => what)).toContain("connecting to NATS");
  await server.restart();
  await until("it is back", async () => link.connectedForMs() > 0 || undefined);
  expect(troubles.list().map(({ what }) => what)).not.toContain("connecting to NATS");
});

test("an at-least-once publisher tells of it at once, and that it has recovered when all is acknowledged", async () => {
  const said: string[] = [];
  const publisher = new AckedPublisher(nats, "S", "p", 100, {
    onAcknowledged: () => said.push("acknowledged"),
    onFailed: (error) => said.push(`failed: ${error}`),
    onRetry: (reason) => said.push(reason instanceof Error ? reason.message : String(reason)),
    onRecovered: () => said.push("recovered"),
  });
  publisher.publish("out.x", "", "1");
  publisher.publish("out.secret", "", "2");
  await until("it tells", async () => said.includes(sentence("out.secret")) || undefined);
  expect(said).not.toContain("recovered");
  publisher.close();
});

test("an atomic batch says which of its subjects was refused, and may be tried again", async () => {
  const block = new MessageBlock(64);
  for (const subject of ["out.x", "out.secret", "out.y"]) block.append(subject, "", "record");
  const range = { bytes: block.content(), from: 0, to: block.length, messages: 3 };
  const last = { subject: "out.marker", payload: "{}", headers: {} };
  const outcome = await new AtomicPublisher(nats).publish(range, last, 20_000);
  expect(outcome).toMatchObject({ kind: "retryable", description: sentence("out.secret") });
});
