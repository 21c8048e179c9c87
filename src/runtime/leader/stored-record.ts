/**
 * A job's record as it lies in its bucket: JSON of its whole shape.
 *
 * Owns: encoding, and refusing what is no record (P52): any connection of the account may write there. Does not own: who
 * writes when (record-writer.ts).
 */
import { z } from "zod";
import type { JobRecord } from "../../../machines/protocol.ts";
import { jobSchemas } from "../../control/shapes.ts";
import { RecordUnreadableError } from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";
import type { RecordStore, StoredRecord } from "../record-store.ts";

export const jobKey = (job: string): string => `job.${job}`;

const { text, texts, count, object, jobParts, terminalStatus, jobStatus, abortReason } = jobSchemas;
const timeMs = z.number();

const schema: z.ZodType<JobRecord> = z.object({
  ...jobParts,
  format: z.literal(1),
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
      allFinished: z.boolean(),
    }),
  ),
  origin: z
    .object({
      location: text,
      incarnation: text,
      checkpointId: count,
      mode: z.enum(["claim", "claimed", "no-claim"]),
    })
    .nullable(),
  savepoints: z.array(
    z.object({
      ...{ checkpointId: count, generation: count, request: text, location: text },
      ...{ completedAtMs: timeMs, bytes: count },
    }),
  ),
  begunSavepoints: texts,
  aborted: z.array(
    z.object({
      checkpointId: count,
      generation: count,
      requested: z.enum(["periodic", "manual", "final", "suspend", "savepoint", "stop", "cancel"]),
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
export function decodeRecord(value: Uint8Array, key: string, bucket: string): JobRecord {
  const found = parsed(value);
  const problem = problemOf(found, key);
  if (problem === undefined) return found as JobRecord;
  throw new RecordUnreadableError(
    `record "${key}" of KV bucket ${bucket} is no record of a job (${problem}): another program or version has written it. ` +
      `Bring the right one back, or delete it with "${shellCommand("nats", "kv", "del", bucket, key)}" and submit the job again, which then starts over`,
  );
}

/** undefined: there is none. @throws RecordUnreadableError */
export async function readRecord(
  store: RecordStore | undefined,
  job: string,
): Promise<(Omit<StoredRecord, "value"> & { readonly record: JobRecord }) | undefined> {
  const key = jobKey(job);
  const found = await store?.read(key);
  if (store === undefined || found === undefined) return undefined;
  return { revision: found.revision, record: decodeRecord(found.value, key, store.bucket) };
}

function parsed(value: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(value));
  } catch {
    return undefined;
  }
}

function problemOf(value: unknown, key: string): string | undefined {
  if (value === undefined) return "it is no JSON";
  const issue = schema.safeParse(value).error?.issues[0];
  if (issue !== undefined) return `${issue.path.map(String).join(".")}: ${issue.message}`.replace(/^: /, "");
  const { job } = value as JobRecord;
  return jobKey(job) === key ? undefined : `it is that of job ${job}`;
}
