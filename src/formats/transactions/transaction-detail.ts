/**
 * What our own sinks keep of a prepared transaction in its committable, as part of a manifest: all that a commit needs.
 */
import { z } from "zod";
import { CommitRefusedError } from "../../errors.ts";
import { count, problemIn, text } from "../shape.ts";

const VERSION = 1;

/** The detail of a JetStream sink. */
export interface StreamTransactionDetail {
  readonly version: typeof VERSION;
  /**
   * The parts of each staged object, in order: messages and end offset of each, flat: [messages, end, messages, end,
   * …].
   */
  readonly segments: readonly (readonly number[])[];
  /** Base64 of the only segment, which is not staged then. */
  readonly inline?: string;
}

/** The detail of a sink that stages records and writes them in one step with its marker. */
export interface RecordTransactionDetail {
  readonly version: typeof VERSION;
  /** How many records each staged object holds, in order. */
  readonly records: readonly number[];
  /** Base64 of the only segment, which is not staged then. */
  readonly inline?: string;
}

/** The detail of a file sink. */
export interface FileTransactionDetail {
  readonly version: typeof VERSION;
  readonly file: string;
  readonly bytes: number;
  /** CRC-32 of them. */
  readonly checksum: number;
  /** The directory that the file belongs in, absolute: a fork may write to another one. */
  readonly directory: string;
  readonly name: string;
}

const segment = z.array(count).check(({ value, issues }) => {
  let end = 0;
  for (let at = 0; at < value.length; at += 2) {
    if (at + 1 < value.length && value[at]! > 0 && value[at + 1]! >= end) end = value[at + 1]!;
    else issues.push({ code: "custom", message: "no parts, one behind the other", input: value, path: [] });
  }
});

const streamTransaction: z.ZodType<StreamTransactionDetail> = z
  .object({ version: z.literal(VERSION), segments: z.array(segment), inline: z.base64().exactOptional() })
  .check(({ value: { segments, inline }, issues }) => {
    if (inline === undefined) return;
    const path = ["segments"];
    if (segments.length !== 1)
      issues.push({ code: "custom", message: "not one segment, which is inline", input: segments, path });
    else if ((segments[0]!.at(-1) ?? 0) > Buffer.byteLength(inline, "base64"))
      issues.push({
        code: "custom",
        message: "ends behind the bytes that are inline",
        input: segments,
        path,
      });
  });

const recordTransaction: z.ZodType<RecordTransactionDetail> = z.object({
  version: z.literal(VERSION),
  records: z.array(count.min(1)).min(1),
  inline: z.base64().exactOptional(),
});

const fileTransaction: z.ZodType<FileTransactionDetail> = z.object({
  version: z.literal(VERSION),
  file: text,
  bytes: count,
  checksum: count,
  directory: text,
  name: text,
});

const memoryTransaction = z.object({ parts: z.array(z.array(z.unknown())) });

/** @param staged how many objects the transaction has. @throws CommitRefusedError */
export function parseStreamTransaction(detail: unknown, staged: number): StreamTransactionDetail {
  const found = checked(streamTransaction, detail, "the JetStream sink");
  if (found.inline === undefined && found.segments.length !== staged)
    throw refusal("the JetStream sink", `${found.segments.length} segments, and ${staged} staged objects`);
  return found;
}

/**
 * @param staged how many objects the transaction has
 * @param sink in words: "the PostgreSQL sink"
 * @throws CommitRefusedError
 */
export function parseRecordTransaction(
  detail: unknown,
  staged: number,
  sink: string,
): RecordTransactionDetail {
  const found = checked(recordTransaction, detail, sink);
  const needed = found.inline === undefined ? found.records.length : 0;
  if (needed !== staged || (found.inline !== undefined && found.records.length !== 1))
    throw refusal(sink, `${found.records.length} segments, and ${staged} staged objects`);
  return found;
}

/** @throws CommitRefusedError */
export function parseFileTransaction(detail: unknown): FileTransactionDetail {
  return checked(fileTransaction, detail, "the file sink");
}

/** @throws CommitRefusedError */
export function parseMemoryTransaction<T>(detail: unknown): T[][] {
  return checked(memoryTransaction, detail, "the memory sink").parts as T[][];
}

function checked<T>(schema: z.ZodType<T>, detail: unknown, sink: string): T {
  const version = typeof detail === "object" && detail !== null && "version" in detail && detail.version;
  if (typeof version === "number" && version > VERSION)
    throw new CommitRefusedError(
      `a transaction that a newer version of ${sink} has written cannot be committed (version ${version}, this one reads ` +
        `${VERSION}); run the version that wrote it until its transactions are committed`,
    );
  const problem = problemIn(schema, detail);
  if (problem !== undefined) throw refusal(sink, problem);
  return detail as T;
}

function refusal(sink: string, problem: string): CommitRefusedError {
  return new CommitRefusedError(
    `what the checkpoint holds of a transaction of ${sink} is broken, so it cannot be committed: ${problem}; restore the checkpoint's ` +
      "objects from a copy, or start the job fresh",
  );
}
