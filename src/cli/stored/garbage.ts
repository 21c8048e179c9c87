/** What a collection would delete, found by reading alone (P21). */
import type { JobRecord } from "../../../machines/protocol.ts";
import { objectsOf, unreachable } from "../../checkpoint/reachability.ts";
import { type CheckpointStorage, type FoundObject, listAll, objectNames } from "../../checkpoint/storage.ts";
import type { ObjectCorruptError, ObjectMissingError } from "../../errors.ts";
import { type Look, readRetained } from "./retained.ts";

export interface Garbage extends Look {
  readonly objects: readonly FoundObject[];
  /** The damage of a manifest: without the manifest it is unknown what may be deleted, so nothing is. */
  readonly damage: ObjectMissingError | ObjectCorruptError | undefined;
}

export async function garbageOf(record: JobRecord, storage: CheckpointStorage): Promise<Garbage> {
  const reached = new Set<string>();
  const damaged = [];
  for (const one of await readRetained(record, storage)) {
    if ("damage" in one) damaged.push(one);
    else for (const { handle } of objectsOf(one.checkpoint, one.manifest)) reached.add(handle.name);
  }
  const stored = await listAll(storage, objectNames.job(record.job));
  return {
    objects: unreachable(record, reached, stored).filter(({ standing }) => standing === "collectable"),
    damage: damaged[0]?.damage,
    damagedCheckpoints: damaged.map(({ checkpoint }) => checkpoint.checkpointId),
  };
}
