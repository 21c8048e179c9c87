/** What is submitted of a job, and stored of it: the same in a message, in the record and in a savepoint. */
import { z } from "zod";
import type {
  GraphPlan,
  JobRecord,
  ScalingConfig,
  Unfinished,
  WindowsPlan,
} from "../../machines/protocol.ts";
import { count, jobName, ms, nullable, positive, text, texts } from "./shape.ts";

import { distribution } from "./snapshot.ts";

const scaling: z.ZodType<ScalingConfig> = z.object({
  min: positive,
  max: positive.nullable(),
  target: z.number().positive().max(1),
  windowMs: ms,
  cooldownMs: ms,
});

export const unfinished: z.ZodType<Unfinished> = z.object({
  operator: text,
  windows: count,
  of: z.enum(["keys", "time"]),
  lastEndMs: z.int().nullable(),
  timers: count,
});
export const splits: z.ZodType<JobRecord["splits"]> = z.record(
  text,
  z.array(z.object({ id: text, input: z.exactOptional(text) })),
);

const ttl = z.object({
  afterMs: positive,
  time: z.enum(["event", "processing"]),
  updateOn: z.enum(["write", "readAndWrite"]),
  downtime: z.enum(["count", "pause"]),
});

const length = z.int().positive();
const offset = z.int();

export const windowsPlan: z.ZodType<WindowsPlan> = z.object({
  bounds: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("tumbling"), sizeMs: length, offsetMs: offset }),
    z.object({ kind: z.literal("sliding"), sizeMs: length, slideMs: length, offsetMs: offset }),
    z.object({ kind: z.literal("cumulating"), sizeMs: length, stepMs: length, offsetMs: offset }),
    z.object({ kind: z.literal("calendar"), every: z.enum(["day", "week", "month"]), zone: text }),
    z.object({ kind: z.literal("sessions") }),
  ]),
  time: z.enum(["event", "processing"]),
  staysForLate: z.boolean(),
  aggregates: z.boolean(),
  keepsRecords: z.boolean(),
  combines: z.boolean(),
});

const operator = z.object({
  id: text,
  kind: text,
  inputs: z.array(z.object({ from: text, output: text.exactOptional(), port: text.exactOptional() })),
  feedback: texts.exactOptional(),
  states: texts.exactOptional(),
  /** The kinds of states that the user has declared, of those that are no value states. */
  stateKinds: z.record(text, text).exactOptional(),
  stateTtls: z.record(text, ttl).exactOptional(),
  stateVersions: z.record(text, z.object({ version: text, migrates: texts })).exactOptional(),
  operatorStates: z.record(text, distribution).exactOptional(),
  ownStates: z.literal(true).exactOptional(),
  windows: text.exactOptional(),
  windowsPlan: windowsPlan.exactOptional(),
  migrateWindows: z.enum(["finish-old", "drop-old"]).exactOptional(),
  actors: z.object({ version: text, machineStates: texts, migrates: texts }).exactOptional(),
  connector: text.exactOptional(),
  bounded: z.boolean().exactOptional(),
  replayable: z.boolean().exactOptional(),
  guarantee: z.enum(["exactly-once", "at-least-once", "none"]).exactOptional(),
  transactional: z.boolean().exactOptional(),
});
const edge = z.object({
  id: text,
  from: text,
  to: text,
  partitioner: text,
  feedback: z.literal(true).exactOptional(),
  accumulators: z.literal(true).exactOptional(),
});
const vertex = z.object({ id: text, parallelism: positive, operators: z.array(operator) });

/** The shape of a plan: its edges lead from and to vertices that exist, and each subtask has a key group. */
export const plan: z.ZodType<GraphPlan> = z
  .object({ vertices: z.array(vertex), edges: z.array(edge), maxParallelism: positive })
  .check(({ value: { vertices, edges, maxParallelism }, issues }) => {
    const ids = new Set(vertices.map(({ id }) => id));
    const wrong = (message: string, input: unknown, ...path: PropertyKey[]) =>
      issues.push({ code: "custom", message, input, path });
    if (ids.size < vertices.length) wrong("two vertices have one id", vertices, "vertices");
    for (const [i, { from, to }] of edges.entries())
      if (!ids.has(from) || !ids.has(to))
        wrong("no edge between two vertices that there are", { from, to }, "edges", i);
    for (const [i, { parallelism }] of vertices.entries())
      if (parallelism > maxParallelism)
        wrong(`larger than maxParallelism ${maxParallelism}`, parallelism, "vertices", i, "parallelism");
  });

const restart = z.discriminatedUnion("strategy", [
  z.object({ strategy: z.literal("none") }),
  z.object({ strategy: z.literal("fixed-delay"), attempts: count, delayMs: ms }),
  z.object({
    strategy: z.literal("failure-rate"),
    maxFailuresPerInterval: count,
    failureRateIntervalMs: ms,
    delayMs: ms,
  }),
  z.object({
    strategy: z.literal("exponential-delay"),
    initialBackoffMs: ms,
    maxBackoffMs: ms,
    backoffMultiplier: z.number(),
    resetBackoffThresholdMs: ms,
    jitterFactor: z.number(),
    attemptsBeforeResetBackoff: nullable.count,
  }),
]);

const checkpointing = z.object({
  mode: z.enum(["exactly-once", "at-least-once"]),
  intervalMs: ms.nullable(),
  timeoutMs: ms,
  minPauseMs: ms,
  maxConcurrent: positive,
  tolerableFailures: nullable.count,
  retention: z.enum(["delete", "delete-on-cancellation", "retain-on-cancellation"]),
  retained: positive,
  unaligned: z.boolean(),
  alignedTimeoutMs: ms,
  incremental: z.boolean(),
  afterTasksFinish: z.boolean(),
  savepointDirectory: nullable.text,
  savepointTimeoutMs: ms,
  iterations: z.enum(["refuse", "force", "exact"]),
  readyTimeoutMs: ms,
});

export const codeListing = z.object({
  files: z.array(z.tuple([text, text])),
  packages: texts,
  unlisted: count,
});

export const jobParts = {
  job: jobName,
  submissionId: text,
  plan,
  graphFingerprint: text,
  codeFingerprint: text,
  codeListing,
  checkpointing,
  restart,
  heartbeat: z.object({ pingIntervalMs: ms, timeoutMs: ms }),
  scaling: scaling.exactOptional(),
  splits,
};

export const terminalStatus = z.enum(["finished", "stopped", "canceled", "suspended", "failed"]);
export const jobStatus = z.enum(["created", "running", "settling", ...terminalStatus.options]);
export const abortReason = z.enum([
  "expired",
  "declined",
  "async-exception",
  "declined-task-not-ready",
  "declined-task-closing",
  "declined-subsumed",
  "declined-on-cancellation-barrier",
  "io-exception",
  "finalize-failure",
  "subsumed",
  "job-stopped",
]);
