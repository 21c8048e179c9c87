/** Reading manifests from checkpoint storage. */
import type { Manifest, ObjectHandle } from "../../machines/protocol.ts";
import { type CheckpointStorage, neededObjects, objectNames } from "../checkpoint/storage.ts";
import { ObjectCorruptError } from "../errors.ts";
import { parseManifest } from "../formats/manifest.ts";

/**
 * The manifest, of which every object lies where its own job has its objects.
 * @throws ObjectMissingError, ObjectCorruptError, StorageStalledError
 */
export async function readManifest(storage: CheckpointStorage, handle: ObjectHandle): Promise<Manifest> {
  const manifest = parseManifest(await storage.get(handle), handle.name);
  const place = objectNames.incarnation(manifest);
  const foreign = manifest.subtasks.flatMap(neededObjects).find(({ name }) => !name.startsWith(place));
  if (foreign === undefined) return manifest;
  throw new ObjectCorruptError(
    handle.name,
    `manifest "${handle.name}" of job ${manifest.job} names the object "${foreign.name}", which is none of this job's: ` +
      `those lie below ${place}`,
  );
}
