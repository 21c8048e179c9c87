/**
 * What a message has to look like before anyone acts on it, as schemas: any connection of the account may publish on our
 * subjects, so the types of messages.ts alone promise nothing.
 *
 * - S1 A value that passes is read as it came: nothing is filled in, converted or dropped. Fields of a later version pass.
 * - S2 Names that become a part of a subject or a key are checked as such, and numbers as whole ones: what passes breaks no
 *   invariant of the handler.
 */
import { z } from "zod";
import type { Answer } from "../../machines/protocol.ts";
import { isJobName, isSubjectToken } from "../dataflow/channel/subjects.ts";
import { isName } from "../job/name.ts";
import type {
  GenerationRequest,
  JobReport,
  JobSubmission,
  LeaderAnswer,
  LeaderRequest,
  PingAnswer,
  SubtaskMessage,
  WorkerRequest,
} from "./messages.ts";

/** What is wrong with a value, and where; undefined: it is a T. */
export type Shape<T> = { problem(value: unknown): string | undefined } & { readonly of?: T };

function shapeOf<T>(schema: z.ZodType<T>): Shape<T> {
  return {
    problem(value) {
      const issue = schema.safeParse(value).error?.issues[0];
      if (issue === undefined) return undefined;
      const place = issue.path.map(String).join(".");
      return place === "" ? issue.message : `${place}: ${issue.message}`;
    },
  };
}

const text = z.string();
const count = z.int().nonnegative();
const ms = z.number().nonnegative();
const texts = z.array(text);
const jobName = text.refine((name) => isName(name) && isJobName(name), "no name of a job");
const fileName = text.regex(/^\w[\w.-]*$/, "no name of a file");
const workerId = text.refine(isSubjectToken, "no id of a worker");
const nullable = { text: text.nullable(), count: count.nullable() };
const object = z.object({ name: text, bytes: count, digest: text });
const splits = z.record(text, z.array(z.object({ id: text, input: z.exactOptional(text) })));

/* ------------------------------------------------------------------ a job, as submitted and as stored */

const operator = z.object({
  id: text,
  kind: text,
  inputs: z.array(z.object({ from: text, output: text.exactOptional(), port: text.exactOptional() })),
  feedback: texts.exactOptional(),
  states: texts.exactOptional(),
  ownStates: z.literal(true).exactOptional(),
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
});
const vertex = z.object({ id: text, parallelism: z.int().positive(), operators: z.array(operator) });

/** Edges lead from vertices to vertices that there are. */
const planShape = z
  .object({ vertices: z.array(vertex), edges: z.array(edge), maxParallelism: z.int().positive() })
  .refine(({ vertices, edges }) => {
    const ids = new Set(vertices.map(({ id }) => id));
    return ids.size === vertices.length && edges.every(({ from, to }) => ids.has(from) && ids.has(to));
  }, "no graph: an edge leads nowhere, or two vertices have one id");

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
  maxConcurrent: z.int().positive(),
  tolerableFailures: nullable.count,
  retention: z.enum(["delete", "delete-on-cancellation", "retain-on-cancellation"]),
  retained: z.int().positive(),
  unaligned: z.boolean(),
  alignedTimeoutMs: ms,
  afterTasksFinish: z.boolean(),
  savepointDirectory: nullable.text,
  savepointTimeoutMs: ms,
  iterations: z.enum(["refuse", "force", "exact"]),
  readyTimeoutMs: ms,
});

const codeListing = z.object({
  files: z.array(z.tuple([text, text])),
  packages: texts,
  unlisted: count,
});

const jobParts = {
  job: jobName,
  submissionId: text,
  plan: planShape,
  graphFingerprint: text,
  codeFingerprint: text,
  codeListing,
  checkpointing,
  restart,
  heartbeat: z.object({ pingIntervalMs: ms, timeoutMs: ms }),
  splits,
};

const terminalStatus = z.enum(["finished", "stopped", "canceled", "suspended", "failed"]);
const jobStatus = z.enum(["created", "running", "settling", ...terminalStatus.options]);
const abortReason = z.enum([
  "expired",
  "declined",
  "async-exception",
  "declined-task-not-ready",
  "declined-subsumed",
  "declined-on-cancellation-barrier",
  "io-exception",
  "finalize-failure",
  "subsumed",
  "job-stopped",
]);

/** For what is stored of a job (src/runtime/leader/stored-record.ts). */
export const jobSchemas = {
  ...{ text, texts, count, object },
  ...{ jobParts, terminalStatus, jobStatus, abortReason },
};

const submission: z.ZodType<JobSubmission> = z.object({ ...jobParts, storage: nullable.text });

/* ------------------------------------------------------------------ to the leader */

const job = jobName;
const directory = z.object({
  host: text,
  path: text,
  note: fileName,
  secret: text,
  read: text,
  obstacle: nullable.text,
});
const restore = z.object({
  location: text,
  mode: z.enum(["claim", "no-claim"]),
  drop: texts,
  writeAgain: z.boolean(),
});
const leaderRequest: z.ZodType<LeaderRequest> = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("worker.register"),
    job,
    worker: workerId,
    codeFingerprint: text,
    parallelism: z.record(text, count),
    slots: z.int().positive(),
    processId: count,
    host: text,
    storage: text,
    directory: directory.nullable(),
  }),
  z.object({
    type: z.literal("job.submit"),
    submission,
    fresh: z.boolean(),
    restore: restore.nullable(),
  }),
  z.object({ type: z.literal("job.rehearse"), submission, fresh: z.boolean(), restore }),
  z.object({ type: z.literal("worker.crashed"), job, worker: workerId, reason: text }),
  z.object({ type: z.literal("job.status"), job }),
  z.object({ type: z.literal("job.cancel"), job }),
  z.object({ type: z.literal("job.suspend"), job }),
  z.object({
    type: z.literal("job.snapshot"),
    job,
    request: text,
    kind: z.enum(["checkpoint", "savepoint"]),
    directory: nullable.text,
    // biome-ignore lint/suspicious/noThenProperty: the request's own word; a schema is never awaited
    then: z.enum(["go-on", "stop", "drain", "cancel"]),
  }),
  z.object({ type: z.literal("job.gc"), job, requestId: text }),
  z.object({
    type: z.literal("job.dispose"),
    job,
    requestId: text,
    what: z.union([z.literal("job"), z.literal("checkpoints"), count]),
  }),
]);

const answerWord = z.enum(["accepted", "duplicate", "stale", "unknown"]);
const refused = z.object({
  answer: z.literal("refused"),
  reason: text,
  codeListing: codeListing.exactOptional(),
});
const outcome = z.discriminatedUnion("state", [
  z.object({ state: z.literal("pending") }),
  z.object({ state: z.literal("completed"), checkpointId: count, location: nullable.text }),
  z.object({ state: z.literal("failed"), reason: text }),
]);
const deleted = { objects: count, bytes: count, names: texts };

/* ------------------------------------------------------------------ what workers say */

const trouble = z.object({ what: text, reason: text, sinceMs: z.number() });
const subtaskReport = z.object({
  subtask: text,
  generation: count,
  state: text,
  recordsIn: count,
  skipped: z.object({ ranges: count, sequences: count }).nullable(),
  checkpoints: z.array(
    z.object({
      checkpointId: count,
      phase: z.enum(["waiting-for-barrier", "aligning", "uploading", "acknowledged"]),
      missingChannels: texts,
    }),
  ),
});
const pingAnswer: z.ZodType<PingAnswer> = z.object({
  worker: text,
  generations: z.array(count),
  subtasks: z.array(subtaskReport),
  troubles: z.array(trouble),
});

/** The leader vouches for the rest of it; what commands cannot do without is looked at. */
const report = z
  .looseObject({
    job: text,
    status: jobStatus,
    phase: text,
    generation: count,
    checkpoints: z.looseObject({ completed: count, aborted: count }),
    subtasks: z.array(subtaskReport.extend({ worker: text })),
    workers: z.array(z.object({ worker: text, slots: count, processId: count, host: text })),
    failures: z.array(z.looseObject({ where: text, reason: text })),
    troubles: z.array(trouble.extend({ where: texts })),
    unansweredRequests: count,
  })
  .transform((value) => value as unknown as JobReport);

const leaderAnswer: z.ZodType<LeaderAnswer> = z.discriminatedUnion("answer", [
  z.object({
    answer: answerWord,
    generations: z.array(count).exactOptional(),
    reason: text.exactOptional(),
  }),
  z.object({ answer: z.literal("unproven"), note: fileName }),
  refused,
  z.object({ answer: z.literal("status"), status: report }),
  z.object({ answer: z.literal("outcome"), outcome }),
  z.object({ answer: z.literal("pending") }),
  z.object({ answer: z.literal("restorable") }),
  z.object({
    answer: z.literal("collected"),
    report: z.object({ ...deleted, unfinished: count }),
  }),
  z.object({
    answer: z.literal("disposed"),
    report: z.object({ ...deleted, checkpoints: z.array(count), abandoned: count.nullable() }),
  }),
]);

/* ------------------------------------------------------------------ to workers */

const workerRequest: z.ZodType<WorkerRequest> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("worker.ping") }),
  z.object({
    type: z.literal("generation.deploy"),
    deployment: z.object({
      job,
      incarnation: text,
      region: count,
      generation: count,
      nonce: text,
      placement: z.record(text, text),
      splits,
      restore: z.object({ checkpointId: count, manifest: object }).nullable(),
      settle: z.boolean(),
      maxParallelism: z.int().positive(),
      iterations: z.enum(["refuse", "force", "exact"]),
    }),
  }),
  z.object({ type: z.literal("generation.teardown"), job, region: count, generation: count }),
]);

const generation = count;
const checkpointId = count;

const generationRequest: z.ZodType<GenerationRequest> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("generation.start"), generation }),
  z.object({ type: z.literal("generation.drain"), generation }),
  z.object({
    type: z.literal("checkpoint.trigger"),
    generation,
    checkpointId,
    options: z.object({
      alignment: z.enum(["aligned", "at-least-once", "unaligned", "aligned-with-timeout"]),
      alignedTimeoutMs: ms,
      triggeredAtMs: z.number(),
      savepoint: nullable.text,
      stop: z.boolean(),
    }),
  }),
  z.object({ type: z.literal("checkpoint.completed"), generation, checkpointId }),
  z.object({ type: z.literal("checkpoint.aborted"), generation, checkpointId, reason: abortReason }),
]);

/* ------------------------------------------------------------------ to a generation's leader */

const subtask = text;
const bytes = z.instanceof(Uint8Array);
const keyGroups = z.object({ first: count, last: count });
const state = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("keyed"),
    operator: text,
    state: text,
    keyGroups,
    pieces: z.array(
      z.object({
        content: z.union([bytes, object]),
        segments: z.array(z.object({ keyGroups, offset: count, bytes: count })),
      }),
    ),
  }),
  z.object({
    kind: z.literal("operator"),
    operator: text,
    state: text,
    distribution: z.enum(["list", "union", "broadcast", "own"]),
    subtaskIndex: count,
    entries: z.array(bytes),
  }),
]);
const snapshot = z.object({
  subtask,
  states: z.array(state),
  transactions: z.array(
    z.object({
      incarnation: text,
      sink: text,
      writer: count,
      checkpointId,
      staged: z.array(object),
      detail: z.unknown(),
    }),
  ),
  channels: z.array(
    z.object({
      edge: text,
      from: count,
      to: count,
      records: count,
      bytes: count,
      inline: z.instanceof(Uint8Array).nullable(),
      object: object.nullable(),
      offset: count,
    }),
  ),
  finished: z.boolean(),
  alignmentMs: z.number(),
  syncMs: z.number(),
  asyncMs: z.number(),
  bytes: count,
  persistedInFlightBytes: count,
});

const subtaskMessage: z.ZodType<SubtaskMessage> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("subtask.restored"), generation, subtask }),
  z.object({ type: z.literal("subtask.ended"), generation, subtask }),
  z.object({ type: z.literal("subtask.acknowledged"), generation, checkpointId, subtask, snapshot }),
  z.object({
    type: z.literal("subtask.declined"),
    generation,
    checkpointId,
    subtask,
    reason: z.enum([
      "declined",
      "async-exception",
      "declined-task-not-ready",
      "declined-subsumed",
      "declined-on-cancellation-barrier",
    ]),
    detail: text,
  }),
  z.object({ type: z.literal("subtask.discarded"), generation, checkpointId, subtask, objects: texts }),
  z.object({ type: z.literal("subtask.committed"), generation, subtask, upTo: count }),
  z.object({
    type: z.literal("subtask.failed"),
    generation,
    subtask,
    reason: text,
    retry: z.enum(["restart", "never"]),
  }),
]);

/** What a worker or a generation's leader answers to anything but a ping. */
export interface ShortAnswer {
  readonly answer: Answer | "refused";
  readonly reason?: string;
}

const shortAnswer: z.ZodType<ShortAnswer> = z.object({
  answer: z.enum(["accepted", "duplicate", "stale", "unknown", "refused"]),
  reason: text.exactOptional(),
});

export const shapes = {
  leaderRequest: shapeOf(leaderRequest),
  leaderAnswer: shapeOf(leaderAnswer),
  workerRequest: shapeOf(workerRequest),
  pingAnswer: shapeOf(pingAnswer),
  generationRequest: shapeOf(generationRequest),
  subtaskMessage: shapeOf(subtaskMessage),
  shortAnswer: shapeOf(shortAnswer),
};
