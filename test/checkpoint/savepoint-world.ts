/** A job's world on a server of its own, with a coordinator and a directory for savepoints. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { startTestServer } from "../support/servers/nats.ts";
import { NatsWorld } from "../support/servers/nats-world.ts";

export interface SavepointWorld {
  readonly world: NatsWorld;
  /** An absolute path. */
  readonly savepoints: string;
  /** Ends everything. No process may have crashed until then. */
  readonly close: () => Promise<void>;
}

/** @param name of the world, one for each file of tests */
export async function openSavepointWorld(name: string): Promise<SavepointWorld> {
  const server = await startTestServer();
  const savepoints = mkdtempSync(join(tmpdir(), `tidemark-${name}-`));
  const world = await NatsWorld.open(server.url, name);
  await world.startCoordinator();
  const close = async () => {
    expect(world.crashes).toEqual([]);
    await world.close();
    await server.stop();
    rmSync(savepoints, { recursive: true });
  };
  return { world, savepoints, close };
}
