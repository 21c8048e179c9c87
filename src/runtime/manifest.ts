/** Reading manifests from checkpoint storage. */
import type { Manifest, ObjectHandle } from "../../machines/protocol.ts";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import { parseManifest } from "../formats/manifest.ts";

/** @throws ObjectMissingError, ObjectCorruptError, StorageStalledError */
export async function readManifest(storage: CheckpointStorage, handle: ObjectHandle): Promise<Manifest> {
  return parseManifest(await storage.get(handle), handle.name);
}
