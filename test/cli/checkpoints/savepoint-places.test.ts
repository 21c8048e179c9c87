/**
 * A process that only looks for a savepoint makes no directory and no bucket; one that writes a savepoint makes both.
 */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { disposeSavepoint, type OpenStorage, readSavepoint } from "../../../src/checkpoint/savepoint.ts";
import { openCluster, viewCluster } from "../../../src/cli/assembly.ts";
import { EnvironmentError, ObjectMissingError } from "../../../src/errors.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { Workspace } from "../workspace.ts";

let server: TestServer;
let nats: NatsEnvironment;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer();
  nats = await connectNats({ servers: server.url, name: "test" });
  workspace = await Workspace.create();
});
afterAll(async () => {
  await workspace?.remove();
  await nats?.connection.close();
  await server?.stop();
});

const streams = async () => {
  const names: string[] = [];
  for await (const name of (await nats.manager()).streams.names()) names.push(name);
  return names;
};

test.each(["a command", "a coordinator"])("%s", async (looker) => {
  const prefix = looker.replace(" ", "");
  const openStorage: OpenStorage =
    looker === "a command"
      ? viewCluster(nats, { prefix }).openStorage
      : (await openCluster(nats, { prefix })).openStorage;
  const directory = workspace.path(`${prefix}-nowhere`);
  await expect(openStorage(directory, "find")).rejects.toThrow(EnvironmentError);
  await expect(openStorage(directory, "find")).rejects.toThrow(`there is no directory ${directory}`);
  expect(existsSync(directory)).toBe(false);

  const root = `nats:${prefix}-nowhere`;
  const found = await openStorage(root, "find");
  await expect(readSavepoint(`${root}/a`, found)).rejects.toThrow(ObjectMissingError);
  expect(await disposeSavepoint(`${root}/a-savepoint-1-01234567`, found)).toBe(0);
  expect(await streams()).not.toContain(`OBJ_${prefix}-nowhere`);

  await openStorage(directory, "make");
  await openStorage(root, "make");
  expect(existsSync(directory)).toBe(true);
  expect(await streams()).toContain(`OBJ_${prefix}-nowhere`);
});
