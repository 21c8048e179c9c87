/**
 * What a message has to look like before anyone acts on it, as schemas: any connection of the account may publish on
 * our subjects, so the types of messages.ts alone promise nothing. What is also stored, and the rules for all shapes:
 * src/formats.
 */
import { z } from "zod";
import type { Answer } from "../../machines/protocol.ts";
import { checkpointOptions } from "../formats/checkpoint-options.ts";
import { abortReason, codeListing, jobParts, jobStatus, plan, splits } from "../formats/job.ts";
import { isSubjectToken } from "../formats/names.ts";
import {
  bytes,
  count,
  jobName,
  nullable,
  object,
  positive,
  shapeOf,
  text,
  texts,
  workerId,
} from "../formats/shape.ts";
import { snapshot } from "../formats/snapshot.ts";
import type {
  GenerationRequest,
  JobReport,
  JobSubmission,
  LeaderAnswer,
  LeaderRequest,
  PingAnswer,
  StandbyRequest,
  SubtaskMessage,
  WorkerRequest,
} from "./messages.ts";
import type { LiveAnswer, LiveSubtask, StateLook } from "./requests/live-state.ts";
import type { PlanAnswer } from "./requests/rescale.ts";

const fileName = text.regex(/^\w[\w.-]*$/, "no name of a file");
const submission: z.ZodType<JobSubmission> = z.object({
  ...jobParts,
  fixesMaxParallelism: z.boolean(),
  storage: nullable.text,
});

/* ------------------------------------------------------------------ to the leader */

const job = jobName;
const secret = text.min(16);
/** More than any machine runs. A worker with more would take all subtasks of every job. */
export const SLOTS_MAX = 32_768;
/** The leader asks there, so it is nothing that does something else with what comes: a stream, JetStream's own API. */
const inbox = text.refine((subject) => {
  const [first, ...others] = subject.split(".");
  return first === "_INBOX" && others.length > 0 && others.every(isSubjectToken);
}, "no inbox");
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
const addressed = z.object({ store: text.exactOptional(), secret: secret.exactOptional() });
const changing = z.object({ meant: z.object({ life: text, nonce: text }).exactOptional() });
const parallelism = z.record(text, positive);
const stateLook: z.ZodType<StateLook> = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("list") }),
  z.object({ kind: z.literal("entries"), operator: text, state: text }),
  z.object({ kind: z.literal("group"), operator: text, state: text, keyGroup: count }),
  z.object({
    kind: z.literal("key"),
    operator: text,
    state: text,
    // A number may be any, also one that is none.
    key: z.custom<string | number | boolean | bigint>(
      (key) => ["string", "number", "boolean", "bigint"].includes(typeof key),
      "no key",
    ),
  }),
]);

const liveSubtask: z.ZodType<LiveSubtask> = z.object({
  subtask: text,
  generation: count,
  states: z.array(z.object({ operator: text, state: text, rows: count.exactOptional() })).exactOptional(),
  rows: z
    .array(z.object({ key: bytes.exactOptional(), entry: bytes.exactOptional(), value: bytes }))
    .exactOptional(),
  more: z.literal(true).exactOptional(),
});

const liveAnswer: z.ZodType<LiveAnswer> = z.object({ subtasks: z.array(liveSubtask) });
const question = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("worker.register"),
    job,
    worker: workerId,
    codeFingerprint: text,
    slots: positive.max(SLOTS_MAX),
    processId: count,
    host: text,
    storage: text,
    directory: directory.nullable(),
    secret,
    inbox,
    copies: z.record(text, z.array(count)).optional(),
    nth: count,
  }),
  z.object({ type: z.literal("job.rehearse"), submission, fresh: z.boolean(), restore }),
  z.object({ type: z.literal("worker.crashed"), job, worker: workerId, secret, reason: text }),
  z.object({ type: z.literal("job.status"), job, keys: z.boolean().exactOptional() }),
  z.object({ type: z.literal("job.state"), job, look: stateLook }),
  changing.extend({
    type: z.literal("job.submit"),
    submission,
    fresh: z.boolean(),
    restore: restore.nullable(),
  }),
  changing.extend({ type: z.literal("job.cancel"), job }),
  changing.extend({ type: z.literal("job.suspend"), job }),
  changing.extend({
    type: z.literal("job.snapshot"),
    job,
    request: text,
    kind: z.enum(["checkpoint", "savepoint"]),
    directory: nullable.text,
    followedBy: z.enum(["go-on", "stop", "drain", "cancel"]),
  }),
  changing.extend({
    type: z.literal("job.rescale"),
    job,
    request: text,
    parallelism: positive.nullable(),
    operators: parallelism,
  }),
  changing.extend({ type: z.literal("job.gc"), job, requestId: text }),
  changing.extend({
    type: z.literal("job.dispose"),
    job,
    requestId: text,
    what: z.union([z.literal("job"), z.literal("checkpoints"), count]),
  }),
]);
const leaderRequest: z.ZodType<LeaderRequest> = z.intersection(question, addressed);

const standbyRequest: z.ZodType<StandbyRequest> = addressed.extend({
  type: z.literal("standby.prove"),
  secret,
  coordinator: workerId,
  place: text,
  storage: text,
  directory: directory.nullable(),
});

const answerWord = z.enum(["accepted", "duplicate", "unknown"]);
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

const holderReason = z.enum([
  "noWatermarks",
  "noRecord",
  "silent",
  "noProgress",
  "paused",
  "rules",
  "firing",
  "requests",
  "noRoom",
  "stopped",
]);
const hold = {
  split: text.exactOptional(),
  watermark: z.int().nullable(),
  sinceMs: z.number(),
  lastRecordMs: z.number().exactOptional(),
  pending: count.exactOptional(),
  idleAfterMs: count.exactOptional(),
  requests: count.exactOptional(),
};
const standing = {
  status: z.enum(["active", "idle", "ended"]),
  watermark: z.int().nullable(),
  sinceMs: z.number(),
};
const subtaskTime = z.object({
  ...standing,
  makesWatermarks: z.boolean(),
  holds: z.array(
    z.object({ ...hold, from: text.exactOptional(), reason: z.union([holderReason, z.literal("upstream")]) }),
  ),
});
const operatorsTime = z.object({
  ...standing,
  operators: texts,
  holders: z.array(z.object({ ...hold, operator: text, subtask: text, reason: holderReason })),
  holdersMore: count,
});
const trouble = z.object({ what: text, reason: text, sinceMs: z.number() });
const operatorFigures = z.object({
  operator: text,
  figures: z.record(text, count),
  lateness: z
    .object({
      records: count,
      notTaken: count,
      maxMs: count,
      allowedMs: count.exactOptional(),
      buckets: z.array(z.tuple([count, count])),
    })
    .exactOptional(),
  expiring: z
    .array(z.object({ state: text, values: count, expired: count, expiredBytes: count.exactOptional() }))
    .exactOptional(),
  openWindows: z
    .object({ windows: count, of: z.enum(["keys", "time"]), lastEndMs: z.int().nullable() })
    .exactOptional(),
});
const subtaskReport = z.object({
  subtask: text,
  generation: count,
  state: text,
  recordsIn: count,
  load: z
    .object({ busyMs: z.number(), backPressuredMs: z.number(), pending: count.exactOptional() })
    .exactOptional(),
  skipped: z.object({ ranges: count, sequences: count }).nullable(),
  operators: z.array(operatorFigures),
  hotKeys: z
    .object({
      mayCombine: z.boolean(),
      keys: z.array(z.object({ key: text.exactOptional(), keyGroup: count, perMille: count })),
    })
    .exactOptional(),
  paused: z.object({ splits: texts, pausedMs: count, byDefault: z.boolean() }).exactOptional(),
  eventTime: subtaskTime.exactOptional(),
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
    eventTime: z.array(operatorsTime),
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
    planSince: count.exactOptional(),
    reason: text.exactOptional(),
  }),
  z.object({ answer: z.literal("stale"), life: text, nonce: text }),
  z.object({ answer: z.literal("unproven"), note: fileName }),
  refused,
  z.object({ answer: z.literal("status"), status: report }),
  z.object({ answer: z.literal("state"), subtasks: z.array(liveSubtask) }),
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
  z.object({ type: z.literal("worker.state"), look: stateLook }),
  z.object({
    type: z.literal("worker.plan"),
    parallelism: positive.nullable(),
    operators: parallelism,
    maxParallelism: positive,
  }),
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
      parallelism,
      planSince: count,
      restore: z.object({ checkpointId: count, manifest: object, parallelism }).nullable(),
      inherits: z.object({ incarnation: text, generation: count.nullable() }).nullable(),
      settle: z.boolean(),
      leader: workerId,
      maxParallelism: positive,
      iterations: z.enum(["refuse", "force", "exact"]),
      incremental: z.boolean(),
    }),
  }),
  z.object({ type: z.literal("generation.teardown"), job, region: count, generation: count }),
]);

const planAnswer: z.ZodType<PlanAnswer> = z.discriminatedUnion("answer", [
  z.object({ answer: z.literal("planned"), plan }),
  z.object({ answer: z.literal("refused"), reason: text }),
]);

const generation = count;
const checkpointId = count;

const generationRequest: z.ZodType<GenerationRequest> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("generation.started"), generation }),
  z.object({ type: z.literal("drain.requested"), generation }),
  z.object({
    type: z.literal("checkpoint.triggered"),
    generation,
    checkpointId,
    options: checkpointOptions,
  }),
  z.object({ type: z.literal("checkpoint.completed"), generation, checkpointId }),
  z.object({ type: z.literal("checkpoint.aborted"), generation, checkpointId, reason: abortReason }),
]);

/* ------------------------------------------------------------------ to a generation's leader */

const subtask = text;
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
  z.object({
    type: z.literal("watermark.reported"),
    generation,
    subtask,
    group: text,
    members: positive,
    maxDriftMs: count,
    intervalMs: positive,
    watermark: z.int().nullable(),
    holds: z.boolean(),
    pending: count.nullable(),
  }),
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
  /** The highest generation of the region that a worker has seen which answers "stale" to a deployment. */
  readonly seen?: number;
  /** How far the source of a subtask may read, a watermark in ms; null: as far as it likes. */
  readonly limit?: number | null;
}

const shortAnswer: z.ZodType<ShortAnswer> = z.object({
  answer: z.enum(["accepted", "duplicate", "stale", "unknown", "refused"]),
  reason: text.exactOptional(),
  seen: count.exactOptional(),
  limit: z.int().nullable().exactOptional(),
});

export const shapes = {
  leaderRequest: shapeOf(leaderRequest),
  standbyRequest: shapeOf(standbyRequest),
  leaderAnswer: shapeOf(leaderAnswer),
  workerRequest: shapeOf(workerRequest),
  planAnswer: shapeOf(planAnswer),
  pingAnswer: shapeOf(pingAnswer),
  liveAnswer: shapeOf(liveAnswer),
  generationRequest: shapeOf(generationRequest),
  subtaskMessage: shapeOf(subtaskMessage),
  shortAnswer: shapeOf(shortAnswer),
};
