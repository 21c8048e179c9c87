/**
 * A job's record as it lies in its bucket: JSON of its whole shape.
 *
 * Owns: encoding, and refusing what is no record (P52): any connection of the account may write there. Does not own:
 * the order of writes (runtime/leader/records/record-writer.ts).
 */
import { z } from "zod";
import type { JobRecord } from "../../machines/protocol.ts";
import { RecordUnreadableError } from "../errors.ts";
import { shellCommand } from "../shell-command.ts";
import { abortReason, jobParts, jobStatus, plan, terminalStatus, unfinished } from "./job.ts";
import { count, object, parsedJson, text, texts, timeMs } from "./shape.ts";

const FORMAT = 1;

export const jobKey = (job: string): string => `job.${job}`;

const schema: z.ZodType<JobRecord> = z.object({
  ...jobParts,
  format: z.literal(FORMAT),
  incarnation: text,
  generation: count,
  generations: z.array(count),
  nonce: text,
  token: count,
  scope: z.enum(["cluster", "job"]),
  writeId: text,
  status: jobStatus,
  settleTo: terminalStatus.nullable(),
  reservedCheckpointId: count,
  checkpoints: z.array(
    z.object({
      checkpointId: count,
      generation: count,
      manifest: object,
      completedAtMs: timeMs,
      bytes: count,
      fullBytes: count.exactOptional(),
      allFinished: z.boolean(),
    }),
  ),
  planSince: count,
  formerPlans: z.array(z.object({ plan, upTo: count })),
  submittedPlan: plan.exactOptional(),
  rescale: z
    .object({
      ...{ request: text, state: z.enum(["pending", "done", "failed"]) },
      ...{ reason: z.string(), atMs: timeMs },
    })
    .exactOptional(),
  origin: z
    .object({
      location: text,
      job: text,
      incarnation: text,
      generation: count,
      checkpointId: count,
      mode: z.enum(["claim", "claimed", "no-claim"]),
    })
    .nullable(),
  savepoints: z.array(
    z.object({
      ...{ checkpointId: count, generation: count, request: text, location: text },
      ...{ completedAtMs: timeMs, bytes: count },
      drained: z.array(unfinished).exactOptional(),
    }),
  ),
  begunSavepoints: texts,
  aborted: z.array(
    z.object({
      checkpointId: count,
      generation: count,
      requested: z.enum(["periodic", "manual", "final", "suspend", "savepoint", "stop", "drain", "cancel"]),
      reason: abortReason,
      detail: text,
      startedAtMs: timeMs,
      abortedAtMs: timeMs,
      acknowledged: count,
      missing: z.array(z.object({ subtask: text, phase: text, channels: texts })),
    }),
  ),
  failures: z.array(z.object({ atMs: timeMs, generation: count, where: text, reason: text })),
  disposed: z.enum(["state", "job"]).exactOptional(),
  abandoned: z.array(
    z.object({
      ...{ checkpointId: count, incarnation: text, status: jobStatus },
      ...{ by: z.enum(["dispose", "fresh-start"]), atMs: timeMs },
    }),
  ),
  fallbacks: z.array(
    z.object({ incarnation: text, generation: count, completed: count, next: count.nullable() }),
  ),
  createdAtMs: timeMs,
  updatedAtMs: timeMs,
});

export function encodeRecord(record: JobRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record));
}

/**
 * @param key that it was found under
 * @param bucket for the command in the message
 * @throws RecordUnreadableError
 */
export function parseRecord(value: Uint8Array, key: string, bucket: string): JobRecord {
  const found = parsedJson(schema, value, FORMAT);
  const problem = "problem" in found ? found.problem : misplaced(found.value, key);
  if ("value" in found && problem === undefined) return found.value;
  throw new RecordUnreadableError(
    `record "${key}" of KV bucket ${bucket} is no record of a job (${problem}): another program or version has written it. ` +
      `Bring the right one back, or delete it with "${shellCommand("nats", "kv", "del", bucket, key)}" and submit the job again, which then starts over`,
  );
}

function misplaced({ job }: JobRecord, key: string): string | undefined {
  return jobKey(job) === key ? undefined : `it is that of job ${job}`;
}
