/** A job record and its parts, for tests that care about a few fields only. */
import type {
  CheckpointingConfig,
  CompletedCheckpoint,
  JobRecord,
  KeyedStateHandle,
  Manifest,
  ObjectHandle,
  SubtaskSnapshot,
} from "../../machines/protocol.ts";
import { keyGroupRangeOf } from "../../src/state/key-groups.ts";

/** The configuration of a job without options, but with an interval. */
export function checkpointingConfig(some: Partial<CheckpointingConfig> = {}): CheckpointingConfig {
  return {
    mode: "exactly-once",
    intervalMs: 1000,
    timeoutMs: 600_000,
    minPauseMs: 0,
    maxConcurrent: 1,
    tolerableFailures: null,
    retention: "delete-on-cancellation",
    retained: 1,
    unaligned: false,
    alignedTimeoutMs: 0,
    incremental: true,
    afterTasksFinish: true,
    savepointDirectory: null,
    savepointTimeoutMs: 600_000,
    iterations: "refuse",
    readyTimeoutMs: 30_000,
    ...some,
  };
}

export function jobRecord(some: Partial<JobRecord> = {}): JobRecord {
  return {
    format: 1,
    job: "word-count",
    submissionId: "s1",
    incarnation: "i1",
    generation: 1,
    generations: [some.generation ?? 1],
    nonce: "n1",
    scope: "cluster",
    token: 5,
    writeId: "w1",
    status: "running",
    settleTo: null,
    reservedCheckpointId: 1000,
    plan: { vertices: [], edges: [], maxParallelism: 128 },
    graphFingerprint: "g1",
    codeFingerprint: "c1",
    codeListing: { files: [], packages: [], unlisted: 0 },
    checkpointing: checkpointingConfig({ retained: 2 }),
    restart: { strategy: "none" },
    heartbeat: { pingIntervalMs: 250, timeoutMs: 5000 },
    splits: {},
    planSince: 0,
    formerPlans: [],
    checkpoints: [],
    origin: null,
    savepoints: [],
    begunSavepoints: [],
    abandoned: [],
    fallbacks: [],
    aborted: [],
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

/** State "n" of an operator, in objects that hold all key groups of the subtask. */
export function keyedHandle(
  operator: string,
  objects: readonly ObjectHandle[],
  subtaskIndex = 0,
  parallelism = 1,
): KeyedStateHandle {
  const keyGroups = keyGroupRangeOf(subtaskIndex, parallelism, 128);
  const pieces = objects.map((content) => ({
    content,
    segments: [{ keyGroups, offset: 0, bytes: content.bytes }],
  }));
  return { kind: "keyed", operator, state: "n", keyGroups, pieces };
}
