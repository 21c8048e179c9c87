/** How many replicas the buckets have: a user who does not say leaves those alone that are there. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { Workspace } from "../workspace.ts";
import { type PretendingServer, startPretendingServer } from "./pretending-server.ts";

let server: TestServer;
/** One server alone keeps one copy of everything. This one says that it is three. */
let threefold: PretendingServer;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer();
  threefold = await startPretendingServer(server.port, (text) =>
    text.replaceAll('"num_replicas":1', '"num_replicas":3'),
  );
});
afterAll(async () => {
  threefold.close();
  await server.stop();
});
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const replicasIn = (asked: string, request: "CREATE" | "UPDATE") =>
  asked
    .split("\r\n")
    .flatMap((line, i, lines) => (line.includes(`$JS.API.STREAM.${request}.`) ? [lines[i + 1] ?? ""] : []))
    .map((body) => body.match(/"num_replicas":(\d)/)?.[1]);

test("new buckets have one, those that are there stay as they are, unless it is said", async () => {
  const coordinator = ["coordinator", "--server", threefold.url];
  const first = workspace.start(coordinator);
  await first.says("leading");
  first.kill("SIGKILL");
  await first.ended;
  expect(replicasIn(threefold.asked(), "CREATE")).toEqual(["1", "1"]);

  const second = workspace.start(coordinator);
  await second.says("leading");
  second.kill("SIGKILL");
  await second.ended;
  expect(replicasIn(threefold.asked(), "UPDATE")).toEqual([]);

  const { code } = await workspace.run([...coordinator, "--replicas", "5"]);
  expect(replicasIn(threefold.asked(), "UPDATE")).toEqual(["5"]);
  expect(code).toBe(3);
});
