/**
 * Whether the storage of checkpoints lets a process do all that the engine does there, tried by the one that asks: with
 * its own credentials, on its own host.
 *
 * Nothing of it stays. What is not there is deleted first: a storage that refuses this is not written to.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { type CheckpointStorage, listAll, objectNames } from "../../checkpoint/storage.ts";
import { describeError } from "../../errors.ts";
import type { ClusterView } from "../assembly.ts";
import type { Finding } from "./diagnosis.ts";

const CONTENT = "tidemark doctor";

/** Nothing is tried where no option names a storage: the bucket is as the server's users are. Never rejects. */
export async function storageFindings(
  view: Pick<ClusterView, "storageConfig" | "findStorage">,
  job: string,
): Promise<Finding[]> {
  const kind = view.storageConfig?.kind;
  if (kind === undefined || kind === "jetstream" || kind === "memory") return [];
  let storage: CheckpointStorage;
  try {
    storage = await view.findStorage();
  } catch (error) {
    return [finding(`the storage of checkpoints cannot be used: ${describeError(error)}`)];
  }
  const name = `${objectNames.job(job)}doctor-${randomUUID()}`;
  let act = "delete";
  try {
    await storage.delete(name);
    act = "list";
    await listAll(storage, name);
    act = "write";
    const handle = await storage.put(name, [Buffer.from(CONTENT)]);
    act = "read";
    await storage.get(handle).finally(() => storage.delete(name));
    return [];
  } catch (error) {
    return [finding(`${storage.description} does not let this command ${act}: ${describeError(error)}`)];
  }
}

function finding(says: string): Finding {
  return {
    finding: "storage",
    says,
    help:
      `coordinators and workers list, read, write and delete there; this was tried on host ${hostname()}, by the user ` +
      "and with the credentials of this command",
  };
}
