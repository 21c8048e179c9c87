/** A job record and its parts, for tests that care about a few fields only. */
import type {
  CompletedCheckpoint,
  JobRecord,
  Manifest,
  ObjectHandle,
  SubtaskSnapshot,
} from "../../machines/protocol.ts";

export function jobRecord(some: Partial<JobRecord> = {}): JobRecord {
  return {
    format: 1,
    job: "word-count",
    submissionId: "s1",
    incarnation: "i1",
    generation: 1,
    nonce: "n1",
    token: 5,
    writeId: "w1",
    status: "running",
    settleTo: null,
    reservedCheckpointId: 1000,
    plan: { vertices: [], edges: [], maxParallelism: 128 },
    graphFingerprint: "g1",
    codeFingerprint: "c1",
    checkpointing: { intervalMs: 1000, timeoutMs: 600_000, minPauseMs: 0, retained: 2 },
    restart: { strategy: "none" },
    heartbeat: { pingIntervalMs: 250, timeoutMs: 5000 },
    splits: {},
    checkpoints: [],
    failures: [],
    createdAtMs: 0,
    updatedAtMs: 0,
    ...some,
  };
}

function objectHandle(name: string): ObjectHandle {
  return { name, bytes: 1, digest: "sha256:00" };
}

export function completedCheckpoint(checkpointId: number, generation = 1): CompletedCheckpoint {
  return {
    checkpointId,
    generation,
    manifest: objectHandle(`word-count/i1/${generation}/checkpoint-${checkpointId}/manifest`),
    completedAtMs: 0,
    bytes: 1,
    allFinished: false,
  };
}

export function subtaskSnapshot(some: Partial<SubtaskSnapshot> = {}): SubtaskSnapshot {
  return {
    subtask: "count/0",
    states: [],
    transactions: [],
    channels: [],
    finished: false,
    alignmentMs: 0,
    syncMs: 0,
    asyncMs: 0,
    bytes: 0,
    persistedInFlightBytes: 0,
    ...some,
  };
}

export function manifestOf(checkpointId: number, some: Partial<Manifest> = {}): Manifest {
  return {
    format: 1,
    job: "word-count",
    incarnation: "i1",
    generation: 1,
    nonce: "n1",
    checkpointId,
    graphFingerprint: "g1",
    maxParallelism: 128,
    subtasks: [],
    ...some,
  };
}
