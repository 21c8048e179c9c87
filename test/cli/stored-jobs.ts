/** Jobs as their coordinator leaves them in storage, made without running one. */
import type { CompletedCheckpoint, JobRecord } from "../../machines/protocol.ts";
import { type CheckpointStorage, objectNames } from "../../src/checkpoint/storage.ts";
import { encodeManifest } from "../../src/formats/manifest.ts";
import { keyedHandle, manifestOf, subtaskSnapshot } from "../support/job-record.ts";

export interface StoredCheckpoint extends CompletedCheckpoint {
  /** Names of all that it needs: manifest, state, staged. */
  readonly objects: readonly [string, string, string];
}

/** One object of state and one staged by a transaction, of the record's generation. */
export async function storeCheckpoint(
  storage: CheckpointStorage,
  record: JobRecord,
  checkpointId: number,
): Promise<StoredCheckpoint> {
  const { job, incarnation, generation } = record;
  const at = { job, incarnation, generation, checkpointId };
  const content = (text: string) => [new TextEncoder().encode(`${text} of checkpoint ${checkpointId}`)];
  const state = await storage.put(
    objectNames.state({ ...at, subtask: "count/0", part: 0 }),
    content("state"),
  );
  const staged = await storage.put(
    objectNames.transaction({ ...at, sink: "out", writer: 0, part: checkpointId }),
    content("output"),
  );
  const manifest = manifestOf(checkpointId, {
    ...{ job, incarnation, generation },
    subtasks: [
      subtaskSnapshot({
        states: [keyedHandle("count", [state])],
        transactions: [{ incarnation, sink: "out", writer: 0, checkpointId, staged: [staged], detail: null }],
        alignmentMs: 1.5,
        syncMs: 0.25,
        asyncMs: 20,
        bytes: state.bytes,
      }),
      subtaskSnapshot({ subtask: "count/1", finished: true }),
    ],
  });
  const handle = await storage.put(objectNames.manifest(at), [encodeManifest(manifest)]);
  return {
    ...{ checkpointId, generation, manifest: handle, completedAtMs: Date.now() - 90_000 },
    bytes: handle.bytes + state.bytes,
    allFinished: false,
    objects: [handle.name, state.name, staged.name],
  };
}
