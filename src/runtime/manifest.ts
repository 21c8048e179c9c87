/** Manifests as they lie in checkpoint storage. */
import type { Manifest, ObjectHandle } from "../../machines/protocol.ts";
import type { CheckpointStorage } from "../checkpoint/storage.ts";
import { decodeValue, encodeValue } from "../state/snapshot/codec.ts";

export function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeValue(manifest);
}

/** @throws ObjectMissingError, ObjectCorruptError, StorageStalledError */
export async function readManifest(storage: CheckpointStorage, handle: ObjectHandle): Promise<Manifest> {
  return decodeValue(await storage.get(handle)) as Manifest;
}
