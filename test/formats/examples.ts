/** One whole value of each durable format, with every kind of part that it may have. */
import type {
  CheckpointOptions,
  JobRecord,
  LeaseRecord,
  Manifest,
  SavepointMetadata,
} from "../../machines/protocol.ts";
import { completedCheckpoint, jobRecord, manifestOf, subtaskSnapshot } from "../support/job-record.ts";

const object = (name: string, bytes = 10) => ({ name, bytes, digest: `sha256:${"0".repeat(64)}` });

const snapshots = [
  subtaskSnapshot({
    states: [
      {
        ...{ kind: "keyed", operator: "count", state: "n", keyGroups: { first: 0, last: 63 } },
        pieces: [
          {
            content: object("state"),
            segments: [
              { keyGroups: { first: 0, last: 9 }, offset: 0, bytes: 4 },
              { keyGroups: { first: 10, last: 63 }, offset: 4, bytes: 6 },
            ],
          },
          {
            content: new Uint8Array(3),
            segments: [{ keyGroups: { first: 0, last: 0 }, offset: 0, bytes: 3 }],
          },
        ],
      },
      {
        ...{ kind: "operator", operator: "lines", state: "splits", distribution: "list", subtaskIndex: 0 },
        entries: [new Uint8Array([1])],
      },
      {
        ...{ kind: "operator", operator: "alarms", state: "rules", distribution: "broadcast" },
        ...{ subtaskIndex: 0, equalIn: [1], entries: [new Uint8Array([2])] },
      },
    ],
    transactions: [
      {
        ...{ incarnation: "i1", sink: "out", writer: 0, checkpointId: 7 },
        ...{ staged: [object("staged")], detail: { version: 1 } },
      },
    ],
    channels: [
      {
        ...{ edge: "lines.count", from: 0, to: 1, records: 2, bytes: 3 },
        ...{ inline: new Uint8Array(3), object: null, offset: 0 },
      },
      {
        ...{ edge: "lines.count", from: 1, to: 1, records: 2, bytes: 6 },
        ...{ inline: null, object: object("channels"), offset: 4 },
      },
    ],
  }),
  subtaskSnapshot({ subtask: "count/1", finished: true }),
];
export const manifest: Manifest = manifestOf(7, { subtasks: snapshots });

export const record: JobRecord = {
  ...jobRecord({
    plan: {
      vertices: [
        {
          id: "count",
          parallelism: 2,
          operators: [{ id: "count", kind: "reduce", inputs: [{ from: "lines" }], states: ["n"] }],
        },
      ],
      edges: [{ id: "e", from: "count", to: "count", partitioner: "hash", feedback: true }],
      maxParallelism: 128,
    },
    splits: { lines: [{ id: "lines.0", input: "stream LINES" }] },
    checkpoints: [completedCheckpoint(7)],
    origin: {
      location: "/kept/a",
      job: "words",
      incarnation: "i0",
      generation: 2,
      checkpointId: 3,
      mode: "claim",
    },
    savepoints: [
      { checkpointId: 7, generation: 1, request: "r", location: "/kept/a", completedAtMs: 1, bytes: 2 },
    ],
    begunSavepoints: ["/kept/b"],
    abandoned: [{ checkpointId: 1, incarnation: "i0", status: "failed", by: "dispose", atMs: 1 }],
    aborted: [
      {
        ...{ checkpointId: 6, generation: 1, requested: "periodic", reason: "expired", detail: "late" },
        ...{ startedAtMs: 1, abortedAtMs: 2, acknowledged: 1 },
        missing: [{ subtask: "count/0", phase: "aligning", channels: ["e"] }],
      },
    ],
    failures: [{ atMs: 1, generation: 1, where: "job", reason: "x" }],
    planSince: 1,
    formerPlans: [{ plan: { vertices: [], edges: [], maxParallelism: 128 }, upTo: 7 }],
    submittedPlan: { vertices: [], edges: [], maxParallelism: 128 },
    rescale: { request: "r", state: "failed", reason: "no slots", atMs: 1 },
  }),
};

export const metadata: SavepointMetadata = {
  ...{ format: 1, location: "/kept/a", createdAtMs: 1, drained: false, unfinished: [] },
  ...{ plan: record.plan, splits: record.splits, manifest },
};

export const options: CheckpointOptions = {
  ...{ alignment: "aligned-with-timeout", alignedTimeoutMs: 100, triggeredAtMs: 1, base: 6 },
  ...{ savepoint: null, stop: false },
};
export const lease: LeaseRecord = { holder: "h", place: "process 1", token: 3, renewals: 0, released: false };
export const marker = {
  ...{ job: "words", incarnation: "i1", generation: 2, nonce: "n" },
  ...{ checkpointId: 7, part: 1, parts: 2 },
};
export const readPosition = { read: 3, accounted: 5, skipped: { ranges: 1, sequences: 2 } };
export const streamSplit = {
  ...{ id: "ORDERS", stream: "ORDERS", created: "2026-01-01T00:00:00Z", retention: "limits" },
  ...{ filters: ["orders.>"], gaps: "fail", start: 4, end: 9 },
} as const;
